//! The state machine: one [`Core::step`] for every input.

mod io;
mod propose;
mod sync;
mod terms;
mod vote;

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::{Hash, Height, SecretKey, Term, TimeMs};

use crate::votes::{Tally, Votes};
use crate::{
    Lease, Lock, Message, Qc, Rank, Record, Recovered, SignedBlock, Tc, Timeout, TimeoutVote, Tip,
    ValidatorSet, Vote, VoteKind, WINDOW,
};
pub use io::{Input, Output, Outputs, Payload};

/// Blocks kept beyond the last commit, at most. Kept at 64: eight windows, so that a lying leader cannot fill memory.
const ENTRIES_MAX: usize = 64;

/// What does not change while a core lives.
#[derive(Debug)]
pub struct Config {
    /// Who votes.
    pub validators: ValidatorSet,
    /// This validator's index.
    pub me: u16,
    /// Its key.
    pub key: SecretKey,
    /// `T` of rule 6 in milliseconds, before it doubles.
    pub timeout_ms: u64,
    /// The cap on `T`.
    pub timeout_ms_max: u64,
}

/// How far the validation of a block has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validity {
    Unknown,
    Asked,
    Valid,
    Invalid,
}

/// A block that is not committed yet.
#[derive(Debug)]
struct Entry {
    signed: SignedBlock,
    payload: Vec<u8>,
    validity: Validity,
}

/// What happens once a record is durable.
#[derive(Debug)]
enum Effect {
    Send(Option<u16>, Message),
    OwnVote(Vote),
    OwnTimeout(Timeout),
}

/// What is known of a peer.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    committed: Height,
    term: Term,
}

/// The next block that this validator will propose in its term.
#[derive(Debug)]
struct Leading {
    height: Height,
    parent: Hash,
    start: Option<Box<Tc>>,
    /// Whether a payload has been asked for and not answered.
    wanting: bool,
    first: bool,
}

/// One validator. See the crate's documentation for the rules and how to drive it.
#[derive(Debug)]
pub struct Core {
    config: Config,
    now: TimeMs,
    // What the durable records say.
    term: Term,
    timed_out: Option<Term>,
    lease: Option<Lease>,
    lock: Option<Lock>,
    tip: Tip,
    // From before a restart: rule 2's last sentence.
    lease_before: Option<Lease>,
    /// A validator whose vote state is lost follows but never votes again.
    mute: bool,
    // This life.
    entries: BTreeMap<Hash, Entry>,
    votes: Votes,
    prepared: BTreeSet<Hash>,
    prepared_max: Height,
    certified: BTreeMap<Hash, Qc>,
    high: Option<Qc>,
    to_commit: Option<Qc>,
    leading: Option<Leading>,
    start: Option<Tc>,
    // Durability.
    seq_next: u64,
    persisted: u64,
    term_seq: u64,
    lease_seq: u64,
    waiting: BTreeMap<u64, Vec<Effect>>,
    // Progress.
    work: bool,
    busy_since: Option<TimeMs>,
    suspecting: bool,
    suspects: BTreeMap<u16, TimeMs>,
    timeouts: BTreeMap<Term, BTreeMap<u16, (TimeoutVote, Option<Qc>)>>,
    terms_failed: u32,
    repeat_at: TimeMs,
    status_at: TimeMs,
    fetch_at: TimeMs,
    peers: Vec<Peer>,
}

impl Core {
    /// A core at rest. Call [`Core::step`] with [`Input::Tick`] to get the first timer.
    ///
    /// # Panics
    /// If `config.me` is not the index of `config.key` among the validators.
    #[must_use]
    pub fn new(config: Config, recovered: Recovered) -> Self {
        assert_eq!(
            config.validators.key(config.me),
            Some(&config.key.public_key()),
            "the key is not validator {}'s",
            config.me
        );
        let fresh = !recovered.restarted && recovered.tip.height.0 == 0;
        let leads = fresh && config.validators.leader(recovered.term) == config.me;
        let leading = leads.then(|| Leading {
            height: recovered.tip.height.next(),
            parent: recovered.tip.hash,
            start: None,
            wanting: false,
            first: true,
        });
        let peers = vec![Peer::default(); config.validators.count()];
        let mut core = Self {
            mute: !recovered.restarted && recovered.tip.height.0 > 0,
            config,
            now: TimeMs(0),
            term: recovered.term,
            timed_out: recovered.timed_out,
            lease: recovered.lease,
            lease_before: recovered.lease,
            lock: None,
            tip: recovered.tip,
            entries: BTreeMap::new(),
            votes: Votes::default(),
            prepared: BTreeSet::new(),
            prepared_max: Height(0),
            certified: BTreeMap::new(),
            high: None,
            to_commit: None,
            leading,
            start: None,
            seq_next: 1,
            persisted: 0,
            term_seq: 0,
            lease_seq: 0,
            waiting: BTreeMap::new(),
            work: false,
            busy_since: None,
            suspecting: false,
            suspects: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            terms_failed: 0,
            repeat_at: TimeMs(0),
            status_at: TimeMs(0),
            fetch_at: TimeMs(0),
            peers,
        };
        if let Some(lock) = recovered.lock {
            if lock.block.block.height > core.tip.height {
                core.remember(lock.block.clone(), lock.payload.clone());
            }
            core.high = Some(lock.certificate.clone());
            core.lock = Some(lock);
        }
        core
    }

    /// The term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// The leader's index.
    #[must_use]
    pub fn leader(&self) -> u16 {
        self.config.validators.leader(self.term)
    }

    /// The last committed block.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// The payloads in flight, oldest first: what the next payload should not order again.
    pub fn in_flight(&self) -> impl Iterator<Item = &[u8]> {
        let mut entries: Vec<_> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.signed.block.height);
        entries.into_iter().map(|entry| entry.payload.as_slice())
    }

    /// Takes one input at a time `now` and says what is to be done. Time may stand still but not go back: an earlier
    /// `now` is taken for the latest one seen.
    pub fn step(&mut self, now: TimeMs, input: Input, out: &mut Outputs) {
        self.now = self.now.max(now);
        match input {
            Input::Tick => {}
            Input::Work(work) => self.on_work(work),
            Input::Payload(payload) => self.on_payload(payload, out),
            Input::Checked { hash, valid } => {
                if let Some(entry) = self.entries.get_mut(&hash) {
                    entry.validity = if valid { Validity::Valid } else { Validity::Invalid };
                }
            }
            Input::Persisted(seq) => self.on_persisted(seq, out),
            Input::Message { from, message } => self.on_message(from, message, out),
        }
        self.settle(out);
        self.on_time(out);
        out.push(Output::TimerAt(self.timer()));
    }

    /// Everything that may have become possible, until nothing changes.
    fn settle(&mut self, out: &mut Outputs) {
        loop {
            self.ask_for_checks(out);
            let moved = self.prepare(out) | self.lock_best(out) | self.commit(out);
            self.propose(out);
            if !moved {
                break;
            }
        }
        let busy = self.busy();
        match self.busy_since {
            None if busy => self.busy_since = Some(self.now),
            Some(_) if !busy => {
                self.busy_since = None;
                self.suspecting = false;
            }
            _ => {}
        }
    }

    fn on_message(&mut self, from: u16, message: Message, out: &mut Outputs) {
        match message {
            Message::Proposal { block, payload } => {
                if let Some(start) = &block.block.start {
                    self.on_new_term(start.as_ref().clone(), out);
                }
                self.remember(block, payload);
            }
            Message::Vote(vote) => self.on_vote(&vote, out),
            Message::Suspect { term, committed } => self.on_suspect(from, term, committed, out),
            Message::Timeout(timeout) => self.on_timeout(from, timeout, out),
            Message::NewTerm(tc) => self.on_new_term(tc, out),
            Message::Status { term, committed } => self.on_status(from, term, committed, out),
            Message::Fetch { from: height } => {
                if height <= self.tip.height {
                    out.push(Output::Serve { to: from, from: height });
                }
            }
            Message::FetchBlock(hash) => self.on_fetch_block(from, hash, out),
            Message::Blocks { blocks, certificate } => self.on_blocks(blocks, certificate, out),
        }
    }

    /// Keeps a block that may be committed later, within bounds.
    fn remember(&mut self, signed: SignedBlock, payload: Vec<u8>) {
        let height = signed.block.height;
        if height <= self.tip.height || height.0 > self.tip.height.0 + 2 * WINDOW {
            return;
        }
        let hash = signed.block.hash(&self.config.validators);
        let wanted = self.to_commit.as_ref().is_some_and(|qc| qc.block == hash)
            || self.high.as_ref().is_some_and(|qc| qc.block == hash);
        if self.entries.len() >= ENTRIES_MAX && !wanted {
            return;
        }
        let fresh = Entry { signed, payload, validity: Validity::Unknown };
        self.entries.entry(hash).or_insert(fresh);
    }

    /// Persists a record and returns its number.
    fn persist(&mut self, record: Record, out: &mut Outputs) -> u64 {
        let seq = self.seq_next;
        self.seq_next += 1;
        out.push(Output::Persist { seq, record });
        seq
    }

    /// Does something once everything up to `seq` is durable.
    fn after(&mut self, seq: u64, effect: Effect, out: &mut Outputs) {
        if seq <= self.persisted {
            self.effect(effect, out);
        } else {
            self.waiting.entry(seq).or_default().push(effect);
        }
    }

    fn on_persisted(&mut self, seq: u64, out: &mut Outputs) {
        self.persisted = self.persisted.max(seq);
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > self.persisted {
                break;
            }
            for effect in entry.remove() {
                self.effect(effect, out);
            }
        }
    }

    fn effect(&mut self, effect: Effect, out: &mut Outputs) {
        match effect {
            Effect::Send(to, message) => out.push(Output::Send { to, message }),
            Effect::OwnVote(vote) => {
                out.push(Output::Send { to: None, message: Message::Vote(vote) });
                self.on_vote(&vote, out);
            }
            Effect::OwnTimeout(timeout) => {
                let message = Message::Timeout(timeout.clone());
                out.push(Output::Send { to: None, message });
                self.on_timeout(self.config.me, timeout, out);
            }
        }
    }

    fn on_vote(&mut self, vote: &Vote, out: &mut Outputs) {
        let far = vote.height.0 > self.tip.height.0 + 4 * WINDOW || vote.term.0 > self.term.0 + 8;
        if vote.height <= self.tip.height || far {
            return;
        }
        match self.votes.add(vote, self.config.validators.quorum()) {
            Tally::Certificate(qc) => self.on_certificate(qc),
            Tally::Pending => {}
            Tally::Double(pair) => out.push(Output::Evidence(pair)),
        }
    }

    /// Learns a certificate, whoever assembled it.
    fn on_certificate(&mut self, qc: Qc) {
        if self.high.as_ref().is_none_or(|high| qc.rank() > high.rank()) {
            self.high = Some(qc.clone());
        }
        let better = self.to_commit.as_ref().is_none_or(|old| qc.height > old.height);
        if qc.kind == VoteKind::Commit && qc.height > self.tip.height && better {
            self.to_commit = Some(qc.clone());
        }
        if qc.term == self.term {
            self.certified.insert(qc.block, qc);
        }
    }

    /// Whether there is something to make progress with: work, or a block that is not final.
    fn busy(&self) -> bool {
        self.work
            || self.high.as_ref().is_some_and(|qc| qc.height > self.tip.height)
            || self.entries.values().any(|entry| {
                entry.signed.block.term == self.term && entry.validity != Validity::Invalid
            })
    }

    fn gave_up(&self) -> bool {
        self.timed_out.is_some_and(|term| term >= self.term)
    }

    fn lock_rank(&self) -> Rank {
        self.lock.as_ref().map(|lock| lock.certificate.rank()).unwrap_or_default()
    }

    /// Height and time of a block that is the tip or waits.
    fn position(&self, hash: Hash) -> Option<(Height, TimeMs)> {
        if hash == self.tip.hash {
            return Some((self.tip.height, self.tip.time));
        }
        let block = &self.entries.get(&hash)?.signed.block;
        Some((block.height, block.time))
    }
}
