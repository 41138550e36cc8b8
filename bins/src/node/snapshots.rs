//! Snapshots between nodes: what this one offers to those that are far behind, and what it fetches when it is.
//!
//! Every node keeps the states of the same heights ([`gongsuan_ledger::genesis::Params::snapshot_blocks`]), and a leader names those heights before newer ones,
//! so that their headers are certified. A snapshot is offered once this node's log shows that.

use std::collections::BTreeMap;

use gongsuan_consensus::message::MESSAGE_BYTES_MAX;
use gongsuan_consensus::{Blocks, Chunk, CommittedBlock, FetchChunk, SnapshotOffer};
use gongsuan_ledger::{Chain, KeptSnapshot};
use gongsuan_types::{Hash, Height, codec, merkle};

use super::past::committed_at;

/// Blocks from the one whose state it is to one that is certified and names it, at most: leaders name it as soon as they have it, and propose no more than
/// a window ahead.
const PROOF_BLOCKS: u64 = 64;
/// Room for what stands in an offer beside the blocks.
const OFFER_BYTES: usize = 64 << 10;

/// What is offered, and the pieces that have come of what is fetched.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    offers: BTreeMap<Height, SnapshotOffer>,
    root: Option<Hash>,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Snapshots {
    /// What a node that starts can offer.
    pub(super) fn open(chain: &mut Chain) -> Self {
        let mut own = Self::default();
        own.offer(chain, |_| true);
        own
    }

    /// After blocks were added: offers what can be shown to be the chain's now, and no longer what is not kept any more.
    pub(super) fn review(&mut self, chain: &mut Chain) {
        let head = chain.state().height();
        self.offer(chain, |kept| head.0 <= kept.height.0 + PROOF_BLOCKS);
    }

    fn offer(&mut self, chain: &mut Chain, is_worth: impl Fn(&KeptSnapshot) -> bool) {
        let is_kept = |height: &Height| chain.snapshots().any(|kept| kept.height == *height);
        self.offers.retain(|height, _| is_kept(height));
        let new = |kept: &&KeptSnapshot| !self.offers.contains_key(&kept.height) && is_worth(kept);
        let found: Vec<SnapshotOffer> =
            chain.snapshots().filter(new).filter_map(|kept| offer_of(chain, kept)).collect();
        for offer in found {
            tracing::info!(height = %offer.height, pieces = offer.chunks, "a snapshot is offered");
            chain.vouch_for(offer.height);
            self.offers.insert(offer.height, offer);
        }
    }

    /// The newest snapshot above a height.
    pub(super) fn above(&self, height: Height) -> Option<&SnapshotOffer> {
        self.offers.values().next_back().filter(|offer| offer.height > height)
    }

    /// A piece of a snapshot that is kept, with its path.
    pub(super) fn piece(chain: &Chain, fetch: FetchChunk) -> Option<Chunk> {
        let index = usize::try_from(fetch.index).ok()?;
        let kept = chain.snapshots().find(|kept| kept.root() == fetch.root)?;
        let proof = merkle::Proof::new(&kept.leaves, index)?;
        let bytes = chain.snapshot_piece(fetch.root, index)?;
        Some(Chunk { root: fetch.root, proof, bytes })
    }

    /// A piece has come; it was checked against its root. Pieces of another snapshot are of no use any more.
    pub(super) fn keep(&mut self, chunk: Chunk) {
        if self.root.replace(chunk.root) != Some(chunk.root) {
            self.pieces.clear();
        }
        self.pieces.insert(chunk.proof.index, chunk.bytes);
    }

    /// All pieces of what was fetched, one after another.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.root = None;
        std::mem::take(&mut self.pieces).into_values().flatten().collect()
    }
}

/// The offer of a snapshot, if a certified block of this log names it.
fn offer_of(chain: &Chain, kept: &KeptSnapshot) -> Option<SnapshotOffer> {
    let first = kept.height.0;
    let log: Vec<CommittedBlock> = (first..first + PROOF_BLOCKS)
        .map_while(|height| committed_at(chain, Height(height)))
        .collect();
    let names = |block: &CommittedBlock| {
        let app = block.proposal.block.header.app;
        (app.height, app.hash) == (kept.height, kept.header)
    };
    let naming = log.iter().position(names)?;
    let certified = naming + log[naming..].iter().position(CommittedBlock::is_certified)?;
    let proof = Blocks {
        certificate: log[certified].certificate.clone(),
        proposals: log.into_iter().take(certified + 1).map(|block| block.proposal).collect(),
    };
    let offer = SnapshotOffer {
        height: kept.height,
        app: kept.header,
        root: kept.root(),
        chunks: u32::try_from(kept.leaves.len()).ok()?,
        path: Vec::new(),
        proof,
    };
    // Under the greatest load the blocks may be too many for one message: the next snapshot will do.
    (codec::encode(&offer).len() + OFFER_BYTES <= MESSAGE_BYTES_MAX).then_some(offer)
}
