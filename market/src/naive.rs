//! The obvious market: lists, and everything compared with everything, every time. The oracle that [`crate::Market`] is tested against.
//!
//! It takes the commands about orders, opens deals, and says what [`crate::Market`] says, event for event and settlement for settlement. Two
//! things it leaves out: deals have no life (their commands, and those of auditors, are refused with [`MarketError::NoDeal`], and their units never come back), and
//! there is no bound and no fee on the work of a search ([`Rules::visits_max`] and what belongs to it), because there is no index.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gongsuan_types::job::Check;
use gongsuan_types::order::{Bid, Capabilities, FillRule, Party, SelfMatch, Side, Work};
use gongsuan_types::{Address, Amount, DealId, Hash, Hasher, OrderId, Price, Units};

use crate::book::Why;
use crate::{
    Command, Event, HoldId, Market, MarketError, Moment, Order, OrderState, OrderTerms, Outcome,
    Rules, Settlement,
};

/// A newcomer's reputation. Without the life of deals, everybody stays one.
const REPUTATION: u16 = 500;

/// The obvious market. See the module's documentation.
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
/// let ask = Command::PlaceAsk(Ask {
///     class: Class::WASM, price: Price(100), units: Units(50), fill_min: Units(1), machine,
///     expires_at: TimeMs(60_000),
/// });
/// let provider = Party { address: Address([7; 32]), attested: Capabilities::NONE };
/// let (mut fast, mut naive) = (Market::new(Rules::default()), NaiveMarket::new(Rules::default()));
/// let (left, right) = (fast.submit(provider, ask.clone())?, naive.submit(provider, ask)?);
/// assert_eq!((left.events, left.settlements), (right.events, right.settlements));
/// assert_eq!(fast.end_block().events, naive.end_block().events);
/// # Ok::<(), MarketError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NaiveMarket {
    rules: Rules,
    now: Option<Moment>,
    orders: Vec<Order>,
    deals: u64,
    entered: u64,
    /// Whose accounts are whose, where it is known.
    owners: BTreeMap<Address, Hash>,
}

impl NaiveMarket {
    /// An empty market.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, now: None, orders: Vec::new(), deals: 0, entered: 0, owners: BTreeMap::new() }
    }

    /// A market's orders as they stand when the matching of its block begins: what follows from [`NaiveMarket::match_all`] is what the market has
    /// to do at the end of this block, whatever it has lived through.
    #[must_use]
    pub fn before_matching(market: &Market) -> Self {
        let mut market = market.clone();
        let mut ignored = Outcome::default();
        market.expire(&mut ignored);
        let fresh = market.insert();
        market.rematch_all(&fresh, &mut ignored);
        let (deals, entered) = (market.table.next_deal, market.table.next_sequence);
        let orders = market.table.orders.into_values().collect();
        let owners = market.table.owners;
        Self { rules: market.rules, now: Some(market.now), orders, deals, entered, owners }
    }

    /// All orders, oldest first.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Begins a block.
    pub fn begin_block(&mut self, moment: Moment) {
        self.now = Some(moment);
    }

    /// Takes one command.
    ///
    /// # Errors
    /// [`MarketError`], the one that [`crate::Market`] gives. The market is unchanged.
    pub fn submit(&mut self, party: Party, command: Command) -> Result<Outcome, MarketError> {
        match command {
            Command::PlaceAsk(mut ask) => {
                ask.validate(self.time())?;
                ask.machine.capabilities = ask.machine.capabilities.union(party.attested);
                let held = self.ask_deposit(ask.price, ask.units).ok_or(MarketError::Overflow)?;
                let units = ask.units;
                self.place(party, OrderTerms::Ask(ask), units, held)
            }
            Command::PlaceBid(bid) => {
                bid.validate(self.time())?;
                let limit = self.rules.ask_deposit_basis_points;
                let got = bid.work.deposit_basis_points();
                if got > limit {
                    return Err(MarketError::Mismatch {
                        field: "work.deposit_basis_points",
                        limit: format!("at most {limit}, what asks hold"),
                        got: got.to_string(),
                    });
                }
                let held = self.bid_hold(&bid).ok_or(MarketError::Overflow)?;
                let units = bid.units;
                self.place(party, OrderTerms::Bid(bid), units, held)
            }
            Command::Cancel(id) => {
                let at = self.owned(party, id)?;
                let mut outcome = Outcome::default();
                self.cancel(at, Why::Owner, &mut outcome);
                Ok(outcome)
            }
            Command::Amend { order, units, price } => self.amend(party, order, units, price),
            Command::Acknowledge(deal)
            | Command::Progress { deal, .. }
            | Command::Commit { deal, .. }
            | Command::Reveal { deal, .. }
            | Command::Audit { deal, .. }
            | Command::Challenge { deal, .. }
            | Command::Demand { deal, .. }
            | Command::Serve { deal, .. }
            | Command::DemandOutput { deal, .. }
            | Command::AskInput(deal)
            | Command::Stop(deal)
            | Command::Seal { deal, .. }
            | Command::SealAudit { deal, .. }
            | Command::Rate { deal, .. }
            | Command::Unseal { deal, .. }
            | Command::Beat { deal, .. }
            | Command::Leave(deal) => Err(MarketError::NoDeal(deal)),
            Command::Pledge(_)
            | Command::Unpledge
            | Command::ProveCapacity(_)
            | Command::GiveUpCapacity => Err(MarketError::NoDeal(DealId(0))),
        }
    }

    /// Ends the block: what is over expires, what is new enters, and every bid looks at every ask.
    pub fn end_block(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let now = self.time();
        let mut over: Vec<usize> = (0..self.orders.len())
            .filter(|at| self.orders[*at].is_live() && self.orders[*at].expires_at() <= now)
            .collect();
        over.sort_by_key(|at| (self.orders[*at].expires_at(), self.orders[*at].id));
        for at in over {
            let order = &mut self.orders[at];
            order.state = OrderState::Expired;
            outcome.events.push(Event::Expired { order: order.id, open: order.open });
            give_back(order, &mut outcome);
        }
        let mut new: Vec<usize> =
            (0..self.orders.len()).filter(|at| self.orders[*at].state == OrderState::New).collect();
        new.sort_by_key(|at| (self.tie(self.orders[*at].id), self.orders[*at].id));
        for at in new {
            self.entered += 1;
            let order = &mut self.orders[at];
            order.sequence = self.entered;
            if order.side() == Side::Ask {
                order.reputation = REPUTATION;
            }
            order.state = OrderState::Resting;
        }
        let matched = self.match_all();
        outcome.events.extend(matched.events);
        outcome.settlements.extend(matched.settlements);
        outcome
    }

    /// Every bid looks at every ask.
    pub fn match_all(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut bids: Vec<usize> = (0..self.orders.len())
            .filter(|at| self.orders[*at].side() == Side::Bid)
            .filter(|at| self.orders[*at].state == OrderState::Resting)
            .collect();
        bids.sort_by_key(|at| {
            let order = &self.orders[*at];
            (order.class(), Reverse(order.price()), order.arrived, self.tie(order.id), order.id)
        });
        for at in bids {
            self.match_bid(at, &mut outcome);
        }
        outcome
    }

    fn time(&self) -> gongsuan_types::TimeMs {
        self.now.map_or(gongsuan_types::TimeMs(0), |now| now.time)
    }

    /// What nobody could choose.
    fn tie(&self, id: OrderId) -> Hash {
        let block = self.now.map_or(Hash::ZERO, |now| now.block);
        let mut hasher = Hasher::new("gongsuan/market/tie/v1");
        hasher.update(&block.0).update(&id.0.to_le_bytes());
        hasher.finish()
    }

    fn ask_deposit(&self, price: Price, units: Units) -> Option<Amount> {
        price.cost(units).basis_points(self.rules.ask_deposit_basis_points)
    }

    /// The audits of one deal at a price: so many segments, each at its share of a segment's price, for every batch that every provider may commit.
    fn audits(&self, bid: &Bid, price: Price) -> Option<u128> {
        let Work::Job(job) = &bid.work else { return Some(0) };
        let one = price.cost(bid.lot).basis_points(self.rules.audit_price_basis_points)?;
        let drawn = u128::from(job.samples) * u128::from(job.pace.batches_max);
        one.micro().checked_mul(drawn * u128::from(job.pace.attempts_max))
    }

    /// What one provider's work may cost at a price, with the renter's bond. A lease needs no input, and has no bond.
    fn cost(&self, bid: &Bid, price: Price, units: Units) -> Option<u128> {
        let cost = price.cost(units);
        if matches!(bid.work, Work::Lease(_)) {
            return Some(cost.micro());
        }
        let bond = cost.basis_points(self.rules.bond_basis_points)?;
        cost.checked_add(bond).map(Amount::micro)
    }

    /// Everything at the limit, the audits of as many deals as there may be, and the budget for searching.
    fn bid_hold(&self, bid: &Bid) -> Option<Amount> {
        let work = self.cost(bid, bid.price_max, bid.units)?.checked_mul(copies(bid).into())?;
        let audits = self.audits(bid, bid.price_max)?.checked_mul(deals_max(bid).into())?;
        let budget = self.rules.search_budget_micro;
        Some(Amount::new(work.checked_add(audits)?.checked_add(budget.into())?))
    }

    fn place(
        &mut self,
        party: Party,
        terms: OrderTerms,
        open: Units,
        held: Amount,
    ) -> Result<Outcome, MarketError> {
        let owner = party.address;
        let theirs = self.orders.iter().filter(|order| order.owner == owner && order.is_live());
        let (count, limit) = (theirs.count(), self.rules.orders_per_account_max);
        if count >= limit as usize {
            let open = u32::try_from(count).unwrap_or(u32::MAX);
            return Err(MarketError::TooManyOrders { open, limit });
        }
        let id = OrderId(self.orders.len() as u64 + 1);
        let order = Order {
            id,
            owner,
            terms,
            state: OrderState::New,
            open,
            arrived: self.now.map_or(gongsuan_types::Height(0), |now| now.height),
            sequence: 0,
            reputation: 0,
            segments_done: 0,
            deals: 0,
            held,
            cancelled: None,
            vetted: party.attested.covers(Capabilities::VETTED),
        };
        let mut outcome = Outcome::default();
        if !held.is_zero() {
            let hold = HoldId::Order(id);
            outcome.settlements.push(Settlement::Hold { hold, owner, amount: held });
        }
        outcome.events.push(Event::Placed {
            order: id,
            owner,
            side: order.side(),
            class: order.class(),
            price: order.price(),
            units: open,
        });
        self.orders.push(order);
        Ok(outcome)
    }

    fn owned(&self, party: Party, id: OrderId) -> Result<usize, MarketError> {
        let at = self.orders.iter().position(|order| order.id == id);
        let at = at.ok_or(MarketError::NoOrder(id))?;
        if self.orders[at].owner != party.address {
            return Err(MarketError::NotYours { role: "owner of the order" });
        }
        if !self.orders[at].is_live() {
            return Err(MarketError::Closed(id));
        }
        Ok(at)
    }

    fn cancel(&mut self, at: usize, why: Why, outcome: &mut Outcome) {
        let order = &mut self.orders[at];
        order.state = OrderState::Cancelled;
        order.cancelled = Some(why);
        outcome.events.push(Event::Cancelled { order: order.id, open: order.open, why });
        give_back(order, outcome);
    }

    fn amend(
        &mut self,
        party: Party,
        id: OrderId,
        units: Units,
        price: Price,
    ) -> Result<Outcome, MarketError> {
        let at = self.owned(party, id)?;
        let wanted = self.ask_deposit(price, units);
        let order = &mut self.orders[at];
        let before = (order.price(), order.open);
        let OrderTerms::Ask(ask) = &mut order.terms else {
            return Err(MarketError::Mismatch {
                field: "order",
                limit: "an ask (a bid's units are its job's segments: cancel it and place another)"
                    .into(),
                got: "a bid".into(),
            });
        };
        if units < ask.fill_min || price.0 == 0 || units > gongsuan_types::order::UNITS_MAX {
            return Err(MarketError::Mismatch {
                field: "units, price",
                limit: format!("units of at least fill_min {}, a price above 0", ask.fill_min),
                got: format!("{units}, {price}"),
            });
        }
        let wanted = wanted.ok_or(MarketError::Overflow)?;
        ask.price = price;
        order.open = units;
        let (hold, owner, had) = (HoldId::Order(id), order.owner, order.held);
        order.held = wanted;
        // A better place in the queue is never kept.
        if price != before.0 || units > before.1 {
            order.state = OrderState::New;
        }
        let mut outcome = Outcome::default();
        if wanted > had {
            let amount = wanted.saturating_sub(had);
            outcome.settlements.push(Settlement::Hold { hold, owner, amount });
        } else if wanted < had {
            let amount = had.saturating_sub(wanted);
            outcome.settlements.push(Settlement::Void { hold, amount });
        }
        outcome.events.push(Event::Amended { order: id, open: units, price });
        Ok(outcome)
    }

    fn owner_of(&self, account: Address) -> Hash {
        self.owners.get(&account).copied().unwrap_or(Hash(account.0))
    }

    /// The best ask that suits, is not among `passed`, and costs no more than the bid pays.
    fn best_ask(&self, bid: &Bid, passed: &[usize]) -> Option<usize> {
        (0..self.orders.len())
            .filter(|at| !passed.contains(at) && self.orders[*at].state == OrderState::Resting)
            .filter(|at| {
                let ask = &self.orders[*at];
                let suits =
                    ask.machine().is_some_and(|it| bid.requirements.accept(it, ask.reputation));
                suits && ask.class() == bid.class && ask.price() <= bid.price_max
            })
            .min_by_key(|at| {
                let ask = &self.orders[*at];
                (ask.price(), Reverse(ask.reputation), ask.sequence)
            })
    }

    fn match_bid(&mut self, at: usize, outcome: &mut Outcome) {
        let order = self.orders[at].clone();
        let bid = order.bid().expect("a bid").clone();
        let copies = copies(&bid);
        let (mut need, mut fills, mut own, mut stop) = (order.open.0, vec![], vec![], false);
        let (mut passed, mut owners) = (Vec::new(), Vec::new());
        while need > 0 && fills.len() + (order.deals as usize) < deals_max(&bid) as usize {
            let Some(best) = self.best_ask(&bid, &passed) else { break };
            passed.push(best);
            let ask = &self.orders[best];
            if ask.owner == order.owner {
                match bid.self_match {
                    SelfMatch::Skip => continue,
                    SelfMatch::CancelResting => {
                        own.push(best);
                        continue;
                    }
                    SelfMatch::CancelIncoming => {
                        stop = true;
                        break;
                    }
                }
            }
            let offer = ask.ask().expect("an ask");
            let mut units = 0;
            while units + bid.lot.0 <= ask.open.0.min(need) {
                units += bid.lot.0;
            }
            let too_small = units < offer.fill_min.0 || (units < bid.fill_min.0 && units != need);
            if units == 0 || too_small {
                continue;
            }
            if copies == 1 {
                need -= units;
                fills.push((best, Units(units)));
            } else if units == need && !owners.contains(&self.owner_of(ask.owner)) {
                // Everybody does all of it, and no two are one owner's.
                owners.push(self.owner_of(ask.owner));
                fills.push((best, Units(units)));
            }
        }
        let is_complete = if copies == 1 { need == 0 } else { fills.len() == copies as usize };
        let is_whole = matches!(bid.fill_rule, FillRule::FillOrKill | FillRule::AllOrNone);
        if !is_complete && (is_whole || copies > 1) {
            fills.clear();
        }
        for ask in own {
            self.cancel(ask, Why::SelfMatch, outcome);
        }
        for (ask, units) in fills {
            self.open_deal(at, ask, units, outcome);
        }
        let order = &mut self.orders[at];
        if order.open.0 == 0 {
            order.state = OrderState::Filled;
            give_back(order, outcome);
            return;
        }
        let why = if stop {
            Why::SelfMatch
        } else if order.deals >= u32::from(bid.deals_max) {
            Why::Counterparties
        } else {
            match bid.fill_rule {
                FillRule::Rest | FillRule::AllOrNone => return,
                FillRule::ImmediateOrCancel => Why::Immediate,
                FillRule::FillOrKill => Why::NotWhole,
            }
        };
        self.cancel(at, why, outcome);
    }

    fn open_deal(&mut self, bid: usize, ask: usize, units: Units, outcome: &mut Outcome) {
        self.deals += 1;
        let deal = DealId(self.deals);
        let wish = self.orders[bid].bid().expect("a bid").clone();
        let price = self.orders[ask].price();
        let cost = price.cost(units);
        // Whoever takes over from this provider may ask as much as the bid's limit.
        let most = if wish.work.pace().attempts_max > 1 { wish.price_max } else { price };
        let work = self.cost(&wish, most, units).expect("smaller than at the limit");
        let audits = self.audits(&wish, most).expect("smaller than at the limit");
        let escrow = Amount::new(work + audits);
        let deposit = cost.basis_points(wish.work.deposit_basis_points());
        let deposit = deposit.expect("smaller than the ask's");
        let count = u32::try_from(units.0 / wish.lot.0).expect("no more segments than the job has");
        let first = self.orders[bid].segments_done;
        outcome.events.push(Event::Filled {
            deal,
            ask: self.orders[ask].id,
            bid: self.orders[bid].id,
            provider: self.orders[ask].owner,
            renter: self.orders[bid].owner,
            price,
            units,
            first,
            count,
        });
        let moves = [(bid, escrow, HoldId::Escrow(deal)), (ask, deposit, HoldId::Deposit(deal))];
        for (at, amount, target) in moves {
            let order = &mut self.orders[at];
            order.held = order.held.checked_sub(amount).expect("orders hold what fills need");
            order.deals += 1;
            if !amount.is_zero() {
                let source = HoldId::Order(order.id);
                outcome.settlements.push(Settlement::Move { source, target, amount });
            }
        }
        self.orders[ask].open.0 -= units.0;
        // The copies of a quorum are over the same segments, and all come at once.
        if self.orders[bid].deals.is_multiple_of(copies(&wish)) {
            self.orders[bid].open.0 -= units.0;
            self.orders[bid].segments_done += count;
        }
        if self.orders[ask].open.0 == 0 {
            self.orders[ask].state = OrderState::Filled;
        }
    }
}

/// How many providers do the same work.
fn copies(bid: &Bid) -> u32 {
    match &bid.work {
        Work::Job(job) => match job.check {
            Check::Quorum { copies } => copies.into(),
            Check::Lottery | Check::Own | Check::Predicate(_) => 1,
        },
        Work::Lease(_) => 1,
    }
}

/// Deals that a bid may open.
fn deals_max(bid: &Bid) -> u32 {
    if copies(bid) > 1 { copies(bid) } else { bid.deals_max.into() }
}

fn give_back(order: &mut Order, outcome: &mut Outcome) {
    if !order.held.is_zero() {
        let hold = HoldId::Order(order.id);
        outcome.settlements.push(Settlement::Void { hold, amount: order.held });
        order.held = Amount::ZERO;
    }
}
