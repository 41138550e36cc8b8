//! What auditors set aside so that their word is worth something.
//!
//! An auditor that says *equal* without executing is paid for nothing, and does harm when the result is wrong. Two rules make that a bad trade.
//! Where [`crate::Rules::seal_window`] is not zero an auditor first seals what it got ([`audit_seal`]), while only the provider knows what it committed; so it
//! has to execute to have anything to say. And an auditor whose *equal* is later proved wrong loses all that it pledged.

use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, Amount, DealId, Hash, TimeMs};
use serde::{Deserialize, Serialize};

use super::machine::wrong;
use super::{Deal, DealState, Sample, Step};
use crate::{Event, HoldId, Market, MarketError, Outcome, Reason, Settlement};

/// What an auditor has set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pledge {
    /// How much.
    pub amount: Amount,
    /// It goes back then; until then the auditor still answers for what it said, but is not drawn.
    pub until: Option<TimeMs>,
}

/// What an auditor seals before it can know what was committed: it cannot be made without the receipt, and nobody else can use it.
#[must_use]
pub fn audit_seal(auditor: Address, deal: DealId, sample: u16, found: &Receipt) -> Hash {
    let what = gongsuan_types::codec::encode(&(auditor, deal, sample, found));
    Hash::of("gongsuan/audit-seal/v1", &what)
}

impl Market {
    /// What an auditor has set aside.
    #[must_use]
    pub fn pledge_of(&self, auditor: &Address) -> Pledge {
        self.table.pledges.get(auditor).copied().unwrap_or_default()
    }

    /// An auditor sets money aside.
    pub(crate) fn pledge(
        &mut self,
        sender: Address,
        amount: Amount,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        if amount.is_zero() {
            return Err(MarketError::Mismatch {
                field: "amount",
                limit: "above 0".into(),
                got: "0".into(),
            });
        }
        let before = self.pledge_of(&sender).amount;
        let amount_now = before.checked_add(amount).ok_or(MarketError::Overflow)?;
        let hold = HoldId::Pledge(sender);
        outcome.settlements.push(Settlement::Hold { hold, owner: sender, amount });
        outcome.events.push(Event::Pledged { auditor: sender, amount: amount_now });
        self.table.put_pledge(sender, Pledge { amount: amount_now, until: None });
        Ok(())
    }

    /// An auditor wants its money back.
    pub(crate) fn unpledge(&mut self, sender: Address) -> Result<(), MarketError> {
        let pledge = self.pledge_of(&sender);
        if pledge.amount.is_zero() || pledge.until.is_some() {
            return Err(MarketError::Mismatch {
                field: "sender",
                limit: "an auditor with a pledge that is not going back".into(),
                got: "another".into(),
            });
        }
        let until = Some(self.now.time.plus(self.rules.pledge_window));
        self.table.put_pledge(sender, Pledge { until, ..pledge });
        Ok(())
    }

    /// Gives back what is due.
    pub(super) fn return_pledges(&mut self, outcome: &mut Outcome) {
        while let Some((_, auditor)) =
            self.table.pledge_due.first().copied().filter(|(at, _)| *at <= self.now.time)
        {
            let amount = self.pledge_of(&auditor).amount;
            super::money::void(HoldId::Pledge(auditor), amount, outcome);
            outcome.events.push(Event::Pledged { auditor, amount: Amount::ZERO });
            self.table.put_pledge(auditor, Pledge::default());
        }
    }

    /// Takes a share of a pledge.
    fn fine_auditor(&mut self, auditor: Address, basis_points: u32, outcome: &mut Outcome) {
        let pledge = self.pledge_of(&auditor);
        let fine = pledge.amount.basis_points(basis_points).unwrap_or(pledge.amount);
        if fine.is_zero() {
            return;
        }
        let (hold, to) = (HoldId::Pledge(auditor), Address::TREASURY);
        let reason = Reason::FalseAudit;
        outcome.settlements.push(Settlement::Slash { hold, to, amount: fine, reason });
        let amount = pledge.amount.saturating_sub(fine);
        outcome.events.push(Event::Pledged { auditor, amount });
        let until = pledge.until.filter(|_| !amount.is_zero());
        self.table.put_pledge(auditor, Pledge { amount, until });
    }

    /// Samples that nobody answered in time.
    pub(super) fn fine_absent(&mut self, deal: &Deal, samples: &[Sample], outcome: &mut Outcome) {
        let absent = samples.iter().filter(|sample| !sample.passed);
        for auditor in absent.filter_map(|sample| sample.auditor) {
            if auditor != deal.renter {
                self.fine_auditor(auditor, self.rules.absent_fine_basis_points, outcome);
            }
        }
    }

    /// Auditors that found a wrong result equal.
    pub(super) fn fine_false(&mut self, deal: &Deal, segment: u32, outcome: &mut Outcome) {
        let DealState::Disputed { samples, .. } = &deal.state else { return };
        let said = samples.iter().filter(|sample| sample.segment == segment && sample.passed);
        for auditor in said.filter_map(|sample| sample.auditor) {
            self.fine_auditor(auditor, 10_000, outcome);
        }
    }

    /// Those who can be drawn for a deal: attested, with enough behind them, and of no owner that is a party to it; with their owners.
    pub(super) fn eligible(&self, deal: &Deal, auditors: &[Address]) -> Vec<(Address, Hash)> {
        let least = Amount::new(u128::from(self.rules.pledge_min_micro));
        let parties = [&deal.provider, &deal.renter].map(|party| self.owner_of(party));
        let is_good = |(auditor, owner): &(Address, Hash)| {
            let pledge = self.pledge_of(auditor);
            pledge.amount >= least && pledge.until.is_none() && !parties.contains(owner)
        };
        auditors.iter().map(|who| (*who, self.owner_of(who))).filter(is_good).collect()
    }

    /// An auditor binds itself to what it got.
    pub(crate) fn seal_audit(
        &mut self,
        sender: Address,
        (id, number): (DealId, u16),
        seal: Hash,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        if self.rules.seal_window.0 == 0 {
            return Err(MarketError::Mismatch {
                field: "seal",
                limit: "none: audits are not sealed on this chain".into(),
                got: "one".into(),
            });
        }
        let deal = self.find(id)?;
        let mut state = deal.state.clone();
        let DealState::Drawn { samples, audit_by, .. } = &mut state else {
            return Err(wrong(&deal, "drawn"));
        };
        // From then on the others show what they have, and it could be copied.
        if !self.is_sealing(*audit_by) {
            return Err(MarketError::Mismatch {
                field: "seal",
                limit: format!("within {} ms after the draw", self.rules.seal_window.0),
                got: "later".into(),
            });
        }
        let sample = samples
            .get_mut(usize::from(number))
            .filter(|sample| sample.auditor == Some(sender))
            .ok_or(MarketError::NotYours { role: "auditor drawn for the sample" })?;
        if sample.seal.is_some() || sample.passed {
            return Err(MarketError::Mismatch {
                field: "seal",
                limit: "once for each sample".into(),
                got: "a second time".into(),
            });
        }
        sample.seal = Some(seal);
        self.enter(deal, Step::SealAudit, state, outcome);
        Ok(())
    }

    /// Whether auditors may seal what they got, and nobody may show any of it.
    pub(super) fn is_sealing(&self, audit_by: TimeMs) -> bool {
        let left = audit_by.since(self.now.time).0;
        left.saturating_add(self.rules.seal_window.0) > self.rules.audit_window.0
    }

    /// Whether an auditor says what it sealed, once all have sealed.
    pub(super) fn check_seal(
        &self,
        (deal, number): (DealId, u16),
        (samples, audit_by): (&[Sample], TimeMs),
        found: &Receipt,
    ) -> Result<(), MarketError> {
        let window = self.rules.seal_window;
        let Some(sample) = samples.get(usize::from(number)) else { return Ok(()) };
        let Some(auditor) = sample.auditor else { return Ok(()) };
        if window.0 == 0 {
            return Ok(());
        }
        let got = audit_seal(auditor, deal, number, found);
        if sample.seal != Some(got) {
            return Err(MarketError::Mismatch {
                field: "found",
                limit: "the receipt that was sealed".into(),
                got: if sample.seal.is_some() { "another one" } else { "no seal" }.into(),
            });
        }
        let all = samples.iter().all(|other| other.seal.is_some() || other.auditor.is_none());
        if all || !self.is_sealing(audit_by) {
            return Ok(());
        }
        Err(MarketError::Mismatch {
            field: "sample",
            limit: format!("after all samples are sealed, or {} ms after the draw", window.0),
            got: "before".into(),
        })
    }
}
