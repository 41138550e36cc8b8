//! A chain in memory: one transfer, and the proof of a balance that needs nothing but the header.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use gongsuan_ledger::genesis::{GenesisAccount, Params, Validator};
use gongsuan_ledger::tree::{key_hash, value_hash};
use gongsuan_ledger::{Body, Genesis, Op, OrderedBlock, State, StateKey, Transaction, apply_block};
use gongsuan_types::{Amount, Hash, Height, Refusal, SecretKey, Term, TimeMs, Verified, codec};

fn main() -> Result<(), Refusal> {
    let (alice, bob) = (SecretKey::from_seed(b"alice"), SecretKey::from_seed(b"bob"));
    let genesis = Genesis {
        name: "example".into(),
        time: TimeMs(0),
        params: Params::default(),
        accounts: vec![GenesisAccount {
            address: alice.address(),
            balance: Amount::new(5_000_000),
        }],
        validators: vec![Validator { name: "v0".into(), key: alice.public_key() }],
        issuers: vec![],
    };
    let mut state = State::new(&genesis)?;
    let body = Transaction {
        version: 1,
        chain_id: genesis.chain_id(),
        sender: alice.address(),
        nonce: 0,
        fee: Amount::new(200),
        expires_at: TimeMs(1_000),
        ops: vec![Op::Transfer { to: bob.address(), amount: Amount::new(2_000_000) }],
    };
    let txs = vec![Verified::sign(body, &alice).into_signed()];
    let block = OrderedBlock {
        height: Height(1),
        term: Term(1),
        time: TimeMs(10),
        proposer: alice.public_key(),
        block: Hash::ZERO,
        body: &Body { txs }.encode(),
    };
    let applied = apply_block(&mut state, &block);
    println!("{:?}", applied.receipts[0].status);
    let key = StateKey::Account(bob.address());
    let value = state.record(&key).map(|bytes| value_hash(&bytes));
    let holds =
        state.prove(&key).verify(applied.header.state_root, key_hash(&codec::encode(&key)), value);
    let balance = state.accounts().account(&bob.address()).balance;
    println!(
        "bob has {balance} tokens; proved under root {}: {holds}",
        applied.header.state_root.short()
    );
    Ok(())
}
