//! Reading the books: depth, and why an order did not match.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gongsuan_types::order::{Bid, Class};
use gongsuan_types::{Amount, OrderId, Price, Units};
use serde::{Deserialize, Serialize};

use crate::book::Why;
use crate::matching::fill_units;
use crate::table::ask_key;
use crate::{Market, Order, OrderState};

/// All orders at one price.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BookView {
    /// What is traded.
    pub class: Class,
    /// Offers, cheapest first.
    pub asks: Vec<Level>,
    /// Orders, best limit first.
    pub bids: Vec<Level>,
}

/// How one constraint keeps asks away.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Miss {
    /// The constraint.
    pub constraint: String,
    /// Asks that fail it, whatever else they fail.
    pub asks: u32,
    /// Asks that fail nothing else.
    #[serde(default)]
    pub alone: u32,
    /// The smallest change that would let one of them pass it; one of those that fail nothing else, if there is one.
    pub change: String,
}

/// The ask that comes nearest to a bid: with the fewest constraints failed, then the cheapest.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Nearest {
    /// The ask.
    pub ask: OrderId,
    /// What it asks.
    pub price: Price,
    /// What would have to change, one line for each constraint that it fails.
    pub changes: Vec<String>,
}

/// Why an order stands where it stands.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Party, Region};
/// use gongsuan_types::{Address, Hash, Height, Price, TimeMs, Units};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let ask = Ask {
///     class: Class::WASM, price: Price(100), units: Units(50), fill_min: Units(1), machine,
///     expires_at: TimeMs(60_000),
/// };
/// let provider = Party { address: Address([7; 32]), attested: Capabilities::NONE };
/// let mut market = Market::new(Rules::default());
/// market.submit(provider, Command::PlaceAsk(ask))?;
/// let _ = market.end_block();
/// let why: Explanation = market.explain(OrderId(1)).expect("the order is known");
/// assert_eq!(why.summary, "an ask waits for bids of its class giga-fuel/wasm; it is served first");
/// # Ok::<(), MarketError>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The order.
    pub order: OrderId,
    /// Its life.
    pub state: OrderState,
    /// Why it was cancelled, if it was.
    #[serde(default)]
    pub cancelled: Option<Why>,
    /// What a bid has left to pay for searches beyond the free part of each ([`crate::Rules::visits_free`]). `None`: not a bid, or over.
    #[serde(default)]
    pub search_budget: Option<Amount>,
    /// Asks in its class.
    pub asks: u32,
    /// Asks that would fill some of it now.
    pub suitable: u32,
    /// What keeps the others away, by constraint. An ask counts under every constraint that it fails.
    pub misses: Vec<Miss>,
    /// The cheapest ask that fails on price alone: at this limit it would match.
    pub price_that_matches: Option<Price>,
    /// The ask that comes nearest, if none is suitable.
    #[serde(default)]
    pub nearest: Option<Nearest>,
    /// Orders of its side and class that are served before it: bids with a higher limit, or the same limit and an earlier block; asks that
    /// are cheaper, or of better reputation, or older. `None` if it does not rest.
    #[serde(default)]
    pub ahead: Option<u32>,
    /// The same in a sentence.
    pub summary: String,
}

/// A constraint that an ask fails.
struct Failed {
    constraint: &'static str,
    /// How far it is off: only compared within one constraint.
    gap: u64,
    change: String,
}

/// What is known of one constraint so far.
#[derive(Default)]
struct Tally {
    asks: u32,
    alone: u32,
    /// Whether the change is of an ask that fails nothing else (those come first), its gap, and the change.
    best: Option<(bool, u64, String)>,
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

    /// Why an order is where it is, and for a bid what would make it match. Looks at every ask of the class; not for use inside a block.
    #[must_use]
    pub fn explain(&self, id: OrderId) -> Option<Explanation> {
        let order = self.table.orders.get(&id)?;
        let shelf = self.table.shelves.get(&order.class());
        let mut explanation = Explanation {
            order: id,
            state: order.state,
            cancelled: order.cancelled,
            search_budget: self.spare(order).filter(|_| order.is_live()),
            asks: shelf.map_or(0, |shelf| u32::try_from(shelf.asks.len()).unwrap_or(u32::MAX)),
            suitable: 0,
            misses: Vec::new(),
            price_that_matches: None,
            nearest: None,
            ahead: self.ahead(order),
            summary: String::new(),
        };
        // Of one that got everything there is nothing to ask.
        let bid = order.bid().filter(|_| order.state != OrderState::Filled);
        if let (Some(bid), Some(shelf)) = (bid, shelf) {
            let asks = shelf.asks.iter().filter_map(|(_, id)| self.table.orders.get(&id));
            compare(&mut explanation, bid, order, asks);
        }
        explanation.summary = sentence(order, &explanation);
        Some(explanation)
    }

    /// Orders that are served before this one.
    fn ahead(&self, order: &Order) -> Option<u32> {
        if order.state != OrderState::Resting {
            return None;
        }
        let shelf = self.table.shelves.get(&order.class())?;
        let count = if order.bid().is_none() {
            let key = ask_key(order);
            shelf.asks.iter().take_while(|(other, _)| *other < key).count()
        } else {
            let rank = |order: &Order| (Reverse(order.price()), order.arrived);
            let bids = shelf.bids.iter().filter_map(|id| self.table.orders.get(&id));
            bids.filter(|other| rank(other) < rank(order)).count()
        };
        u32::try_from(count).ok()
    }
}

/// Holds every ask, from the cheapest, against a bid.
fn compare<'a>(
    explanation: &mut Explanation,
    bid: &Bid,
    order: &Order,
    asks: impl Iterator<Item = &'a Order>,
) {
    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    let mut nearest: Option<(usize, Nearest)> = None;
    for ask in asks {
        let failed = failures(bid, order, ask);
        if failed.is_empty() {
            explanation.suitable += 1;
            continue;
        }
        let alone = failed.len() == 1;
        if alone && failed[0].constraint == "price" && explanation.price_that_matches.is_none() {
            explanation.price_that_matches = Some(ask.price());
        }
        if nearest.as_ref().is_none_or(|(count, _)| failed.len() < *count) {
            let changes =
                failed.iter().map(|one| format!("{}: {}", one.constraint, one.change)).collect();
            nearest = Some((failed.len(), Nearest { ask: ask.id, price: ask.price(), changes }));
        }
        for Failed { constraint, gap, change } in failed {
            let tally = tallies.entry(constraint).or_default();
            tally.asks += 1;
            tally.alone += u32::from(alone);
            let new = (!alone, gap, change);
            if tally.best.as_ref().is_none_or(|best| (new.0, new.1) < (best.0, best.1)) {
                tally.best = Some(new);
            }
        }
    }
    explanation.misses = tallies
        .into_iter()
        .map(|(constraint, Tally { asks, alone, best })| Miss {
            constraint: constraint.into(),
            asks,
            alone,
            change: best.map(|(_, _, change)| change).unwrap_or_default(),
        })
        .collect();
    if explanation.suitable == 0 {
        explanation.nearest = nearest.map(|(_, nearest)| nearest);
    }
}

fn add(levels: &mut BTreeMap<Price, Level>, order: &Order) {
    let empty = Level { price: order.price(), units: Units(0), orders: 0 };
    let level = levels.entry(order.price()).or_insert(empty);
    level.units.0 = level.units.0.saturating_add(order.open.0);
    level.orders += 1;
}

/// How an order ended, if it did.
fn end(order: &Order) -> Option<&'static str> {
    match (order.state, order.cancelled) {
        (OrderState::Filled, _) if !order.is_live() => Some("everything is filled"),
        (OrderState::Expired, _) => Some("its time was over"),
        (_, Some(why)) => Some(why.text()),
        (_, None) => None,
    }
}

fn sentence(order: &Order, found: &Explanation) -> String {
    match end(order) {
        Some(end) if order.bid().is_none() => format!("the ask is over: {end}"),
        Some(end) if order.state == OrderState::Filled => format!("the bid is over: {end}"),
        Some(end) => format!("the bid is over: {end}; if it were open, {}", if_open(order, found)),
        None => if_open(order, found),
    }
}

fn if_open(order: &Order, found: &Explanation) -> String {
    let place = match found.ahead {
        Some(0) => "; it is served first".to_owned(),
        Some(ahead) => format!("; {ahead} orders are served before it"),
        None => String::new(),
    };
    if order.bid().is_none() {
        return format!("an ask waits for bids of its class {}{place}", order.class());
    }
    if found.asks == 0 {
        return format!("there is no ask in class {}{place}", order.class());
    }
    let mut parts = vec![format!("{} of {} asks suit", found.suitable, found.asks)];
    parts.extend(found.misses.iter().map(|miss| {
        format!(
            "{} miss on {}, {} on it alone ({})",
            miss.asks, miss.constraint, miss.alone, miss.change
        )
    }));
    if let Some(nearest) = &found.nearest {
        parts.push(format!(
            "the nearest is ask {} at {}, {} short",
            nearest.ask,
            nearest.price,
            match nearest.changes.len() {
                1 => "1 constraint".to_owned(),
                count => format!("{count} constraints"),
            }
        ));
    }
    if let Some(price) = found.price_that_matches {
        parts.push(format!("at a limit of {price} it would match"));
    }
    if let Some(left) = found.search_budget.filter(|left| left.is_zero()) {
        parts.push(format!("its search budget is down to {left}: the next long search ends it"));
    }
    parts.join("; ") + &place
}

/// Every constraint that an ask fails.
fn failures(bid: &Bid, order: &Order, ask: &Order) -> Vec<Failed> {
    let Some(machine) = ask.machine() else { return Vec::new() };
    let needs = &bid.requirements;
    let mut failed = Vec::new();
    let mut fail = |constraint, gap, change| failed.push(Failed { constraint, gap, change });
    let minima = [
        ("cpu-cores", u32::from(machine.cpu_cores), u32::from(needs.cpu_cores_min), ""),
        ("memory", machine.memory_mib, needs.memory_mib_min, " MiB"),
        ("disk", machine.disk_mib, needs.disk_mib_min, " MiB"),
        ("gpu-count", u32::from(machine.gpu_count), u32::from(needs.gpu_count_min), ""),
        ("duration", machine.duration_s_max, needs.duration_s_min, " s"),
        ("reputation", u32::from(ask.reputation), u32::from(needs.reputation_min), ""),
    ];
    for (constraint, have, need, unit) in minima {
        if have < need {
            let change = format!("the nearest has {have}{unit}, the bid needs {need}{unit}");
            fail(constraint, u64::from(need - have), change);
        }
    }
    if !needs.regions.contains(machine.region) {
        fail("region", 0, format!("it stands in region {}", machine.region.0));
    }
    if !machine.capabilities.covers(needs.capabilities) {
        let lacking = needs.capabilities.0 & !machine.capabilities.0;
        let gap = u64::from(lacking.count_ones());
        fail("capabilities", gap, format!("it lacks capability bits {lacking:#x}"));
    }
    if ask.owner == order.owner {
        fail("own-ask", 0, "it belongs to the same account".to_owned());
    }
    if fill_units(bid, ask, ask.open, order.open).0 == 0 {
        let change = format!(
            "{} units are open and it fills at least {}; the bid needs {} in lots of {}, at least {} at once",
            ask.open,
            ask.ask().map_or(Units(0), |offer| offer.fill_min),
            order.open,
            bid.lot,
            bid.fill_min
        );
        fail("size", order.open.0.saturating_sub(ask.open.0), change);
    }
    if ask.price() > bid.price_max {
        let change = format!("the bid pays at most {}, it asks {}", bid.price_max, ask.price());
        fail("price", ask.price().0 - bid.price_max.0, change);
    }
    failed
}
