//! Reading the books: depth, and why an order did not match.

use std::collections::BTreeMap;

use gongsuan_types::order::{Bid, Class};
use gongsuan_types::{OrderId, Price, Units};
use serde::{Deserialize, Serialize};

use crate::matching::fill_units;
use crate::{Market, Order, OrderState};

/// All orders at one price.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// Units open.
    pub units: Units,
    /// Orders.
    pub orders: u32,
}

/// A book by price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BookView {
    /// What is traded.
    pub class: Class,
    /// Offers, cheapest first.
    pub asks: Vec<Level>,
    /// Orders, best limit first.
    pub bids: Vec<Level>,
}

/// Why one constraint keeps asks away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Miss {
    /// The constraint.
    pub constraint: String,
    /// Asks that it alone keeps away or that fail it first.
    pub asks: u32,
    /// The smallest change that would let one of them in.
    pub change: String,
}

/// Why an order stands where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The order.
    pub order: OrderId,
    /// Its life.
    pub state: OrderState,
    /// Asks in its class.
    pub asks: u32,
    /// Asks that would fill some of it now.
    pub suitable: u32,
    /// What keeps the others away, by constraint.
    pub misses: Vec<Miss>,
    /// The cheapest ask that fails on price alone: at this limit it would match.
    pub price_that_matches: Option<Price>,
    /// The same in a sentence.
    pub summary: String,
}

impl Market {
    /// The book of a class.
    #[must_use]
    pub fn book(&self, class: Class) -> BookView {
        let (mut asks, mut bids) = (BTreeMap::new(), BTreeMap::new());
        if let Some(shelf) = self.table.shelves.get(&class) {
            for order in shelf.asks.iter().filter_map(|(_, id)| self.table.orders.get(&id)) {
                add(&mut asks, order);
            }
            for order in shelf.bids.iter().filter_map(|id| self.table.orders.get(&id)) {
                add(&mut bids, order);
            }
        }
        BookView {
            class,
            asks: asks.into_values().collect(),
            bids: bids.into_values().rev().collect(),
        }
    }

    /// Why an order is where it is, and for a bid what would make it match.
    #[must_use]
    pub fn explain(&self, id: OrderId) -> Option<Explanation> {
        let order = self.table.orders.get(&id)?;
        let asks: Vec<&Order> = self
            .table
            .shelves
            .get(&order.class())
            .map(|shelf| shelf.asks.iter().filter_map(|(_, id)| self.table.orders.get(&id)).collect())
            .unwrap_or_default();
        let mut misses: BTreeMap<&'static str, (u32, String)> = BTreeMap::new();
        let (mut suitable, mut price_that_matches) = (0, None);
        if let Some(bid) = order.bid() {
            for ask in &asks {
                match first_miss(bid, order, ask) {
                    None => suitable += 1,
                    Some((constraint, change)) => {
                        if constraint == "price" && price_that_matches.is_none() {
                            price_that_matches = Some(ask.price());
                        }
                        misses.entry(constraint).or_insert((0, change)).0 += 1;
                    }
                }
            }
        }
        let misses: Vec<Miss> = misses
            .into_iter()
            .map(|(constraint, (asks, change))| Miss {
                constraint: constraint.into(),
                asks,
                change,
            })
            .collect();
        let count = u32::try_from(asks.len()).unwrap_or(u32::MAX);
        let mut explanation = Explanation {
            order: id,
            state: order.state,
            asks: count,
            suitable,
            misses,
            price_that_matches,
            summary: String::new(),
        };
        explanation.summary = sentence(order, &explanation);
        Some(explanation)
    }
}

fn add(levels: &mut BTreeMap<Price, Level>, order: &Order) {
    let empty = Level { price: order.price(), units: Units(0), orders: 0 };
    let level = levels.entry(order.price()).or_insert(empty);
    level.units.0 = level.units.0.saturating_add(order.open.0);
    level.orders += 1;
}

fn sentence(order: &Order, found: &Explanation) -> String {
    if order.bid().is_none() {
        return format!("an ask waits for bids of its class {}", order.class());
    }
    if found.asks == 0 {
        return format!("there is no ask in class {}", order.class());
    }
    let mut parts: Vec<String> = found
        .misses
        .iter()
        .map(|miss| {
            format!(
                "{} of {} asks miss on {} ({})",
                miss.asks, found.asks, miss.constraint, miss.change
            )
        })
        .collect();
    if found.suitable > 0 {
        parts.insert(0, format!("{} of {} asks suit", found.suitable, found.asks));
    }
    parts.join("; ")
}

/// The first constraint that an ask fails. Price comes last, so that `price` means "price alone".
fn first_miss(bid: &Bid, order: &Order, ask: &Order) -> Option<(&'static str, String)> {
    let machine = ask.machine()?;
    let needs = &bid.requirements;
    let least = |have: u64, need: u64, unit: &str| {
        (have < need).then(|| format!("the nearest has {have}{unit}, the bid needs {need}{unit}"))
    };
    let checks = [
        ("cpu-cores", least(machine.cpu_cores.into(), needs.cpu_cores_min.into(), "")),
        ("memory", least(machine.memory_mib.into(), needs.memory_mib_min.into(), " MiB")),
        ("disk", least(machine.disk_mib.into(), needs.disk_mib_min.into(), " MiB")),
        ("gpu-count", least(machine.gpu_count.into(), needs.gpu_count_min.into(), "")),
        ("duration", least(machine.duration_s_max.into(), needs.duration_s_min.into(), " s")),
        ("reputation", least(ask.reputation.into(), needs.reputation_min.into(), "")),
        (
            "region",
            (!needs.regions.contains(machine.region))
                .then(|| format!("it stands in region {}", machine.region.0)),
        ),
        (
            "capabilities",
            (!machine.capabilities.covers(needs.capabilities)).then(|| {
                let lacking = needs.capabilities.0 & !machine.capabilities.0;
                format!("it lacks capability bits {lacking:#x}")
            }),
        ),
        (
            "own-ask",
            (ask.owner == order.owner).then(|| "it belongs to the same account".to_owned()),
        ),
        (
            "size",
            (fill_units(bid, ask, order.open).0 == 0)
                .then(|| format!("{} units are open, the lot is {}", ask.open, bid.lot)),
        ),
        (
            "price",
            (ask.price() > bid.price_max).then(|| {
                format!("the bid pays at most {}, it asks {}", bid.price_max, ask.price())
            }),
        ),
    ];
    checks.into_iter().find_map(|(name, miss)| miss.map(|change| (name, change)))
}
