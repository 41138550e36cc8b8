//! Counting votes: one a seat for each kind, term and height.

use std::collections::BTreeMap;

use gongsuan_types::{Hash, Height, Term};

use crate::block::Rank;
use crate::certificate::Qc;
use crate::validators::Seat;
use crate::vote::{Vote, VoteKind};

/// What a vote changed.
#[derive(Debug)]
pub(super) enum Counted {
    /// Nothing: it was known, or its block has its certificate.
    Nothing,
    /// It is new; so many seats have now voted for its block.
    New(usize),
    /// The seat voted otherwise before.
    Conflict(Box<Vote>),
}

/// The votes of the terms and heights that matter.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<(Rank, VoteKind), BTreeMap<Seat, Vote>>);

impl Tallies {
    pub(super) fn count(&mut self, vote: &Vote) -> Counted {
        let seats = self.0.entry((vote.rank, vote.kind)).or_default();
        match seats.get(&vote.seat) {
            Some(before) if before.block != vote.block => {
                return Counted::Conflict(Box::new(before.clone()));
            }
            Some(_) => return Counted::Nothing,
            None => seats.insert(vote.seat, vote.clone()),
        };
        Counted::New(seats.values().filter(|other| other.block == vote.block).count())
    }

    /// Whether such a vote, or a certificate it could only repeat, is not here already.
    pub(super) fn needs(
        &self,
        place: (Rank, VoteKind),
        block: &Hash,
        seat: Seat,
        quorum: usize,
    ) -> bool {
        let Some(seats) = self.0.get(&place) else { return true };
        let for_block = seats.values().filter(|other| other.block == *block).count();
        for_block < quorum && seats.get(&seat).is_none_or(|other| other.block != *block)
    }

    /// The certificate of a block, from the votes counted, in seat order and no longer than a quorum.
    pub(super) fn certificate(&self, vote: &Vote, quorum: usize) -> Qc {
        let seats = &self.0[&(vote.rank, vote.kind)];
        let signatures: Vec<_> = seats
            .values()
            .filter(|other| other.block == vote.block)
            .map(Vote::share)
            .take(quorum)
            .collect();
        assert_eq!(signatures.len(), quorum, "a certificate is made of a quorum");
        Qc { kind: vote.kind, epoch: vote.epoch, rank: vote.rank, block: vote.block, signatures }
    }

    /// Forgets votes of earlier terms and of heights that are final.
    pub(super) fn prune(&mut self, term: Term, committed: Height) {
        self.0.retain(|(rank, _), _| rank.term >= term && rank.height > committed);
    }

    /// How many seats voted for a block.
    pub(super) fn votes_for(&self, rank: Rank, kind: VoteKind, block: &Hash) -> usize {
        self.0
            .get(&(rank, kind))
            .map_or(0, |seats| seats.values().filter(|vote| vote.block == *block).count())
    }

    /// The PREPAREs for a block.
    pub(super) fn prepares_for(&self, rank: Rank, block: &Hash) -> Vec<Vote> {
        let seats = self.0.get(&(rank, VoteKind::Prepare)).into_iter().flat_map(BTreeMap::values);
        seats.filter(|vote| vote.block == *block).cloned().collect()
    }

    /// The PREPAREs of a seat in a term.
    pub(super) fn prepares_of(&self, seat: Seat, term: Term) -> Vec<&Vote> {
        self.0
            .iter()
            .filter(|((rank, kind), _)| rank.term == term && *kind == VoteKind::Prepare)
            .filter_map(|(_, seats)| seats.get(&seat))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
