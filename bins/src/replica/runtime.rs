//! The replica thread.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{at, never, select_biased};
use gongsuan_consensus::{
    Core, Input, Message, Output, Outputs, Proposal, Rank, Seat, Seq, To, Vote, VoteKind,
    WantPayload,
};
use gongsuan_types::{Hash, PublicKey, Term};

use super::Clock;
use super::application::{Answer, Application, Context, Gate, Verdict, Wishes, Work};
use super::ballots::Ballots;
use super::counters::{Counters, count};
use super::disk::Disk;
use super::inbox::{Checked, Front, FrontEvent, Inbox, Raw, ToldEvent, queues};
use super::peers::Peers;
use super::roster::Roster;
use super::turn::share;
use super::verify::Checker;
use super::wal::Wal;
use crate::net::{self, Identity};

/// Messages handled before the application is asked for work again.
const BATCH: usize = 64;
/// How soon a block that cannot be judged yet is looked at again.
const RECHECK: Duration = Duration::from_millis(20);
/// How long a leader that is told to stop waits for its successor. A few milliseconds are enough where there is a quorum; where there is
/// none there is no successor.
const FAREWELL: Duration = Duration::from_millis(250);

/// What a replica is made of.
#[derive(Debug)]
pub struct Setup {
    /// The core, recovered.
    pub core: Core,
    /// The vote log it was recovered from.
    pub wal: Wal,
    /// Who this replica is.
    pub identity: Identity,
    /// Where it listens for the others.
    pub socket: TcpListener,
    /// Where the others listen. Nodes that are not here and open a link are dialled back.
    pub addresses: Vec<(PublicKey, SocketAddr)>,
}

/// A running replica.
pub struct Replica<E> {
    front: Front<E>,
    p2p: SocketAddr,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<E> std::fmt::Debug for Replica<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replica({})", self.p2p)
    }
}

impl<E: Send + 'static> Replica<E> {
    /// Starts all threads. `make` builds the application, given its queue and the links; `gate` turns what the
    /// applications of peers say into events.
    ///
    /// # Errors
    /// What the application or the system said.
    pub fn start<A: Application<Event = E>>(
        setup: Setup,
        gate: Gate<E>,
        make: impl FnOnce(Front<E>, Peers) -> anyhow::Result<A>,
    ) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        let p2p = setup.socket.local_addr()?;
        let epoch = setup.core.epoch().clone();
        let identity = Identity { port: p2p.port(), ..setup.identity };
        let roster = Arc::new(Roster::new(epoch.validators().clone()));
        let peers =
            Peers::connect(&setup.addresses, identity.clone(), roster.clone(), counters.clone());
        let (seat, quorum) = (setup.core.progress().seat, epoch.validators().quorum());
        let checker = Checker::new(identity.chain_id, epoch);
        let (news, entrance, inbox) = queues(checker.clone(), roster, gate, counters.clone());
        let front = entrance.front.clone();
        let app = make(front.clone(), peers.clone())?;
        let disk = Disk::start(setup.wal, news, counters.clone())?;
        let links = peers.clone();
        let runtime = Runtime {
            core: setup.core,
            app,
            peers,
            disk,
            clock: Clock::start(),
            checker,
            counters: counters.clone(),
            seat,
            ballots: Ballots::new(seat, quorum),
            saved: Rank::default(),
            handed: Seq(0),
            persisted: Seq(0),
            held: Vec::new(),
            timer: None,
            wishes: Wishes::default(),
            pending: false,
            asking: false,
            starved: false,
            farewell: None,
            delayed: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("replica".into())
            .spawn(move || runtime.run(&inbox))?;
        let stop = Arc::new(AtomicBool::new(false));
        net::listen(setup.socket, identity, stop.clone(), move |arrival: &net::Arrival| {
            let (guest, entrance) = (links.welcome(arrival)?, entrance.clone());
            Some(move |frame: &[u8]| entrance.take(&guest, frame))
        });
        Ok(Self { front, p2p, counters, stop, thread: Some(thread) })
    }

    /// The application's queue.
    #[must_use]
    pub fn front(&self) -> &Front<E> {
        &self.front
    }

    /// Where it listens for other replicas.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.p2p
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether the replica thread still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the replica: if it leads, after what is in flight is final and another leads, or 250 ms later. The application is dropped
    /// when this returns.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.front.stop();
        // Wakes the listener so that it sees the flag.
        drop(std::net::TcpStream::connect(self.p2p));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Runtime<A: Application> {
    core: Core,
    app: A,
    peers: Peers,
    disk: Disk,
    clock: Clock,
    checker: Checker,
    counters: Arc<Counters>,
    /// Our place among the validators; a learner has none.
    seat: Option<Seat>,
    /// Votes that wait to be verified.
    ballots: Ballots,
    /// What this replica's last COMMIT was for: that block and its ancestors are durable in the vote log.
    saved: Rank,
    /// The last record handed to the disk, and the last one it reported.
    handed: Seq,
    persisted: Seq,
    /// Messages that wait until a record is durable.
    held: Vec<(Seq, To, Message)>,
    /// When the core wants a tick.
    timer: Option<Instant>,
    wishes: Wishes,
    /// What the core was last told about work, and whether it will ask for a payload as soon as there is room.
    pending: bool,
    asking: bool,
    /// Whether the core was told that something starves.
    starved: bool,
    /// Told to stop while leading: the term that is handed over, and until when that may take.
    farewell: Option<(Term, Instant)>,
    /// Blocks whose check waits.
    delayed: Vec<(Hash, Proposal)>,
}

enum Next<E> {
    News,
    Small(Raw),
    Heavy(Checked),
    Front(FrontEvent<E>),
    Told(ToldEvent<E>),
    Time,
}

impl<A: Application> Runtime<A> {
    fn run(mut self, inbox: &Inbox<A::Event>) {
        self.drive(Input::Tick);
        while !self.has_parted() {
            self.settle();
            let next = self.wait(inbox);
            if !self.handle(next) {
                return;
            }
            // What else is there: verified blocks first, since our vote comes before others' are worth verifying; then votes;
            // then the front door's share.
            for _ in 0..BATCH {
                let Some(next) = poll(inbox) else { break };
                if !self.handle(next) {
                    return;
                }
            }
            let events = std::iter::successors(Some(0_usize), |turn| Some(turn + 1))
                .map_while(|turn| knock(inbox, turn));
            for event in share(events, BATCH, Instant::now) {
                if !self.handle(event) {
                    return;
                }
            }
        }
    }

    /// Sleeps until something arrives or the next timer.
    fn wait(&self, inbox: &Inbox<A::Event>) -> Next<A::Event> {
        let farewell = self.farewell.map(|(_, until)| until);
        let due = [self.timer, self.wishes.wake, self.ballots.due(), farewell];
        let due = due.into_iter().flatten().min();
        let time = due.map_or_else(never, at);
        // A queue's other end closes only when the replica stops.
        select_biased! {
            recv(inbox.news) -> _ => Next::News,
            recv(inbox.blocks) -> block => block.map_or(Next::Time, Next::Heavy),
            recv(inbox.votes) -> vote => vote.map_or(Next::Time, Next::Small),
            recv(inbox.bulk) -> range => range.map_or(Next::Time, Next::Heavy),
            recv(inbox.front) -> event => event.map_or(Next::Time, Next::Front),
            recv(inbox.told) -> told => told.map_or(Next::Time, Next::Told),
            recv(time) -> _ => Next::Time,
        }
    }

    /// `false` when told to stop.
    fn handle(&mut self, next: Next<A::Event>) -> bool {
        match next {
            Next::News => self.on_news(),
            Next::Small((from, message)) => self.on_small(from, message),
            Next::Heavy((from, message)) => {
                self.drive(Input::Message { from, message: *message });
            }
            Next::Front(FrontEvent::App(event)) => {
                self.ask(|app, cx| app.on_event(event, cx));
            }
            Next::Told(ToldEvent { event, room }) => {
                self.ask(|app, cx| app.on_event(event, cx));
                drop(room);
            }
            Next::Front(FrontEvent::Stop) => {
                let progress = self.core.progress();
                if Some(progress.leader) != self.seat || progress.timed_out {
                    return false;
                }
                self.farewell = Some((progress.term, Instant::now() + FAREWELL));
                self.drive(Input::HandOver);
            }
            Next::Time => {}
        }
        self.tally();
        self.tell_applied();
        if self.timer.is_some_and(|at| at <= Instant::now()) {
            self.timer = None;
            for vote in self.ballots.drain() {
                self.verify(vote.seat, Message::Vote(vote));
            }
            self.drive(Input::Tick);
        }
        true
    }

    /// Whether the lead was given up, as it is before a stop, or nobody takes it.
    fn has_parted(&self) -> bool {
        self.farewell.is_some_and(|(term, until)| {
            self.core.progress().term > term || Instant::now() >= until
        })
    }

    /// The disk has made records durable, or its file has grown.
    fn on_news(&mut self) {
        let seq = self.disk.durable();
        if seq > self.persisted {
            self.persisted = seq;
            self.release();
            self.drive(Input::Persisted { seq });
        }
        if self.disk.is_large() {
            self.disk.replace(self.core.durable_records(), self.handed);
        }
        self.ask(|app, cx| app.on_nudge(cx));
    }

    /// Votes wait until they can complete a quorum; everything else is verified at once.
    fn on_small(&mut self, from: Seat, message: Message) {
        if !self.core.wants(from, &message) {
            count(&self.counters.votes_spared);
            return;
        }
        let now = match message {
            Message::Vote(vote) if vote.seat == from => self.ballots.add(vote).map(Message::Vote),
            message => Some(message),
        };
        if let Some(message) = now {
            self.verify(from, message);
        }
    }

    /// Verifies the votes that can complete a quorum.
    fn tally(&mut self) {
        while let Some(vote) = self.ballots.pop(Instant::now()) {
            self.verify(vote.seat, Message::Vote(vote));
        }
    }

    /// Verifies a message, if the core still wants it, and feeds it.
    fn verify(&mut self, from: Seat, message: Message) {
        if !self.core.wants(from, &message) {
            count(&self.counters.votes_spared);
            return;
        }
        count(&self.counters.votes_verified);
        match self.checker.check(message) {
            Ok(message) => {
                match message.message() {
                    Message::Vote(vote) => self.ballots.count(vote),
                    Message::Votes(joined) => {
                        for vote in self.checker.split(joined) {
                            self.ballots.count(&vote);
                        }
                    }
                    _ => {}
                }
                self.drive(Input::Message { from, message });
            }
            Err(error) => {
                count(&self.counters.refused);
                tracing::warn!(peer = %from, %error, "a message is refused");
            }
        }
    }

    /// Sends what may leave now. Our own votes count from here on.
    fn send(&mut self, to: To, message: &Message) {
        match message {
            Message::Vote(vote) => self.note_own(vote),
            Message::Votes(joined) => {
                for vote in self.checker.split(joined) {
                    self.note_own(&vote);
                }
            }
            _ => {}
        }
        self.peers.send(to, message);
    }

    fn note_own(&mut self, vote: &Vote) {
        if Some(vote.seat) == self.seat {
            self.checker.remember(vote);
            self.ballots.count(vote);
            self.note_saved(vote);
        }
    }

    /// The block of a COMMIT that leaves is durable here, and so is what it stands on.
    fn note_saved(&mut self, vote: &Vote) {
        if vote.kind == VoteKind::Commit {
            self.saved = self.saved.max(vote.rank);
        }
    }

    /// Asks the application something, with what it may see and do.
    fn ask<T>(&mut self, question: impl FnOnce(&mut A, &mut Context<'_>) -> T) -> T {
        let now = Instant::now();
        let (core, peers, wishes) = (&self.core, &self.peers, &mut self.wishes);
        question(&mut self.app, &mut Context { core, peers, now, saved: self.saved, wishes })
    }

    /// What follows from anything that happened: checks that can be told now, and whether there is work.
    fn settle(&mut self) {
        self.wishes.wake = None;
        self.recheck();
        let work = self.ask(|app, cx| app.work(cx));
        let pending = work != Work::None;
        if pending != self.pending || (work == Work::Now && !self.asking) {
            self.pending = pending;
            // The core asks upon this even for what the application would rather do later; then it is told so.
            self.asking = pending;
            self.drive(Input::Work { pending });
        }
        let starved = self.ask(|app, cx| app.starved(cx));
        if starved != self.starved {
            self.starved = starved;
            self.drive(Input::Starved { starved });
        }
        self.tell_applied();
    }

    fn recheck(&mut self) {
        for (block, proposal) in std::mem::take(&mut self.delayed) {
            if proposal.block.header.height > self.core.progress().committed {
                self.check(block, proposal);
            }
        }
        if !self.delayed.is_empty() {
            let again = Instant::now() + RECHECK;
            self.wishes.wake = Some(self.wishes.wake.map_or(again, |at| at.min(again)));
        }
    }

    fn check(&mut self, block: Hash, proposal: Proposal) {
        if let Some(input) = self.verdict(block, proposal) {
            self.drive(input);
        }
    }

    fn verdict(&mut self, block: Hash, proposal: Proposal) -> Option<Input> {
        match self.ask(|app, cx| app.check(&block, &proposal, cx)) {
            Verdict::Good => Some(Input::Checked { block, ok: true }),
            Verdict::Bad => Some(Input::Checked { block, ok: false }),
            Verdict::Later => {
                self.delayed.push((block, proposal));
                None
            }
        }
    }

    fn tell_applied(&mut self) {
        if let Some(height) = self.wishes.applied.take() {
            self.drive(Input::Applied { height });
        }
        if let Some(lowest) = self.wishes.lowest.take() {
            self.drive(Input::Pruned { lowest });
        }
    }

    /// Feeds one input and everything that follows from it at once.
    fn drive(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut outputs = Outputs::new();
        while let Some(input) = inputs.pop_front() {
            self.core.step(self.clock.now(), input, &mut outputs);
            let mut records = Vec::new();
            let mut sync_needed = false;
            for output in outputs.drain(..) {
                if let Output::Persist { seq, record, sync } = output {
                    records.push(record);
                    self.handed = seq;
                    sync_needed |= sync;
                } else {
                    inputs.extend(self.carry_out(output));
                }
            }
            if !records.is_empty() {
                self.disk.append(records, self.handed, sync_needed);
            }
            if let Some(height) = self.wishes.applied.take() {
                inputs.push_back(Input::Applied { height });
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Persist { .. } => unreachable!("handled by the caller"),
            Output::Send { to, message, after } => {
                match after.filter(|seq| *seq > self.persisted) {
                    Some(seq) => self.held.push((seq, to, message)),
                    None => self.send(to, &message),
                }
                None
            }
            Output::Check { block, proposal } => self.verdict(block, proposal),
            Output::WantPayload(want) => Some(self.payload(&want)),
            Output::Commit { blocks } => {
                let progress = self.core.progress();
                self.ballots.prune(progress.term, progress.committed);
                self.ask(|app, cx| app.commit(blocks, cx));
                None
            }
            Output::ServeBlocks { to, from_height, to_height } => {
                self.ask(|app, cx| app.serve(to, from_height, to_height, cx));
                None
            }
            Output::TimerAt { at } => {
                self.timer = Some(self.clock.at(at));
                None
            }
            Output::EnterTerm { term, leader } => {
                tracing::info!(%term, %leader, "new term");
                self.asking = self.pending;
                self.ballots.prune(term, self.core.progress().committed);
                self.ask(|app, cx| app.on_term(term, leader, cx));
                None
            }
            Output::Evidence(evidence) => {
                self.app.on_evidence(&evidence);
                None
            }
            Output::EnterEpoch { epoch, seat } => {
                self.seat = seat;
                self.ballots = Ballots::new(seat, epoch.validators().quorum());
                tracing::info!(epoch = epoch.number(), ?seat, "new epoch or seat");
                self.peers.roster().enter(epoch.validators().clone());
                self.checker.enter((*epoch).clone());
                self.ask(|app, cx| app.on_epoch(&epoch, cx));
                None
            }
            Output::ServeSnapshot { to, above } => {
                self.ask(|app, cx| app.serve_snapshot(to, above, cx));
                None
            }
            Output::ServeChunk { to, fetch } => {
                self.ask(|app, cx| app.serve_chunk(to, fetch, cx));
                None
            }
            Output::StoreChunk(chunk) => {
                self.ask(|app, cx| app.store_chunk(*chunk, cx));
                None
            }
            Output::InstallSnapshot(offer) => {
                let height = offer.height;
                let ok = self.ask(|app, cx| app.install_snapshot(&offer, cx));
                Some(Input::Installed { height, ok })
            }
        }
    }

    fn payload(&mut self, want: &WantPayload) -> Input {
        let (term, height) = (want.term, want.height);
        let draft = match self.ask(|app, cx| app.draft(want, cx)) {
            Answer::Propose(draft) => Some(draft),
            Answer::Nothing => {
                self.asking = false;
                None
            }
        };
        Input::Payload { term, height, draft }
    }

    /// Sends what waited for records that are durable now.
    fn release(&mut self) {
        let persisted = self.persisted;
        let ready: Vec<_> = self.held.extract_if(.., |(seq, ..)| *seq <= persisted).collect();
        for (_, to, message) in ready {
            self.send(to, &message);
        }
    }
}

/// The next message of the consensus queues, if there is one.
fn poll<E>(inbox: &Inbox<E>) -> Option<Next<E>> {
    let news = inbox.news.try_recv().map(|()| Next::News);
    news.or_else(|_| inbox.blocks.try_recv().map(Next::Heavy))
        .or_else(|_| inbox.votes.try_recv().map(Next::Small))
        .or_else(|_| inbox.bulk.try_recv().map(Next::Heavy))
        .ok()
}

/// The next event that is not of consensus: of the front door and of the peers in turns, as long as both have some.
fn knock<E>(inbox: &Inbox<E>, turn: usize) -> Option<Next<E>> {
    let front = || inbox.front.try_recv().map(Next::Front);
    let told = || inbox.told.try_recv().map(Next::Told);
    let next = if turn.is_multiple_of(2) {
        front().or_else(|_| told())
    } else {
        told().or_else(|_| front())
    };
    next.ok()
}
