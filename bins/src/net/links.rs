//! Threads that keep links up.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased};

use super::{Channel, Identity, NetError};

/// Urgent packets waiting for one peer, at most. A vote is 200 bytes.
const URGENT_MAX: usize = 4_096;
/// Bulk packets waiting for one peer, at most.
const BULK_MAX: usize = 256;
const BACKOFF_MAX: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(2);

/// The sending side of one peer's link. When a queue is full, packets are dropped: what matters is repeated or fetched.
#[derive(Debug, Clone)]
pub struct Outgoing {
    urgent: Sender<Arc<Vec<u8>>>,
    bulk: Sender<Arc<Vec<u8>>>,
    connected: Arc<AtomicBool>,
}

impl Outgoing {
    /// Queues a frame; says whether there was room.
    pub fn send(&self, urgent: bool, frame: Arc<Vec<u8>>) -> bool {
        let queue = if urgent { &self.urgent } else { &self.bulk };
        match queue.try_send(frame) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Whether the link is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

/// Keeps a link to a peer: connects, sends, connects again. Ends when every [`Outgoing`] is dropped.
#[must_use]
pub fn spawn_sender(address: SocketAddr, peer: u16, identity: Identity) -> Outgoing {
    let (urgent, urgent_out) = bounded(URGENT_MAX);
    let (bulk, bulk_out) = bounded(BULK_MAX);
    let connected = Arc::new(AtomicBool::new(false));
    let flag = connected.clone();
    std::thread::spawn(move || {
        let mut backoff = Duration::from_millis(10);
        loop {
            let opened = TcpStream::connect_timeout(&address, CONNECT)
                .map_err(NetError::from)
                .and_then(|stream| Channel::dial(stream, &identity));
            match opened {
                Ok(mut channel) if channel.peer == peer => {
                    tracing::info!(peer, %address, "link up");
                    backoff = Duration::from_millis(10);
                    flag.store(true, Ordering::Relaxed);
                    let ended = pump(&mut channel, &urgent_out, &bulk_out);
                    flag.store(false, Ordering::Relaxed);
                    match ended {
                        None => return,
                        Some(error) => tracing::info!(peer, %error, "link down"),
                    }
                }
                Ok(channel) => {
                    tracing::warn!(peer, got = channel.peer, %address, "another validator answers");
                }
                Err(error) => tracing::debug!(peer, %error, "cannot connect"),
            }
            // Waits for the time to pass or for the queues to be closed.
            if closed(&urgent_out) {
                return;
            }
            std::thread::sleep(backoff);
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    });
    Outgoing { urgent, bulk, connected }
}

/// Empties the urgent queue of what is too old to matter while the link is down, and says whether it is closed.
fn closed(urgent: &Receiver<Arc<Vec<u8>>>) -> bool {
    while urgent.len() > URGENT_MAX / 2 {
        if urgent.try_recv().is_err() {
            break;
        }
    }
    matches!(urgent.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected))
}

fn pump(
    channel: &mut Channel,
    urgent: &Receiver<Arc<Vec<u8>>>,
    bulk: &Receiver<Arc<Vec<u8>>>,
) -> Option<NetError> {
    loop {
        let frame = select_biased! {
            recv(urgent) -> frame => frame,
            recv(bulk) -> frame => frame,
        };
        let Ok(frame) = frame else { return None };
        if let Err(error) = channel.send(&frame) {
            return Some(error);
        }
    }
}

/// What arrives on a link.
#[derive(Debug)]
pub struct Incoming {
    /// From which validator.
    pub peer: u16,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Accepts links on a socket; every frame goes to what `make` made for the link, on the link's own thread, until that says `false`.
pub fn listen<F, T>(socket: TcpListener, identity: Identity, stop: Arc<AtomicBool>, make: F)
where
    F: Fn() -> T + Send + 'static,
    T: FnMut(Incoming) -> bool + Send + 'static,
{
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let (identity, mut take) = (identity.clone(), make());
            std::thread::spawn(move || match Channel::accept(stream, &identity) {
                Ok(mut channel) => loop {
                    match channel.receive() {
                        Ok(frame) => {
                            if !take(Incoming { peer: channel.peer, frame }) {
                                return;
                            }
                        }
                        Err(error) => {
                            tracing::debug!(peer = channel.peer, %error, "link closed");
                            return;
                        }
                    }
                },
                Err(error) => tracing::warn!(%error, "handshake refused"),
            });
        }
    });
}
