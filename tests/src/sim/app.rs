//! What the validators order: numbers, each once. The state is the list of them; its hash can be recomputed from it. In a world with a
//! chain each number stands for a signed transaction, blocks carry those as well, and the state is the ledger's.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_consensus::{
    AppRef, Blocks, CertifiedHeader, CommittedBlock, Payload, Pieces, SnapshotOffer,
};
use gongsuan_types::{Hash, Hasher, Height, TimeMs, codec};

use crate::chain::Machine;

/// A state that was named by a committed header begins a new snapshot when this many heights have passed.
const SNAPSHOT_EVERY: u64 = 6;
/// Bytes of one piece: small, so that a snapshot has many.
const PIECE_BYTES: usize = 96;

/// A transaction: a number that the world has handed out.
pub(crate) type Tx = u64;

/// Numbers alone.
pub(crate) fn encode(txs: &[Tx]) -> Payload {
    encode_with(txs, Vec::new())
}

/// Numbers, and the ledger's payload.
pub(crate) fn encode_with(txs: &[Tx], body: Vec<u8>) -> Payload {
    Payload::new(codec::encode(&(txs.to_vec(), body)))
}

pub(crate) fn decode(payload: &Payload) -> Option<Vec<Tx>> {
    decode_with(payload).map(|(txs, _)| txs)
}

pub(crate) fn decode_with(payload: &Payload) -> Option<(Vec<Tx>, Vec<u8>)> {
    codec::decode("payload", 1 << 20, payload.bytes()).ok()
}

fn chain(before: Hash, tx: Tx) -> Hash {
    let mut hasher = Hasher::new("gongsuan/sim/tx");
    hasher.update(&before.0).update(&tx.to_le_bytes());
    hasher.finish()
}

fn state_hash(height: u64, txs: Hash) -> Hash {
    let mut hasher = Hasher::new("gongsuan/sim/state");
    hasher.update(&height.to_le_bytes()).update(&txs.0);
    hasher.finish()
}

/// A snapshot as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) height: u64,
    pub(crate) app: Hash,
    pub(crate) pieces: Pieces,
}

/// The state and the log of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct App {
    /// The block that a snapshot stands for, below the log.
    base: Option<CommittedBlock>,
    log: Vec<CommittedBlock>,
    /// How much of the log survives a power cut.
    durable: usize,
    txs: Vec<Tx>,
    seen: BTreeSet<Tx>,
    /// The lowest transaction that was not seen.
    missing: Tx,
    running: Hash,
    /// Number of transactions and state hash after each height that is remembered.
    states: BTreeMap<u64, (usize, Hash)>,
    pub(crate) kept: Vec<Kept>,
    /// The last blocks of past epochs.
    path: Vec<CertifiedHeader>,
    /// In a world with a chain.
    ledger: Option<Machine>,
}

impl App {
    pub(crate) fn with(ledger: Option<Machine>) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// Whether a block is wanted that orders nothing.
    pub(crate) fn wants_block(&self, wall: TimeMs) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.wants_block(wall))
    }

    pub(crate) fn height(&self) -> u64 {
        self.newest().map_or(0, |block| block.proposal.block.header.height.0)
    }

    pub(crate) fn newest(&self) -> Option<&CommittedBlock> {
        self.log.last().or(self.base.as_ref())
    }

    fn first_height(&self) -> u64 {
        self.base.as_ref().map_or(1, |block| block.proposal.block.header.height.0 + 1)
    }

    pub(crate) fn has(&self, tx: Tx) -> bool {
        self.seen.contains(&tx)
    }

    /// The lowest transaction that is not ordered yet.
    pub(crate) fn lowest_missing(&self) -> Tx {
        self.missing
    }

    fn note_seen(&mut self) {
        while self.seen.contains(&self.missing) {
            self.missing += 1;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(crate) fn app_ref(&self) -> AppRef {
        let height = self.height();
        let hash = self.states.get(&height).map_or(Hash::ZERO, |(_, hash)| *hash);
        AppRef { height: Height(height), hash }
    }

    /// Whether a claim about the state is right; `None` if this node has not come so far.
    pub(crate) fn agrees(&self, claim: AppRef) -> Option<bool> {
        if claim.height.0 > self.height() {
            return None;
        }
        // What is older than everything remembered cannot be judged here.
        Some(match self.states.get(&claim.height.0) {
            Some((_, hash)) => *hash == claim.hash,
            None if claim.height.0 == 0 => claim.hash == Hash::ZERO,
            None => true,
        })
    }

    /// Takes in a block; the transactions that were there before are returned: there must be none.
    pub(crate) fn apply(&mut self, block: CommittedBlock) -> Vec<Tx> {
        let header = block.proposal.block.header.clone();
        let (txs, body) = decode_with(&block.proposal.payload).unwrap_or_default();
        let twice = txs.iter().copied().filter(|tx| !self.seen.insert(*tx)).collect();
        for tx in txs {
            self.running = chain(self.running, tx);
            self.txs.push(tx);
        }
        self.note_seen();
        let height = header.height.0;
        let hash = match &mut self.ledger {
            Some(ledger) => ledger.apply(&block, &body),
            None => state_hash(height, self.running),
        };
        self.states.insert(height, (self.txs.len(), hash));
        if let Some(certified) = block.certified_header().filter(|_| header.is_final()) {
            self.path.push(certified);
        }
        self.log.push(block);
        self.keep_snapshot(header.app);
        twice
    }

    /// Every node keeps the same snapshots: of the states that committed headers name, the first of each span.
    fn keep_snapshot(&mut self, named: AppRef) {
        let newest = self.kept.last().map_or(0, |kept| kept.height);
        // A real node neither serves nor installs snapshots of the ledger yet.
        if self.ledger.is_some() || named.height.0 / SNAPSHOT_EVERY <= newest / SNAPSHOT_EVERY {
            return;
        }
        let Some((count, app)) = self.states.get(&named.height.0) else { return };
        let pieces = Pieces::cut(&codec::encode(&self.txs[..*count].to_vec()), PIECE_BYTES);
        self.kept.push(Kept { height: named.height.0, app: *app, pieces });
        if self.kept.len() > 2 {
            self.kept.remove(0);
        }
    }

    /// Forgets the log below the older of two snapshots; the lowest height left, if anything was forgotten.
    pub(crate) fn prune(&mut self) -> Option<u64> {
        let [older, _] = self.kept.as_slice() else { return None };
        let keep = older.height;
        let below = usize::try_from(keep.saturating_sub(self.first_height())).ok()?;
        if below == 0 || below >= self.durable {
            return None;
        }
        let gone: Vec<_> = self.log.drain(..below).collect();
        self.durable -= below;
        self.base = gone.into_iter().next_back();
        Some(keep)
    }

    pub(crate) fn lowest(&self) -> Option<u64> {
        self.base.as_ref().map(|base| base.proposal.block.header.height.0 + 1)
    }

    pub(crate) fn range(&self, from: u64, to: u64) -> Vec<CommittedBlock> {
        let index =
            |height: u64| usize::try_from(height.saturating_sub(self.first_height())).unwrap_or(0);
        if from < self.first_height() || to > self.height() || from > to {
            return Vec::new();
        }
        self.log[index(from)..=index(to)].to_vec()
    }

    pub(crate) fn durable_height(&self) -> u64 {
        self.first_height() + self.durable as u64 - 1
    }

    /// The log up to a height has reached the disk.
    pub(crate) fn synced(&mut self, height: u64) {
        let count = (height + 1).saturating_sub(self.first_height());
        self.durable = self.durable.max(usize::try_from(count).unwrap_or(0)).min(self.log.len());
    }

    /// A power cut: of the blocks that were not synced the last `lost` are gone. The state is rebuilt from the rest.
    pub(crate) fn crash(&self, lost: usize) -> Self {
        let left = self.log.len().saturating_sub(lost).max(self.durable);
        let mut after = Self { base: self.base.clone(), ..Self::default() };
        if let Some(base) = &self.base {
            let height = base.proposal.block.header.height.0;
            let count = self.states.get(&height).map_or(0, |(count, _)| *count);
            after.restore(height, &self.txs[..count]);
            let lowest = |kept: &&Kept| kept.height <= height;
            after.kept = self.kept.iter().filter(lowest).cloned().collect();
            let before = |last: &&CertifiedHeader| last.block.header.height.0 <= height;
            after.path = self.path.iter().filter(before).cloned().collect();
        }
        let Some(ledger) = &self.ledger else {
            for block in &self.log[..left] {
                after.apply(block.clone());
            }
            after.durable = after.log.len();
            return after;
        };
        // Its log is whole, from the first block. Blocks below the checkpoint are not executed again.
        let (ledger, at) = ledger.crash(left as u64);
        let below = usize::try_from(at).unwrap_or(0).min(left);
        for block in &self.log[..below] {
            let height = block.proposal.block.header.height.0;
            let txs = decode(&block.proposal.payload).unwrap_or_default();
            after.seen.extend(&txs);
            after.note_seen();
            after.txs.extend(&txs);
            after.states.extend(self.states.get(&height).map(|state| (height, *state)));
            after.log.push(block.clone());
        }
        after.ledger = Some(ledger);
        for block in &self.log[below..left] {
            after.apply(block.clone());
        }
        after.durable = after.log.len();
        after
    }

    fn restore(&mut self, height: u64, txs: &[Tx]) {
        self.txs = txs.to_vec();
        self.seen = txs.iter().copied().collect();
        self.missing = 0;
        self.note_seen();
        self.running = txs.iter().fold(Hash::ZERO, |hash, tx| chain(hash, *tx));
        self.states = BTreeMap::from([(height, (txs.len(), state_hash(height, self.running)))]);
    }

    /// Puts a snapshot in place of everything, if its state has the hash that the chain certifies.
    pub(crate) fn install(
        &mut self,
        offer: &SnapshotOffer,
        pieces: &BTreeMap<u32, Vec<u8>>,
    ) -> bool {
        let bytes: Vec<u8> = pieces.values().flatten().copied().collect();
        let Ok(txs) = codec::decode::<Vec<Tx>>("snapshot", 1 << 24, &bytes) else { return false };
        let mut fresh = Self { base: offer.committed(), ..Self::default() };
        fresh.restore(offer.height.0, &txs);
        if fresh.app_ref().hash != offer.app {
            return false;
        }
        let pieces = Pieces::cut(&bytes, PIECE_BYTES);
        fresh.kept = vec![Kept { height: offer.height.0, app: offer.app, pieces }];
        fresh.path = offer.path.clone();
        let is_last = |block: &CommittedBlock| block.proposal.block.header.is_final();
        if let Some(last) = offer.committed().filter(is_last) {
            fresh.path.extend(last.certified_header());
        }
        *self = fresh;
        true
    }

    /// The newest snapshot above a height, with its proof.
    pub(crate) fn offer(&self, above: u64) -> Option<SnapshotOffer> {
        self.kept.iter().rev().filter(|kept| kept.height > above).find_map(|kept| {
            let log = self.range(kept.height, self.height());
            let names = |block: &CommittedBlock| {
                let app = block.proposal.block.header.app;
                (app.height.0, app.hash) == (kept.height, kept.app)
            };
            let naming = log.iter().position(names)?;
            let certified = naming + log[naming..].iter().position(CommittedBlock::is_certified)?;
            let epoch = log[0].proposal.block.header.epoch;
            if log[certified].proposal.block.header.epoch != epoch {
                return None;
            }
            let proof = Blocks {
                certificate: log[certified].certificate.clone(),
                proposals: log[..=certified].iter().map(|block| block.proposal.clone()).collect(),
            };
            let before = |last: &&CertifiedHeader| last.block.header.epoch < epoch;
            Some(SnapshotOffer {
                height: Height(kept.height),
                app: kept.app,
                root: kept.pieces.root(),
                chunks: u32::try_from(kept.pieces.count()).ok()?,
                path: self.path.iter().filter(before).cloned().collect(),
                proof,
            })
        })
    }
}
