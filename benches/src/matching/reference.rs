//! The book that the generator keeps, so that its cancels name live orders. It shares no code with the books that are measured.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Tally;

type Levels = BTreeMap<u32, VecDeque<(u64, u32)>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    bids: Levels,
    asks: Levels,
    /// Where an order is: side, price, index in `live`.
    places: HashMap<u64, (bool, u32, usize)>,
    /// Ids of open orders, in no order.
    pub(crate) live: Vec<u64>,
    pub(crate) tally: Tally,
}

impl Reference {
    pub(crate) fn is_live(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    fn forget(&mut self, id: u64) {
        let Some((.., index)) = self.places.remove(&id) else { return };
        self.live.swap_remove(index);
        if let Some(moved) = self.live.get(index)
            && let Some(place) = self.places.get_mut(moved)
        {
            place.2 = index;
        }
    }

    fn take(&mut self, is_bid: bool, mut quantity: u32, limit: Option<u32>) -> u32 {
        let mut gone = Vec::new();
        let levels = if is_bid { &mut self.asks } else { &mut self.bids };
        while quantity > 0 {
            let best = if is_bid { levels.first_entry() } else { levels.last_entry() };
            let Some(mut level) = best else { break };
            let price = *level.key();
            if limit.is_some_and(|limit| if is_bid { price > limit } else { price < limit }) {
                break;
            }
            let queue = level.get_mut();
            while quantity > 0
                && let Some((id, open)) = queue.front_mut()
            {
                let filled = quantity.min(*open);
                self.tally.fill(*id, price, filled);
                quantity -= filled;
                *open -= filled;
                if *open == 0 {
                    gone.push(*id);
                    queue.pop_front();
                }
            }
            if queue.is_empty() {
                level.remove();
            }
        }
        gone.into_iter().for_each(|id| self.forget(id));
        quantity
    }

    pub(crate) fn add(&mut self, id: u64, is_bid: bool, price: u32, quantity: u32) {
        let left = self.take(is_bid, quantity, Some(price));
        if left > 0 {
            let levels = if is_bid { &mut self.bids } else { &mut self.asks };
            levels.entry(price).or_default().push_back((id, left));
            self.places.insert(id, (is_bid, price, self.live.len()));
            self.live.push(id);
        }
    }

    pub(crate) fn market(&mut self, is_bid: bool, quantity: u32) {
        self.take(is_bid, quantity, None);
    }

    pub(crate) fn cancel(&mut self, id: u64) {
        let Some((is_bid, price, _)) = self.places.get(&id).copied() else { return };
        let levels = if is_bid { &mut self.bids } else { &mut self.asks };
        if let Some(queue) = levels.get_mut(&price) {
            queue.retain(|order| order.0 != id);
            if queue.is_empty() {
                levels.remove(&price);
            }
        }
        self.forget(id);
    }
}
