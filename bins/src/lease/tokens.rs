//! What the renter hands over for each interval of a lease that it witnesses itself.

use gongsuan_types::job::JobOrder;
use gongsuan_types::{Hash, SecretKey};
use zeroize::Zeroizing;

/// A chain of hashes, told from its end. It follows from the account's secret and the order's setup, so nothing has to be kept beside the key.
pub struct Tokens {
    seed: Hash,
    intervals: u32,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.intervals)
    }
}

impl Tokens {
    /// The tokens of an account's lease of so many intervals.
    #[must_use]
    pub fn new(account: &SecretKey, setup: Hash, intervals: u32) -> Self {
        let mut seed = Zeroizing::new([0; 64]);
        seed[..32].copy_from_slice(Zeroizing::new(account.to_bytes()).as_ref());
        seed[32..].copy_from_slice(&setup.0);
        Self { seed: Hash::of("gongsuan/lease-tokens/v1", seed.as_ref()), intervals }
    }

    /// What the order commits to.
    #[must_use]
    pub fn end(&self) -> Hash {
        self.back(self.intervals)
    }

    /// The token of an interval, from 1; nothing beyond the last one.
    #[must_use]
    pub fn of(&self, interval: u32) -> Option<Hash> {
        let before = self.intervals.checked_sub(interval)?;
        (interval > 0).then(|| self.back(before))
    }

    fn back(&self, hashes: u32) -> Hash {
        (0..hashes).fold(self.seed, |token, _| JobOrder::hash_secret(&token))
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::lease::LeaseOrder;

    use super::*;

    #[test]
    fn each_token_is_the_next_one_of_the_chain_that_the_order_ends() {
        let renter = SecretKey::from_seed(b"renter");
        let setup = Hash::of("setup", b"");
        let tokens = Tokens::new(&renter, setup, 3);
        let first = tokens.of(1).unwrap();
        assert!(LeaseOrder::is_token(&first, 1, &tokens.end()));
        assert!(LeaseOrder::is_token(&tokens.of(3).unwrap(), 2, &first));
        assert_eq!((tokens.of(0), tokens.of(4)), (None, None));
        let again = Tokens::new(&renter, setup, 3);
        assert_eq!(again.of(2), tokens.of(2), "found again from the key alone");
        let other = Tokens::new(&renter, Hash::of("setup", b"other"), 3);
        assert_ne!(other.end(), tokens.end(), "no two leases of an account share tokens");
    }
}
