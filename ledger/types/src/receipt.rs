//! What running a segment produced, and the tree that commits a deal's receipts.
//!
//! The tree *sums*: every node carries the fuel below it, and a parent's hash binds both children's hashes and
//! fuels. So the one root that a provider posts fixes the fuel that it will be paid for, and one path to one
//! drawn segment checks the sums along the way.

use serde::{Deserialize, Serialize};

use crate::{Fuel, Hash, Hasher};

/// Why a program stopped before its end. The same on every engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trap {
    /// `unreachable` was executed.
    Unreachable,
    /// A memory access out of bounds.
    MemoryOutOfBounds,
    /// A table access out of bounds.
    TableOutOfBounds,
    /// An indirect call to a null entry.
    NullEntry,
    /// An indirect call with another signature.
    SignatureMismatch,
    /// Integer division by zero.
    DivisionByZero,
    /// Integer overflow in division or conversion.
    IntegerOverflow,
    /// A float that has no integer value.
    InvalidConversion,
    /// The metered stack is used up.
    StackOverflow,
    /// More output than the limit.
    OutputTooLong,
}

/// How a segment ended. Every ending is deterministic, so every ending is provable and payable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The program returned, or exited with 0.
    Ok,
    /// The program exited with another code.
    Exit(u32),
    /// The program trapped.
    Trap(Trap),
    /// The fuel limit was reached.
    OutOfFuel,
    /// The module is not one that may run: nothing ran, nothing was written, no fuel was burnt.
    Refused,
}

/// What running one segment produced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// The segment's number in the job.
    pub segment: u32,
    /// The content address of what it read.
    pub input: Hash,
    /// The content address of what it wrote.
    pub output: Hash,
    /// Bytes that it wrote.
    pub output_bytes: u32,
    /// Fuel burnt, never more than the limit.
    pub fuel: Fuel,
    /// How it ended.
    pub status: Status,
}

/// A node of the summing tree: a hash and the fuel below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// The hash.
    pub hash: Hash,
    /// Fuel of all leaves below.
    pub fuel: Fuel,
}

/// What a provider posts for a deal: the top of the tree over its receipts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commitment {
    /// The root; binds `count` and `fuel`.
    pub root: Hash,
    /// Receipts in the tree.
    pub count: u32,
    /// Fuel of all receipts together.
    pub fuel: Fuel,
}

/// A path from one receipt to a commitment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptProof {
    /// The receipt's position in the deal, from 0.
    pub index: u32,
    /// Siblings, from the leaf upwards; levels at which the node is carried up have none.
    pub siblings: Vec<Node>,
}

impl Receipt {
    /// This receipt as a leaf.
    #[must_use]
    pub fn node(&self) -> Node {
        Node {
            hash: Hash::of("gongsuan/receipt/leaf/v1", &crate::codec::encode(self)),
            fuel: self.fuel,
        }
    }
}

impl Commitment {
    /// The commitment to a list of receipts; `None` if their fuel overflows or they are more than `u32::MAX`.
    #[must_use]
    pub fn new(receipts: &[Receipt]) -> Option<Self> {
        let mut level: Vec<Node> = receipts.iter().map(Receipt::node).collect();
        while level.len() > 1 {
            level = parents(&level)?;
        }
        let top = level.first().copied().unwrap_or(Node { hash: Hash::ZERO, fuel: Fuel(0) });
        Some(Self::seal(u32::try_from(receipts.len()).ok()?, top))
    }

    fn seal(count: u32, top: Node) -> Self {
        let mut hasher = Hasher::new("gongsuan/receipt/root/v1");
        hasher.update(&count.to_le_bytes()).update(&top.hash.0).update(&top.fuel.0.to_le_bytes());
        Self { root: hasher.finish(), count, fuel: top.fuel }
    }
}

impl ReceiptProof {
    /// The proof for the receipt at `index`; `None` if there is none or the fuel overflows.
    #[must_use]
    pub fn new(receipts: &[Receipt], index: usize) -> Option<Self> {
        if index >= receipts.len() {
            return None;
        }
        let mut level: Vec<Node> = receipts.iter().map(Receipt::node).collect();
        let (mut at, mut siblings) = (index, Vec::new());
        while level.len() > 1 {
            if let Some(sibling) = level.get(at ^ 1) {
                siblings.push(*sibling);
            }
            level = parents(&level)?;
            at /= 2;
        }
        Some(Self { index: u32::try_from(index).ok()?, siblings })
    }

    /// Whether `receipt` is at this proof's index under `commitment`, sums included.
    #[must_use]
    pub fn verify(&self, commitment: &Commitment, receipt: &Receipt) -> bool {
        if self.index >= commitment.count {
            return false;
        }
        let (mut at, mut width, mut node) = (self.index, commitment.count, receipt.node());
        let mut siblings = self.siblings.iter();
        while width > 1 {
            if at ^ 1 < width {
                let Some(sibling) = siblings.next() else { return false };
                let pair = if at % 2 == 0 { (node, *sibling) } else { (*sibling, node) };
                let Some(up) = parent(pair.0, pair.1) else { return false };
                node = up;
            }
            at /= 2;
            width = width.div_ceil(2);
        }
        siblings.next().is_none() && Commitment::seal(commitment.count, node) == *commitment
    }
}

fn parents(level: &[Node]) -> Option<Vec<Node>> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => parent(*left, *right),
            [single] => Some(*single),
            _ => None,
        })
        .collect()
}

fn parent(left: Node, right: Node) -> Option<Node> {
    let mut hasher = Hasher::new("gongsuan/receipt/node/v1");
    for node in [left, right] {
        hasher.update(&node.hash.0).update(&node.fuel.0.to_le_bytes());
    }
    Some(Node { hash: hasher.finish(), fuel: left.fuel.checked_add(right.fuel)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipts(count: u32) -> Vec<Receipt> {
        (0..count)
            .map(|segment| Receipt {
                segment,
                input: Hash::of_content(b"in"),
                output: Hash::of_content(&segment.to_le_bytes()),
                output_bytes: 4,
                fuel: Fuel(u64::from(segment) * 7 + 1),
                status: Status::Ok,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_path_checks_place_content_and_sums(count in 1u32..70, pick: prop::sample::Index) {
            let list = receipts(count);
            let index = pick.index(list.len());
            let commitment = Commitment::new(&list).unwrap();
            prop_assert_eq!(commitment.fuel.0, list.iter().map(|r| r.fuel.0).sum::<u64>());
            let proof = ReceiptProof::new(&list, index).unwrap();
            prop_assert!(proof.verify(&commitment, &list[index]));
            let dearer = Receipt { fuel: Fuel(list[index].fuel.0 + 1), ..list[index] };
            prop_assert!(!proof.verify(&commitment, &dearer));
            let padded = Commitment { fuel: Fuel(commitment.fuel.0 + 1), ..commitment };
            prop_assert!(!proof.verify(&padded, &list[index]));
            for at in 0..proof.siblings.len() {
                let mut inflated = proof.clone();
                inflated.siblings[at].fuel.0 += 1;
                prop_assert!(!inflated.verify(&commitment, &list[index]));
            }
        }
    }

    #[test]
    fn fuel_that_overflows_has_no_commitment() {
        let mut list = receipts(2);
        list[0].fuel = Fuel(u64::MAX);
        assert_eq!(Commitment::new(&list), None);
        let lie = ReceiptProof {
            index: 0,
            siblings: vec![Node { hash: Hash::ZERO, fuel: Fuel(u64::MAX) }],
        };
        let commitment = Commitment { root: Hash::ZERO, count: 2, fuel: Fuel(0) };
        assert!(!lie.verify(&commitment, &list[0]));
    }
}
