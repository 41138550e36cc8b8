//! The one price of a block.

use std::cmp::Ordering;

use super::Tick;
use super::plan::Margin;

/// Prices from the first to the second, both included; empty if they are the other way round.
type Zone = (u64, u64);

/// Every price from the last ask filled to the last bid filled trades the most. Of these, the ones that leave the least over: strictly
/// between the best orders left nothing is left over; at the best bid left and down to the next one below it, what lies there is; and so
/// with asks. Of those, the middle, rounded down; the end where limits are if one side of the margin has none; what traded `last` (the
/// nearest of them) if neither has.
pub(super) fn uniform(margin: &Margin, last: Option<Tick>) -> Tick {
    let scale = (1, u64::from(u32::MAX) - 1);
    let all = meet(scale, (u64::from(margin.ask), u64::from(margin.bid)));
    let bid = margin.bids_left.map_or(0, |left| u64::from(left.price));
    let ask = margin.asks_left.map_or(u64::MAX, |left| u64::from(left.price));
    let balanced = meet(all, (bid.saturating_add(1), ask.saturating_sub(1)));
    let zone = if is_empty(balanced) { least_left(margin, all) } else { balanced };
    let price = match (margin.ask == 0, margin.bid == u32::MAX) {
        (false, false) => zone.0 + (zone.1 - zone.0) / 2,
        (false, true) => zone.0,
        (true, false) => zone.1,
        (true, true) => last.map_or(zone.0, |last| u64::from(last.0).clamp(zone.0, zone.1)),
    };
    Tick(u32::try_from(price).expect("on the scale"))
}

fn meet(a: Zone, b: Zone) -> Zone {
    (a.0.max(b.0), a.1.min(b.1))
}

fn is_empty(zone: Zone) -> bool {
    zone.0 > zone.1
}

/// Where something is left over at every price: the prices at which it is least.
fn least_left(margin: &Margin, all: Zone) -> Zone {
    let bids = margin.bids_left.map(|left| {
        let below = left.next.map_or(0, u64::from);
        (left.quantity, meet(all, (below + 1, u64::from(left.price))))
    });
    let asks = margin.asks_left.map(|left| {
        let above = left.next.map_or(u64::MAX, u64::from);
        (left.quantity, meet(all, (u64::from(left.price), above - 1)))
    });
    let (bids, asks) =
        (bids.filter(|(_, zone)| !is_empty(*zone)), asks.filter(|(_, zone)| !is_empty(*zone)));
    match (bids, asks) {
        (Some(bids), Some(asks)) => match bids.0.cmp(&asks.0) {
            Ordering::Less => bids.1,
            Ordering::Equal => (bids.1.0, asks.1.1),
            Ordering::Greater => asks.1,
        },
        (Some(one), None) | (None, Some(one)) => one.1,
        (None, None) => all,
    }
}
