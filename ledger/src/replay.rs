//! Executing a chain again, block by block, and saying where it differs.

use std::collections::BTreeSet;

use gongsuan_types::{Height, Refusal};

use crate::chain::StoredBlock;
use crate::check::check_body;
use crate::genesis::Genesis;
use crate::state::State;
use crate::transition::{OrderedBlock, apply_block};

/// A block that is not what executing it gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {height}: {what} is {stored} in the log, executing it gives {computed}")]
pub struct Divergence {
    /// Which.
    pub height: Height,
    /// What differs first, such as `state root`.
    pub what: &'static str,
    /// What the log says.
    pub stored: String,
    /// What it should say.
    pub computed: String,
}

/// A fresh state that blocks are executed on. Holds one block at a time, however long the chain is.
#[derive(Debug)]
pub struct Replay {
    state: State,
}

impl Replay {
    /// Begins at the genesis.
    ///
    /// # Errors
    /// A [`Refusal`] if no chain can begin like this.
    pub fn new(genesis: &Genesis) -> Result<Self, Refusal> {
        Ok(Self { state: State::new(genesis)? })
    }

    /// The state after the last block.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state after the last block, for good.
    #[must_use]
    pub fn into_state(self) -> State {
        self.state
    }

    /// Checks the body as a validator does before it votes, executes the next block, and compares header, receipts and events.
    ///
    /// # Errors
    /// [`Divergence`]: what differs first. The replay is over: the state is that of the block as executed.
    pub fn apply(&mut self, block: &StoredBlock) -> Result<(), Divergence> {
        let header = &block.header;
        let differs = |what, stored: String, computed: String| {
            Err(Divergence { height: header.height, what, stored, computed })
        };
        let (next, last) = (self.state.height().next(), self.state.time());
        if header.height != next {
            return differs("the height", header.height.to_string(), next.to_string());
        }
        if header.time <= last {
            return differs("the time", header.time.to_string(), format!("later than {last}"));
        }
        if let Err(refusal) = check_body(&block.body, self.state.chain_id(), &BTreeSet::new()) {
            return differs("the body", refusal.to_string(), "refused by every validator".into());
        }
        let ordered = OrderedBlock {
            height: header.height,
            term: header.term,
            time: header.time,
            proposer: header.proposer,
            block: header.block,
            body: &block.body,
        };
        let applied = apply_block(&mut self.state, &ordered);
        let computed = &applied.header;
        for (what, stored, computed) in [
            ("the chain", header.chain_id, computed.chain_id),
            ("the parent", header.parent, computed.parent),
            ("the transactions' root", header.tx_root, computed.tx_root),
            ("the state root", header.state_root, computed.state_root),
            ("the receipts' root", header.receipt_root, computed.receipt_root),
            ("the history root", header.history_root, computed.history_root),
            ("the validators' hash", header.validators_hash, computed.validators_hash),
            ("the parameters' hash", header.params_hash, computed.params_hash),
            ("the header", header.hash(), computed.hash()),
        ] {
            if stored != computed {
                return differs(what, stored.to_string(), computed.to_string());
            }
        }
        if applied.receipts != block.receipts {
            let same = |(a, b): &(&_, &_)| a == b;
            let at = applied.receipts.iter().zip(&block.receipts).take_while(same).count();
            let text = |receipts: &[crate::TxReceipt]| format!("{:?}", receipts.get(at));
            return differs("a receipt", text(&block.receipts), text(&applied.receipts));
        }
        if applied.events != block.events {
            let text = |events: &[crate::Event]| format!("{events:?}");
            return differs("the block's events", text(&block.events), text(&applied.events));
        }
        Ok(())
    }
}
