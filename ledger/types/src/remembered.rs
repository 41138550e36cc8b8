//! Signatures that were found good, remembered, so that what comes again costs a hash instead of a verification.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::keys::KeyError;
use crate::{Hash, Hasher, PublicKey, Signature};

/// Remembers good signatures. Bounded: two generations of `capacity` entries. It may be shared between threads; no verdict depends on what
/// is remembered.
#[derive(Debug, Default)]
pub struct Remembered {
    capacity: usize,
    seen: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: BTreeSet<Hash>,
    old: BTreeSet<Hash>,
}

impl Remembered {
    /// A memory of at least the last `capacity` good signatures (32 bytes each and their tree); of none, if that is zero.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        let seen = Generations { young: BTreeSet::new(), old: BTreeSet::new() };
        Self { capacity, seen: Mutex::new(seen) }
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What [`PublicKey::verify`] says of exactly this key, digest and signature.
    ///
    /// # Errors
    /// [`KeyError`], by what was wrong; it is found out again each time.
    pub fn verify(
        &self,
        key: &PublicKey,
        digest: &Hash,
        signature: &Signature,
    ) -> Result<(), KeyError> {
        if self.capacity == 0 {
            return key.verify(digest, signature);
        }
        let id = Self::id(key, digest, signature);
        {
            let seen = self.generations();
            if seen.young.contains(&id) || seen.old.contains(&id) {
                return Ok(());
            }
        }
        // Verified without the lock: another thread may do the same work, and none waits.
        key.verify(digest, signature)?;
        self.insert(id);
        Ok(())
    }

    /// Remembers a signature as good without looking: for what the caller has signed itself, and nothing else.
    pub fn trust(&self, key: &PublicKey, digest: &Hash, signature: &Signature) {
        if self.capacity > 0 {
            self.insert(Self::id(key, digest, signature));
        }
    }

    fn id(key: &PublicKey, digest: &Hash, signature: &Signature) -> Hash {
        let mut hasher = Hasher::new("gongsuan/remembered/v1");
        hasher.update(&key.0).update(&digest.0).update(&signature.0);
        hasher.finish()
    }

    fn insert(&self, id: Hash) {
        let mut seen = self.generations();
        if seen.young.len() >= self.capacity {
            seen.old = std::mem::take(&mut seen.young);
        }
        seen.young.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_memory_says_what_verifying_says_and_forgets_the_oldest() {
        let key = SecretKey::from_seed(b"remembered");
        let (public, memory) = (key.public_key(), Remembered::new(2));
        let digests = [1, 2, 3, 4, 5].map(|n| Hash([n; 32]));
        for digest in &digests {
            let good = key.sign(digest);
            assert_eq!(memory.verify(&public, digest, &good), Ok(()));
            assert_eq!(memory.verify(&public, digest, &good), Ok(()));
            let mut bad = good;
            bad.0[40] ^= 1;
            assert_eq!(memory.verify(&public, digest, &bad), Err(KeyError::Mismatch));
            assert_eq!(memory.verify(&public, digest, &bad), Err(KeyError::Mismatch));
        }
        let seen = memory.generations();
        assert_eq!((seen.young.len(), seen.old.len()), (1, 2));
        let kept = |digest: &Hash| Remembered::id(&public, digest, &key.sign(digest));
        assert!(seen.young.contains(&kept(&digests[4])) && seen.old.contains(&kept(&digests[3])));
    }

    #[test]
    fn what_is_trusted_is_not_looked_at_and_a_memory_of_nothing_trusts_nothing() {
        let (public, digest) = (SecretKey::from_seed(b"trusted").public_key(), Hash([7; 32]));
        let unsound = Signature([1; 64]);
        let (memory, none) = (Remembered::new(1), Remembered::new(0));
        memory.trust(&public, &digest, &unsound);
        none.trust(&public, &digest, &unsound);
        assert_eq!(memory.verify(&public, &digest, &unsound), Ok(()));
        assert!(none.verify(&public, &digest, &unsound).is_err());
    }
}
