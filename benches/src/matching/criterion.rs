//! `cargo bench -p gongsuan-benches --bench market`: small measurements with statistics, for comparing two states of the code on one machine.
//! `gongsuan-bench match` measures whole streams and compares with peers.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gongsuan_market::prelude::*;
use gongsuan_types::Price;
use gongsuan_types::order::{Capabilities, Machine, Region, Requirements};

/// A linear congruential generator: the streams are the same everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % bound
    }

    fn small(&mut self, bound: u64) -> u32 {
        u32::try_from(self.below(bound)).unwrap_or(0)
    }
}

fn limit(rng: &mut Rng, spread: u64) -> NewOrder {
    let is_bid = rng.below(2) == 0;
    let distance = rng.small(spread);
    let (side, price) = if is_bid { (Side::Bid, 99_990) } else { (Side::Ask, 100_010) };
    let price = if is_bid { price - distance } else { price + distance };
    NewOrder::limit(side, Owner(rng.small(1_000)), Tick(price), Lots(1 + rng.small(100)))
}

fn resting(mode: Mode, orders: u64) -> (Book, Rng) {
    let (mut book, mut rng) = (Book::new(mode), Rng(7));
    for _ in 0..orders {
        let order = limit(&mut rng, 1_000);
        let taken = book.submit(&order, &mut Ignore);
        assert!(taken.is_ok(), "a limit order is taken");
    }
    if mode != Mode::Continuous {
        assert!(book.clear(&mut Ignore).is_ok(), "a batch book clears");
    }
    (book, rng)
}

/// One order comes and is cancelled; and one that takes a resting order, which is replaced.
fn continuous(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("book");
    for orders in [10_000u64, 1_000_000] {
        let (mut book, mut rng) = resting(Mode::Continuous, orders);
        group.bench_function(BenchmarkId::new("submit and cancel", orders), |bench| {
            bench.iter(|| {
                let order = limit(&mut rng, 1_000);
                let id = book.submit(&order, &mut Ignore).unwrap_or(OrderId(0));
                let _ = book.cancel(id, order.owner, &mut Ignore);
            });
        });
        group.bench_function(BenchmarkId::new("take and replace", orders), |bench| {
            bench.iter(|| {
                let maker = NewOrder::limit(Side::Ask, Owner(2_000), Tick(100_000), Lots(5));
                let taker = NewOrder::limit(Side::Bid, Owner(2_001), Tick(100_000), Lots(5));
                let _ = book.submit(&maker, &mut Ignore);
                book.submit(&taker, &mut Ignore)
            });
        });
    }
    group.finish();
}

/// A block of orders around the middle, cleared at one price.
fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block at one price");
    for block in [100u64, 10_000] {
        let (book, _) = resting(Mode::Batch(Pricing::Uniform), 10_000);
        let snapshot = book.snapshot();
        group.throughput(Throughput::Elements(block));
        group.bench_function(BenchmarkId::from_parameter(block), |bench| {
            let prepare = || {
                let book = Book::restore(&snapshot).expect("its own snapshot");
                let mut rng = Rng(11);
                let orders: Vec<NewOrder> = (0..block).map(|_| limit(&mut rng, 40)).collect();
                (book, orders)
            };
            bench.iter_batched(
                prepare,
                |(mut book, orders)| {
                    for order in &orders {
                        let _ = book.submit(order, &mut Ignore);
                    }
                    let _ = book.clear(&mut Ignore);
                    book
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn machine(rng: &mut Rng) -> Machine {
    Machine {
        cpu_cores: 1 << rng.below(8),
        memory_mib: 1_024 << rng.below(9),
        disk_mib: 1_024 << rng.below(10),
        gpu_count: 0,
        duration_s_max: 3_600 << rng.below(6),
        region: Region(u8::try_from(rng.below(16)).unwrap_or(0)),
        capabilities: Capabilities::NONE,
    }
}

fn needs(rng: &mut Rng) -> Requirements {
    Requirements {
        cpu_cores_min: 1 << rng.below(6),
        memory_mib_min: 1_024 << rng.below(7),
        duration_s_min: 1_800 << rng.below(5),
        reputation_min: u16::try_from(100 * rng.below(9)).unwrap_or(0),
        ..Requirements::ANY
    }
}

/// The index of asks and its mirror.
fn attributes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attributes");
    for count in [10_000u64, 1_000_000] {
        let (mut rng, mut asks, mut bids) = (Rng(3), AskIndex::new(), BidIndex::new());
        let mut there = Vec::new();
        for id in 0..count {
            let key = AskKey::new(
                Price(1_000 + rng.below(4_000)),
                u16::try_from(rng.below(1_001)).unwrap_or(0),
                id,
            );
            let machine = machine(&mut rng);
            asks.insert(key, &machine, OrderId(id));
            there.push((key, machine));
            bids.insert(Price(100 + rng.below(900)), &needs(&mut rng), OrderId(id));
        }
        group.bench_function(BenchmarkId::new("find", count), |bench| {
            bench.iter(|| {
                let (needs, mut work) = (needs(&mut rng), 4_096);
                asks.next(&needs, AskKey::FIRST, Price(5_000), &mut work)
            });
        });
        group.bench_function(BenchmarkId::new("take out and put in", count), |bench| {
            bench.iter(|| {
                let index = usize::try_from(rng.below(count)).unwrap_or(0);
                let (key, machine) = there[index];
                assert!(asks.remove(key), "it is there");
                asks.insert(key, &machine, OrderId(0));
            });
        });
        group.bench_function(BenchmarkId::new("bids that a new ask suits", count), |bench| {
            bench.iter(|| bids.suited(&machine(&mut rng), 500, Price(990)));
        });
    }
    group.finish();
}

criterion_group!(market, continuous, batch, attributes);
criterion_main!(market);
