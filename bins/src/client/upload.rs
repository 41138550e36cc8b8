//! Blobs to a node, whole or in pieces: see [`crate::node::pieces`].

use std::time::Duration;

use gongsuan_types::Hash;

use super::{Client, ClientError, Failure, read};
use crate::api::wire::{BlobStored, Join, Joined, PieceStored};
use crate::node::pieces::PIECE_BYTES_MAX;

/// Rounds in a row that bring nothing new, after which a node is given up.
const ROUNDS_IN_VAIN: u32 = 3;
/// Before the next round.
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// Stores a blob on every node that answers; at least one must. A large one travels in pieces: a connection that breaks costs one of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Hash, ClientError> {
        let hash = Hash::of_content(bytes);
        let mut result =
            Err(ClientError::Unreachable { tried: String::new(), last: "no node".into() });
        for index in 0..self.nodes.len() {
            let stored = self.only(index).first(|node| {
                if bytes.len() > PIECE_BYTES_MAX {
                    return self.put_pieces(node, hash, bytes);
                }
                let answer = self.agent.put(format!("{node}/v1/blobs/{hash}")).send(bytes);
                read::<BlobStored>(node, answer).map(drop)
            });
            if stored.is_ok() || result.is_err() {
                result = stored.map(|()| hash);
            }
        }
        result
    }

    fn put_pieces(&self, node: &str, blob: Hash, bytes: &[u8]) -> Result<(), Failure> {
        let pieces: Vec<(Hash, &[u8])> =
            bytes.chunks(PIECE_BYTES_MAX).map(|part| (Hash::of_content(part), part)).collect();
        let wanted = Join { pieces: pieces.iter().map(|(hash, _)| *hash).collect() };
        let (mut in_vain, mut before) = (0, usize::MAX);
        loop {
            let round = self.join(node, blob, &wanted).and_then(|missing| {
                if missing.len() < before {
                    (in_vain, before) = (0, missing.len());
                }
                let absent = pieces.iter().filter(|(hash, _)| missing.contains(hash));
                for (hash, part) in absent {
                    let url = format!("{node}/v1/pieces/{hash}");
                    read::<PieceStored>(node, self.agent.put(url).send(*part))?;
                }
                Ok(missing.is_empty())
            });
            match round {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Failure::Next(_)) if in_vain < ROUNDS_IN_VAIN => {
                    in_vain += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn join(&self, node: &str, blob: Hash, wanted: &Join) -> Result<Vec<Hash>, Failure> {
        let request = self.agent.post(format!("{node}/v1/blobs/{blob}/join"));
        read::<Joined>(node, request.send_json(wanted)).map(|joined| joined.missing)
    }
}
