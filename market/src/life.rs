//! The life of a deal: commands of its parties, and deadlines.

use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{Address, Amount, DealId, Fuel, Hash};

use crate::book::Why;
use crate::{
    Deal, DealState, Event, Failure, HoldId, Market, MarketError, OrderState, Outcome, Reason,
    Settlement,
};

/// What an auditor says of one sample.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sample: u16,
    pub(crate) committed: Receipt,
    pub(crate) proof: ReceiptProof,
    pub(crate) found: Receipt,
}

fn name(state: &DealState) -> &'static str {
    match state {
        DealState::Matched { .. } => "matched",
        DealState::Running { .. } => "running",
        DealState::Committed { .. } => "committed",
        DealState::Drawn { .. } => "drawn",
        DealState::Disputed { .. } => "disputed",
        DealState::Settled { .. } => "settled",
        DealState::Failed { .. } => "failed",
    }
}

fn wrong(deal: &Deal, needed: &'static str) -> MarketError {
    MarketError::WrongState { deal: deal.id, state: name(&deal.state), needed }
}

impl Market {
    fn find(&self, id: DealId) -> Result<Deal, MarketError> {
        self.table.deals.get(&id).cloned().ok_or(MarketError::NoDeal(id))
    }

    fn find_as_provider(&self, sender: Address, id: DealId) -> Result<Deal, MarketError> {
        let deal = self.find(id)?;
        if deal.provider != sender {
            return Err(MarketError::NotYours { role: "provider of the deal" });
        }
        Ok(deal)
    }

    pub(crate) fn acknowledge(
        &mut self,
        sender: Address,
        id: DealId,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_provider(sender, id)?;
        if !matches!(deal.state, DealState::Matched { .. }) {
            return Err(wrong(&deal, "matched"));
        }
        let done_by = self.now.time.plus(deal.terms.run_within);
        deal.state = DealState::Running { done: 0, done_by };
        outcome.events.push(Event::Acknowledged { deal: id });
        self.table.put_deal(deal);
        Ok(())
    }

    pub(crate) fn progress(
        &mut self,
        sender: Address,
        id: DealId,
        done: u32,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_provider(sender, id)?;
        let DealState::Running { done: before, done_by } = deal.state else {
            return Err(wrong(&deal, "running"));
        };
        let count = deal.terms.count;
        if done <= before || done > count {
            return Err(MarketError::Mismatch {
                field: "done",
                limit: format!("above {before}, at most {count}"),
                got: done.to_string(),
            });
        }
        deal.state = DealState::Running { done, done_by };
        outcome.events.push(Event::Progress { deal: id, done, count });
        self.table.put_deal(deal);
        Ok(())
    }

    pub(crate) fn commit_results(
        &mut self,
        sender: Address,
        id: DealId,
        results: (Commitment, Hash),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let (commitment, receipts) = results;
        let mut deal = self.find_as_provider(sender, id)?;
        if !matches!(deal.state, DealState::Running { .. }) {
            return Err(wrong(&deal, "running"));
        }
        if commitment.count != deal.terms.count {
            return Err(MarketError::Mismatch {
                field: "commitment.count",
                limit: deal.terms.count.to_string(),
                got: commitment.count.to_string(),
            });
        }
        let fuel_max = u64::from(deal.terms.count).checked_mul(deal.terms.fuel_max.0);
        let fuel_max = fuel_max.ok_or(MarketError::Overflow)?;
        if commitment.fuel.0 > fuel_max {
            return Err(MarketError::Mismatch {
                field: "commitment.fuel",
                limit: format!("at most {fuel_max}"),
                got: commitment.fuel.to_string(),
            });
        }
        deal.state = DealState::Committed {
            commitment,
            receipts,
            at: self.now.time,
            height: self.now.height,
            beacon: None,
            secret: None,
            reveal_by: self.now.time.plus(self.rules.reveal_window),
        };
        outcome.events.push(Event::Committed { deal: id, commitment });
        self.table.put_deal(deal);
        Ok(())
    }

    pub(crate) fn reveal(
        &mut self,
        sender: Address,
        id: DealId,
        revealed: Hash,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find(id)?;
        if deal.renter != sender {
            return Err(MarketError::NotYours { role: "renter of the deal" });
        }
        let secret_hash = deal.terms.secret_hash;
        let DealState::Committed { secret, .. } = &mut deal.state else {
            return Err(wrong(&deal, "committed"));
        };
        let got = gongsuan_types::job::JobOrder::hash_secret(&revealed);
        if got != secret_hash {
            return Err(MarketError::Mismatch {
                field: "secret",
                limit: format!("a secret with the hash {secret_hash}"),
                got: format!("one with the hash {got}"),
            });
        }
        *secret = Some(revealed);
        outcome.events.push(Event::Revealed { deal: id });
        self.table.put_deal(deal);
        Ok(())
    }

    pub(crate) fn audit(
        &mut self,
        sender: Address,
        id: DealId,
        report: &Report,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find(id)?;
        let first = deal.terms.first;
        let DealState::Drawn { commitment, samples, .. } = &mut deal.state else {
            return Err(wrong(&deal, "drawn"));
        };
        let commitment = *commitment;
        let drawn = samples.len();
        let sample =
            samples.get_mut(usize::from(report.sample)).ok_or_else(|| MarketError::Mismatch {
                field: "sample",
                limit: format!("below {drawn}"),
                got: report.sample.to_string(),
            })?;
        if sample.auditor != Some(sender) {
            return Err(MarketError::NotYours { role: "auditor drawn for the sample" });
        }
        if sample.passed {
            return Err(MarketError::Mismatch {
                field: "sample",
                limit: "one that waits".into(),
                got: "one that has passed".into(),
            });
        }
        let segment = sample.segment;
        let right_place = report.committed.segment == segment
            && report.proof.index.checked_add(first) == Some(segment);
        if !right_place || !report.proof.verify(&commitment, &report.committed) {
            return Err(MarketError::BadProof);
        }
        if report.found != report.committed {
            outcome.events.push(Event::Disputed { deal: id, segment, auditor: sender });
            deal.state = DealState::Disputed {
                commitment,
                segment,
                auditor: sender,
                until: self.now.time.plus(self.rules.dispute_window),
            };
            self.table.put_deal(deal);
            return Ok(());
        }
        sample.passed = true;
        let paid = self.pay_auditor(&mut deal, sender, report.found.fuel, outcome)?;
        outcome.events.push(Event::Audited { deal: id, segment, auditor: sender, paid });
        self.table.put_deal(deal);
        Ok(())
    }

    /// Pays for re-executed fuel out of the audit budget.
    fn pay_auditor(
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
        if paid.is_zero() {
            return Ok(paid);
        }
        deal.audit_budget = deal.audit_budget.saturating_sub(paid);
        deal.escrow = deal.escrow.checked_sub(paid).expect("the budget is part of the escrow");
        deal.audited = deal.audited.checked_add(paid).ok_or(MarketError::Overflow)?;
        outcome.settlements.push(Settlement::Post {
            hold: HoldId::Escrow(deal.id),
            to: auditor,
            amount: paid,
            reason: Reason::Audit,
        });
        Ok(paid)
    }

    /// Fires what is due, fixes beacons, draws, settles. Several steps of one deal may follow each other in one block.
    pub(crate) fn sweep(&mut self, auditors: &[Address], outcome: &mut Outcome) {
        let last = (self.now.time, DealId(u64::MAX));
        let mut ready = self.table.committed.clone();
        ready.extend(self.table.deal_due.range(..=last).map(|(_, id)| *id));
        for id in ready {
            let Some(deal) = self.table.deals.get(&id).cloned() else { continue };
            self.advance(deal, auditors, outcome);
        }
    }

    fn advance(&mut self, mut deal: Deal, auditors: &[Address], outcome: &mut Outcome) {
        let now = self.now;
        let due = deal.due().is_some_and(|at| at <= now.time);
        match &mut deal.state {
            DealState::Matched { .. } if due => {
                let fine = self.rules.no_ack_fine_basis_points;
                self.fail(deal, Failure::NoAck, fine, outcome);
            }
            DealState::Running { .. } if due => {
                let fine = self.rules.late_fine_basis_points;
                self.fail(deal, Failure::Late, fine, outcome);
            }
            DealState::Committed {
                commitment,
                receipts,
                at,
                height,
                beacon,
                secret,
                reveal_by,
            } => {
                if beacon.is_none() && now.height > *height {
                    *beacon = Some(now.block);
                }
                let silent = *reveal_by <= now.time;
                let (Some(beacon), true) = (*beacon, secret.is_some() || silent) else {
                    self.table.put_deal(deal);
                    return;
                };
                let seed = crate::draw::seed(*secret, commitment.root, beacon);
                let (commitment, receipts, at) = (*commitment, *receipts, *at);
                let samples = crate::draw::samples(seed, &deal, auditors);
                outcome.events.push(Event::Drawn { deal: deal.id, samples: samples.clone() });
                deal.state = DealState::Drawn {
                    commitment,
                    receipts,
                    samples,
                    audit_by: now.time.plus(self.rules.audit_window),
                    open_until: at.plus(self.rules.challenge_window),
                };
                let due = deal.due();
                if due.is_some_and(|at| at <= now.time) {
                    self.settle(deal, outcome);
                } else {
                    self.table.put_deal(deal);
                }
            }
            DealState::Drawn { .. } if due => {
                self.settle(deal, outcome);
            }
            DealState::Disputed { .. } if due => {
                self.fail(deal, Failure::Disputed, 0, outcome);
            }
            DealState::Matched { .. }
            | DealState::Running { .. }
            | DealState::Drawn { .. }
            | DealState::Disputed { .. }
            | DealState::Settled { .. }
            | DealState::Failed { .. } => {}
        }
    }

    /// Pays the provider, the treasury and the renter.
    fn settle(&mut self, mut deal: Deal, outcome: &mut Outcome) {
        let DealState::Drawn { commitment, receipts, mut samples, .. } = deal.state.clone() else {
            unreachable!("only drawn deals are settled");
        };
        for sample in &mut samples {
            // Silence accepts.
            sample.passed = true;
        }
        let escrow = HoldId::Escrow(deal.id);
        let earned = deal.terms.price.cost_of_fuel(commitment.fuel).min(deal.escrow);
        let fee = earned.basis_points(self.rules.fee_basis_points).expect("a share of what exists");
        let paid = earned.saturating_sub(fee);
        let refund = deal.escrow.saturating_sub(earned);
        let mut post = |to, amount: Amount, reason| {
            if !amount.is_zero() {
                let hold = escrow;
                outcome.settlements.push(Settlement::Post { hold, to, amount, reason });
            }
        };
        post(deal.provider, paid, Reason::Work);
        post(Address::TREASURY, fee, Reason::Fee);
        void(escrow, refund, outcome);
        self.return_deposit(&deal, deal.deposit, outcome);
        let audited = deal.audited;
        outcome.events.push(Event::Settled { deal: deal.id, paid, fee, audited, refund });
        deal.escrow = Amount::ZERO;
        deal.audit_budget = Amount::ZERO;
        deal.deposit = Amount::ZERO;
        deal.state =
            DealState::Settled { commitment, receipts, samples, paid, fee, audited, refund };
        self.table.count_deal(deal.provider, true);
        self.table.put_deal(deal);
    }

    fn fail(&mut self, mut deal: Deal, why: Failure, fine_bp: u32, outcome: &mut Outcome) {
        let fine = deal.deposit.basis_points(fine_bp).expect("a share of what exists");
        let hold = HoldId::Deposit(deal.id);
        if !fine.is_zero() {
            let (to, amount, reason) = (deal.renter, fine, Reason::Late);
            outcome.settlements.push(Settlement::Slash { hold, to, amount, reason });
        }
        self.return_deposit(&deal, deal.deposit.saturating_sub(fine), outcome);
        void(HoldId::Escrow(deal.id), deal.escrow, outcome);
        outcome.events.push(Event::Failed { deal: deal.id, why, fine });
        deal.escrow = Amount::ZERO;
        deal.audit_budget = Amount::ZERO;
        deal.deposit = Amount::ZERO;
        deal.state = DealState::Failed { why, fine };
        if why != Failure::Disputed {
            self.table.count_deal(deal.provider, false);
        }
        self.table.put_deal(deal);
    }

    /// A deal is over: its deposit, less a fine, goes back behind the ask and its units are open again, with new time priority.
    /// If the ask is closed, or what it holds no longer covers the units (after a fine), the deposit goes home instead.
    fn return_deposit(
        &mut self,
        deal: &Deal,
        amount: gongsuan_types::Amount,
        outcome: &mut Outcome,
    ) {
        let source = HoldId::Deposit(deal.id);
        let ask = self.table.orders.get(&deal.ask).cloned();
        let live = ask.filter(|ask| ask.is_live() && ask.expires_at() > self.now.time);
        let Some(mut ask) = live else {
            void(source, amount, outcome);
            return;
        };
        ask.open.0 += deal.terms.units.0;
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
        ask.open.0 -= deal.terms.units.0;
        ask.held = ask.held.saturating_sub(amount);
        if ask.open.0 == 0 {
            self.end(ask, Why::Deposit, outcome);
        }
    }
}

fn void(hold: HoldId, amount: Amount, outcome: &mut Outcome) {
    if !amount.is_zero() {
        outcome.settlements.push(Settlement::Void { hold, amount });
    }
}
