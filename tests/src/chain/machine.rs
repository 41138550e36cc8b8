//! The ledger of one node: what its replica does with the blocks that consensus gives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gongsuan_consensus::{CommittedBlock, ValidatorSet};
use gongsuan_ledger::{Applied, Genesis, OrderedBlock, State, apply_block};
use gongsuan_types::{Hash, PublicKey, TimeMs};

/// Blocks between two checkpoints.
const CHECKPOINT_EVERY: u64 = 16;

/// One node's ledger. After a crash it continues from its last checkpoint, as the real one does.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    genesis: Arc<Genesis>,
    validators: ValidatorSet,
    state: State,
    /// States as they are stored, by height.
    checkpoints: BTreeMap<u64, Vec<u8>>,
}

impl Machine {
    pub(crate) fn new(genesis: Arc<Genesis>, validators: ValidatorSet) -> Self {
        let state = State::new(&genesis).expect("the sim's genesis is sound");
        Self { genesis, validators, state, checkpoints: BTreeMap::new() }
    }

    /// Whether a block is wanted that orders nothing: a deadline is due, or a draw waits for its beacon.
    pub(crate) fn wants_block(&self, wall: TimeMs) -> bool {
        let market = self.state.market();
        market.wants_block() || market.next_due().is_some_and(|due| due <= wall)
    }

    /// Executes a block; answers with the header's hash.
    pub(crate) fn apply(&mut self, block: &CommittedBlock, body: &[u8]) -> Hash {
        let chain_id = self.genesis.chain_id();
        let applied = execute(&mut self.state, block, body, chain_id, &self.validators);
        let height = applied.header.height.0;
        if height.is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoints.insert(height, self.state.snapshot());
        }
        applied.header.hash()
    }

    /// The ledger as a crash leaves it that keeps blocks up to `height`: a checkpoint, and at which height it stands. The blocks
    /// after it are to be executed again.
    pub(crate) fn crash(&self, height: u64) -> (Self, u64) {
        let mut after = Self::new(Arc::clone(&self.genesis), self.validators.clone());
        after.checkpoints =
            self.checkpoints.range(..=height).map(|(h, b)| (*h, b.clone())).collect();
        let Some((at, bytes)) = after.checkpoints.last_key_value() else { return (after, 0) };
        let at = *at;
        after.state = State::restore(&self.genesis, bytes).expect("a checkpoint of its own");
        (after, at)
    }
}

/// Executes a block of the log.
pub(crate) fn execute(
    state: &mut State,
    block: &CommittedBlock,
    body: &[u8],
    chain_id: Hash,
    validators: &ValidatorSet,
) -> Applied {
    apply_block(state, &ordered(block, body, chain_id, validators))
}

/// A block of the log, as the ledger takes it.
pub(crate) fn ordered<'a>(
    block: &CommittedBlock,
    body: &'a [u8],
    chain_id: Hash,
    validators: &ValidatorSet,
) -> OrderedBlock<'a> {
    let header = &block.proposal.block.header;
    OrderedBlock {
        height: header.height,
        term: header.term,
        time: header.time,
        proposer: validators.key(header.proposer).copied().unwrap_or(PublicKey([0; 32])),
        block: block.proposal.block.hash(&chain_id),
        body,
    }
}
