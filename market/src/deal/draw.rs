//! Drawing segments and auditors after the commitment.

use std::collections::BTreeSet;

use gongsuan_types::job::Check;
use gongsuan_types::{Address, Hash, Hasher};

use super::{Deal, Sample};

/// What nobody could know before the commitment: the renter's secret (or nothing), the committed root, the next block.
pub(crate) fn seed(secret: Option<Hash>, root: Hash, beacon: Hash) -> Hash {
    let mut hasher = Hasher::new("gongsuan/draw/v1");
    hasher.update(&secret.unwrap_or(Hash::ZERO).0).update(&root.0).update(&beacon.0);
    hasher.finish()
}

/// Distinct segments of the next `count` of a deal, in the order drawn, each with an auditor; with the renter, if it looks itself.
///
/// `auditors` come with their owners. Nobody is drawn who is of one owner with a party, and no owner twice while there are others.
pub(crate) fn samples(
    seed: Hash,
    deal: &Deal,
    count: u32,
    auditors: &[(Address, Hash)],
) -> Vec<Sample> {
    let mut drawn = BTreeSet::new();
    let count = u64::from(count);
    let wanted = u64::from(deal.terms.samples).min(count);
    // A partial Fisher–Yates shuffle over the positions, with only the swapped ones stored.
    let mut swapped = std::collections::BTreeMap::new();
    (0..wanted)
        .map(|index| {
            let pick = index + draw(seed, "segment", index) % (count - index);
            let here = swapped.get(&index).copied().unwrap_or(index);
            let chosen = swapped.insert(pick, here).unwrap_or(pick);
            let auditor = if deal.terms.check == Check::Own {
                Some(deal.renter)
            } else {
                let fresh = auditors.iter().filter(|(_, owner)| !drawn.contains(owner));
                let mut left: Vec<&(Address, Hash)> = fresh.collect();
                if left.is_empty() {
                    left = auditors.iter().collect();
                }
                (!left.is_empty()).then(|| {
                    let at = draw(seed, "auditor", index) % left.len() as u64;
                    let (auditor, owner) = *left[usize::try_from(at).expect("an index of a list")];
                    drawn.insert(owner);
                    auditor
                })
            };
            let offset = u32::try_from(chosen).expect("below the count, which is 32 bits");
            Sample {
                segment: deal.batch_first() + offset,
                auditor,
                passed: auditor.is_none(),
                seal: None,
            }
        })
        .collect()
}

fn draw(seed: Hash, what: &str, index: u64) -> u64 {
    let mut hasher = Hasher::new("gongsuan/draw/number/v1");
    hasher.update(&seed.0).part(what.as_bytes()).update(&index.to_le_bytes());
    hasher.finish().to_u64()
}
