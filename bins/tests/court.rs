//! The questions that only execution or a look at the data can answer, before validators that are real processes; and agents on a chain that asks them
//! to seal and to pledge.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "common/town.rs"]
mod town;

use gongsuan::renter::{self, Wish};
use gongsuan_executor::guests::RAYTRACE;
use gongsuan_ledger::Op;
use gongsuan_market::{Cancellation, Command, Deal, DealState, Failure, Rules};
use gongsuan_types::job::{Check, Pace, Predicate};
use gongsuan_types::order::{Bid, Requirements, Work};
use gongsuan_types::{DurationMs, Fuel, Hash, OrderId, Price};
use town::{SCENE, Town, address, json, key};

/// WASI commands of a few bytes: one ends with 0 at once, the other traps.
const ACCEPTS: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
const REFUSES: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x05\x01\x03\0\0\x0b";

/// A bid for the four tiles.
fn bid(change: impl FnOnce(&mut gongsuan_types::job::JobOrder)) -> Bid {
    let mut spec = SCENE.to_job(Hash::of_content(&SCENE.to_input()));
    spec.limits.fuel = Fuel(1_000_000_000);
    let wish = Wish {
        spec,
        price_max: Price(200_000),
        deals_max: 1,
        samples: 2,
        requirements: Requirements::ANY,
        check: Check::default(),
        pace: Pace::default(),
        match_within: DurationMs(60_000),
        run_within: DurationMs(60_000),
    };
    let mut bid = wish.to_bid(gongsuan::node::clock(), &Hash::of("secret", b""));
    let Work::Job(order) = &mut bid.work else { panic!("a wish is a job") };
    change(order);
    bid
}

fn place(town: &Town, bid: Bid) -> OrderId {
    renter::place(&town.client, &key("renter"), bid).unwrap()
}

fn store(town: &Town) {
    town.client.put_blob(RAYTRACE).unwrap();
    town.client.put_blob(&SCENE.to_input()).unwrap();
}

/// Removes a blob from some of the nodes.
fn lose(town: &Town, nodes: std::ops::Range<usize>, blob: Hash) {
    for member in &town.cluster.members[nodes] {
        std::fs::remove_file(member.home.join("blobs").join(blob.to_string())).unwrap();
    }
}

fn is_drawn(deal: &Deal) -> bool {
    matches!(deal.state, DealState::Drawn { .. })
}

fn findings(town: &Town, deal: &Deal) -> Vec<String> {
    let events = town.client.trail(deal.id).unwrap().events;
    let found = events.iter().filter_map(|row| row.event.pointer("/market/judged/finding"));
    found.map(ToString::to_string).collect()
}

/// Fetches a settled job and has its receipt checked offline.
fn receipt_holds(town: &Town, bid: OrderId) {
    let out = town.path(&format!("out-{bid}"));
    let dir = out.to_str().unwrap();
    let fetched =
        json(&town.run("renter", &["job", "fetch", &bid.to_string(), "--json", "--out", dir]), 0);
    assert_eq!(fetched["verified"], true, "{fetched}");
    let receipt = out.join("receipt.json");
    let receipt = receipt.to_str().unwrap();
    assert_eq!(town.run("renter", &["audit", "receipt", receipt]).status.code(), Some(0));
    // The check can fail: one receipt of one segment is another.
    let text = std::fs::read_to_string(receipt).unwrap().replacen("\"fuel\": ", "\"fuel\": 1", 1);
    std::fs::write(receipt, text).unwrap();
    assert_eq!(town.run("renter", &["audit", "receipt", receipt]).status.code(), Some(7));
}

#[test]
fn validators_answer_every_question_with_what_only_one_of_them_has() {
    let rules = Rules {
        // Long: nothing here waits for the end of a window.
        challenge_window: DurationMs(600_000),
        reveal_window: DurationMs(500),
        dispute_window: DurationMs(30_000),
        ..Rules::default()
    };
    let mut town = Town::new(rules);
    town.settle(&["renter", "p1", "stranger"], &[]);
    town.provider("p1", &[]);

    // Input: nobody has stored anything, so the provider asks; when the renter brings it, work begins.
    let input = place(&town, bid(|order| order.ack_within = DurationMs(10_000)));
    town.wait_deal("the question", input, |deal| matches!(deal.state, DealState::Asked { .. }));
    store(&town);
    let deal = town.wait_deal("the draw", input, is_drawn);
    assert_eq!(findings(&town, &deal), ["\"available\""]);

    // Result: three of four validators have lost what they must execute, and fetch it from the fourth.
    let (committed, proof) = gongsuan::provider::opening(&town.client, &deal, 1).unwrap();
    let (module, scene) = (Hash::of_content(RAYTRACE), Hash::of_content(&SCENE.to_input()));
    for blob in [module, scene, committed.output] {
        lose(&town, 1..4, blob);
    }
    let mut found = committed;
    found.fuel.0 += 1;
    let challenge = Command::Challenge { deal: deal.id, committed, proof: proof.clone(), found };
    town.client.execute(&key("stranger"), &[Op::Market(challenge)]).unwrap();
    let deal = town.wait_deal("a verdict", input, |deal| is_drawn(deal) && deal.cases == 2);
    let produced = findings(&town, &deal).pop().unwrap();
    assert!(produced.contains(&committed.output.to_string()), "{produced}");

    // Output: as well.
    let missing = || Command::DemandOutput { deal: deal.id, committed, proof: proof.clone() };
    town.client.execute(&key("stranger"), &[Op::Market(missing())]).unwrap();
    let deal = town.wait_deal("a verdict", input, |deal| is_drawn(deal) && deal.cases == 3);
    assert_eq!(findings(&town, &deal).pop().unwrap(), "\"available\"");
    // A quorum has fetched it for that, and keeps it.
    let blob = |member: &gongsuan::cluster::Member| {
        member.home.join("blobs").join(committed.output.to_string())
    };
    assert!(town.cluster.members.iter().filter(|member| blob(member).exists()).count() >= 3);

    // Then nobody has it any more, and the provider answers for that.
    for (at, member) in town.cluster.members.iter().enumerate() {
        if blob(member).exists() {
            lose(&town, at..at + 1, committed.output);
        }
    }
    town.client.execute(&key("stranger"), &[Op::Market(missing())]).unwrap();
    let over = town.wait_deal("the end", input, Deal::is_over);
    assert!(
        matches!(over.state, DealState::Failed { why: Failure::Withheld, .. }),
        "{:?}",
        over.state
    );

    // Input that never comes: the deal ends, and nobody has worked for nothing.
    let mut other = bid(|order| order.ack_within = DurationMs(10_000));
    let Work::Job(order) = &mut other.work else { panic!("a wish is a job") };
    order.spec.module = Hash::of("nowhere", b"");
    let never = place(&town, other);
    let over = town.wait_deal("the end", never, Deal::is_over);
    assert_eq!(over.state, DealState::Cancelled { why: Cancellation::NoInput });

    // Predicate: accepted is paid at once, refused is not, and both are proved by the receipt or its absence.
    store(&town);
    let judged = |program: &[u8]| {
        let module = town.client.put_blob(program).unwrap();
        let predicate = Predicate { module, fuel: Fuel(1_000_000) };
        let id = place(&town, bid(|order| order.check = Check::Predicate(predicate)));
        (id, town.wait_deal("the end", id, Deal::is_over).state)
    };
    let (accepted, state) = judged(ACCEPTS);
    assert!(matches!(state, DealState::Settled { .. }), "{state:?}");
    receipt_holds(&town, accepted);
    let (_, state) = judged(REFUSES);
    assert!(matches!(state, DealState::Failed { why: Failure::Refused, .. }), "{state:?}");
}

#[test]
fn agents_pledge_and_seal_where_the_chain_asks_for_it() {
    let rules = Rules {
        challenge_window: DurationMs(300),
        reveal_window: DurationMs(5_000),
        audit_window: DurationMs(120_000),
        seal_window: DurationMs(30_000),
        pledge_min_micro: 5_000_000,
        ..Rules::default()
    };
    let mut town = Town::new(rules);
    let people = ["p1", "p2", "p3"];
    town.settle(&["renter", "p1", "p2", "p3"], &people);
    for (name, price) in people.into_iter().zip(["0.10", "0.11", "0.12"]) {
        town.provider(name, &["--price", price]);
    }
    for name in people {
        let enough = |amount: gongsuan_types::Amount| amount.micro() >= 5_000_000;
        town.wait("a pledge", |client| {
            Ok(enough(client.account(address(name))?.pledge).then_some(()))
        });
    }

    // Auditors seal, then show; the provider shows its list in between.
    let file = town.job("lottery", "");
    let out = town.path("lottery/out");
    let args = ["job", "run", file.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()];
    let result = json(&town.run("renter", &args), 0);
    let deal = town.wait_deal("the deal", OrderId(result["bid"].as_u64().unwrap()), Deal::is_over);
    let DealState::Settled { samples, audited, .. } = &deal.state else {
        panic!("{:?}", deal.state)
    };
    assert_eq!(samples.len(), 2);
    assert!(samples.iter().all(|sample| sample.seal.is_some() && sample.passed), "{samples:?}");
    assert!(!audited.is_zero());

    // Two providers seal the same, then show it, and are paid without a draw.
    store(&town);
    let id = place(&town, bid(|order| order.check = Check::Quorum { copies: 2 }));
    let copies = town.wait("both copies", |client| {
        let deals = renter::deals_of(client, id)?;
        Ok((deals.len() == 2 && deals.iter().all(Deal::is_over)).then_some(deals))
    });
    let results: Vec<_> =
        copies.iter().map(|deal| (deal.provider, deal.results().unwrap().0)).collect();
    assert_ne!(results[0].0, results[1].0);
    assert_eq!(results[0].1, results[1].1);
    receipt_holds(&town, id);
    let steps = town.client.trail(copies[0].id).unwrap().events;
    let steps: Vec<&str> =
        steps.iter().filter_map(|row| row.event.pointer("/market/moved/step")?.as_str()).collect();
    assert!(
        steps.ends_with(&["seal", "unseal", "agree"])
            || steps.ends_with(&["unseal", "beacon", "agree"]),
        "{steps:?}"
    );
}

#[test]
fn agents_that_come_back_show_what_they_had_sealed() {
    let rules = Rules {
        challenge_window: DurationMs(300),
        reveal_window: DurationMs(300),
        audit_window: DurationMs(120_000),
        seal_window: DurationMs(10_000),
        pledge_min_micro: 5_000_000,
        ..Rules::default()
    };
    let mut town = Town::new(rules);
    town.settle(&["renter", "p1", "p2", "absent"], &["p2", "absent"]);
    town.provider("p1", &["--price", "0.10"]);
    town.provider("p2", &["--price", "0.15"]);
    // It never answers, so what was drawn may be shown only when the time to seal is over.
    let pledge = Command::Pledge(gongsuan_types::Amount::new(5_000_000));
    town.client.execute(&key("absent"), &[Op::Market(pledge)]).unwrap();
    town.wait("a pledge", |client| {
        Ok((client.account(address("p2"))?.pledge.micro() >= 5_000_000).then_some(()))
    });
    store(&town);
    let id = place(&town, bid(|_| ()));
    let of_p2 = |deal: &Deal| {
        let DealState::Drawn { samples, .. } = &deal.state else { return None };
        samples.iter().copied().find(|sample| sample.auditor == Some(address("p2")))
    };
    let sealed = |deal: &Deal| of_p2(deal).is_some_and(|sample| sample.seal.is_some());
    let deal = town.wait_deal("a seal", id, sealed);
    town.kill("p1");
    town.kill("p2");
    assert!(town.client.blob(deal.receipts().unwrap()).is_err(), "the list is shown too early");

    town.spawn("p1", &["provider", "run", "--workers", "1", "--price", "0.10"]);
    town.spawn("p2", &["provider", "run", "--workers", "1", "--price", "0.15"]);
    let passed = |deal: &Deal| of_p2(deal).is_some_and(|sample| sample.passed);
    let deal = town.wait_deal("the audit", id, passed);
    let before = of_p2(&deal).and_then(|sample| sample.seal);
    assert!(before.is_some(), "audited with what was sealed before");
    town.client.blob(deal.receipts().unwrap()).unwrap();
}
