//! Who is paid, fined and given back what. Every share is rounded down; what remains goes to the treasury.

use gongsuan_types::receipt::Commitment;
use gongsuan_types::{Address, Amount, Fuel, Hash};

use super::{Batch, Cancellation, Deal, DealState, Failure, Sample, Step, Stop};
use crate::book::Why;
use crate::{Event, HoldId, Market, MarketError, OrderState, Outcome, Reason, Settlement};

/// What a provider loses with a deal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Penalty {
    /// To the renter, in basis points of the deposit.
    pub(super) renter: u32,
    /// To whoever showed it, in basis points of the deposit.
    pub(super) challenger: Option<(Address, u32)>,
    /// The rest of the deposit goes to the treasury, not home.
    pub(super) all: bool,
}

fn share(amount: Amount, basis_points: u32) -> Amount {
    amount.basis_points(basis_points).expect("a share of what exists")
}

fn post(hold: HoldId, to: Address, amount: Amount, reason: Reason, outcome: &mut Outcome) {
    if !amount.is_zero() {
        outcome.settlements.push(Settlement::Post { hold, to, amount, reason });
    }
}

fn slash(hold: HoldId, to: Address, amount: Amount, reason: Reason, outcome: &mut Outcome) {
    if !amount.is_zero() {
        outcome.settlements.push(Settlement::Slash { hold, to, amount, reason });
    }
}

pub(super) fn void(hold: HoldId, amount: Amount, outcome: &mut Outcome) {
    if !amount.is_zero() {
        outcome.settlements.push(Settlement::Void { hold, amount });
    }
}

/// Money of somebody who is not a party, behind what it says of the deal.
pub(super) fn hold_stake(deal: &Deal, owner: Address, amount: Amount, outcome: &mut Outcome) {
    if !amount.is_zero() {
        let hold = HoldId::Stake(deal.id);
        outcome.settlements.push(Settlement::Hold { hold, owner, amount });
    }
}

pub(super) fn return_stake(deal: &Deal, outcome: &mut Outcome) {
    void(HoldId::Stake(deal.id), deal.stake(), outcome);
}

/// The fee for a receipt that was shown.
pub(super) fn pay_for_receipt(deal: &Deal, outcome: &mut Outcome) {
    post(HoldId::Stake(deal.id), deal.provider, deal.stake(), Reason::Served, outcome);
}

/// The renter did not serve the input.
pub(super) fn forfeit_bond(deal: &mut Deal, outcome: &mut Outcome) {
    slash(HoldId::Escrow(deal.id), deal.provider, deal.bond, Reason::NoInput, outcome);
    deal.escrow = deal.escrow.checked_sub(deal.bond).expect("the bond is part of the escrow");
    deal.bond = Amount::ZERO;
}

impl Market {
    /// A claim was false: its stake goes to whom it delayed.
    pub(super) fn lose_stake(&self, deal: &Deal, to: Address, outcome: &mut Outcome) {
        let (hold, stake) = (HoldId::Stake(deal.id), deal.stake());
        let delayed = share(stake, self.rules.false_claim_to_delayed_basis_points);
        slash(hold, to, delayed, Reason::FalseClaim, outcome);
        let rest = stake.saturating_sub(delayed);
        slash(hold, Address::TREASURY, rest, Reason::FalseClaim, outcome);
    }

    /// Pays for re-executed fuel out of the audit budget.
    pub(super) fn pay_auditor(
        &self,
        deal: &mut Deal,
        auditor: Address,
        fuel: Fuel,
        outcome: &mut Outcome,
    ) -> Result<Amount, MarketError> {
        let wanted = deal
            .terms
            .price
            .cost_of_fuel(fuel)
            .basis_points(self.rules.audit_price_basis_points)
            .ok_or(MarketError::Overflow)?;
        let paid = wanted.min(deal.audit_budget);
        deal.audit_budget = deal.audit_budget.saturating_sub(paid);
        deal.escrow = deal.escrow.checked_sub(paid).expect("the budget is part of the escrow");
        deal.audited = deal.audited.checked_add(paid).ok_or(MarketError::Overflow)?;
        post(HoldId::Escrow(deal.id), auditor, paid, Reason::Audit, outcome);
        Ok(paid)
    }

    /// Pays a provider for work out of what is not reserved for others, less the fee. Answers what it and the treasury got.
    pub(super) fn pay_for_work(
        &self,
        deal: &mut Deal,
        earned: Amount,
        outcome: &mut Outcome,
    ) -> (Amount, Amount) {
        let escrow = HoldId::Escrow(deal.id);
        let reserved = deal.bond.checked_add(deal.audit_budget).expect("parts of the escrow");
        let earned = earned.min(deal.escrow.saturating_sub(reserved));
        let fee = share(earned, self.rules.fee_basis_points);
        let paid = earned.saturating_sub(fee);
        post(escrow, deal.provider, paid, Reason::Work, outcome);
        post(escrow, Address::TREASURY, fee, Reason::Fee, outcome);
        deal.escrow = deal.escrow.saturating_sub(earned);
        deal.paid = deal.paid.checked_add(paid).expect("a part of the escrow");
        deal.fees = deal.fees.checked_add(fee).expect("a part of the escrow");
        (paid, fee)
    }

    /// Pays for results, and ends the deal or lets it go on.
    pub(super) fn accept(
        &mut self,
        mut deal: Deal,
        step: Step,
        (commitment, receipts, samples): (Commitment, Hash, Vec<Sample>),
        outcome: &mut Outcome,
    ) {
        let earned = deal.terms.price.cost_of_fuel(commitment.fuel);
        let (paid, fee) = self.pay_for_work(&mut deal, earned, outcome);
        let first = deal.batch_first();
        deal.accepted += commitment.count;
        let (id, count) = (deal.id, commitment.count);
        outcome.events.push(Event::Accepted { deal: id, first, count, paid, fee });
        let may_commit = deal.commits < deal.terms.batches_max;
        if deal.left() > 0 && deal.stop != Stop::Last && may_commit {
            let provider = deal.provider;
            deal.batches.push(Batch { first, provider, commitment, receipts, samples, paid });
            let now = self.now.time;
            let state = if deal.stop == Stop::Asked {
                DealState::Closing { commit_by: now.plus(self.rules.stop_window) }
            } else {
                DealState::Running {
                    done: deal.accepted,
                    done_by: now.plus(deal.time_left),
                    heartbeat_by: self.heartbeat(&deal),
                }
            };
            self.enter(deal, step, state, outcome);
            return;
        }
        let refund = self.close_deal(&mut deal, outcome);
        let audited = deal.audited;
        outcome.events.push(Event::Settled { deal: id, paid, fee, audited, refund });
        self.credit(&deal);
        self.probe_is_over(&deal, None, outcome);
        let state =
            DealState::Settled { commitment, receipts, samples, paid, fee, audited, refund };
        self.enter(deal, step, state, outcome);
    }

    /// Everything that is left goes home. Answers what the renter got.
    pub(super) fn close_deal(&mut self, deal: &mut Deal, outcome: &mut Outcome) -> Amount {
        let refund = deal.escrow;
        if deal.is_probe() {
            self.back_to_certificate(deal, HoldId::Escrow(deal.id), refund, outcome);
        } else {
            void(HoldId::Escrow(deal.id), refund, outcome);
        }
        (deal.escrow, deal.audit_budget, deal.bond) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
        self.return_deposit(deal, deal.deposit, outcome);
        refund
    }

    /// The deal ends, and nobody has failed.
    pub(super) fn cancel_deal(
        &mut self,
        mut deal: Deal,
        step: Step,
        why: Cancellation,
        outcome: &mut Outcome,
    ) {
        self.close_deal(&mut deal, outcome);
        self.enter(deal, step, DealState::Cancelled { why }, outcome);
    }

    /// The provider is out. Another one is looked for, if there may be one.
    pub(super) fn drop_provider(
        &mut self,
        mut deal: Deal,
        (step, why): (Step, Failure),
        penalty: Penalty,
        outcome: &mut Outcome,
    ) {
        let (hold, deposit) = (HoldId::Deposit(deal.id), deal.deposit);
        let reason = if penalty.all { Reason::Fraud } else { Reason::Late };
        let fine = share(deposit, penalty.renter);
        slash(hold, deal.renter, fine, reason, outcome);
        let mut rest = deposit.saturating_sub(fine);
        if let Some((challenger, basis_points)) = penalty.challenger {
            let reward = share(deposit, basis_points).min(rest);
            slash(hold, challenger, reward, reason, outcome);
            rest = rest.saturating_sub(reward);
        }
        if penalty.all {
            slash(hold, Address::TREASURY, rest, reason, outcome);
            rest = Amount::ZERO;
        }
        self.return_deposit(&mut deal, rest, outcome);
        let (id, provider) = (deal.id, deal.provider);
        outcome.events.push(Event::Dropped { deal: id, provider, why, fine });
        self.debit(&deal, why);
        deal.tried.push((provider, why));
        let may_go_on = deal.tried.len() < usize::from(deal.terms.attempts_max)
            && deal.stop == Stop::No
            && step != Step::Unopened;
        if may_go_on {
            let until = self.now.time.plus(self.rules.rematch_window);
            let from = Some(crate::attributes::AskKey::FIRST.halves());
            self.enter(deal, step, DealState::Rematch { why, fine, until, from }, outcome);
        } else {
            self.fail(deal, step, (why, fine), outcome);
        }
    }

    /// The deal ends without the rest of its results.
    pub(super) fn fail(
        &mut self,
        mut deal: Deal,
        step: Step,
        (why, fine): (Failure, Amount),
        outcome: &mut Outcome,
    ) {
        self.close_deal(&mut deal, outcome);
        self.probe_is_over(&deal, Some(why), outcome);
        outcome.events.push(Event::Failed { deal: deal.id, why, fine });
        self.enter(deal, step, DealState::Failed { why, fine }, outcome);
    }

    /// A provider leaves a deal: its deposit, less a fine, goes back behind the ask and its units are open again, with new time priority.
    /// If the ask is closed, or what it holds no longer covers the units (after a fine), the deposit goes home instead.
    fn return_deposit(&mut self, deal: &mut Deal, amount: Amount, outcome: &mut Outcome) {
        let source = HoldId::Deposit(deal.id);
        let units = std::mem::take(&mut deal.taken);
        deal.deposit = Amount::ZERO;
        if deal.is_probe() {
            self.back_to_certificate(deal, source, amount, outcome);
            return;
        }
        if units.0 == 0 {
            return;
        }
        let ask = self.table.orders.get(&deal.ask).cloned();
        let live = ask.filter(|ask| ask.is_live() && ask.expires_at() > self.now.time);
        let Some(mut ask) = live else {
            void(source, amount, outcome);
            return;
        };
        ask.open.0 += units.0;
        ask.held = ask.held.checked_add(amount).expect("money that exists");
        let covered = ask
            .price()
            .cost(ask.open)
            .basis_points(self.rules.ask_deposit_basis_points)
            .is_some_and(|wanted| wanted <= ask.held);
        if covered {
            if !amount.is_zero() {
                let target = HoldId::Order(ask.id);
                outcome.settlements.push(Settlement::Move { source, target, amount });
            }
            ask.state = OrderState::New;
            self.table.put_order(ask);
            return;
        }
        void(source, amount, outcome);
        ask.open.0 -= units.0;
        ask.held = ask.held.saturating_sub(amount);
        if ask.open.0 == 0 {
            self.end(ask, Why::Deposit, outcome);
        }
    }
}
