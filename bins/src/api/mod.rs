//! The HTTP API.
/// x
#[derive(Debug)]
pub struct Server { pub node: crate::node::Handle, pub blobs: std::sync::Arc<crate::node::blobs::Blobs>, pub feed: crate::node::Feed }
impl Server { pub fn start(self, at: std::net::SocketAddr) -> std::io::Result<std::net::SocketAddr> { Ok(at) } }
