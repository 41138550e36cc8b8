//! Votes that wait unverified until, together with those counted, they can be a quorum. What never can costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gongsuan_consensus::{Rank, Seat, Vote, VoteKind};
use gongsuan_types::{Hash, Height, Term};

/// Votes of one seat that may wait. A seat that sends more is honest about none of them: the rest is verified at once.
const WAITING_MAX: usize = 128;

/// How long a quorum of others waits for our own vote, which costs nothing and is most often on its way.
const GRACE: Duration = Duration::from_millis(1);

/// Everything by which votes must be equal to make a certificate.
type Key = (Rank, VoteKind, Hash);

#[derive(Debug, Default)]
struct Ballot {
    counted: BTreeSet<Seat>,
    waiting: BTreeMap<Seat, Vote>,
    /// When these votes, without ours, may be verified.
    due: Option<Instant>,
}

impl Ballot {
    fn is_enough(&self, quorum: usize) -> bool {
        !self.waiting.is_empty() && self.counted.len() + self.waiting.len() >= quorum
    }
}

/// The votes of blocks that are not final.
#[derive(Debug)]
pub(super) struct Ballots {
    /// Our seat; a learner has none, and waits for nobody.
    own: Option<Seat>,
    quorum: usize,
    ballots: BTreeMap<Key, Ballot>,
    waiting: BTreeMap<Seat, usize>,
}

fn key(vote: &Vote) -> Key {
    (vote.rank, vote.kind, vote.block)
}

impl Ballots {
    pub(super) fn new(own: Option<Seat>, quorum: usize) -> Self {
        Self { own, quorum, ballots: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// A vote that counts: ours, or one that was verified.
    pub(super) fn count(&mut self, vote: &Vote) {
        self.ballots.entry(key(vote)).or_default().counted.insert(vote.seat);
    }

    /// Lets a vote wait. It comes back if there is no room.
    pub(super) fn add(&mut self, vote: Vote) -> Option<Vote> {
        let waiting = self.waiting.entry(vote.seat).or_default();
        if *waiting >= WAITING_MAX {
            return Some(vote);
        }
        let ballot = self.ballots.entry(key(&vote)).or_default();
        if !ballot.counted.contains(&vote.seat) && ballot.waiting.insert(vote.seat, vote).is_none()
        {
            *waiting += 1;
        }
        None
    }

    /// A vote that could complete a quorum: it is time to verify it.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Vote> {
        let (own, quorum) = (self.own, self.quorum);
        let mut enough = self.ballots.values_mut().filter(|ballot| ballot.is_enough(quorum));
        let ready = enough.find_map(|ballot| {
            let due = *ballot.due.get_or_insert(now + GRACE);
            let ours = own.is_none_or(|own| ballot.counted.contains(&own));
            (ours || due <= now).then_some(ballot)
        });
        let (_, vote) = ready?.waiting.pop_first()?;
        self.left(vote.seat);
        Some(vote)
    }

    /// When [`Ballots::pop`] is to be asked again, even if no vote comes.
    pub(super) fn due(&self) -> Option<Instant> {
        let enough = self.ballots.values().filter(|ballot| ballot.is_enough(self.quorum));
        enough.filter_map(|ballot| ballot.due).min()
    }

    /// All that wait: time has passed, and what they say may matter even if it makes no quorum.
    pub(super) fn drain(&mut self) -> Vec<Vote> {
        self.waiting.clear();
        let ballots = self.ballots.values_mut();
        ballots.flat_map(|ballot| std::mem::take(&mut ballot.waiting).into_values()).collect()
    }

    /// Forgets what is final and what is of earlier terms.
    pub(super) fn prune(&mut self, term: Term, committed: Height) {
        let mut gone = Vec::new();
        self.ballots.retain(|(rank, ..), ballot| {
            let stays = rank.term >= term && rank.height > committed;
            if !stays {
                gone.extend(ballot.waiting.keys().copied());
            }
            stays
        });
        gone.into_iter().for_each(|seat| self.left(seat));
    }

    fn left(&mut self, seat: Seat) {
        if let Some(waiting) = self.waiting.get_mut(&seat) {
            *waiting = waiting.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::Signature;

    use super::*;

    fn vote(seat: u16, height: u64) -> Vote {
        let rank = Rank { term: Term(1), height: Height(height) };
        let (kind, block, signature) = (VoteKind::Commit, Hash::ZERO, Signature([0; 64]));
        Vote { kind, epoch: 0, rank, block, seat: Seat(seat), signature, sibling: None }
    }

    #[test]
    fn votes_wait_until_they_could_be_a_quorum() {
        let mut ballots = Ballots::new(Some(Seat(0)), 3);
        let now = Instant::now();
        assert_eq!(ballots.add(vote(1, 5)), None);
        assert_eq!(ballots.add(vote(2, 5)), None);
        assert_eq!(ballots.pop(now), None);
        ballots.count(&vote(0, 5));
        assert_eq!(ballots.pop(now), Some(vote(1, 5)));
        ballots.count(&vote(1, 5));
        assert_eq!(ballots.pop(now), Some(vote(2, 5)));
        assert_eq!(ballots.pop(now), None);
    }

    #[test]
    fn three_others_are_a_quorum_without_ours_but_wait_for_it_a_little() {
        let mut ballots = Ballots::new(Some(Seat(0)), 3);
        let now = Instant::now();
        for seat in 1..=3 {
            assert_eq!(ballots.add(vote(seat, 5)), None);
        }
        assert_eq!(ballots.pop(now), None);
        assert_eq!(ballots.due(), Some(now + GRACE));
        assert_eq!(ballots.pop(now + GRACE), Some(vote(1, 5)));
    }

    #[test]
    fn a_seat_has_no_more_than_its_places_and_gets_them_back() {
        let mut ballots = Ballots::new(Some(Seat(0)), 3);
        let max = WAITING_MAX as u64;
        for height in 1..=max {
            assert_eq!(ballots.add(vote(1, height)), None);
        }
        assert_eq!(ballots.add(vote(1, max + 1)), Some(vote(1, max + 1)));
        ballots.prune(Term(1), Height(1));
        assert_eq!(ballots.add(vote(1, max + 1)), None);
        assert_eq!(ballots.drain().len(), WAITING_MAX);
        assert_eq!(ballots.add(vote(1, 2)), None);
    }
}
