//! What one party of a deal tells another beside the chain: signed by the sender, kept by the nodes, read by whoever it is for.

use gongsuan_ledger::identity::PublishedKey;
use gongsuan_types::signed::Signable;
use gongsuan_types::{
    Address, DealId, Hash, PublicKey, SecretKey, Signed, TimeMs, Verified, codec,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{KeyPair, seal_to};
use super::{EnvelopeError, Opening};

/// Openings in one letter, at most; more go into several.
pub const OPENINGS_MAX: usize = 2_048;
/// Bytes of a letter, at most: a full one is 192 KiB.
pub const LETTER_BYTES_MAX: usize = 256 << 10;

/// What [`Content::Deletion`] says. A promise: nobody can prove that a copy does not exist.
pub const DELETION: &str = "I promise that I have deleted the module, the inputs and the outputs of this deal from the machine that ran it, and that I keep no copy.";

/// A letter with its signature.
pub type SignedLetter = Signed<Letter>;

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The chain.
    pub chain_id: Hash,
    /// The deal that it is about.
    pub deal: DealId,
    /// Who signs.
    pub from: Address,
    /// Who it is for.
    pub to: Address,
    /// What it says.
    pub content: Content,
}

/// What a letter says. Variants are appended, never reordered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Content {
    /// Openings of blobs, sealed to the receiver.
    Openings {
        /// Which of the receiver's keys opens it.
        number: u32,
        /// HPKE's encapsulated key.
        encapsulated: [u8; 32],
        /// The canonical bytes of `Vec<Opening>`, sealed.
        sealed: Vec<u8>,
    },
    /// The sender signs [`DELETION`].
    Deletion {
        /// When it says so, by its clock.
        at: TimeMs,
    },
    /// The renter of a lease has what it pays for: the token of an interval. Only the provider can use it, so it is not sealed.
    Token {
        /// The interval, from 1.
        interval: u32,
        /// See [`crate::lease::Tokens`].
        token: Hash,
    },
    /// The renter of a lease wants a task to be run; letters with its openings came before. See [`crate::lease::Task`].
    Task {
        /// Its name.
        task: Hash,
    },
    /// The provider of a lease has run a task; letters with the openings came before. See [`crate::lease::Answer`].
    Done {
        /// The task's name.
        task: Hash,
        /// The answer's content address.
        answer: Hash,
    },
}

impl Signable for Letter {
    fn signer(&self) -> PublicKey {
        self.from.public_key()
    }
    fn digest(&self) -> Hash {
        Hash::of("gongsuan/letter/v1", &codec::encode(self))
    }
}

impl Letter {
    /// What openings are sealed for: this chain, deal, sender and receiver. In another place the same ciphertext does not open.
    fn purpose(chain_id: Hash, deal: DealId, from: Address, to: Address) -> Vec<u8> {
        codec::encode(&("gongsuan/letter/openings/v1", chain_id, deal, from, to))
    }

    /// A letter with openings.
    ///
    /// # Errors
    /// [`EnvelopeError::TooMany`], or [`EnvelopeError::BadKey`] if nothing can be encrypted to the key.
    pub fn with_openings(
        (chain_id, deal): (Hash, DealId),
        from: &SecretKey,
        (to, key): (Address, PublishedKey),
        openings: &[Opening],
    ) -> Result<SignedLetter, EnvelopeError> {
        if openings.len() > OPENINGS_MAX {
            return Err(EnvelopeError::TooMany { got: openings.len() });
        }
        let purpose = Self::purpose(chain_id, deal, from.address(), to);
        let plain = Zeroizing::new(codec::encode(openings));
        let (encapsulated, sealed) = seal_to(key.key, &purpose, &plain)?;
        let content = Content::Openings { number: key.number, encapsulated, sealed };
        let letter = Self { chain_id, deal, from: from.address(), to, content };
        Ok(Verified::sign(letter, from).into_signed())
    }

    /// A letter that says something for everybody to read, signed.
    #[must_use]
    pub fn saying(
        (chain_id, deal): (Hash, DealId),
        from: &SecretKey,
        to: Address,
        content: Content,
    ) -> SignedLetter {
        let letter = Self { chain_id, deal, from: from.address(), to, content };
        Verified::sign(letter, from).into_signed()
    }

    /// What the letter opens; nothing, if it says something else.
    ///
    /// # Errors
    /// [`EnvelopeError::Closed`] if it is not for this account.
    pub fn openings(&self, receiver: &SecretKey) -> Result<Vec<Opening>, EnvelopeError> {
        let Content::Openings { number, encapsulated, sealed } = &self.content else {
            return Ok(Vec::new());
        };
        let purpose = Self::purpose(self.chain_id, self.deal, self.from, receiver.address());
        let plain = KeyPair::derive(receiver, *number).open(&purpose, encapsulated, sealed)?;
        codec::decode("openings", LETTER_BYTES_MAX, &plain).map_err(|_| EnvelopeError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::seal;

    fn letter(openings: &[Opening]) -> (SecretKey, Result<SignedLetter, EnvelopeError>) {
        let [renter, provider] =
            ["renter", "provider"].map(|name| SecretKey::from_seed(name.as_bytes()));
        let pair = KeyPair::derive(&provider, 3);
        let key = PublishedKey { key: pair.public(), number: 3, since: TimeMs(1) };
        let place = (Hash::of("chain", b""), DealId(7));
        let made = Letter::with_openings(place, &renter, (provider.address(), key), openings);
        (provider, made)
    }

    #[test]
    fn a_letter_opens_for_its_receiver_in_its_deal_only() {
        let (opening, _) = seal(&SecretKey::from_seed(b"renter"), b"input");
        let (provider, made) = letter(std::slice::from_ref(&opening));
        let made = made.unwrap();
        assert!(made.clone().verify().is_ok());
        assert_eq!(made.body.openings(&provider).unwrap(), [opening]);
        let stranger = SecretKey::from_seed(b"stranger");
        assert!(made.body.openings(&stranger).is_err());
        let moved = Letter { deal: DealId(8), ..made.body.clone() };
        assert!(moved.openings(&provider).is_err(), "copied into another deal");
        let claimed = Letter { from: stranger.address(), ..made.body };
        assert!(claimed.openings(&provider).is_err(), "signed by somebody else as its own");
    }

    #[test]
    fn a_full_letter_fits_and_one_more_opening_does_not() {
        let (opening, _) = seal(&SecretKey::from_seed(b"renter"), b"input");
        let (_, full) = letter(&vec![opening.clone(); OPENINGS_MAX]);
        assert!(codec::encode(&full.unwrap()).len() <= LETTER_BYTES_MAX);
        let (_, more) = letter(&vec![opening; OPENINGS_MAX + 1]);
        assert!(matches!(more, Err(EnvelopeError::TooMany { got }) if got == OPENINGS_MAX + 1));
    }
}
