//! Where transactions are: answered alike while entries wait in memory, when they are in the store, and after opening again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{address, ask, body, cancel, genesis, ordered, transaction, transfer};
use gongsuan_journal::MemoryDisk;
use gongsuan_ledger::{Body, Chain, ChainError, Event, Location, Op, Options, Subject};
use gongsuan_market::Event as MarketEvent;
use gongsuan_types::{Hash, Height};

#[test]
fn many_entries_in_a_block_are_found_in_memory_and_in_files() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis(12);
    let mut chain = Chain::open(dir.path(), &genesis).unwrap();
    let mut ids: Vec<(u64, u32, Hash)> = Vec::new();
    for height in 1..=6 {
        let txs: Vec<_> = (0..10_u16)
            .map(|from| {
                let ops = (0..60).map(|n| transfer(100 + n, 1)).collect();
                transaction(genesis.chain_id(), from, height - 1, 6_500, ops)
            })
            .collect();
        ids.extend((0..).zip(&txs).map(|(index, tx)| (height, index, tx.body.id())));
        let payload = body(txs);
        chain.commit(&[(ordered(height, &payload), vec![])]).unwrap();
    }
    let check = |chain: &Chain, when: &str| {
        for (height, index, id) in &ids {
            let location = chain.location(id).unwrap();
            assert_eq!((location.height.0, location.index), (*height, *index), "{when}");
        }
        let all: Vec<_> = chain
            .history(&address(120))
            .iter()
            .map(|(at, id)| (at.height.0, at.index, *id))
            .collect();
        assert_eq!(all, ids, "{when}: sixty payments, oldest first, each once");
        assert_eq!(chain.history(&address(3)).len(), 6, "{when}");
        assert_eq!(chain.location(&Hash::ZERO), None, "{when}");
    };
    check(&chain, "in memory");
    drop(chain);
    let mut chain = Chain::open(dir.path(), &genesis).unwrap();
    check(&chain, "executed again");
    chain.checkpoint();
    check(&chain, "in a file");
    drop(chain);
    check(&Chain::open(dir.path(), &genesis).unwrap(), "read from a checkpoint");
}

/// Where everything is, as a naive reading of the whole chain says.
#[derive(Default)]
struct Model {
    txs: BTreeMap<Hash, Location>,
    rows: Vec<(Subject, Location, Option<Hash>)>,
}

impl Model {
    fn add(&mut self, chain: &Chain, height: u64) {
        let stored = chain.stored(Height(height)).unwrap().unwrap();
        let body = Body::decode(&stored.body).unwrap();
        let mut rows = BTreeSet::new();
        for ((index, tx), receipt) in (0..).zip(&body.txs).zip(&stored.receipts) {
            let location = Location { height: Height(height), index };
            self.txs.insert(receipt.id, location);
            let mut row = |subject| rows.insert((subject, location, Some(receipt.id)));
            row(Subject::Account(tx.body.sender));
            for op in &tx.body.ops {
                if let Op::Transfer { to, .. } = op {
                    row(Subject::Account(*to));
                }
            }
            for event in &receipt.events {
                let Event::Market(event) = event else { continue };
                if let MarketEvent::Placed { order, .. } | MarketEvent::Cancelled { order, .. } =
                    event
                {
                    row(Subject::Order(*order));
                }
            }
        }
        let index = u32::try_from(stored.receipts.len()).unwrap();
        let location = Location { height: Height(height), index };
        for event in &stored.events {
            let Event::Market(event) = event else { continue };
            let mut row = |subject| rows.insert((subject, location, None));
            if let MarketEvent::Cancelled { order, .. } = event {
                row(Subject::Order(*order));
            }
            if let MarketEvent::Filled { deal, ask, bid, provider, renter, .. } = event {
                row(Subject::Deal(*deal));
                row(Subject::Order(*ask));
                row(Subject::Order(*bid));
                row(Subject::Account(*provider));
                row(Subject::Account(*renter));
            }
        }
        self.rows.extend(rows);
    }

    fn check(&self, chain: &Chain, when: &str) {
        for (id, location) in &self.txs {
            assert_eq!(chain.find(id).unwrap(), Some(*location), "{when}");
        }
        assert_eq!(chain.find(&Hash::of_content(b"nothing")).unwrap(), None, "{when}");
        let subjects: BTreeSet<Subject> = self.rows.iter().map(|(subject, ..)| *subject).collect();
        for subject in subjects {
            let own = self.rows.iter().rev().filter(|(of, ..)| *of == subject);
            let expected: Vec<_> = own.map(|(_, location, id)| (*location, *id)).collect();
            let (mut rows, mut before) = (Vec::new(), None);
            loop {
                let page = chain.history_page(subject, before, 7).unwrap();
                assert!(page.rows.len() == 7 || page.next.is_none(), "{when}: a page is full");
                rows.extend(page.rows);
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(rows, expected, "{when}: {subject:?}");
        }
    }
}

/// Small runs, so that they are merged twice over, with pages of one hot account.
#[test]
fn every_transaction_account_and_order_is_found_through_merges_and_restarts() {
    let disk = MemoryDisk::new();
    let genesis = genesis(12);
    let options = Options { tail_txs: 12, ..Options::default() };
    let open = || Chain::open_over(&disk, None, &genesis, options).unwrap();
    let (mut chain, mut model) = (open(), Model::default());
    for height in 1..=150_u64 {
        let txs = (0..5_u16)
            .map(|from| {
                let ops = match height % 10 {
                    3 if from == 1 => vec![ask(5)],
                    7 if from == 1 => vec![cancel(height / 10)],
                    _ => vec![transfer(200, 1), transfer(u16::try_from(height).unwrap(), 1)],
                };
                transaction(genesis.chain_id(), from, height - 1, 800, ops)
            })
            .collect();
        let payload = if height % 9 == 8 { vec![] } else { body(txs) };
        let payload = if payload.is_empty() { payload } else { renumber(&chain, &payload) };
        chain.commit(&[(ordered(height, &payload), vec![])]).unwrap();
        model.add(&chain, height);
        if height % 40 == 0 {
            model.check(&chain, "open");
            drop(chain);
            chain = open();
            model.check(&chain, "opened again");
        }
    }
    model.check(&chain, "at the end");
    let runs = chain.index_size().0;
    assert!((2..24).contains(&runs), "{runs} runs of what were fifty tails");
    for name in disk.names().iter().filter(|name| name.starts_with("index/")) {
        disk.set_content(name, b"garbage");
    }
    drop(chain);
    model.check(&open(), "derived again");
}

/// The nonces of the same transactions as they must be now.
fn renumber(chain: &Chain, payload: &[u8]) -> Vec<u8> {
    let txs = Body::decode(payload).unwrap().txs.into_iter().map(|mut tx| {
        tx.body.nonce = chain.state().accounts().account(&tx.body.sender).nonce;
        tx
    });
    body(txs.collect())
}

#[test]
fn a_damaged_page_is_noticed_answered_around_and_written_again() {
    let disk = MemoryDisk::new();
    let genesis = genesis(3);
    let options = Options { tail_txs: 40, ..Options::default() };
    let mut chain = Chain::open_over(&disk, None, &genesis, options).unwrap();
    let mut model = Model::default();
    let pay = |chain: &mut Chain, height: u64| {
        let tx = transaction(genesis.chain_id(), 1, height - 1, 500, vec![transfer(2, 1)]);
        chain.commit(&[(ordered(height, &body(vec![tx])), vec![])]).unwrap();
    };
    for height in 1..=100 {
        pay(&mut chain, height);
        model.add(&chain, height);
    }
    let name = disk.names().into_iter().find(|name| name.starts_with("index/")).unwrap();
    let whole = disk.content(&name);
    for page in 1..whole.len() / 4096 {
        let mut bent = whole.clone();
        bent[page * 4096 + 1] ^= 1;
        disk.set_content(&name, &bent);
        model.check(&chain, "around it");
        disk.set_content(&name, &whole);
    }
    let mut bent = whole.clone();
    bent[3 * 4096 + 7] ^= 1;
    disk.set_content(&name, &bent);
    model.check(&chain, "around it");
    pay(&mut chain, 101);
    model.add(&chain, 101);
    assert_eq!(disk.content(&name), whole, "written again");
    model.check(&chain, "written again");
}

#[test]
fn a_newer_index_is_refused_by_name() {
    let disk = MemoryDisk::new();
    let genesis = genesis(1);
    let options = Options { tail_txs: 1, ..Options::default() };
    let mut chain = Chain::open_over(&disk, None, &genesis, options).unwrap();
    let tx = transaction(genesis.chain_id(), 0, 0, 500, vec![transfer(2, 1)]);
    chain.commit(&[(ordered(1, &body(vec![tx])), vec![])]).unwrap();
    drop(chain);
    let name = disk.names().into_iter().find(|name| name.starts_with("index/")).unwrap();
    let mut content = disk.content(&name);
    content[8] = 2;
    disk.set_content(&name, &content);
    let error = Chain::open_over(&disk, None, &genesis, options).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "index: memory/{name} has index version 2, this program reads up to 1: use a newer program, or remove the folder \
             and let this one derive it from the block log"
        )
    );
}

#[test]
fn a_chain_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis(1);
    let held = Chain::open(dir.path(), &genesis).unwrap();
    assert!(matches!(Chain::open(dir.path(), &genesis), Err(ChainError::Lock(_))));
    drop(held);
    assert!(Chain::open(dir.path(), &genesis).is_ok());
}
