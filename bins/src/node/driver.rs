//! The driver: one thread that owns consensus, chain and mempool, and carries out what the core wants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, after, select_biased};
use gongsuan_consensus::{
    AppRef, Block, Blocks, CertifiedHeader, CommittedBlock, Config, Core, Draft, Input, Message,
    Millis, Output, Payload, Proposal, Qc, Record, Seq, To, ValidatorSet, WantPayload,
};
use gongsuan_ledger::{
    Body, Chain, Event as ChainEvent, Header, Location, Mempool, OrderedBlock, Transaction,
    check_body, mempool,
};
use gongsuan_types::{DurationMs, Hash, Height, PublicKey, Refusal, TimeMs, Verified, codec};

use super::config::NodeConfig;
use super::event::{Event, TxAnswer};
use super::wal::Wal;
use crate::net::{self, Identity, Outgoing, Packet};

/// A block farther in the future than this is voted for later.
const FUTURE_MS: u64 = 500;
/// Bytes and transactions of one payload that this node proposes.
const PAYLOAD_LIMIT: (usize, usize) = (4_096, gongsuan_consensus::PAYLOAD_BYTES_MAX - 1_024);
/// Bytes of one answer to a peer that catches up, and blocks in it.
const SERVE_BYTES: usize = 2 << 20;
const SERVE_BLOCKS: u64 = 128;
/// Events that a slow listener may lag behind.
const FEED_MAX: usize = 4_096;

/// Between two rounds of telling the others about transactions that still wait here.
const TELL_AGAIN: DurationMs = DurationMs(300);
/// Transactions told again in one round.
const TELL_MAX: (usize, usize) = (256, 256 << 10);

/// Events for whoever listens.
#[derive(Debug, Clone)]
pub struct Feed(pub tokio::sync::broadcast::Sender<Arc<Happened>>);

/// One block's events.
#[derive(Debug)]
pub struct Happened {
    /// The block.
    pub height: Height,
    /// Its events, in order: those of transactions with their ids.
    pub events: Vec<(Option<Hash>, ChainEvent)>,
}

impl Default for Feed {
    fn default() -> Self {
        Self(tokio::sync::broadcast::channel(FEED_MAX).0)
    }
}

/// What a question can read.
#[derive(Debug)]
pub struct View<'a> {
    /// The chain.
    pub chain: &'a Chain,
    /// What waits.
    pub pool: &'a Mempool,
    /// Term and leader.
    pub core: &'a Core,
    /// The newest header that is certified, with the certificate.
    pub certified: Option<&'a (Header, CertifiedHeader)>,
    /// Which links are up, by validator.
    pub links: Vec<(u16, bool)>,
    /// This validator.
    pub index: u16,
    /// Names and keys.
    pub genesis: &'a gongsuan_ledger::Genesis,
}

pub(super) struct Queues {
    pub(super) urgent: Receiver<Event>,
    pub(super) bulk: Receiver<Event>,
    pub(super) front: Receiver<Event>,
}

pub(super) struct Driver {
    core: Core,
    chain: Chain,
    wal: Wal,
    pool: Mempool,
    validators: ValidatorSet,
    genesis: gongsuan_ledger::Genesis,
    index: u16,
    peers: BTreeMap<u16, Outgoing>,
    feed: Feed,
    timer: TimeMs,
    persisted: Seq,
    /// Messages that wait until a record is durable.
    held: Vec<(Seq, To, Message)>,
    /// The last height that this node proposed in this term.
    proposed: Height,
    /// When transactions that wait were last told to the others.
    told: TimeMs,
    /// Whether the core knows of work.
    work: bool,
    /// Ids of transactions in blocks that are not final.
    ordered: BTreeSet<Hash>,
    /// Hashes of recent headers.
    headers: BTreeMap<Height, Hash>,
    /// The last block that must be certified: it changed something.
    changed: Height,
    certified: Option<(Header, CertifiedHeader)>,
    /// Blocks whose check waits for this node to execute more, or for time to pass.
    delayed: Vec<(Hash, Proposal)>,
    waiting: BTreeMap<Hash, Vec<Sender<TxAnswer>>>,
}

pub(super) fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn connect(config: &NodeConfig, identity: &Identity) -> BTreeMap<u16, Outgoing> {
    let names: Vec<&str> = config.genesis.validators.iter().map(|v| v.name.as_str()).collect();
    config
        .file
        .peers
        .iter()
        .filter_map(|peer| {
            let index = names.iter().position(|name| *name == peer.name)?;
            let index = u16::try_from(index).ok()?;
            Some((index, net::spawn_sender(peer.p2p, index, identity.clone())))
        })
        .collect()
}

impl Driver {
    pub(super) fn open(
        config: &NodeConfig,
        peers: BTreeMap<u16, Outgoing>,
        feed: Feed,
    ) -> anyhow::Result<Self> {
        let chain = Chain::open(&config.home, &config.genesis).context("cannot open the chain")?;
        if let Some(reason) = chain.rebuilt() {
            tracing::warn!(reason, "the store was rebuilt from the block log");
        }
        let validators = super::validator_set(&config.genesis);
        let mut headers = BTreeMap::new();
        let head = chain.state().height();
        let mut certified = None;
        for height in head.0.saturating_sub(256).max(1)..=head.0 {
            let Some(stored) = chain.stored(Height(height))? else { continue };
            headers.insert(Height(height), stored.header.hash());
            certified = certificate_in(&chain, &stored.consensus)?.or(certified);
        }
        let path = config.home.join("votes.wal");
        let (mut wal, mut recovered, was_there) = Wal::open(&path)?;
        if !was_there && head.0 > 0 {
            anyhow::bail!(
                "{}: the vote log is gone, but blocks are there; a validator that forgot its votes must not vote: \
                 remove the node's data and rejoin under a new key",
                path.display()
            );
        }
        if !was_there {
            // From now on an empty log is a lost one.
            wal.append(&[Record::Term(recovered.term())], true)?;
        }
        if let Some(newest) = committed_at(&chain, head) {
            recovered.set_committed(newest);
        }
        let core = Core::new(
            Config {
                timeout: DurationMs(config.file.timeout_ms),
                ..Config::new(config.genesis.chain_id(), validators.clone(), config.key.clone())
            },
            recovered,
        )?;
        Ok(Self {
            core,
            chain,
            wal,
            pool: Mempool::new(mempool::Limits::default()),
            validators,
            genesis: config.genesis.clone(),
            index: config.index,
            peers,
            feed,
            timer: TimeMs(0),
            persisted: Seq(0),
            held: Vec::new(),
            proposed: Height(0),
            told: TimeMs(0),
            work: false,
            ordered: BTreeSet::new(),
            headers,
            changed: head,
            certified,
            delayed: Vec::new(),
            waiting: BTreeMap::new(),
        })
    }

    /// Runs until told to stop. A disk that fails ends the process: what was promised may not be there.
    pub(super) fn run(mut self, queues: &Queues) {
        self.drive(Input::Tick);
        loop {
            let wait = self.timer.since(now()).0.min(1_000);
            let event = select_biased! {
                recv(queues.urgent) -> event => event.ok(),
                recv(queues.bulk) -> event => event.ok(),
                recv(queues.front) -> event => event.ok(),
                recv(after(Duration::from_millis(wait))) -> _ => None,
            };
            match event {
                None => self.drive(Input::Tick),
                Some(Event::Message { from, message }) => {
                    self.drive(Input::Message { from, message: *message });
                }
                Some(Event::Transaction { tx, answer }) => self.on_transaction(*tx, answer),
                Some(Event::Read(question)) => {
                    let links = self.peers.iter().map(|(i, link)| (*i, link.is_connected()));
                    question(&View {
                        links: links.collect(),
                        chain: &self.chain,
                        pool: &self.pool,
                        core: &self.core,
                        certified: self.certified.as_ref(),
                        index: self.index,
                        genesis: &self.genesis,
                    });
                }
                Some(Event::Stop) => return,
            }
            self.recheck();
            self.tell_work();
            self.tell_again();
        }
    }

    /// Feeds one input and everything that follows from it. Records of one round share one sync; messages that depend on
    /// one wait for it.
    fn drive(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut outputs = Vec::new();
            self.core.step(Millis(now().0), input, &mut outputs);
            let (mut records, mut last, mut durable) = (Vec::new(), None, false);
            for output in outputs {
                match output {
                    Output::Persist { seq, record, sync } => {
                        records.push(record);
                        last = Some(seq);
                        durable |= sync;
                    }
                    other => inputs.extend(self.carry_out(other)),
                }
            }
            if let Some(seq) = last {
                self.wal.append(&records, durable).unwrap_or_else(|error| die(&error));
                self.persisted = seq;
                self.release();
                inputs.push_back(Input::Persisted { seq });
            }
        }
        if self.wal.is_large() {
            let records = self.core.durable_records();
            self.wal.replace(&records).unwrap_or_else(|error| die(&error));
        }
    }

    /// Sends what waited for records that are durable now.
    fn release(&mut self) {
        let persisted = self.persisted;
        let (ready, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|(seq, ..)| *seq <= persisted);
        self.held = held;
        for (_, to, message) in ready {
            self.send(to, message);
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Persist { .. } => unreachable!("handled in `drive`"),
            Output::Send { to, message, after } => {
                match after.filter(|seq| *seq > self.persisted) {
                    Some(seq) => self.held.push((seq, to, message)),
                    None => self.send(to, message),
                }
                None
            }
            Output::Check { block, proposal } => {
                let verdict = self.check(&proposal);
                if verdict.is_none() {
                    self.delayed.push((block, proposal));
                }
                verdict.map(|ok| Input::Checked { block, ok })
            }
            Output::WantPayload(want) => Some(self.payload(&want)),
            Output::Commit { blocks } => {
                let height = blocks.last().map(|block| block.proposal.block.header.height);
                self.commit(&blocks);
                height.map(|height| Input::Applied { height })
            }
            Output::ServeBlocks { to, from_height, to_height } => {
                let range = (from_height.0..=to_height.0.min(from_height.0 + SERVE_BLOCKS))
                    .map_while(|height| committed_at(&self.chain, Height(height)));
                if let Some(blocks) = Blocks::from_log(range, SERVE_BYTES) {
                    self.send(To::One(to), Message::Blocks(Box::new(blocks)));
                }
                None
            }
            Output::TimerAt { at } => {
                self.timer = TimeMs(at.0);
                None
            }
            Output::EnterTerm { term, leader } => {
                tracing::info!(%term, %leader, "new term");
                self.ordered.clear();
                self.proposed = Height(0);
                None
            }
            // The ledger keeps its whole log and its validators: there is nothing to serve or to install yet.
            Output::ServeSnapshot { .. }
            | Output::ServeChunk { .. }
            | Output::StoreChunk(_)
            | Output::InstallSnapshot(_)
            | Output::EnterEpoch { .. } => None,
            Output::Evidence(evidence) => {
                tracing::error!(?evidence, "a validator signed two things that exclude each other");
                None
            }
        }
    }

    /// What to order next: transactions that are in no block on the way, or nothing.
    fn payload(&mut self, want: &WantPayload) -> Input {
        for ancestor in &want.ancestors {
            let body = Body::decode(ancestor.payload.bytes()).unwrap_or_default();
            self.ordered.extend(body.txs.iter().map(|tx| tx.body.id()));
        }
        let (term, height) = (want.term, want.height);
        let txs = self.pool.select(self.chain.state(), &self.ordered, PAYLOAD_LIMIT);
        if txs.is_empty() && !want.required && !self.wants_empty_block() {
            self.work = false;
            return Input::Payload { term, height, draft: None };
        }
        self.proposed = height;
        self.ordered.extend(txs.iter().map(|tx| tx.body.id()));
        let state = self.chain.state();
        let app = AppRef { height: state.height(), hash: state.head() };
        let payload = Payload::new(Body { txs }.encode());
        let time = now().max(want.parent_time.next());
        Input::Payload { term, height, draft: Some(Draft { payload, app, time, next: None }) }
    }

    fn send(&self, to: To, message: Message) {
        let urgent = !message.is_bulk();
        let frame = Arc::new(codec::encode(&Packet::Consensus(message)));
        for (index, peer) in &self.peers {
            let meant = match to {
                To::All => true,
                To::One(seat) => seat.0 == *index,
            };
            if meant && !peer.send(urgent, frame.clone()) {
                tracing::debug!(peer = index, "a full queue drops a message");
            }
        }
    }

    /// Tells the others again what waits here: a peer may have been away when it was first told.
    fn tell_again(&mut self) {
        let time = now();
        if self.pool.count() == 0 || time.since(self.told) < TELL_AGAIN {
            return;
        }
        self.told = time;
        for tx in self.pool.select(self.chain.state(), &self.ordered, TELL_MAX) {
            let frame = Arc::new(codec::encode(&Packet::Transaction(codec::encode(&tx))));
            for peer in self.peers.values() {
                peer.send(false, frame.clone());
            }
        }
        self.timer = self.timer.min(time.plus(TELL_AGAIN));
    }

    /// Whether a block may be voted for; nothing yet, if that needs more blocks or more time.
    fn check(&mut self, proposal: &Proposal) -> Option<bool> {
        let (block, payload) = (&proposal.block.header, proposal.payload.bytes());
        let state = self.chain.state();
        if block.app.height > state.height() || block.time.0 > now().0 + FUTURE_MS {
            return None;
        }
        let expected = if block.app.height.0 == 0 {
            Some(Hash::ZERO)
        } else {
            self.headers.get(&block.app.height).copied()
        };
        if expected != Some(block.app.hash) {
            tracing::warn!(height = %block.height, app = %block.app.height, "a block names another state");
            return Some(false);
        }
        match check_body(payload, state.chain_id(), &BTreeSet::new()) {
            Ok(body) => {
                self.ordered.extend(body.txs.iter().map(|tx| tx.body.id()));
                Some(true)
            }
            Err(refusal) => {
                tracing::warn!(height = %block.height, %refusal, "a block is refused");
                Some(false)
            }
        }
    }

    fn recheck(&mut self) {
        for (block, proposal) in std::mem::take(&mut self.delayed) {
            if proposal.block.header.height <= self.core.progress().committed {
                continue;
            }
            match self.check(&proposal) {
                Some(ok) => self.drive(Input::Checked { block, ok }),
                None => self.delayed.push((block, proposal)),
            }
        }
        if !self.delayed.is_empty() {
            self.timer = self.timer.min(TimeMs(now().0 + 20));
        }
    }

    /// Whether a block without transactions would change something or certify what changed.
    fn wants_empty_block(&self) -> bool {
        let progress = self.core.progress();
        if progress.high.height > progress.committed || self.proposed > progress.committed {
            return false;
        }
        let market = self.chain.state().market();
        let certified = self.certified.as_ref().map_or(Height(0), |(header, _)| header.height);
        self.changed > certified
            || market.wants_block()
            || market.next_due().is_some_and(|due| due <= now())
    }

    fn tell_work(&mut self) {
        let one = (1, PAYLOAD_LIMIT.1);
        let state = self.chain.state();
        let work = !self.pool.select(state, &self.ordered, one).is_empty()
            || self.pool.has_ready(state)
            || self.wants_empty_block();
        if work != self.work {
            self.work = work;
            self.drive(Input::Work { pending: work });
        }
        if let Some(due) = self.chain.state().market().next_due() {
            self.timer = self.timer.min(due.max(TimeMs(now().0 + 1)));
        }
    }

    fn on_transaction(
        &mut self,
        tx: Verified<Transaction>,
        answer: Option<(bool, Sender<TxAnswer>)>,
    ) {
        let id = tx.body().id();
        let from_client = answer.is_some();
        let frame = from_client.then(|| codec::encode(tx.as_signed()));
        if let Some(location) = self.chain.location(&id) {
            if let Some((_, answer)) = answer {
                drop(answer.send(TxAnswer::Committed(location)));
            }
            return;
        }
        let taken =
            if self.pool.contains(&id) { Ok(id) } else { self.pool.insert(tx, self.chain.state()) };
        let refused: Option<Refusal> = taken.err();
        if let Some((wait, answer)) = answer {
            match refused.clone() {
                Some(refusal) => drop(answer.send(TxAnswer::Refused(refusal))),
                None if wait => self.waiting.entry(id).or_default().push(answer),
                None => drop(answer.send(TxAnswer::Pending(id))),
            }
        }
        if let (Some(bytes), None) = (frame, refused) {
            let frame = Arc::new(codec::encode(&Packet::Transaction(bytes)));
            for peer in self.peers.values() {
                peer.send(false, frame.clone());
            }
        }
    }

    fn commit(&mut self, blocks: &[CommittedBlock]) {
        let chain_id = self.chain.state().chain_id();
        let ordered: Vec<_> = blocks
            .iter()
            .map(|committed| {
                let block = &committed.proposal.block;
                let header = &block.header;
                let proposer = self.validators.key(header.proposer).copied();
                let ordered = OrderedBlock {
                    height: header.height,
                    term: header.term,
                    time: header.time,
                    proposer: proposer.unwrap_or(PublicKey([0; 32])),
                    block: block.hash(&chain_id),
                    body: committed.proposal.payload.bytes(),
                };
                (ordered, codec::encode(&(block, &committed.certificate)))
            })
            .collect();
        let all = self.chain.commit(&ordered).unwrap_or_else(|error| die(&error));
        for applied in &all {
            let header = &applied.header;
            self.headers.insert(header.height, header.hash());
            while self.headers.len() > 1_024 {
                self.headers.pop_first();
            }
            if header.tx_count > 0 || !applied.events.is_empty() {
                self.changed = header.height;
            }
            let mut events: Vec<(Option<Hash>, ChainEvent)> = Vec::new();
            for (index, receipt) in (0u32..).zip(&applied.receipts) {
                self.ordered.remove(&receipt.id);
                let location = Location { height: header.height, index };
                for waiter in self.waiting.remove(&receipt.id).unwrap_or_default() {
                    drop(waiter.send(TxAnswer::Committed(location)));
                }
                events.extend(receipt.events.iter().map(|event| (Some(receipt.id), event.clone())));
            }
            events.extend(applied.events.iter().map(|event| (None, event.clone())));
            drop(self.feed.0.send(Arc::new(Happened { height: header.height, events })));
        }
        let stored = ordered.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        match certificate_in(&self.chain, &stored) {
            Ok(Some(newer)) => self.certified = Some(newer),
            Ok(None) => {}
            Err(error) => die(&error),
        }
        self.pool.prune(self.chain.state());
        // Said anew by `tell_work`: the core wants to hear it after a commit that left something over.
        self.work = false;
    }
}

/// A block of the log as consensus knew it.
fn committed_at(chain: &Chain, height: Height) -> Option<CommittedBlock> {
    let stored = chain.stored(height).ok()??;
    let (block, certificate) =
        codec::decode::<(Block, Qc)>("committed block", usize::MAX, &stored.consensus).ok()?;
    let proposal = Proposal { block, payload: Payload::new(stored.body) };
    Some(CommittedBlock { proposal, certificate })
}

/// The ledger header that a stored certified block certifies, if it has its own certificate and names a state.
fn certificate_in(
    chain: &Chain,
    consensus: &[u8],
) -> Result<Option<(Header, CertifiedHeader)>, gongsuan_ledger::ChainError> {
    let decoded = codec::decode::<(Block, Qc)>("committed block", usize::MAX, consensus);
    let Ok((block, certificate)) = decoded else { return Ok(None) };
    if certificate.rank.height != block.header.height {
        return Ok(None);
    }
    let stored = chain.stored(block.header.app.height)?;
    Ok(stored.map(|stored| (stored.header, CertifiedHeader { block, certificate })))
}

/// What is in memory may be ahead of what is on disk: nothing may be promised any more.
fn die(error: &dyn std::error::Error) -> ! {
    tracing::error!(%error, "the disk failed; the process ends");
    std::process::abort();
}
