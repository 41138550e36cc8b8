//! What bounds the pool, and what bounds a block built from it.

use gongsuan_market::Command;

use crate::tx::{Op, Transaction};

/// The pool's bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Transactions, at most.
    pub count_max: usize,
    /// Bytes, at most.
    pub bytes_max: usize,
    /// Transactions of one sender, at most.
    pub per_sender_max: usize,
    /// Transactions that one peer brought, at most: a peer cannot fill the pool by itself.
    pub per_peer_max: usize,
    /// How far a nonce may lie ahead of the account's.
    pub gap_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            count_max: 50_000,
            bytes_max: 32 << 20,
            per_sender_max: 64,
            per_peer_max: 10_000,
            gap_max: 64,
        }
    }
}

/// Who brought a transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// This node's own front door.
    Local,
    /// A peer, by the number that the node gave it.
    Peer(u64),
}

/// What a block may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Transactions.
    pub txs: usize,
    /// Bytes of the payload.
    pub bytes: usize,
    /// Operations.
    pub ops: usize,
    /// Units of [`work`]: about a microsecond of execution each.
    pub work: u64,
}

impl Default for Budget {
    /// A block of the greatest size, executed in well under 100 ms.
    fn default() -> Self {
        Self {
            txs: crate::header::BODY_TXS_MAX,
            bytes: crate::header::BODY_BYTES_MAX,
            ops: 4 * crate::header::BODY_TXS_MAX,
            work: 100_000,
        }
    }
}

/// Bytes of a payload beside its transactions.
const PAYLOAD_FRAME: usize = 16;

impl Budget {
    /// What is left at first.
    pub(super) fn begin(mut self) -> Self {
        self.bytes = self.bytes.saturating_sub(PAYLOAD_FRAME);
        self
    }

    /// Takes a transaction out of the budget; `false`, and nothing is taken, if it does not fit.
    pub(super) fn take(&mut self, tx: &Transaction, bytes: usize) -> bool {
        let rest = (|| {
            Some(Self {
                txs: self.txs.checked_sub(1)?,
                bytes: self.bytes.checked_sub(bytes)?,
                ops: self.ops.checked_sub(tx.ops.len())?,
                work: self.work.checked_sub(work(tx))?,
            })
        })();
        if let Some(rest) = rest {
            *self = rest;
        }
        rest.is_some()
    }
}

/// How much executing a transaction may cost, at most, in units of about a microsecond. An estimate for the builder of blocks: no replica has to
/// agree with it, because the market bounds each command's work by itself.
#[must_use]
pub fn work(tx: &Transaction) -> u64 {
    let of = |op: &Op| match op {
        Op::Transfer { .. } => 1,
        Op::Grant { .. }
        | Op::Attest { .. }
        | Op::Revoke { .. }
        | Op::Freeze { .. }
        | Op::Free { .. }
        | Op::ShowOwner { .. }
        | Op::PublishKey { .. } => 2,
        Op::Market(command) => match command {
            Command::PlaceAsk(_) => 5,
            Command::PlaceBid(_) => 50,
            Command::Cancel(_) | Command::Amend { .. } => 5,
            Command::Acknowledge(_)
            | Command::Progress { .. }
            | Command::Commit { .. }
            | Command::Reveal { .. }
            | Command::Audit { .. }
            | Command::Challenge { .. }
            | Command::Demand { .. }
            | Command::Serve { .. }
            | Command::DemandOutput { .. }
            | Command::AskInput(_)
            | Command::Stop(_)
            | Command::Seal { .. }
            | Command::Unseal { .. }
            | Command::Pledge(_)
            | Command::Unpledge
            | Command::SealAudit { .. }
            | Command::Leave(_)
            | Command::ProveCapacity(_)
            | Command::GiveUpCapacity
            | Command::Rate { .. } => 20,
            // A hash for each interval since the token before.
            Command::Beat { .. } => 100,
        },
        // A signature each, verified to see whether it is free, and where the operation is carried out.
        Op::Judge(verdicts) => 20 + 120 * verdicts.len() as u64,
    };
    1 + tx.ops.iter().map(of).sum::<u64>()
}
