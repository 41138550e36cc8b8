//! The state tree against a plain recursive one, and proofs against every bit flipped.

use std::collections::BTreeMap;

use gongsuan_ledger::tree::{Leaf, StateProof, StateTree, TreePart, key_hash, value_hash};
use gongsuan_types::{Hash, Hasher, codec};
use proptest::prelude::*;

fn tagged(domain: &str, parts: &[&[u8]]) -> Hash {
    let mut hasher = Hasher::new(domain);
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

fn bit(key: &Hash, level: usize) -> bool {
    key.0[level / 8] & (0x80 >> (level % 8)) != 0
}

/// The definition, written down once more and as simply as it can be.
fn naive_top(records: &[(Hash, Hash)], level: usize) -> Hash {
    match records {
        [] => Hash::ZERO,
        [(key, value)] => tagged("gongsuan/state/leaf/v1", &[&key.0, &value.0]),
        _ => {
            let side = |right| -> Vec<_> {
                records.iter().filter(|(key, _)| bit(key, level) == right).copied().collect()
            };
            let (left, right) =
                (naive_top(&side(false), level + 1), naive_top(&side(true), level + 1));
            tagged("gongsuan/state/node/v1", &[&left.0, &right.0])
        }
    }
}

fn naive_root(records: &BTreeMap<Hash, Hash>) -> Hash {
    let records: Vec<(Hash, Hash)> = records.iter().map(|(key, value)| (*key, *value)).collect();
    let count = (records.len() as u64).to_le_bytes();
    tagged("gongsuan/state/root/v2", &[&count, &naive_top(&records, 0).0])
}

fn key(number: u16) -> Hash {
    key_hash(&number.to_le_bytes())
}

/// Keys that share long prefixes, as somebody who grinds them would have.
fn ground(number: u16) -> Hash {
    let mut key = Hash([0xa5; 32]);
    let at = usize::from(number % 31) + 1;
    key.0[at] ^= 1 << (number % 8);
    key.0[31] ^= number.to_le_bytes()[1];
    key
}

fn numbered(number: u16) -> Hash {
    if number.is_multiple_of(5) { ground(number) } else { key(number) }
}

fn value(number: u16) -> Hash {
    value_hash(&number.to_be_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_root_is_the_naive_one_after_every_update(
        blocks in prop::collection::vec(prop::collection::vec((0u16..500, prop::option::weighted(0.7, 0u16..9)), 0..120), 1..8),
    ) {
        let (mut tree, mut naive) = (StateTree::default(), BTreeMap::new());
        for block in blocks {
            for (at, to) in &block {
                match to {
                    Some(to) => naive.insert(numbered(*at), value(*to)),
                    None => naive.remove(&numbered(*at)),
                };
            }
            tree.update(block.iter().map(|(at, to)| (numbered(*at), to.map(value))));
            prop_assert_eq!(tree.count(), naive.len());
            prop_assert_eq!(tree.root(), naive_root(&naive));
        }
        // In any order, at once: the same.
        let mut other = StateTree::default();
        other.update(naive.iter().rev().map(|(key, value)| (*key, Some(*value))));
        prop_assert_eq!(other.root(), tree.root());
    }

    #[test]
    fn proofs_hold_for_what_is_and_for_what_is_not(count in 0u16..400, pick in 0u16..500) {
        let mut tree = StateTree::default();
        tree.update((0..count).map(|number| (numbered(number), Some(value(number)))));
        let proof = tree.prove(numbered(pick));
        let there = (0..count).rev().find(|number| numbered(*number) == numbered(pick)).map(value);
        prop_assert!(proof.verify(tree.root(), numbered(pick), there));
        let lie = if there.is_some() { None } else { Some(value(pick)) };
        prop_assert!(!proof.verify(tree.root(), numbered(pick), lie));
        prop_assert!(!proof.verify(tree.root(), numbered(pick), Some(value(501))));
    }

    #[test]
    fn every_flipped_bit_breaks_a_proof(count in 1u16..60, pick in 0u16..90) {
        let mut tree = StateTree::default();
        tree.update((0..count).map(|number| (numbered(number), Some(value(number)))));
        let (root, key) = (tree.root(), numbered(pick));
        let proof = tree.prove(key);
        let there = proof.leaf.filter(|(other, _)| *other == key).map(|(_, value)| value);
        prop_assert!(proof.verify(root, key, there));
        let bytes = codec::encode(&proof);
        for at in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[at / 8] ^= 1 << (at % 8);
            if let Ok(bent) = codec::decode::<StateProof>("proof", 1 << 16, &bent) {
                prop_assert!(!bent.verify(root, key, there), "bit {}", at);
                prop_assert!(!bent.verify(root, key, None) || there.is_none(), "bit {}", at);
            }
        }
        for at in 0..256 {
            let mut other = root;
            other.0[at / 8] ^= 1 << (at % 8);
            prop_assert!(!proof.verify(other, key, there));
        }
        // Longer and shorter paths.
        let shorter = proof.siblings.len().wrapping_sub(1);
        for siblings in [proof.siblings.get(1..), proof.siblings.get(..shorter)].into_iter().flatten() {
            let cut = StateProof { siblings: siblings.to_vec(), ..proof.clone() };
            prop_assert!(!cut.verify(root, key, there) && !cut.verify(root, key, None));
        }
        let mut longer = proof;
        longer.siblings.insert(0, Hash::ZERO);
        prop_assert!(!longer.verify(root, key, there));
    }

    #[test]
    fn parts_make_the_whole_and_nothing_else_passes_for_one(count in 0u16..200, bits in 0u8..7) {
        let mut tree = StateTree::default();
        tree.update((0..count).map(|number| (numbered(number), Some(value(number)))));
        let mut all: Vec<Leaf> = Vec::new();
        for prefix in 0..1u32 << bits {
            let (part, leaves) = tree.part(bits, prefix).unwrap();
            prop_assert_eq!(part.verify(tree.root(), &leaves), Ok(()));
            all.extend(&leaves);
            // A record less, more, changed, or all of them kept back.
            let mut more = leaves.clone();
            more.push((Hash([prefix.to_le_bytes()[0]; 32]), value(0)));
            more.sort_unstable();
            prop_assert!(part.verify(tree.root(), &more).is_err());
            if !leaves.is_empty() {
                prop_assert!(part.verify(tree.root(), &leaves[1..]).is_err());
                prop_assert!(part.verify(tree.root(), &[]).is_err());
                for bit in 0..bits {
                    let moved = TreePart { prefix: prefix ^ 1 << bit, ..part.clone() };
                    prop_assert!(moved.verify(tree.root(), &leaves).is_err());
                }
                let mut changed = leaves.clone();
                changed[0].1.0[3] ^= 1;
                prop_assert!(part.verify(tree.root(), &changed).is_err());
            }
        }
        prop_assert_eq!(all.len(), tree.count());
        prop_assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(tree.part(bits, 1 << bits).is_none());
    }
}

/// Who hides a part shows the node above it as if it were a single record beside an empty part.
#[test]
fn a_part_cannot_be_hidden_behind_the_node_above_it() {
    use gongsuan_ledger::tree::Beside;
    let mut tree = StateTree::default();
    tree.update((0..64).map(|number| (key(number), Some(value(number)))));
    let (part, leaves) = tree.part(3, 5).unwrap();
    assert!(!leaves.is_empty());
    let (above, _) = tree.part(2, 3).unwrap();
    let Beside::Node(hash) = above.beside[0] else { panic!("many records") };
    for fake in [Beside::Node(hash), Beside::Leaf((hash, hash)), Beside::Nothing] {
        for at in 0..3 {
            let mut hidden = part.clone();
            hidden.beside[at] = fake;
            assert!(hidden.verify(tree.root(), &[]).is_err());
        }
    }
}

/// With one thread and with many the nodes are the same.
#[test]
fn the_root_does_not_depend_on_the_number_of_threads() {
    let root = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut tree = StateTree::default();
            tree.update((0..9_000).map(|number| (key(number), Some(value(number)))));
            tree.update((0..4_000).map(|number| (key(3 * number), Some(value(1)))));
            tree.update((0..2_000).map(|number| (key(4 * number), None)));
            tree.root()
        })
    };
    assert_eq!(root(1), root(4));
}

/// One by one, so that the arrays grow deeper a level at a time, and back.
#[test]
fn a_tree_that_grew_slowly_is_the_one_made_at_once() {
    let (mut tree, mut naive) = (StateTree::default(), BTreeMap::new());
    let keys: Vec<Hash> = (0..700).map(numbered).collect();
    for (at, number) in (0u16..700).enumerate() {
        tree.update([(keys[at], Some(value(number)))]);
        naive.insert(keys[at], value(number));
        if number % 97 == 0 || number == 699 {
            assert_eq!(tree.root(), naive_root(&naive), "{number}");
            let proof = tree.prove(keys[at / 2]);
            assert!(proof.verify(tree.root(), keys[at / 2], naive.get(&keys[at / 2]).copied()));
        }
    }
    for (at, key) in keys.iter().enumerate() {
        tree.update([(*key, None)]);
        naive.remove(key);
        if at % 211 == 0 {
            assert_eq!(tree.root(), naive_root(&naive), "{at} removed");
        }
    }
    assert_eq!(tree.root(), StateTree::default().root());
}

#[test]
fn a_stuffed_prefix_only_makes_a_path_longer() {
    let mut tree = StateTree::default();
    tree.update((0..1_000).map(|number| (key(number), Some(value(number)))));
    // Two keys that differ in the last bit alone: the worst that 2^255 hashes could buy.
    let (one, mut other) = (Hash([7; 32]), Hash([7; 32]));
    other.0[31] ^= 1;
    tree.update([(one, Some(value(1))), (other, Some(value(2)))]);
    let proof = tree.prove(one);
    assert_eq!(proof.siblings.len(), 256);
    assert!(proof.verify(tree.root(), one, Some(value(1))));
    assert!(tree.prove(other).verify(tree.root(), other, Some(value(2))));
    tree.update([(other, None)]);
    assert!(tree.prove(one).siblings.len() < 30);
    assert!(tree.prove(other).verify(tree.root(), other, None));
}
