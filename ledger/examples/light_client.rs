//! A light client follows a chain by headers and believes nothing without a proof.
//!
//! `cargo run -p gongsuan-ledger --example light_client`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]
#![expect(clippy::expect_used, reason = "an example stops where something is wrong")]

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::header::{receipt_proof, tx_proof};
use gongsuan_ledger::light::{check_receipt, check_tx};
use gongsuan_ledger::{
    Applied, Body, Genesis, HistoryTree, LightClient, Op, OrderedBlock, State, StateKey,
    Transaction, apply_block,
};
use gongsuan_types::{Amount, Hash, Height, SecretKey, Term, TimeMs, Verified};

fn main() {
    let (alice, bob) = (SecretKey::from_seed(b"alice"), SecretKey::from_seed(b"bob"));
    let genesis = Genesis {
        name: "light".into(),
        time: TimeMs(0),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: vec![GenesisAccount {
            address: alice.address(),
            balance: Amount::from_tokens(100).expect("fits"),
        }],
        validators: vec![Validator { name: "v0".into(), key: bob.public_key() }],
        issuers: vec![],
    };

    // A full node applies a thousand blocks and keeps all of it.
    let mut state = State::new(&genesis).expect("a good genesis");
    let (mut history, mut blocks) = (HistoryTree::default(), Vec::<Applied>::new());
    for height in 1..=1_000_u64 {
        let transaction = Transaction {
            version: 1,
            chain_id: genesis.chain_id(),
            sender: alice.address(),
            nonce: height - 1,
            fee: Amount::new(200),
            expires_at: TimeMs(1_000_000),
            ops: vec![Op::Transfer { to: bob.address(), amount: Amount::new(1_000) }],
        };
        let body = Body { txs: vec![Verified::sign(transaction, &alice).into_signed()] }.encode();
        let ordered = OrderedBlock {
            height: Height(height),
            term: Term(1),
            time: TimeMs(height),
            proposer: bob.public_key(),
            block: Hash::of_content(&body),
            body: &body,
        };
        let applied = apply_block(&mut state, &ordered);
        history.push(applied.header.hash());
        blocks.push(applied);
    }

    // A light client trusts the first header and skips to the last one with one proof. The certificate is judged by whoever knows
    // the validators; here everybody believes them.
    let mut client = LightClient::new(blocks[0].header);
    let last = blocks[999].header;
    let past = history.prove(0, 999).expect("999 headers stand under the last");
    client.advance(last, Some(&past), |_| true).expect("the last header descends from the first");
    println!("followed 999 blocks with {} hashes", past.siblings.len() + past.peaks.len());

    let key = StateKey::Account(bob.address());
    let (value, proof) = (state.record(&key), state.prove(&key));
    client.check_record(&key, value.as_deref(), &proof).expect("the balance is proved");
    println!("bob's account is proved with {} hashes", proof.siblings.len());
    let nobody = StateKey::Account(SecretKey::from_seed(b"nobody").address());
    client.check_record(&nobody, None, &state.prove(&nobody)).expect("absence is proved");
    assert!(client.check_record(&key, None, &proof).is_err(), "a lie is noticed");

    // A payment of long ago: the header, then the transaction and its receipt under it.
    let old = &blocks[122];
    let past = history.prove(122, 999).expect("it is in the past");
    client.check_past(&old.header, &past).expect("the old header is ours");
    let id = old.receipts[0].id;
    check_tx(&old.header, &id, &tx_proof(&[id], 0).expect("the only one")).expect("it was there");
    let proof = receipt_proof(&old.receipts, &old.events, 0).expect("it has a receipt");
    check_receipt(&old.header, &old.receipts[0], &proof).expect("and this became of it");
    println!("payment {} of block {} is proved", id.short(), old.header.height);
}
