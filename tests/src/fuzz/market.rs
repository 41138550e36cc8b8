//! Fuzz target: the books and the market. Bytes are commands; the fast one and the naive one must say the same after every one of them, and
//! the index of asks must find what a scan finds.
//!
//! The first byte chooses what is driven. The rest is read two to nine bytes a command, and a command that lacks bytes gets zeros, so that
//! every input means something.

use gongsuan_market::attributes::{AskIndex, AskKey, Step};
use gongsuan_market::book::naive::NaiveBook;
use gongsuan_market::book::{
    Book, Event, FillRule, Kind, Lots, Mode, NewOrder, OrderId, Owner, Pricing, SelfMatch, Side,
    Tick,
};
use gongsuan_market::naive::NaiveMarket;
use gongsuan_market::{Command, Market, Moment, Rules};
use gongsuan_types::job::{Check, JOB_VERSION, JobOrder, JobSpec, Limits, MapInput, Pace, Shape};
use gongsuan_types::order::{
    Ask, Bid, Capabilities, Class, Machine, Party, Region, RegionSet, Requirements, Work,
};
use gongsuan_types::{Address, DurationMs, Fuel, Hash, Height, Price, TimeMs, Units};

/// Longer inputs are cut: the naive book takes time with the square.
const COMMANDS_MAX: usize = 400;

/// Drives the books with `data`.
///
/// # Panics
/// If two implementations of one rule differ, or a structure does not agree with itself.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    match bytes.below(5) {
        0 => book(&mut bytes, Mode::Continuous),
        1 => book(&mut bytes, Mode::Batch(Pricing::Quoted)),
        2 => book(&mut bytes, Mode::Batch(Pricing::Uniform)),
        3 => index(&mut bytes),
        _ => market(&mut bytes),
    }
}

/// Input that never ends: zeros follow.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.next() % bound
    }

    fn price(&mut self) -> u32 {
        match self.next() {
            255 => u32::MAX,
            254 => u32::MAX - 1,
            // Levels of one page, and of others.
            low @ 0..=127 => u32::from(low % 16),
            high => u32::from(high) * 5_000_011,
        }
    }
}

fn order(bytes: &mut Bytes<'_>) -> NewOrder {
    let shape = bytes.next();
    let rare = bytes.next();
    let price = Tick(bytes.price());
    NewOrder {
        side: if shape & 1 == 0 { Side::Bid } else { Side::Ask },
        owner: Owner(u32::from(shape >> 1 & 3)),
        kind: match shape >> 3 & 7 {
            0 => Kind::Market,
            1 => Kind::MarketLimit,
            _ => Kind::Limit(price),
        },
        quantity: Lots(u32::from(bytes.below(16))),
        fill_rule: match shape >> 6 {
            0 | 1 => FillRule::Rest,
            2 if rare & 1 == 0 => FillRule::ImmediateOrCancel,
            2 => FillRule::FillOrKill,
            _ => FillRule::AllOrNone,
        },
        self_match: match rare >> 1 & 3 {
            0 => SelfMatch::Skip,
            1 => SelfMatch::CancelIncoming,
            _ => SelfMatch::CancelResting,
        },
        post_only: rare >> 3 & 7 == 7,
        fill_min: Lots(if rare >> 6 & 1 == 1 { u32::from(bytes.below(8)) } else { 0 }),
        counterparties_max: if rare >> 7 == 1 { u32::from(bytes.below(4)) } else { 0 },
        expires_at: (rare & 0x0f == 0x0f).then(|| TimeMs(u64::from(bytes.next()))),
    }
}

fn book(bytes: &mut Bytes<'_>, mode: Mode) {
    let (mut fast, mut naive) = (Book::new(mode), NaiveBook::new(mode));
    let mut time = 0;
    for _ in 0..COMMANDS_MAX {
        if bytes.0.is_empty() {
            break;
        }
        let (mut left, mut right): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
        match bytes.below(16) {
            0..=8 => {
                let new = order(bytes);
                if mode == Mode::Continuous {
                    assert_eq!(fast.submit(&new, &mut left), naive.submit(&new, &mut right));
                } else {
                    let (tie, id) = (u64::from(bytes.below(8)), fast.snapshot().next_id);
                    let queued = fast.queue(OrderId(id), &new, tie, &mut left);
                    let expected = naive.queue_up(&new, tie, &mut right);
                    assert_eq!(queued.map(|()| OrderId(id)), expected);
                }
            }
            9 | 10 => {
                let (id, owner) = (OrderId(bytes.next().into()), Owner(bytes.below(4).into()));
                let expected = naive.cancel(id, owner, &mut right);
                assert_eq!(fast.cancel(id, owner, &mut left), expected);
            }
            11 => {
                let owner = Owner(bytes.below(4).into());
                let expected = naive.cancel_all(owner, &mut right);
                assert_eq!(fast.cancel_all(owner, &mut left), expected);
            }
            12 => {
                let (id, owner) = (OrderId(bytes.next().into()), Owner(bytes.below(4).into()));
                let change = (Lots(bytes.below(16).into()), Tick(bytes.price()));
                let expected = naive.amend(id, owner, change, &mut right);
                assert_eq!(fast.amend(id, owner, change, &mut left), expected);
            }
            13 => {
                time += u64::from(bytes.below(16));
                let limit = usize::from(bytes.below(4));
                let expected = naive.advance(TimeMs(time), limit, &mut right);
                assert_eq!(fast.advance(TimeMs(time), limit, &mut left), expected);
            }
            14 => {
                let cleared = fast.clear(&mut left).map(|_| ());
                assert_eq!(cleared, naive.clear(&mut right));
            }
            _ => {
                let before = fast.snapshot();
                fast = Book::restore(&before).expect("a book restores its own snapshot");
                assert_eq!(fast.snapshot(), before, "a restored book is the same book");
            }
        }
        assert_eq!(left, right, "the two books say the same");
        for side in [Side::Bid, Side::Ask] {
            assert_eq!(fast.orders(side).collect::<Vec<_>>(), naive.orders(side));
        }
        fast.check();
    }
}

fn index(bytes: &mut Bytes<'_>) {
    let (mut index, mut list): (AskIndex, Vec<(AskKey, Machine, OrderId)>) =
        (AskIndex::new(), Vec::new());
    for step in 0..COMMANDS_MAX as u64 {
        if bytes.0.is_empty() {
            break;
        }
        match bytes.below(4) {
            0 | 1 => {
                let price = Price(u64::from(bytes.price()));
                let key = AskKey::new(price, u16::from(bytes.next()) * 4, step);
                let machine = Machine {
                    cpu_cores: 1 << bytes.below(12),
                    memory_mib: 1 << bytes.below(32),
                    disk_mib: u32::from(bytes.next()) << bytes.below(24),
                    gpu_count: bytes.below(4).into(),
                    duration_s_max: bytes.next().into(),
                    region: Region(bytes.below(70)),
                    capabilities: Capabilities(bytes.next().into()),
                };
                index.insert(key, &machine, OrderId(step));
                list.push((key, machine, OrderId(step)));
            }
            2 if !list.is_empty() => {
                let (key, ..) = list.swap_remove(usize::from(bytes.next()) % list.len());
                assert!(index.remove(key), "an ask of the list is in the index");
            }
            _ => {
                let needs = Requirements {
                    cpu_cores_min: bytes.below(64).into(),
                    memory_mib_min: 1 << bytes.below(20),
                    disk_mib_min: u32::from(bytes.next()) << 4,
                    gpu_count_min: bytes.below(3).into(),
                    duration_s_min: bytes.below(64).into(),
                    reputation_min: u16::from(bytes.next()) * 2,
                    regions: RegionSet(if bytes.below(2) == 0 { u64::MAX } else { 0b111 }),
                    capabilities: Capabilities((bytes.next() & 3).into()),
                };
                let max = Price(u64::from(bytes.price()));
                let suits = |ask: &&(AskKey, Machine, OrderId)| {
                    ask.0.price() <= max && needs.accept(&ask.1, ask.0.reputation())
                };
                let expected = list.iter().filter(suits).min_by_key(|ask| ask.0);
                let expected = expected.map_or(Step::Nothing, |ask| Step::Found(ask.0, ask.2));
                let mut work = u32::MAX;
                assert_eq!(index.next(&needs, AskKey::FIRST, max, &mut work), expected);
            }
        }
        index.check();
    }
}

/// Commands about orders, in blocks. No bound on work, which the naive market does not have either; and deals that outlive the input.
fn market(bytes: &mut Bytes<'_>) {
    let rules = Rules {
        visits_max: u32::MAX,
        visits_free: u32::MAX,
        orders_per_account_max: 20,
        ..Rules::default()
    };
    let (mut fast, mut naive) = (Market::new(rules.clone()), NaiveMarket::new(rules));
    let (mut height, mut time) = (0u64, 0);
    while !bytes.0.is_empty() && height < 60 {
        height += 1;
        time += u64::from(bytes.next());
        let block = Hash::of_content(&height.to_le_bytes());
        let moment = Moment { height: Height(height), time: TimeMs(time), block };
        let quiet = fast.begin_block(moment, &[]);
        assert!(quiet.events.is_empty(), "no deadline of a deal is near");
        naive.begin_block(moment);
        for _ in 0..bytes.below(12) {
            let account = bytes.below(4);
            let party = Party {
                address: Address([account + 1; 32]),
                attested: Capabilities((account / 2).into()),
            };
            let command = command(bytes);
            fast.begin_tx();
            let done = fast.submit(party, command.clone());
            if done.is_ok() {
                fast.commit_tx();
            } else {
                fast.abort_tx();
            }
            assert_eq!(done, naive.submit(party, command), "the two markets say the same");
        }
        let (left, right) = (fast.end_block(), naive.end_block());
        assert_eq!(left, right, "the two markets match the same");
        assert!(fast.orders().eq(naive.orders()), "and keep the same");
    }
}

fn command(bytes: &mut Bytes<'_>) -> Command {
    let expires_at = |bytes: &mut Bytes<'_>| TimeMs(u64::from(bytes.next()) * 32);
    let price = |bytes: &mut Bytes<'_>| Price(90 + u64::from(bytes.below(20)));
    match bytes.below(8) {
        0..=2 => Command::PlaceAsk(Ask {
            class: Class::WASM,
            price: price(bytes),
            units: Units(bytes.below(40).into()),
            fill_min: Units(bytes.below(8).into()),
            machine: Machine {
                cpu_cores: bytes.below(4).into(),
                memory_mib: u32::from(bytes.below(4)) * 512,
                disk_mib: 0,
                gpu_count: 0,
                duration_s_max: 60,
                region: Region(bytes.below(4)),
                capabilities: Capabilities(bytes.below(4).into()),
            },
            expires_at: expires_at(bytes),
        }),
        3..=5 => Command::PlaceBid(Box::new(bid(bytes, price, expires_at))),
        6 => Command::Cancel(OrderId(bytes.next().into())),
        _ => Command::Amend {
            order: OrderId(bytes.next().into()),
            units: Units(bytes.below(40).into()),
            price: price(bytes),
        },
    }
}

fn bid(
    bytes: &mut Bytes<'_>,
    price: impl Fn(&mut Bytes<'_>) -> Price,
    expires_at: impl Fn(&mut Bytes<'_>) -> TimeMs,
) -> Bid {
    let (segments, lot) = (u32::from(bytes.below(16)), u64::from(bytes.below(4) + 1));
    let how = bytes.next();
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::ZERO,
        meter: 1,
        args: vec![],
        shape: Shape::Map { segments, input: MapInput::Shared(Hash::ZERO) },
        limits: Limits { fuel: Fuel(lot * 1_000_000_000), memory_pages: 1, output_bytes: 0 },
        seed: Hash::ZERO,
    };
    Bid {
        class: Class::WASM,
        price_max: price(bytes),
        units: Units(u64::from(segments) * lot),
        lot: Units(lot),
        fill_min: Units(bytes.below(8).into()),
        deals_max: bytes.below(5).into(),
        requirements: Requirements {
            cpu_cores_min: bytes.below(4).into(),
            memory_mib_min: u32::from(bytes.below(4)) * 512,
            regions: RegionSet(if how & 1 == 0 { u64::MAX } else { 0b0101 }),
            capabilities: Capabilities(u64::from(how >> 1 & 1)),
            reputation_min: u16::from(how >> 2 & 1) * 501,
            ..Requirements::ANY
        },
        fill_rule: match how >> 3 & 3 {
            0 => FillRule::Rest,
            1 => FillRule::ImmediateOrCancel,
            2 => FillRule::FillOrKill,
            _ => FillRule::AllOrNone,
        },
        self_match: match how >> 5 & 3 {
            0 => SelfMatch::CancelResting,
            1 => SelfMatch::CancelIncoming,
            _ => SelfMatch::Skip,
        },
        expires_at: expires_at(bytes),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(3_000_000),
            run_within: DurationMs(3_000_000),
            samples: bytes.below(3).into(),
            deposit_basis_points: 10_000,
            secret_hash: Hash::ZERO,
            check: match bytes.below(4) {
                0 => Check::Quorum { copies: 2 },
                _ => Check::Lottery,
            },
            pace: Pace::default(),
        })),
    }
}
