//! One encrypted channel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gongsuan_types::{Hash, Hasher, PublicKey, SecretKey, Signature, codec};
use serde::{Deserialize, Serialize};

use super::FRAME_BYTES_MAX;

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
const NOISE_MAX: usize = 65_535;
/// Bytes that authentication adds to a message.
const TAG: usize = 16;
const CHUNK: usize = NOISE_MAX - TAG;
/// Frames up to this size are gathered into one encrypted message; larger ones are not copied.
const COPY_MAX: usize = 8 << 10;
/// Bytes asked of the socket at once.
const READ: usize = 128 << 10;
/// A peer that does not finish the whole handshake in this time is dropped, however slowly it goes on.
/// Tests say themselves when it has taken too long, however busy the machine is.
const HANDSHAKE: Duration = Duration::from_secs(if cfg!(test) { 600 } else { 3 });

/// Who we are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Our node's key.
    pub key: SecretKey,
    /// The chain: every signature is bound to it.
    pub chain_id: Hash,
    /// Where we listen for others, so that one that does not know us yet can dial back.
    pub port: u16,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Its node's key.
    pub key: PublicKey,
    /// The port on which it listens for others.
    pub port: u16,
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The other end does not speak our protocol or the bytes were changed.
    #[error("encryption: {0}")]
    Noise(#[from] snow::Error),
    /// The other end does not own the key it shows, or is of another chain.
    #[error("identity: {0}")]
    Identity(String),
    /// A frame beyond the limit.
    #[error("frame of {got} bytes, the limit is {FRAME_BYTES_MAX}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// A frame that is not a packet.
    #[error("packet: {0}")]
    Malformed(#[from] codec::DecodeError),
}

#[derive(Serialize, Deserialize)]
struct Proof {
    key: PublicKey,
    port: u16,
    signature: Signature,
}

/// A channel after its handshake. The plaintext inside the encrypted messages is a stream of frames, each behind its
/// length: small frames share a message, large ones span several.
pub struct Channel {
    stream: TcpStream,
    noise: snow::TransportState,
    /// The node at the other end.
    pub peer: Remote,
    /// Small frames and lengths on their way into one encrypted message.
    staged: Vec<u8>,
    /// Encrypted messages on their way out.
    wire: Filling,
    /// Encrypted bytes that arrived.
    cipher: Filling,
    /// Decrypted bytes.
    plain: Filling,
}

/// A buffer of which `bytes[start..end]` is in use. The rest stays allocated and is written over.
#[derive(Default)]
struct Filling {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Filling {
    fn used(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room for `extra` bytes behind what is in use; what was consumed makes way first.
    fn room(&mut self, extra: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end + extra > self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end + extra > self.bytes.len() {
            self.bytes.resize((self.end + extra).next_power_of_two(), 0);
        }
        &mut self.bytes[self.end..]
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Channel({})", self.peer.key)
    }
}

fn digest(chain_id: Hash, initiator: bool, static_key: &[u8], port: u16) -> Hash {
    let mut hasher = Hasher::new("gongsuan/net/identity/v2");
    hasher.update(&chain_id.0).update(&[u8::from(initiator)]).part(static_key);
    hasher.update(&port.to_le_bytes());
    hasher.finish()
}

fn write_message(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), NetError> {
    let length = u16::try_from(bytes.len()).map_err(|_| NetError::TooLong { got: bytes.len() })?;
    let mut framed = Vec::with_capacity(2 + bytes.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(bytes);
    Ok(stream.write_all(&framed)?)
}

fn read_message(stream: &mut TcpStream, until: Instant) -> Result<Vec<u8>, NetError> {
    let mut length = [0; 2];
    read_until(stream, &mut length, until)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    read_until(stream, &mut bytes, until)?;
    Ok(bytes)
}

/// Fills a buffer before a moment that a byte now and then does not put off.
fn read_until(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => filled += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Identity {
    fn prove(&self, initiator: bool, static_key: &[u8]) -> Vec<u8> {
        let digest = digest(self.chain_id, initiator, static_key, self.port);
        let (key, signature) = (self.key.public_key(), self.key.sign(&digest));
        codec::encode(&Proof { key, port: self.port, signature })
    }

    fn check(
        &self,
        initiator: bool,
        static_key: Option<&[u8]>,
        proof: &[u8],
    ) -> Result<Remote, NetError> {
        let Proof { key, port, signature } = codec::decode("identity proof", 256, proof)?;
        let digest = digest(self.chain_id, initiator, static_key.unwrap_or_default(), port);
        key.verify(&digest, &signature)
            .map_err(|error| NetError::Identity(format!("{key}: {error}")))?;
        Ok(Remote { key, port })
    }
}

impl Channel {
    /// The dialling side of the handshake.
    ///
    /// # Errors
    /// [`NetError`].
    pub fn dial(mut stream: TcpStream, identity: &Identity) -> Result<Self, NetError> {
        let until = Instant::now() + HANDSHAKE;
        prepare(&stream)?;
        let builder = snow::Builder::new(PATTERN.parse()?);
        let keys = builder.generate_keypair()?;
        let mut noise = builder.local_private_key(&keys.private)?.build_initiator()?;
        let mut buffer = vec![0; NOISE_MAX];
        let length = noise.write_message(&[], &mut buffer)?;
        write_message(&mut stream, &buffer[..length])?;
        let answer = read_message(&mut stream, until)?;
        let length = noise.read_message(&answer, &mut buffer)?;
        let peer = identity.check(false, noise.get_remote_static(), &buffer[..length])?;
        let proof = identity.prove(true, &keys.public);
        let length = noise.write_message(&proof, &mut buffer)?;
        write_message(&mut stream, &buffer[..length])?;
        Self::ready(stream, noise, peer)
    }

    /// The accepting side of the handshake.
    ///
    /// # Errors
    /// [`NetError`].
    pub fn accept(stream: TcpStream, identity: &Identity) -> Result<Self, NetError> {
        Self::accept_until(stream, identity, Instant::now() + HANDSHAKE)
    }

    fn accept_until(
        mut stream: TcpStream,
        identity: &Identity,
        until: Instant,
    ) -> Result<Self, NetError> {
        prepare(&stream)?;
        let builder = snow::Builder::new(PATTERN.parse()?);
        let keys = builder.generate_keypair()?;
        let mut noise = builder.local_private_key(&keys.private)?.build_responder()?;
        let mut buffer = vec![0; NOISE_MAX];
        let hello = read_message(&mut stream, until)?;
        noise.read_message(&hello, &mut buffer)?;
        let proof = identity.prove(false, &keys.public);
        let length = noise.write_message(&proof, &mut buffer)?;
        write_message(&mut stream, &buffer[..length])?;
        let answer = read_message(&mut stream, until)?;
        let length = noise.read_message(&answer, &mut buffer)?;
        let peer = identity.check(true, noise.get_remote_static(), &buffer[..length])?;
        Self::ready(stream, noise, peer)
    }

    fn ready(
        stream: TcpStream,
        noise: snow::HandshakeState,
        peer: Remote,
    ) -> Result<Self, NetError> {
        stream.set_read_timeout(None)?;
        Ok(Self {
            stream,
            noise: noise.into_transport_mode()?,
            peer,
            staged: Vec::new(),
            wire: Filling::default(),
            cipher: Filling::default(),
            plain: Filling::default(),
        })
    }

    /// Sends frames, in order, with one system call if the socket has room.
    ///
    /// # Errors
    /// [`NetError`]; the link is over.
    pub fn send<'a>(&mut self, frames: impl IntoIterator<Item = &'a [u8]>) -> Result<(), NetError> {
        for frame in frames {
            let length =
                u32::try_from(frame.len()).map_err(|_| NetError::TooLong { got: frame.len() })?;
            if self.staged.len() + 4 + frame.len().min(COPY_MAX) > CHUNK {
                self.seal_staged()?;
            }
            self.staged.extend_from_slice(&length.to_be_bytes());
            if frame.len() <= COPY_MAX {
                self.staged.extend_from_slice(frame);
                continue;
            }
            // A large frame is encrypted from where it is.
            self.seal_staged()?;
            for chunk in frame.chunks(CHUNK) {
                seal(&mut self.noise, &mut self.wire, chunk)?;
            }
        }
        self.seal_staged()?;
        self.stream.write_all(self.wire.used())?;
        (self.wire.start, self.wire.end) = (0, 0);
        Ok(())
    }

    fn seal_staged(&mut self) -> Result<(), NetError> {
        if !self.staged.is_empty() {
            seal(&mut self.noise, &mut self.wire, &self.staged)?;
            self.staged.clear();
        }
        Ok(())
    }

    /// Receives one frame. The length is checked before anything is allocated for it. The bytes stay in the channel's
    /// buffer until the next call.
    ///
    /// # Errors
    /// [`NetError`]; the link is over.
    pub fn receive(&mut self) -> Result<&[u8], NetError> {
        let mut wanted = 4;
        loop {
            if let Some(head) = self.plain.used().first_chunk::<4>() {
                let length = u32::from_be_bytes(*head) as usize;
                if length > FRAME_BYTES_MAX {
                    return Err(NetError::TooLong { got: length });
                }
                wanted = 4 + length;
            }
            if self.plain.used().len() >= wanted {
                break;
            }
            self.open_message(wanted)?;
        }
        let start = self.plain.start + 4;
        self.plain.start += wanted;
        Ok(&self.plain.bytes[start..self.plain.start])
    }

    /// Decrypts one message behind the plaintext, reading from the socket as much as there is. `wanted` is how long the
    /// plaintext is about to become.
    fn open_message(&mut self, wanted: usize) -> Result<(), NetError> {
        let length = loop {
            let used = self.cipher.used();
            if let Some(head) = used.first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*head));
                if used.len() >= 2 + length {
                    break length;
                }
            }
            let room = self.cipher.room(READ);
            let got = self.stream.read(room)?;
            if got == 0 {
                return Err(NetError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
            self.cipher.end += got;
        };
        let missing = wanted.saturating_sub(self.plain.used().len());
        let room = self.plain.room(missing.max(NOISE_MAX));
        let message = &self.cipher.bytes[self.cipher.start + 2..][..length];
        self.plain.end += self.noise.read_message(message, room)?;
        self.cipher.start += 2 + length;
        Ok(())
    }
}

fn seal(
    noise: &mut snow::TransportState,
    wire: &mut Filling,
    plain: &[u8],
) -> Result<(), NetError> {
    let room = wire.room(2 + plain.len() + TAG);
    let length = noise.write_message(plain, &mut room[2..])?;
    let framed = u16::try_from(length).map_err(|_| NetError::TooLong { got: length })?;
    room[..2].copy_from_slice(&framed.to_be_bytes());
    wire.end += 2 + length;
    Ok(())
}

fn prepare(stream: &TcpStream) -> Result<(), NetError> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn identities(chain: &[u8]) -> Vec<Identity> {
        let chain_id = Hash::of_content(chain);
        let identity = |n: u8| Identity {
            key: SecretKey::from_seed(&[n]),
            chain_id,
            port: 4_000 + u16::from(n),
        };
        (0..4).map(identity).collect()
    }

    type Pair = (Result<Channel, NetError>, Result<Channel, NetError>);

    fn connect(dialler: &Identity, listener: &Identity) -> Pair {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::scope(|scope| {
            let accepted = scope.spawn(|| Channel::accept(socket.accept().unwrap().0, listener));
            let dialled = Channel::dial(TcpStream::connect(address).unwrap(), dialler);
            (dialled, accepted.join().unwrap())
        })
    }

    #[test]
    fn frames_of_any_size_arrive_and_both_ends_know_each_other() {
        let all = identities(b"chain");
        let (dialled, accepted) = connect(&all[1], &all[2]);
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
        let remote = |n: usize| Remote { key: all[n].key.public_key(), port: all[n].port };
        assert_eq!((dialled.peer, accepted.peer), (remote(2), remote(1)));
        for size in [0, 1, CHUNK - 4, CHUNK - 3, 200_000] {
            let frame = vec![7; size];
            let received = std::thread::scope(|scope| {
                let reader = scope.spawn(|| accepted.receive().unwrap().to_vec());
                dialled.send([frame.as_slice()]).unwrap();
                reader.join().unwrap()
            });
            assert_eq!(received, frame);
        }
        let sizes = [3, 0, 9_000, 1, COPY_MAX, COPY_MAX + 1, CHUNK - 4, 70_000, 12];
        let frames: Vec<Vec<u8>> = (0u8..).zip(sizes).map(|(n, size)| vec![n; size]).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| dialled.send(frames.iter().map(Vec::as_slice)).unwrap());
            for frame in &frames {
                assert_eq!(accepted.receive().unwrap(), frame.as_slice());
            }
        });
    }

    #[test]
    fn another_chain_and_a_key_of_somebody_else_are_refused() {
        let (here, there) = (identities(b"chain"), identities(b"another"));
        let (dialled, _) = connect(&there[1], &here[2]);
        assert!(matches!(dialled, Err(NetError::Identity(_))));
        // What one has signed proves nothing of another, another side, another channel or another port.
        let proof: Proof = codec::decode("proof", 256, &here[1].prove(true, b"static")).unwrap();
        let check = |initiator, channel: &[u8], key: PublicKey, port| {
            let proof = codec::encode(&Proof { key, port, signature: proof.signature });
            here[2].check(initiator, Some(channel), &proof).is_ok()
        };
        let own = proof.key;
        assert!(check(true, b"static", own, 4_001));
        assert!(!check(true, b"static", here[3].key.public_key(), 4_001));
        assert!(!check(false, b"static", own, 4_001));
        assert!(!check(true, b"another", own, 4_001));
        assert!(!check(true, b"static", own, 4_002));
    }

    #[test]
    fn a_byte_now_and_then_does_not_put_off_the_end_of_a_handshake() {
        let all = identities(b"chain");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        // A message as long as one can be, a byte at a time, for as long as the other end takes it: minutes.
        let drip = std::thread::spawn(move || {
            while stream.write_all(&[0xff]).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let until = Instant::now() + Duration::from_millis(200);
        let accepted = Channel::accept_until(socket.accept().unwrap().0, &all[0], until);
        let Err(NetError::Io(error)) = accepted else { panic!("it is not let in") };
        assert!(matches!(
            error.kind(),
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock
        ));
        drip.join().unwrap();
    }

    #[test]
    fn garbage_and_frames_beyond_the_limit_end_the_link() {
        let all = identities(b"chain");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[0, 5, 1, 2, 3, 4, 5]).unwrap();
        let refused = Channel::accept(socket.accept().unwrap().0, &all[0]);
        assert!(matches!(refused, Err(NetError::Noise(_))));
        let (dialled, accepted) = connect(&all[1], &all[2]);
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
        let lie = u32::MAX.to_be_bytes();
        let mut buffer = vec![0; 64];
        let length = dialled.noise.write_message(&lie, &mut buffer).unwrap();
        write_message(&mut dialled.stream, &buffer[..length]).unwrap();
        assert!(matches!(accepted.receive(), Err(NetError::TooLong { got: 0xffff_ffff })));
    }
}
