//! Counting votes.

use std::collections::BTreeMap;

use gongsuan_types::{Hash, Height, Signature};

use crate::{Qc, Rank, Vote, VoteKind};

/// Votes of the heights around the tip. Bounded: one vote per validator, kind and rank, and the core prunes by height.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    /// What each validator voted for at a rank: the first counts, a different second is evidence.
    seen: BTreeMap<(VoteKind, Rank, u16), (Hash, Signature)>,
}

/// What a vote did.
#[derive(Debug)]
pub(crate) enum Tally {
    /// It made a certificate.
    Certificate(Qc),
    /// It counts, but there is no certificate yet, or there was one before.
    Pending,
    /// The voter has voted for another block at this rank.
    Double(Box<(Vote, Vote)>),
}

impl Votes {
    pub(crate) fn add(&mut self, vote: &Vote, quorum: usize) -> Tally {
        let key = (vote.kind, vote.rank(), vote.voter);
        if let Some((block, signature)) = self.seen.get(&key) {
            if *block == vote.block {
                return Tally::Pending;
            }
            let first = Vote { block: *block, signature: *signature, ..*vote };
            return Tally::Double(Box::new((first, *vote)));
        }
        self.seen.insert(key, (vote.block, vote.signature));
        let range = (vote.kind, vote.rank(), 0)..=(vote.kind, vote.rank(), u16::MAX);
        let votes: Vec<_> = self
            .seen
            .range(range)
            .filter(|(_, (block, _))| *block == vote.block)
            .map(|((_, _, voter), (_, signature))| (*voter, *signature))
            .collect();
        if votes.len() != quorum {
            return Tally::Pending;
        }
        Tally::Certificate(Qc {
            kind: vote.kind,
            term: vote.term,
            height: vote.height,
            block: vote.block,
            votes,
        })
    }

    /// Forgets everything at or below a committed height.
    pub(crate) fn prune(&mut self, committed: Height) {
        self.seen.retain(|(_, rank, _), _| rank.height > committed);
    }
}
