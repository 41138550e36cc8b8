//! The façade.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::order::{Ask, Bid, Capabilities, Party, Side};
use gongsuan_types::{Address, Amount, Hash, Height, OrderId, Price, TimeMs, Units, codec};
use serde::{Deserialize, Serialize};

use crate::book::Why;
use crate::matching::Awake;
use crate::order::Terms;
use crate::table::{Stored, Table};
use crate::{
    Command, Deal, Event, HoldId, MarketError, Order, OrderState, Outcome, RecordId, Rules,
    Settlement,
};

/// Where the chain is: the block that is being applied.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::{Hash, Height, TimeMs};
/// let now = Moment { height: Height(1), time: TimeMs(1_000), block: Hash::of_content(b"1") };
/// let quiet: Outcome = Market::new(Rules::default()).begin_block(now, &[]);
/// assert!(quiet.events.is_empty());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
    /// Its hash, which nobody knew when the block before was made.
    pub block: Hash,
}

/// Orders, books and deals. See the crate's documentation.
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
/// let block = Hash::of_content(b"block 1");
/// let _ = market.begin_block(Moment { height: Height(1), time: TimeMs(1_000), block }, &[]);
/// let placed = market.submit(provider, Command::PlaceAsk(ask))?;
/// assert!(matches!(placed.settlements[..], [Settlement::Hold { .. }]), "the deposit is held");
/// let _ = market.end_block();
/// assert_eq!(market.book(Class::WASM).asks[0].units, Units(50));
/// # Ok::<(), MarketError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Market {
    pub(crate) rules: Rules,
    pub(crate) table: Table,
    pub(crate) now: Moment,
    /// Bids to be searched for at the end of the next block, whatever comes in by then.
    pub(crate) awake: BTreeMap<OrderId, Awake>,
}

impl Market {
    /// An empty market.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let now = Moment { height: Height(0), time: TimeMs(0), block: Hash::ZERO };
        Self { rules, table: Table::default(), now, awake: BTreeMap::new() }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Begins a block: fires every deadline that is due, fixes the beacons of the results committed in the block before,
    /// and draws samples where everything for it is there. `auditors` are the accounts attested as such, in rising order.
    ///
    /// # Panics
    /// If the height does not rise.
    pub fn begin_block(&mut self, moment: Moment, auditors: &[Address]) -> Outcome {
        self.begin(moment, auditors, true)
    }

    /// Begins a block before which no blocks came for so long that parties could not be heard: no deadline of a deal is fired in it, so that what they
    /// have to say, and whose time may be over by now, can come first. The next block fires what is due then.
    pub fn begin_block_after_gap(&mut self, moment: Moment, auditors: &[Address]) -> Outcome {
        self.begin(moment, auditors, false)
    }

    fn begin(&mut self, moment: Moment, auditors: &[Address], fires: bool) -> Outcome {
        assert!(moment.height > self.now.height, "blocks rise");
        let since = moment.time.since(self.now.time);
        self.now = moment;
        let mut outcome = Outcome::default();
        self.sweep(auditors, fires, &mut outcome);
        self.probe_all(since, &mut outcome);
        outcome
    }

    /// Begins a transaction: what [`Market::submit`] does until [`Market::abort_tx`] can be undone.
    pub fn begin_tx(&mut self) {
        self.table.begin();
    }

    /// Ends a transaction and keeps what it did.
    pub fn commit_tx(&mut self) {
        self.table.commit();
    }

    /// Ends a transaction and undoes what it did.
    pub fn abort_tx(&mut self) {
        self.table.abort();
    }

    /// Takes one command.
    ///
    /// # Errors
    /// [`MarketError`], by what was wrong. The market is unchanged.
    pub fn submit(&mut self, party: Party, command: Command) -> Result<Outcome, MarketError> {
        let mut outcome = Outcome::default();
        match command {
            Command::PlaceAsk(ask) => self.place_ask(party, ask, &mut outcome)?,
            Command::PlaceBid(bid) => self.place_bid(party, *bid, &mut outcome)?,
            Command::Cancel(id) => self.cancel(party, id, &mut outcome)?,
            Command::Amend { order, units, price } => {
                self.amend(party, order, (units, price), &mut outcome)?;
            }
            Command::Acknowledge(deal) => self.acknowledge(party.address, deal, &mut outcome)?,
            Command::Progress { deal, done } => {
                self.progress(party.address, deal, done, &mut outcome)?;
            }
            Command::Commit { deal, commitment, receipts } => {
                self.commit_results(party.address, deal, (commitment, receipts), &mut outcome)?;
            }
            Command::Reveal { deal, secret, path } => {
                self.reveal(party.address, deal, (secret, path.as_ref()), &mut outcome)?;
            }
            Command::Audit { deal, sample, committed, proof, found } => {
                let report = crate::deal::Report { sample, committed, proof, found };
                self.audit(party.address, deal, &report, &mut outcome)?;
            }
            Command::Challenge { deal, committed, proof, found } => {
                let claim = (committed, &proof, found);
                self.challenge(party.address, deal, claim, &mut outcome)?;
            }
            Command::Demand { deal, segment } => {
                self.demand(party.address, deal, segment, &mut outcome)?;
            }
            Command::Serve { deal, receipt, proof } => {
                self.serve(party.address, deal, (receipt, &proof), &mut outcome)?;
            }
            Command::DemandOutput { deal, committed, proof } => {
                self.demand_output(party.address, deal, (committed, &proof), &mut outcome)?;
            }
            Command::AskInput(deal) => self.ask_input(party.address, deal, &mut outcome)?,
            Command::Stop(deal) => self.stop(party.address, deal, &mut outcome)?,
            Command::Seal { deal, seal } => self.seal(party.address, deal, seal, &mut outcome)?,
            Command::Pledge(amount) => self.pledge(party.address, amount, &mut outcome)?,
            Command::Rate { deal, stars, comment } => {
                self.rate(party.address, deal, (stars, comment), &mut outcome)?;
            }
            Command::Unpledge => self.unpledge(party.address)?,
            Command::SealAudit { deal, sample, seal } => {
                self.seal_audit(party.address, (deal, sample), seal, &mut outcome)?;
            }
            Command::Unseal { deal, commitment, receipts, salt } => {
                let results = (commitment, receipts, salt);
                self.unseal(party.address, deal, results, &mut outcome)?;
            }
            Command::Beat { deal, interval, token } => {
                self.beat(party.address, deal, (interval, token), &mut outcome)?;
            }
            Command::Leave(deal) => self.leave(party.address, deal, &mut outcome)?,
            Command::ProveCapacity(claim) => {
                self.prove_capacity(party.address, claim, &mut outcome)?;
            }
            Command::GiveUpCapacity => self.give_up_capacity(party.address, &mut outcome)?,
        }
        Ok(outcome)
    }

    /// Ends the block: expires, inserts and matches. See the crate's documentation.
    pub fn end_block(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        self.expire(&mut outcome);
        let fresh = self.insert();
        self.rematch_all(&fresh, &mut outcome);
        self.match_all(&fresh, &mut outcome);
        outcome
    }

    fn place_ask(
        &mut self,
        party: Party,
        mut ask: Ask,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        ask.validate(self.now.time)?;
        ask.machine.capabilities = ask.machine.capabilities.union(party.attested);
        let deposit = ask
            .price
            .cost(ask.units)
            .basis_points(self.rules.ask_deposit_basis_points)
            .ok_or(MarketError::Overflow)?;
        let units = ask.units;
        self.check_listing(party.address, &ask.machine)?;
        self.place(party, Terms::Ask(ask), (units, deposit), outcome)
    }

    fn place_bid(
        &mut self,
        party: Party,
        bid: Bid,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        bid.validate(self.now.time)?;
        let (limit, got) = (self.rules.ask_deposit_basis_points, bid.work.deposit_basis_points());
        if got > limit {
            return Err(MarketError::Mismatch {
                field: "work.deposit_basis_points",
                limit: format!("at most {limit}, what asks hold"),
                got: got.to_string(),
            });
        }
        let budget = Amount::new(u128::from(self.rules.search_budget_micro));
        let held = self
            .needed_by(&bid, bid.units, deals_max(&bid))
            .and_then(|needed| needed.checked_add(budget))
            .ok_or(MarketError::Overflow)?;
        let units = bid.units;
        self.place(party, Terms::Bid(Box::new(bid)), (units, held), outcome)
    }

    /// What a bid's fills may still need of what it holds. `None`: it does not fit, which is refused when the bid is placed.
    pub(crate) fn needed(&self, order: &Order) -> Option<Amount> {
        let bid = order.bid()?;
        self.needed_by(bid, order.open, deals_max(bid).saturating_sub(order.deals))
    }

    fn needed_by(&self, bid: &Bid, units: Units, deals: u32) -> Option<Amount> {
        let copies = u32::from(bid.work.check().copies());
        let audit = self.audit_budget(bid, bid.price_max)?.micro();
        let audits = Amount::new(audit.checked_mul(u128::from(deals))?);
        let cost = bid.price_max.cost(units);
        let cost = cost.checked_add(self.bond(bid, cost)?)?.mul_div_floor(u64::from(copies), 1)?;
        audits.checked_add(cost)
    }

    /// What the renter of a deal loses if it does not serve the input. A lease has none.
    pub(crate) fn bond(&self, bid: &Bid, cost: Amount) -> Option<Amount> {
        let share = bid.work.job().map_or(0, |_| self.rules.bond_basis_points);
        cost.basis_points(share)
    }

    /// What the audits of one deal may cost at a price: all samples of all batches that all its providers may commit.
    pub(crate) fn audit_budget(&self, bid: &Bid, price: Price) -> Option<Amount> {
        let segment = price.cost(bid.lot).basis_points(self.rules.audit_price_basis_points)?;
        let pace = bid.work.pace();
        let batches = u128::from(pace.batches_max) * u128::from(pace.attempts_max);
        segment.micro().checked_mul(u128::from(bid.work.samples()) * batches).map(Amount::new)
    }

    fn place(
        &mut self,
        party: Party,
        terms: Terms,
        size: (Units, Amount),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let owner = party.address;
        let (open, limit) = (
            self.table.open_count.get(&owner).copied().unwrap_or(0),
            self.rules.orders_per_account_max,
        );
        if open >= limit {
            return Err(MarketError::TooManyOrders { open, limit });
        }
        self.table.next_order += 1;
        let order = Order {
            id: OrderId(self.table.next_order),
            owner,
            terms,
            state: OrderState::New,
            open: size.0,
            arrived: self.now.height,
            sequence: 0,
            reputation: 0,
            segments_done: 0,
            deals: 0,
            held: size.1,
            cancelled: None,
            vetted: party.attested.covers(Capabilities::VETTED),
        };
        let hold = HoldId::Order(order.id);
        if !size.1.is_zero() {
            outcome.settlements.push(Settlement::Hold { hold, owner, amount: size.1 });
        }
        outcome.events.push(Event::Placed {
            order: order.id,
            owner,
            side: order.side(),
            class: order.class(),
            price: order.price(),
            units: size.0,
        });
        self.table.put_order(order);
        Ok(())
    }

    fn owned(&self, party: Party, id: OrderId) -> Result<Order, MarketError> {
        let order = self.table.orders.get(&id).ok_or(MarketError::NoOrder(id))?;
        if order.owner != party.address {
            return Err(MarketError::NotYours { role: "owner of the order" });
        }
        if !order.is_live() {
            return Err(MarketError::Closed(id));
        }
        Ok(order.clone())
    }

    fn cancel(
        &mut self,
        party: Party,
        id: OrderId,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let order = self.owned(party, id)?;
        self.end(order, Why::Owner, outcome);
        Ok(())
    }

    /// Ends all live orders of somebody who may not have them any more: all, or asks only.
    pub fn withdraw(&mut self, owner: Address, side: Option<Side>) -> Outcome {
        let mut outcome = Outcome::default();
        if !self.table.open_count.contains_key(&owner) {
            return outcome;
        }
        let is_meant = |order: &&Order| {
            order.owner == owner && order.is_live() && side.is_none_or(|side| order.side() == side)
        };
        let orders: Vec<Order> = self.table.orders.values().filter(is_meant).cloned().collect();
        for order in orders {
            self.end(order, Why::Barred, &mut outcome);
        }
        outcome
    }

    /// Ends an order before its time.
    pub(crate) fn end(&mut self, mut order: Order, why: Why, outcome: &mut Outcome) {
        order.state = OrderState::Cancelled;
        order.cancelled = Some(why);
        outcome.events.push(Event::Cancelled { order: order.id, open: order.open, why });
        self.close(order, outcome);
    }

    /// Bids are amended in price and expiry only by cancelling: their units are the job's segments.
    fn amend(
        &mut self,
        party: Party,
        id: OrderId,
        change: (Units, Price),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let (units, price) = change;
        let mut order = self.owned(party, id)?;
        let Terms::Ask(ask) = &mut order.terms else {
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
        let keeps_priority = price == ask.price && units <= order.open;
        ask.price = price;
        order.open = units;
        let wanted = price
            .cost(units)
            .basis_points(self.rules.ask_deposit_basis_points)
            .ok_or(MarketError::Overflow)?;
        let (hold, owner) = (HoldId::Order(id), order.owner);
        if let Some(amount) = wanted.checked_sub(order.held).filter(|more| !more.is_zero()) {
            outcome.settlements.push(Settlement::Hold { hold, owner, amount });
        } else if let Some(amount) = order.held.checked_sub(wanted).filter(|less| !less.is_zero()) {
            outcome.settlements.push(Settlement::Void { hold, amount });
        }
        order.held = wanted;
        if !keeps_priority {
            order.state = OrderState::New;
        }
        outcome.events.push(Event::Amended { order: id, open: units, price });
        self.table.put_order(order);
        Ok(())
    }

    /// The records that changed since the last call: leaves of the state to hash anew.
    pub fn take_dirty(&mut self) -> BTreeSet<RecordId> {
        std::mem::take(&mut self.table.dirty)
    }

    /// Every record there is.
    #[must_use]
    pub fn all_records(&self) -> Vec<RecordId> {
        let orders = self.table.orders.keys().copied().map(RecordId::Order);
        let deals = self.table.deals.keys().copied().map(RecordId::Deal);
        let providers = self.table.providers.keys().copied().map(RecordId::Provider);
        let auditors = self.table.pledges.keys().copied().map(RecordId::Auditor);
        let certificates = self.table.certificates.keys().copied().map(RecordId::Certificate);
        let owners = self.table.owners.keys().copied().map(RecordId::Owner);
        let people = providers.chain(auditors).chain(certificates).chain(owners);
        orders.chain(deals).chain(people).collect()
    }

    /// A record's canonical bytes.
    #[must_use]
    pub fn record(&self, id: &RecordId) -> Option<Vec<u8>> {
        match id {
            RecordId::Order(id) => self.table.orders.get(id).map(codec::encode),
            RecordId::Deal(id) => self.table.deals.get(id).map(codec::encode),
            RecordId::Provider(address) => self.table.providers.get(address).map(codec::encode),
            RecordId::Auditor(address) => self.table.pledges.get(address).map(codec::encode),
            RecordId::Certificate(address) => {
                self.table.certificates.get(address).map(codec::encode)
            }
            RecordId::Owner(address) => self.table.owners.get(address).map(codec::encode),
        }
    }

    /// What no record holds although later blocks depend on it: the counters, and the bids to be searched for again. Canonical bytes. Beside
    /// them and the records there are only the rules and the moment.
    #[must_use]
    pub fn registers(&self) -> Vec<u8> {
        let Table { next_order, next_deal, next_sequence, .. } = &self.table;
        codec::encode(&(next_order, next_deal, next_sequence, &self.awake))
    }

    /// The next deadline. A block at or after it changes something.
    #[must_use]
    pub fn next_due(&self) -> Option<TimeMs> {
        let order = self.table.order_due.first().map(|(at, _)| *at);
        let deal = self.table.deal_due.first().map(|(at, _)| *at);
        let pledge = self.table.pledge_due.first().map(|(at, _)| *at);
        order.into_iter().chain(deal).chain(pledge).min()
    }

    /// Whether the next block, even an empty one, changes something: a draw waits for its beacon, or a bid was deferred.
    #[must_use]
    pub fn wants_block(&self) -> bool {
        !self.table.seeking.is_empty()
            || !self.table.asked.is_empty()
            || self.awake.values().any(|awake| awake.deferred)
            || self
                .table
                .committed
                .iter()
                .filter_map(|id| self.table.deals.get(id))
                .any(|deal| matches!(deal.state, crate::DealState::Committed { beacon: None, .. }))
    }

    /// Deals with a case before the validators, the oldest case first.
    pub fn disputed(&self) -> impl Iterator<Item = &Deal> {
        self.table.cases.iter().filter_map(|(_, id)| self.table.deals.get(id))
    }

    /// What must be in every hold. The ledger compares it with what is.
    #[must_use]
    pub fn expected_holds(&self) -> BTreeMap<HoldId, Amount> {
        let orders = self.table.orders.values().map(|order| (HoldId::Order(order.id), order.held));
        let deals = self.table.deals.values().flat_map(|deal| {
            [
                (HoldId::Escrow(deal.id), deal.escrow),
                (HoldId::Deposit(deal.id), deal.deposit),
                (HoldId::Stake(deal.id), deal.stake()),
            ]
        });
        let pledges = self.table.pledges.iter();
        let pledges = pledges.map(|(auditor, pledge)| (HoldId::Pledge(*auditor), pledge.amount));
        let certificates = self.table.certificates.iter();
        let certificates = certificates.map(|(who, one)| (HoldId::Capacity(*who), one.held));
        orders
            .chain(deals)
            .chain(pledges)
            .chain(certificates)
            .filter(|(_, amount)| !amount.is_zero())
            .collect()
    }

    /// Takes expired orders out and gives their money back.
    pub(crate) fn expire(&mut self, outcome: &mut Outcome) {
        let now = self.now.time;
        while let Some((_, id)) = self.table.order_due.first().copied().filter(|(at, _)| *at <= now)
        {
            let mut order = self.table.orders.get(&id).expect("indexed").clone();
            order.state = OrderState::Expired;
            outcome.events.push(Event::Expired { order: id, open: order.open });
            self.close(order, outcome);
        }
    }

    /// Stores an order that no longer trades, with its money given back.
    pub(crate) fn close(&mut self, mut order: Order, outcome: &mut Outcome) {
        if !order.held.is_zero() {
            let hold = HoldId::Order(order.id);
            outcome.settlements.push(Settlement::Void { hold, amount: order.held });
            order.held = Amount::ZERO;
        }
        self.table.put_order(order);
    }

    /// Puts the block's new orders into the books, in an order that nobody could choose. Answers which they are.
    pub(crate) fn insert(&mut self) -> Vec<OrderId> {
        let mut fresh: Vec<(Hash, OrderId)> =
            self.table.fresh.iter().map(|id| (self.tie(*id), *id)).collect();
        fresh.sort_unstable();
        let ids: Vec<OrderId> = fresh.into_iter().map(|(_, id)| id).collect();
        for id in &ids {
            let mut order = self.table.orders.get(id).expect("indexed").clone();
            self.table.next_sequence += 1;
            order.sequence = self.table.next_sequence;
            if order.side() == Side::Ask {
                order.reputation = self.reputation(&order.owner);
            }
            order.state = OrderState::Resting;
            self.table.put_order(order);
        }
        ids
    }

    /// Breaks ties inside a block.
    pub(crate) fn tie(&self, id: OrderId) -> Hash {
        let mut hasher = gongsuan_types::Hasher::new("gongsuan/market/tie/v1");
        hasher.update(&self.now.block.0).update(&id.0.to_le_bytes());
        hasher.finish()
    }
}

/// Deals that a bid may open, at most: one for each copy, where several providers do the same.
fn deals_max(bid: &Bid) -> u32 {
    match crate::matching::copies(bid) {
        0 | 1 => u32::from(bid.deals_max),
        copies => u32::try_from(copies).unwrap_or(u32::MAX),
    }
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    rules: Rules,
    table: Stored,
    now: Moment,
    awake: BTreeMap<OrderId, Awake>,
}

impl Serialize for Market {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Snapshot {
            rules: self.rules.clone(),
            table: self.table.store(),
            now: self.now,
            awake: self.awake.clone(),
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Market {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Snapshot { rules, table, now, awake } = Snapshot::deserialize(d)?;
        let table = Table::restore(table)
            .ok_or_else(|| serde::de::Error::custom("orders or deals contradict each other"))?;
        Ok(Self { rules, table, now, awake })
    }
}
