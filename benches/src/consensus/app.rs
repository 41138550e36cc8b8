//! The benchmark's application: a log of opaque transactions, with nothing to execute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gongsuan::replica::{
    Answer, Application, Archive, Context, Front, Gate, Pace, Peers, Verdict, Work, wall,
};
use gongsuan_consensus::{
    AppRef, CommittedBlock, Draft, PAYLOAD_BYTES_MAX, Payload, Proposal, Seat, To, WantPayload,
};
use gongsuan_types::{Hash, Height, Term};

use super::door::{Batch, Clients};
use super::fate::{Fate, Fates};
use super::log::OpaqueLog;
use super::tx::{self, Name};

/// Bytes of a payload, at most.
const BLOCK_BYTES: usize = PAYLOAD_BYTES_MAX - 1_024;
/// Bytes that wait at a leader, at most: more than all doors together let in.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How long a transaction may be on its way before the leader is told again.
const TELL_AGAIN: Duration = Duration::from_millis(300);
/// Commits that may wait for the disk before a leader stops proposing.
const LAG_MAX: u64 = 128;

/// What reaches the application.
#[derive(Debug)]
pub(super) enum Event {
    /// A client's transactions, at this door.
    Submit(Batch),
    /// Transactions that came in at another door.
    Forwarded(Batch),
}

/// What a replica measures.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// From proposal to commit, in microseconds, of this replica's own blocks.
    pub(super) latency_us: Vec<u64>,
    pub(super) blocks: u64,
    pub(super) txs: u64,
    /// Transactions that were in the log already.
    pub(super) doubles: u64,
    pub(super) leader: u16,
    pub(super) term: u64,
    pub(super) height: u64,
    pub(super) durable: u64,
    /// Batches of clients of this door that are not final.
    pub(super) open: usize,
}

/// How a replica of the benchmark behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) gap: Duration,
    pub(super) worth: usize,
    /// Propose blocks without transactions, as fast as they go.
    pub(super) empty: bool,
}

/// The application.
#[derive(Debug)]
pub(super) struct Opaque {
    seat: Seat,
    options: Options,
    clients: Clients,
    archive: Archive,
    fates: Fates,
    pace: Pace,
    /// What clients of this door wait for, oldest first.
    own: VecDeque<(Batch, Instant)>,
    /// What this replica would propose.
    queue: VecDeque<Batch>,
    queue_bytes: usize,
    /// Whether the blocks on the way when the term began have been looked through.
    looked: bool,
    proposed: BTreeMap<Height, Instant>,
    durable: Height,
    /// Final transactions that are to be answered once that height is durable.
    late: Vec<(Height, Name)>,
    stats: Arc<Mutex<Stats>>,
}

/// Takes in what other replicas forward.
pub(super) fn gate() -> Gate<Event> {
    Arc::new(|_, bytes| {
        tx::is_whole(bytes).then(|| Event::Forwarded(Batch { bytes: Arc::new(bytes.to_vec()) }))
    })
}

impl Opaque {
    pub(super) fn start(
        (seat, options): (Seat, Options),
        log: OpaqueLog,
        (clients, stats): (Clients, Arc<Mutex<Stats>>),
        (front, peers): (Front<Event>, Peers),
    ) -> std::io::Result<Self> {
        let durable = log.head();
        let archive = Archive::start(log, peers, front)?;
        Ok(Self {
            seat,
            options,
            clients,
            archive,
            fates: Fates::default(),
            pace: Pace::new(options.gap, options.worth, BLOCK_BYTES),
            own: VecDeque::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            looked: false,
            proposed: BTreeMap::new(),
            durable,
            late: Vec::new(),
            stats,
        })
    }

    fn stats(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn enqueue(&mut self, batch: Batch) {
        if self.queue_bytes + batch.bytes.len() > QUEUE_BYTES_MAX {
            return;
        }
        let mut is_new = false;
        for (name, _) in tx::walk(&batch.bytes) {
            if self.fates.get(name) == Fate::Unknown {
                self.fates.set(name, Fate::Queued);
                is_new = true;
            }
        }
        if is_new {
            self.queue_bytes += batch.bytes.len();
            self.queue.push_back(batch);
        }
    }

    fn submit(&mut self, batch: Batch, cx: &Context<'_>) {
        for (name, _) in tx::walk(&batch.bytes) {
            if self.fates.get(name) == Fate::Final {
                // Whatever is final here by now is in the log by then.
                self.late.push((cx.core.progress().committed, name));
            }
        }
        self.hand_on(&batch, cx);
        self.own.push_back((batch, cx.now));
    }

    /// To the leader, which may be this replica.
    fn hand_on(&mut self, batch: &Batch, cx: &Context<'_>) {
        let leader = cx.core.progress().leader;
        if leader == self.seat {
            self.enqueue(batch.clone());
        } else {
            cx.peers.tell(To::One(leader), &[&batch.bytes]);
        }
    }

    /// Forgets the oldest batches of clients here that are final.
    fn close(&mut self) {
        while let Some((batch, _)) = self.own.front() {
            if tx::walk(&batch.bytes).any(|(name, _)| self.fates.get(name) != Fate::Final) {
                break;
            }
            self.clients.release(batch.bytes.len());
            self.own.pop_front();
        }
    }

    fn on_durable(&mut self, height: Height) {
        self.durable = height;
        let (ready, late): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= height);
        self.late = late;
        if !ready.is_empty() {
            self.clients.tell_final(ready.into_iter().map(|(_, name)| name));
        }
        let open = self.own.len();
        self.stats(|stats| (stats.durable, stats.open) = (height.0, open));
    }

    /// Moves transactions from the queue into a payload.
    fn fill(&mut self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.queue_bytes.min(BLOCK_BYTES));
        while let Some(batch) = self.queue.front() {
            let bytes = batch.bytes.clone();
            let mut is_full = false;
            for (name, range) in tx::walk(&bytes) {
                let tx = &bytes[range];
                if payload.len() + tx.len() > BLOCK_BYTES {
                    is_full = true;
                    break;
                }
                if self.fates.get(name) == Fate::Queued {
                    payload.extend_from_slice(tx);
                    self.fates.set(name, Fate::Proposed);
                }
            }
            if is_full {
                // Those before are proposed by now and are passed over the next time.
                break;
            }
            self.queue_bytes -= bytes.len();
            self.queue.pop_front();
        }
        payload
    }

    fn due(&self, cx: &Context<'_>) -> Instant {
        let waiting = if self.options.empty { BLOCK_BYTES } else { self.queue_bytes };
        self.pace.due(waiting, self.proposed.len() as u64, cx.now)
    }

    fn is_lagging(&self, cx: &Context<'_>) -> bool {
        cx.core.progress().committed.0 > self.durable.0 + LAG_MAX
    }

    fn tell_again(&mut self, cx: &mut Context<'_>) {
        let Some((_, since)) = self.own.front() else { return };
        if cx.now < *since + TELL_AGAIN {
            cx.wake_at(*since + TELL_AGAIN);
            return;
        }
        let mut own = std::mem::take(&mut self.own);
        for (batch, since) in &mut own {
            if cx.now >= *since + TELL_AGAIN {
                *since = cx.now;
                self.hand_on(batch, cx);
            }
        }
        self.own = own;
        cx.wake_at(cx.now + TELL_AGAIN);
    }
}

impl Application for Opaque {
    type Event = Event;

    fn on_event(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Submit(batch) => self.submit(batch, cx),
            Event::Forwarded(batch) => self.enqueue(batch),
        }
    }

    fn on_nudge(&mut self, cx: &mut Context<'_>) {
        let height = self.archive.durable();
        if height > self.durable {
            self.on_durable(height);
            cx.applied(height);
        }
    }

    fn draft(&mut self, want: &WantPayload, cx: &mut Context<'_>) -> Answer {
        if !self.looked {
            self.looked = true;
            for ancestor in &want.ancestors {
                for (name, _) in tx::walk(ancestor.payload.bytes()) {
                    self.fates.set(name, Fate::Proposed);
                }
            }
        }
        let is_wanted = self.work(cx) == Work::Now;
        if !is_wanted && !want.required {
            return Answer::Nothing;
        }
        let payload = self.fill();
        if payload.is_empty() && !want.required && !self.options.empty {
            return Answer::Nothing;
        }
        self.pace.proposed(cx.now);
        self.proposed.insert(want.height, cx.now);
        let time = wall().max(want.parent_time.next());
        Answer::Propose(Draft {
            payload: Payload::new(payload),
            app: AppRef::default(),
            time,
            next: None,
        })
    }

    fn check(&mut self, _block: &Hash, proposal: &Proposal, _cx: &mut Context<'_>) -> Verdict {
        let is_whole = tx::is_whole(proposal.payload.bytes());
        if is_whole { Verdict::Good } else { Verdict::Bad }
    }

    fn commit(&mut self, blocks: Vec<CommittedBlock>, cx: &mut Context<'_>) {
        let (mut txs, mut doubles) = (0, 0);
        let (mut latencies, mut names) = (Vec::new(), Vec::new());
        for block in &blocks {
            for (name, _) in tx::walk(block.proposal.payload.bytes()) {
                txs += 1;
                doubles += u64::from(self.fates.set(name, Fate::Final) == Fate::Final);
                names.push(name);
            }
            if let Some(since) = self.proposed.remove(&block.proposal.block.header.height) {
                latencies.push(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        }
        self.close();
        let progress = cx.core.progress();
        self.stats(|stats| {
            stats.blocks += blocks.len() as u64;
            stats.txs += txs;
            stats.doubles += doubles;
            stats.latency_us.extend(latencies);
            stats.height = progress.committed.0;
        });
        let is_saved = cx.is_saved(&blocks);
        if is_saved {
            self.clients.tell_final(names.into_iter());
        } else {
            self.late.extend(names.into_iter().map(|name| (progress.committed, name)));
        }
        self.archive.append(blocks, !is_saved);
    }

    fn serve(&mut self, to: Seat, from: Height, up_to: Height, _cx: &mut Context<'_>) {
        self.archive.serve(to, from, up_to);
    }

    fn work(&mut self, cx: &mut Context<'_>) -> Work {
        self.tell_again(cx);
        if self.own.is_empty() && self.queue_bytes == 0 && !self.options.empty {
            return Work::None;
        }
        if cx.core.progress().leader != self.seat {
            return Work::Later;
        }
        if self.is_lagging(cx) || (self.queue_bytes == 0 && !self.options.empty) {
            return Work::Later;
        }
        let due = self.due(cx);
        if due <= cx.now {
            return Work::Now;
        }
        cx.wake_at(due);
        Work::Later
    }

    fn on_term(&mut self, term: Term, leader: Seat, cx: &mut Context<'_>) {
        let leads = leader == self.seat;
        self.looked = false;
        self.proposed.clear();
        self.fates.forget(leads);
        if !leads {
            self.queue.clear();
            self.queue_bytes = 0;
        }
        self.stats(|stats| (stats.leader, stats.term) = (leader.0, term.0));
        let own = std::mem::take(&mut self.own);
        for (batch, _) in &own {
            self.hand_on(batch, cx);
        }
        self.own = own;
    }
}
