//! One encrypted channel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gongsuan_types::{Hash, Hasher, SecretKey, Signature, codec};
use serde::{Deserialize, Serialize};

use super::{FRAME_BYTES_MAX, Known};

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
const NOISE_MAX: usize = 65_535;
const CHUNK: usize = NOISE_MAX - 16;
/// A peer that does not finish the handshake in this time is dropped.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Who we are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Our index among the validators.
    pub index: u16,
    /// Our validator key.
    pub key: SecretKey,
    /// Everybody's keys, and the chain.
    pub known: Known,
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
    /// The other end is not the validator it says, or of another chain.
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
    index: u16,
    signature: Signature,
}

/// A channel after its handshake.
pub struct Channel {
    stream: TcpStream,
    noise: snow::TransportState,
    /// The validator at the other end.
    pub peer: u16,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Channel(validator {})", self.peer)
    }
}

fn digest(chain_id: Hash, initiator: bool, static_key: &[u8]) -> Hash {
    let mut hasher = Hasher::new("gongsuan/net/identity/v1");
    hasher.update(&chain_id.0).update(&[u8::from(initiator)]).part(static_key);
    hasher.finish()
}

fn write_message(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), NetError> {
    let length = u16::try_from(bytes.len()).map_err(|_| NetError::TooLong { got: bytes.len() })?;
    let mut framed = Vec::with_capacity(2 + bytes.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(bytes);
    Ok(stream.write_all(&framed)?)
}

fn read_message(stream: &mut TcpStream) -> Result<Vec<u8>, NetError> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Identity {
    fn prove(&self, initiator: bool, static_key: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&digest(self.known.chain_id, initiator, static_key));
        codec::encode(&Proof { index: self.index, signature })
    }

    fn check(
        &self,
        initiator: bool,
        static_key: Option<&[u8]>,
        proof: &[u8],
    ) -> Result<u16, NetError> {
        let proof: Proof = codec::decode("identity proof", 256, proof)?;
        let index = proof.index;
        let key = self.known.validators.key(gongsuan_consensus::Seat(index));
        let key =
            key.ok_or_else(|| NetError::Identity(format!("there is no validator {index}")))?;
        let static_key = static_key.unwrap_or_default();
        key.verify(&digest(self.known.chain_id, initiator, static_key), &proof.signature)
            .map_err(|error| NetError::Identity(format!("validator {index}: {error}")))?;
        Ok(index)
    }
}

impl Channel {
    /// The dialling side of the handshake.
    ///
    /// # Errors
    /// [`NetError`].
    pub fn dial(mut stream: TcpStream, identity: &Identity) -> Result<Self, NetError> {
        prepare(&stream)?;
        let builder = snow::Builder::new(PATTERN.parse()?);
        let keys = builder.generate_keypair()?;
        let mut noise = builder.local_private_key(&keys.private)?.build_initiator()?;
        let mut buffer = vec![0; NOISE_MAX];
        let length = noise.write_message(&[], &mut buffer)?;
        write_message(&mut stream, &buffer[..length])?;
        let answer = read_message(&mut stream)?;
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
    pub fn accept(mut stream: TcpStream, identity: &Identity) -> Result<Self, NetError> {
        prepare(&stream)?;
        let builder = snow::Builder::new(PATTERN.parse()?);
        let keys = builder.generate_keypair()?;
        let mut noise = builder.local_private_key(&keys.private)?.build_responder()?;
        let mut buffer = vec![0; NOISE_MAX];
        let hello = read_message(&mut stream)?;
        noise.read_message(&hello, &mut buffer)?;
        let proof = identity.prove(false, &keys.public);
        let length = noise.write_message(&proof, &mut buffer)?;
        write_message(&mut stream, &buffer[..length])?;
        let answer = read_message(&mut stream)?;
        let length = noise.read_message(&answer, &mut buffer)?;
        let peer = identity.check(true, noise.get_remote_static(), &buffer[..length])?;
        Self::ready(stream, noise, peer)
    }

    fn ready(stream: TcpStream, noise: snow::HandshakeState, peer: u16) -> Result<Self, NetError> {
        stream.set_read_timeout(None)?;
        Ok(Self { stream, noise: noise.into_transport_mode()?, peer })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// [`NetError`]; the link is over.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), NetError> {
        let length =
            u32::try_from(frame.len()).map_err(|_| NetError::TooLong { got: frame.len() })?;
        let mut plain = Vec::with_capacity(4 + frame.len());
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(frame);
        let (mut wire, mut buffer) = (Vec::with_capacity(plain.len() + 64), vec![0; NOISE_MAX]);
        for chunk in plain.chunks(CHUNK) {
            let length = self.noise.write_message(chunk, &mut buffer)?;
            let framed = u16::try_from(length).map_err(|_| NetError::TooLong { got: length })?;
            wire.extend_from_slice(&framed.to_be_bytes());
            wire.extend_from_slice(&buffer[..length]);
        }
        Ok(self.stream.write_all(&wire)?)
    }

    /// Receives one frame. The length is checked before anything is allocated for it.
    ///
    /// # Errors
    /// [`NetError`]; the link is over.
    pub fn receive(&mut self) -> Result<Vec<u8>, NetError> {
        let mut frame = self.chunk()?;
        let Some(head) = frame.first_chunk::<4>() else {
            return Err(NetError::TooLong { got: 0 });
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(NetError::TooLong { got: length });
        }
        frame.drain(..4);
        while frame.len() < length {
            frame.extend(self.chunk()?);
        }
        if frame.len() > length {
            return Err(NetError::TooLong { got: frame.len() });
        }
        Ok(frame)
    }

    fn chunk(&mut self) -> Result<Vec<u8>, NetError> {
        let cipher = read_message(&mut self.stream)?;
        let mut plain = vec![0; cipher.len()];
        let length = self.noise.read_message(&cipher, &mut plain)?;
        plain.truncate(length);
        Ok(plain)
    }
}

fn prepare(stream: &TcpStream) -> Result<(), NetError> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANDSHAKE))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use gongsuan_consensus::ValidatorSet;

    use super::super::Members;
    use super::*;

    fn identities(chain: &[u8]) -> Vec<Identity> {
        let keys: Vec<SecretKey> = (0..4u8).map(|n| SecretKey::from_seed(&[n])).collect();
        let validators = keys.iter().map(SecretKey::public_key).collect();
        let validators = ValidatorSet::new(0, validators).unwrap();
        let known = Arc::new(Members { validators, chain_id: Hash::of_content(chain) });
        (0..4).zip(keys).map(|(index, key)| Identity { index, key, known: known.clone() }).collect()
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
        assert_eq!((dialled.peer, accepted.peer), (2, 1));
        for size in [0, 1, CHUNK - 4, CHUNK - 3, 200_000] {
            let frame = vec![7; size];
            let received = std::thread::scope(|scope| {
                let reader = scope.spawn(|| accepted.receive().unwrap());
                dialled.send(&frame).unwrap();
                reader.join().unwrap()
            });
            assert_eq!(received, frame);
        }
    }

    #[test]
    fn another_chain_and_a_stolen_index_are_refused() {
        let (here, there) = (identities(b"chain"), identities(b"another"));
        let (dialled, _) = connect(&there[1], &here[2]);
        assert!(matches!(dialled, Err(NetError::Identity(_))));
        let thief = Identity { index: 3, ..here[1].clone() };
        let (_, accepted) = connect(&thief, &here[2]);
        assert!(matches!(accepted, Err(NetError::Identity(_))));
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
