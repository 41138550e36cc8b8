//! Letters of deals: see [`crate::envelope`].

use std::collections::BTreeSet;

use gongsuan_types::{Address, DealId, Hash, codec};

use super::{Client, ClientError, read};
use crate::api::wire::{BlobStored, Letters};
use crate::envelope::SignedLetter;

impl Client {
    /// The content addresses of a deal's letters to an account, from every node that answers: each may know others.
    ///
    /// # Errors
    /// [`ClientError`] if no node answers.
    pub fn letters(&self, deal: DealId, to: Address) -> Result<Vec<Hash>, ClientError> {
        let mut found = BTreeSet::new();
        let mut result =
            Err(ClientError::Unreachable { tried: String::new(), last: "no node".into() });
        for index in 0..self.nodes.len() {
            match self.only(index).get::<Letters>(&format!("/v1/deals/{deal}/letters?to={to}")) {
                Ok(letters) => {
                    found.extend(letters.letters);
                    result = Ok(());
                }
                Err(error) if result.is_err() => result = Err(error),
                Err(_) => {}
            }
        }
        result.map(|()| found.into_iter().collect())
    }

    /// Leaves a letter at every node that answers; at least one must take it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put_letter(&self, letter: &SignedLetter) -> Result<(), ClientError> {
        let bytes = codec::encode(letter);
        let path = format!("/v1/deals/{}/letters", letter.body.deal);
        let mut result =
            Err(ClientError::Unreachable { tried: String::new(), last: "no node".into() });
        for index in 0..self.nodes.len() {
            let stored = self.only(index).first(|node| {
                let request = self.agent.post(format!("{node}{path}"));
                let answer = request.content_type("application/octet-stream").send(&bytes);
                read::<BlobStored>(node, answer)
            });
            if stored.is_ok() || result.is_err() {
                result = stored.map(drop);
            }
        }
        result
    }
}
