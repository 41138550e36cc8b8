//! Targets that are files: journal segments, and what people and tools write as JSON and TOML.

use gongsuan::audit::proof_file::{Checkpoint, ProofFile};
use gongsuan::audit::{Bundle, Subject};
use gongsuan::keystore::{KeystoreError, Sealed};
use gongsuan::node::config::NodeFile;
use gongsuan_journal::{Journal, MemoryDisk, Options};
use gongsuan_ledger::{Genesis, State};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Target, Verdict, world};

const OPTIONS: Options = Options::new(*b"fuzzed\0\0");
const SEGMENT: &str = "00000000000000000001.seg";

pub(super) const TARGETS: &[Target] = &[
    Target::new("journal-segment", segment, || vec![journal_bytes(3), journal_bytes(0)]),
    Target::new("journal-frames", frames, || vec![journal_bytes(4)[HEADER..].to_vec()]),
    Target::new("genesis-json", genesis, || vec![json(&world::genesis())]),
    Target::new("proof-file", proof_file, || {
        world::get().proofs.iter().step_by(3).map(|proof| json(&ProofFile::new(proof))).collect()
    }),
    Target::new("checkpoint-file", checkpoint, || {
        let world = world::get();
        vec![json(&Checkpoint::new(world.blocks[0].header, world.validators.clone()))]
    }),
    Target::new("receipt-file", receipt_file, || {
        let (schema, bid) =
            (gongsuan::audit::receipt::SCHEMA.to_owned(), gongsuan_types::OrderId(1));
        vec![json(&Bundle { schema, genesis: world::genesis(), bid, deals: vec![] })]
    }),
    // Opening takes the memory that the file asks for, within its limits.
    Target::new("keystore", keystore, || vec![KEYSTORE.as_bytes().to_vec()]).with_memory(24 << 20),
    Target::new("node-toml", node_toml, || vec![NODE_TOML.as_bytes().to_vec()]),
    Target::new("api-answers", api_answers, || {
        API_ANSWERS.iter().map(|text| text.as_bytes().to_vec()).collect()
    }),
];

/// Bytes before the first frame.
const HEADER: usize = 48;

const KEYSTORE: &str = r#"{
  "schema": "gongsuan/keystore/v1",
  "address": "gs1nxt6f97evn7p5c5gtvz62ytx5edfphcqfykg6l8kr44vea2gqwlq65zw5m",
  "memory_kib": 8192,
  "passes": 1,
  "salt": "000102030405060708090a0b0c0d0e0f",
  "nonce": "000102030405060708090a0b0c0d0e0f1011121314151617",
  "sealed": "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"
}"#;

const NODE_TOML: &str = r#"name = "v0"
p2p = "127.0.0.1:9000"
api = "127.0.0.1:9001"
timeout_ms = 250

[[peers]]
name = "v1"
p2p = "127.0.0.1:9010"
"#;

const API_ANSWERS: &[&str] = &[
    r#"{"status":"unknown","id":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    r#"{"total":"1","free":"0.5","held":"0.25","treasury":"0.25","equal":true}"#,
    r#"{"code":"not-found","field":"height","limit":"a height","got":"9","message":"there is no such height"}"#,
];

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("files serialise")
}

/// The one segment of a journal with some records and an end that was never synced.
fn journal_bytes(records: u8) -> Vec<u8> {
    let disk = MemoryDisk::new();
    let (mut journal, _) = Journal::open(Box::new(disk.clone()), OPTIONS).expect("an empty disk");
    for n in 0..records {
        journal.append_and_sync(&[vec![n; 5 + 9 * usize::from(n)]]).expect("memory");
    }
    if records > 0 {
        journal.append(&[b"not synced"]).expect("memory");
    }
    // The salt is drawn anew by each disk of the memory in the same order, so these bytes are the same every time.
    disk.content(&disk.names()[0])
}

/// Whatever a segment holds: it is refused by name, or it opens, every record in it can be read, and after the repair it opens again and holds
/// the same.
fn segment(bytes: &[u8]) -> Verdict {
    let disk = MemoryDisk::new();
    disk.set_content(SEGMENT, bytes);
    let Ok((journal, _)) = Journal::open(Box::new(disk.clone()), OPTIONS) else {
        return Verdict::Refused;
    };
    let read = |journal: &Journal| -> Vec<Vec<u8>> {
        let records = journal.first()..journal.next();
        let read = |at| journal.read(at).expect("a record of an open journal").expect("is there");
        records.map(read).collect()
    };
    let records = read(&journal);
    assert!(records.iter().map(Vec::len).sum::<usize>() <= bytes.len(), "bytes from nowhere");
    drop(journal);
    let (mut journal, cut) = Journal::open(Box::new(disk), OPTIONS).expect("it was repaired");
    assert_eq!(cut, None, "it was repaired");
    assert_eq!(read(&journal), records);
    journal.append_and_sync(&[b"more"]).expect("a repaired journal goes on");
    Verdict::Accepted
}

/// The same behind a good header, where the interesting part begins.
fn frames(bytes: &[u8]) -> Verdict {
    let mut whole = journal_bytes(0)[..HEADER].to_vec();
    whole.extend_from_slice(bytes);
    segment(&whole)
}

/// A file in JSON: what is read is written and read again as the same.
fn parsed<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let again: T = serde_json::from_slice(&json(&value)).expect("what was written is read");
    assert_eq!(again, value);
    Some(value)
}

fn genesis(bytes: &[u8]) -> Verdict {
    let Some(found) = parsed::<Genesis>(bytes) else { return Verdict::Refused };
    if found.validate().is_err() {
        return Verdict::Refused;
    }
    State::new(&found).expect("a genesis that is found good makes a state");
    Verdict::Accepted
}

fn proof_file(bytes: &[u8]) -> Verdict {
    let Some(found) = parsed::<ProofFile>(bytes) else { return Verdict::Refused };
    let checks = found.check(&mut world::client());
    if checks.iter().any(|check| !check.ok) {
        return Verdict::Refused;
    }
    let proof = found.read().expect("it was just checked");
    assert!(world::bears_out(&proof), "a proof of what is not so holds");
    let (kind, id) = Subject::of(&proof).name();
    assert_eq!((found.kind.as_str(), &found.id), (kind, &id));
    Verdict::Accepted
}

fn checkpoint(bytes: &[u8]) -> Verdict {
    let Some(found) = parsed::<Checkpoint>(bytes) else { return Verdict::Refused };
    drop(found.client());
    Verdict::Accepted
}

fn receipt_file(bytes: &[u8]) -> Verdict {
    let Some(found) = parsed::<Bundle>(bytes) else { return Verdict::Refused };
    let checks = gongsuan::audit::check(&found, None);
    assert!(checks.iter().any(|check| !check.ok), "a receipt without deals is valid");
    Verdict::Accepted
}

fn keystore(bytes: &[u8]) -> Verdict {
    let Some(found) = parsed::<Sealed>(bytes) else { return Verdict::Refused };
    let is_cheap = found.memory_kib <= 8 << 10 && found.passes <= 1;
    let is_absurd = found.memory_kib > 256 << 10;
    if is_cheap || is_absurd {
        let error = found.open("password").expect_err("nobody knows what is sealed here");
        let of_cost = matches!(error, KeystoreError::Cost { .. });
        assert!(of_cost || !is_absurd || matches!(error, KeystoreError::Malformed(_)));
    }
    Verdict::Accepted
}

fn node_toml(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let Ok(found) = toml::from_str::<NodeFile>(text) else { return Verdict::Refused };
    let written = toml::to_string(&found).expect("the file is written");
    assert_eq!(toml::from_str::<NodeFile>(&written).as_ref(), Ok(&found));
    Verdict::Accepted
}

/// What a node may answer to a client that trusts no node.
fn api_answers(bytes: &[u8]) -> Verdict {
    use gongsuan::api::wire;
    let all = [
        parsed::<wire::TxState>(bytes).is_some(),
        parsed::<wire::SupplyView>(bytes).is_some(),
        parsed::<wire::Status>(bytes).is_some(),
        parsed::<wire::AccountView>(bytes).is_some(),
        parsed::<wire::CertifiedState>(bytes).is_some(),
        parsed::<wire::ErrorBody>(bytes).is_some(),
    ];
    if all.contains(&true) { Verdict::Accepted } else { Verdict::Refused }
}
