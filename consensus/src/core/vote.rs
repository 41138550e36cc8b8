//! Rules 2 to 5: prepare, lease, lock, commit.

use gongsuan_types::Hash;

use super::{Core, Effect, Output, Outputs, Validity};
use crate::{Block, LEASE, Lease, Lock, Message, Rank, Record, Tip, Vote, VoteKind, WINDOW};

impl Core {
    /// Asks the driver to validate blocks of this term whose parents are known.
    pub(super) fn ask_for_checks(&mut self, out: &mut Outputs) {
        let term = self.term;
        let unknown: Vec<Hash> = self
            .entries
            .iter()
            .filter(|(_, e)| e.validity == Validity::Unknown && e.signed.block.term == term)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in unknown {
            let Some(block) = self.entries.get(&hash).map(|entry| &entry.signed.block) else {
                continue;
            };
            let Some((height, time)) = self.position(block.parent) else { continue };
            let follows = block.height == height.next() && block.time > time;
            let Some(entry) = self.entries.get_mut(&hash) else { continue };
            if !follows {
                entry.validity = Validity::Invalid;
                continue;
            }
            entry.validity = Validity::Asked;
            let (block, payload) = (entry.signed.block.clone(), entry.payload.clone());
            out.push(Output::Check { hash, block, payload });
        }
    }

    /// Rule 2. Returns whether a vote was given.
    pub(super) fn prepare(&mut self, out: &mut Outputs) -> bool {
        if self.gave_up() || self.mute {
            return false;
        }
        let next = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.validity == Validity::Valid)
            .filter(|(_, entry)| self.may_prepare(&entry.signed.block))
            .min_by_key(|(_, entry)| entry.signed.block.height)
            .map(|(hash, entry)| (*hash, entry.signed.block.height));
        let Some((hash, height)) = next else { return false };
        self.renew_lease(height, out);
        self.prepared.insert(hash);
        self.prepared_max = height;
        let rank = Rank { term: self.term, height };
        let vote = self.sign(VoteKind::Prepare, rank, hash);
        self.after(self.term_seq.max(self.lease_seq), Effect::OwnVote(vote), out);
        true
    }

    fn may_prepare(&self, block: &Block) -> bool {
        let lease_left = self.lease_before.filter(|lease| lease.term == self.term);
        if block.term != self.term
            || block.height <= self.prepared_max
            || block.height.0 > self.tip.height.0 + WINDOW
            || lease_left.is_some_and(|lease| block.height <= lease.ceiling)
        {
            return false;
        }
        let first = block.start.is_some()
            || (block.term.0 == 0 && block.parent == self.config.validators.genesis());
        self.prepared.contains(&block.parent)
            || self.certified.contains_key(&block.parent)
            || (first && self.prepared.is_empty() && lease_left.is_none())
    }

    /// Rule 3: the lease covers `height`.
    pub(super) fn renew_lease(&mut self, height: gongsuan_types::Height, out: &mut Outputs) {
        let covered =
            self.lease.is_some_and(|lease| lease.term == self.term && lease.ceiling >= height);
        if covered {
            return;
        }
        let ceiling = gongsuan_types::Height(height.0 + LEASE - 1);
        let lease = Lease { term: self.term, ceiling };
        self.lease = Some(lease);
        self.lease_seq = self.persist(Record::Lease(lease), out);
    }

    /// Rule 4. Returns whether a lock was taken.
    pub(super) fn lock_best(&mut self, out: &mut Outputs) -> bool {
        if self.gave_up() || self.mute {
            return false;
        }
        let best = self
            .certified
            .values()
            .filter(|qc| qc.rank() > self.lock_rank() && qc.height > self.tip.height)
            .filter(|qc| self.entries.contains_key(&qc.block))
            .max_by_key(|qc| qc.rank());
        let Some(certificate) = best.cloned() else { return false };
        let Some(entry) = self.entries.get(&certificate.block) else { return false };
        let (rank, hash) = (certificate.rank(), certificate.block);
        let (block, payload) = (entry.signed.clone(), entry.payload.clone());
        let lock = Lock { certificate, block, payload };
        self.lock = Some(lock.clone());
        let seq = self.persist(Record::Lock(Box::new(lock)), out);
        let vote = self.sign(VoteKind::Commit, rank, hash);
        self.after(seq, Effect::OwnVote(vote), out);
        true
    }

    /// Rule 5. Returns whether blocks were committed.
    pub(super) fn commit(&mut self, out: &mut Outputs) -> bool {
        let Some(certificate) = self.to_commit.clone() else { return false };
        if certificate.height <= self.tip.height {
            self.to_commit = None;
            return false;
        }
        let (mut path, mut at) = (Vec::new(), certificate.block);
        while at != self.tip.hash {
            let Some(entry) = self.entries.get(&at) else { return false };
            let above = entry.signed.block.height > self.tip.height;
            assert!(above, "a certified block does not extend the committed log");
            path.push(at);
            at = entry.signed.block.parent;
        }
        let mut blocks = Vec::with_capacity(path.len());
        for hash in path.into_iter().rev() {
            let entry = self.entries.remove(&hash).expect("found on the way down");
            blocks.push((entry.signed, entry.payload));
        }
        self.to_commit = None;
        self.finish(blocks, certificate, out);
        true
    }

    /// Moves the tip and forgets what lies below it.
    pub(super) fn finish(
        &mut self,
        blocks: Vec<(crate::SignedBlock, Vec<u8>)>,
        certificate: crate::Qc,
        out: &mut Outputs,
    ) {
        let Some((last, _)) = blocks.last() else { return };
        let block = &last.block;
        self.tip = Tip { height: block.height, hash: certificate.block, time: block.time };
        let tip = self.tip;
        self.entries.retain(|_, entry| entry.signed.block.height > tip.height);
        self.votes.prune(tip.height);
        self.certified.retain(|_, qc| qc.height >= tip.height);
        self.on_certificate(certificate.clone());
        if certificate.term == self.term {
            self.terms_failed = 0;
            self.busy_since = None;
            self.suspecting = false;
        }
        out.push(Output::Commit { blocks, certificate });
    }

    fn sign(&self, kind: VoteKind, rank: Rank, block: Hash) -> Vote {
        let config = &self.config;
        Vote::sign(&config.validators, &config.key, config.me, kind, (rank, block))
    }

    pub(super) fn broadcast(&mut self, message: Message, out: &mut Outputs) {
        out.push(Output::Send { to: None, message });
    }
}
