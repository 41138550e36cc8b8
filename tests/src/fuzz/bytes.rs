//! Targets in the canonical codec: what nodes send, sign, hash and store.

use gongsuan_consensus::{CertifiedHeader, Epoch, Message, Record, ValidatorSet, VoteCache};
use gongsuan_ledger::history::HistoryProof;
use gongsuan_ledger::snapshot::Manifest;
use gongsuan_ledger::tree::{StateProof, TreePart};
use gongsuan_ledger::{
    Body, Event, Genesis, Header, Proof, SignedTransaction, State, StateKey, StoredBlock,
    TxReceipt, tx,
};
use gongsuan_types::{Hash, codec, job, merkle, order, receipt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Target, Verdict, world};
use crate::arbitrary::{Stream, value};

/// Bytes of an input of the types that have no limit of their own.
const LIMIT: usize = 4 << 20;
/// Values drawn for a corpus.
const SEEDS: usize = 6;
/// Bytes of one seed, at most, so that the corpora stay small.
const SEED_BYTES_MAX: usize = 1_500;

pub(super) const TARGETS: &[Target] = &[
    Target::new("transaction", transaction, seeds_of::<SignedTransaction>),
    Target::new("body", body, || vec![world::get().blocks[0].body.clone()]),
    Target::new("header", of::<Header>, seeds_of::<Header>),
    Target::new("receipt", of::<TxReceipt>, seeds_of::<TxReceipt>),
    Target::new("event", of::<Event>, seeds_of::<Event>),
    Target::new("stored-block", of::<StoredBlock>, || world::blocks(3)),
    Target::new("genesis", genesis, || vec![codec::encode(&world::genesis())]),
    Target::new("state-key", of::<StateKey>, seeds_of::<StateKey>),
    Target::new("proof", proof, || world::get().proofs.iter().map(Proof::encode).collect()),
    Target::new("state-proof", state_proof, seeds_of::<StateProof>),
    Target::new("tree-part", tree_part, || vec![codec::encode(&world::tree_part())]),
    Target::new("history-proof", history_proof, seeds_of::<HistoryProof>),
    Target::new("merkle-proof", merkle_proof, seeds_of::<merkle::Proof>),
    Target::new("manifest", manifest, || vec![world::manifest().encode()]),
    // A restored state has a tree of at least some levels, whatever it holds.
    Target::new("checkpoint-state", checkpoint_state, || vec![world::get().state.snapshot()])
        .with_memory(32 << 20),
    Target::new("ask", of::<order::Ask>, seeds_of::<order::Ask>),
    Target::new("bid", of::<order::Bid>, seeds_of::<order::Bid>),
    Target::new("job-spec", of::<job::JobSpec>, seeds_of::<job::JobSpec>),
    Target::new("segment-receipt", of::<receipt::Receipt>, seeds_of::<receipt::Receipt>),
    Target::new("segment-receipts", of::<Vec<receipt::Receipt>>, seeds_of::<Vec<receipt::Receipt>>),
    Target::new("receipt-proof", receipt_proof, seeds_of::<receipt::ReceiptProof>),
    Target::new("command", of::<gongsuan_market::Command>, seeds_of::<gongsuan_market::Command>),
    Target::new("order", of::<gongsuan_market::Order>, seeds_of::<gongsuan_market::Order>),
    Target::new("deal", of::<gongsuan_market::Deal>, seeds_of::<gongsuan_market::Deal>),
    Target::new("consensus-message", message, seeds_of::<Message>),
    Target::new("consensus-record", record, seeds_of::<Record>),
    Target::new("certified-header", certified, || vec![codec::encode(&world::get().certified)]),
];

fn seeds_of<T: DeserializeOwned + Serialize>() -> Vec<Vec<u8>> {
    let name = std::any::type_name::<T>();
    let mut stream = Stream::new(Hash::of("gongsuan/fuzz/v1", name.as_bytes()).to_u64());
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for _ in 0..40 * SEEDS {
        let bytes = codec::encode(&value::<T>(&mut stream));
        if seeds.len() < SEEDS && bytes.len() <= SEED_BYTES_MAX && !seeds.contains(&bytes) {
            seeds.push(bytes);
        }
    }
    seeds
}

/// One form: the value that was read is written as it was read, and read again it is the same.
fn one_form<T>(value: &T, bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(codec::encode(value), bytes, "a second encoding of {value:?}");
    let again = codec::decode::<T>("value", usize::MAX, bytes);
    assert_eq!(again.as_ref(), Ok(value), "it reads back as another value");
}

fn read<T>(bytes: &[u8]) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let value = codec::decode::<T>("value", LIMIT, bytes).ok()?;
    one_form(&value, bytes);
    Some(value)
}

fn verdict(accepted: bool) -> Verdict {
    if accepted { Verdict::Accepted } else { Verdict::Refused }
}

fn of<T>(bytes: &[u8]) -> Verdict
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    verdict(read::<T>(bytes).is_some())
}

fn transaction(bytes: &[u8]) -> Verdict {
    let Ok(found) = tx::decode(bytes) else { return Verdict::Refused };
    one_form(&found, bytes);
    assert!(bytes.len() <= tx::TX_BYTES_MAX);
    drop(found.body.validate(world::get().blocks[0].header.chain_id));
    drop(found.verify());
    Verdict::Accepted
}

fn body(bytes: &[u8]) -> Verdict {
    let Ok(found) = Body::decode(bytes) else { return Verdict::Refused };
    assert_eq!(found.encode(), bytes, "a second encoding");
    let chain = world::get().blocks[0].header.chain_id;
    drop(gongsuan_ledger::check_body(bytes, chain, &std::collections::BTreeSet::new()));
    Verdict::Accepted
}

fn genesis(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<Genesis>(bytes) else { return Verdict::Refused };
    // One that is found good must make a state.
    assert_eq!(found.validate().is_ok(), State::new(&found).is_ok());
    Verdict::Accepted
}

/// Proofs of one certified chain: whatever holds must be one that the chain's own state, bodies and receipts bear out.
fn proof(bytes: &[u8]) -> Verdict {
    let Ok(found) = Proof::decode(bytes) else { return Verdict::Refused };
    one_form(&found, bytes);
    if world::client().verify(&found).is_ok() {
        assert!(world::bears_out(&found), "a proof of what is not so holds: {found:?}");
    }
    Verdict::Accepted
}

fn state_proof(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<StateProof>(bytes) else { return Verdict::Refused };
    let value = found.leaf.map(|(_, value)| value);
    let key = found.leaf.map_or(Hash::ZERO, |(key, _)| key);
    assert!(!found.verify(Hash::ZERO, key, value), "nothing hashes to zero");
    Verdict::Accepted
}

fn tree_part(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<TreePart>(bytes) else { return Verdict::Refused };
    assert!(found.verify(Hash::ZERO, &[]).is_err(), "nothing hashes to zero");
    Verdict::Accepted
}

fn history_proof(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<HistoryProof>(bytes) else { return Verdict::Refused };
    assert!(!found.verify(Hash::ZERO, Hash::ZERO), "nothing hashes to zero");
    Verdict::Accepted
}

fn merkle_proof(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<merkle::Proof>(bytes) else { return Verdict::Refused };
    assert!(!found.verify(Hash::ZERO, Hash::ZERO), "nothing hashes to zero");
    Verdict::Accepted
}

fn receipt_proof(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<receipt::ReceiptProof>(bytes) else { return Verdict::Refused };
    let nothing = receipt::Commitment { root: Hash::ZERO, fuel: gongsuan_types::Fuel(0), count: 1 };
    assert!(!world::receipt_proof_holds(&found, &nothing), "nothing hashes to zero");
    Verdict::Accepted
}

fn manifest(bytes: &[u8]) -> Verdict {
    let Ok(found) = Manifest::decode(bytes) else { return Verdict::Refused };
    one_form(&found, bytes);
    if found.check(&found.header).is_ok() {
        assert!(found.check_part(found.parts.len(), &[]).is_err(), "there is no such part");
        assert!(found.check_part(usize::MAX - 1, &[]).is_err(), "there is no such part");
    }
    Verdict::Accepted
}

/// A state that can be restored is stored as the same bytes and has the same root again.
fn checkpoint_state(bytes: &[u8]) -> Verdict {
    let Ok(found) = State::restore(&world::genesis(), bytes) else { return Verdict::Refused };
    let stored = found.snapshot();
    let again = State::restore(&world::genesis(), &stored).expect("what was stored is restored");
    assert_eq!(again.root(), found.root(), "the root depends on how the state was stored");
    assert_eq!(again.snapshot(), stored);
    Verdict::Accepted
}

fn message(bytes: &[u8]) -> Verdict {
    let Ok(found) = Message::decode(bytes) else { return Verdict::Refused };
    one_form(&found, bytes);
    assert_eq!(found.encode(), bytes);
    let world = world::get();
    let epoch = Epoch::first(&world.chain_id, world.validators.clone());
    drop(gongsuan_consensus::verify(found, &epoch, &world.chain_id, &VoteCache::none()));
    Verdict::Accepted
}

fn record(bytes: &[u8]) -> Verdict {
    let Ok(found) = Record::decode(bytes) else { return Verdict::Refused };
    one_form(&found, bytes);
    let mut sum = gongsuan_consensus::Recovered::default();
    sum.apply(found);
    Verdict::Accepted
}

fn certified(bytes: &[u8]) -> Verdict {
    let Some(found) = read::<CertifiedHeader>(bytes) else { return Verdict::Refused };
    let world = world::get();
    let set: &ValidatorSet = &world.validators;
    if found.verify(set, &world.chain_id).is_ok() {
        assert_eq!(
            found.block, world.certified.block,
            "a block that nobody voted for is certified"
        );
    }
    Verdict::Accepted
}
