//! Which orders of a block trade with which. Reads the book and changes nothing: two cursors go down both sides, best first.
//!
//! At one price the orders that rest come before the block's own, and those by their rank. The two orders at the cursors trade as much as
//! both can, until the sides no longer meet. No order passes over a better one of the other side: otherwise two fills could exist that no
//! single price suits. So an order that may not trade with the one it meets *leaves*: it keeps its fills and takes no further part in this
//! block. An order that wants everything or nothing and has to leave before it has everything is *undone*: both cursors go back to where it
//! began, and it sits this block out, as if it were not there.

use std::collections::BTreeSet;

use gongsuan_types::order::SelfMatch;

use super::ladder::Ladder;
use super::slab::{BID, KILL, NIL, SPECIAL, Slot, WHOLE};
use super::snapshot::Waiting;
use super::store::{Store, policy_of};
use super::{UNDONE_MAX, Why};

/// A place with this bit is one among the block's new orders of its side.
pub(super) const FRESH: u32 = 1 << 31;

/// Two orders trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) bid: u32,
    pub(super) ask: u32,
    pub(super) quantity: u32,
}

/// An order ends inside the block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    /// After so many pairs.
    pub(super) after: usize,
    pub(super) is_bid: bool,
    pub(super) place: u32,
    pub(super) why: Why,
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) pairs: Vec<Pair>,
    pub(super) gone: Vec<Gone>,
    marks: Vec<Mark>,
    out: BTreeSet<u64>,
}

/// One side: what rests, and the block's new orders by price and rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a, const HIGH: bool> {
    pub(super) ladder: &'a Ladder<HIGH>,
    pub(super) fresh: &'a [Slot],
}

/// The order whose turn it is.
#[derive(Clone, Copy, Debug)]
struct Party {
    place: u32,
    id: u64,
    owner: u32,
    price: u32,
    flags: u32,
    quantity: u32,
    left: u32,
    fill_min: u32,
    others_left: u32,
}

impl Party {
    fn is_whole(&self) -> bool {
        self.flags & (WHOLE | KILL) != 0
    }

    fn is_partial(&self) -> bool {
        self.is_whole() && self.left < self.quantity
    }

    /// Whether a fill is smaller than this order takes.
    fn is_short(&self, quantity: u32) -> bool {
        quantity < self.fill_min && quantity != self.left
    }
}

/// Where one side stands: the next order that rests, the next new one, and the one whose turn it is.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    resting: u32,
    resting_price: u32,
    fresh: usize,
    turn: Option<Party>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    bid: Cursor,
    ask: Cursor,
}

/// Where an order that wants everything began.
#[derive(Clone, Copy, Debug)]
struct Mark {
    id: u64,
    state: State,
    pairs: usize,
    gone: usize,
}

enum Step {
    On,
    /// This order does not get everything.
    Undo(u64),
    Done,
}

/// What is left of a side at its best price, and the price after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    pub(super) price: u32,
    pub(super) quantity: u64,
    pub(super) next: Option<u32>,
}

/// The last prices that traded, and what is left on both sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margin {
    pub(super) bid: u32,
    pub(super) ask: u32,
    pub(super) bids_left: Option<Left>,
    pub(super) asks_left: Option<Left>,
}

impl<const HIGH: bool> Line<'_, HIGH> {
    fn start(&self) -> Cursor {
        let price = self.ladder.best();
        let resting = price.and_then(|price| self.ladder.level(price)).map_or(NIL, |l| l.head);
        Cursor { resting, resting_price: price.unwrap_or(0), fresh: 0, turn: None }
    }

    /// The place of the next order.
    #[inline]
    fn peek(&self, cursor: &Cursor) -> Option<u32> {
        let fresh = self.fresh.get(cursor.fresh);
        if cursor.resting != NIL
            && fresh.is_none_or(|fresh| Ladder::<HIGH>::reaches(cursor.resting_price, fresh.price))
        {
            return Some(cursor.resting);
        }
        fresh.map(|_| FRESH | u32::try_from(cursor.fresh).unwrap_or(NIL))
    }

    #[inline]
    fn slot<'b>(&'b self, store: &'b Store, place: u32) -> &'b Slot {
        if place & FRESH != 0 {
            &self.fresh[(place & !FRESH) as usize]
        } else {
            store.slab.get(place)
        }
    }

    /// Leaves the next order behind.
    #[inline]
    fn advance(&self, store: &Store, cursor: &mut Cursor, place: u32) {
        cursor.turn = None;
        if place & FRESH != 0 {
            cursor.fresh += 1;
            return;
        }
        cursor.resting = store.slab.get(place).next;
        if cursor.resting == NIL
            && let Some(price) = self.ladder.worse(cursor.resting_price)
        {
            cursor.resting_price = price;
            cursor.resting = self.ladder.level(price).map_or(NIL, |level| level.head);
        }
    }
}

/// Works out a [`Plan`].
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) waiting: &'a [Waiting],
    pub(super) bids: Line<'a, true>,
    pub(super) asks: Line<'a, false>,
}

impl Planner<'_> {
    /// Fills the plan. Answers the margin, if anything trades.
    pub(super) fn run(&self, plan: &mut Plan) -> Option<Margin> {
        plan.pairs.clear();
        plan.gone.clear();
        plan.marks.clear();
        plan.out.clear();
        let mut whole_ones = true;
        let mut state = State { bid: self.bids.start(), ask: self.asks.start() };
        loop {
            match self.step(&mut state, plan, whole_ones) {
                Step::On => {}
                Step::Done => break,
                Step::Undo(id) => {
                    plan.out.insert(id);
                    if plan.out.len() > UNDONE_MAX {
                        whole_ones = false;
                    }
                    let begun = plan.marks.iter().rposition(|mark| mark.id == id);
                    // From the very beginning if none of them takes part any more.
                    let begun = if whole_ones { begun.expect("it began somewhere") } else { 0 };
                    let mark = plan.marks[begun];
                    plan.marks.truncate(begun);
                    plan.pairs.truncate(mark.pairs);
                    plan.gone.truncate(mark.gone);
                    state = mark.state;
                }
            }
        }
        let last = plan.pairs.last()?;
        Some(Margin {
            bid: self.bids.slot(self.store, last.bid).price,
            ask: self.asks.slot(self.store, last.ask).price,
            bids_left: self.left(&self.bids, state.bid, plan, whole_ones),
            asks_left: self.left(&self.asks, state.ask, plan, whole_ones),
        })
    }

    #[inline]
    fn step(&self, state: &mut State, plan: &mut Plan, whole_ones: bool) -> Step {
        if state.bid.turn.is_none() {
            self.load::<true>(state, plan, whole_ones);
        }
        if state.ask.turn.is_none() {
            self.load::<false>(state, plan, whole_ones);
        }
        let (Some(bid), Some(ask)) = (&mut state.bid.turn, &mut state.ask.turn) else {
            return Self::end(state);
        };
        if bid.price < ask.price {
            return Self::end(state);
        }
        if bid.owner == ask.owner {
            return self.meet_itself(state, plan);
        }
        let quantity = bid.left.min(ask.left);
        if quantity < bid.fill_min.max(ask.fill_min) {
            let (bid_leaves, ask_leaves) = (bid.is_short(quantity), ask.is_short(quantity));
            if bid_leaves || ask_leaves {
                return self.leave_both(state, plan, (bid_leaves, ask_leaves), None);
            }
        }
        if bid.price == u32::MAX && ask.price == 0 && self.store.stats.last.is_none() {
            return self.leave_both(state, plan, (true, true), Some(Why::Immediate));
        }
        plan.pairs.push(Pair { bid: bid.place, ask: ask.place, quantity });
        bid.left -= quantity;
        ask.left -= quantity;
        bid.others_left -= 1;
        ask.others_left -= 1;
        let (bid_full, ask_full) = (bid.left > 0, ask.left > 0);
        let leaves = (bid_full && bid.others_left == 0, ask_full && ask.others_left == 0);
        let (bid, ask) = (bid.place, ask.place);
        if !bid_full {
            self.bids.advance(self.store, &mut state.bid, bid);
        }
        if !ask_full {
            self.asks.advance(self.store, &mut state.ask, ask);
        }
        if leaves == (false, false) {
            return Step::On;
        }
        self.leave_both(state, plan, leaves, Some(Why::Counterparties))
    }

    /// The next order of a side that takes part gets its turn.
    #[inline]
    fn load<const HIGH: bool>(&self, state: &mut State, plan: &mut Plan, whole_ones: bool) {
        loop {
            let cursor = if HIGH { &mut state.bid } else { &mut state.ask };
            let place = if HIGH { self.bids.peek(cursor) } else { self.asks.peek(cursor) };
            let Some(place) = place else { return };
            let party = self.party::<HIGH>(place);
            if party.flags & (SPECIAL | WHOLE | KILL) == 0 {
                cursor.turn = Some(party);
                return;
            }
            let sits_out = party.is_whole() && (!whole_ones || plan.out.contains(&party.id));
            let expired = !sits_out && self.expired::<HIGH>(place);
            if expired {
                let (after, why) = (plan.pairs.len(), Why::Expired);
                plan.gone.push(Gone { after, is_bid: HIGH, place, why });
            }
            if expired || sits_out {
                self.pass::<HIGH>(cursor, place);
                continue;
            }
            if party.is_whole() {
                let (pairs, gone) = (plan.pairs.len(), plan.gone.len());
                plan.marks.push(Mark { id: party.id, state: *state, pairs, gone });
            }
            let cursor = if HIGH { &mut state.bid } else { &mut state.ask };
            cursor.turn = Some(party);
            return;
        }
    }

    #[inline]
    fn pass<const HIGH: bool>(&self, cursor: &mut Cursor, place: u32) {
        if HIGH {
            self.bids.advance(self.store, cursor, place);
        } else {
            self.asks.advance(self.store, cursor, place);
        }
    }

    #[inline]
    fn slot<const HIGH: bool>(&self, place: u32) -> &Slot {
        if HIGH { self.bids.slot(self.store, place) } else { self.asks.slot(self.store, place) }
    }

    #[inline]
    fn party<const HIGH: bool>(&self, place: u32) -> Party {
        let slot = self.slot::<HIGH>(place);
        let (mut fill_min, mut others_left) = (0, u32::MAX);
        if slot.flags & SPECIAL != 0 {
            (fill_min, others_left) = self.limits(place, slot);
        }
        Party {
            place,
            id: slot.id,
            owner: slot.owner,
            price: slot.price,
            flags: slot.flags,
            quantity: slot.quantity,
            left: slot.quantity,
            fill_min,
            others_left,
        }
    }

    /// The smallest fill, and with how many others it may trade.
    #[cold]
    fn limits(&self, place: u32, slot: &Slot) -> (u32, u32) {
        let rare = if place & FRESH != 0 {
            super::store::rare_of(&self.waiting[slot.prev as usize].order)
        } else {
            Some(self.store.rare(slot.id))
        };
        rare.map_or((0, u32::MAX), |rare| {
            (rare.fill_min, rare.counterparties_left.unwrap_or(u32::MAX))
        })
    }

    /// New orders past their time never get this far.
    #[cold]
    fn expired<const HIGH: bool>(&self, place: u32) -> bool {
        place & FRESH == 0 && self.store.is_expired(self.slot::<HIGH>(place))
    }

    /// The policy of the newer one decides.
    #[cold]
    fn meet_itself(&self, state: &mut State, plan: &mut Plan) -> Step {
        let (Some(bid), Some(ask)) = (state.bid.turn, state.ask.turn) else { return Step::On };
        let bid_is_newer = bid.id > ask.id;
        let newer = if bid_is_newer { bid } else { ask };
        let (leaver, why) = match policy_of(newer.flags) {
            SelfMatch::Skip => (bid_is_newer, None),
            SelfMatch::CancelIncoming => (bid_is_newer, Some(Why::SelfMatch)),
            SelfMatch::CancelResting => (!bid_is_newer, Some(Why::SelfMatch)),
        };
        self.leave_both(state, plan, (leaver, !leaver), why)
    }

    /// Orders leave; with a reason, they end.
    #[cold]
    fn leave_both(
        &self,
        state: &mut State,
        plan: &mut Plan,
        (bid_leaves, ask_leaves): (bool, bool),
        why: Option<Why>,
    ) -> Step {
        for (is_bid, leaves) in [(true, bid_leaves), (false, ask_leaves)] {
            let cursor = if is_bid { &mut state.bid } else { &mut state.ask };
            let Some(party) = cursor.turn.filter(|_| leaves) else { continue };
            if party.is_partial() {
                return Step::Undo(party.id);
            }
            if let Some(why) = why {
                let (after, place) = (plan.pairs.len(), party.place);
                plan.gone.push(Gone { after, is_bid, place, why });
            }
            if is_bid {
                self.pass::<true>(cursor, party.place);
            } else {
                self.pass::<false>(cursor, party.place);
            }
        }
        Step::On
    }

    /// The sides no longer meet.
    fn end(state: &State) -> Step {
        let turns = [state.bid.turn, state.ask.turn];
        let partial = turns.into_iter().flatten().find(Party::is_partial);
        partial.map_or(Step::Done, |party| Step::Undo(party.id))
    }

    /// What is left of a side among those that take part.
    fn left<const HIGH: bool>(
        &self,
        line: &Line<'_, HIGH>,
        mut cursor: Cursor,
        plan: &Plan,
        whole_ones: bool,
    ) -> Option<Left> {
        let mut left: Option<Left> = None;
        while let Some(place) = line.peek(&cursor) {
            let turn = cursor.turn.unwrap_or_else(|| self.party::<HIGH>(place));
            debug_assert_eq!(turn.flags & BID != 0, HIGH, "each side has its own orders");
            line.advance(self.store, &mut cursor, place);
            let special = turn.flags & (SPECIAL | WHOLE | KILL) != 0;
            let sits_out = turn.is_whole() && (!whole_ones || plan.out.contains(&turn.id));
            if special && (sits_out || self.expired::<HIGH>(place)) {
                continue;
            }
            // An order without a limit wants what one at the end of the scale wants.
            let price = turn.price.clamp(1, u32::MAX - 1);
            match &mut left {
                None => {
                    left = Some(Left { price, quantity: u64::from(turn.left), next: None });
                }
                Some(left) if left.price == price => left.quantity += u64::from(turn.left),
                Some(left) => {
                    left.next = Some(price);
                    break;
                }
            }
        }
        left
    }
}
