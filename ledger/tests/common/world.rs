//! A chain whose every answer is known, and the check that another chain gives the same ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use gongsuan_ledger::{
    Chain, ChainError, Genesis, Location, State, StoredBlock, Subject, apply_block,
};
use gongsuan_types::{Hash, Height};

use super::{address, body, genesis, ordered, transaction, transfer};

/// What is stored with each block, as a certificate would be.
pub(crate) fn consensus(height: u64) -> Vec<u8> {
    height.to_le_bytes().repeat(3)
}

/// The truth about every block.
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    /// By height, from 1 on.
    pub(crate) blocks: Vec<StoredBlock>,
    /// By height, from 0 on.
    pub(crate) roots: Vec<Hash>,
}

impl World {
    /// Three transfers in each block; every seventh is empty.
    pub(crate) fn new(blocks: u64) -> Self {
        let genesis = genesis(4);
        let mut state = State::new(&genesis).unwrap();
        let mut world = Self { genesis, blocks: Vec::new(), roots: vec![state.root()] };
        for height in 1..=blocks {
            let txs = (0..3_u16).map(|from| {
                let nonce = state.accounts().account(&address(from)).nonce;
                let to = u16::try_from(height % 9).unwrap() + 50;
                let ops = vec![transfer(to, 3), transfer(60, 1)];
                transaction(world.genesis.chain_id(), from, nonce, 800, ops)
            });
            let body = if height % 7 == 0 { vec![] } else { body(txs.collect()) };
            let applied = apply_block(&mut state, &ordered(height, &body));
            world.roots.push(state.root());
            world.blocks.push(StoredBlock {
                header: applied.header,
                body,
                receipts: applied.receipts,
                events: applied.events,
                consensus: consensus(height),
            });
        }
        world
    }

    pub(crate) fn head(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Commits one block.
    pub(crate) fn commit(&self, chain: &mut Chain, height: u64) -> Result<(), ChainError> {
        let block = &self.blocks[usize::try_from(height).unwrap() - 1];
        chain.commit(&[(ordered(height, &block.body), block.consensus.clone())]).map(drop)
    }

    /// Commits what is missing up to a height.
    pub(crate) fn fill(&self, chain: &mut Chain, upto: u64) {
        for height in chain.state().height().0 + 1..=upto {
            self.commit(chain, height).unwrap();
        }
    }

    /// Whether a chain says the truth about every block up to its own head, which it returns; what it does not keep it must refuse.
    pub(crate) fn check(&self, chain: &Chain, context: &str) -> u64 {
        let head = chain.state().height().0;
        assert!(head <= self.head(), "{context}: nobody ordered block {head}");
        let at = usize::try_from(head).unwrap();
        assert_eq!(chain.state().root(), self.roots[at], "{context}");
        let mut rows: Vec<(Location, Option<Hash>)> = Vec::new();
        for block in &self.blocks[..at] {
            let height = block.header.height;
            let sealed = chain.sealed(height).unwrap().unwrap();
            assert_eq!((&sealed.header, &sealed.consensus), (&block.header, &block.consensus));
            if height < chain.first() {
                assert!(
                    matches!(chain.stored(height), Err(ChainError::Pruned { .. })),
                    "{context}"
                );
                for receipt in &block.receipts {
                    let found = chain.find(&receipt.id);
                    assert!(matches!(found, Err(ChainError::NotKept { .. })), "{context}");
                }
                continue;
            }
            assert_eq!(chain.stored(height).unwrap().as_ref(), Some(block), "{context}");
            for (index, receipt) in (0..).zip(&block.receipts) {
                let location = Location { height, index };
                assert_eq!(chain.find(&receipt.id).unwrap(), Some(location), "{context}");
                rows.push((location, Some(receipt.id)));
            }
        }
        for block in &self.blocks[at..] {
            assert_eq!(chain.stored(block.header.height).unwrap(), None, "{context}");
            for receipt in &block.receipts {
                assert_eq!(chain.location(&receipt.id), None, "{context}");
            }
        }
        rows.reverse();
        let page = chain.history_page(Subject::Account(address(60)), None, 10_000).unwrap();
        assert_eq!((page.rows, page.next), (rows, None), "{context}: each payment exactly once");
        assert_eq!(chain.stored(Height(0)).unwrap(), None, "{context}");
        head
    }
}
