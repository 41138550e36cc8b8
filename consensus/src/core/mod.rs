//! The core: a state, a step, and one file for each family of rules.

mod catch_up;
mod clock;
mod commit;
mod prepare;
mod propose;
mod reign;
mod tally;
mod term;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::{Hash, Height, Term, TimeMs};

use self::catch_up::{Peer, Want};
use self::reign::Reign;
use self::tally::Tallies;
use self::tree::{Check, Tree};
use crate::block::{Proposal, Rank, genesis};
use crate::certificate::Qc;
use crate::config::{Config, StartError};
use crate::evidence::Evidence;
use crate::input::{Input, Millis};
use crate::message::Message;
use crate::output::{Output, Outputs, To};
use crate::record::{Record, Recovered, Seq};
use crate::validators::Seat;
use crate::vote::{Signer, Timeout, Vote};

/// Certificates of blocks that are not here yet, at most. More mean that we are far behind and fetch ranges.
const PENDING_MAX: usize = 64;

/// Pairs of seat and rank for which evidence was given out, at most: enough to report, not to flood.
const EVIDENCE_MAX: usize = 1024;

/// The committed block.
#[derive(Debug)]
struct Tip {
    height: Height,
    hash: Hash,
    time: TimeMs,
    /// The COMMIT certificate of this block (or, just after a restart, of a later one).
    certificate: Qc,
}

/// Something of ours that counts here only once it is durable, as it does elsewhere.
#[derive(Debug)]
enum Own {
    Vote(Vote),
    Timeout(Timeout),
}

/// A validator's consensus state. Deterministic: equal inputs at equal times give equal outputs.
#[derive(Debug)]
pub struct Core {
    config: Config,
    now: Millis,
    started: bool,

    // Durable (as soon as the records handed out are).
    term: Term,
    timed_out: Term,
    lease: Option<Rank>,
    lock: Qc,
    bodies: BTreeMap<Hash, Proposal>,
    /// Committed blocks that the driver's log may still lose: a lock above them needs their bodies too.
    unlogged: BTreeMap<Height, (Hash, Proposal)>,
    /// The last record handed out, and the last one reported durable.
    handed_out: Seq,
    durable: Seq,
    /// What of ours waits to become durable before it counts.
    unsaved: Vec<(Seq, Own)>,

    // The chain.
    tip: Tip,
    applied: Height,
    tree: Tree,
    /// The highest certificate held with its block and all ancestors. Never below the lock.
    high: Qc,
    /// Certificates above `high` whose block or ancestors are missing.
    pending: BTreeMap<Rank, Qc>,
    /// COMMIT certificates above the tip.
    commits: BTreeMap<Height, Qc>,
    tallies: Tallies,

    // The term.
    reign: Reign,
    timeouts: BTreeMap<Seat, Timeout>,
    /// Terms in a row that committed nothing.
    barren: u32,

    // The driver's wishes.
    work: bool,
    ask: bool,

    // Peers and the clock.
    peers: BTreeMap<Seat, Peer>,
    wants: BTreeMap<Hash, Want>,
    range: Option<Want>,
    reported: BTreeSet<(Seat, Rank)>,
    heartbeat_at: Millis,
    retry_at: Millis,
    timer: Option<Millis>,
}

/// Where a core stands, for status pages and tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The term.
    pub term: Term,
    /// Its leader.
    pub leader: Seat,
    /// The committed height.
    pub committed: Height,
    /// The hash of the committed block.
    pub committed_hash: Hash,
    /// The rank of the highest certificate held with its block and ancestors.
    pub high: Rank,
    /// Whether this validator has left the term and waits for the next one.
    pub timed_out: bool,
}

impl Core {
    /// A core that continues from what was durable. Its first outputs come with the first step.
    ///
    /// # Errors
    /// [`StartError`]: a configuration that cannot work, or durable records from which voting would be unsafe.
    pub fn new(config: Config, mut recovered: Recovered) -> Result<Self, StartError> {
        config.check()?;
        let (chain_id, epoch) = (config.chain_id, config.validators.epoch());
        let tip = match recovered.committed.take() {
            None => Tip {
                height: Height(0),
                hash: genesis(&chain_id, epoch),
                time: TimeMs(0),
                certificate: Qc::genesis(&chain_id, epoch),
            },
            Some(committed) => Tip {
                height: committed.block.header.height,
                hash: committed.block.hash(&chain_id),
                time: committed.block.header.time,
                certificate: committed.certificate,
            },
        };
        let bodies = recovered.take_bodies(&chain_id, tip.height);
        let lock = recovered.lock.take().unwrap_or_else(|| Qc::genesis(&chain_id, epoch));
        let mut tree = Tree::new(tip.hash, tip.height);
        // A lock below a later commit is history; any other must come with everything it stands on.
        let live_lock = lock.rank.height > tip.height && lock.rank > tip.certificate.rank;
        if live_lock {
            restore_locked(&lock, &bodies, &tip, &mut tree)?;
        }
        let high = if lock.rank > tip.certificate.rank { &lock } else { &tip.certificate }.clone();
        let (term, lease) = (recovered.term, recovered.lease);
        let floor = lease.filter(|lease| lease.term == term).map(|lease| lease.height);
        let peers = config.validators.seats().map(|seat| (seat, Peer::default())).collect();
        Ok(Self {
            now: Millis(0),
            started: false,
            term,
            timed_out: recovered.timed_out,
            lease,
            lock,
            bodies,
            unlogged: BTreeMap::new(),
            handed_out: Seq(0),
            durable: Seq(0),
            unsaved: Vec::new(),
            applied: tip.height,
            tree,
            high,
            pending: BTreeMap::new(),
            commits: BTreeMap::new(),
            tallies: Tallies::default(),
            reign: Reign::resumed(Millis(0), floor),
            timeouts: BTreeMap::new(),
            barren: 0,
            work: false,
            ask: false,
            peers,
            wants: BTreeMap::new(),
            range: None,
            reported: BTreeSet::new(),
            heartbeat_at: Millis(0),
            retry_at: Millis(0),
            timer: None,
            tip,
            config,
        })
    }

    /// Takes in one event and appends what is to be done to `out`. `now` that goes back counts as standing still.
    ///
    /// # Panics
    /// If more than f validators are faulty and a committed block would have to be taken back, or the driver reports
    /// something as durable that it was never given.
    pub fn step(&mut self, now: Millis, input: Input, out: &mut Outputs) {
        self.now = self.now.max(now);
        if !self.started {
            self.start(out);
        }
        match input {
            Input::Tick => {}
            Input::Message { from, message } => self.on_message(from, message.into_message(), out),
            Input::Work { pending } => self.on_work(pending),
            Input::Payload { term, height, draft } => self.on_payload(term, height, draft, out),
            Input::Checked { block, ok } => self.on_checked(&block, ok, out),
            Input::Persisted { seq } => self.on_persisted(seq, out),
            Input::Applied { height } => self.on_applied(height),
        }
        self.advance(out);
        if self.on_time(out) {
            self.advance(out);
        }
        self.fetch(out);
        self.set_timer(out);
    }

    /// Rule 1: the first step. A new validator enters term 1; one that comes back says where it stands, and if it led
    /// when it went down it gives up the lead (rule 12).
    fn start(&mut self, out: &mut Outputs) {
        self.started = true;
        self.reign.entered_at = self.now;
        self.reign.leader_heard = self.now;
        self.heartbeat_at = self.now;
        self.retry_at = self.now;
        if self.term == Term(0) {
            self.enter(Term(1), None, out);
        } else {
            out.push(Output::EnterTerm { term: self.term, leader: self.leader() });
            if self.leader() == self.config.seat || self.timed_out >= self.term {
                self.end_term(out);
            }
        }
        if self.tip.certificate.rank.height > self.tip.height {
            let certificate = self.tip.certificate.clone();
            self.learn(certificate, out);
        }
    }

    fn on_message(&mut self, from: Seat, message: Message, out: &mut Outputs) {
        if from == self.config.seat || self.config.validators.key(from).is_none() {
            return;
        }
        if from == self.leader() {
            self.reign.leader_heard = self.now;
        }
        match message {
            Message::Propose(proposal) => self.on_proposal(*proposal, out),
            Message::Vote(vote) => self.on_vote(&vote, out),
            Message::Certificate(qc) => self.learn(qc, out),
            Message::Suspect(suspect) => self.on_suspect(from, suspect, out),
            Message::Timeout(timeout) => self.on_timeout(from, *timeout, out),
            Message::TermOver(tc) => self.on_term_over(*tc, out),
            Message::Status(status) => self.on_status(from, status, out),
            Message::FetchBlock(fetch) => self.on_fetch_block(from, fetch, out),
            Message::FetchRange(fetch) => self.on_fetch_range(from, fetch, out),
            Message::Blocks(blocks) => self.on_blocks(*blocks, out),
        }
    }

    /// Applies the rules that need no message, until none of them has anything to do.
    fn advance(&mut self, out: &mut Outputs) {
        loop {
            let mut moved = self.adopt();
            moved |= self.commit(out);
            moved |= self.check_and_prepare(out);
            moved |= self.lock_and_commit(out);
            moved |= self.propose(out);
            if !moved {
                break;
            }
        }
    }

    fn on_persisted(&mut self, seq: Seq, out: &mut Outputs) {
        assert!(seq <= self.handed_out, "a record that was never handed out cannot be durable");
        self.durable = self.durable.max(seq);
        let (ready, waiting) = std::mem::take(&mut self.unsaved)
            .into_iter()
            .partition(|(after, _)| *after <= self.durable);
        self.unsaved = waiting;
        let ready: Vec<(Seq, Own)> = ready;
        for (_, own) in ready {
            self.count_own(own, out);
        }
    }

    fn on_applied(&mut self, height: Height) {
        assert!(height <= self.tip.height, "a block that was not committed cannot be in the log");
        self.applied = self.applied.max(height);
        let applied = self.applied;
        self.bodies.retain(|_, body| body.block.header.height > applied);
        self.unlogged.retain(|at, _| *at > applied);
    }

    fn persist(&mut self, record: Record, sync: bool, out: &mut Outputs) -> Seq {
        self.handed_out = Seq(self.handed_out.0 + 1);
        out.push(Output::Persist { seq: self.handed_out, record, sync });
        self.handed_out
    }

    /// Nothing leaves before the term it belongs to is durable, nor before `after`.
    fn send(&self, to: To, message: Message, after: Option<Seq>, out: &mut Outputs) {
        out.push(Output::Send { to, message, after: self.gate(after) });
    }

    fn gate(&self, after: Option<Seq>) -> Option<Seq> {
        after.max(self.reign.entry)
    }

    /// Counts something of our own, now or when it is durable.
    fn count_when_durable(&mut self, after: Option<Seq>, own: Own, out: &mut Outputs) {
        match self.gate(after) {
            Some(seq) if seq > self.durable => self.unsaved.push((seq, own)),
            _ => self.count_own(own, out),
        }
    }

    fn count_own(&mut self, own: Own, out: &mut Outputs) {
        match own {
            Own::Vote(vote) => self.on_vote(&vote, out),
            Own::Timeout(timeout) => self.count_timeout(timeout, out),
        }
    }

    fn report(&mut self, guilty: Seat, rank: Rank, evidence: Evidence, out: &mut Outputs) {
        if self.reported.len() < EVIDENCE_MAX && self.reported.insert((guilty, rank)) {
            out.push(Output::Evidence(Box::new(evidence)));
        }
    }

    fn leader(&self) -> Seat {
        self.config.validators.leader(self.term)
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            chain_id: &self.config.chain_id,
            epoch: self.config.validators.epoch(),
            key: &self.config.key,
        }
    }

    /// Whether votes of `term` are wanted: of this term, and of the next one, which may have begun elsewhere.
    fn is_near(&self, term: Term) -> bool {
        term == self.term || term == self.term.next()
    }

    /// The greatest height of interest: blocks in flight, and room for those who are ahead of us. Counted from the
    /// highest certificate, since terms that commit nothing may still put certified blocks on top of each other.
    fn horizon(&self) -> Height {
        let base = self.tip.height.max(self.high.rank.height);
        Height(base.0.saturating_add(4 * self.config.window))
    }

    /// Whether a message is worth verifying: votes for what is already certified or final, and other late
    /// messages, are not. A cheap filter to run before [`verify`](crate::verify()).
    #[must_use]
    pub fn wants(&self, from: Seat, message: &Message) -> bool {
        if from == self.config.seat || self.config.validators.key(from).is_none() {
            return false;
        }
        match message {
            Message::Vote(vote) => {
                self.is_near(vote.rank.term)
                    && vote.rank.height > self.tip.height
                    && self.tallies.needs(vote, self.config.validators.quorum())
            }
            Message::Propose(p) => {
                p.block.header.height > self.tip.height
                    && !self.tree.contains(&p.block.hash(&self.config.chain_id))
            }
            Message::Certificate(qc) => {
                qc.rank > self.high.rank || qc.rank.height > self.tip.height
            }
            Message::Timeout(timeout) => timeout.term >= self.term,
            Message::TermOver(tc) => tc.term.next() >= self.term,
            Message::Blocks(blocks) => blocks.certificate.rank.height > self.tip.height,
            Message::Suspect(_) | Message::Status(_) => true,
            Message::FetchBlock(_) | Message::FetchRange(_) => true,
        }
    }

    /// Where the core stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            term: self.term,
            leader: self.leader(),
            committed: self.tip.height,
            committed_hash: self.tip.hash,
            high: self.high.rank,
            timed_out: self.timed_out >= self.term,
        }
    }

    /// The proposals between the committed block and `block` (inclusive), oldest first; `None` if one is unknown.
    #[must_use]
    pub fn chain_to(&self, block: &Hash) -> Option<Vec<&Proposal>> {
        let chain = self.tree.chain(block)?;
        Some(chain.iter().filter_map(|hash| Some(&self.tree.get(hash)?.proposal)).collect())
    }

    /// The fewest records that say all that is to be durable now, including what was asked for and not yet
    /// acknowledged: the start of a new write-ahead log. Once they are durable, everything handed out so far is.
    #[must_use]
    pub fn durable_records(&self) -> Vec<Record> {
        let mut records = vec![Record::Term(self.term), Record::TimedOut(self.timed_out)];
        records.extend(self.lease.map(Record::Lease));
        records.extend(self.bodies.values().map(|body| Record::Body(Box::new(body.clone()))));
        records.push(Record::Lock(Box::new(self.lock.clone())));
        records
    }
}

/// Puts the locked block and all between it and the tip into the tree.
fn restore_locked(
    lock: &Qc,
    bodies: &BTreeMap<Hash, Proposal>,
    tip: &Tip,
    tree: &mut Tree,
) -> Result<(), StartError> {
    let mut at = lock.block;
    while at != tip.hash {
        let missing = StartError::LockedBlockMissing { block: at };
        let body = bodies.get(&at).ok_or(missing)?;
        tree.insert(at, body.clone(), Check::Good);
        at = body.block.header.parent;
    }
    let entry = tree.get_mut(&lock.block).expect("inserted above: the lock is above the tip");
    entry.certificate = Some(lock.clone());
    Ok(())
}
