//! The one true history: what every message that leaves a node, every commit and every piece of evidence is held against.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_consensus::{
    CommittedBlock, Epoch, Evidence, Message, Proposal, Rank, Record, Vote, VoteCache, VoteKind,
    verify,
};
use gongsuan_types::{Hash, PublicKey, Term, codec};

/// The name of an invariant.
pub type Invariant = &'static str;

/// No two honest nodes commit different blocks at one height.
pub const AGREEMENT: Invariant = "AGREEMENT";
/// What is committed was submitted, passes the application's check, and times rise.
pub const VALIDITY: Invariant = "VALIDITY";
/// An honest node signs one block, one PREPARE and one COMMIT a rank, and no vote in a term it has left.
pub const NO_EQUIVOCATION: Invariant = "NO-EQUIVOCATION";
/// Every committed block comes with a certificate that an outsider accepts.
pub const CERT: Invariant = "CERT";
/// Nothing leaves before what it depends on would survive a power cut, and what survives is what was synced.
pub const DURABILITY: Invariant = "DURABILITY";
/// Blocks are delivered by rising height, each once; every transaction once.
pub const EXACTLY_ONCE: Invariant = "EXACTLY-ONCE";
/// Evidence names the guilty and convinces an outsider.
pub const EVIDENCE_SOUND: Invariant = "EVIDENCE-SOUND";
/// A validator that openly votes twice is named.
pub const EVIDENCE_COMPLETE: Invariant = "EVIDENCE-COMPLETE";
/// Memory stays bounded.
pub const BOUNDED: Invariant = "BOUNDED";
/// Once the network heals, everything submitted is committed everywhere.
pub const LIVENESS: Invariant = "LIVENESS";
/// What an honest node sends, another one in the same epoch accepts.
pub const WELL_FORMED: Invariant = "WELL-FORMED";
/// The core's own assertions hold.
pub const ASSERTION: Invariant = "ASSERTION";

/// What was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: Invariant,
    /// What happened.
    pub detail: String,
}

/// What of a node's vote state a power cut would leave.
#[derive(Debug, Default, Clone)]
pub(crate) struct Saved {
    epoch: u64,
    term: Term,
    timed_out: Term,
    lease: Rank,
    lock: Rank,
    bodies: BTreeSet<Hash>,
}

impl Saved {
    pub(crate) fn add(&mut self, record: &Record, chain_id: &Hash) {
        match record {
            Record::Term(term) => self.term = self.term.max(*term),
            Record::TimedOut(term) => self.timed_out = self.timed_out.max(*term),
            Record::Lease(lease) => self.lease = self.lease.max(*lease),
            Record::Lock(qc) => self.lock = self.lock.max(qc.rank),
            Record::Body(body) => {
                self.bodies.insert(body.block.hash(chain_id));
            }
            Record::Observing(_) => {}
            Record::Epoch(epoch) => {
                if epoch.number() > self.epoch {
                    let term = epoch.first_term();
                    *self = Self { epoch: epoch.number(), term, ..Self::default() };
                }
            }
        }
    }

    /// Whether all of `other` is in here.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.epoch > other.epoch
            || (self.epoch == other.epoch
                && self.term >= other.term
                && self.timed_out >= other.timed_out
                && self.lease >= other.lease
                && self.lock >= other.lock)
    }
}

/// Where a node stands when a message leaves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stands<'a> {
    /// What of its votes a power cut would leave.
    pub(crate) saved: &'a Saved,
    /// The height of its log that a power cut would leave.
    pub(crate) logged: u64,
    /// The height it has committed.
    pub(crate) committed: u64,
}

/// Things an honest signer says once.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Vote(VoteKind, Rank),
    Block(Rank),
}

/// The judge.
#[derive(Debug)]
pub(crate) struct Judge {
    chain_id: Hash,
    pub(crate) epochs: BTreeMap<u64, Epoch>,
    chain: BTreeMap<u64, Hash>,
    said: BTreeMap<(PublicKey, u64, Said), Hash>,
    left: BTreeMap<(PublicKey, u64), Term>,
    commits: BTreeMap<(PublicKey, u64), Rank>,
    certified: BTreeSet<Hash>,
    /// First blocks of terms.
    openers: BTreeSet<Hash>,
    /// The roots of all snapshots that honest nodes have made.
    pub(crate) snapshots: BTreeSet<Hash>,
    pub(crate) liars: BTreeSet<PublicKey>,
    /// Evidence that was looked at, by epoch and content, and whom it names.
    convinced: BTreeMap<(u64, Hash), Option<PublicKey>>,
    pub(crate) found: Option<Violation>,
}

impl Judge {
    pub(crate) fn new(chain_id: Hash, first: Epoch, liars: BTreeSet<PublicKey>) -> Self {
        Self {
            chain_id,
            epochs: BTreeMap::from([(first.number(), first)]),
            chain: BTreeMap::new(),
            said: BTreeMap::new(),
            left: BTreeMap::new(),
            commits: BTreeMap::new(),
            certified: BTreeSet::new(),
            openers: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            liars,
            convinced: BTreeMap::new(),
            found: None,
        }
    }

    pub(crate) fn blame(&mut self, invariant: Invariant, detail: impl Into<String>) {
        if self.found.is_none() {
            self.found = Some(Violation { invariant, detail: detail.into() });
        }
    }

    fn expect(&mut self, holds: bool, invariant: Invariant, detail: impl FnOnce() -> String) {
        if !holds {
            self.blame(invariant, detail());
        }
    }

    /// How far any honest node has committed.
    pub(crate) fn height(&self) -> u64 {
        self.chain.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// A proposal is on its way: perhaps the first block of its term.
    pub(crate) fn opens(&mut self, proposal: &Proposal) {
        if proposal.block.header.tc.is_some() {
            self.openers.insert(proposal.block.hash(&self.chain_id));
        }
    }

    /// A message leaves a node.
    pub(crate) fn leaves(&mut self, key: PublicKey, message: &Message, node: &Stands<'_>) {
        if let Message::Propose(proposal) = message {
            self.opens(proposal);
        }
        if self.liars.contains(&key) {
            return;
        }
        let saved = node.saved;
        match message {
            Message::Vote(vote) => self.vote_leaves(key, vote, node),
            Message::Votes(joined) => {
                for vote in joined.split(&self.chain_id) {
                    self.vote_leaves(key, &vote, node);
                }
            }
            Message::FetchChunk(fetch) => {
                let real = self.snapshots.contains(&fetch.root);
                self.expect(real, VALIDITY, || {
                    "pieces of a snapshot that nobody honest has".into()
                });
            }
            Message::Timeout(timeout) => {
                let kept = saved.epoch > timeout.epoch || saved.timed_out >= timeout.term;
                self.expect(kept, DURABILITY, || {
                    format!("a timeout of term {} leaves before it is durable", timeout.term)
                });
                let locked = self.commits.get(&(key, timeout.epoch)).copied().unwrap_or_default();
                let denies = locked.term <= timeout.term && timeout.high.rank < locked;
                self.expect(!denies, DURABILITY, || {
                    format!("a timeout claims {:?}, COMMIT was {locked:?}", timeout.high.rank)
                });
                let left = self.left.entry((key, timeout.epoch)).or_default();
                *left = timeout.term.max(*left);
            }
            Message::Propose(proposal) => {
                let header = &proposal.block.header;
                let own = self
                    .epochs
                    .get(&header.epoch)
                    .and_then(|epoch| epoch.validators().key(header.proposer))
                    == Some(&key);
                if own {
                    let hash = proposal.block.hash(&self.chain_id);
                    self.says(key, header.epoch, Said::Block(header.rank()), hash);
                }
            }
            _ => {}
        }
    }

    fn says(&mut self, key: PublicKey, epoch: u64, what: Said, hash: Hash) -> bool {
        let text = format!("{what:?}");
        let before = self.said.insert((key, epoch, what), hash);
        self.expect(before.is_none_or(|old| old == hash), NO_EQUIVOCATION, || {
            format!("two signatures for {text}")
        });
        before.is_some()
    }

    fn vote_leaves(&mut self, key: PublicKey, vote: &Vote, node: &Stands<'_>) {
        let Stands { saved, logged, committed } = *node;
        let (rank, epoch) = (vote.rank, vote.epoch);
        let again = self.says(key, epoch, Said::Vote(vote.kind, rank), vote.block);
        if again {
            return;
        }
        let left = self.left.get(&(key, epoch)).copied().unwrap_or_default();
        self.expect(rank.term > left, NO_EQUIVOCATION, || {
            format!("a {:?} at {rank:?} after the timeout of term {left}", vote.kind)
        });
        let current = saved.epoch == epoch;
        let entered = current && saved.term >= rank.term;
        self.expect(entered, DURABILITY, || {
            format!("a vote in term {} that is not durable", rank.term)
        });
        match vote.kind {
            VoteKind::Prepare => {
                // A first block stands where its proof puts it; terms that commit nothing may pile up.
                let near = rank.height.0 <= committed + gongsuan_consensus::config::WINDOW;
                let opens = self.openers.contains(&vote.block);
                self.expect(near || opens, BOUNDED, || {
                    format!("PREPARE at {rank:?}, {committed} is committed")
                });
                let leased = saved.lease.term == rank.term && saved.lease.height >= rank.height;
                self.expect(current && leased, DURABILITY, || {
                    format!("PREPARE at {rank:?} under lease {:?}", saved.lease)
                });
            }
            VoteKind::Commit => {
                self.expect(current && saved.lock >= rank, DURABILITY, || {
                    format!("COMMIT at {rank:?}, lock {:?}", saved.lock)
                });
                let held = rank.height.0 <= logged || saved.bodies.contains(&vote.block);
                self.expect(held, DURABILITY, || format!("COMMIT at {rank:?} without the block"));
                let highest = self.commits.entry((key, epoch)).or_default();
                *highest = rank.max(*highest);
            }
        }
    }

    /// An honest node commits the block that follows in its log. Signatures that are in `known` are good.
    pub(crate) fn commits(&mut self, expected: u64, block: &CommittedBlock, known: &VoteCache) {
        let header = &block.proposal.block.header;
        let height = header.height.0;
        self.expect(height == expected, EXACTLY_ONCE, || {
            format!("height {height} is delivered where {expected} is next")
        });
        let hash = block.proposal.block.hash(&self.chain_id);
        let agreed = *self.chain.entry(height).or_insert(hash);
        self.expect(agreed == hash, AGREEMENT, || format!("two blocks are final at {height}"));
        if self.certified.insert(block.certificate.block) {
            let good = self.epochs.get(&header.epoch).is_some_and(|epoch| {
                let shown = Message::Certificate(block.certificate.clone());
                verify(shown, epoch, &self.chain_id, known).is_ok()
            });
            let commit = block.certificate.kind == VoteKind::Commit;
            self.expect(good && commit, CERT, || {
                format!("the certificate at {height} is not good")
            });
        }
        if block.is_certified() {
            let own = block.certificate.block == hash;
            self.expect(own, CERT, || format!("the certificate at {height} is of another block"));
        }
        if let Some(next) = Epoch::after(&self.chain_id, &block.proposal.block) {
            self.epochs.entry(next.number()).or_insert(next);
        }
    }

    /// An honest node accuses somebody: who that is, if the evidence convinces an outsider. What several nodes show is looked at once.
    pub(crate) fn accuses(&mut self, epoch: u64, evidence: &Evidence) -> Option<PublicKey> {
        let name = (epoch, Hash::of("gongsuan/sim/evidence", &codec::encode(evidence)));
        if let Some(known) = self.convinced.get(&name) {
            return *known;
        }
        let set = self.epochs.get(&epoch)?.validators().clone();
        let guilty = match evidence.verify(&set, &self.chain_id) {
            Err(error) => {
                self.blame(EVIDENCE_SOUND, format!("evidence does not convince: {error}"));
                None
            }
            Ok(seat) => {
                let key = set.key(seat).copied();
                let guilty = key.is_some_and(|key| self.liars.contains(&key));
                self.expect(guilty, EVIDENCE_SOUND, || {
                    format!("the honest seat {seat} is accused: {evidence:?}")
                });
                key
            }
        };
        self.convinced.insert(name, guilty);
        guilty
    }
}
