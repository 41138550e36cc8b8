//! A small certified chain that the targets judge by: four validators, a few people, payments, asks and a bid. Made once.

use std::sync::OnceLock;

use gongsuan::audit::{Certificate, Validators};
use gongsuan_consensus::{
    AppRef, Block, CertifiedHeader, Header as LogHeader, Payload, Qc, Rank, ValidatorSet, Vote,
    VoteKind, genesis as log_genesis,
};
use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::proof::{Fact, PROOF_VERSION, Past, events_of, receipt_of, transaction_of};
use gongsuan_ledger::snapshot::{Manifest, export};
use gongsuan_ledger::tree::{StateTree, TreePart, key_hash, value_hash};
use gongsuan_ledger::{
    Body, Genesis, Header, HistoryTree, LightClient, Op, OrderedBlock, Proof, SignedTransaction,
    State, StateKey, StoredBlock, Transaction, apply_block,
};
use gongsuan_market::Command;
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{
    Address, Amount, Hash, Height, Price, SecretKey, Term, TimeMs, Units, Verified, codec,
};

use crate::arbitrary::{Stream, value};

const BLOCKS: u64 = 9;

pub(super) struct World {
    pub(super) chain_id: Hash,
    pub(super) validators: ValidatorSet,
    pub(super) blocks: Vec<StoredBlock>,
    /// After the last block.
    pub(super) state: State,
    /// Of the last block but one.
    pub(super) certified: CertifiedHeader,
    /// One of every kind.
    pub(super) proofs: Vec<Proof>,
    /// After the anchor's block.
    anchored: State,
}

pub(super) fn get() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(make)
}

fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(name.as_bytes())
}

fn validator(seat: u16) -> SecretKey {
    key(&format!("validator {seat}"))
}

pub(super) fn address(name: &str) -> Address {
    key(name).address()
}

pub(super) fn genesis() -> Genesis {
    let account =
        |name: &str| GenesisAccount { address: address(name), balance: Amount::new(1_000_000_000) };
    let named = |seat| Validator { name: format!("v{seat}"), key: validator(seat).public_key() };
    Genesis {
        name: "fuzzed".into(),
        time: TimeMs(1_000),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: ["alice", "bob", "carol"].map(account).to_vec(),
        validators: (0..4).map(named).collect(),
        issuers: vec![address("alice")],
    }
}

fn signed(chain_id: Hash, who: &str, nonce: u64, ops: Vec<Op>) -> SignedTransaction {
    let body = Transaction {
        version: 1,
        chain_id,
        sender: address(who),
        nonce,
        fee: Amount::new(2_000),
        expires_at: TimeMs(1_000_000),
        ops,
    };
    Verified::sign(body, &key(who)).into_signed()
}

fn ask(price: u64) -> Op {
    Op::Market(Command::PlaceAsk(Ask {
        class: Class::WASM,
        price: Price(price),
        units: Units(20),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: 4,
            memory_mib: 4_096,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 600,
            region: Region(3),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(900_000),
    }))
}

fn make() -> World {
    let genesis = genesis();
    let chain_id = genesis.chain_id();
    let keys = (0..4).map(|seat| validator(seat).public_key()).collect();
    let validators = ValidatorSet::new(0, keys).expect("four keys");
    let mut state = State::new(&genesis).expect("a good genesis");
    let (mut parent, mut blocks, mut history) =
        (log_genesis(&chain_id, 0), Vec::new(), HistoryTree::default());
    let (mut certified, mut anchored) = (Vec::new(), state.clone());
    for height in 1..=BLOCKS {
        let pay = |to: &str, amount| Op::Transfer { to: address(to), amount: Amount::new(amount) };
        let txs = vec![
            signed(chain_id, "alice", height - 1, vec![pay("dave", 5), pay("erin", 6)]),
            signed(chain_id, "bob", height - 1, vec![ask(100 + height)]),
            signed(chain_id, "carol", height - 1, vec![pay("dave", u128::MAX)]),
        ];
        let body = Body { txs }.encode();
        let header = LogHeader {
            epoch: 0,
            term: Term(1),
            height: Height(height),
            parent,
            justify: Qc {
                kind: VoteKind::Prepare,
                epoch: 0,
                rank: Rank::default(),
                block: parent,
                signatures: vec![],
            },
            tc: None,
            payload_hash: Payload::new(body.clone()).hash(),
            app: AppRef { height: state.height(), hash: state.head() },
            time: TimeMs(1_000 + height),
            proposer: validators.leader(Term(1)),
            next: None,
        };
        let block = Block::sign(header, &chain_id, &validator(1));
        parent = block.hash(&chain_id);
        let rank = Rank { term: Term(1), height: Height(height) };
        let votes = validators.seats().take(3).map(|seat| {
            let key = &validator(seat.0);
            let signer = gongsuan_consensus::vote::Signer { chain_id: &chain_id, epoch: 0, key };
            Vote::sign(VoteKind::Commit, rank, parent, seat, &signer).share()
        });
        let certificate = Qc {
            kind: VoteKind::Commit,
            epoch: 0,
            rank,
            block: parent,
            signatures: votes.collect(),
        };
        if height == BLOCKS {
            anchored = state.clone();
        }
        let ordered = OrderedBlock {
            height: Height(height),
            term: Term(1),
            time: TimeMs(1_000 + height),
            proposer: validator(1).public_key(),
            block: parent,
            body: &body,
        };
        let applied = apply_block(&mut state, &ordered);
        history.push(applied.header.hash());
        blocks.push(StoredBlock {
            header: applied.header,
            body,
            receipts: applied.receipts,
            events: applied.events,
            consensus: codec::encode(&(&block, &certificate)),
        });
        certified.push(CertifiedHeader { block, certificate });
    }
    let certified = certified.pop().expect("some blocks");
    let anchor = blocks[blocks.len() - 2].header;
    let certificate = codec::encode(&Certificate { path: vec![], certified: certified.clone() });
    let proof = |past: Option<Past>, fact: Fact| Proof {
        version: PROOF_VERSION,
        anchor,
        certificate: certificate.clone(),
        past,
        fact,
    };
    let old = &blocks[3];
    let path = history.prove(3, anchor.height.0 - 1).expect("it is in the past");
    let past = || Some(Past { header: old.header, path: path.clone() });
    let record = |key| {
        proof(None, Fact::Record { key, value: anchored.record(&key), path: anchored.prove(&key) })
    };
    let (id, failed) = (old.receipts[0].id, old.receipts[2].id);
    let proofs = vec![
        record(StateKey::Account(address("dave"))),
        record(StateKey::Account(address("nobody"))),
        record(StateKey::Supply),
        proof(past(), transaction_of(old, &id).expect("it is there")),
        proof(past(), receipt_of(old, &failed).expect("it is there")),
        proof(past(), events_of(old)),
        proof(past(), Fact::Block),
    ];
    World { chain_id, validators, blocks, state, certified, proofs, anchored }
}

/// Somebody who knows the genesis only.
pub(super) fn client() -> LightClient<Validators> {
    let world = get();
    let validators = Validators::new(world.chain_id, world.validators.clone());
    LightClient::from_genesis(world.chain_id, validators)
}

/// Whether the chain itself says what a proof says.
pub(super) fn bears_out(proof: &Proof) -> bool {
    let world = get();
    let is_known = |header: &Header| world.blocks.iter().any(|block| block.header == *header);
    if !is_known(&proof.anchor) || !is_known(proof.block()) {
        return false;
    }
    let Some(block) = world.blocks.iter().find(|block| block.header == *proof.block()) else {
        return false;
    };
    match &proof.fact {
        Fact::Block => true,
        Fact::Record { key, value, .. } => {
            block.header.height == proof.anchor.height && world.anchored.record(key) == *value
        }
        Fact::Transaction { tx, .. } => {
            Body::decode(&block.body).is_ok_and(|body| body.txs.contains(tx))
        }
        Fact::Receipt { receipt, .. } => block.receipts.contains(receipt),
        Fact::Events { events, .. } => block.events == *events,
    }
}

/// The first blocks as they stand in a log.
pub(super) fn blocks(count: usize) -> Vec<Vec<u8>> {
    get().blocks.iter().take(count).map(codec::encode).collect()
}

pub(super) fn manifest() -> Manifest {
    let world = get();
    let header = world.blocks[world.blocks.len() - 1].header;
    export(&world.state, &header).expect("the state is the header's").0
}

pub(super) fn tree_part() -> TreePart {
    let mut tree = StateTree::default();
    tree.update((0..40_u8).map(|n| (key_hash(&[n]), Some(value_hash(&[n])))));
    tree.part(3, 5).expect("there is such a part").0
}

/// Whether a path leads from some receipt to a commitment.
pub(super) fn receipt_proof_holds(proof: &ReceiptProof, commitment: &Commitment) -> bool {
    static RECEIPT: OnceLock<Receipt> = OnceLock::new();
    let receipt = RECEIPT.get_or_init(|| value(&mut Stream::new(1)));
    proof.verify(commitment, receipt)
}
