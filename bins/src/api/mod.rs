//! The HTTP API: a thin translation between JSON and questions to the node. tokio lives here and nowhere else.

mod proofs;
mod routes;
pub mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::node::blobs::Blobs;
use crate::node::{Feed, Handle};

/// What the API serves.
#[derive(Debug, Clone)]
pub struct Server {
    /// The front door.
    pub node: Handle,
    /// The blobs.
    pub blobs: Arc<Blobs>,
    /// Events.
    pub feed: Feed,
}

impl Server {
    /// Serves on an address, on threads of its own; returns the real address (port 0 takes a free one).
    ///
    /// # Errors
    /// If the address is taken.
    pub fn start(self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("api")
            .enable_all()
            .build()?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, routes::router(self)).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "the API has stopped");
                }
            });
        });
        Ok(address)
    }
}
