//! What must be true at the end: one log everywhere, and in it every acknowledged transaction exactly once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gongsuan::replica::Store as _;
use gongsuan_types::{Hash, Height};

use super::load::{Outcome, Seen, lock};
use super::log::OpaqueLog;
use super::node::{chain_id, log_dir};
use super::tx;

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) heights: u64,
    pub(super) logs: usize,
    pub(super) acknowledged: u64,
}

/// Reads all logs. The first ones are of replicas that lived to the end: they must be equal; those of dead ones must be
/// a beginning of them.
///
/// # Errors
/// What is wrong.
pub(super) fn check(homes: &[&Path], outcomes: &[Arc<Mutex<Outcome>>]) -> anyhow::Result<Found> {
    let mut truth: Vec<Hash> = Vec::new();
    let mut counts: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (number, home) in homes.iter().enumerate() {
        let log = OpaqueLog::open(&log_dir(home))?;
        for height in 1..=log.head().0 {
            let block = log.read(Height(height));
            let block =
                block.ok_or_else(|| anyhow::anyhow!("no block {height} in log {number}"))?;
            let hash = block.proposal.block.hash(&chain_id());
            let payload_hash = block.proposal.payload.hash();
            anyhow::ensure!(
                block.proposal.block.header.payload_hash == payload_hash,
                "block {height} of log {number} has another payload"
            );
            let index = usize::try_from(height - 1)?;
            match truth.get(index) {
                Some(known) => anyhow::ensure!(*known == hash, "logs differ at height {height}"),
                None => {
                    truth.push(hash);
                    for (name, _) in tx::walk(block.proposal.payload.bytes()) {
                        let counts = counts.entry(name.client).or_default();
                        let at = usize::try_from(name.sequence)?;
                        counts.resize(counts.len().max(at + 1), 0);
                        counts[at] = counts[at].saturating_add(1);
                    }
                }
            }
        }
    }
    let mut acknowledged = 0;
    for (client, outcome) in (0u32..).zip(outcomes) {
        let counts = counts.remove(&client).unwrap_or_default();
        anyhow::ensure!(counts.iter().all(|count| *count < 2), "a transaction is there twice");
        for (sequence, seen) in lock(outcome).fates.iter().enumerate() {
            let count = counts.get(sequence).copied().unwrap_or(0);
            let is_right = *seen != Seen::Final || count == 1;
            anyhow::ensure!(
                is_right,
                "transaction {client}/{sequence} was acknowledged and is lost"
            );
            acknowledged += u64::from(*seen == Seen::Final);
        }
    }
    Ok(Found { heights: truth.len() as u64, logs: homes.len(), acknowledged })
}
