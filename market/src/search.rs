//! Looking for asks, each class by itself and all classes at once.
//!
//! A class has its own books, and a bid looks only at its own class. So classes are searched on as many threads as there are; what they
//! found is put together in the order of the classes, and only then is anything changed. Neither the number of threads nor which of them
//! was first can be seen in the result.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::order::{Bid, Class, SelfMatch};
use gongsuan_types::{OrderId, Units};
use rayon::prelude::*;

use crate::attributes::{AskKey, Step};
use crate::matching::{copies, fill_units, is_whole};
use crate::table::{Shelf, ask_key};
use crate::{Market, Order, OrderState};

/// One fill to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fill {
    pub(crate) ask: OrderId,
    pub(crate) units: Units,
}

/// What looking for asks found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Search {
    pub(crate) fills: Vec<Fill>,
    /// Asks of the bid's own account that its policy cancels.
    pub(crate) cancel: Vec<OrderId>,
    /// The bid met itself and its policy cancels it.
    pub(crate) stop: bool,
    /// The work bound was reached. No ask before this key can fill any of what is still needed.
    pub(crate) deferred: Option<AskKey>,
    /// Nodes of the index that were visited.
    pub(crate) visited: u32,
}

/// The smallest work bound: a search that goes on comes back to its place in at most 32 steps, and has to get further.
const VISITS_LEAST: u32 = 64;

/// To find out which bids the asks that came in suit may cost as much as so many searches; or as the bids of the class, if they are more.
const TOLD: u32 = 16;

/// What is to be looked for in one class.
#[derive(Debug, Default)]
struct Task {
    shelf: Shelf,
    /// Bids that are searched for whatever came in, with the key where the search begins.
    awake: Vec<(OrderId, AskKey)>,
    /// The block's new orders.
    fresh: Vec<OrderId>,
}

/// What one class found, with its books given back.
type Found = (Class, Shelf, Vec<(OrderId, Search)>);

impl Market {
    /// Searches for every bid that can match. Answers what was found: classes in rising order, in each the best limit first.
    ///
    /// The books that come back lack the asks that are used up; the caller's writes to those orders follow.
    pub(crate) fn search_all(&mut self, fresh: &[OrderId]) -> Vec<(OrderId, Search)> {
        let tasks = self.tasks(fresh);
        let market = &*self;
        let work = |(class, task): (Class, Task)| market.work(class, task);
        let found: Vec<Found> = if tasks.len() > 1 {
            // An indexed iterator collects in the order of its items, whichever is ready first.
            tasks.into_par_iter().map(work).collect()
        } else {
            tasks.into_iter().map(work).collect()
        };
        let mut all = Vec::new();
        for (class, shelf, searches) in found {
            self.table.shelves.insert(class, shelf);
            all.extend(searches);
        }
        all
    }

    /// Takes the books of every class in which something can match, with what is to be looked for.
    fn tasks(&mut self, fresh: &[OrderId]) -> Vec<(Class, Task)> {
        let mut tasks: BTreeMap<Class, Task> = BTreeMap::new();
        for (id, awake) in std::mem::take(&mut self.awake) {
            if let Some(order) = self.table.orders.get(&id) {
                tasks.entry(order.class()).or_default().awake.push((id, awake.start()));
            }
        }
        for (class, shelf) in &self.table.shelves {
            if !shelf.whole.is_empty() {
                tasks.entry(*class).or_default();
            }
        }
        for order in fresh.iter().filter_map(|id| self.table.orders.get(id)) {
            tasks.entry(order.class()).or_default().fresh.push(order.id);
        }
        // A class without books has nobody to search for.
        let take = |(class, task): (Class, Task)| {
            let shelf = self.table.shelves.remove(&class)?;
            Some((class, Task { shelf, ..task }))
        };
        tasks.into_iter().filter_map(take).collect()
    }

    fn work(&self, class: Class, task: Task) -> Found {
        let candidates = self.candidates(&task);
        let mut shelf = task.shelf;
        let mut ranked: Vec<_> = candidates
            .into_iter()
            .filter_map(|(id, from)| self.table.orders.get(&id).map(|order| (order, from)))
            .filter(|(order, _)| order.state == OrderState::Resting)
            .map(|(order, from)| {
                (Reverse(order.price()), order.arrived, self.tie(order.id), order.id, from)
            })
            .collect();
        ranked.sort_unstable();
        // What is left of the asks from which this block has taken something.
        let mut open = BTreeMap::new();
        let mut searches = Vec::with_capacity(ranked.len());
        for (.., id, from) in ranked {
            let Some(order) = self.table.orders.get(&id) else { continue };
            let Some(bid) = order.bid() else { continue };
            let search = self.search(&shelf, &open, (order, bid, from));
            for fill in &search.fills {
                let Some(ask) = self.table.orders.get(&fill.ask) else { continue };
                let left = open.entry(fill.ask).or_insert(ask.open);
                left.0 -= fill.units.0;
                if left.0 == 0 {
                    shelf.asks.remove(ask_key(ask));
                }
            }
            for ask in search.cancel.iter().filter_map(|id| self.table.orders.get(id)) {
                shelf.asks.remove(ask_key(ask));
            }
            searches.push((id, search));
        }
        (class, shelf, searches)
    }

    /// The bids of a class that can match, each with the key before which no ask can fill it.
    ///
    /// A bid was looked at in the block in which it came, and found all that suited. After that only four things give it a fill: an ask
    /// that entered the book since and suits it; more of the search, if its work bound stopped it; what it passed over before a fill made
    /// it smaller; and, if it takes all or nothing, any change at all.
    fn candidates(&self, task: &Task) -> BTreeMap<OrderId, AskKey> {
        let mut found: BTreeMap<OrderId, AskKey> = task.awake.iter().copied().collect();
        found.extend(task.shelf.whole.iter().map(|id| (*id, AskKey::FIRST)));
        let bids = u32::try_from(task.shelf.bids.len()).unwrap_or(u32::MAX);
        let mut work = self.rules.visits_max.max(VISITS_LEAST).saturating_mul(TOLD).max(bids);
        let (mut suited, mut untold) = (Vec::new(), None);
        for order in task.fresh.iter().filter_map(|id| self.table.orders.get(id)) {
            let Some(machine) = order.machine() else {
                found.insert(order.id, AskKey::FIRST);
                continue;
            };
            let key = ask_key(order);
            let place = (order.reputation, order.price());
            let is_told = work > 0 && {
                suited.clear();
                task.shelf.bids.suited_within(machine, place, &mut work, &mut suited)
            };
            if is_told {
                for bid in &suited {
                    found.entry(*bid).and_modify(|from| *from = key.min(*from)).or_insert(key);
                }
            } else {
                untold = Some(untold.map_or(key, |first: AskKey| first.min(key)));
            }
        }
        // To look for everybody once is then cheaper than to find out who is meant. It finds the same: a bid that no fresh ask suits takes nothing.
        if let Some(key) = untold {
            for bid in task.shelf.bids.iter() {
                found.entry(bid).and_modify(|from| *from = key.min(*from)).or_insert(key);
            }
        }
        found
    }

    /// Takes suitable asks of the class from the cheapest at or after `from`. Reads only.
    fn search(
        &self,
        shelf: &Shelf,
        open: &BTreeMap<OrderId, Units>,
        (order, bid, mut from): (&Order, &Bid, AskKey),
    ) -> Search {
        let mut search = Search::default();
        let mut need = order.open;
        let copies = copies(bid);
        let deals_left = if copies > 1 {
            copies
        } else {
            usize::from(bid.deals_max).saturating_sub(order.deals as usize)
        };
        // No two copies of a quorum are one owner's.
        let mut owners = BTreeSet::new();
        let bound = self.rules.visits_max.max(VISITS_LEAST);
        let mut work = bound;
        while need.0 > 0 && search.fills.len() < deals_left {
            let id = match shelf.asks.next(&bid.requirements, from, bid.price_max, &mut work) {
                Step::Found(key, id) => {
                    from = key.next();
                    id
                }
                Step::OutOfWork(key) => {
                    search.deferred = Some(key);
                    break;
                }
                Step::Nothing => break,
            };
            let Some(ask) = self.table.orders.get(&id) else { continue };
            if ask.owner == order.owner {
                match bid.self_match {
                    SelfMatch::Skip => continue,
                    SelfMatch::CancelResting => {
                        search.cancel.push(id);
                        continue;
                    }
                    SelfMatch::CancelIncoming => {
                        search.stop = true;
                        break;
                    }
                }
            }
            let units = fill_units(bid, ask, open.get(&id).copied().unwrap_or(ask.open), need);
            if copies > 1 {
                if units == need && owners.insert(self.owner_of(&ask.owner)) {
                    search.fills.push(Fill { ask: id, units });
                }
            } else if units.0 > 0 {
                search.fills.push(Fill { ask: id, units });
                need.0 -= units.0;
            }
        }
        let is_complete = if copies > 1 { search.fills.len() == copies } else { need.0 == 0 };
        if is_whole(bid) && !is_complete {
            search.fills.clear();
        }
        search.visited = bound - work;
        search
    }
}
