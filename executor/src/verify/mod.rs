//! Checking what somebody else says was run.
//!
//! - [`recheck`] runs one committed segment again and says what differs.
//! - [`freivalds`] checks a matrix product in a fraction of the time of computing it; programs reach it as a host call.
//! - [`capacity`] asks a machine to show that it has the cores and the memory that it claims, and checks a sample.

pub mod capacity;
pub mod freivalds;

use gongsuan_types::Hash;
use gongsuan_types::job::JobSpec;
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};

use crate::{Program, RunError, reexecute};

/// What a provider committed to, opened at one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The commitment over all receipts of the deal.
    pub commitment: Commitment,
    /// The receipt of the segment.
    pub receipt: Receipt,
    /// The path between them.
    pub proof: ReceiptProof,
}

/// What re-execution found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The receipt is true.
    True,
    /// The receipt is not in the commitment: nothing was run, and nothing follows about the provider.
    NotCommitted,
    /// The receipt is false; re-execution gave this one.
    False {
        /// What is true.
        found: Receipt,
        /// The first field that differs.
        differs: Difference,
    },
}

/// Where two receipts of a segment differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// They are of different segments.
    Segment,
    /// Another input was read.
    Input,
    /// It ended in another way.
    Status,
    /// Another output was written.
    Output,
    /// Another amount of fuel was burnt.
    Fuel,
}

/// Runs a committed segment again on `program`, whose engine may be another than the provider's.
///
/// # Errors
/// As [`crate::run_segment`]: the call or this machine is at fault, and nothing follows about the provider.
pub fn recheck(
    program: &Program,
    spec: &JobSpec,
    input: &[u8],
    opening: &Opening,
) -> Result<Verdict, RunError> {
    let Opening { commitment, receipt, proof } = opening;
    if !proof.verify(commitment, receipt) {
        return Ok(Verdict::NotCommitted);
    }
    let found = reexecute(program, spec, receipt.segment, input)?;
    Ok(match difference(receipt, &found) {
        None => Verdict::True,
        Some(differs) => Verdict::False { found, differs },
    })
}

/// The first field in which two receipts differ.
#[must_use]
pub fn difference(one: &Receipt, other: &Receipt) -> Option<Difference> {
    let output = |receipt: &Receipt| (receipt.output, receipt.output_bytes);
    [
        (one.segment != other.segment, Difference::Segment),
        (one.input != other.input, Difference::Input),
        (one.status != other.status, Difference::Status),
        (output(one) != output(other), Difference::Output),
        (one.fuel != other.fuel, Difference::Fuel),
    ]
    .into_iter()
    .find_map(|(differ, what)| differ.then_some(what))
}

/// Draws `count` different numbers below `limit` from a seed that was not known when the draw's subject was fixed: the hash of
/// a later block with the committed root, say. All of them, in order, if there are not more.
#[must_use]
pub fn draw(seed: &Hash, limit: u32, count: u32) -> Vec<u32> {
    if count >= limit {
        return (0..limit).collect();
    }
    let mut drawn = Vec::new();
    let mut round = 0u64;
    while drawn.len() < count as usize {
        let mut hasher = gongsuan_types::Hasher::new("gongsuan/draw/v1");
        hasher.update(&seed.0).update(&round.to_le_bytes());
        round += 1;
        let hash = hasher.finish();
        let (parts, _) = hash.0.as_chunks::<8>();
        for part in parts {
            // The remainder's bias is below 2⁻³².
            let pick = u64::from_le_bytes(*part) % u64::from(limit);
            let Ok(pick) = u32::try_from(pick) else { continue };
            if drawn.len() < count as usize && !drawn.contains(&pick) {
                drawn.push(pick);
            }
        }
    }
    drawn
}
