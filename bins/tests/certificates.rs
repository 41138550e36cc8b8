//! Certificates of capacity on a network of real processes: a genesis that requires them, agents that get and renew one, a listing above one, and a
//! machine that makes its answers up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "common/town.rs"]
mod town;

use gongsuan::client::{Client, ClientError, Page};
use gongsuan_ledger::Op;
use gongsuan_market::{CapacityRules, Command, Deal, DealState, Failure, Rules};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::job::MapInput;
use gongsuan_types::order::Side;
use gongsuan_types::receipt::{Commitment, Receipt, Status};
use gongsuan_types::{Address, Amount, DurationMs, Fuel, Hash, OrderId, codec};
use serde_json::Value;
use town::{Town, address, json, key};

/// Small probes, checked at once, and asked for again all the time.
fn rules() -> Rules {
    Rules {
        challenge_window: DurationMs(500),
        reveal_window: DurationMs(500),
        dispute_window: DurationMs(60_000),
        capacity: CapacityRules {
            steps: 1_000,
            redraw_every: DurationMs(15_000),
            ..gongsuan::capacity::rules(true)
        },
        ..Rules::default()
    }
}

fn probes(client: &Client, of: Address) -> Result<Vec<Deal>, ClientError> {
    let page = Page { account: Some(of), limit: Some(1_000), ..Page::default() };
    let mut deals = client.deals(&page)?.deals;
    deals.retain(|deal| deal.is_probe() && deal.provider == of);
    Ok(deals)
}

fn settled(deals: &[Deal]) -> usize {
    deals.iter().filter(|deal| matches!(deal.state, DealState::Settled { .. })).count()
}

fn live_asks(client: &Client, of: Address) -> Result<Vec<OrderId>, ClientError> {
    let page = Page { account: Some(of), open: true, side: Some(Side::Ask), ..Page::default() };
    Ok(client.orders(&page)?.orders.into_iter().map(|ask| ask.id).collect())
}

/// What a refused listing says.
fn refused(town: &Town, name: &str) -> Value {
    let said = json(&town.run(name, &["provider", "join", "--json", "--memory-mib", "64"]), 4);
    assert!(said["help"].as_str().unwrap().contains("provider run"), "{said}");
    said["refusal"].clone()
}

#[test]
fn agents_are_certified_before_they_list_and_again_when_they_are_drawn() {
    let mut town = Town::new(rules());
    let people = ["p1", "p2"];
    town.settle(&["p1", "p2", "newcomer", "payer"], &people);
    // Each audits what the other answers, so both must be there.
    for name in people {
        town.spawn(name, &["provider", "run", "--workers", "1", "--memory-mib", "64"]);
    }
    for name in people {
        town.wait("a listing", |client| {
            Ok((!live_asks(client, address(name))?.is_empty()).then_some(()))
        });
    }
    let p1 = address("p1");
    assert!(settled(&probes(&town.client, p1).unwrap()) >= 1, "listed without a certificate");

    // Nothing shown, nothing listed; and no more than was shown.
    let none = refused(&town, "newcomer");
    assert!(none["field"].as_str().unwrap().ends_with("machine.cpu_cores"), "{none}");
    assert!(none["limit"].as_str().unwrap().contains("the account has none"), "{none}");
    let more = refused(&town, "p1");
    let limit = more["limit"].as_str().unwrap();
    assert!(limit.starts_with("at most 0: the certificate shows"), "{more}");
    assert_eq!(live_asks(&town.client, address("newcomer")).unwrap(), []);

    // Blocks draw who is asked again, so there must be some; the agent answers by itself, and what it lists stays.
    let before = live_asks(&town.client, p1).unwrap();
    let (payer, one) = (key("payer"), Amount::new(1));
    town.wait("another probe", |client| {
        client.execute(&payer, &[Op::Transfer { to: p1, amount: one }])?;
        Ok((settled(&probes(client, p1)?) >= 2).then_some(()))
    });
    assert_eq!(live_asks(&town.client, p1).unwrap(), before);
}

#[test]
fn a_machine_that_makes_its_answers_up_is_refuted_and_loses_its_stake() {
    let mut town = Town::new(rules());
    town.settle(&["auditor", "liar"], &["auditor"]);
    // Nobody may look at the auditor's own answers; it is there for those of others.
    town.spawn("auditor", &["provider", "run", "--workers", "1", "--memory-mib", "64"]);
    let (liar, me) = (key("liar"), address("liar"));
    let lanes = 2;
    let claim = Command::ProveCapacity(Capacity { lanes, mebibytes: 1 });
    town.client.execute(&liar, &[Op::Market(claim)]).unwrap();
    let deal = town.wait("the probe", |client| {
        let running = |deal: &Deal| matches!(deal.state, DealState::Running { .. });
        Ok(probes(client, me)?.into_iter().find(running))
    });
    let stake = deal.deposit;
    assert_eq!(stake.micro(), u128::from(rules().capacity.stake_micro) * u128::from(lanes));

    // It has read the right input, and says that it has run it.
    let order = town.client.order(deal.bid).unwrap();
    let spec = &order.bid().unwrap().work.job().unwrap().spec;
    let gongsuan_types::job::Shape::Map { input: MapInput::Shared(input), .. } = spec.shape else {
        panic!("{spec:?}")
    };
    let output = town.client.put_blob(b"as if").unwrap();
    let make_up = |segment| Receipt {
        segment,
        input,
        output,
        output_bytes: 5,
        fuel: Fuel(spec.limits.fuel.0 / 2),
        status: Status::Ok,
    };
    let receipts: Vec<Receipt> = (0..u32::from(lanes)).map(make_up).collect();
    let receipts_blob: Hash = town.client.put_blob(&codec::encode(&receipts)).unwrap();
    let commitment = Commitment::new(&receipts).unwrap();
    let commit = Command::Commit { deal: deal.id, commitment, receipts: receipts_blob };
    town.client.execute(&liar, &[Op::Market(commit)]).unwrap();
    let over = town.wait("the end", |client| Ok(Some(client.deal(deal.id)?).filter(Deal::is_over)));
    let DealState::Failed { why: Failure::Fraud, .. } = over.state else {
        panic!("{:?}", over.state)
    };

    // Half of its stake is the auditor's who showed it, the rest the treasury's; and it has no certificate to list by.
    let mut slashed = std::collections::BTreeMap::new();
    for row in town.client.trail(deal.id).unwrap().events {
        let Some(slash) = row.event.pointer("/money/slash") else { continue };
        let amount: Amount = serde_json::from_value(slash["amount"].clone()).unwrap();
        let to: Address = serde_json::from_value(slash["to"].clone()).unwrap();
        *slashed.entry(to).or_insert(0) += amount.micro();
    }
    assert_eq!(slashed.get(&address("auditor")), Some(&(stake.micro() / 2)), "{slashed:?}");
    assert_eq!(slashed.values().sum::<u128>(), stake.micro());
    assert!(refused(&town, "liar")["limit"].as_str().unwrap().contains("the account has none"));
    // What it had set aside for the audits of later probes came back with the certificate's end.
    let account = town.client.account(me).unwrap();
    assert!(account.held.is_zero(), "{}", account.held);
    assert!(town.client.supply().unwrap().equal);
}
