//! The ledger as what a replica orders: the chain, the pool, and whoever waits for an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_consensus::{
    AppRef, Blocks, CertifiedHeader, Chunk, CommittedBlock, Config, Core, Draft, FetchChunk,
    Message, Payload, Proposal, Record, Seat, SnapshotOffer, To, ValidatorSet, WantPayload,
};
use gongsuan_ledger::mempool::Source;
use gongsuan_ledger::{
    Arrived, Body, Chain, ChainError, Header, HistoryTree, Location, Mempool, NodeFile, Options,
    OrderedBlock, check_body, mempool,
};
use gongsuan_types::{DurationMs, Hash, Height, PublicKey, Refusal, Term, codec};

use super::config::{NodeConfig, VOTE_LOG};
use super::event::{Event, Reply, TOLD_BYTES_MAX, TOLD_MAX, Told, TxAnswer, busy};
use super::notary::{Judged, Notary, Offer};
use super::past::{self, certificate_in, committed_at};
use super::snapshots::Snapshots;
use super::trades::Trades;
use super::view::{Counts, Feed, Happened, View};
use super::waiters::{Claim, Waiters};
use crate::replica::wal::Wal;
use crate::replica::{Answer, Application, Context, Front, Pace, Verdict, Work, die, wall};

/// A block farther in the future than this is voted for later.
const FUTURE_MS: u64 = 500;
/// Bytes and transactions of one payload that this node proposes.
const PAYLOAD_LIMIT: (usize, usize) = (4_096, gongsuan_consensus::PAYLOAD_BYTES_MAX - 1_024);
/// Bytes of one answer to a peer that catches up, and blocks in it.
const SERVE_BYTES: usize = 2 << 20;
const SERVE_BLOCKS: u64 = 128;

/// Between two rounds of telling the others about transactions that still wait here.
const TELL_AGAIN: Duration = Duration::from_millis(300);
/// Bytes of a message beside its transactions.
const FRAME_BYTES: usize = 16;
/// Transactions told again in one round.
const TELL_MAX: (usize, usize) = (256, 256 << 10);

/// Between two small blocks, and what is worth a block at any time.
const PACE: (Duration, usize) = (Duration::from_millis(5), 8 << 10);
/// A transaction's bytes, roughly: for the pace only.
const TX_BYTES: usize = 256;
/// How long the best paying transaction may be passed over before the leader is suspected, and how often that is looked at.
const FAIR: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_millis(500);

/// The file of all headers' hashes, in a node's folder.
const HISTORY: &str = "history";

pub(super) struct Ledger {
    chain: Chain,
    pool: Mempool,
    validators: ValidatorSet,
    genesis: gongsuan_ledger::Genesis,
    home: PathBuf,
    name: String,
    feed: Feed,
    pace: Pace,
    /// The last height that this node proposed in this term.
    proposed: Height,
    /// When transactions that wait were last told to the others.
    told: Instant,
    /// A transaction that waits, and since when; and when to look again.
    watched: Option<(Hash, Instant)>,
    watch_at: Instant,
    /// Ids of transactions in blocks that are not final.
    ordered: BTreeSet<Hash>,
    /// Hashes of recent headers.
    headers: BTreeMap<Height, Hash>,
    /// Hashes of all headers, for proofs. Without it the node serves none of the past.
    history: Option<HistoryTree<NodeFile>>,
    /// The last block that must be certified: it changed something.
    changed: Height,
    certified: Option<(Header, CertifiedHeader)>,
    /// The height of the state that the last block names.
    named: Height,
    snapshots: Snapshots,
    /// The lowest height in the log, as consensus was told last.
    lowest: Height,
    trades: Trades,
    counts: Counts,
    /// Absent only before the replica has started.
    notary: Option<Notary>,
    waiters: Waiters,
}

impl Ledger {
    /// Opens the chain and the vote log of a node's folder, and makes the core that continues from them.
    pub(super) fn open(config: &NodeConfig, feed: Feed) -> anyhow::Result<(Self, Core, Wal)> {
        let usual = Options::default();
        let options = Options {
            retention: config.file.retention,
            segment_bytes: config.file.segment_bytes.unwrap_or(usual.segment_bytes),
            snapshot_blocks: config.genesis.params.snapshot_blocks,
            ..usual
        };
        let mut chain = Chain::open_with(&config.home, &config.genesis, options)
            .context("cannot open the chain")?;
        if let Some(reason) = chain.rebuilt() {
            tracing::warn!(reason, "the store was rebuilt from the block log");
        }
        let validators = super::validator_set(&config.genesis);
        let mut headers = BTreeMap::new();
        let head = chain.state().height();
        let (mut certified, mut trades) = (None, Trades::default());
        for height in head.0.saturating_sub(256).max(1)..=head.0 {
            let Some(sealed) = chain.sealed(Height(height))? else { continue };
            headers.insert(Height(height), sealed.header.hash());
            certified = certificate_in(&chain, &sealed.consensus)?.or(certified);
            if let Ok(Some(stored)) = chain.stored(Height(height)) {
                trades.take(&stored.header, &stored.events, chain.state().market());
            }
        }
        let history = past::open_history(&chain, &config.home.join(HISTORY));
        let path = config.home.join(VOTE_LOG);
        let (mut wal, mut recovered, was_there) = Wal::open(&path)?;
        if !was_there {
            wal.append(&[Record::Observing(true)], true)?;
            recovered.apply(Record::Observing(true));
        }
        if recovered.is_observing() {
            let file = path.display();
            tracing::warn!(
                %file,
                "the votes of this key were lost, or it was not made by `node init`: it follows the chain, and votes once terms have passed that it \
                 cannot have voted in"
            );
        }
        let mut named = Height(0);
        if let Some(newest) = past::newest(&chain) {
            named = newest.proposal.block.header.app.height;
            recovered.set_committed(newest);
        }
        let core = Core::new(
            Config {
                timeout: DurationMs(config.file.timeout_ms),
                ..Config::new(config.genesis.chain_id(), validators.clone(), config.key.clone())
            },
            recovered,
        )?;
        let snapshots = Snapshots::open(&mut chain);
        let ledger = Self {
            chain,
            pool: Mempool::new(mempool::Limits::default()),
            validators,
            genesis: config.genesis.clone(),
            home: config.home.clone(),
            name: config.file.name.clone(),
            feed,
            pace: Pace::new(PACE.0, PACE.1, PAYLOAD_LIMIT.1),
            proposed: Height(0),
            told: Instant::now(),
            watched: None,
            watch_at: Instant::now(),
            ordered: BTreeSet::new(),
            headers,
            history,
            changed: head,
            certified,
            named,
            snapshots,
            lowest: Height(0),
            trades,
            counts: Counts::default(),
            notary: None,
            waiters: Waiters::default(),
        };
        Ok((ledger, core, wal))
    }

    /// Tells the others again what waits here: a peer may have been away when it was first told.
    fn tell_again(&mut self, cx: &mut Context<'_>) {
        if self.pool.count() == 0 {
            return;
        }
        if cx.now >= self.told + TELL_AGAIN {
            self.told = cx.now;
            let waiting = self.pool.select(self.chain.state(), &self.ordered, TELL_MAX);
            tell(&waiting.into_iter().map(|tx| (tx, None)).collect::<Vec<_>>(), cx);
        }
        cx.wake_at(self.told + TELL_AGAIN);
    }

    /// When what waits should be proposed, on the replica's clock.
    fn due(&self, cx: &Context<'_>) -> Instant {
        let progress = cx.core.progress();
        let in_flight = self.proposed.0.saturating_sub(progress.committed.0);
        let waiting = self.pool.count().saturating_sub(self.ordered.len()) * TX_BYTES;
        self.pace.due(waiting, in_flight, cx.now)
    }

    /// Whether a block may be voted for; nothing yet, if that needs more blocks or more time.
    fn judge(&mut self, proposal: &Proposal) -> Verdict {
        let (block, payload) = (&proposal.block.header, proposal.payload.bytes());
        let state = self.chain.state();
        if block.app.height > state.height() || block.time.0 > wall().0 + FUTURE_MS {
            return Verdict::Later;
        }
        let expected = if block.app.height.0 == 0 {
            Some(Hash::ZERO)
        } else {
            self.headers.get(&block.app.height).copied()
        };
        if expected != Some(block.app.hash) {
            tracing::warn!(height = %block.height, app = %block.app.height, "a block names another state");
            return Verdict::Bad;
        }
        match check_body(payload, state.chain_id(), self.pool.verified()) {
            Ok(body) => {
                self.ordered.extend(body.txs.iter().map(|tx| tx.body.id()));
                Verdict::Good
            }
            Err(refusal) => {
                tracing::warn!(height = %block.height, %refusal, "a block is refused");
                Verdict::Bad
            }
        }
    }

    /// Whether a block without transactions would change something or certify what changed.
    fn wants_empty_block(&self, core: &Core) -> bool {
        let progress = core.progress();
        if progress.high.height > progress.committed || self.proposed > progress.committed {
            return false;
        }
        let market = self.chain.state().market();
        let certified = self.certified.as_ref().map_or(Height(0), |(header, _)| header.height);
        self.changed > certified
            || market.wants_block()
            || market.next_due().is_some_and(|due| due <= wall())
    }

    /// The state that a block names: the newest, but no snapshot's is passed over, or nobody could be shown that it is the chain's.
    fn named_next(&self, want: &WantPayload) -> AppRef {
        let state = self.chain.state();
        let parent = want.ancestors.last().map(|parent| parent.block.header.app.height);
        let every = state.params().snapshot_blocks;
        let snapshot = Height((parent.unwrap_or(self.named).0 / every + 1) * every);
        let newest = AppRef { height: state.height(), hash: state.head() };
        match self.headers.get(&snapshot) {
            Some(hash) => AppRef { height: snapshot, hash: *hash },
            None => newest,
        }
    }

    /// Begins anew from a snapshot: nothing that was known of other heights means anything.
    fn begin_at(&mut self, offer: &SnapshotOffer) {
        let height = self.chain.state().height();
        self.headers = BTreeMap::from([(height, self.chain.state().head())]);
        self.history = past::open_history(&self.chain, &self.home.join(HISTORY));
        self.pool = Mempool::new(mempool::Limits::default());
        self.ordered.clear();
        (self.changed, self.proposed, self.certified) = (height, Height(0), None);
        self.named = offer.proof.proposals.first().map_or(height, |p| p.block.header.app.height);
        self.trades = Trades::default();
        self.snapshots = Snapshots::open(&mut self.chain);
    }

    /// Takes the thread that checks signatures into service.
    pub(super) fn begin(mut self, front: Front<Event>) -> anyhow::Result<Self> {
        self.notary = Some(Notary::start(front).context("cannot start a thread")?);
        Ok(self)
    }

    /// Everything about a transaction but its signature, which is checked next, elsewhere.
    fn on_offer(&mut self, mut offer: Offer) {
        if let Some(location) = self.chain.location(&offer.id) {
            if let Some((_, answer)) = offer.answer {
                drop(answer.send(TxAnswer::Committed(location)));
            }
            return;
        }
        if self.pool.contains(&offer.id) {
            self.welcome(offer.id, Claim::from(&offer.tx.body), offer.answer.take());
            return;
        }
        let fits = self.pool.would_take(&offer.tx, offer.source, self.chain.state());
        let Some(notary) = &mut self.notary else { return refuse(offer.answer, busy()) };
        match fits {
            Err(refusal) => refuse(offer.answer, refusal),
            Ok(()) => {
                if let Err(offer) = notary.check(offer) {
                    refuse(offer.answer, busy());
                }
            }
        }
    }

    /// Takes what is well signed into the pool. What came from a client is told to the others.
    fn on_judged(&mut self, judged: Vec<Judged>, cx: &Context<'_>) {
        let mut told: Vec<Told> = Vec::new();
        let mut expected = self.pool.count();
        for (offer, verdict) in judged {
            let Offer { tx, id, hint, source, answer } = offer;
            if let Some(notary) = &mut self.notary {
                notary.done(source);
            }
            if let Err(error) = verdict {
                refuse(answer, gongsuan_ledger::bad_signature(tx.signature, error));
                continue;
            }
            let copy = (source == Source::Local).then(|| tx.clone());
            let claim = Claim::from(&tx.body);
            let tx = tx.assume_verified();
            match self.pool.insert_from(tx, source, self.chain.state()) {
                Ok(_) => {
                    expected += 1;
                    told.extend(copy.map(|tx| (tx, hint)));
                }
                Err(refusal) if refusal.code == "already-known" => {}
                Err(refusal) => {
                    refuse(answer, refusal);
                    continue;
                }
            }
            self.welcome(id, claim, answer);
        }
        // Others had to go.
        if self.pool.count() < expected {
            self.sweep();
        }
        tell(&told, cx);
    }

    /// Tells those who wait for what is neither in the pool nor in a block on the way.
    fn sweep(&mut self) {
        if !self.waiters.is_empty() {
            let stays = |id: &Hash| self.pool.contains(id) || self.ordered.contains(id);
            let state = self.chain.state();
            let next_nonce = |sender: &_| state.accounts().account(sender).nonce;
            self.waiters.sweep(state.time(), next_nonce, stays);
        }
    }

    /// A transaction waits here; whoever asked hears it now, or when it is committed.
    fn welcome(&mut self, id: Hash, claim: Claim, answer: Option<(bool, Reply)>) {
        match answer {
            Some((true, answer)) => self.waiters.add(id, claim, answer),
            Some((false, answer)) => drop(answer.send(TxAnswer::Pending(id))),
            None => {}
        }
    }

    fn execute(&mut self, blocks: &[CommittedBlock]) {
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
                (ordered, past::encode(block, &committed.certificate))
            })
            .collect();
        let all = self.chain.commit(&ordered).unwrap_or_else(|error| die(&error));
        for applied in &all {
            let header = &applied.header;
            let hash = header.hash();
            self.headers.insert(header.height, hash);
            if let Some(Err(error)) = self.history.as_mut().map(|tree| tree.try_push(hash)) {
                tracing::warn!(%error, "the file of header hashes cannot be written; no proofs of the past are served");
                self.history = None;
            }
            while self.headers.len() > 1_024 {
                self.headers.pop_first();
            }
            self.trades.take(header, &applied.events, self.chain.state().market());
            if header.tx_count > 0 || !applied.events.is_empty() {
                self.changed = header.height;
            }
            for (index, receipt) in (0u32..).zip(&applied.receipts) {
                self.ordered.remove(&receipt.id);
                self.counts.take(&receipt.status);
                let location = Location { height: header.height, index };
                self.waiters.committed(&receipt.id, location);
            }
            let happened = Happened::of(header.height, &applied.receipts, &applied.events);
            drop(self.feed.0.send(Arc::new(happened)));
        }
        if let Some(last) = blocks.last() {
            self.named = last.proposal.block.header.app.height;
        }
        self.snapshots.review(&mut self.chain);
        let stored = ordered.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        match certificate_in(&self.chain, &stored) {
            Ok(Some(newer)) => self.certified = Some(newer),
            Ok(None) => {}
            Err(error) => die(&error),
        }
        let senders = all.iter().flat_map(|applied| applied.senders.iter().copied());
        self.pool.prune(self.chain.state(), senders);
        self.sweep();
    }
}

impl Application for Ledger {
    type Event = Event;

    fn on_event(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Offers(offers) => offers.into_iter().for_each(|offer| self.on_offer(offer)),
            Event::Judged(judged) => self.on_judged(judged, cx),
            Event::Read(question) => question(&View {
                links: cx.peers.connected(),
                chain: &self.chain,
                pool: &self.pool,
                core: cx.core,
                certified: self.certified.as_ref(),
                trades: &self.trades,
                counts: self.counts,
                name: &self.name,
                genesis: &self.genesis,
                history: self.history.as_ref(),
            }),
        }
    }

    /// The transaction that pays best is ordered first by every honest leader: one that stays is passed over.
    fn starved(&mut self, cx: &mut Context<'_>) -> bool {
        if cx.now < self.watch_at {
            return self.watched.is_some_and(|(_, since)| cx.now >= since + FAIR);
        }
        self.watch_at = cx.now + WATCH;
        let stays = self.watched.filter(|(id, _)| self.pool.contains(id));
        self.watched = stays.or_else(|| {
            let ready = self.pool.select(self.chain.state(), &BTreeSet::new(), (1, usize::MAX));
            ready.first().map(|tx| (tx.body.id(), cx.now))
        });
        self.watched.is_some_and(|(_, since)| cx.now >= since + FAIR)
    }

    /// Transactions that are in no block on the way, or nothing.
    fn draft(&mut self, want: &WantPayload, cx: &mut Context<'_>) -> Answer {
        for ancestor in &want.ancestors {
            let body = Body::decode(ancestor.payload.bytes()).unwrap_or_default();
            self.ordered.extend(body.txs.iter().map(|tx| tx.body.id()));
        }
        if !want.required && self.due(cx) > cx.now {
            return Answer::Nothing;
        }
        let txs = self.pool.select(self.chain.state(), &self.ordered, PAYLOAD_LIMIT);
        if txs.is_empty() && !want.required && !self.wants_empty_block(cx.core) {
            return Answer::Nothing;
        }
        self.proposed = want.height;
        self.pace.proposed(cx.now);
        self.ordered.extend(txs.iter().map(|tx| tx.body.id()));
        let app = self.named_next(want);
        let payload = Payload::new(Body { txs }.encode());
        let time = wall().max(want.parent_time.next());
        Answer::Propose(Draft { payload, app, time, next: None })
    }

    fn check(&mut self, _block: &Hash, proposal: &Proposal, _cx: &mut Context<'_>) -> Verdict {
        self.judge(proposal)
    }

    fn commit(&mut self, blocks: Vec<CommittedBlock>, cx: &mut Context<'_>) {
        self.execute(&blocks);
        if let Some(last) = blocks.last() {
            cx.applied(last.proposal.block.header.height);
        }
    }

    fn serve(&mut self, to: Seat, from: Height, up_to: Height, cx: &mut Context<'_>) {
        let range = (from.0..=up_to.0.min(from.0.saturating_add(SERVE_BLOCKS)))
            .map_while(|height| committed_at(&self.chain, Height(height)));
        if let Some(blocks) = Blocks::from_log(range, SERVE_BYTES) {
            cx.peers.send(To::One(to), &Message::Blocks(Box::new(blocks)));
        }
    }

    fn serve_snapshot(&mut self, to: Seat, above: Height, cx: &mut Context<'_>) {
        if let Some(offer) = self.snapshots.above(above) {
            cx.peers.send(To::One(to), &Message::Snapshot(Box::new(offer.clone())));
        }
    }

    fn serve_chunk(&mut self, to: Seat, fetch: FetchChunk, cx: &mut Context<'_>) {
        if let Some(chunk) = Snapshots::piece(&self.chain, fetch) {
            cx.peers.send(To::One(to), &Message::Chunk(Box::new(chunk)));
        }
    }

    fn store_chunk(&mut self, chunk: Chunk, _cx: &mut Context<'_>) {
        self.snapshots.keep(chunk);
    }

    fn install_snapshot(&mut self, offer: &SnapshotOffer, _cx: &mut Context<'_>) -> bool {
        let bytes = self.snapshots.take();
        let Some(block) = offer.proof.proposals.first() else { return false };
        let consensus = past::encode(&block.block, &offer.proof.certificate);
        let (height, header) = (offer.height, offer.app);
        let arrived = Arrived { height, header, consensus: &consensus, bytes: &bytes };
        match self.chain.install(&self.home, &self.genesis, arrived) {
            Ok(()) => {
                tracing::info!(%height, bytes = bytes.len(), "a snapshot took the place of the log");
                self.begin_at(offer);
                true
            }
            Err(refused @ ChainError::Snapshot { .. }) => {
                tracing::warn!(%refused);
                false
            }
            Err(error) => die(&error),
        }
    }

    fn work(&mut self, cx: &mut Context<'_>) -> Work {
        self.tell_again(cx);
        if self.chain.first() > self.lowest {
            self.lowest = self.chain.first();
            cx.pruned(self.lowest);
        }
        let state = self.chain.state();
        let work = self.pool.has_ready(state) || self.wants_empty_block(cx.core);
        if let Some(due) = state.market().next_due() {
            let wait = due.since(wall()).max(DurationMs(1));
            cx.wake_at(cx.now + Duration::from_millis(wait.0));
        }
        if !work {
            return Work::None;
        }
        let due = self.due(cx);
        if due <= cx.now {
            return Work::Now;
        }
        cx.wake_at(due);
        Work::Later
    }

    fn on_term(&mut self, _term: Term, _leader: Seat, _cx: &mut Context<'_>) {
        self.ordered.clear();
        self.proposed = Height(0);
    }
}

fn refuse(answer: Option<(bool, Reply)>, refusal: Refusal) {
    if let Some((_, answer)) = answer {
        drop(answer.send(TxAnswer::Refused(refusal)));
    }
}

/// Tells the other validators about transactions, in as few messages as their bound allows.
fn tell(told: &[Told], cx: &Context<'_>) {
    let mut rest = told;
    while !rest.is_empty() {
        let mut bytes = FRAME_BYTES;
        let fits = |one: &&Told| {
            bytes += codec::encode(one).len();
            bytes <= TOLD_BYTES_MAX
        };
        // A single transaction always fits.
        let count = rest.iter().take(TOLD_MAX).take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        cx.peers.tell(To::All, &[&codec::encode(now)]);
        rest = later;
    }
}
