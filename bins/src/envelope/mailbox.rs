//! Letters of one deal to one account, each read once.

use std::collections::BTreeSet;

use gongsuan_types::{Address, DealId, Hash};

use super::SignedLetter;
use super::post::read_letter;
use crate::client::{Client, ClientError};

/// For whoever waits for letters: a look costs one request to each node and one for each new letter.
#[derive(Debug)]
pub struct Mailbox {
    client: Client,
    place: (Hash, DealId, Address),
    read: BTreeSet<Hash>,
}

impl Mailbox {
    pub(super) fn new(client: &Client, place: (Hash, DealId, Address)) -> Self {
        Self { client: client.clone(), place, read: BTreeSet::new() }
    }

    /// The letters that have come since the last look, whoever sent them, with their signatures checked.
    ///
    /// # Errors
    /// [`ClientError`] if no node answers. What could not be read this time is read the next.
    pub fn look(&mut self) -> Result<Vec<SignedLetter>, ClientError> {
        let (_, deal, to) = self.place;
        let mut found = Vec::new();
        for hash in self.client.letters(deal, to)? {
            if self.read.contains(&hash) {
                continue;
            }
            let Ok(bytes) = self.client.blob(hash) else { continue };
            self.read.insert(hash);
            found.extend(read_letter(&bytes, self.place));
        }
        Ok(found)
    }
}
