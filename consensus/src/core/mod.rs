//! The core: a state, a step, and one file for each family of rules.

mod accuse;
mod ballot;
mod catch_up;
mod clock;
mod commit;
mod epoch;
mod observe;
mod prepare;
mod propose;
mod reign;
mod snapshot;
mod tally;
mod term;
mod tip;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::{Hash, Height, Term};

use self::accuse::Memory;
use self::catch_up::{Peer, Want};
use self::observe::Observer;
use self::reign::Reign;
use self::snapshot::Snapshots;
use self::tally::Tallies;
use self::tip::Tip;
use self::tree::{Check, Tree};
use crate::block::{Proposal, Rank};
use crate::certificate::Qc;
use crate::config::{Config, StartError};
use crate::epoch::Epoch;
use crate::evidence::Evidence;
use crate::input::{Input, Millis};
use crate::message::{Blocks, Message};
use crate::output::{Output, Outputs, To};
use crate::record::{Record, Recovered, Seq};
use crate::validators::{Seat, ValidatorSet};
use crate::verify::VerifiedMessage;
use crate::vote::{Signer, Timeout, VoteKind};

/// Whether a rule is broken on purpose.
macro_rules! planted {
    ($core:expr, $fault:ident) => {
        $core.is_planted(crate::faults::Fault::$fault)
    };
}
pub(crate) use planted;

/// Certificates of blocks that are not here yet, at most. More mean that we are far behind and fetch ranges.
const PENDING_MAX: usize = 64;

/// Pairs of seat and rank for which evidence was given out, at most: enough to report, not to flood.
const EVIDENCE_MAX: usize = 1024;

/// A timeout of ours counts here only once it is durable, as it does elsewhere.
#[derive(Debug)]
struct Unsaved {
    after: Seq,
    timeout: Timeout,
}

/// A validator's consensus state. Deterministic: equal inputs at equal times give equal outputs.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent wish of the driver")]
#[derive(Debug)]
pub struct Core {
    config: Config,
    epoch: Epoch,
    /// This node's place among the epoch's validators; a learner has none.
    seat: Option<Seat>,
    /// While it is not known what this key has signed: until then it has no seat.
    observer: Option<Observer>,
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
    /// The record of the epoch's beginning: nothing of the epoch commits before it is durable.
    epoch_entry: Option<Seq>,
    /// What of ours waits to become durable before it counts.
    unsaved: Vec<Unsaved>,

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
    starved: bool,
    /// The lowest height in the driver's log.
    lowest: Height,

    // Peers and the clock.
    peers: BTreeMap<Seat, Peer>,
    wants: BTreeMap<Hash, Want>,
    range: Option<Want>,
    snapshots: Snapshots,
    memory: Memory,
    reported: BTreeSet<(Seat, Rank)>,
    heartbeat_at: Millis,
    retry_at: Millis,
    /// When somebody without a seat was last asked for blocks.
    stranger_asked: Option<Millis>,
    timer: Option<Millis>,
}

/// Where a core stands, for status pages and tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The epoch's number.
    pub epoch: u64,
    /// This node's seat in it; a learner has none.
    pub seat: Option<Seat>,
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
        let chain_id = config.chain_id;
        let first = || Epoch::first(&chain_id, config.validators.clone());
        let epoch = recovered.epoch.take().unwrap_or_else(first);
        // Alone there is nobody whom it could contradict, and nobody to ask.
        let observes = recovered.observing && epoch.validators().len() > 1;
        let observer = observes.then(Observer::default);
        let own = epoch.validators().seat_of(&config.key.public_key());
        let seat = own.filter(|_| !observes);
        let tip = Tip::recovered(recovered.committed.take(), &epoch, &chain_id)?;
        let bodies = recovered.take_bodies(&chain_id, tip.height);
        let lock = recovered.lock.take().unwrap_or_else(|| epoch.certificate());
        #[cfg(feature = "faults")]
        let lock = match config.fault {
            Some(crate::faults::Fault::ForgetLock) => epoch.certificate(),
            _ => lock,
        };
        let mut tree = Tree::new(tip.hash, tip.height);
        // A lock below a later commit is history; any other must come with everything it stands on.
        let live_lock = lock.rank.height > tip.height && lock.rank > tip.certificate.rank;
        if live_lock {
            restore_locked(&lock, &bodies, &tip, &mut tree)?;
        }
        let high = if lock.rank > tip.certificate.rank { &lock } else { &tip.certificate }.clone();
        let (term, lease) = (recovered.term, recovered.lease);
        let floor = lease.filter(|lease| lease.term == term).map(|lease| lease.height);
        let peers = epoch.validators().seats().map(|seat| (seat, Peer::default())).collect();
        Ok(Self {
            seat,
            observer,
            epoch,
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
            epoch_entry: None,
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
            starved: false,
            lowest: Height(0),
            peers,
            wants: BTreeMap::new(),
            range: None,
            snapshots: Snapshots::default(),
            memory: Memory::default(),
            reported: BTreeSet::new(),
            heartbeat_at: Millis(0),
            retry_at: Millis(0),
            stranger_asked: None,
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
            Input::Message { from, message } => self.on_message(from, message, out),
            Input::Work { pending } => self.on_work(pending),
            Input::Starved { starved } => self.starved = starved,
            Input::HandOver => self.hand_over(),
            Input::Pruned { lowest } => self.lowest = self.lowest.max(lowest),
            Input::Installed { height, ok } => self.on_installed(height, ok, out),
            Input::Payload { term, height, draft } => self.on_payload(term, height, draft, out),
            Input::Checked { block, ok } => self.on_checked(&block, ok, out),
            Input::Persisted { seq } => self.on_persisted(seq, out),
            Input::Applied { height } => self.on_applied(height, out),
        }
        self.advance(out);
        if self.on_time(out) {
            self.advance(out);
        }
        self.fetch(out);
        self.fetch_chunks(out);
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
        if self.tip.next.is_some() {
            self.enter_epoch(out);
        } else if self.term == Term(0) {
            self.enter(self.epoch.first_term(), None, out);
        } else {
            out.push(Output::EnterTerm { term: self.term, leader: self.leader() });
            let abdicates = self.leads() && !planted!(self, ProposeAfterRestart);
            if abdicates || self.timed_out >= self.term {
                self.end_term(out);
            }
        }
        if self.tip.certificate.rank.height > self.tip.height {
            let certificate = self.tip.certificate.clone();
            self.learn(certificate, out);
        }
    }

    fn on_message(&mut self, from: Seat, message: VerifiedMessage, out: &mut Outputs) {
        // What was checked against other validators proves nothing here.
        if Some(from) == self.seat || message.epoch() != self.epoch.number() {
            return;
        }
        let message = message.into_message();
        if self.set().key(from).is_none() {
            self.on_learner(from, &message, out);
            return;
        }
        if from == self.leader() {
            self.reign.leader_heard = self.now;
        }
        match message {
            Message::Propose(proposal) => self.on_proposal(*proposal, out),
            Message::Vote(vote) => self.on_vote(&vote, out),
            Message::Votes(joined) => {
                for vote in joined.split(&self.config.chain_id) {
                    self.on_vote(&vote, out);
                }
            }
            Message::Certificate(qc) => self.learn(qc, out),
            Message::Suspect(suspect) => self.on_suspect(from, suspect, out),
            Message::Timeout(timeout) => self.on_timeout(from, *timeout, out),
            Message::TermOver(tc) => self.on_term_over(*tc, out),
            Message::Reopen(tc) => self.on_reopen(from, *tc, out),
            Message::Status(status) => self.on_status(from, status, out),
            Message::FetchBlock(fetch) => self.on_fetch_block(from, fetch, out),
            Message::FetchRange(fetch) => self.on_fetch_range(from, fetch, out),
            Message::Blocks(blocks) => self.on_blocks(*blocks, out),
            Message::Snapshot(offer) => self.on_offer(from, *offer),
            Message::FetchChunk(fetch) => out.push(Output::ServeChunk { to: from, fetch }),
            Message::Chunk(chunk) => self.on_chunk(*chunk, out),
        }
    }

    /// Learners are answered and never counted. Seats at or above the number of validators are theirs, and those of
    /// validators of other epochs.
    fn on_learner(&mut self, from: Seat, message: &Message, out: &mut Outputs) {
        match message {
            Message::FetchBlock(fetch) => self.on_fetch_block(from, *fetch, out),
            Message::FetchRange(fetch) => self.on_fetch_range(from, *fetch, out),
            Message::FetchChunk(fetch) => {
                out.push(Output::ServeChunk { to: from, fetch: *fetch });
            }
            // Validators of a later epoch need not be ours; they are the ones that can help.
            Message::Status(status) => self.on_strange_status(from, *status, out),
            // Final blocks prove themselves, whoever sends them.
            Message::Blocks(blocks) => self.on_blocks((**blocks).clone(), out),
            Message::Propose(_)
            | Message::Vote(_)
            | Message::Votes(_)
            | Message::Certificate(_)
            | Message::Suspect(_)
            | Message::Timeout(_)
            | Message::TermOver(_)
            | Message::Reopen(_)
            | Message::Snapshot(_)
            | Message::Chunk(_) => {}
        }
    }

    /// Applies the rules that need no message, until none of them has anything to do.
    fn advance(&mut self, out: &mut Outputs) {
        loop {
            let mut moved = self.adopt();
            moved |= self.commit(out);
            self.take_seat(out);
            moved |= self.check_and_prepare(out);
            moved |= self.lock_and_commit(out);
            moved |= self.propose(out);
            moved |= self.sign_ballots(out);
            if !moved {
                break;
            }
        }
    }

    fn on_persisted(&mut self, seq: Seq, out: &mut Outputs) {
        assert!(seq <= self.handed_out, "a record that was never handed out cannot be durable");
        self.durable = self.durable.max(seq);
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsaved)
            .into_iter()
            .partition(|unsaved| unsaved.after <= self.durable);
        self.unsaved = waiting;
        for Unsaved { timeout, .. } in ready {
            self.count_timeout(timeout, out);
        }
    }

    fn on_applied(&mut self, height: Height, out: &mut Outputs) {
        assert!(height <= self.tip.height, "a block that was not committed cannot be in the log");
        self.applied = self.applied.max(height);
        let applied = self.applied;
        self.bodies.retain(|_, body| body.block.header.height > applied);
        self.unlogged.retain(|at, _| *at > applied);
        if self.tip.next.is_some() && applied == self.tip.height {
            self.enter_epoch(out);
        }
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

    fn report(&mut self, guilty: Seat, rank: Rank, evidence: Evidence, out: &mut Outputs) {
        if planted!(self, NeverAccuse) {
            return;
        }
        if self.reported.len() < EVIDENCE_MAX && self.reported.insert((guilty, rank)) {
            out.push(Output::Evidence(Box::new(evidence)));
        }
    }

    /// Without the feature `faults` nothing ever is, and the question costs nothing.
    #[cfg_attr(not(feature = "faults"), expect(clippy::unused_self, reason = "see above"))]
    fn is_planted(&self, fault: crate::faults::Fault) -> bool {
        #[cfg(feature = "faults")]
        return self.config.fault == Some(fault);
        #[cfg(not(feature = "faults"))]
        {
            let _ = fault;
            false
        }
    }

    fn set(&self) -> &ValidatorSet {
        self.epoch.validators()
    }

    fn leader(&self) -> Seat {
        self.set().leader(self.term)
    }

    fn leads(&self) -> bool {
        self.seat == Some(self.leader())
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            chain_id: &self.config.chain_id,
            epoch: self.epoch.number(),
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
        if Some(from) == self.seat {
            return false;
        }
        let asks = matches!(
            message,
            Message::FetchBlock(_) | Message::FetchRange(_) | Message::FetchChunk(_)
        );
        if asks || self.set().key(from).is_none() {
            let is_new = |blocks: &Blocks| blocks.certificate.rank.height > self.tip.height;
            let helps = matches!(message, Message::Blocks(blocks) if is_new(blocks));
            return asks || helps || matches!(message, Message::Status(_));
        }
        let wants_vote = |kind, rank: Rank, block: &Hash, seat| {
            self.is_near(rank.term)
                && rank.height > self.tip.height
                && (rank.height <= self.horizon() || planted!(self, UnboundedBuffers))
                && self.tallies.needs((rank, kind), block, seat, self.set().quorum())
        };
        match message {
            Message::Vote(vote) => wants_vote(vote.kind, vote.rank, &vote.block, vote.seat),
            Message::Votes(joined) => {
                let (prepare, commit) = (joined.prepare, joined.commit);
                wants_vote(VoteKind::Prepare, prepare.0, &prepare.1, joined.seat)
                    || wants_vote(VoteKind::Commit, commit.0, &commit.1, joined.seat)
            }
            Message::Propose(p) => {
                p.block.header.height > self.tip.height
                    && !self.tree.contains(&p.block.hash(&self.config.chain_id))
            }
            Message::Certificate(qc) => {
                qc.rank > self.high.rank || qc.rank.height > self.tip.height
            }
            Message::Timeout(timeout) => timeout.term >= self.term,
            Message::TermOver(tc) | Message::Reopen(tc) => tc.term.next() >= self.term,
            Message::Blocks(blocks) => blocks.certificate.rank.height > self.tip.height,
            Message::Snapshot(offer) => offer.height > self.tip.height,
            Message::Chunk(chunk) => self.wants_chunk(chunk),
            Message::Suspect(_) | Message::Status(_) => true,
            Message::FetchBlock(_) | Message::FetchRange(_) | Message::FetchChunk(_) => true,
        }
    }

    /// The epoch: what messages are to be verified against.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Where the core stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            epoch: self.epoch.number(),
            seat: self.seat,
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

    /// Blocks, votes, certificates and wishes held in memory: a bounded number, whatever others send.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.tree.len()
            + self.tallies.len()
            + self.pending.len()
            + self.commits.len()
            + self.wants.len()
            + self.bodies.len()
            + self.timeouts.len()
            + self.reign.suspects.len()
    }

    /// The fewest records that say all that is to be durable now, including what was asked for and not yet
    /// acknowledged: the start of a new write-ahead log. Once they are durable, everything handed out so far is.
    #[must_use]
    pub fn durable_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if self.epoch.number() > 0 {
            records.push(Record::Epoch(Box::new(self.epoch.clone())));
        }
        if self.observer.is_some() {
            records.push(Record::Observing(true));
        }
        records.extend([Record::Term(self.term), Record::TimedOut(self.timed_out)]);
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
