//! The HTTP API: a thin translation between JSON and questions to the node. tokio lives here and nowhere else.

mod answer;
mod blobs;
mod chain;
mod door;
mod events;
mod explorer;
mod histories;
mod letters;
mod lists;
mod log;
mod market;
mod metrics;
mod openapi;
mod patient;
mod people;
mod pieces;
mod proofs;
mod routes;
pub mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::node::blobs::Blobs;
use crate::node::letters::Letters;
use crate::node::pieces::Pieces;
use crate::node::{Feed, Handle};
use crate::replica::Counters;

/// What the API serves.
#[derive(Debug, Clone)]
pub struct Server {
    /// The front door.
    pub node: Handle,
    /// The blobs.
    pub blobs: Arc<Blobs>,
    /// Which of them are letters, and to whom.
    pub letters: Arc<Letters>,
    /// Blobs on their way here.
    pub pieces: Arc<Pieces>,
    /// Events.
    pub feed: Feed,
    /// What the replica counts.
    pub counters: Arc<Counters>,
    /// Places for listeners.
    pub listeners: Arc<Semaphore>,
}

impl axum::extract::FromRef<Server> for Arc<Blobs> {
    fn from_ref(server: &Server) -> Self {
        server.blobs.clone()
    }
}

impl axum::extract::FromRef<Server> for Arc<Pieces> {
    fn from_ref(server: &Server) -> Self {
        server.pieces.clone()
    }
}

/// The description of the API (`OpenAPI` 3.1) as JSON: what a node serves at `/openapi.json`.
#[must_use]
pub fn description() -> String {
    openapi::to_json(&routes::description())
}

/// Listeners at one time, at most.
pub const LISTENERS_MAX: usize = 256;

impl Server {
    /// Serves on an address, on threads of its own; returns the real address (port 0 takes a free one).
    ///
    /// # Errors
    /// If the address is taken.
    pub fn start(self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let (listener, address) = door::bind(address)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            // For files and what takes long to decode; no question waits on one.
            .max_blocking_threads(64)
            .thread_name("api")
            .enable_all()
            .build()?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let limits = door::Limits::default();
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        door::serve(listener, routes::router(self, &limits), limits).await;
                    }
                    Err(error) => tracing::error!(%error, "the API has stopped"),
                }
            });
        });
        Ok(address)
    }
}
