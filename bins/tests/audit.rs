//! The auditor's commands on a folder of files, through the built binary: every proof holds offline, and whatever is changed is found and named.
//!
//! The chain in the folder is written here: four validators sign what a real one would have signed, with an epoch that ends in the middle, which no
//! running network has yet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gongsuan::audit::source::committed;
use gongsuan::audit::{Certificate, ProofFile, Source, Subject, Validators, prove::prove};
use gongsuan_consensus::{
    AppRef, Block, CertifiedHeader, Header as LogHeader, Payload, Qc, Rank, Seat, ValidatorSet,
    VoteKind, VoteShare, genesis as log_genesis,
};
use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::{
    Body, Chain, Genesis, LightClient, Op, OrderedBlock, SignedTransaction, StoredBlock,
    Transaction,
};
use gongsuan_types::{Address, Amount, Hash, Height, SecretKey, Term, TimeMs, Verified, codec};
use serde_json::Value;

/// Blocks of the chain; the first epoch ends with this one.
const BLOCKS: u64 = 14;
const EPOCH_END: u64 = 6;

fn key(epoch: u64, seat: usize) -> SecretKey {
    SecretKey::from_seed(format!("validator {epoch}/{seat}").as_bytes())
}

fn person(name: &str) -> SecretKey {
    SecretKey::from_seed(name.as_bytes())
}

fn set(epoch: u64) -> ValidatorSet {
    ValidatorSet::new(epoch, (0..4).map(|seat| key(epoch, seat).public_key()).collect()).unwrap()
}

fn genesis() -> Genesis {
    let account = |name: &str| GenesisAccount {
        address: person(name).address(),
        balance: Amount::from_tokens(1_000).unwrap(),
    };
    let validator = |seat| Validator { name: format!("v{seat}"), key: key(0, seat).public_key() };
    Genesis {
        name: "audited".into(),
        time: TimeMs(1_000),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: vec![account("alice"), account("bob")],
        validators: (0..4).map(validator).collect(),
        issuers: vec![],
    }
}

fn payment(chain_id: Hash, nonce: u64, amount: u128) -> SignedTransaction {
    let to = person("carol").address();
    let body = Transaction {
        version: 1,
        chain_id,
        sender: person("alice").address(),
        nonce,
        fee: Amount::new(1_000),
        expires_at: TimeMs(1_000_000),
        ops: vec![Op::Transfer { to, amount: Amount::new(amount) }],
    };
    Verified::sign(body, &person("alice")).into_signed()
}

/// Three of four seats sign.
fn certificate(chain_id: &Hash, epoch: u64, block: &Block) -> Qc {
    let rank = Rank { term: block.header.term, height: block.header.height };
    let hash = block.hash(chain_id);
    let digest =
        gongsuan_consensus::vote::vote_digest(chain_id, VoteKind::Commit, epoch, rank, &hash);
    let signatures = [0, 1, 3].map(|seat| VoteShare {
        seat: Seat(u16::try_from(seat).unwrap()),
        signature: key(epoch, seat).sign(&digest),
        sibling: None,
    });
    Qc { kind: VoteKind::Commit, epoch, rank, block: hash, signatures: signatures.to_vec() }
}

/// A data folder with a chain of [`BLOCKS`] blocks, each with two payments of which one fails; the last three are empty.
fn folder() -> (tempfile::TempDir, Vec<Hash>) {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis();
    let chain_id = genesis.chain_id();
    std::fs::write(dir.path().join("genesis.json"), serde_json::to_vec(&genesis).unwrap()).unwrap();
    let mut chain = Chain::open(dir.path(), &genesis).unwrap();
    let (mut parent, mut ids) = (log_genesis(&chain_id, 0), Vec::new());
    for height in 1..=BLOCKS {
        let epoch = u64::from(height > EPOCH_END);
        let term = Term(1 + epoch);
        let nonce = 2 * (height - 1);
        let txs = if height + 3 > BLOCKS {
            vec![]
        } else {
            vec![payment(chain_id, nonce, 7), payment(chain_id, nonce + 1, u128::MAX)]
        };
        ids.extend(txs.iter().map(|tx| tx.body.id()));
        let body = Body { txs }.encode();
        let state = chain.state();
        let header = LogHeader {
            epoch,
            term,
            height: Height(height),
            parent,
            justify: Qc {
                kind: VoteKind::Prepare,
                epoch,
                rank: Rank::default(),
                block: parent,
                signatures: vec![],
            },
            tc: None,
            payload_hash: Payload::new(body.clone()).hash(),
            app: AppRef { height: state.height(), hash: state.head() },
            time: TimeMs(1_000 + height),
            proposer: set(epoch).leader(term),
            next: (height == EPOCH_END).then(|| set(1)),
        };
        let proposer = key(epoch, usize::from(header.proposer.0));
        let block = Block::sign(header, &chain_id, &proposer);
        parent = block.hash(&chain_id);
        let ordered = OrderedBlock {
            height: Height(height),
            term,
            time: TimeMs(1_000 + height),
            proposer: proposer.public_key(),
            block: parent,
            body: &body,
        };
        let consensus = codec::encode(&(&block, certificate(&chain_id, epoch, &block)));
        chain.commit(&[(ordered, consensus)]).unwrap();
    }
    drop(chain);
    (dir, ids)
}

fn gongsuan(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gongsuan"))
        .args(args)
        .env_remove("GONGSUAN_NODE")
        .env_remove("GONGSUAN_KEY")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// A folder, and paths in it as text.
struct World {
    dir: tempfile::TempDir,
    ids: Vec<Hash>,
}

impl World {
    fn new() -> Self {
        let (dir, ids) = folder();
        Self { dir, ids }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn source(&self) -> Source {
        Source::folder(self.dir.path(), None).unwrap()
    }

    fn client(&self) -> LightClient<Validators> {
        LightClient::from_genesis(genesis().chain_id(), Validators::of_genesis(&genesis()))
    }

    fn subjects(&self) -> Vec<Subject> {
        let (first, failed) = (self.ids[0].to_string(), self.ids[9].to_string());
        let (carol, nobody) = (person("carol").address(), person("nobody").address());
        [
            ("account", carol.to_string()),
            ("account", nobody.to_string()),
            ("account", Address::TREASURY.to_string()),
            ("order", "1".into()),
            ("deal", "1".into()),
            ("hold", "escrow:1".into()),
            ("attestation", format!("{carol}:provider")),
            ("provider", carol.to_string()),
            ("supply", "total".into()),
            ("tx", first.clone()),
            ("receipt", first),
            ("receipt", failed),
            ("events", "9".into()),
            ("block", "2".into()),
            ("block", (BLOCKS - 1).to_string()),
        ]
        .iter()
        .map(|(kind, id)| Subject::parse(kind, id).unwrap())
        .collect()
    }
}

/// Which check of a file fails.
fn failed(file: &ProofFile, client: &mut LightClient<Validators>) -> Option<String> {
    file.check(client).into_iter().find(|check| !check.ok).map(|check| check.name)
}

#[test]
fn a_proof_of_every_kind_holds_across_an_epoch_and_only_for_its_subject() {
    let world = World::new();
    let mut files = Vec::new();
    for subject in world.subjects() {
        let file = ProofFile::new(&prove(&world.source(), &subject).unwrap());
        let (kind, id) = subject.name();
        assert_eq!((file.kind.as_str(), &file.id), (kind, &id));
        assert_eq!(failed(&file, &mut world.client()), None, "{kind} {id}");
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(serde_json::from_str::<ProofFile>(&text).unwrap(), file);
        files.push(file);
    }
    let shows = |at: usize, pointer: &str| files[at].shows.pointer(pointer).cloned();
    assert_eq!(shows(0, "/record/balance"), Some("77".into()), "{}", files[0].shows);
    assert_eq!(shows(1, "/present"), Some(false.into()));
    assert_eq!(shows(11, "/receipt/status/failed/op"), Some(0.into()), "{}", files[11].shows);
    // The anchor is of the second epoch: the client has followed the first one's last block to it.
    let mut client = world.client();
    assert_eq!(client.authority().set(), &set(0));
    files[0].check(&mut client);
    assert_eq!(client.authority().set(), &set(1));
    // Another file's words around these bytes.
    for (at, other) in [(0, 1), (9, 10), (12, 13)] {
        let relabelled = ProofFile { proof: files[at].proof.clone(), ..files[other].clone() };
        assert_eq!(failed(&relabelled, &mut world.client()).as_deref(), Some("file"));
    }
}

/// The bytes as they are, then changed, under real certificates and across an epoch.
#[test]
fn bent_bytes_of_a_proof_file_of_every_kind_are_found() {
    let world = World::new();
    let source = world.source();
    // One subject of every kind of fact; every check of an anchor costs a dozen signatures.
    let all = world.subjects();
    for subject in [all[0], all[1], all[9], all[10], all[12], all[13]] {
        let proof = prove(&source, &subject).unwrap();
        let good = ProofFile::new(&proof);
        let bytes = proof.encode();
        // Every fourth byte: `ledger/tests/light.rs` bends every bit under a cheaper certificate.
        for at in (0..bytes.len()).step_by(4) {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            let file = ProofFile { proof: hex::encode(&bent), ..good.clone() };
            assert!(failed(&file, &mut world.client()).is_some(), "{subject:?}, byte {at}");
            // With words that follow from the bent bytes: a step inside refuses it, or it is about something else.
            let Ok(bent) = gongsuan_ledger::Proof::decode(&bent) else { continue };
            let renamed = ProofFile::new(&bent);
            let fails = renamed == file || failed(&renamed, &mut world.client()).is_some();
            assert!(fails || Subject::of(&bent) != subject, "{subject:?}, byte {at}");
        }
    }
}

#[test]
fn an_epoch_cannot_be_left_out_or_invented() {
    let world = World::new();
    let proof = prove(&world.source(), &Subject::Block(Height(3))).unwrap();
    let certificate: Certificate =
        codec::decode("certificate", 1 << 20, &proof.certificate).unwrap();
    assert_eq!(certificate.path.len(), 1);
    let refused = |path: Vec<CertifiedHeader>| {
        let certificate = Certificate { path, ..certificate.clone() };
        let mut proof = proof.clone();
        proof.certificate = codec::encode(&certificate);
        failed(&ProofFile::new(&proof), &mut world.client())
    };
    assert_eq!(refused(certificate.path.clone()), None);
    assert_eq!(refused(vec![]).as_deref(), Some("certificate"));
    // A block of the middle of the epoch ends nothing, and one that names other validators is not what was voted for.
    let (block, qc) = committed(&world.source().block(Height(3)).unwrap()).unwrap();
    let middle = CertifiedHeader { block, certificate: qc };
    assert_eq!(refused(vec![middle]).as_deref(), Some("certificate"));
    let mut other = certificate.path[0].clone();
    let keys = set(1).keys().iter().rev().copied().collect();
    other.block.header.next = Some(ValidatorSet::new(1, keys).unwrap());
    assert_eq!(refused(vec![other]).as_deref(), Some("certificate"));
}

#[test]
fn the_commands_prove_and_verify_offline_and_say_which_step_fails() {
    let world = World::new();
    let (data, out) = (world.text(""), world.text("proof.json"));
    let genesis_path = world.text("genesis.json");
    let carol = person("carol").address().to_string();
    let made =
        gongsuan(&["--json", "audit", "prove", "account", &carol, "--data", &data, "--out", &out]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert_eq!(json(&made)["schema"], "gongsuan/proof-file/v1");
    let verify = |file: &Path, trust: [&str; 2]| {
        gongsuan(&["--json", "audit", "verify-proof", file.to_str().unwrap(), trust[0], trust[1]])
    };
    let checkpoint = world.text("checkpoint.json");
    let args = [
        "--json",
        "audit",
        "verify-proof",
        &out,
        "--genesis",
        &genesis_path,
        "--save-checkpoint",
        &checkpoint,
    ];
    let good = gongsuan(&args);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    let good = json(&good);
    assert_eq!((&good["valid"], &good["shows"]["present"]), (&true.into(), &true.into()));
    assert_eq!(good["schema"], "gongsuan/proof-check/v1");
    assert_eq!(verify(Path::new(&out), ["--checkpoint", &checkpoint]).status.code(), Some(0));
    // Another chain's genesis.
    let mut other = genesis();
    other.name = "another".into();
    std::fs::write(world.path("other.json"), serde_json::to_vec(&other).unwrap()).unwrap();
    let refused = verify(Path::new(&out), ["--genesis", &world.text("other.json")]);
    assert_eq!((refused.status.code(), &json(&refused)["failed"]), (Some(7), &"chain".into()));
    // The same words around a proof whose last sibling is another.
    let mut file: ProofFile = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let last = file.proof.pop().unwrap();
    file.proof.push(if last == '0' { '1' } else { '0' });
    std::fs::write(&out, serde_json::to_vec(&file).unwrap()).unwrap();
    let refused = verify(Path::new(&out), ["--genesis", &genesis_path]);
    assert_eq!((refused.status.code(), &json(&refused)["failed"]), (Some(7), &"path".into()));
    // What is no proof at all is usage.
    std::fs::write(&out, b"{}").unwrap();
    assert_eq!(verify(Path::new(&out), ["--genesis", &genesis_path]).status.code(), Some(2));
    let nothing = gongsuan(&["audit", "verify-proof", &out]);
    assert_eq!(nothing.status.code(), Some(2));
    for (kind, id, code) in [
        ("tx", Hash::ZERO.to_string().as_str(), 3),
        ("block", "999", 3),
        ("tx", "12", 2),
        ("planet", "mars", 2),
        ("hold", "pocket:1", 2),
    ] {
        let refused = gongsuan(&["audit", "prove", kind, id, "--data", &data]);
        assert_eq!(refused.status.code(), Some(code), "{kind} {id}: {}", text(&refused.stderr));
    }
    let nowhere = gongsuan(&["audit", "replay", "--data", "/nonexistent"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", text(&nowhere.stderr));
}

#[test]
fn a_replay_from_files_finds_what_was_changed_and_changes_nothing_itself() {
    let world = World::new();
    let data = world.text("");
    let before = snapshot(&world.path("blocks"));
    let replay = || gongsuan(&["--json", "audit", "replay", "--data", &data]);
    let good = json(&replay());
    assert_eq!((&good["blocks"], &good["certified"]), (&BLOCKS.into(), &BLOCKS.into()));
    assert_eq!(json(&gongsuan(&["--json", "audit", "supply", "--data", &data]))["equal"], true);
    let trail = gongsuan(&[
        "--json",
        "audit",
        "trail",
        &person("carol").address().to_string(),
        "--data",
        &data,
    ]);
    assert_eq!(json(&trail)["events"].as_array().unwrap().len(), 11);
    assert_eq!(gongsuan(&["audit", "trail", "5", "--data", &data]).status.code(), Some(3));
    assert_eq!(snapshot(&world.path("blocks")), before, "an audit writes nothing");
    // A genesis with one token more.
    let mut rich = genesis();
    rich.accounts[0].balance = Amount::from_tokens(1_001).unwrap();
    std::fs::write(world.path("rich.json"), serde_json::to_vec(&rich).unwrap()).unwrap();
    let refused =
        gongsuan(&["audit", "replay", "--data", &data, "--genesis", &world.text("rich.json")]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("block 1"), "{}", text(&refused.stderr));
}

/// Names and contents of the segments.
fn snapshot(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

type Change<'a> = &'a dyn Fn(&mut StoredBlock);

/// A stored block changed in one place, as somebody who can write the files (with good checksums) would.
#[test]
fn the_auditor_names_the_block_and_what_is_wrong_with_it() {
    use gongsuan::audit::replay::Auditor;
    let world = World::new();
    let blocks: Vec<StoredBlock> =
        world.source().blocks(Height(1), Height(BLOCKS)).map(Result::unwrap).collect();
    let fault = |at: u64, change: &dyn Fn(&mut StoredBlock)| -> String {
        let mut auditor = Auditor::new(&genesis()).unwrap();
        for block in &blocks {
            let mut block = block.clone();
            if block.header.height.0 == at {
                change(&mut block);
            }
            if let Err(fault) = auditor.apply(&block) {
                return fault.to_string();
            }
        }
        "nothing".to_owned()
    };
    let consensus = |block: &mut StoredBlock, change: &dyn Fn(&mut Block, &mut Qc)| {
        let (mut log, mut qc) = committed(block).unwrap();
        change(&mut log, &mut qc);
        block.consensus = codec::encode(&(log, qc));
    };
    assert_eq!(fault(0, &|_| {}), "nothing");
    let cases: [(Change<'_>, &str); 9] = [
        (&|block| block.body.clear(), "block 5: the body is not the payload"),
        (&|block| block.header.state_root.0[0] ^= 1, "block 5: the state root is"),
        (&|block| block.receipts[1].fee = Amount::new(1), "block 5: a receipt is"),
        (&|block| drop(block.receipts.pop()), "block 5: a receipt is"),
        (&|block| block.header.time = TimeMs(1_999), "block 5: height, term or time"),
        (&|block| block.consensus.clear(), "block 5: committed block does not decode"),
        (&|block| consensus(block, &|_, qc| qc.signatures.truncate(2)), "block 5: certificate: "),
        (
            &|block| consensus(block, &|log, _| log.header.parent = Hash::ZERO),
            "block 5: the log has",
        ),
        (&|block| block.header.proposer = key(0, 2).public_key(), "block 5: the proposer"),
    ];
    for (change, expected) in cases {
        let found = fault(5, change);
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
}

#[test]
fn tables_are_complete_in_both_forms_and_replace_a_file_at_once() {
    let world = World::new();
    let data = world.text("");
    let rows = [
        ("blocks", BLOCKS),
        ("transactions", 22),
        ("receipts", 22),
        ("events", 11),
        ("accounts", 4),
        ("orders", 0),
        ("deals", 0),
        ("supply", BLOCKS),
    ];
    for (table, count) in rows {
        let csv = gongsuan(&["audit", "export", table, "--data", &data]);
        assert_eq!(csv.status.code(), Some(0), "{table}: {}", text(&csv.stderr));
        let mut reader = csv::Reader::from_reader(csv.stdout.as_slice());
        let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len() as u64, count, "{table}");
        let jsonl = gongsuan(&["--json", "audit", "export", table, "--data", &data]);
        let lines: Vec<Value> =
            text(&jsonl.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, count, "{table}");
        for (line, record) in lines.iter().zip(&records) {
            assert_eq!(line["schema"], format!("gongsuan/export/{table}/v1"));
            for (name, field) in head.iter().zip(record) {
                let same = match &line[name] {
                    Value::String(word) => word == field,
                    Value::Null => field.is_empty(),
                    other @ (Value::Bool(_)
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_)) => format!("{other}") == field,
                };
                assert!(same, "{table}.{name}: {} and {field}", line[name]);
            }
        }
    }
    let out = world.text("supply.csv");
    std::fs::write(&out, b"old").unwrap();
    let bad =
        gongsuan(&["audit", "export", "supply", "--data", &data, "--last", "99", "--out", &out]);
    assert_eq!((bad.status.code(), std::fs::read(&out).unwrap()), (Some(2), b"old".to_vec()));
    let args = [
        "audit", "export", "supply", "--data", &data, "--first", "3", "--last", "8", "--every", "2",
    ];
    let args: Vec<&str> = args.into_iter().chain(["--out", &out]).collect();
    let good = gongsuan(&args);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    let written = text(&std::fs::read(&out).unwrap());
    let heights: Vec<&str> =
        written.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(heights, ["3", "5", "7", "8"]);
    assert!(written.contains("\n3,1003,2000000000,1999994000,0,6000,true\n"), "{written}");
    assert_eq!(
        std::fs::read_dir(world.dir.path())
            .unwrap()
            .filter(|e| { e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp") })
            .count(),
        0
    );
}
