//! The market under random streams of commands, with a tiny ledger that carries out what it says.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test picks what it needs and panics when it cannot go on"
)]

mod support;

use std::collections::BTreeMap;

use gongsuan_market::{
    Command, DealState, Event, Failure, HoldId, Market, MarketError, Moment, OrderState, Outcome,
    Rules, Settlement,
};
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{
    Ask, Bid, Capabilities, Class, FillRule, Machine, Party, Region, RegionSet, Requirements,
    SelfMatch, Work,
};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{
    Address, Amount, DealId, DurationMs, Fuel, Hash, Height, OrderId, Price, TimeMs, Units,
};
use proptest::prelude::*;
use support::cases;

const START: u128 = 1_000_000_000;

fn who(n: u8) -> Address {
    Address([n + 1; 32])
}

fn secrets() -> &'static Secrets {
    static SECRETS: std::sync::OnceLock<Secrets> = std::sync::OnceLock::new();
    SECRETS.get_or_init(|| Secrets::new(Hash::of_content(b"secret")))
}

/// The renter's first secret of the first deal.
fn reveal(deal: DealId) -> Command {
    let (secret, path) = secrets().first(0).unwrap();
    Command::Reveal { deal, secret, path: Some(path) }
}

fn ask(price: u64, units: u64, fill_min: u64, region: u8) -> Ask {
    Ask {
        class: Class::WASM,
        price: Price(price),
        units: Units(units),
        fill_min: Units(fill_min),
        machine: Machine {
            cpu_cores: 4,
            memory_mib: 1024,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 60,
            region: Region(region),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(1_000_000),
    }
}

fn bid(price_max: u64, segments: u32, fill_rule: FillRule) -> Bid {
    let spec = support::spec::job(segments, 2);
    Bid {
        class: Class::WASM,
        price_max: Price(price_max),
        units: Units(2 * u64::from(segments)),
        lot: Units(2),
        fill_min: Units(2),
        deals_max: 4,
        requirements: Requirements::ANY,
        fill_rule,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(1_000_000),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(100),
            run_within: DurationMs(1_000),
            samples: 2,
            deposit_basis_points: 10_000,
            secret_hash: secrets().root(),
            check: Check::default(),
            pace: Pace::default(),
        })),
    }
}

/// A market with its money, block by block.
struct Bench {
    market: Market,
    free: BTreeMap<Address, u128>,
    holds: BTreeMap<HoldId, (Address, u128)>,
    height: u64,
    time: u64,
    auditors: Vec<Address>,
}

impl Bench {
    fn new() -> Self {
        let free = (0..6).map(|n| (who(n), START)).chain([(Address::TREASURY, 0)]).collect();
        Self {
            market: Market::new(Rules::default()),
            free,
            holds: BTreeMap::new(),
            height: 0,
            time: 1_000,
            auditors: vec![who(4), who(5)],
        }
    }

    fn carry_out(&mut self, outcome: &Outcome) {
        for settlement in &outcome.settlements {
            match *settlement {
                Settlement::Hold { hold, owner, amount } => {
                    *self.free.get_mut(&owner).unwrap() -= amount.micro();
                    self.holds.entry(hold).or_insert((owner, 0)).1 += amount.micro();
                }
                Settlement::Move { source, target, amount } => {
                    let owner = self.take(source, amount);
                    self.holds.entry(target).or_insert((owner, 0)).1 += amount.micro();
                }
                Settlement::Post { hold, to, amount, .. }
                | Settlement::Slash { hold, to, amount, .. } => {
                    self.take(hold, amount);
                    *self.free.get_mut(&to).unwrap() += amount.micro();
                }
                Settlement::Void { hold, amount } => {
                    let owner = self.take(hold, amount);
                    *self.free.get_mut(&owner).unwrap() += amount.micro();
                }
            }
        }
    }

    fn take(&mut self, hold: HoldId, amount: Amount) -> Address {
        let there = self.holds.get_mut(&hold).expect("a hold that exists");
        there.1 = there.1.checked_sub(amount.micro()).expect("no more than there is");
        let owner = there.0;
        if there.1 == 0 {
            self.holds.remove(&hold);
        }
        owner
    }

    /// One block; answers the events of it and the verdict on each command.
    fn block(
        &mut self,
        after_ms: u64,
        commands: Vec<(u8, Command)>,
    ) -> (Vec<Event>, Vec<Result<(), MarketError>>) {
        self.height += 1;
        self.time += after_ms.max(1);
        let moment = Moment {
            height: Height(self.height),
            time: TimeMs(self.time),
            block: Hash::of_content(&self.height.to_le_bytes()),
        };
        let mut events = Vec::new();
        let outcome = self.market.begin_block(moment, &self.auditors.clone());
        self.carry_out(&outcome);
        events.extend(outcome.events);
        let mut verdicts = Vec::new();
        for (n, command) in commands {
            let party = Party { address: who(n), attested: Capabilities::VETTED };
            let before = self.market.clone();
            self.market.begin_tx();
            match self.market.submit(party, command) {
                Ok(outcome) => {
                    self.market.commit_tx();
                    self.carry_out(&outcome);
                    events.extend(outcome.events);
                    verdicts.push(Ok(()));
                }
                Err(error) => {
                    self.market.abort_tx();
                    assert_eq!(self.market, before, "a refused command changes nothing");
                    verdicts.push(Err(error));
                }
            }
        }
        let outcome = self.market.end_block();
        self.carry_out(&outcome);
        events.extend(outcome.events);
        self.check();
        (events, verdicts)
    }

    fn check(&self) {
        let there: BTreeMap<HoldId, Amount> =
            self.holds.iter().map(|(id, (_, amount))| (*id, Amount::new(*amount))).collect();
        assert_eq!(there, self.market.expected_holds());
        let held: u128 = self.holds.values().map(|(_, amount)| amount).sum();
        assert_eq!(self.free.values().sum::<u128>() + held, 6 * START);
    }

    fn one(&mut self, n: u8, command: Command) -> Result<(), MarketError> {
        self.block(1, vec![(n, command)]).1.remove(0)
    }

    /// A deal of provider 0 and renter 1 over `segments`, running.
    fn running(&mut self, segments: u32) -> DealId {
        self.one(0, Command::PlaceAsk(ask(100, 100, 1, 0))).unwrap();
        self.one(1, Command::PlaceBid(Box::new(bid(150, segments, FillRule::Rest)))).unwrap();
        self.one(0, Command::Acknowledge(DealId(1))).unwrap();
        DealId(1)
    }

    fn state(&self, deal: DealId) -> &DealState {
        &self.market.deal(deal).unwrap().state
    }
}

fn receipts(count: u32) -> Vec<Receipt> {
    (0..count)
        .map(|segment| Receipt {
            segment,
            input: Hash::ZERO,
            output: Hash::of_content(&segment.to_le_bytes()),
            output_bytes: 4,
            fuel: Fuel(1_000_000_000),
            status: Status::Ok,
        })
        .collect()
}

fn committed(bench: &mut Bench, segments: u32) -> (DealId, Vec<Receipt>) {
    let deal = bench.running(segments);
    let list = receipts(segments);
    let commitment = Commitment::new(&list).unwrap();
    bench.one(0, Command::Commit { deal, commitment, receipts: Hash::ZERO }).unwrap();
    bench.one(1, reveal(deal)).unwrap();
    bench.block(1, vec![]);
    (deal, list)
}

#[test]
fn proved_work_is_paid_and_the_rest_goes_back() {
    let mut bench = Bench::new();
    let (deal, list) = committed(&mut bench, 4);
    let DealState::Drawn { samples, .. } = bench.state(deal).clone() else { panic!("not drawn") };
    assert_eq!(samples.len(), 2);
    assert_ne!(samples[0].segment, samples[1].segment);
    for (index, sample) in (0u16..).zip(&samples) {
        let auditor = (0..6).find(|n| Some(who(*n)) == sample.auditor).unwrap();
        assert!(auditor >= 4, "only attested auditors are drawn");
        let committed = list[sample.segment as usize];
        let proof = ReceiptProof::new(&list, sample.segment as usize).unwrap();
        let audit =
            |found| Command::Audit { deal, sample: index, committed, proof: proof.clone(), found };
        assert!(bench.one(2, audit(committed)).is_err(), "somebody else audits");
        bench.one(auditor, audit(committed)).unwrap();
    }
    bench.block(40_000, vec![]);
    let DealState::Settled { paid, fee, audited, .. } = bench.state(deal).clone() else {
        panic!("not settled")
    };
    // Four segments of 1 Gf at 100, 2 % of it for the treasury; two audits of 1 Gf at 125.
    assert_eq!((paid.micro(), fee.micro(), audited.micro()), (392, 8, 250));
    assert_eq!(bench.free[&who(1)], START - 400 - 250);
    assert_eq!(bench.market.standing(&who(0)).settled, 1);
    assert_eq!(bench.market.reputation(&who(0)), 500, "no issuer has vetted these two");
    assert_eq!(bench.market.order(OrderId(1)).unwrap().open, Units(100), "the capacity is back");
}

#[test]
fn another_result_stops_the_payment_and_everybody_gets_their_money_back() {
    let mut bench = Bench::new();
    let (deal, list) = committed(&mut bench, 4);
    let DealState::Drawn { samples, .. } = bench.state(deal).clone() else { panic!("not drawn") };
    let at = samples[0].segment as usize;
    let auditor = (0..6).find(|n| Some(who(*n)) == samples[0].auditor).unwrap();
    let found = Receipt { output: Hash::of_content(b"other"), ..list[at] };
    let proof = ReceiptProof::new(&list, at).unwrap();
    let wrong = ReceiptProof::new(&list, (at + 1) % 4).unwrap();
    let audit = |proof| Command::Audit { deal, sample: 0, committed: list[at], proof, found };
    assert_eq!(bench.one(auditor, audit(wrong)), Err(MarketError::BadProof));
    bench.one(auditor, audit(proof)).unwrap();
    assert!(matches!(bench.state(deal), DealState::Disputed { .. }));
    bench.block(400_000, vec![]);
    assert!(matches!(bench.state(deal), DealState::Failed { why: Failure::Disputed, .. }));
    assert_eq!(bench.free[&who(1)], START);
}

#[test]
fn every_command_out_of_turn_is_refused() {
    let mut bench = Bench::new();
    let deal = bench.running(4);
    let commitment = Commitment::new(&receipts(4)).unwrap();
    let commit = |commitment| Command::Commit { deal, commitment, receipts: Hash::ZERO };
    assert!(matches!(bench.one(1, commit(commitment)), Err(MarketError::NotYours { .. })));
    let short = Commitment::new(&receipts(3)).unwrap();
    assert!(matches!(
        bench.one(0, commit(short)),
        Err(MarketError::Mismatch { field: "commitment.count", .. })
    ));
    let padded = Commitment { fuel: Fuel(u64::MAX), ..commitment };
    assert!(matches!(
        bench.one(0, commit(padded)),
        Err(MarketError::Mismatch { field: "commitment.fuel", .. })
    ));
    assert!(matches!(
        bench.one(0, Command::Acknowledge(deal)),
        Err(MarketError::WrongState { .. })
    ));
    assert!(matches!(bench.one(1, reveal(deal)), Err(MarketError::WrongState { .. })));
    assert!(bench.one(0, Command::Progress { deal, done: 5 }).is_err());
    bench.one(0, Command::Progress { deal, done: 2 }).unwrap();
    assert!(bench.one(0, Command::Progress { deal, done: 2 }).is_err(), "progress only rises");
    bench.one(0, commit(commitment)).unwrap();
    let (secret, path) = secrets().first(1).unwrap();
    for (secret, path) in
        [(Hash::ZERO, None), (Hash::ZERO, Some(path.clone())), (secret, Some(path))]
    {
        let lie = bench.one(1, Command::Reveal { deal, secret, path });
        assert!(matches!(lie, Err(MarketError::Mismatch { field: "secret", .. })), "{lie:?}");
    }
    assert!(matches!(bench.one(0, Command::Cancel(OrderId(2))), Err(MarketError::NotYours { .. })));
    assert!(matches!(bench.one(0, Command::Cancel(OrderId(9))), Err(MarketError::NoOrder(_))));
}

#[test]
fn missed_deadlines_cost_the_provider_and_the_renter_is_whole() {
    for (acknowledge, fine, why) in [(false, 5, Failure::NoAck), (true, 10, Failure::Late)] {
        let mut bench = Bench::new();
        bench.one(0, Command::PlaceAsk(ask(100, 100, 1, 0))).unwrap();
        bench.one(1, Command::PlaceBid(Box::new(bid(150, 10, FillRule::Rest)))).unwrap();
        if acknowledge {
            bench.one(0, Command::Acknowledge(DealId(1))).unwrap();
        }
        bench.block(5_000, vec![]);
        let DealState::Failed { why: got, fine: paid } = bench.state(DealId(1)) else {
            panic!("not failed")
        };
        assert_eq!((*got, paid.micro()), (why, 2_000 * fine / 100));
        assert_eq!(bench.free[&who(1)], START + 2_000 * fine / 100);
    }
}

#[test]
fn the_explanation_names_what_is_missing_and_the_price_that_matches() {
    let mut bench = Bench::new();
    bench.one(0, Command::PlaceAsk(ask(200, 100, 1, 0))).unwrap();
    bench.one(0, Command::PlaceAsk(ask(90, 100, 1, 1))).unwrap();
    let mut wish = bid(150, 4, FillRule::Rest);
    wish.requirements.regions = RegionSet(1);
    bench.one(1, Command::PlaceBid(Box::new(wish))).unwrap();
    let why = bench.market.explain(OrderId(3)).unwrap();
    assert_eq!((why.asks, why.suitable, why.price_that_matches), (2, 0, Some(Price(200))));
    let names: Vec<&str> = why.misses.iter().map(|miss| miss.constraint.as_str()).collect();
    assert_eq!(names, ["price", "region"]);
    assert_eq!((why.misses[0].asks, why.misses[0].alone), (1, 1));
    let nearest = why.nearest.unwrap();
    assert_eq!((nearest.ask, nearest.changes.len()), (OrderId(2), 1));
    assert_eq!(why.ahead, Some(0));
    assert_eq!(
        why.summary,
        "0 of 2 asks suit; 1 miss on price, 1 on it alone (the bid pays at most 0.00015, it asks 0.0002); \
         1 miss on region, 1 on it alone (it stands in region 1); \
         the nearest is ask 2 at 0.00009, 1 constraint short; at a limit of 0.0002 it would match; it is served first"
    );
    // At the price that it names, it matches.
    bench.one(1, Command::Cancel(OrderId(3))).unwrap();
    let mut wish = bid(200, 4, FillRule::Rest);
    wish.requirements.regions = RegionSet(1);
    bench.one(1, Command::PlaceBid(Box::new(wish))).unwrap();
    assert_eq!(bench.market.deal(DealId(1)).unwrap().ask, OrderId(1));
}

/// An ask that fails two constraints counts under both, and the smallest change comes from one that fails nothing else.
#[test]
fn the_explanation_counts_every_constraint_that_an_ask_fails() {
    let mut bench = Bench::new();
    let machine = |memory_mib: u32, cpu_cores: u16| {
        let mut offer = ask(100, 100, 1, 0);
        offer.machine.memory_mib = memory_mib;
        offer.machine.cpu_cores = cpu_cores;
        Command::PlaceAsk(offer)
    };
    for (memory, cores) in [(1_900, 1), (512, 8), (1_024, 8)] {
        bench.one(0, machine(memory, cores)).unwrap();
    }
    let mut wish = bid(150, 4, FillRule::Rest);
    wish.requirements.memory_mib_min = 2_048;
    wish.requirements.cpu_cores_min = 4;
    bench.one(1, Command::PlaceBid(Box::new(wish))).unwrap();
    let why = bench.market.explain(OrderId(4)).unwrap();
    let counts: Vec<_> =
        why.misses.iter().map(|miss| (miss.constraint.as_str(), miss.asks, miss.alone)).collect();
    assert_eq!(counts, [("cpu-cores", 1, 0), ("memory", 3, 2)]);
    assert_eq!(why.misses[1].change, "the nearest has 1024 MiB, the bid needs 2048 MiB");
}

/// A bid that may visit few nodes goes on in the next block where it stopped, and a better ask that comes meanwhile is taken first.
#[test]
fn a_deferred_bid_goes_on_and_misses_no_better_ask() {
    for better_comes in [false, true] {
        let rules = Rules { visits_max: 64, orders_per_account_max: 10_000, ..Rules::default() };
        let mut bench = Bench { market: Market::new(rules), ..Bench::new() };
        // Memory and disk are never there together, but every node has both somewhere below it.
        let offers = (0..3_000u64).map(|n| {
            let mut offer = ask(100 + n / 100, 1, 1, 0);
            (offer.machine.disk_mib, offer.machine.memory_mib) =
                if n % 2 == 0 { (9_000, 1) } else { (1, 9_000) };
            (u8::try_from(n % 2).unwrap(), Command::PlaceAsk(offer))
        });
        let offers: Vec<_> = offers.collect();
        bench.block(1, offers);
        let both = |price| {
            let mut offer = ask(price, 100, 1, 0);
            (offer.machine.disk_mib, offer.machine.memory_mib) = (9_000, 9_000);
            Command::PlaceAsk(offer)
        };
        bench.one(2, both(400)).unwrap();
        let mut wish = bid(500, 4, FillRule::Rest);
        wish.requirements.disk_mib_min = 5_000;
        wish.requirements.memory_mib_min = 5_000;
        let (mut events, _) = bench.block(1, vec![(3, Command::PlaceBid(Box::new(wish)))]);
        let mut blocks = 0;
        let ask = loop {
            let filled = events.iter().find_map(|event| match event {
                Event::Filled { ask, .. } => Some(*ask),
                _ => None,
            });
            if let Some(ask) = filled {
                break ask;
            }
            blocks += 1;
            assert!(blocks < 100, "the search gets further in every block");
            assert!(bench.market.wants_block());
            assert!(matches!(events[..], [.., Event::Deferred { .. }]));
            let bytes = gongsuan_types::codec::encode(&bench.market);
            bench.market = gongsuan_types::codec::decode("market", usize::MAX, &bytes).unwrap();
            let comes = (better_comes && blocks == 2).then(|| (2, both(90)));
            events = bench.block(1, comes.into_iter().collect()).0;
        };
        assert!(blocks >= 2, "the search was deferred");
        assert_eq!(ask, OrderId(if better_comes { 3_003 } else { 3_001 }));
        assert!(!bench.market.wants_block());
    }
}

#[derive(Clone, Debug)]
enum Action {
    Ask {
        n: u8,
        price: u64,
        units: u64,
        fill_min: u64,
        region: u8,
    },
    Bid {
        n: u8,
        price: u64,
        segments: u32,
        rule: u8,
        own: u8,
        deals: u16,
        region: bool,
        fill_min: u64,
    },
    Cancel {
        n: u8,
        order: u64,
    },
    Amend {
        n: u8,
        order: u64,
        units: u64,
        price: u64,
    },
    Work {
        deal: u64,
        step: u8,
    },
    Wait {
        ms: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0u8..4, 90u64..110, 1u64..40, 1u64..9, 0u8..3).prop_map(|(n, price, units, fill_min, region)| {
            Action::Ask { n, price, units, fill_min: fill_min.min(units), region }
        }),
        4 => ((0u8..4, 90u64..110, 1u32..16), (0u8..4, 0u8..3, 1u16..5, any::<bool>(), 1u64..7)).prop_map(
            |((n, price, segments), (rule, own, deals, region, fill_min))| {
                Action::Bid { n, price, segments, rule, own, deals, region, fill_min: fill_min.min(2 * u64::from(segments)) }
            }
        ),
        1 => (0u8..4, 1u64..30).prop_map(|(n, order)| Action::Cancel { n, order }),
        1 => (0u8..4, 1u64..30, 1u64..40, 90u64..110).prop_map(|(n, order, units, price)| Action::Amend { n, order, units, price }),
        2 => (1u64..20, 0u8..3).prop_map(|(deal, step)| Action::Work { deal, step }),
        1 => (1u64..2_000).prop_map(|ms| Action::Wait { ms }),
    ]
}

fn command(bench: &Bench, action: &Action) -> Option<(u8, Command)> {
    Some(match action.clone() {
        Action::Ask { n, price, units, fill_min, region } => {
            (n, Command::PlaceAsk(ask(price, units, fill_min, region)))
        }
        Action::Bid { n, price, segments, rule, own, deals, region, fill_min } => {
            let rules = [
                FillRule::Rest,
                FillRule::ImmediateOrCancel,
                FillRule::FillOrKill,
                FillRule::AllOrNone,
            ];
            let policies = [SelfMatch::Skip, SelfMatch::CancelResting, SelfMatch::CancelIncoming];
            let mut wish = bid(price, segments, rules[usize::from(rule)]);
            wish.self_match = policies[usize::from(own)];
            wish.deals_max = deals;
            wish.fill_min = Units(fill_min);
            if region {
                wish.requirements.regions = RegionSet(0b011);
            }
            (n, Command::PlaceBid(Box::new(wish)))
        }
        Action::Cancel { n, order } => (n, Command::Cancel(OrderId(order))),
        Action::Amend { n, order, units, price } => {
            (n, Command::Amend { order: OrderId(order), units: Units(units), price: Price(price) })
        }
        Action::Work { deal, step } => {
            let deal = bench.market.deal(DealId(deal))?;
            let n = (0..4).find(|n| who(*n) == deal.provider)?;
            let list = receipts(deal.terms.count);
            let commitment = Commitment::new(&list)?;
            let command = match step {
                0 => Command::Acknowledge(deal.id),
                1 => Command::Progress { deal: deal.id, done: 1 },
                _ => Command::Commit { deal: deal.id, commitment, receipts: Hash::ZERO },
            };
            (n, command)
        }
        Action::Wait { .. } => return None,
    })
}

proptest! {
    #![proptest_config(cases(400))]

    /// Money is conserved after every block (in `Bench::check`); a market that went through a snapshot is the same; and when everybody falls
    /// silent, every deal ends. That the fills are right is shown in `naive.rs`.
    #[test]
    fn invariants_1_6_no_money_is_lost_and_every_deal_ends(
        blocks in prop::collection::vec(prop::collection::vec(action(), 0..8), 1..14)
    ) {
        let mut bench = Bench::new();
        for actions in blocks {
            let waits = actions.iter().map(|a| if let Action::Wait { ms } = a { *ms } else { 1 });
            let wait = waits.max().unwrap_or(1);
            let commands: Vec<_> = actions.iter().filter_map(|a| command(&bench, a)).collect();
            bench.block(wait, commands);
            let bytes = gongsuan_types::codec::encode(&bench.market);
            let restored: Market = gongsuan_types::codec::decode("market", usize::MAX, &bytes).unwrap();
            prop_assert_eq!(&restored, &bench.market);
            bench.market = restored;
        }
        for _ in 0..8 {
            bench.block(2_000_000, vec![]);
        }
        prop_assert!(bench.market.deals().all(gongsuan_market::Deal::is_over));
        prop_assert!(bench.market.orders().all(|order| order.state != OrderState::Resting));
        prop_assert!(bench.holds.is_empty(), "{:?}", bench.holds);
        prop_assert_eq!(bench.market.next_due(), None);
    }
}

/// Asks by the hundred cannot make a block expensive by the bids that they might wake: from some point on all bids look for themselves, and find the same.
#[test]
fn a_flood_of_asks_is_matched_as_a_few_are() {
    let deals = |visits_max| {
        let rules = Rules { visits_max, orders_per_account_max: 10_000, ..Rules::default() };
        let mut bench = Bench { market: Market::new(rules), ..Bench::new() };
        let wishes = (0..400u64).map(|n| {
            let mut wish = bid(100 + n % 50, 2, FillRule::Rest);
            wish.requirements.memory_mib_min = u32::try_from(1 + n % 7).unwrap();
            (3, Command::PlaceBid(Box::new(wish)))
        });
        bench.block(1, wishes.collect());
        // Too small for anybody, cheap enough for everybody; and some that fit.
        let offers = (0..300u64).map(|n| {
            let fits = n % 10 == 0;
            let mut offer = ask(60 + n % 90, if fits { 8 } else { 1 }, 1, 0);
            offer.machine.memory_mib = u32::try_from(n % 9).unwrap();
            (u8::try_from(n % 2).unwrap(), Command::PlaceAsk(offer))
        });
        bench.block(1, offers.collect());
        let deals = bench.market.deals().map(|deal| (deal.bid, deal.ask, deal.terms.clone()));
        deals.collect::<Vec<_>>()
    };
    let (few, all) = (deals(64), deals(u32::MAX));
    assert!(all.len() > 20, "{} deals", all.len());
    assert_eq!(few, all);
}
