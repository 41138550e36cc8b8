//! The driver: one thread that owns consensus, chain and mempool, and carries out what the core wants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, after, select_biased};
use gongsuan_consensus::{
    AppRef, Block, CertifiedHeader, Config, Core, Input, Message, Output, Payload, Qc, SignedBlock,
    Tip, ValidatorSet,
};
use gongsuan_ledger::{
    Body, Chain, Event as ChainEvent, Header, Location, Mempool, OrderedBlock, Transaction,
    check_body, mempool,
};
use gongsuan_types::{Hash, Height, PublicKey, Refusal, TimeMs, Verified, codec};
use serde::{Deserialize, Serialize};

use super::config::NodeConfig;
use super::event::{Event, TxAnswer};
use super::wal::Wal;
use crate::net::{self, Identity, Outgoing, Packet, is_urgent};

/// A block farther in the future than this is voted for later.
const FUTURE_MS: u64 = 500;
/// Bytes and transactions of one payload that this node proposes.
const PAYLOAD_LIMIT: (usize, usize) = (4_096, 1 << 20);
/// Bytes of one answer to a peer that catches up, and blocks in it.
const SERVE_BYTES: usize = 2 << 20;
const SERVE_BLOCKS: u64 = 128;
/// Events that a slow listener may lag behind.
const FEED_MAX: usize = 4_096;

/// What consensus says of a block, as stored with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certified {
    /// The block.
    pub block: SignedBlock,
    /// Its own commit certificate. Blocks committed together share that of the last.
    pub certificate: Option<Qc>,
}

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
    delayed: Vec<(Hash, Block, Vec<u8>)>,
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
        let mut tip =
            Tip { height: Height(0), hash: validators.genesis(), time: config.genesis.time };
        let mut headers = BTreeMap::new();
        let head = chain.state().height();
        let mut certified = None;
        for height in head.0.saturating_sub(256).max(1)..=head.0 {
            let Some(stored) = chain.stored(Height(height))? else { continue };
            tip = Tip { height: Height(height), hash: stored.header.block, time: stored.header.time };
            headers.insert(Height(height), stored.header.hash());
            certified = certificate_in(&chain, &stored.consensus)?.or(certified);
        }
        let (wal, recovered) = Wal::open(&config.home.join("votes.wal"), tip)?;
        let core = Core::new(
            Config {
                validators: validators.clone(),
                me: config.index,
                key: config.key.clone(),
                timeout_ms: config.file.timeout_ms,
                timeout_ms_max: 30_000,
            },
            recovered,
        );
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
        }
    }

    /// Feeds one input and everything that follows from it. Records of one round share one sync.
    fn drive(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut outputs = Vec::new();
            self.core.step(now(), input, &mut outputs);
            let (mut records, mut last) = (Vec::new(), 0);
            for output in outputs {
                match output {
                    Output::Persist { seq, record } => {
                        records.push(record);
                        last = seq;
                    }
                    other => inputs.extend(self.carry_out(other)),
                }
            }
            if !records.is_empty() {
                self.wal.append(records).unwrap_or_else(|error| die(&error));
                inputs.push_back(Input::Persisted(last));
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Persist { .. } => unreachable!("handled in `drive`"),
            Output::Send { to, message } => {
                self.send(to, message);
                None
            }
            Output::Check { hash, block, payload } => {
                let verdict = self.check(&block, &payload);
                if verdict.is_none() {
                    self.delayed.push((hash, block, payload));
                }
                verdict.map(|valid| Input::Checked { hash, valid })
            }
            Output::WantPayload { term, height, required } => {
                let txs = self.pool.select(self.chain.state(), &self.ordered, PAYLOAD_LIMIT);
                if txs.is_empty() && !required && !self.wants_empty_block() {
                    self.work = false;
                    return Some(Input::Work(false));
                }
                self.ordered.extend(txs.iter().map(|tx| tx.body.id()));
                let state = self.chain.state();
                let app = AppRef { height: state.height(), hash: state.head() };
                let bytes = Body { txs }.encode();
                Some(Input::Payload(Payload { term, height, bytes, app, time: now() }))
            }
            Output::Commit { blocks, certificate } => {
                self.commit(blocks, certificate);
                None
            }
            Output::Serve { to, from } => {
                if let Some(message) = self.range(from) {
                    self.send(Some(to), message);
                }
                None
            }
            Output::TimerAt(at) => {
                self.timer = at;
                None
            }
            Output::EnterTerm { term, leader } => {
                tracing::info!(%term, leader, "new term");
                self.ordered.clear();
                None
            }
            Output::Evidence(pair) => {
                tracing::error!(voter = pair.0.voter, ?pair, "a validator voted twice");
                None
            }
        }
    }

    fn send(&self, to: Option<u16>, message: Message) {
        let urgent = is_urgent(&message);
        let frame = Arc::new(codec::encode(&Packet::Consensus(message)));
        for (index, peer) in &self.peers {
            if to.is_none_or(|to| to == *index) && !peer.send(urgent, frame.clone()) {
                tracing::debug!(peer = index, "a full queue drops a message");
            }
        }
    }

    /// Whether a block may be voted for; nothing yet, if that needs more blocks or more time.
    fn check(&mut self, block: &Block, payload: &[u8]) -> Option<bool> {
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
        for (hash, block, payload) in std::mem::take(&mut self.delayed) {
            if block.height <= self.core.tip().height {
                continue;
            }
            match self.check(&block, &payload) {
                Some(valid) => self.drive(Input::Checked { hash, valid }),
                None => self.delayed.push((hash, block, payload)),
            }
        }
        if !self.delayed.is_empty() {
            self.timer = self.timer.min(TimeMs(now().0 + 20));
        }
    }

    /// Whether a block without transactions would change something or certify what changed.
    fn wants_empty_block(&self) -> bool {
        if self.core.in_flight().next().is_some() {
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
            self.drive(Input::Work(work));
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
        let taken = if self.pool.contains(&id) {
            Ok(id)
        } else {
            self.pool.insert(tx, self.chain.state())
        };
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

    fn commit(&mut self, blocks: Vec<(SignedBlock, Vec<u8>)>, certificate: Qc) {
        let last = blocks.len() - 1;
        let hashes: Vec<Hash> =
            blocks.iter().map(|(signed, _)| signed.block.hash(&self.validators)).collect();
        let ordered: Vec<_> = blocks
            .iter()
            .enumerate()
            .map(|(at, (signed, payload))| {
                let block = &signed.block;
                let own = (at == last).then(|| certificate.clone());
                let stored = Certified { block: signed.clone(), certificate: own };
                let proposer = self.validators.key(block.proposer).copied();
                let ordered = OrderedBlock {
                    height: block.height,
                    term: block.term,
                    time: block.time,
                    proposer: proposer.unwrap_or(PublicKey([0; 32])),
                    block: hashes[at],
                    body: payload,
                };
                (ordered, codec::encode(&stored))
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
    }

    /// Committed blocks from a height on, as many as fit, up to one that has its own certificate.
    fn range(&self, from: Height) -> Option<Message> {
        let (mut blocks, mut bytes, mut end) = (Vec::new(), 0, None);
        for height in from.0..from.0.saturating_add(SERVE_BLOCKS) {
            let Ok(Some(stored)) = self.chain.stored(Height(height)) else { break };
            let of: Certified = codec::decode("certified", usize::MAX, &stored.consensus).ok()?;
            bytes += stored.body.len() + stored.consensus.len();
            if bytes > SERVE_BYTES && end.is_some() {
                break;
            }
            blocks.push((of.block, stored.body));
            if let Some(certificate) = of.certificate {
                end = Some((blocks.len(), certificate));
            }
        }
        let (length, certificate) = end?;
        blocks.truncate(length);
        Some(Message::Blocks { blocks, certificate })
    }
}

/// The ledger header that a stored certified block certifies, if it has its own certificate and names a state.
fn certificate_in(
    chain: &Chain,
    consensus: &[u8],
) -> Result<Option<(Header, CertifiedHeader)>, gongsuan_ledger::ChainError> {
    let Ok(of) = codec::decode::<Certified>("certified", usize::MAX, consensus) else {
        return Ok(None);
    };
    let Some(certificate) = of.certificate else { return Ok(None) };
    let block = of.block.block;
    let stored = chain.stored(block.app.height)?;
    Ok(stored.map(|stored| (stored.header, CertifiedHeader { block, certificate })))
}

/// What is in memory may be ahead of what is on disk: nothing may be promised any more.
fn die(error: &dyn std::error::Error) -> ! {
    tracing::error!(%error, "the disk failed; the process ends");
    std::process::abort();
}
