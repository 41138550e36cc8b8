//! Threads that keep links up.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded, select_biased,
};

use gongsuan_types::PublicKey;

use super::strangers::{Stranger, Strangers};
use super::{Channel, Identity, NetError};

/// Votes waiting for one peer, at most. A vote is 200 bytes.
const VOTES_MAX: usize = 4_096;
/// Blocks waiting for one peer, at most: several windows of them.
const BLOCKS_MAX: usize = 64;
/// Bulk frames waiting for one peer, at most.
const BULK_MAX: usize = 1_024;
/// Votes kept for a peer that cannot be reached: the newest ones may still matter, and what matters is repeated.
const KEPT: usize = 64;
/// Bytes after which no further frame is gathered into a write, so that a vote never waits behind more than that.
const GATHER: usize = 256 << 10;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
const CONNECT: Duration = Duration::from_secs(2);

/// Bytes for one or several peers, encoded once.
pub type Frame = Arc<Vec<u8>>;

/// Which queue a frame waits in. Each is emptied before the next is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Votes and everything else that is small and urgent.
    Vote,
    /// Blocks to be voted on.
    Block,
    /// Ranges of old blocks, and what the application says.
    Bulk,
}

/// The sending side of one peer's link. When a queue is full, frames are dropped: what matters is repeated or fetched.
#[derive(Debug, Clone)]
pub struct Outgoing {
    votes: Sender<Frame>,
    blocks: Sender<Frame>,
    bulk: Sender<Frame>,
    connected: Arc<AtomicBool>,
    /// Never sent on; its end tells a thread that waits for its peer to stop.
    _open: Sender<()>,
}

struct Lanes {
    votes: Receiver<Frame>,
    blocks: Receiver<Frame>,
    bulk: Receiver<Frame>,
    open: Receiver<()>,
}

impl Outgoing {
    /// Queues a frame; says whether there was room.
    #[must_use]
    pub fn send(&self, lane: Lane, frame: Frame) -> bool {
        let queue = match lane {
            Lane::Vote => &self.votes,
            Lane::Block => &self.blocks,
            Lane::Bulk => &self.bulk,
        };
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
///
/// # Panics
/// If the system has no thread left.
#[must_use]
pub fn spawn_sender(address: SocketAddr, peer: PublicKey, identity: Identity) -> Outgoing {
    let (votes, votes_out) = bounded(VOTES_MAX);
    let (blocks, blocks_out) = bounded(BLOCKS_MAX);
    let (bulk, bulk_out) = bounded(BULK_MAX);
    let (open, open_out) = bounded(0);
    let connected = Arc::new(AtomicBool::new(false));
    let flag = connected.clone();
    let lanes = Lanes { votes: votes_out, blocks: blocks_out, bulk: bulk_out, open: open_out };
    std::thread::Builder::new()
        .name("send".into())
        .spawn(move || keep_up(address, peer, &identity, &lanes, &flag))
        .expect("a thread for a link");
    Outgoing { votes, blocks, bulk, connected, _open: open }
}

fn keep_up(
    address: SocketAddr,
    peer: PublicKey,
    identity: &Identity,
    lanes: &Lanes,
    connected: &AtomicBool,
) {
    let mut backoff = BACKOFF.0;
    loop {
        let opened = TcpStream::connect_timeout(&address, CONNECT)
            .map_err(NetError::from)
            .and_then(|stream| Channel::dial(stream, identity));
        match opened {
            Ok(mut channel) if channel.peer.key == peer => {
                tracing::info!(%peer, %address, "link up");
                backoff = BACKOFF.0;
                connected.store(true, Ordering::Relaxed);
                let ended = pump(&mut channel, lanes);
                connected.store(false, Ordering::Relaxed);
                match ended {
                    None => return,
                    Some(error) => tracing::info!(%peer, %error, "link down"),
                }
            }
            Ok(channel) => {
                let got = channel.peer.key;
                tracing::warn!(%peer, %got, %address, "another node answers");
            }
            Err(error) => tracing::debug!(%peer, %error, "cannot connect"),
        }
        lanes.forget();
        // Nothing is ever sent here: it waits for the time to pass or for the link to be given up, and takes no frame.
        if lanes.open.recv_timeout(backoff) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

impl Lanes {
    /// Drops what is too old to matter once the peer can be reached again.
    fn forget(&self) {
        while self.votes.len() > KEPT && self.votes.try_recv().is_ok() {}
        while self.blocks.try_recv().is_ok() || self.bulk.try_recv().is_ok() {}
    }

    /// The next frame, of the first lane that has one.
    fn next(&self) -> Option<Frame> {
        select_biased! {
            recv(self.votes) -> frame => frame.ok(),
            recv(self.blocks) -> frame => frame.ok(),
            recv(self.bulk) -> frame => frame.ok(),
        }
    }

    fn try_next(&self) -> Result<Frame, TryRecvError> {
        self.votes.try_recv().or_else(|_| self.blocks.try_recv()).or_else(|_| self.bulk.try_recv())
    }
}

/// Sends until the link breaks or is given up. All that waits goes out with one write.
fn pump(channel: &mut Channel, lanes: &Lanes) -> Option<NetError> {
    let mut batch = Vec::new();
    loop {
        let mut bytes = 0;
        let mut frame = lanes.next()?;
        loop {
            bytes += frame.len();
            batch.push(frame);
            if bytes >= GATHER {
                break;
            }
            let Ok(next) = lanes.try_next() else { break };
            frame = next;
        }
        if let Err(error) = channel.send(batch.iter().map(|frame| frame.as_slice())) {
            return Some(error);
        }
        batch.clear();
    }
}

/// Who opened a link to us.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its node's key.
    pub key: PublicKey,
    /// Where it can be dialled: where it came from, at the port that it named.
    pub address: SocketAddr,
}

/// Accepts links on a socket; every frame goes to what `make` made for the link, on the link's own thread, until that says `false`. A link for which it
/// makes nothing is closed.
///
/// # Panics
/// If the system has no thread left.
pub fn listen<F, T>(socket: TcpListener, identity: Identity, stop: Arc<AtomicBool>, make: F)
where
    F: Fn(&Arrival) -> Option<T> + Clone + Send + 'static,
    T: FnMut(&[u8]) -> bool + Send + 'static,
{
    let accept = move || {
        let strangers = Arc::new(Strangers::default());
        for stream in socket.incoming() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(stream) = stream else { continue };
            // Whoever finds no place sees the connection closed.
            let Ok(from) = stream.peer_addr() else { continue };
            let Some(stranger) = strangers.enter(from.ip()) else { continue };
            let (identity, make) = (identity.clone(), make.clone());
            let thread = std::thread::Builder::new().name("receive".into());
            if let Err(error) = thread.spawn(move || take_in(stream, stranger, &identity, make)) {
                tracing::error!(%error, "no thread for a link");
            }
        }
    };
    std::thread::Builder::new().name("accept".into()).spawn(accept).expect("a thread that accepts");
}

fn take_in<T: FnMut(&[u8]) -> bool>(
    stream: TcpStream,
    stranger: Stranger,
    identity: &Identity,
    make: impl Fn(&Arrival) -> Option<T>,
) {
    let from = stream.peer_addr();
    let accepted = from.map_err(NetError::from).and_then(|from| {
        let channel = Channel::accept(stream, identity)?;
        let address = SocketAddr::new(from.ip(), channel.peer.port);
        Ok((Arrival { key: channel.peer.key, address }, channel))
    });
    let (arrival, mut channel) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(%error, "handshake refused");
            return;
        }
    };
    drop(stranger);
    let peer = arrival.key;
    let Some(mut take) = make(&arrival) else {
        tracing::info!(%peer, "there is no room for another follower");
        return;
    };
    loop {
        match channel.receive() {
            Ok(frame) => {
                if !take(frame) {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "link closed");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use gongsuan_types::{Hash, SecretKey};

    use super::*;

    #[test]
    fn those_who_say_nothing_are_few_and_validators_come_in_when_they_are_gone() {
        let identity =
            |n: u8| Identity { key: SecretKey::from_seed(&[n]), chain_id: Hash::ZERO, port: 0 };
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (taken, frames) = bounded(1);
        listen(socket, identity(0), Arc::default(), move |_: &Arrival| {
            let taken = taken.clone();
            Some(move |frame: &[u8]| taken.send(frame.to_vec()).is_ok())
        });
        let mut silent: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        // The last ones find no place: they see the end long before a handshake must be over.
        let mut last = silent.pop().unwrap();
        last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let closed = match last.read(&mut [0]) {
            Ok(got) => got == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(closed, "the last of 200 is closed");
        drop(silent);
        let outgoing = spawn_sender(address, identity(0).key.public_key(), identity(1));
        let frame = Arc::new(b"here".to_vec());
        assert!(outgoing.send(Lane::Vote, frame.clone()));
        assert_eq!(frames.recv_timeout(Duration::from_secs(60)).unwrap(), *frame);
    }

    #[test]
    fn a_link_that_waits_for_its_peer_keeps_the_newest_votes_and_takes_none_by_asking() {
        let (votes, votes_out) = bounded(VOTES_MAX);
        let (blocks, blocks_out) = bounded(BLOCKS_MAX);
        let (_bulk, bulk_out) = bounded(BULK_MAX);
        let (open, open_out) = bounded(0);
        let lanes = Lanes { votes: votes_out, blocks: blocks_out, bulk: bulk_out, open: open_out };
        for n in 0..100u8 {
            votes.try_send(Arc::new(vec![n])).unwrap();
        }
        blocks.try_send(Arc::new(vec![0])).unwrap();
        lanes.forget();
        lanes.forget();
        assert_eq!((lanes.votes.len(), lanes.blocks.len()), (KEPT, 0));
        assert_eq!(lanes.try_next().unwrap()[0], 36);
        drop(open);
        let waited = lanes.open.recv_timeout(Duration::from_secs(60));
        assert_eq!(waited, Err(RecvTimeoutError::Disconnected));
        assert_eq!(lanes.votes.len(), KEPT - 1);
    }
}
