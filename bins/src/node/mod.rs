//! A node: the ledger on a replica, and what surrounds it. With a seat it is a validator; without one it follows.

mod application;
pub mod blobs;
pub mod config;
mod court;
mod event;
pub mod letters;
mod library;
mod notary;
mod past;
pub mod pieces;
mod pins;
mod snapshots;
mod trades;
mod view;
mod waiters;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use gongsuan_consensus::ValidatorSet;

use crate::net::Identity;
use blobs::Blobs;
use config::{HomeLock, NodeConfig};
pub use event::{Handle, TxAnswer};
use letters::Letters;
use library::Library;
use pieces::Pieces;
pub use trades::{Trade, Trades};
pub use view::{Counts, Feed, Happened, View};

use crate::replica::{Replica, Setup};

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Where its API is.
    pub api: SocketAddr,
    replica: Replica<event::Event>,
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
        Self::start_with(&NodeConfig::load(home)?)
    }

    /// Starts a node on what was read of its folder.
    ///
    /// # Errors
    /// What is wrong with the folder, the ports or the disk.
    pub fn start_with(config: &NodeConfig) -> anyhow::Result<Self> {
        let home = config.home.as_path();
        let lock = HomeLock::take(home)?;
        let chain_id = config.genesis.chain_id();
        let identity = Identity { key: config.key.clone(), chain_id, port: config.file.p2p.port() };
        let socket = TcpListener::bind(config.file.p2p)
            .with_context(|| format!("cannot listen for validators on {}", config.file.p2p))?;
        let p2p = socket.local_addr()?;
        let blobs = Arc::new(Blobs::open(home.join("blobs")).context("cannot open the blobs")?);
        let letters = Letters::open(home.join("letters"), Arc::clone(&blobs));
        let letters = Arc::new(letters.context("cannot open the letters")?);
        let pieces = Pieces::open(home.join("pieces"), Arc::clone(&blobs));
        let pieces = Arc::new(pieces.context("cannot open the pieces of blobs")?);
        let feed = Feed::default();
        let (ledger, core, wal) = application::Ledger::open(config, feed.clone())?;
        let setup = Setup { core, wal, identity, socket, addresses: config.addresses().collect() };
        let replica = Replica::start(setup, event::gate(), |front, _| ledger.begin(front))
            .context("cannot start the replica")?;
        let handle = Handle::new(replica.front().clone());
        let pins = pins::Pins::new(handle.clone(), &letters);
        blobs.pin(move |blobs| pins.needed(blobs));
        let listeners = Arc::new(tokio::sync::Semaphore::new(crate::api::LISTENERS_MAX));
        let peers = config.file.peers.iter().filter_map(|peer| peer.api);
        let peers = crate::client::Client::new(peers.map(|api| format!("http://{api}")));
        court::Court::new(
            handle.clone(),
            config.key.clone(),
            Library::new(Arc::clone(&blobs), Arc::clone(&letters), peers),
        )
        .start(&feed)
        .context("cannot start the court")?;
        let server = crate::api::Server {
            node: handle,
            blobs,
            letters,
            pieces,
            feed,
            counters: replica.counters().clone(),
            listeners,
        };
        let api = server
            .start(config.file.api)
            .with_context(|| format!("cannot serve the API on {}", config.file.api))?;
        let ports = serde_json::json!({ "p2p": p2p, "api": api, "pid": std::process::id() });
        std::fs::write(home.join("ports.json"), ports.to_string()).context("ports.json")?;
        tracing::info!(name = config.file.name, %p2p, %api, "node started");
        Ok(Self { api, replica, _lock: lock })
    }

    /// Whether the replica still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.replica.is_alive()
    }

    /// Ends the node.
    pub fn stop(self) {
        self.replica.stop();
    }
}

/// This machine's clock.
#[must_use]
pub fn clock() -> gongsuan_types::TimeMs {
    crate::replica::wall()
}
