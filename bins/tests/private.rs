//! Private jobs on a network of real processes: who can read what, with auditors and with the court.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "common/town.rs"]
mod town;

use std::path::Path;

use gongsuan::envelope::Post;
use gongsuan_executor::guests::RAYTRACE;
use gongsuan_executor::{EngineKind, Program, run_segment};
use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Failure, Rules};
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::{DurationMs, Fuel, Hash, OrderId, Price, Units};
use town::{ACCEPTS, REFUSES, SCENE, Town, address, json, key};

/// Tiles as this process makes them, without any network.
fn tiles() -> Vec<Vec<u8>> {
    let program = Program::load(EngineKind::Wasmi, RAYTRACE).unwrap();
    let mut spec = SCENE.to_job(Hash::of_content(&SCENE.to_input()));
    spec.limits.fuel = Fuel(1_000_000_000);
    let run = |segment| run_segment(&program, &spec, segment, &SCENE.to_input()).unwrap().output;
    (0..SCENE.tiles()).map(run).collect()
}

fn contains(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

/// What of a job a network's nodes have on disk in the clear.
fn in_the_clear(town: &Town, tiles: &[Vec<u8>]) -> Vec<&'static str> {
    let input = SCENE.to_input();
    let parts: [(&str, &[u8]); 3] =
        [("module", &RAYTRACE[..64]), ("input", &input), ("output", &tiles[0][..64])];
    let is_there =
        |needle: &[u8]| town.cluster.members.iter().any(|member| contains(&member.home, needle));
    parts.into_iter().filter(|(_, needle)| is_there(needle)).map(|(name, _)| name).collect()
}

fn run_job(town: &Town, folder: &str, more: &str, tiles: &[Vec<u8>]) -> OrderId {
    let file = town.job(folder, more);
    let out = town.path(folder).join("out");
    let args = ["job", "run", file.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()];
    let result = json(&town.run("renter", &args), 0);
    assert_eq!((&result["verified"], &result["segments"]), (&true.into(), &4.into()), "{result}");
    for (segment, tile) in tiles.iter().enumerate() {
        assert_eq!(&std::fs::read(out.join(format!("segment-{segment}"))).unwrap(), tile);
    }
    OrderId(result["bid"].as_u64().unwrap())
}

fn settled(town: &Town, bid: OrderId) -> Deal {
    town.wait_deal("the settlement", bid, |deal| matches!(deal.state, DealState::Settled { .. }))
}

#[test]
fn a_private_job_is_read_by_those_only_who_execute_it() {
    let rules = Rules {
        challenge_window: DurationMs(300),
        audit_window: DurationMs(60_000),
        ..Rules::default()
    };
    let mut town = Town::new(rules);
    town.settle(&["renter", "p1", "p2", "stranger"], &["p1", "p2"]);
    let tiles = tiles();

    // A private order before its owner can be answered is refused by the chain itself.
    town.provider("p1", &["--price", "0.10", "--region", "3"]);
    town.provider("p2", &["--price", "0.15", "--region", "7", "--payout", "fresh"]);
    let account = |name: &str| town.client.account(address(name)).unwrap();
    assert!(account("p1").encryption_key.is_some(), "a provider publishes a key when it begins");
    assert_eq!(account("renter").encryption_key, None);
    let shown = town.run("renter", &["account", "key", "show", "--json"]);
    assert!(json(&shown, 3)["encryption_key"].is_null());

    // The renter checks itself: nobody but the provider sees anything.
    let own = run_job(&town, "own", "private = true", &tiles);
    let deal = settled(&town, own);
    let DealState::Settled { samples, audited, .. } = &deal.state else { unreachable!() };
    assert!(samples.iter().all(|sample| sample.auditor == Some(deal.renter) && sample.passed));
    assert!(audited.is_zero(), "a renter is not paid for looking itself");
    assert_eq!(in_the_clear(&town, &tiles), [""; 0]);

    // Drawn auditors: they are sent what they execute, and are paid.
    let drawn = run_job(&town, "drawn", "private = true\naudit = \"lottery\"", &tiles);
    let deal = settled(&town, drawn);
    let DealState::Settled { samples, audited, .. } = &deal.state else { unreachable!() };
    assert!(samples.iter().all(|sample| sample.auditor == Some(address("p2")) && sample.passed));
    assert!(
        !audited.is_zero(),
        "an auditor that could not read would have been silent, and unpaid"
    );
    assert_eq!(in_the_clear(&town, &tiles), [""; 0]);

    // Others can read nothing, and the renter everything, from any machine and after it has rotated its key.
    let bid = own.to_string();
    let fetch = |name: &str| {
        let out = town.path(&format!("fetched-{name}"));
        town.run(name, &["job", "fetch", &bid, "--json", "--out", out.to_str().unwrap()])
    };
    assert_eq!(json(&fetch("stranger"), 3)["exit"], 3);
    let rotated = json(&town.run("renter", &["account", "key", "rotate", "--json"]), 0);
    assert_eq!(rotated["encryption_key"]["number"], 1);
    assert_eq!(json(&fetch("renter"), 0)["verified"], true);
    let proof = town.path("key.json");
    let proof = proof.to_str().unwrap();
    let me = address("renter").to_string();
    let args = ["audit", "prove", "key", &me, "--out", proof];
    assert_eq!(town.run("renter", &args).status.code(), Some(0));
    let genesis = town.cluster.members[0].home.join("genesis.json");
    let genesis = genesis.to_str().unwrap();
    let args = ["audit", "verify-proof", proof, "--genesis", genesis, "--json"];
    let checked = town.run("renter", &args);
    let checked = json(&checked, 0);
    assert_eq!(checked.pointer("/shows/record/number"), Some(&1.into()), "{checked}");

    // What the provider has signed, when it is finished with the deal.
    let promised = || town.run("renter", &["job", "deletions", &bid, "--json"]);
    let promised = town.wait("a promise", |_| {
        let out = promised();
        Ok((out.status.code() == Some(0)).then_some(out))
    });
    let promised = json(&promised, 0);
    assert!(promised["promise"].as_str().unwrap().starts_with("I promise"), "{promised}");
    assert_eq!(promised["deals"][0]["provider"], address("p1").to_string());

    // A region decides before the price does; where no machine stands there is no match.
    let there = run_job(&town, "region", "private = true\nregions = [7]", &tiles);
    assert_eq!(settled(&town, there).provider, address("p2"));
    let nowhere = town.job("nowhere", "regions = [42]");
    let text = std::fs::read_to_string(&nowhere).unwrap();
    std::fs::write(&nowhere, text.replace("match_within_s = 60", "match_within_s = 1")).unwrap();
    let refused = town.run("renter", &["job", "run", nowhere.to_str().unwrap(), "--json"]);
    assert_eq!(refused.status.code(), Some(5));

    // What that deal brought is on an address of its own, and can be spent by whoever has the account's key.
    let paid = town.wait("a payout", |_| {
        let list = json(&town.run("p2", &["account", "payouts", "--json"]), 0);
        let first = list["payouts"][0].clone();
        Ok((!first.is_null() && first["earned"] == first["balance"]).then_some(first))
    });
    assert_ne!(paid["address"], address("p2").to_string());
    let spender = town.path("payout.json");
    let (deal, file) = (paid["deal"].to_string(), spender.to_str().unwrap());
    let stored = ["account", "payout", &deal, file, "--unsafe-password", "x", "--json"];
    assert_eq!(json(&town.run("p2", &stored), 0)["address"], paid["address"]);

    // The same job for everybody: the check above can fail.
    run_job(&town, "public", "", &tiles);
    assert_eq!(in_the_clear(&town, &tiles), ["module", "input", "output"]);
}

/// Somebody claims that a result is wrong, and then that an output is missing. Validators cannot read a private job: they publish keys, the parties
/// send them what the case needs, and both claims are found false. The window is long: nothing here waits for its end.
#[test]
fn the_court_is_shown_what_it_judges() {
    let rules = Rules { challenge_window: DurationMs(600_000), ..Rules::default() };
    let mut town = Town::new(rules);
    town.settle(&["renter", "p1", "liar"], &[]);
    let tiles = tiles();
    town.provider("p1", &[]);
    let file = town.job("job", "private = true");
    town.spawn("renter", &["job", "run", file.to_str().unwrap()]);
    let bid = town.newest_bid("renter");
    let drawn = |deal: &Deal| matches!(deal.state, DealState::Drawn { .. });
    let deal = town.wait_deal("the draw", bid, drawn);
    let (committed, proof) = gongsuan::provider::opening(&town.client, &deal, 0).unwrap();
    let mut found = committed;
    found.output = Hash::ZERO;
    let challenge = Command::Challenge { deal: deal.id, committed, proof: proof.clone(), found };
    town.client.execute(&key("liar"), &[Op::Market(challenge)]).unwrap();
    let again = town.wait_deal("the first verdict", bid, |deal| drawn(deal) && deal.cases == 1);
    assert_eq!(again.dropped().count(), 0);
    let missing = Command::DemandOutput { deal: deal.id, committed, proof };
    town.client.execute(&key("liar"), &[Op::Market(missing)]).unwrap();
    let over = town.wait_deal("the second verdict", bid, |deal| drawn(deal) && deal.cases == 2);
    assert_eq!(over.dropped().count(), 0, "the provider is right");
    let judged = town.client.trail(deal.id).unwrap().events;
    let judged: Vec<String> = judged
        .iter()
        .filter_map(|row| Some(row.event.pointer("/market/judged/finding")?.to_string()))
        .collect();
    assert!(judged[0].contains("produced") && judged[0].contains(&committed.output.to_string()));
    assert_eq!(judged[1], "\"available\"");
    assert_eq!(in_the_clear(&town, &tiles), [""; 0], "what validators opened they do not keep");
}

/// Lists a machine of somebody who can be sent secrets and runs no agent: room for one job, below every other price.
fn absent(town: &Town, name: &str) {
    let key = key(name);
    Post::new(&town.client, &key).unwrap().publish().unwrap();
    let machine = Machine {
        cpu_cores: 8,
        memory_mib: 8_192,
        disk_mib: 0,
        gpu_count: 0,
        duration_s_max: 86_400,
        region: Region(0),
        capabilities: Capabilities::NONE,
    };
    let units = Units(u64::from(SCENE.tiles()));
    let expires_at = gongsuan::node::clock().plus(DurationMs(86_400_000));
    let ask = Ask {
        class: Class::WASM,
        price: Price(50_000),
        units,
        fill_min: Units(1),
        machine,
        expires_at,
    };
    town.client.execute(&key, &[Op::Market(Command::PlaceAsk(ask))]).unwrap();
}

/// The first provider takes the job, is sent what opens it, and is never heard of again. What it was sent stays open to it, and nothing else is; the next
/// one is sent everything, and does the whole.
fn goes_on_with_the_next(town: &mut Town, tiles: &[Vec<u8>]) {
    absent(town, "gone");
    let file = town.job("next", "private = true\nattempts_max = 2\nheartbeat_s = 8");
    let out = town.path("next/out");
    town.spawn("renter", &["job", "run", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let bid = town.newest_bid("renter");
    let matched = |deal: &Deal| matches!(deal.state, DealState::Matched { .. });
    let deal = town.wait_deal("the first match", bid, matched);
    assert_eq!(deal.provider, address("gone"), "the cheapest");
    let gone = key("gone");
    // From here on it has the time of a heartbeat.
    town.client.execute(&gone, &[Op::Market(Command::Acknowledge(deal.id))]).unwrap();
    let post = Post::new(&town.client, &gone).unwrap();
    let input = SCENE.to_input();
    let opens = |keyring: &gongsuan::envelope::Keyring, plain: &[u8]| {
        let hash = Hash::of_content(plain);
        keyring.open(hash, |sealed| town.client.blob(sealed).ok()).as_deref() == Some(plain)
    };
    let sent = town.wait("the first provider's letter", |_| {
        let keyring = post.keyring(deal.id)?;
        Ok(opens(&keyring, &input).then_some(keyring))
    });
    assert!(opens(&sent, RAYTRACE));

    let over = settled(town, bid);
    assert_eq!(over.provider, address("p2"));
    let dropped: Vec<_> = over.dropped().collect();
    assert_eq!(dropped, [(address("gone"), Failure::Silent)]);
    let DealState::Settled { samples, .. } = &over.state else { unreachable!() };
    assert!(samples.len() == 2 && samples.iter().all(|sample| sample.passed));
    // The command of before has been told nothing new, and ends with the outputs.
    town.wait("the outputs", |_| Ok(out.join("receipt.json").exists().then_some(())));
    for (segment, tile) in tiles.iter().enumerate() {
        assert_eq!(&std::fs::read(out.join(format!("segment-{segment}"))).unwrap(), tile);
        assert!(!opens(&post.keyring(over.id).unwrap(), tile), "whoever left reads no results");
    }
    assert_eq!(in_the_clear(town, tiles), [""; 0]);
}

/// The validators run a program that nobody else reads over outputs that nobody else reads.
fn is_judged_by_its_predicate(town: &Town, tiles: &[Vec<u8>]) {
    let judged = |folder: &str, program: &[u8]| {
        let file = town.job(folder, "private = true\npredicate = \"check.wasm\"");
        std::fs::write(town.path(folder).join("check.wasm"), program).unwrap();
        let out = town.path(folder).join("out");
        let args = ["job", "run", file.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()];
        (town.run("renter", &args), town.newest_bid("renter"))
    };
    let findings = |bid: OrderId| {
        let deal = town.wait_deal("the end", bid, Deal::is_over);
        let events = town.client.trail(deal.id).unwrap().events;
        let of = |row: &gongsuan::api::wire::TrailRow| {
            Some(row.event.pointer("/market/judged/finding")?.to_string())
        };
        (deal, events.iter().filter_map(of).collect::<Vec<_>>())
    };

    let (done, bid) = judged("accepted", ACCEPTS);
    assert_eq!(json(&done, 0)["verified"], true);
    let (deal, found) = findings(bid);
    assert_eq!(found, ["\"accepts\""]);
    let DealState::Settled { samples, .. } = &deal.state else { panic!("{:?}", deal.state) };
    assert!(samples.is_empty(), "nothing is drawn where the validators have looked at all of it");
    for (segment, tile) in tiles.iter().enumerate() {
        let name = format!("accepted/out/segment-{segment}");
        assert_eq!(&std::fs::read(town.path(&name)).unwrap(), tile);
    }

    let (refused, bid) = judged("refused", REFUSES);
    assert_eq!(refused.status.code(), Some(6), "{}", String::from_utf8_lossy(&refused.stderr));
    let (deal, found) = findings(bid);
    assert_eq!(found, ["\"refuses\""]);
    assert!(matches!(deal.state, DealState::Failed { why: Failure::Refused, .. }));

    assert_eq!(in_the_clear(town, tiles), [""; 0]);
    let provider = Post::new(&town.client, &key("p2")).unwrap().keyring(deal.id).unwrap();
    for program in [ACCEPTS, REFUSES] {
        let kept = |member: &gongsuan::cluster::Member| contains(&member.home, program);
        assert!(!town.cluster.members.iter().any(kept), "no node keeps the predicate");
        assert_eq!(provider.of([Hash::of_content(program)]).count(), 0, "nor is its provider told");
    }
}

#[test]
fn a_private_job_outlives_its_provider_and_is_judged_by_its_predicate() {
    let rules = Rules {
        challenge_window: DurationMs(300),
        audit_window: DurationMs(60_000),
        dispute_window: DurationMs(60_000),
        ..Rules::default()
    };
    let mut town = Town::new(rules);
    town.settle(&["renter", "gone", "p2"], &[]);
    let tiles = tiles();
    town.provider("p2", &["--price", "0.15"]);
    goes_on_with_the_next(&mut town, &tiles);
    is_judged_by_its_predicate(&town, &tiles);
}
