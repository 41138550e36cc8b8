//! The records, the indexes derived from them, and the journal that undoes a transaction.
//!
//! Every write goes through [`Table::put_order`] and [`Table::put_deal`], so no index can be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::order::{Class, Side};
use gongsuan_types::{Address, DealId, Hash, OrderId, TimeMs};
use serde::{Deserialize, Serialize};

use crate::attributes::{AGE_BITS, AskIndex, AskKey, BidIndex};
use crate::matching::is_whole;
use crate::{Certificate, Deal, DealState, Order, OrderState, Pledge, Probe, Standing};

/// A record that is a leaf of the chain's state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordId {
    /// An order.
    Order(OrderId),
    /// A deal.
    Deal(DealId),
    /// What a provider has done.
    Provider(Address),
    /// What an auditor has pledged.
    Auditor(Address),
    /// A provider's certificate of capacity.
    Certificate(Address),
    /// Whose an account is.
    Owner(Address),
}

/// What an account lists: its live asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) cores: u64,
    pub(crate) memory_mib: u64,
    pub(crate) asks: BTreeSet<OrderId>,
}

/// The resting orders of a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shelf {
    pub(crate) asks: AskIndex,
    pub(crate) bids: BidIndex,
    /// Bids that take all or nothing: what they find depends on everything that changed since.
    pub(crate) whole: BTreeSet<OrderId>,
}

impl Shelf {
    fn is_empty(&self) -> bool {
        self.asks.is_empty() && self.bids.is_empty()
    }
}

/// Where an ask stands among the asks of its class.
pub(crate) fn ask_key(order: &Order) -> AskKey {
    AskKey::new(order.price(), order.reputation, order.sequence)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Journal {
    orders: BTreeMap<OrderId, Option<Order>>,
    deals: BTreeMap<DealId, Option<Deal>>,
    providers: BTreeMap<Address, Option<Standing>>,
    pledges: BTreeMap<Address, Option<Pledge>>,
    certificates: BTreeMap<Address, Option<Certificate>>,
    owners: BTreeMap<Address, Option<Hash>>,
    next_order: u64,
    /// Records that were not dirty before.
    dirtied: Vec<RecordId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) orders: BTreeMap<OrderId, Order>,
    pub(crate) deals: BTreeMap<DealId, Deal>,
    pub(crate) providers: BTreeMap<Address, Standing>,
    pub(crate) pledges: BTreeMap<Address, Pledge>,
    pub(crate) certificates: BTreeMap<Address, Certificate>,
    pub(crate) owners: BTreeMap<Address, Hash>,
    pub(crate) next_order: u64,
    pub(crate) next_deal: u64,
    pub(crate) next_sequence: u64,
    // Derived.
    pub(crate) shelves: BTreeMap<Class, Shelf>,
    pub(crate) fresh: BTreeSet<OrderId>,
    pub(crate) pledge_due: BTreeSet<(TimeMs, Address)>,
    pub(crate) order_due: BTreeSet<(TimeMs, OrderId)>,
    pub(crate) deal_due: BTreeSet<(TimeMs, DealId)>,
    /// Deals whose results wait for a beacon or a secret.
    pub(crate) committed: BTreeSet<DealId>,
    /// Deals with a case before the validators, the oldest case first.
    pub(crate) cases: BTreeSet<(TimeMs, DealId)>,
    /// Deals that look for a provider, by class and by what they require: who might take an ask that comes in.
    pub(crate) seekers: BTreeMap<Class, BidIndex>,
    /// Of these: those that have not looked at every ask yet.
    pub(crate) seeking: BTreeSet<DealId>,
    /// Providers that wait for their seed.
    pub(crate) asked: BTreeSet<Address>,
    /// Providers that may be probed again.
    pub(crate) certified: BTreeSet<Address>,
    pub(crate) listed: BTreeMap<Address, Listed>,
    pub(crate) open_count: BTreeMap<Address, u32>,
    pub(crate) dirty: BTreeSet<RecordId>,
    journal: Option<Journal>,
}

/// What is stored of a table; the rest is rebuilt.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    orders: Vec<Order>,
    deals: Vec<Deal>,
    providers: Vec<(Address, Standing)>,
    pledges: Vec<(Address, Pledge)>,
    certificates: Vec<(Address, Certificate)>,
    owners: Vec<(Address, Hash)>,
    counters: (u64, u64, u64),
    dirty: Vec<RecordId>,
}

impl Table {
    pub(crate) fn begin(&mut self) {
        assert!(self.journal.is_none(), "transactions do not nest");
        self.journal = Some(Journal {
            orders: BTreeMap::new(),
            deals: BTreeMap::new(),
            providers: BTreeMap::new(),
            pledges: BTreeMap::new(),
            certificates: BTreeMap::new(),
            owners: BTreeMap::new(),
            next_order: self.next_order,
            dirtied: Vec::new(),
        });
    }

    pub(crate) fn commit(&mut self) {
        assert!(self.journal.take().is_some(), "no transaction is open");
    }

    pub(crate) fn abort(&mut self) {
        let journal = self.journal.take().expect("a transaction is open");
        for (id, before) in journal.orders {
            self.replace_order(id, before);
        }
        for (id, before) in journal.deals {
            self.replace_deal(id, before);
        }
        for (address, before) in journal.providers {
            match before {
                Some(record) => self.providers.insert(address, record),
                None => self.providers.remove(&address),
            };
        }
        for (auditor, before) in journal.pledges {
            self.replace_pledge(auditor, before);
        }
        for (provider, before) in journal.certificates {
            self.replace_certificate(provider, before);
        }
        for (account, before) in journal.owners {
            match before {
                Some(owner) => self.owners.insert(account, owner),
                None => self.owners.remove(&account),
            };
        }
        self.next_order = journal.next_order;
        for id in journal.dirtied {
            self.dirty.remove(&id);
        }
    }

    fn mark(&mut self, id: RecordId) {
        if self.dirty.insert(id)
            && let Some(journal) = &mut self.journal
        {
            journal.dirtied.push(id);
        }
    }

    pub(crate) fn put_order(&mut self, order: Order) {
        let id = order.id;
        self.mark(RecordId::Order(id));
        let before = self.replace_order(id, Some(order));
        if let Some(journal) = &mut self.journal {
            journal.orders.entry(id).or_insert(before);
        }
    }

    pub(crate) fn put_deal(&mut self, deal: Deal) {
        let id = deal.id;
        self.mark(RecordId::Deal(id));
        let before = self.replace_deal(id, Some(deal));
        if let Some(journal) = &mut self.journal {
            journal.deals.entry(id).or_insert(before);
        }
    }

    /// Stores a pledge; one of nothing is none.
    pub(crate) fn put_pledge(&mut self, auditor: Address, pledge: Pledge) {
        self.mark(RecordId::Auditor(auditor));
        let before = self.replace_pledge(auditor, (!pledge.amount.is_zero()).then_some(pledge));
        if let Some(journal) = &mut self.journal {
            journal.pledges.entry(auditor).or_insert(before);
        }
    }

    fn replace_pledge(&mut self, auditor: Address, pledge: Option<Pledge>) -> Option<Pledge> {
        let before = match pledge {
            Some(pledge) => self.pledges.insert(auditor, pledge),
            None => self.pledges.remove(&auditor),
        };
        if let Some(at) = before.and_then(|pledge| pledge.until) {
            self.pledge_due.remove(&(at, auditor));
        }
        if let Some(at) = pledge.and_then(|pledge| pledge.until) {
            self.pledge_due.insert((at, auditor));
        }
        before
    }

    pub(crate) fn put_standing(&mut self, provider: Address, standing: Standing) {
        self.mark(RecordId::Provider(provider));
        let before = self.providers.insert(provider, standing);
        if let Some(journal) = &mut self.journal {
            journal.providers.entry(provider).or_insert(before);
        }
    }

    pub(crate) fn put_owner(&mut self, account: Address, owner: Option<Hash>) {
        self.mark(RecordId::Owner(account));
        let before = match owner {
            Some(owner) => self.owners.insert(account, owner),
            None => self.owners.remove(&account),
        };
        if let Some(journal) = &mut self.journal {
            journal.owners.entry(account).or_insert(before);
        }
    }

    pub(crate) fn put_certificate(&mut self, provider: Address, certificate: Option<Certificate>) {
        self.mark(RecordId::Certificate(provider));
        let before = self.replace_certificate(provider, certificate);
        if let Some(journal) = &mut self.journal {
            journal.certificates.entry(provider).or_insert(before);
        }
    }

    fn replace_certificate(
        &mut self,
        provider: Address,
        certificate: Option<Certificate>,
    ) -> Option<Certificate> {
        let is_asked = |one: Certificate| matches!(one.probe, Probe::Asked(_));
        let is_idle = |one: Certificate| one.probe == Probe::No && one.shown.is_some();
        for (set, belongs) in [
            (&mut self.asked, certificate.is_some_and(is_asked)),
            (&mut self.certified, certificate.is_some_and(is_idle)),
        ] {
            if belongs {
                set.insert(provider);
            } else {
                set.remove(&provider);
            }
        }
        match certificate {
            Some(certificate) => self.certificates.insert(provider, certificate),
            None => self.certificates.remove(&provider),
        }
    }

    fn replace_order(&mut self, id: OrderId, order: Option<Order>) -> Option<Order> {
        if let (Some(before), Some(after)) = (self.orders.get_mut(&id), &order)
            && same_place(before, after)
        {
            return order.map(|order| std::mem::replace(before, order));
        }
        let before = self.orders.remove(&id);
        if let Some(before) = &before {
            self.index_order(before, false);
        }
        if let Some(order) = order {
            self.index_order(&order, true);
            self.orders.insert(id, order);
        }
        before
    }

    fn replace_deal(&mut self, id: DealId, deal: Option<Deal>) -> Option<Deal> {
        if let Some(before) = self.deals.get(&id).cloned() {
            self.index_seeker(&before, false);
        }
        let due = deal.as_ref().and_then(Deal::due);
        if deal.as_ref().is_some_and(|deal| matches!(deal.state, DealState::Committed { .. })) {
            self.committed.insert(id);
        } else {
            self.committed.remove(&id);
        }
        if let Some(deal) = &deal {
            self.index_seeker(deal, true);
        }
        let before = match deal {
            Some(deal) => self.deals.insert(id, deal),
            None => self.deals.remove(&id),
        };
        if let Some(at) = before.as_ref().and_then(Deal::due) {
            self.deal_due.remove(&(at, id));
        }
        if let Some(case) = before.as_ref().and_then(Deal::case) {
            self.cases.remove(&(case.opened, id));
        }
        if let Some(case) = self.deals.get(&id).and_then(Deal::case) {
            self.cases.insert((case.opened, id));
        }
        if let Some(at) = due {
            self.deal_due.insert((at, id));
        }
        before
    }

    fn index_seeker(&mut self, deal: &Deal, here: bool) {
        let DealState::Rematch { from, .. } = deal.state else { return };
        let Some(bid) = self.orders.get(&deal.bid).and_then(Order::bid) else { return };
        let (limit, name) = (deal.terms.price_max, OrderId(deal.id.0));
        let index = self.seekers.entry(deal.class).or_default();
        if here {
            index.insert(limit, &bid.requirements, name);
        } else {
            index.remove(limit, name);
        }
        if index.is_empty() {
            self.seekers.remove(&deal.class);
        }
        if here && from.is_some() {
            self.seeking.insert(deal.id);
        } else {
            self.seeking.remove(&deal.id);
        }
    }

    fn index_order(&mut self, order: &Order, here: bool) {
        if order.is_live() {
            let due = (order.expires_at(), order.id);
            let count = self.open_count.entry(order.owner).or_default();
            if here {
                self.order_due.insert(due);
                *count += 1;
            } else {
                self.order_due.remove(&due);
                *count -= 1;
                if *count == 0 {
                    self.open_count.remove(&order.owner);
                }
            }
            self.list(order, here);
        }
        match (order.state, order.side()) {
            (OrderState::New, _) if here => {
                self.fresh.insert(order.id);
            }
            (OrderState::New, _) => {
                self.fresh.remove(&order.id);
            }
            (OrderState::Resting, side) => self.shelve(order, side, here),
            (OrderState::Filled | OrderState::Cancelled | OrderState::Expired, _) => {}
        }
    }

    /// Counts what an ask lists of its owner's machines.
    fn list(&mut self, order: &Order, here: bool) {
        let Some(machine) = order.machine() else { return };
        let (cores, memory) = (u64::from(machine.cpu_cores), u64::from(machine.memory_mib));
        let listed = self.listed.entry(order.owner).or_default();
        if here {
            listed.cores += cores;
            listed.memory_mib += memory;
            listed.asks.insert(order.id);
        } else {
            listed.cores -= cores;
            listed.memory_mib -= memory;
            listed.asks.remove(&order.id);
            if listed.asks.is_empty() {
                self.listed.remove(&order.owner);
            }
        }
    }

    fn shelve(&mut self, order: &Order, side: Side, here: bool) {
        let class = order.class();
        let shelf = self.shelves.entry(class).or_default();
        match (side, order.machine(), order.bid()) {
            (Side::Ask, Some(machine), _) if here => {
                shelf.asks.insert(ask_key(order), machine, order.id);
            }
            (Side::Bid, _, Some(bid)) if here => {
                shelf.bids.insert(bid.price_max, &bid.requirements, order.id);
                if is_whole(bid) {
                    shelf.whole.insert(order.id);
                }
            }
            (Side::Ask, ..) => {
                shelf.asks.remove(ask_key(order));
            }
            (Side::Bid, ..) => {
                shelf.bids.remove(order.price(), order.id);
                shelf.whole.remove(&order.id);
            }
        }
        if shelf.is_empty() {
            self.shelves.remove(&class);
        }
    }

    pub(crate) fn store(&self) -> Stored {
        assert!(self.journal.is_none(), "a table is not stored inside a transaction");
        Stored {
            orders: self.orders.values().cloned().collect(),
            deals: self.deals.values().cloned().collect(),
            providers: self.providers.clone().into_iter().collect(),
            pledges: self.pledges.iter().map(|(auditor, pledge)| (*auditor, *pledge)).collect(),
            certificates: self.certificates.iter().map(|(who, one)| (*who, *one)).collect(),
            owners: self.owners.iter().map(|(account, owner)| (*account, *owner)).collect(),
            counters: (self.next_order, self.next_deal, self.next_sequence),
            dirty: self.dirty.iter().copied().collect(),
        }
    }

    /// The table that was stored. The bytes may be a stranger's, whose root nobody has compared yet, so what the indexes rely on is checked.
    pub(crate) fn restore(stored: Stored) -> Option<Self> {
        let mut table = Self::default();
        let (next_order, next_deal, next_sequence) = stored.counters;
        let rising = |ids: &[u64], end: u64| {
            ids.is_sorted_by(|one, next| one < next) && ids.last().is_none_or(|last| *last < end)
        };
        let orders: Vec<u64> = stored.orders.iter().map(|order| order.id.0).collect();
        let deals: Vec<u64> = stored.deals.iter().map(|deal| deal.id.0).collect();
        let mut sequences: Vec<u64> = stored.orders.iter().map(|order| order.sequence).collect();
        sequences.sort_unstable();
        let resting = stored.orders.iter().filter(|order| order.state == OrderState::Resting);
        let mut ages: Vec<u64> = resting.map(|order| order.sequence).collect();
        ages.sort_unstable();
        let is_sound = rising(&orders, next_order.saturating_add(1))
            && rising(&deals, next_deal.saturating_add(1))
            && rising(&ages, next_sequence.saturating_add(1))
            && sequences.last().is_none_or(|last| *last >> AGE_BITS == 0);
        if !is_sound {
            return None;
        }
        for order in stored.orders {
            table.put_order(order);
        }
        for deal in stored.deals {
            table.put_deal(deal);
        }
        table.providers = stored.providers.into_iter().collect();
        for (auditor, pledge) in stored.pledges {
            table.put_pledge(auditor, pledge);
        }
        for (provider, certificate) in stored.certificates {
            table.put_certificate(provider, Some(certificate));
        }
        table.owners = stored.owners.into_iter().collect();
        (table.next_order, table.next_deal, table.next_sequence) = stored.counters;
        table.dirty = stored.dirty.into_iter().collect();
        Some(table)
    }
}

/// Whether an order that changed is found in the same places as before.
fn same_place(before: &Order, after: &Order) -> bool {
    let place = |order: &Order| {
        (order.state, order.price(), order.sequence, order.reputation, order.expires_at())
    };
    let fixed = before.owner == after.owner && before.class() == after.class();
    before.state == OrderState::Resting && fixed && place(before) == place(after)
}
