//! The one true history: what every message that leaves a validator, and every commit, is held against.

use std::collections::BTreeMap;

use gongsuan_consensus::{CommittedBlock, Message, Rank, Record, Seat, Vote, VoteKind};
use gongsuan_types::{Hash, Term};

/// What the world knows and no validator does.
#[derive(Default)]
pub(crate) struct Monitor {
    /// Seats that lie, whose messages prove nothing.
    pub(crate) liars: Vec<Seat>,
    chain: BTreeMap<u64, Hash>,
    votes: BTreeMap<(Seat, VoteKind, Rank), Hash>,
    highest_commit: BTreeMap<Seat, Rank>,
    timed_out: BTreeMap<Seat, Term>,
    blocks: BTreeMap<Rank, Hash>,
}

impl Monitor {
    /// A message leaves a validator whose disk holds `durable` records and `logged` blocks.
    pub(crate) fn leaves(
        &mut self,
        from: Seat,
        message: &Message,
        (durable, logged): (&[Record], u64),
        chain_id: &Hash,
    ) {
        if self.liars.contains(&from) {
            return;
        }
        match message {
            Message::Vote(vote) => self.votes(from, vote, (durable, logged), chain_id),
            Message::Votes(joined) => {
                for vote in joined.split(chain_id) {
                    self.votes(from, &vote, (durable, logged), chain_id);
                }
            }
            Message::Timeout(timeout) if timeout.seat == from => {
                let saved = |r: &Record| matches!(r, Record::TimedOut(t) if *t >= timeout.term);
                assert!(durable.iter().any(saved), "{from} sends a timeout before it is durable");
                let locked = self.highest_commit.get(&from).copied().unwrap_or_default();
                let amnesia = locked.term <= timeout.term && timeout.high.rank < locked;
                assert!(!amnesia, "{from} forgets its lock {locked:?} in {timeout:?}");
                let out = self.timed_out.entry(from).or_default();
                *out = timeout.term.max(*out);
            }
            Message::Propose(proposal) if proposal.block.header.proposer == from => {
                let (rank, hash) = (proposal.block.header.rank(), proposal.block.hash(chain_id));
                let before = self.blocks.insert(rank, hash);
                assert!(before.is_none_or(|b| b == hash), "{from} proposes twice at {rank:?}");
            }
            _ => {}
        }
    }

    fn votes(
        &mut self,
        from: Seat,
        vote: &Vote,
        (durable, logged): (&[Record], u64),
        chain_id: &Hash,
    ) {
        assert_eq!(vote.seat, from);
        let rank = vote.rank;
        let before = self.votes.insert((from, vote.kind, rank), vote.block);
        assert!(before.is_none_or(|b| b == vote.block), "{from} votes twice at {rank:?}");
        let entered = durable.iter().any(|r| matches!(r, Record::Term(t) if *t >= rank.term));
        assert!(entered, "{from} votes in a term that is not durable");
        let out = self.timed_out.get(&from).copied().unwrap_or_default();
        // A vote signed before the timeout may be on its way; one never signed before may not follow it.
        assert!(before.is_some() || rank.term > out, "{from} votes in a term it has left");
        let saved = |record: &Record| match (vote.kind, record) {
            (VoteKind::Prepare, Record::Lease(lease)) => {
                lease.term == rank.term && lease.height >= rank.height
            }
            (VoteKind::Commit, Record::Lock(lock)) => lock.rank >= rank,
            _ => false,
        };
        assert!(durable.iter().any(saved), "{from} sends a vote before it is durable: {vote:?}");
        if vote.kind == VoteKind::Commit {
            let body =
                |r: &Record| matches!(r, Record::Body(p) if p.block.hash(chain_id) == vote.block);
            assert!(
                before.is_some() || rank.height.0 <= logged || durable.iter().any(body),
                "{from} locks without a body"
            );
            let highest = self.highest_commit.entry(from).or_default();
            *highest = rank.max(*highest);
        }
    }

    /// A validator commits a block at the next height of its log.
    pub(crate) fn commits(
        &mut self,
        seat: Seat,
        height: u64,
        block: &CommittedBlock,
        chain_id: &Hash,
    ) {
        let header = &block.proposal.block.header;
        assert_eq!(header.height.0, height, "{seat} commits out of order");
        let hash = block.proposal.block.hash(chain_id);
        let agreed = *self.chain.entry(height).or_insert(hash);
        assert_eq!(agreed, hash, "{seat} commits another block at {height}");
    }

    /// How far any validator has committed.
    pub(crate) fn height(&self) -> u64 {
        self.chain.last_key_value().map_or(0, |(height, _)| *height)
    }
}
