//! Who votes: the validator set of an epoch, its quorum, and whose turn it is to lead.

use gongsuan_types::{Hash, Hasher, PublicKey, Term};
use serde::{Deserialize, Serialize};

/// Validators in one set, at most. Certificates carry a signature a validator, so the set stays small.
pub const VALIDATORS_MAX: usize = 128;

/// A validator's place in its set, from 0.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seat(pub u16);

impl std::fmt::Display for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why keys do not make a validator set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorSetError {
    /// No validator, or too many.
    #[error("a validator set has 1 to {limit} members, got {got}")]
    Size {
        /// Validators allowed.
        limit: usize,
        /// Validators got.
        got: usize,
    },
    /// A key sits twice in the set.
    #[error("seats {first} and {second} have the same key")]
    Twice {
        /// The seat that had the key first.
        first: Seat,
        /// The seat that repeats it.
        second: Seat,
    },
    /// Bytes that are not a key.
    #[error("the key of seat {0} is not a point of secp256k1")]
    NotOnCurve(Seat),
}

/// The validators of one epoch, in seat order. Meant for n = 3f + 1; other sizes tolerate f = ⌊(n − 1) / 3⌋.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct ValidatorSet {
    epoch: u64,
    keys: Vec<PublicKey>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Raw {
    epoch: u64,
    keys: Vec<PublicKey>,
}

impl TryFrom<Raw> for ValidatorSet {
    type Error = ValidatorSetError;
    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        Self::new(raw.epoch, raw.keys)
    }
}

impl From<ValidatorSet> for Raw {
    fn from(set: ValidatorSet) -> Self {
        Self { epoch: set.epoch, keys: set.keys }
    }
}

impl ValidatorSet {
    /// A set from the keys in seat order.
    ///
    /// # Errors
    /// [`ValidatorSetError`] if it is empty, too large, has a key twice or a key off the curve.
    pub fn new(epoch: u64, keys: Vec<PublicKey>) -> Result<Self, ValidatorSetError> {
        if keys.is_empty() || keys.len() > VALIDATORS_MAX {
            return Err(ValidatorSetError::Size { limit: VALIDATORS_MAX, got: keys.len() });
        }
        for (index, key) in keys.iter().enumerate() {
            if let Some(first) = keys[..index].iter().position(|other| other == key) {
                return Err(ValidatorSetError::Twice { first: seat(first), second: seat(index) });
            }
            key.check().map_err(|_| ValidatorSetError::NotOnCurve(seat(index)))?;
        }
        Ok(Self { epoch, keys })
    }

    /// The epoch, from 0. Everything signed is bound to it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many validators there are (n).
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always false: a set has at least one member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Faulty validators tolerated: f = ⌊(n − 1) / 3⌋.
    #[must_use]
    pub fn faulty_max(&self) -> usize {
        (self.keys.len() - 1) / 3
    }

    /// Votes in a certificate: 2f + 1 when n = 3f + 1. Two quorums always share an honest validator.
    #[must_use]
    pub fn quorum(&self) -> usize {
        usize::midpoint(self.keys.len(), self.faulty_max()) + 1
    }

    /// Votes among which at least one is honest: f + 1.
    #[must_use]
    pub fn honest(&self) -> usize {
        self.faulty_max() + 1
    }

    /// Who leads a term: round robin.
    ///
    /// # Panics
    /// Never: the remainder is less than the number of validators.
    #[must_use]
    pub fn leader(&self, term: Term) -> Seat {
        let n = self.keys.len() as u64;
        seat(usize::try_from(term.0 % n).expect("less than the number of validators"))
    }

    /// The key of a seat, if there is such a seat.
    #[must_use]
    pub fn key(&self, seat: Seat) -> Option<&PublicKey> {
        self.keys.get(usize::from(seat.0))
    }

    /// The seat of a key, if it is a validator's.
    #[must_use]
    pub fn seat_of(&self, key: &PublicKey) -> Option<Seat> {
        self.keys.iter().position(|other| other == key).map(seat)
    }

    /// All seats in order.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        (0..self.keys.len()).map(seat)
    }

    /// All keys in seat order.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Commits to epoch and keys.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = Hasher::new("gongsuan/consensus/validators/v1");
        hasher.update(&self.epoch.to_le_bytes());
        for key in &self.keys {
            hasher.update(&key.0);
        }
        hasher.finish()
    }
}

fn seat(index: usize) -> Seat {
    Seat(u16::try_from(index).expect("at most VALIDATORS_MAX seats"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gongsuan_types::SecretKey;

    fn set(n: u8) -> ValidatorSet {
        let keys = (0..n).map(|i| SecretKey::from_seed(&[i]).public_key()).collect();
        ValidatorSet::new(0, keys).unwrap()
    }

    #[test]
    fn two_quorums_share_an_honest_validator_and_the_honest_alone_make_one() {
        for n in 1..=20 {
            let set = set(n);
            let n = usize::from(n);
            assert!(2 * set.quorum() - n > set.faulty_max(), "n = {n}");
            assert!(set.quorum() <= n - set.faulty_max(), "n = {n}");
        }
        assert_eq!((set(4).quorum(), set(7).quorum(), set(1).quorum()), (3, 5, 1));
    }

    #[test]
    fn leadership_goes_round() {
        let set = set(4);
        let leaders: Vec<_> = (1..6).map(|t| set.leader(Term(t)).0).collect();
        assert_eq!(leaders, [1, 2, 3, 0, 1]);
    }

    #[test]
    fn a_key_sits_once_and_no_set_is_empty() {
        let key = SecretKey::from_seed(b"k").public_key();
        assert!(matches!(
            ValidatorSet::new(0, vec![key, key]),
            Err(ValidatorSetError::Twice { first: Seat(0), second: Seat(1) })
        ));
        assert!(matches!(
            ValidatorSet::new(0, vec![]),
            Err(ValidatorSetError::Size { got: 0, .. })
        ));
        assert_eq!(
            ValidatorSet::new(0, vec![PublicKey([0xff; 32])]),
            Err(ValidatorSetError::NotOnCurve(Seat(0)))
        );
    }
}
