//! The invariants of the chain, each checked after every block against what is written down here a second time.

use std::collections::BTreeMap;

use gongsuan_ledger::{
    Applied, Body, Event, GAP, Genesis, Op, OrderedBlock, Role, State, TxStatus,
};
use gongsuan_market::naive::NaiveMarket;
use gongsuan_market::{
    Command, DealState, Event as MarketEvent, HoldId, Market, MarketError, Moment, Outcome,
    Settlement, Vote,
};
use gongsuan_types::court::{CaseId, Verdict, quorum};
use gongsuan_types::order::{Capabilities, Party};
use gongsuan_types::{Address, Amount, OrderId, PublicKey, Signed};

use crate::sim::{Invariant, Violation};

/// Every token is somewhere, once: free, held, or the treasury's; together they are the genesis supply.
pub const CONSERVATION: Invariant = "CONSERVATION";
/// What is set aside is what open orders and deals need, no more and no less, and belongs to whom it should.
pub const ESCROW: Invariant = "ESCROW";
/// The block's fills are those of the obvious matcher, and no ask or bid gives out more than it has.
pub const BOOK: Invariant = "BOOK";
/// All honest nodes have the same header at the same height, and its state root is that of the records hashed anew.
pub const ROOT: Invariant = "ROOT";
/// Nothing waits past its deadline, and in the end nothing is left set aside.
pub const ENDING: Invariant = "ENDING";
/// Whoever keeps to the protocol does not end below the start, but for fees and the price of accepted work.
pub const HONEST: Invariant = "HONEST";

/// An interval of a lease is paid once, at its price, when it was shown that it was had.
pub const LEASE: Invariant = "LEASE";
/// Where certificates are required nobody lists what none shows, and whoever fails a probe has none.
pub const CERTIFICATE: Invariant = "CERTIFICATE";

pub(super) fn broken(invariant: Invariant, detail: impl Into<String>) -> Result<(), Violation> {
    Err(Violation { invariant, detail: detail.into() })
}

/// A second set of books: every balance and every hold, carried on by what the chain says that it did.
#[derive(Debug)]
pub(crate) struct Books {
    free: BTreeMap<Address, u128>,
    held: BTreeMap<HoldId, (Address, u128)>,
}

impl Books {
    pub(crate) fn of(genesis: &Genesis) -> Self {
        let free = genesis.accounts.iter().map(|one| (one.address, one.balance.micro())).collect();
        Self { free, held: BTreeMap::new() }
    }

    /// Books a block, and compares with the state after it.
    pub(crate) fn take(&mut self, applied: &Applied, state: &State) -> Result<(), Violation> {
        let (before, after) = applied.events.split_at(applied.before);
        before.iter().try_for_each(|event| self.event(event))?;
        for (receipt, sender) in applied.receipts.iter().zip(&applied.senders) {
            self.pay(*sender, Address::TREASURY, receipt.fee.micro())?;
            receipt.events.iter().try_for_each(|event| self.event(event))?;
        }
        after.iter().try_for_each(|event| self.event(event))?;
        let holds =
            state.accounts().holds().map(|(id, hold)| (*id, (hold.owner, hold.amount.micro())));
        let there: BTreeMap<_, _> = holds.collect();
        self.held.retain(|_, (_, amount)| *amount > 0);
        if let Some((id, hold)) = differs(&self.held, &there) {
            return broken(ESCROW, format!("{id:?} should hold {hold:?}"));
        }
        let accounts =
            state.accounts().accounts().map(|(address, one)| (*address, one.balance.micro()));
        let there: BTreeMap<Address, u128> = accounts.filter(|(_, balance)| *balance > 0).collect();
        self.free.retain(|_, balance| *balance > 0);
        match differs(&self.free, &there) {
            Some((address, balance)) => {
                broken(CONSERVATION, format!("{address} should have {balance:?}"))
            }
            None => Ok(()),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), Violation> {
        match event {
            Event::Transferred { from, to, amount } => self.pay(*from, *to, amount.micro()),
            Event::Money(settlement) => self.settle(settlement),
            Event::Granted { .. }
            | Event::Revoked { .. }
            | Event::Supervised { .. }
            | Event::Owned { .. }
            | Event::KeyPublished { .. }
            | Event::Market(_) => Ok(()),
        }
    }

    fn pay(&mut self, from: Address, to: Address, amount: u128) -> Result<(), Violation> {
        let Some(left) = self.free.get(&from).copied().unwrap_or(0).checked_sub(amount) else {
            return broken(CONSERVATION, format!("{from} pays {amount} that it does not have"));
        };
        self.free.insert(from, left);
        *self.free.entry(to).or_default() += amount;
        Ok(())
    }

    fn settle(&mut self, settlement: &Settlement) -> Result<(), Violation> {
        match *settlement {
            Settlement::Hold { hold, owner, amount } => {
                let amount = amount.micro();
                let Some(left) = self.free.get(&owner).copied().unwrap_or(0).checked_sub(amount)
                else {
                    return broken(ESCROW, format!("{hold:?} takes {amount} that {owner} has not"));
                };
                self.free.insert(owner, left);
                self.fill(hold, owner, amount);
            }
            Settlement::Move { source, target, amount } => {
                let owner = self.draw(source, amount)?;
                self.fill(target, owner, amount.micro());
            }
            Settlement::Post { hold, to, amount, .. }
            | Settlement::Slash { hold, to, amount, .. } => {
                self.draw(hold, amount)?;
                *self.free.entry(to).or_default() += amount.micro();
            }
            Settlement::Void { hold, amount } => {
                let owner = self.draw(hold, amount)?;
                *self.free.entry(owner).or_default() += amount.micro();
            }
        }
        Ok(())
    }

    fn fill(&mut self, hold: HoldId, owner: Address, amount: u128) {
        let there = self.held.entry(hold).or_insert((owner, 0));
        if there.1 == 0 {
            // An empty hold is nobody's: another provider's deposit may come after the first one's.
            there.0 = owner;
        }
        there.1 += amount;
    }

    fn draw(&mut self, hold: HoldId, amount: Amount) -> Result<Address, Violation> {
        let found = self.held.get_mut(&hold);
        let left = found.as_ref().and_then(|(_, there)| there.checked_sub(amount.micro()));
        match (found, left) {
            (Some((owner, there)), Some(left)) => {
                *there = left;
                Ok(*owner)
            }
            _ => Err(Violation {
                invariant: ESCROW,
                detail: format!("{hold:?} pays {amount} that it has not"),
            }),
        }
    }
}

/// The first entry that the second map has otherwise, or that it has and the first has not.
fn differs<K: Ord + Copy, V: PartialEq + Copy>(
    wanted: &BTreeMap<K, V>,
    there: &BTreeMap<K, V>,
) -> Option<(K, Option<V>)> {
    let mut keys = wanted.keys().chain(there.keys());
    let key = keys.find(|key| wanted.get(key) != there.get(key))?;
    Some((*key, wanted.get(key).copied()))
}

/// Checks a block: the market before it, the state after it.
pub(crate) fn check(
    genesis: &Genesis,
    before: Ready,
    state: &State,
    block: &OrderedBlock<'_>,
    applied: &Applied,
) -> Result<(), Violation> {
    conservation(genesis, state)?;
    escrow(state)?;
    deadlines(&before.market, state)?;
    capacity(state.market())?;
    super::leases::check(&before.market, state, block, applied)?;
    super::certificates::check(&before.market, state)?;
    fills(before, block, applied)?;
    root(genesis, state, applied)
}

fn conservation(genesis: &Genesis, state: &State) -> Result<(), Violation> {
    let free: u128 = state.accounts().accounts().map(|(_, account)| account.balance.micro()).sum();
    let held: u128 = state.accounts().holds().map(|(_, hold)| hold.amount.micro()).sum();
    let supply: u128 = genesis.accounts.iter().map(|account| account.balance.micro()).sum();
    if free + held == supply {
        return Ok(());
    }
    broken(CONSERVATION, format!("{free} free and {held} held are not the {supply} of the genesis"))
}

fn escrow(state: &State) -> Result<(), Violation> {
    let market = state.market();
    let mut needed: BTreeMap<HoldId, (Address, Amount)> = BTreeMap::new();
    for order in market.orders() {
        if !order.is_live() && !order.held.is_zero() {
            return broken(ESCROW, format!("order {} is over and holds {}", order.id, order.held));
        }
        needed.insert(HoldId::Order(order.id), (order.owner, order.held));
    }
    for deal in market.deals() {
        if deal.is_over() && !(deal.escrow.is_zero() && deal.deposit.is_zero()) {
            let (escrow, deposit) = (deal.escrow, deal.deposit);
            return broken(ESCROW, format!("deal {} is over: {escrow}, {deposit}", deal.id));
        }
        // Whoever is probed pays for the audits of it.
        let payer = if deal.is_probe() { deal.provider } else { deal.renter };
        needed.insert(HoldId::Escrow(deal.id), (payer, deal.escrow));
        needed.insert(HoldId::Deposit(deal.id), (deal.provider, deal.deposit));
        let by = match (&deal.state, deal.case()) {
            (DealState::Demanded { by, .. }, _) => *by,
            (_, Some(case)) => case.by,
            (_, None) => deal.renter,
        };
        needed.insert(HoldId::Stake(deal.id), (by, deal.stake()));
    }
    for (id, _) in state.accounts().holds() {
        if let HoldId::Pledge(who) = id {
            needed.insert(*id, (*who, market.pledge_of(who).amount));
        }
    }
    for (who, certificate) in market.certificates() {
        needed.insert(HoldId::Capacity(*who), (*who, certificate.held));
    }
    needed.retain(|_, (_, amount)| !amount.is_zero());
    let there: BTreeMap<HoldId, (Address, Amount)> =
        state.accounts().holds().map(|(id, hold)| (*id, (hold.owner, hold.amount))).collect();
    if needed == there {
        return Ok(());
    }
    let missing = needed.iter().find(|(id, hold)| there.get(id) != Some(hold));
    let extra = there.iter().find(|(id, hold)| needed.get(id) != Some(hold));
    broken(ESCROW, format!("needed {missing:?}, there is {extra:?}"))
}

/// A deadline that has come by the time of a block has been fired by it; after a gap, one that had come by the time of the block before.
fn deadlines(before: &Market, state: &State) -> Result<(), Violation> {
    let earlier = before.now().time;
    let time = if state.time().since(earlier) > GAP { earlier } else { state.time() };
    let due = before.deals().filter(|deal| deal.due().is_some_and(|due| due <= time));
    for deal in due {
        if state.market().deal(deal.id) == Some(deal) {
            return broken(
                ENDING,
                format!("deal {} waits past {:?} at {time}", deal.id, deal.due()),
            );
        }
    }
    Ok(())
}

fn capacity(market: &Market) -> Result<(), Violation> {
    let mut sold: BTreeMap<OrderId, u64> = BTreeMap::new();
    for deal in market.deals() {
        if !deal.is_over() {
            *sold.entry(deal.ask).or_default() += deal.taken.0;
        }
    }
    for order in market.orders().filter(|order| order.is_live()) {
        let Some(ask) = order.ask() else { continue };
        let used = order.open.0 + sold.get(&order.id).copied().unwrap_or(0);
        if used > ask.units.0 {
            let text = format!("ask {} has {} units and gives out {used}", order.id, ask.units);
            return broken(BOOK, text);
        }
    }
    Ok(())
}

/// The market as it was before a block, and who was what.
#[derive(Debug)]
pub(crate) struct Ready {
    market: Market,
    auditors: Vec<Address>,
    vetted: Vec<(Address, Role)>,
    validators: Vec<PublicKey>,
}

impl Ready {
    pub(crate) fn of(state: &State) -> Self {
        let vetted = state.accounts().attestations();
        let vetted = vetted.filter(|(_, attestation)| attestation.expires_at > state.time());
        Self {
            market: state.market().clone(),
            auditors: state.auditors(),
            vetted: vetted.map(|(who, _)| *who).collect(),
            validators: state.validators().to_vec(),
        }
    }
}

/// Plays the block's commands on the copy of the market, and matches what then waits by the obvious matcher.
fn fills(before: Ready, block: &OrderedBlock<'_>, applied: &Applied) -> Result<(), Violation> {
    let mut shadow = before.market;
    let moment = Moment { height: block.height, time: block.time, block: block.block };
    let _ = if block.time.since(shadow.now().time) > GAP {
        shadow.begin_block_after_gap(moment, &before.auditors)
    } else {
        shadow.begin_block(moment, &before.auditors)
    };
    let body = Body::decode(block.body).unwrap_or_default();
    for (tx, receipt) in body.txs.iter().zip(&applied.receipts) {
        if receipt.status != TxStatus::Applied {
            continue;
        }
        let address = tx.body.sender;
        for op in &tx.body.ops {
            let done = match op {
                Op::Market(command) => {
                    let is_bid = matches!(command, Command::PlaceBid(_));
                    let role = if is_bid { Role::Renter } else { Role::Provider };
                    let vetted = before.vetted.contains(&(address, role));
                    let attested = if vetted { Capabilities::VETTED } else { Capabilities::NONE };
                    shadow.submit(Party { address, attested }, command.clone())
                }
                Op::Judge(verdicts) => judge(&mut shadow, verdicts, &before.validators),
                Op::ShowOwner { shown, .. } => {
                    let owner = gongsuan_ledger::identity::owner(&shown.attribute.value);
                    shadow.set_owner(address, owner);
                    continue;
                }
                Op::Transfer { .. }
                | Op::Grant { .. }
                | Op::Revoke { .. }
                | Op::Attest { .. }
                | Op::Freeze { .. }
                | Op::Free { .. }
                | Op::PublishKey { .. } => continue,
            };
            if let Err(error) = done {
                return broken(BOOK, format!("applied, but refused in a copy: {error}"));
            }
        }
    }
    let expected = filled(&NaiveMarket::before_matching(&shadow).match_all().events);
    let on_chain = applied.events.iter().filter_map(|event| match event {
        Event::Market(event) => Some(event.clone()),
        _ => None,
    });
    let made = filled(&on_chain.collect::<Vec<_>>());
    if expected == made {
        return Ok(());
    }
    broken(BOOK, format!("the obvious market fills {expected:?}, the chain {made:?}"))
}

fn filled(events: &[MarketEvent]) -> Vec<MarketEvent> {
    events.iter().filter(|event| matches!(event, MarketEvent::Filled { .. })).cloned().collect()
}

fn judge(
    shadow: &mut Market,
    verdicts: &[Signed<Verdict>],
    validators: &[PublicKey],
) -> Result<Outcome, MarketError> {
    let mut votes: BTreeMap<CaseId, Vec<Vote>> = BTreeMap::new();
    for verdict in verdicts {
        let seat = validators.iter().position(|key| *key == verdict.body.validator);
        let Some(seat) = seat.and_then(|seat| u16::try_from(seat).ok()) else { continue };
        votes
            .entry(verdict.body.case)
            .or_default()
            .push(Vote { seat, finding: verdict.body.finding });
    }
    for (case, votes) in votes {
        let _ = shadow.judge(case, &votes, quorum(validators.len()))?;
    }
    Ok(Outcome::default())
}

fn root(genesis: &Genesis, state: &State, applied: &Applied) -> Result<(), Violation> {
    match State::restore(genesis, &state.snapshot()) {
        Ok(again) if again.is_of(&applied.header) && state.is_of(&applied.header) => Ok(()),
        Ok(again) => {
            let (new, old) = (again.root(), applied.header.state_root);
            broken(ROOT, format!("height {}: {old}, hashed anew {new}", applied.header.height))
        }
        Err(error) => broken(ROOT, format!("the state does not come back: {error}")),
    }
}

/// When everything is over nothing is open and nothing is set aside.
pub(crate) fn ending(state: &State) -> Result<(), Violation> {
    let market = state.market();
    if let Some(order) = market.orders().find(|order| order.is_live()) {
        return broken(ENDING, format!("order {} is still open: {:?}", order.id, order.state));
    }
    if let Some(deal) = market.deals().find(|deal| !deal.is_over()) {
        return broken(ENDING, format!("deal {} is still open: {:?}", deal.id, deal.state));
    }
    match state.accounts().holds().next() {
        Some((id, hold)) => broken(ENDING, format!("{id:?} still holds {}", hold.amount)),
        None => Ok(()),
    }
}
