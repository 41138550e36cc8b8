//! The attribute book: which of a million asks is the cheapest that suits, without looking at most of them.
//!
//! Asks lie in a 16-ary trie over their key: price, then reputation, then age. Every entry of an inner node carries the largest value of
//! each attribute below it, the union of the regions and capabilities below it, and staircases: for each power of two of cores, the
//! largest memory and duration among the machines below with at least so many; for each tier of reputation, the most cores and the largest
//! duration. A search goes through the trie in the order of the keys and leaves out
//! what cannot hold a suitable ask; the first one found is the best one.
//!
//! The shape is a function of the set: up to 16 asks are one leaf; more are an inner node at the first digit in which their keys differ.
//! So every replica visits the same number of nodes, whatever its past, and that number can be bounded ([`Step::OutOfWork`]).
//!
//! The same trie holds resting bids, the other way round: their minima are stored as distances from the largest value, so that a *new ask*
//! finds the bids that it suits ([`BidIndex`]).
//!
//! ```
//! use gongsuan_market::attributes::{AskIndex, AskKey, Step};
//! use gongsuan_types::order::{Capabilities, Machine, Region, Requirements};
//! use gongsuan_types::{OrderId, Price};
//!
//! let machine = Machine {
//!     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
//!     region: Region(3), capabilities: Capabilities::NONE,
//! };
//! let mut asks = AskIndex::new();
//! asks.insert(AskKey::new(Price(120), 700, 1), &machine, OrderId(5));
//! let needs = Requirements { cpu_cores_min: 4, ..Requirements::ANY };
//! let mut work = 4_096;
//! assert!(matches!(
//!     asks.next(&needs, AskKey::FIRST, Price(150), &mut work),
//!     Step::Found(_, OrderId(5))
//! ));
//! ```

mod key;
mod lanes;
mod leaves;
mod summary;
mod trie;

pub(crate) use key::AGE_BITS;
pub use key::AskKey;

use gongsuan_types::order::{Machine, Requirements};
use gongsuan_types::{OrderId, Price};

use lanes::{Entry, Query};
use trie::Trie;

/// What a search for the next suitable order came to.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::Price;
/// use gongsuan_types::order::{Capabilities, Machine, Region, Requirements};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let mut asks = AskIndex::new();
/// asks.insert(AskKey::new(Price(120), 700, 1), &machine, OrderId(5));
/// let mut none = 0;
/// let step = asks.next(&Requirements::ANY, AskKey::FIRST, Price(150), &mut none);
/// assert!(matches!(step, Step::OutOfWork(_)), "not even one node may be visited");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The best one at or after the key where the search began.
    Found(AskKey, OrderId),
    /// There is none.
    Nothing,
    /// The work is used up. No order before this key suits.
    OutOfWork(AskKey),
}

/// The resting asks of a class.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::Price;
/// use gongsuan_types::order::{Capabilities, Machine, Region, Requirements};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let mut asks = AskIndex::new();
/// for (price, number) in [(130, 1), (120, 2)] {
///     asks.insert(AskKey::new(Price(price), 700, number), &machine, OrderId(number));
/// }
/// let cheapest: Vec<OrderId> = asks.iter().map(|(_, id)| id).collect();
/// assert_eq!(cheapest, [OrderId(2), OrderId(1)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct AskIndex {
    trie: Trie<false>,
}

impl AskIndex {
    /// No asks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many asks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trie.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trie.len() == 0
    }

    /// The memory of its nodes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.trie.bytes()
    }

    /// Adds an ask.
    ///
    /// # Panics
    /// If there is one with this key.
    pub fn insert(&mut self, key: AskKey, machine: &Machine, id: OrderId) {
        self.trie.insert(key.0, Entry::of_ask(machine, key.reputation()), id.0);
    }

    /// Takes an ask out. Answers whether it was there.
    pub fn remove(&mut self, key: AskKey) -> bool {
        self.trie.remove(key.0)
    }

    /// The cheapest ask at or after `from`, not above `price_max`, that suits. Takes one from `work` for every node visited.
    #[must_use]
    pub fn next(
        &self,
        needs: &Requirements,
        from: AskKey,
        price_max: Price,
        work: &mut u32,
    ) -> Step {
        let query = Query::of_bid(needs);
        self.trie.next(&query, from.0, AskKey::last_at(price_max).0, work)
    }

    /// All asks in the order in which a bid takes them.
    pub fn iter(&self) -> impl Iterator<Item = (AskKey, OrderId)> + '_ {
        self.trie.entries().map(|(key, id)| (AskKey(key), OrderId(id)))
    }

    /// Checks every summary and the shape. For tests: looks at everything.
    ///
    /// # Panics
    /// If something is wrong.
    pub fn check(&self) {
        self.trie.check();
    }
}

/// The resting bids of a class, for new asks to find.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::Price;
/// use gongsuan_types::order::{Capabilities, Machine, Region, Requirements};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let mut bids = BidIndex::new();
/// bids.insert(Price(110), &Requirements::ANY, OrderId(1));
/// bids.insert(Price(140), &Requirements { cpu_cores_min: 16, ..Requirements::ANY }, OrderId(2));
/// assert_eq!(bids.suited(&machine, 500, Price(100)), [OrderId(1)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct BidIndex {
    trie: Trie<true>,
}

impl BidIndex {
    /// No bids.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trie.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trie.len() == 0
    }

    fn key(price_max: Price, id: OrderId) -> u128 {
        u128::from(u64::MAX - price_max.0) << 64 | u128::from(id.0)
    }

    /// Adds a bid.
    ///
    /// # Panics
    /// If it is there.
    pub fn insert(&mut self, price_max: Price, needs: &Requirements, id: OrderId) {
        self.trie.insert(Self::key(price_max, id), Entry::of_bid(needs), id.0);
    }

    /// Takes a bid out. Answers whether it was there.
    pub fn remove(&mut self, price_max: Price, id: OrderId) -> bool {
        self.trie.remove(Self::key(price_max, id))
    }

    /// All bids that a machine suits at a price, best limit first.
    #[must_use]
    pub fn suited(&self, machine: &Machine, reputation: u16, price: Price) -> Vec<OrderId> {
        let (mut found, mut work) = (Vec::new(), u32::MAX);
        let all = self.suited_within(machine, (reputation, price), &mut work, &mut found);
        debug_assert!(all, "an index has fewer than four thousand million nodes");
        found
    }

    /// Adds all bids that a machine suits to `found`, or some of them and answers `false`: if more than `work` nodes would have to be visited, of which
    /// what was visited is taken off.
    pub(crate) fn suited_within(
        &self,
        machine: &Machine,
        (reputation, price): (u16, Price),
        work: &mut u32,
        found: &mut Vec<OrderId>,
    ) -> bool {
        let query = Query::of_ask(machine, reputation);
        let last = Self::key(price, OrderId(u64::MAX));
        let mut from = 0;
        loop {
            match self.trie.next(&query, from, last, work) {
                Step::Found(key, id) => {
                    found.push(id);
                    from = key.0 + 1;
                    // Whoever is woken costs something, too.
                    *work = work.saturating_sub(1);
                }
                Step::OutOfWork(_) => return false,
                Step::Nothing => return true,
            }
        }
    }

    /// All bids, best limit first.
    pub fn iter(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.trie.entries().map(|(_, id)| OrderId(id))
    }

    /// Checks every summary and the shape. For tests: looks at everything.
    ///
    /// # Panics
    /// If something is wrong.
    pub fn check(&self) {
        self.trie.check();
    }
}

impl PartialEq for AskIndex {
    fn eq(&self, other: &Self) -> bool {
        self.trie.entries().eq(other.trie.entries())
    }
}

impl Eq for AskIndex {}

impl PartialEq for BidIndex {
    fn eq(&self, other: &Self) -> bool {
        self.trie.entries().eq(other.trie.entries())
    }
}

impl Eq for BidIndex {}
