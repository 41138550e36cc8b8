//! A renter's secrets: its share of the draws, one chain for each deal of an order.
//!
//! ```text
//! order's secret_hash = Merkle root over the ends of the chains
//!   deal 0:  s0 → H(s0) → H(H(s0)) → … → end 0      revealed from the end backwards, one for each batch
//!   deal 1:  s1 → …                      → end 1
//! ```
//! `sₙ` is a hash of the renter's one seed and `n`. What one deal reveals says nothing of another's: going from one chain to the next needs the
//! seed, which is never revealed. Within a deal, a later batch's secret is the one hashed to the one before, so no leader of a later batch knows it
//! in advance.

use crate::job::JobOrder;
use crate::{Hash, Hasher, merkle};

/// Secrets in one chain: more than a deal can have batches and attempts together in the usual orders.
pub const CHAIN: usize = 64;

/// Deals that have a chain: as many as an order may open.
pub const DEALS: u16 = 64;

/// The secrets of one order. Made once: it takes some four thousand hashes.
///
/// ```
/// use gongsuan_types::Hash;
/// use gongsuan_types::secrets::{Secrets, is_first};
/// let secrets = Secrets::new(Hash([7; 32]));
/// let (secret, path) = secrets.first(2).expect("a deal");
/// assert!(is_first(secrets.root(), 2, &secret, &path));
/// assert!(!is_first(secrets.root(), 1, &secret, &path), "another deal's");
/// ```
#[derive(Clone, Debug)]
pub struct Secrets {
    seed: Hash,
    leaves: Vec<Hash>,
}

impl Secrets {
    /// The secrets that follow from a seed.
    #[must_use]
    pub fn new(seed: Hash) -> Self {
        let secrets = Self { seed, leaves: Vec::new() };
        let end = |deal| secrets.chain(deal).last().unwrap_or(Hash::ZERO);
        let leaves = (0..DEALS).map(|deal| leaf(&JobOrder::hash_secret(&end(deal)))).collect();
        Self { leaves, ..secrets }
    }

    /// A deal's chain, the secret revealed last first.
    pub fn chain(&self, deal: u16) -> impl Iterator<Item = Hash> + use<> {
        let mut hasher = Hasher::new("gongsuan/deal-secret/v1");
        hasher.update(&self.seed.0).update(&deal.to_le_bytes());
        std::iter::successors(Some(hasher.finish()), |secret| Some(JobOrder::hash_secret(secret)))
            .take(CHAIN)
    }

    /// What the order commits to.
    #[must_use]
    pub fn root(&self) -> Hash {
        merkle::root(&self.leaves)
    }

    /// The secret that a deal reveals first, with its path to the root; nothing for a deal that the order cannot have.
    #[must_use]
    pub fn first(&self, deal: u16) -> Option<(Hash, merkle::Proof)> {
        let path = merkle::Proof::new(&self.leaves, usize::from(deal))?;
        Some((self.chain(deal).last()?, path))
    }

    /// The secret of a deal's chain that comes after one that was revealed.
    #[must_use]
    pub fn after(&self, deal: u16, revealed: &Hash) -> Option<Hash> {
        self.chain(deal).find(|secret| JobOrder::hash_secret(secret) == *revealed)
    }
}

fn leaf(end: &Hash) -> Hash {
    merkle::leaf(&end.0)
}

/// Whether this is the secret that deal number `deal` of an order reveals first.
#[must_use]
pub fn is_first(root: Hash, deal: u16, secret: &Hash, path: &merkle::Proof) -> bool {
    path.index == u64::from(deal) && path.verify(root, leaf(&JobOrder::hash_secret(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_revealed_backwards_and_no_deal_can_use_anothers() {
        let secrets = Secrets::new(Hash([3; 32]));
        let root = secrets.root();
        for deal in 0..3 {
            let (first, path) = secrets.first(deal).unwrap();
            for other in 0..3 {
                assert_eq!(is_first(root, other, &first, &path), other == deal);
            }
            let next = secrets.after(deal, &first).unwrap();
            assert_eq!(JobOrder::hash_secret(&next), first);
            assert!(!is_first(root, deal, &next, &path), "out of turn");
            assert_eq!(secrets.after((deal + 1) % 3, &first), None);
        }
        assert!(secrets.first(DEALS).is_none());
        assert_ne!(root, Secrets::new(Hash([4; 32])).root());
    }
}
