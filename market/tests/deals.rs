//! Deals from end to end, one story each: who does what, and what everybody has afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/street.rs"]
mod street;

use gongsuan_market::{
    Anomaly, Cancellation, Command, DealState, Failure, MarketError, Oddness, Rules, Vote,
    anomalies, audit_seal, seal,
};
use gongsuan_types::court::Finding;
use gongsuan_types::job::{Check, Pace, Predicate};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{Amount, DealId, DurationMs, Fuel, Hash, Price, Units};
use street::{AUDITOR, CHEAP, DEAL, DEAR, RENTER, Street, WATCHER, ask, right, work};

fn once() -> Street {
    let mut street = Street::new(Rules::default(), Check::Lottery, Pace::default());
    street.good(CHEAP, Command::Acknowledge(DEAL));
    street
}

#[test]
fn batches_are_paid_one_by_one_and_the_next_provider_begins_where_the_first_stopped() {
    let pace = Pace { heartbeat_within: DurationMs(20_000), batches_max: 4, attempts_max: 2 };
    let mut street = Street::new(Rules::default(), Check::Lottery, pace);
    street.good(CHEAP, Command::Acknowledge(DEAL));
    let first = work(0..4, b"right");
    street.commit(CHEAP, &first);
    street.audits(&first, |receipt| receipt);
    street.wait(40_000);
    assert!(matches!(street.state(1), DealState::Running { done: 4, .. }));
    assert_eq!((street.gain(CHEAP), street.gain(AUDITOR)), (4_000 - 80, 1_250));
    // Then nothing is heard of it: a tenth of its deposit is the renter's, and the dear one takes over the other six.
    street.wait(21_000);
    assert!(matches!(street.state(1), DealState::Matched { .. }));
    let deal = street.market.deal(DEAL).unwrap().clone();
    assert_eq!((deal.provider, deal.terms.price, deal.taken), (DEAR, Price(1_100), Units(6)));
    assert_eq!(
        (deal.batch_first(), deal.left(), deal.tried),
        (4, 6, vec![(CHEAP, Failure::Silent)])
    );
    assert_eq!(street.gain(CHEAP), 4_000 - 80 - 1_000);
    street.good(DEAR, Command::Acknowledge(DEAL));
    let rest = work(4..10, b"right");
    street.commit(DEAR, &rest);
    street.audits(&rest, |receipt| receipt);
    street.wait(40_000);
    assert!(matches!(street.state(1), DealState::Settled { .. }));
    assert_eq!(street.gain(DEAR), 6_600 - 132);
    assert_eq!(street.gain(RENTER), 1_000 - 4_000 - 6_600 - 1_250 - 1_375);
    let deal = street.market.deal(DEAL).unwrap();
    assert_eq!((deal.accepted, deal.batches.len(), deal.batches[0].provider), (10, 1, CHEAP));
}

#[test]
fn a_deal_that_nobody_takes_over_ends_with_the_renters_money_back() {
    let pace = Pace { attempts_max: 3, ..Pace::default() };
    let mut street = Street::new(Rules::default(), Check::Lottery, pace);
    street.wait(10_001);
    assert!(matches!(street.state(1), DealState::Matched { .. }), "the dear one has it now");
    street.wait(10_001);
    assert!(matches!(street.state(1), DealState::Rematch { .. }), "both have been tried");
    // An ask that comes in too dear does not help, nor one of those that failed.
    street.good(WATCHER, ask(1_201, 10));
    street.good(CHEAP, ask(500, 10));
    assert!(matches!(street.state(1), DealState::Rematch { .. }));
    street.wait(600_000);
    assert!(matches!(street.state(1), DealState::Failed { why: Failure::NoAck, .. }));
    assert_eq!(street.gain(RENTER), 500 + 550);
    let mut street = Street::new(Rules::default(), Check::Lottery, pace);
    street.wait(10_001);
    street.wait(10_001);
    street.good(WATCHER, ask(1_200, 10));
    assert_eq!(street.market.deal(DEAL).unwrap().provider, WATCHER, "one that comes in does");
}

#[test]
fn what_was_done_before_an_early_stop_is_paid_and_no_more() {
    let mut street = once();
    street.good(RENTER, Command::Stop(DEAL));
    assert!(street.send(RENTER, Command::Stop(DEAL)).is_err(), "once");
    let done = work(0..3, b"right");
    street.commit(CHEAP, &done);
    street.audits(&done, |receipt| receipt);
    street.wait(40_000);
    assert!(matches!(street.state(1), DealState::Settled { .. }));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (2_940, -3_000 - 1_250));
    // Who has nothing to show is paid nothing, and loses nothing.
    let mut street = once();
    street.good(RENTER, Command::Stop(DEAL));
    street.wait(30_000);
    assert_eq!(*street.state(1), DealState::Cancelled { why: Cancellation::Stopped });
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (0, 0));
}

#[test]
fn a_cheating_provider_loses_its_deposit_and_the_renter_is_made_whole() {
    let mut street = once();
    let fake = work(0..10, b"fake");
    street.commit(CHEAP, &fake);
    street.challenge(WATCHER, &fake, 7, right(7));
    street.judge(Finding::Produced(right(7)));
    assert!(
        matches!(street.state(1), DealState::Failed { why: Failure::Fraud, fine } if fine.micro() == 2_000)
    );
    assert_eq!(street.gain(CHEAP), -10_000);
    assert_eq!((street.gain(WATCHER), street.gain(RENTER)), (5_000, 2_000));
}

#[test]
fn a_cheating_challenger_loses_its_stake_to_whom_it_delayed() {
    let mut street = once();
    let list = work(0..10, b"right");
    street.commit(CHEAP, &list);
    street.challenge(WATCHER, &list, 7, Receipt { fuel: Fuel(1), ..right(7) });
    street.judge(Finding::Produced(right(7)));
    assert!(matches!(street.state(1), DealState::Drawn { .. }));
    assert_eq!((street.gain(WATCHER), street.gain(CHEAP)), (-10_000, 7_000));
    // And one that knows that something is wrong, but not what is right, gets its stake back and nothing more.
    let mut street = once();
    let fake = work(0..10, b"fake");
    street.commit(CHEAP, &fake);
    street.challenge(WATCHER, &fake, 7, Receipt { fuel: Fuel(1), ..right(7) });
    street.judge(Finding::Produced(right(7)));
    assert_eq!(
        (street.gain(WATCHER), street.gain(CHEAP), street.gain(RENTER)),
        (0, -10_000, 2_000)
    );
}

#[test]
fn a_cheating_auditor_loses_its_pledge_when_its_word_is_proved_wrong_or_missing() {
    let mut street = once();
    let fake = work(0..10, b"fake");
    street.commit(CHEAP, &fake);
    let DealState::Drawn { samples, .. } = street.state(1).clone() else { panic!("drawn") };
    street.audits(&fake, |receipt| receipt);
    let at = samples[0].segment;
    street.challenge(WATCHER, &fake, at as usize, right(at));
    street.judge(Finding::Produced(right(at)));
    assert_eq!(street.gain(AUDITOR), 1_250 - 4_000);
    let mut street = once();
    street.commit(CHEAP, &work(0..10, b"right"));
    street.wait(120_000);
    assert!(matches!(street.state(1), DealState::Settled { .. }), "silence accepts");
    assert_eq!(street.gain(AUDITOR), -200);
    // A pledge goes back when nothing that was said can be disputed any more, and until then nothing is drawn for it.
    street.good(AUDITOR, Command::Unpledge);
    assert!(street.send(AUDITOR, Command::Unpledge).is_err());
    street.wait(86_400_000);
    assert_eq!(street.market.pledge_of(&AUDITOR).amount, Amount::ZERO);
}

#[test]
fn a_renter_that_does_not_serve_the_input_loses_its_bond_and_one_that_does_is_paid_for_the_delay() {
    let rules = || Rules { claim_stake_micro: 0, ..Rules::default() };
    let mut street = Street::new(rules(), Check::Lottery, Pace::default());
    street.good(CHEAP, Command::AskInput(DEAL));
    street.judge(Finding::Unavailable);
    assert_eq!(*street.state(1), DealState::Cancelled { why: Cancellation::NoInput });
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (500, -500));
    let mut street = Street::new(rules(), Check::Lottery, Pace::default());
    street.good(CHEAP, Command::AskInput(DEAL));
    street.judge(Finding::Available);
    assert!(matches!(street.state(1), DealState::Matched { .. }));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (-1_000, 700));
}

#[test]
fn receipts_that_are_not_shown_in_time_are_fraud() {
    for shows in [true, false] {
        let mut street = once();
        let list = work(0..10, b"right");
        street.commit(CHEAP, &list);
        assert!(street.send(WATCHER, Command::Demand { deal: DEAL, segment: 10 }).is_err());
        street.good(WATCHER, Command::Demand { deal: DEAL, segment: 4 });
        let serve = |at: usize| {
            let proof = ReceiptProof::new(&list, at).unwrap();
            Command::Serve { deal: DEAL, receipt: list[at], proof }
        };
        assert_eq!(street.send(CHEAP, serve(5)), Err(MarketError::BadProof));
        if shows {
            street.good(CHEAP, serve(4));
            assert_eq!((street.gain(CHEAP), street.gain(WATCHER)), (1_000, -1_000));
            continue;
        }
        street.wait(60_000);
        assert!(matches!(street.state(1), DealState::Failed { why: Failure::Withheld, .. }));
        assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (-10_000, 7_000));
    }
    for (finding, provider, watcher) in
        [(Finding::Available, 7_000, -10_000), (Finding::Unavailable, -10_000, 0)]
    {
        let mut street = once();
        let list = work(0..10, b"right");
        street.commit(CHEAP, &list);
        let (committed, proof) = (list[4], ReceiptProof::new(&list, 4).unwrap());
        street.good(WATCHER, Command::DemandOutput { deal: DEAL, committed, proof });
        street.judge(finding);
        assert_eq!((street.gain(CHEAP), street.gain(WATCHER)), (provider, watcher));
    }
}

/// A quorum of two that both got as far as sealing; answers their results.
fn sealed(second: &[u8]) -> (Street, [Vec<Receipt>; 2]) {
    let check = Check::Quorum { copies: 2 };
    let mut street = Street::new(Rules::default(), check, Pace::default());
    let lists = [work(0..10, b"right"), work(0..10, second)];
    for (who, deal, list) in [(CHEAP, 1, &lists[0]), (DEAR, 2, &lists[1])] {
        let deal = DealId(deal);
        assert_eq!(street.market.deal(deal).unwrap().provider, who, "no two of one owner");
        street.good(who, Command::Acknowledge(deal));
        let commitment = Commitment::new(list).unwrap();
        let plain = Command::Commit { deal, commitment, receipts: Hash::ZERO };
        assert!(street.send(who, plain).is_err(), "copies seal before they show");
        let (salt, receipts) = (Hash([3; 32]), Hash::ZERO);
        let show = Command::Unseal { deal, commitment, receipts, salt };
        let sealed = seal(who, &commitment, salt);
        street.good(who, Command::Seal { deal, seal: sealed });
        if deal == DEAL {
            assert!(street.send(who, show).is_err(), "the other has not sealed");
        }
    }
    for (who, deal, list) in [(CHEAP, 1, &lists[0]), (DEAR, 2, &lists[1])] {
        let commitment = Commitment::new(list).unwrap();
        let (deal, receipts) = (DealId(deal), Hash::ZERO);
        let other = Command::Unseal { deal, commitment, receipts, salt: Hash::ZERO };
        assert!(street.send(who, other).is_err(), "another salt");
        let salt = Hash([3; 32]);
        street.good(who, Command::Unseal { deal, commitment, receipts, salt });
    }
    street.wait(1);
    (street, lists)
}

#[test]
fn a_quorum_that_agrees_is_paid_at_once_and_one_that_does_not_is_judged() {
    let (street, _) = sealed(b"right");
    assert!(matches!(street.state(1), DealState::Settled { .. }));
    assert!(matches!(street.state(2), DealState::Settled { .. }));
    assert_eq!((street.gain(CHEAP), street.gain(DEAR)), (9_800, 10_780));
    let (mut street, lists) = sealed(b"fake");
    assert!(matches!(street.state(1), DealState::Committed { .. }));
    street.wait(200_000);
    assert!(matches!(street.state(2), DealState::Drawn { .. }));
    // The honest copy has every reason to say so.
    let (committed, proof) = (lists[1][0], ReceiptProof::new(&lists[1], 0).unwrap());
    let deal = DealId(2);
    street.good(CHEAP, Command::Challenge { deal, committed, proof, found: right(0) });
    let case = street.market.deal(deal).unwrap().case().unwrap().id;
    let votes = [0, 1, 2].map(|seat| Vote { seat, finding: Finding::Produced(right(0)) });
    assert!(street.block(1, |market| market.judge(case, &votes, 3).ok()));
    assert_eq!((street.gain(DEAR), street.gain(CHEAP)), (-11_000, 5_500));
}

#[test]
fn a_predicate_settles_at_once_and_without_a_verdict_the_lottery_does() {
    let check = Check::Predicate(Predicate { module: Hash::ZERO, fuel: Fuel(1_000) });
    let commit = || {
        let mut street = Street::new(Rules::default(), check, Pace::default());
        street.good(CHEAP, Command::Acknowledge(DEAL));
        let commitment = Commitment::new(&work(0..10, b"right")).unwrap();
        street.good(CHEAP, Command::Commit { deal: DEAL, commitment, receipts: Hash::ZERO });
        street
    };
    let mut street = commit();
    street.judge(Finding::Accepts);
    assert!(matches!(street.state(1), DealState::Settled { .. }));
    assert_eq!(street.gain(CHEAP), 9_800);
    let mut street = commit();
    street.judge(Finding::Refuses);
    assert!(matches!(street.state(1), DealState::Failed { why: Failure::Refused, .. }));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (0, 0));
    let mut street = commit();
    street.wait(300_000);
    street.wait(20_000);
    assert!(matches!(street.state(1), DealState::Drawn { .. }));
}

#[test]
fn a_sealed_audit_cannot_copy_what_was_committed() {
    let rules = Rules { seal_window: DurationMs(30_000), ..Rules::default() };
    let mut street = Street::new(rules, Check::Lottery, Pace::default());
    street.good(CHEAP, Command::Acknowledge(DEAL));
    let fake = work(0..10, b"fake");
    street.commit(CHEAP, &fake);
    let DealState::Drawn { samples, .. } = street.state(1).clone() else { panic!("drawn") };
    let at = samples[0].segment;
    let (committed, proof) = (fake[at as usize], ReceiptProof::new(&fake, at as usize).unwrap());
    let audit = |found| {
        let proof = proof.clone();
        Command::Audit { deal: DEAL, sample: 0, committed, proof, found }
    };
    assert!(street.send(AUDITOR, audit(committed)).is_err(), "nothing is sealed");
    let sealed = audit_seal(AUDITOR, DEAL, 0, &right(at));
    street.good(AUDITOR, Command::SealAudit { deal: DEAL, sample: 0, seal: sealed });
    assert!(street.send(AUDITOR, audit(committed)).is_err(), "it has said something else");
    street.good(AUDITOR, audit(right(at)));
    assert!(matches!(street.state(1), DealState::Disputed { .. }));
}

#[test]
fn what_an_auditor_has_to_find_out_cannot_be_asked_of_the_provider_nor_sealed_late() {
    let rules = Rules { seal_window: DurationMs(30_000), ..Rules::default() };
    let mut street = Street::new(rules, Check::Lottery, Pace::default());
    street.good(CHEAP, Command::Acknowledge(DEAL));
    let fake = work(0..10, b"fake");
    street.commit(CHEAP, &fake);
    let DealState::Drawn { samples, .. } = street.state(1).clone() else { panic!("drawn") };
    let drawn = samples[0].segment;
    let demand = |segment| Command::Demand { deal: DEAL, segment };
    assert!(street.send(AUDITOR, demand(drawn)).is_err(), "it would be shown what it has to find");
    let other = (0..10).find(|segment| samples.iter().all(|one| one.segment != *segment));
    street.good(WATCHER, demand(other.unwrap()));
    let (receipt, proof) = {
        let at = other.unwrap() as usize;
        (fake[at], ReceiptProof::new(&fake, at).unwrap())
    };
    street.good(CHEAP, Command::Serve { deal: DEAL, receipt, proof });
    street.wait(30_000);
    let copied = audit_seal(AUDITOR, DEAL, 0, &fake[drawn as usize]);
    let seal = Command::SealAudit { deal: DEAL, sample: 0, seal: copied };
    assert!(street.send(AUDITOR, seal).is_err(), "by now others have shown what they have");
    street.good(WATCHER, demand(drawn));
}

#[test]
fn copies_of_a_quorum_wait_for_one_that_asked_for_its_input() {
    let check = Check::Quorum { copies: 2 };
    let mut street = Street::new(Rules::default(), check, Pace::default());
    let list = work(0..10, b"right");
    let commitment = Commitment::new(&list).unwrap();
    let (salt, receipts) = (Hash([3; 32]), Hash::ZERO);
    let seal = |who, deal| Command::Seal { deal, seal: seal(who, &commitment, salt) };
    let show = |deal| Command::Unseal { deal, commitment, receipts, salt };
    let (one, two) = (DealId(1), DealId(2));
    street.good(CHEAP, Command::Acknowledge(one));
    assert!(
        street.send(RENTER, Command::Stop(one)).is_err(),
        "what is sealed is shown by all or none"
    );
    street.good(DEAR, Command::AskInput(two));
    street.good(CHEAP, seal(CHEAP, one));
    // The input turns out to be there when every clock of the first one would have run out, and the second one takes all the time it has.
    street.wait(250_000);
    let case = street.market.deal(two).unwrap().case().unwrap().id;
    let votes = [0, 1, 2].map(|seat| Vote { seat, finding: Finding::Available });
    assert!(street.block(1, |market| market.judge(case, &votes, 3).ok()));
    street.good(DEAR, Command::Acknowledge(two));
    let run = street.market.deal(two).unwrap().terms.run_within.0;
    street.wait(run - 10);
    assert!(street.send(CHEAP, show(one)).is_err(), "the other is at work");
    street.good(DEAR, seal(DEAR, two));
    street.good(CHEAP, show(one));
    street.good(DEAR, show(two));
    street.wait(1);
    assert!(matches!(street.state(1), DealState::Settled { .. }), "{:?}", street.state(1));
    assert!(matches!(street.state(2), DealState::Settled { .. }));
}

#[test]
fn a_case_does_not_lapse_because_others_crowd_the_court_but_does_if_nobody_judges() {
    let (mut street, lists) = sealed(b"fake");
    street.wait(200_000);
    let challenge = |deal: u64, list: &[Receipt]| {
        let (committed, proof) = (list[0], ReceiptProof::new(list, 0).unwrap());
        let found = Receipt { output: Hash::ZERO, ..committed };
        Command::Challenge { deal: DealId(deal), committed, proof, found }
    };
    street.good(WATCHER, challenge(1, &lists[0]));
    street.good(CHEAP, challenge(2, &lists[1]));
    let window = Rules::default().dispute_window.0;
    let mut alone = street;
    for _ in 1..4 {
        alone.wait(window);
        assert!(matches!(alone.state(1), DealState::Disputed { .. }));
        assert!(matches!(alone.state(2), DealState::Disputed { .. }));
    }
    alone.judge(Finding::Produced(lists[0][0]));
    assert!(!matches!(alone.state(1), DealState::Disputed { .. }), "late, but judged");
    alone.wait(window);
    let state = alone.state(2);
    assert!(matches!(state, DealState::Failed { why: Failure::Disputed, .. }), "{state:?}");
}

#[test]
fn a_renter_that_looks_itself_pays_nobody_for_it() {
    let mut street = Street::new(Rules::default(), Check::Own, Pace::default());
    street.good(CHEAP, Command::Acknowledge(DEAL));
    let list = work(0..10, b"right");
    street.commit(CHEAP, &list);
    street.audits(&list, |receipt| receipt);
    street.wait(40_000);
    assert_eq!((street.gain(RENTER), street.gain(CHEAP)), (-10_000, 9_800));
}

#[test]
fn each_side_of_a_settled_deal_rates_the_other_once() {
    let mut street = once();
    let rate = |stars, comment: &str| Command::Rate { deal: DEAL, stars, comment: comment.into() };
    assert!(street.send(RENTER, rate(5, "")).is_err(), "not settled");
    let list = work(0..10, b"right");
    street.commit(CHEAP, &list);
    street.audits(&list, |receipt| receipt);
    street.wait(40_000);
    for (who, command) in [
        (RENTER, rate(0, "")),
        (RENTER, rate(6, "")),
        (RENTER, rate(1, &"x".repeat(281))),
        (WATCHER, rate(5, "my friend")),
    ] {
        assert!(street.send(who, command).is_err());
    }
    street.good(RENTER, rate(5, "quick"));
    street.good(CHEAP, rate(4, "clear orders"));
    assert!(street.send(RENTER, rate(1, "I changed my mind")).is_err());
    let deal = street.market.deal(DEAL).unwrap();
    let (of_provider, of_renter) = (deal.of_provider.clone(), deal.of_renter.clone());
    assert_eq!((of_provider.unwrap().stars, of_renter.unwrap().stars), (5, 4));
}

#[test]
fn what_looks_odd_is_named_and_what_does_not_is_not() {
    let mut street = once();
    street.commit(CHEAP, &work(0..10, b"right"));
    let usual = street.market.deal(DEAL).unwrap().clone();
    let account = |n: u8| gongsuan_types::Address([n; 32]);
    let deal = |id: u64, renter: u8, provider: u8| gongsuan_market::Deal {
        id: DealId(id),
        renter: account(renter),
        provider: account(provider),
        ..usual.clone()
    };
    // Two providers that serve five renters each; nothing is odd.
    let mut deals: Vec<_> = (0..10u8).map(|n| deal(u64::from(n), n / 2, 100 + n % 2)).collect();
    assert_eq!(anomalies(&deals, Oddness::default()), []);
    deals[3].terms.price = Price(4_000);
    deals[4].terms.price = Price(250);
    deals.extend((0..5).map(|n| deal(20 + n, 50, 150)));
    for late in &mut deals[..2] {
        late.tried = vec![(account(77), Failure::Late)];
    }
    for silent in &mut deals[2..5] {
        silent.tried = vec![(account(77), Failure::Silent)];
    }
    deals[9].tried = vec![(account(78), Failure::Fraud)];
    let (late, silent) = (account(77), account(77));
    let expected = [
        Anomaly::SelfDealing { renter: account(50), provider: account(150), deals: 5 },
        Anomaly::PriceOutlier { deal: DealId(3), price: Price(4_000), median: Price(1_000) },
        Anomaly::PriceOutlier { deal: DealId(4), price: Price(250), median: Price(1_000) },
        Anomaly::Late { provider: late, failed: 2, deals: 5 },
        Anomaly::HeartbeatGaps { provider: silent, failed: 3, deals: 5 },
        Anomaly::Fraud { provider: account(78), deal: DealId(9) },
    ];
    assert_eq!(anomalies(&deals, Oddness::default()), expected);
}
