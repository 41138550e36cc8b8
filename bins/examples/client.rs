//! A network of one validator in this process, and the typed client on it: pay, prove, list, store, listen.
//!
//! `cargo run -p gongsuan --example client`

#![expect(clippy::print_stdout, reason = "an example prints")]

use gongsuan::api::wire::TxState;
use gongsuan::client::{Client, Of, Page};
use gongsuan::node::Node;
use gongsuan::node::config::{NodeFile, write_key};
use gongsuan_ledger::genesis::{GenesisAccount, Params, Validator};
use gongsuan_ledger::{Genesis, Op};
use gongsuan_types::{Amount, SecretKey, TimeMs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let [validator, alice, bob] =
        ["validator", "alice", "bob"].map(|name| SecretKey::from_seed(name.as_bytes()));
    let balance = Amount::from_tokens(100).ok_or("100 tokens fit")?;
    let genesis = Genesis {
        name: "example".into(),
        time: TimeMs(1_700_000_000_000),
        params: Params::default(),
        accounts: vec![GenesisAccount { address: alice.address(), balance }],
        validators: vec![Validator { name: "solo".into(), key: validator.public_key() }],
        issuers: vec![alice.address()],
    };
    let file = NodeFile {
        name: "solo".into(),
        p2p: "127.0.0.1:0".parse()?,
        api: "127.0.0.1:0".parse()?,
        peers: Vec::new(),
        timeout_ms: 250,
        retention: None,
        segment_bytes: None,
    };
    std::fs::write(home.path().join("node.toml"), toml::to_string(&file)?)?;
    std::fs::write(home.path().join("genesis.json"), serde_json::to_vec(&genesis)?)?;
    write_key(&home.path().join("validator.key"), &validator)?;
    let node = Node::start(home.path())?;
    let client = Client::new([format!("http://{}", node.api)]);

    // Pay: the answer comes when the block is on disk.
    let pay = Op::Transfer { to: bob.address(), amount: Amount::new(2_500_000) };
    let TxState::Committed { id, height, receipt, .. } = client.execute(&alice, &[pay])? else {
        return Err("not committed".into());
    };
    println!("paid in block {}, fee {}", height, receipt.fee);
    println!("bob has {}", client.account(bob.address())?.balance);
    println!("the supply adds up: {}", client.supply()?.equal);

    // What happened to an account, newest first, and a proof of one of its transactions for somebody who trusts no node.
    let history = client.history(Of::Account(bob.address()), None)?;
    println!("bob's history: {} rows", history.rows.len());
    println!(
        "proof of {}: {} bytes",
        id.short(),
        client.proof("receipt", &id.to_string())?.proof.len() / 2
    );

    // Files by their hash; a transfer that breaks off is continued.
    let hash = client.put_blob(b"any bytes")?;
    println!("blob {}: {} bytes", hash.short(), client.blob(hash)?.len());

    // Lists are pages; events begin where the listener left off.
    println!("{} orders", client.orders(&Page { open: true, ..Page::default() })?.total);
    let mut events = client.events(Some("0:0"))?;
    let first = events.next().ok_or("the stream has ended")??;
    println!(
        "block {}: {} events; go on after {:?}",
        first.height,
        first.events.len(),
        events.last_id()
    );

    // What is refused says why.
    let too_much = Op::Transfer { to: alice.address(), amount: balance };
    if let Err(error) = client.execute(&bob, &[too_much]) {
        println!("refused: {error}");
    }
    node.stop();
    Ok(())
}
