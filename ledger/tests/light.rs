//! The light client refuses whatever is not proved, and names the step.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{address, body, genesis, key, ordered, transaction, transfer};
use gongsuan_ledger::light::{Authority, LightError};
use gongsuan_ledger::proof::{
    Fact, PROOF_BYTES_MAX, PROOF_VERSION, Past, Step, events_of, receipt_of, transaction_of,
};
use gongsuan_ledger::{
    Header, HistoryTree, LightClient, Proof, State, StateKey, StoredBlock, TxStatus, apply_block,
};
use gongsuan_types::{Hash, Height, PublicKey, Signature, codec};

/// One validator, whose signature over the header's hash is the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct One(PublicKey);

impl Authority for One {
    fn certifies(&mut self, header: &Header, certificate: &[u8]) -> Result<String, String> {
        let signature: Signature =
            codec::decode("signature", 64, certificate).map_err(|error| error.to_string())?;
        self.0.verify(&header.hash(), &signature).map_err(|error| error.to_string())?;
        Ok("signed".to_owned())
    }
}

fn certificate(header: &Header) -> Vec<u8> {
    codec::encode(&key(999).sign(&header.hash()))
}

fn authority() -> One {
    One(key(999).public_key())
}

struct World {
    state: State,
    history: HistoryTree,
    blocks: Vec<StoredBlock>,
}

fn chain(blocks: u64) -> World {
    let genesis = genesis(3);
    let mut state = State::new(&genesis).unwrap();
    let (mut history, mut all) = (HistoryTree::default(), Vec::new());
    for height in 1..=blocks {
        // The last of the three fails: it has not so much.
        let txs = [(0, 5), (1, 6), (2, 3_000_000)].map(|(from, amount)| {
            let ops = vec![transfer(7, amount)];
            transaction(genesis.chain_id(), from, height - 1, 300, ops)
        });
        let body = body(txs.to_vec());
        let applied = apply_block(&mut state, &ordered(height, &body));
        history.push(applied.header.hash());
        let (header, receipts, events) = (applied.header, applied.receipts, applied.events);
        all.push(StoredBlock { header, body, receipts, events, consensus: vec![] });
    }
    World { state, history, blocks: all }
}

impl World {
    fn header(&self, height: u64) -> Header {
        self.blocks[usize::try_from(height - 1).unwrap()].header
    }

    fn client(&self) -> LightClient<One> {
        LightClient::from_genesis(self.header(1).chain_id, authority())
    }

    /// A proof about a block, anchored at the last one.
    fn proof(&self, height: u64, fact: Fact) -> Proof {
        let anchor = self.blocks.last().unwrap().header;
        let past = (height < anchor.height.0).then(|| Past {
            header: self.header(height),
            path: self.history.prove(height - 1, anchor.height.0 - 1).unwrap(),
        });
        Proof { version: PROOF_VERSION, anchor, certificate: certificate(&anchor), past, fact }
    }

    fn record(&self, key: StateKey) -> Proof {
        let fact =
            Fact::Record { key, value: self.state.record(&key), path: self.state.prove(&key) };
        self.proof(self.blocks.len() as u64, fact)
    }

    /// A good proof of every kind.
    fn all(&self) -> Vec<(&'static str, Proof)> {
        let middle = &self.blocks[self.blocks.len() / 2];
        let (height, id) = (middle.header.height.0, middle.receipts[1].id);
        let failed = middle.receipts[2].id;
        vec![
            ("account", self.record(StateKey::Account(address(7)))),
            ("no account", self.record(StateKey::Account(address(77)))),
            ("supply", self.record(StateKey::Supply)),
            ("transaction", self.proof(height, transaction_of(middle, &id).unwrap())),
            ("receipt", self.proof(height, receipt_of(middle, &id).unwrap())),
            ("failed receipt", self.proof(height, receipt_of(middle, &failed).unwrap())),
            ("events", self.proof(height, events_of(middle))),
            ("old block", self.proof(2, Fact::Block)),
            ("last block", self.proof(self.blocks.len() as u64, Fact::Block)),
        ]
    }
}

#[test]
fn headers_are_followed_one_by_one_and_skipped_with_a_proof() {
    let world = chain(20);
    let header = |height| world.header(height);
    let mut client = LightClient::from_checkpoint(header(1), authority());
    let mut advance = |to: Header, past| client.advance(to, past, &certificate(&to));
    advance(header(2), None).unwrap();
    assert_eq!(advance(header(4), None), Err(LightError::NotDescended));
    assert_eq!(advance(header(2), None), Err(LightError::NotLater));
    let past = world.history.prove(1, 18).unwrap();
    assert_eq!(advance(header(20), Some(&past)), Err(LightError::NotDescended));
    advance(header(19), Some(&past)).unwrap();
    let foreign = Header { chain_id: Hash::ZERO, ..header(20) };
    assert_eq!(advance(foreign, None), Err(LightError::Foreign));
    // Another history with the same heights.
    let fork = Header { parent: Hash::ZERO, ..header(20) };
    assert_eq!(advance(fork, None), Err(LightError::NotDescended));
    let wrong = client.advance(header(20), None, &certificate(&header(19)));
    assert!(matches!(wrong, Err(LightError::NotCertified(_))));
    assert_eq!(client.head().unwrap().height, Height(19));
}

#[test]
fn every_kind_of_proof_holds_and_says_what_it_shows() {
    let world = chain(6);
    for (name, proof) in world.all() {
        assert_eq!(Proof::decode(&proof.encode()), Ok(proof.clone()), "{name}");
        let passed = world.client().verify(&proof).unwrap_or_else(|no| panic!("{name}: {no}"));
        let steps: Vec<Step> = passed.iter().map(|passed| passed.step).collect();
        let all = [Step::Version, Step::Chain, Step::Certificate, Step::Ancestry, Step::Path];
        assert_eq!(steps, all, "{name}");
        // Who trusts the anchor needs no certificate, and is not to be given bytes that nobody reads.
        let mut pinned = LightClient::from_checkpoint(proof.anchor, One(key(1).public_key()));
        assert_eq!(pinned.verify(&proof).unwrap_err().step, Step::Certificate, "{name}");
        let bare = Proof { certificate: vec![], ..proof };
        pinned.verify(&bare).unwrap();
        assert_eq!(world.client().verify(&bare).unwrap_err().step, Step::Certificate, "{name}");
    }
    let failed = &world.all()[5].1.fact;
    let Fact::Receipt { receipt, .. } = failed else { panic!("{failed:?}") };
    assert!(matches!(receipt.status, TxStatus::Failed { op: 0, .. }));
    let passed = world.client().verify(&world.all()[1].1).unwrap();
    assert!(passed[4].detail.starts_with("the record is absent"), "{passed:?}");
}

fn other_absence(bent: &Fact, proof: &Fact) -> bool {
    match (bent, proof) {
        (
            Fact::Record { key: other, value: None, path: bent },
            Fact::Record { key, value: None, path },
        ) => other != key && bent == path,
        _ => false,
    }
}

#[test]
fn every_flipped_bit_of_every_kind_breaks_it() {
    let world = chain(6);
    let (mut client, mut seen) = (world.client(), [0; 6]);
    for (name, proof) in world.all() {
        let bytes = proof.encode();
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let Ok(bent) = Proof::decode(&bent) else { continue };
            match client.verify(&bent) {
                Err(refuted) => seen[refuted.step as usize] += 1,
                // The path to an absent record may show the absence of another one just as well. That is true, and is not what was asked.
                Ok(_) => assert!(other_absence(&bent.fact, &proof.fact), "{name}, bit {bit}"),
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "no flip fails at one of the steps: {seen:?}");
}

#[test]
fn the_step_that_fails_is_named() {
    let world = chain(6);
    let mut client = world.client();
    let mut step = |proof: &Proof| client.verify(proof).unwrap_err().step;
    let all = world.all();
    let (account, absent, tx) = (&all[0].1, &all[1].1, &all[3].1);
    assert_eq!(step(&Proof { version: 2, ..account.clone() }), Step::Version);
    let foreign = Header { chain_id: Hash::ZERO, ..account.anchor };
    assert_eq!(step(&Proof { anchor: foreign, ..account.clone() }), Step::Chain);
    let other = certificate(&world.header(2));
    assert_eq!(step(&Proof { certificate: other, ..account.clone() }), Step::Certificate);
    let past = Past { header: world.header(3), ..tx.past.clone().unwrap() };
    assert_eq!(step(&Proof { past: Some(past), ..tx.clone() }), Step::Ancestry);
    // The account is said to be absent, the absent one to be there, and its neighbour's path is shown for it.
    let lie = |proof: &Proof, change: &dyn Fn(&mut StateKey, &mut Option<Vec<u8>>)| {
        let mut proof = proof.clone();
        let Fact::Record { key, value, .. } = &mut proof.fact else { panic!("a record") };
        change(key, value);
        proof
    };
    assert_eq!(step(&lie(account, &|_, value| *value = None)), Step::Path);
    assert_eq!(step(&lie(absent, &|_, value| *value = Some(vec![0, 0]))), Step::Path);
    assert_eq!(step(&lie(account, &|key, _| *key = StateKey::Account(address(1)))), Step::Path);
    let mut forged = tx.clone();
    let Fact::Transaction { tx: signed, path } = &mut forged.fact else { panic!("a transaction") };
    signed.signature.0[40] ^= 1;
    path.index = 0;
    assert_eq!(step(&forged), Step::Content);
    // A receipt's leaf shown for the block's own events, and the other way round.
    let (receipt, events) = (&all[4].1, &all[6].1);
    let (Fact::Receipt { path: one, .. }, Fact::Events { path: last, events: own }) =
        (&receipt.fact, &events.fact)
    else {
        panic!("{receipt:?}")
    };
    let swapped = Fact::Events { events: own.clone(), path: one.clone() };
    assert_eq!(step(&Proof { fact: swapped, ..events.clone() }), Step::Content);
    let Fact::Receipt { receipt: what, .. } = &receipt.fact else { panic!("a receipt") };
    let swapped = Fact::Receipt { receipt: what.clone(), path: last.clone() };
    assert_eq!(step(&Proof { fact: swapped, ..receipt.clone() }), Step::Content);
    assert!(Proof::decode(&vec![0; PROOF_BYTES_MAX + 1]).is_err());
}
