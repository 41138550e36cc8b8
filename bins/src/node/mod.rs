//! A validator: the driver thread, its queues, and what surrounds it.

pub mod blobs;
pub mod config;
mod driver;
mod event;
pub mod wal;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use crossbeam_channel::bounded;
use gongsuan_consensus::ValidatorSet;

use crate::net::{self, Identity};
use blobs::Blobs;
use config::{HomeLock, NodeConfig};
pub use driver::{Feed, Happened, View};
pub use event::{Handle, TxAnswer};

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Where its API is.
    pub api: SocketAddr,
    handle: Handle,
    stop: Arc<AtomicBool>,
    p2p: SocketAddr,
    driver: Option<std::thread::JoinHandle<()>>,
    _lock: HomeLock,
}

/// The validators of a genesis, as consensus sees them.
///
/// # Panics
/// If the genesis was not validated.
#[must_use]
pub fn validator_set(genesis: &gongsuan_ledger::Genesis) -> ValidatorSet {
    let keys = genesis.validators.iter().map(|validator| validator.key).collect();
    ValidatorSet::new(0, keys).expect("a genesis is checked before it is used")
}

impl Node {
    /// Starts a node on its folder.
    ///
    /// # Errors
    /// What is wrong with the folder, the ports or the disk.
    pub fn start(home: &Path) -> anyhow::Result<Self> {
        let config = NodeConfig::load(home)?;
        let lock = HomeLock::take(home)?;
        let validators = validator_set(&config.genesis);
        let known = Arc::new(net::Members { validators, chain_id: config.genesis.chain_id() });
        let identity = Identity { index: config.index, key: config.key.clone(), known };
        let socket = TcpListener::bind(config.file.p2p)
            .with_context(|| format!("cannot listen for validators on {}", config.file.p2p))?;
        let p2p = socket.local_addr()?;
        let blobs = Arc::new(Blobs::open(home.join("blobs")).context("cannot open the blobs")?);
        let (urgent, urgent_out) = bounded(4_096);
        let (bulk, bulk_out) = bounded(256);
        let (front, front_out) = bounded(4_096);
        let handle = Handle::new(front.clone());
        let queues = driver::Queues { urgent: urgent_out, bulk: bulk_out, front: front_out };
        let outgoing = driver::connect(&config, &identity);
        let feed = Feed::default();
        let driver = driver::Driver::open(&config, outgoing, feed.clone())?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("driver".into())
            .spawn(move || driver.run(&queues))
            .context("cannot start the driver")?;
        let take = event::receiver(identity.known.clone(), (urgent, bulk, front));
        net::listen(socket, identity, stop.clone(), take);
        let server = crate::api::Server { node: handle.clone(), blobs, feed };
        let api = server
            .start(config.file.api)
            .with_context(|| format!("cannot serve the API on {}", config.file.api))?;
        let ports = serde_json::json!({ "p2p": p2p, "api": api, "pid": std::process::id() });
        std::fs::write(home.join("ports.json"), ports.to_string()).context("ports.json")?;
        tracing::info!(name = config.file.name, %p2p, %api, "node started");
        Ok(Self { api, handle, stop, p2p, driver: Some(thread), _lock: lock })
    }

    /// Whether the driver still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.driver.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the node.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.stop();
        // Wakes the listener so that it sees the flag.
        drop(std::net::TcpStream::connect(self.p2p));
        if let Some(thread) = self.driver.take() {
            drop(thread.join());
        }
    }
}

/// This machine's clock.
#[must_use]
pub fn clock() -> gongsuan_types::TimeMs {
    driver::now()
}
