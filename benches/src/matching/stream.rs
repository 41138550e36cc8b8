//! Streams of orders: made from a seed with integers only, so that every machine gets the same one.

use super::Tally;
use super::reference::Reference;

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Add,
    Cancel,
    Market,
}

/// One operation. Adds and market orders are numbered 1, 2, 3, ... in the order of the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) id: u64,
    pub(crate) price: u32,
    pub(crate) quantity: u32,
    pub(crate) owner: u32,
    pub(crate) kind: Kind,
    pub(crate) is_bid: bool,
}

/// What a stream looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) ops: usize,
    /// Orders that rest before the clock starts.
    pub(crate) preload: usize,
    /// Prices lie this far from the middle: geometric with this mean, or uniform below it.
    pub(crate) offset: Offset,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Offset {
    GeometricMean(u64),
    UniformBelow(u32),
}

/// A stream with what an independent book makes of it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) preload: Vec<Op>,
    pub(crate) ops: Vec<Op>,
    pub(crate) expected: Tally,
    pub(crate) resting: usize,
}

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is at least 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(n);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    pub(crate) fn below_u32(&mut self, n: u32) -> u32 {
        u32::try_from(self.below(u64::from(n))).unwrap_or(0)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

/// Chances of at least 1, 2, 3, ... in units of 2⁻⁶⁴.
struct Geometric(Vec<u64>);

impl Geometric {
    fn new(mean: u64) -> Self {
        let mut chances = Vec::new();
        let mut chance = u64::MAX;
        while chance > 0 {
            let next = u128::from(chance) * u128::from(mean) / u128::from(mean + 1);
            chance = u64::try_from(next).unwrap_or(0);
            chances.push(chance);
        }
        Self(chances)
    }

    fn draw(&self, rng: &mut Rng) -> u32 {
        let drawn = rng.next();
        u32::try_from(self.0.partition_point(|chance| drawn < *chance)).unwrap_or(u32::MAX)
    }
}

/// Buyers and sellers are different accounts, so that engines without self-match prevention get the same result; ours compares the
/// owners all the same.
const OWNERS: u32 = 5_000;

impl Stream {
    /// 60 % limit orders, 35 % cancels (half of them of recent orders), 5 % market orders; the middle wanders.
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let mut book = Reference::default();
        let geometric = match shape.offset {
            Offset::GeometricMean(mean) => Some(Geometric::new(mean)),
            Offset::UniformBelow(_) => None,
        };
        let mut all = Vec::with_capacity(shape.preload + shape.ops);
        let (mut id, mut middle) = (0, 1_000_000u32);
        let mut recent = std::collections::VecDeque::new();
        for step in 0..shape.preload + shape.ops {
            if step == shape.preload {
                book.tally = Tally::default();
            }
            if rng.below(64) == 0 {
                middle = middle + rng.below_u32(3) - 1;
            }
            let chance = if step < shape.preload { 0 } else { rng.below(100) };
            let is_bid = rng.next() & 1 == 0;
            let owner = 2 * rng.below_u32(OWNERS / 2) + u32::from(is_bid);
            if chance < 60 || (chance < 95 && book.live.is_empty()) {
                id += 1;
                let offset = match (shape.offset, &geometric) {
                    (Offset::UniformBelow(band), _) => rng.below_u32(band),
                    (Offset::GeometricMean(_), Some(table)) => table.draw(&mut rng),
                    (Offset::GeometricMean(_), None) => 0,
                };
                let price = if is_bid { middle - 1 - offset } else { middle + 1 + offset };
                let quantity = 1 + rng.below_u32(100);
                book.add(id, is_bid, price, quantity);
                all.push(Op { id, price, quantity, owner, kind: Kind::Add, is_bid });
                recent.push_back(id);
                if recent.len() > 1_000 {
                    recent.pop_front();
                }
            } else if chance < 95 {
                let near = (0..4).map(|_| recent[rng.index(recent.len())]);
                let near: Vec<u64> = near.collect();
                let wants_near = rng.next() & 1 == 0;
                let near = near.into_iter().find(|id| wants_near && book.is_live(*id));
                let id = near.unwrap_or_else(|| book.live[rng.index(book.live.len())]);
                book.cancel(id);
                // The owner is found by `name_owners`.
                all.push(Op { id, price: 0, quantity: 0, owner, kind: Kind::Cancel, is_bid });
            } else {
                id += 1;
                let quantity = 1 + rng.below_u32(440);
                book.market(is_bid, quantity);
                all.push(Op { id, price: 0, quantity, owner, kind: Kind::Market, is_bid });
            }
        }
        name_owners(&mut all);
        let ops = all.split_off(shape.preload);
        Self { preload: all, ops, expected: book.tally, resting: book.live.len() }
    }

    /// One more than the largest number.
    #[cfg(feature = "peers")]
    pub(crate) fn ids(&self) -> usize {
        self.preload.len() + self.ops.len() + 1
    }
}

/// An order is cancelled by its owner.
fn name_owners(ops: &mut [Op]) {
    let mut owners = vec![0];
    for op in ops {
        match op.kind {
            Kind::Add | Kind::Market => owners.push(op.owner),
            Kind::Cancel => {
                let index = usize::try_from(op.id).unwrap_or(0);
                op.owner = owners.get(index).copied().unwrap_or(0);
            }
        }
    }
}
