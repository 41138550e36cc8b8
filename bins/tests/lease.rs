//! Leases on a network of real processes: ordered, served, paid by the interval, and ended by everybody who can end one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "common/town.rs"]
mod town;

use std::collections::BTreeMap;
use std::path::Path;

use gongsuan::client::Page;
use gongsuan::lease::CLASS;
use gongsuan_executor::{EngineKind, InProcess};
use gongsuan_market::{Deal, DealState, Failure, Rules};
use gongsuan_types::order::Side;
use gongsuan_types::{Amount, OrderId};
use serde_json::Value;
use town::{PATIENCE, SCENE, Town, address, json, key};

/// A core-second at 0.01 tokens; intervals of two seconds on one core.
const PRICE: &str = "0.01";
const INTERVAL_MICRO: u64 = 20_000;

/// Starts a provider's agent with one core for leases.
fn start(town: &mut Town, name: &str) {
    town.spawn(
        name,
        &["provider", "run", "--workers", "1", "--lease-cores", "1", "--lease-price", PRICE],
    );
}

/// The same, and waits until the core is on offer.
fn lessor(town: &mut Town, name: &str) {
    start(town, name);
    vacancy(town, name);
}

/// Waits until a provider's leased time is on offer.
fn vacancy(town: &Town, name: &str) {
    let own = Page {
        account: Some(address(name)),
        class: Some(CLASS),
        side: Some(Side::Ask),
        open: true,
        ..Page::default()
    };
    town.wait("leased time on offer", |client| {
        let asks = client.orders(&own)?.orders;
        Ok(asks.iter().any(|ask| ask.open.0 > 0).then_some(()))
    });
}

fn micro(value: &Value) -> u64 {
    let amount: Amount = serde_json::from_value(value.clone()).unwrap();
    u64::try_from(amount.micro()).unwrap()
}

fn held(town: &Town, name: &str) -> Amount {
    town.client.account(address(name)).unwrap().held
}

/// Orders one core in intervals of two seconds; what the command printed.
fn order(town: &Town, seconds: &str, more: &[&str]) -> Value {
    let args = [
        &["lease", "order", "--json", "--cores", "1", "--max-price", "0.02", "--interval", "2"],
        &["--grace", "4", "--memory-mib", "128", "--seconds", seconds][..],
        more,
    ]
    .concat();
    json(&town.run("renter", &args), 0)
}

fn bid_of(lease: &Value) -> OrderId {
    serde_json::from_value(lease["bid"].clone()).unwrap()
}

fn paid(deal: &Deal) -> u32 {
    deal.accepted
}

/// What the events of a deal moved, by who got it and for what.
fn flows(town: &Town, deal: &Deal) -> BTreeMap<(String, String), u64> {
    let mut flows = BTreeMap::new();
    for row in town.client.trail(deal.id).unwrap().events {
        let Some(post) = row.event.pointer("/money/post") else { continue };
        let text = |field: &str| post[field].as_str().unwrap().to_owned();
        *flows.entry((text("to"), text("reason"))).or_insert(0) += micro(&post["amount"]);
    }
    flows
}

/// Every interval was paid to the provider less 2 %, which the treasury has, and nothing else was paid to anybody.
fn paid_exactly(town: &Town, provider: &str, deal: &Deal, intervals: u64) {
    let fee = intervals * INTERVAL_MICRO / 50;
    let work = (address(provider).to_string(), "work".to_owned());
    let treasury = (gongsuan_types::Address::TREASURY.to_string(), "fee".to_owned());
    let wanted = BTreeMap::from([(work, intervals * INTERVAL_MICRO - fee), (treasury, fee)]);
    assert_eq!(flows(town, deal), wanted, "{deal:?}");
}

#[test]
fn leased_cores_are_paid_by_the_interval_run_tasks_and_end_when_the_renter_wants() {
    let mut town = Town::new(Rules::default());
    town.settle(&["renter", "p1"], &[]);
    lessor(&mut town, "p1");

    // The chain is the witness: the command comes back, and the lease goes on by itself.
    let lease = order(&town, "600", &[]);
    assert_eq!((&lease["state"], &lease["witness"]), (&"leased".into(), &"chain".into()));
    let bid = bid_of(&lease);
    let number = bid.to_string();
    town.wait_deal("two paid intervals", bid, |deal| paid(deal) >= 2);
    let listed = json(&town.run("renter", &["lease", "list", "--open", "--json"]), 0);
    assert_eq!(listed["leases"][0]["bid"], lease["bid"], "{listed}");
    let kept = json(&town.run("renter", &["lease", "keep", &number, "--json"]), 2);
    assert!(kept["message"].as_str().unwrap().contains("the chain is the witness"), "{kept}");
    // Its one core is leased, so nothing is on offer, and a second lease is not matched.
    let second =
        ["lease", "order", "--json", "--cores", "1", "--seconds", "10", "--max-price", "1"];
    let second = town.run("renter", &[&second[..], &["--match-within", "1"]].concat());
    assert_eq!(second.status.code(), Some(5));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("market why"), "{said}");

    // Work: it runs on the leased core, comes back sealed, and is what the same program gives here.
    let file = town.job("task", "");
    let out = town.path("first");
    let done = submit(&town, (&number, &file), &out);
    assert_eq!((&done["segments"], &done["checked"]), (&4.into(), &2.into()), "{done}");
    let here = expected();
    for (segment, output) in here.iter().enumerate() {
        assert_eq!(&std::fs::read(out.join(format!("segment-{segment}"))).unwrap(), output);
    }
    // Nobody else can read what was found: no node has the output under its own hash.
    let plain = gongsuan_types::Hash::of_content(&here[0]);
    assert!(town.client.blob(plain).is_err());

    // The agent is killed and comes back before the grace is over: it goes on, and knows what it has answered.
    let before = town.wait_deal("a paid interval", bid, |deal| paid(deal) >= 3);
    town.kill("p1");
    start(&mut town, "p1");
    let after = town.wait_deal("paid after the restart", bid, |deal| paid(deal) > before.accepted);
    assert!(matches!(after.state, DealState::Leased { .. }), "{:?}", after.state);
    let again = submit(&town, (&number, &file), &town.path("second"));
    assert_eq!(again["receipts"], done["receipts"]);
    let answers = answers(&town, &after);
    assert_eq!(answers, 1, "the same task was run once");

    // The renter has enough.
    json(&town.run("renter", &["lease", "stop", &number, "--json"]), 0);
    let over = town.wait_deal("the end", bid, Deal::is_over);
    let DealState::Completed { .. } = over.state else { panic!("{:?}", over.state) };
    paid_exactly(&town, "p1", &over, over.accepted.into());
    assert_eq!(held(&town, "renter"), Amount::ZERO);
    let status = json(&town.run("renter", &["lease", "status", &number, "--json"]), 0);
    let parts = ["paid", "fees", "refund"].map(|part| micro(&status[part]));
    assert_eq!(parts.iter().sum::<u64>(), 300 * INTERVAL_MICRO, "{status}");
    assert_eq!(status["intervals_paid"], over.accepted);
    let twice = json(&town.run("renter", &["lease", "stop", &number, "--json"]), 4);
    assert!(twice["message"].as_str().unwrap().contains("is over: completed"), "{twice}");

    // What is free is on offer again, and the whole story can be proved.
    vacancy(&town, "p1");
    let story = json(&town.run("renter", &["audit", "trail", "job", &number, "--json"]), 0);
    assert_eq!(story["valid"], true);
    let said: Vec<&str> =
        story["events"].as_array().unwrap().iter().filter_map(|e| e["what"].as_str()).collect();
    for wanted in [
        "600 core-seconds at",
        "300 intervals at",
        "intervals 0 to 0 accepted",
        "the lease is over",
    ] {
        assert!(said.iter().any(|line| line.contains(wanted)), "{wanted}: {said:#?}");
    }
}

/// Hands the job in on a lease; what the command printed.
fn submit(town: &Town, (lease, file): (&str, &Path), out: &Path) -> Value {
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let args = ["lease", "submit", lease, file, "--json", "--check", "2", "--out", out];
    json(&town.run("renter", &args), 0)
}

/// What the four tiles are.
fn expected() -> Vec<Vec<u8>> {
    let scene = SCENE.to_input();
    let mut spec = SCENE.to_job(gongsuan_types::Hash::of_content(&scene));
    spec.limits.fuel = gongsuan_types::Fuel(1_000_000_000);
    let job = gongsuan_executor::Job {
        module: gongsuan_executor::guests::RAYTRACE.into(),
        spec,
        segments: (0..4).collect(),
        inputs: gongsuan_executor::Inputs::Shared(scene.into()),
    };
    let mut outputs = BTreeMap::new();
    let threads = InProcess { engine: EngineKind::Wasmi, threads: 1 };
    use gongsuan_executor::Backend as _;
    threads
        .run(&job, &gongsuan_executor::Cancel::new(), &mut |event| {
            if let gongsuan_executor::Event::Done(output) = event {
                outputs.insert(output.receipt.segment, output.output);
            }
        })
        .unwrap();
    outputs.into_values().collect()
}

/// Answers that the provider of a deal has signed.
fn answers(town: &Town, deal: &Deal) -> usize {
    let post = gongsuan::envelope::Post::new(&town.client, &key("renter")).unwrap();
    let letters = post.letters_between(deal.id, deal.provider, deal.renter).unwrap();
    let is_answer = |content: &gongsuan::envelope::Content| {
        matches!(content, gongsuan::envelope::Content::Done { .. })
    };
    letters.iter().filter(|letter| is_answer(&letter.body.content)).count()
}

#[test]
fn who_is_silent_is_not_paid_whoever_is_the_witness() {
    let mut town = Town::new(Rules::default());
    town.settle(&["renter", "p1"], &[]);
    lessor(&mut town, "p1");

    // The renter is the witness: the command hands tokens over, and the lease runs to its end.
    let whole = order(&town, "6", &["--witness", "renter"]);
    assert_eq!((&whole["state"], &whole["intervals_paid"]), (&"completed".into(), &3.into()));
    let over = town.wait_deal("the end", bid_of(&whole), Deal::is_over);
    paid_exactly(&town, "p1", &over, 3);
    assert_eq!(held(&town, "renter"), Amount::ZERO);

    // It goes away: without tokens nothing more is paid, and nobody is fined, for nobody can tell who was silent.
    vacancy(&town, "p1");
    town.spawn(
        "renter",
        &[
            &["lease", "order", "--cores", "1", "--max-price", "0.02", "--interval", "2"][..],
            &["--grace", "2", "--seconds", "600", "--witness", "renter", "--memory-mib", "128"],
        ]
        .concat(),
    );
    let bid = town.newest_bid_above("renter", bid_of(&whole));
    town.wait_deal("a paid interval", bid, |deal| paid(deal) >= 1);
    town.kill("renter");
    let over = town.wait_deal("the end", bid, Deal::is_over);
    let DealState::Failed { why: Failure::Unwitnessed, fine } = over.state else {
        panic!("{:?}", over.state)
    };
    assert_eq!(fine, Amount::ZERO);
    paid_exactly(&town, "p1", &over, over.accepted.into());
    assert_eq!(held(&town, "renter"), Amount::ZERO);

    // The provider goes away where the chain is the witness: it has lost a tenth of its deposit to the renter, who has paid for what it had.
    vacancy(&town, "p1");
    let bid = bid_of(&order(&town, "600", &[]));
    town.wait_deal("a paid interval", bid, |deal| paid(deal) >= 1);
    town.kill("p1");
    let over = town.wait_deal("the end", bid, Deal::is_over);
    let DealState::Failed { why: Failure::Silent, fine } = over.state else {
        panic!("{:?}", over.state)
    };
    // The deposit is a tenth of the lease's price.
    assert_eq!(fine.micro(), u128::from(300 * INTERVAL_MICRO / 10 / 10));
    paid_exactly(&town, "p1", &over, over.accepted.into());
    assert_eq!(held(&town, "renter"), Amount::ZERO);
    let status = json(&town.run("renter", &["lease", "status", &bid.to_string(), "--json"]), 0);
    assert_eq!((&status["state"], &status["failed"]), (&"failed".into(), &"silent".into()));
    let supply = town.client.wait_for("supply", PATIENCE, |client| client.supply().map(Some));
    assert!(supply.unwrap().equal);
}
