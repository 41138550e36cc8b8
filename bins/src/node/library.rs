//! Blobs and letters of this node and of the other validators, for the judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use gongsuan_types::{DealId, Hash, SecretKey};

use super::blobs::Blobs;
use super::letters::Letters;
use crate::client::Client;
use crate::envelope::Keyring;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Library {
    blobs: Arc<Blobs>,
    letters: Arc<Letters>,
    /// The other validators, for what is not here.
    peers: Client,
}

/// What is needed of one deal: plaintexts, whether they are kept as such or opened with letters.
pub(super) struct Shelf<'a> {
    library: &'a Library,
    keyring: Option<Keyring>,
}

impl Library {
    pub(super) fn new(blobs: Arc<Blobs>, letters: Arc<Letters>, peers: Client) -> Self {
        Self { blobs, letters, peers }
    }

    /// A blob from here, or from another validator, which then is here as well.
    pub(super) fn blob(&self, hash: Hash) -> Option<Vec<u8>> {
        if let Some(bytes) = self.blobs.get(&hash) {
            return Some(bytes);
        }
        let bytes = self.peers.blob(hash).ok()?;
        if let Err(refusal) = self.blobs.put(&bytes, Some(hash)) {
            tracing::warn!(%hash, %refusal, "a blob of another validator is not kept");
        }
        Some(bytes)
    }

    /// What is to be had of a deal; of a private one, what its letters to an account open now.
    pub(super) fn shelf(&self, private: Option<(&SecretKey, DealId)>) -> Shelf<'_> {
        let keyring = private.map(|(reader, deal)| {
            let to = reader.address();
            let here = self.letters.of(deal, &to);
            let there = self.peers.letters(deal, to).unwrap_or_default();
            let all: BTreeSet<Hash> = here.into_iter().chain(there).collect();
            let read = all.into_iter().filter_map(|hash| {
                let letter = gongsuan_types::codec::decode(
                    "letter",
                    crate::envelope::LETTER_BYTES_MAX,
                    &self.blob(hash)?,
                );
                letter.ok()
            });
            Keyring::new(reader, &read.collect::<Vec<_>>())
        });
        Shelf { library: self, keyring }
    }
}

impl Shelf<'_> {
    /// A blob by the hash of its plaintext. What was opened is not kept.
    pub(super) fn blob(&self, plain: Hash) -> Option<Vec<u8>> {
        match &self.keyring {
            None => self.library.blob(plain),
            Some(keyring) => keyring.open(plain, |sealed| self.library.blob(sealed)),
        }
    }
}
