//! Rule 8: catching up beside consensus.

use gongsuan_types::{DurationMs, Hash, Height, Term};

use super::{Core, Output, Outputs};
use crate::{Message, Qc, SignedBlock};

/// Between two requests. Kept at 100 ms: a block that is merely late arrives by itself within that time.
const FETCH_EVERY: DurationMs = DurationMs(100);

impl Core {
    pub(super) fn on_status(
        &mut self,
        from: u16,
        term: Term,
        committed: Height,
        out: &mut Outputs,
    ) {
        let was_behind = self.is_behind();
        if let Some(peer) = self.peers.get_mut(usize::from(from)) {
            peer.committed = peer.committed.max(committed);
            peer.term = term;
        }
        if !was_behind && self.is_behind() {
            self.fetch_at = self.now.plus(FETCH_EVERY);
        }
        if term < self.term {
            self.tell_term(from, out);
        }
    }

    /// Whether something is known to exist that is not here.
    pub(super) fn is_behind(&self) -> bool {
        self.missing_block().is_some()
            || self.peers.iter().any(|peer| peer.committed > self.tip.height)
    }

    /// The first unknown block under a certificate.
    fn missing_block(&self) -> Option<Hash> {
        let certificates = [self.to_commit.as_ref(), self.high.as_ref()];
        for qc in certificates.into_iter().flatten() {
            if qc.height <= self.tip.height {
                continue;
            }
            let mut at = qc.block;
            while at != self.tip.hash {
                let Some(entry) = self.entries.get(&at) else { return Some(at) };
                if entry.signed.block.height <= self.tip.height {
                    break;
                }
                at = entry.signed.block.parent;
            }
        }
        None
    }

    pub(super) fn catch_up(&mut self, out: &mut Outputs) {
        if !self.is_behind() || self.now < self.fetch_at {
            return;
        }
        self.fetch_at = self.now.plus(FETCH_EVERY);
        let ahead: Vec<u16> = (0u16..)
            .zip(&self.peers)
            .filter(|(_, peer)| peer.committed > self.tip.height)
            .map(|(index, _)| index)
            .collect();
        if !ahead.is_empty() {
            // Another peer each time: one that does not answer, or lies, costs one interval.
            let turn = (self.now.0 / FETCH_EVERY.0) % ahead.len() as u64;
            let to = usize::try_from(turn).ok().and_then(|turn| ahead.get(turn)).copied();
            out.push(Output::Send { to, message: Message::Fetch { from: self.tip.height.next() } });
        }
        if let Some(hash) = self.missing_block() {
            self.broadcast(Message::FetchBlock(hash), out);
        }
    }

    pub(super) fn on_fetch_block(&mut self, from: u16, hash: Hash, out: &mut Outputs) {
        let message = match self.entries.get(&hash) {
            Some(entry) => {
                Message::Proposal { block: entry.signed.clone(), payload: entry.payload.clone() }
            }
            None => Message::Status { term: self.term, committed: self.tip.height },
        };
        out.push(Output::Send { to: Some(from), message });
    }

    pub(super) fn on_blocks(
        &mut self,
        mut blocks: Vec<(SignedBlock, Vec<u8>)>,
        certificate: Qc,
        out: &mut Outputs,
    ) {
        blocks.retain(|(signed, _)| signed.block.height > self.tip.height);
        let Some((first, _)) = blocks.first() else { return };
        if first.block.height != self.tip.height.next() {
            return;
        }
        assert_eq!(first.block.parent, self.tip.hash, "two certified histories");
        self.finish(blocks, certificate, out);
        self.fetch_at = self.now;
    }
}
