//! Leases: what a heartbeat must show, and how one ends.
//!
//! Intervals follow each other without gaps from the acknowledgement on, whenever their heartbeats come. Each is paid by its heartbeat, and none
//! without one. Where the renter is the witness a heartbeat may come as soon as its interval has begun (the renter hands the token over when it
//! begins), and may stand for several; where the chain is, it comes after its interval, and answers what the block of the one before has asked.

use gongsuan_types::lease::{LeaseOrder, TOKENS_MAX, Witness, answer};
use gongsuan_types::{Address, DealId, DurationMs, Hash, TimeMs, Units};

use super::machine::{mismatch, wrong};
use super::money::Penalty;
use super::{Deal, DealState, Failure, Kind, Step, Stop};
#[cfg(feature = "faults")]
use crate::faults::{self, Fault};
use crate::{Event, Market, MarketError, Outcome};

impl Market {
    /// A lease whose next interval begins at `from`.
    pub(super) fn leased(
        &self,
        from: TimeMs,
        interval: DurationMs,
        grace: DurationMs,
    ) -> DealState {
        let beat_by = from.plus(interval).plus(grace);
        DealState::Leased { from, question: self.now.block, beat_by }
    }

    /// The provider is there: all intervals up to number `interval` (from 1) are paid.
    pub(crate) fn beat(
        &mut self,
        sender: Address,
        id: DealId,
        (number, token): (u32, Hash),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_provider(sender, id)?;
        let (
            DealState::Leased { from, question, beat_by },
            Kind::Lease { interval, grace, witness },
        ) = (&deal.state, deal.terms.kind)
        else {
            return Err(wrong(&deal, "leased"));
        };
        let (next, from, beat_by) = (deal.accepted + 1, *from, *beat_by);
        let is_stopped = deal.stop != Stop::No;
        let last = match witness {
            Witness::Renter(_) => deal.terms.count.min(deal.accepted.saturating_add(TOKENS_MAX)),
            Witness::Chain => next,
        };
        if !(next..=last).contains(&number) {
            return Err(mismatch("interval", format!("{next}..={last}"), number));
        }
        let many = number - deal.accepted;
        let span = |count: u32| DurationMs(interval.0.saturating_mul(u64::from(count)));
        // A token may be shown when its interval has begun, an answer when it is over.
        let earliest = match witness {
            Witness::Renter(_) => from.plus(span(many - 1)),
            Witness::Chain if is_stopped => from,
            Witness::Chain => from.plus(interval),
        };
        #[cfg(feature = "faults")]
        let earliest = if faults::is(Fault::BeatEarly) { TimeMs(0) } else { earliest };
        if self.now.time < earliest {
            let limit = format!("from {earliest} on, for interval {number}");
            return Err(mismatch("time", limit, self.now.time));
        }
        let is_shown = match witness {
            Witness::Renter(_) => LeaseOrder::is_token(&token, many, &deal.token()),
            Witness::Chain => token == answer(*question, id, number, sender),
        };
        #[cfg(feature = "faults")]
        let is_shown = is_shown || faults::is(Fault::TrustTokens);
        if !is_shown {
            let limit = match witness {
                Witness::Renter(_) => {
                    format!(
                        "the renter's token for interval {number}: {many} hashes before {}",
                        deal.token()
                    )
                }
                Witness::Chain => {
                    format!("the answer to the question {question} for interval {number}")
                }
            };
            return Err(mismatch("token", limit, token));
        }
        if let Witness::Renter(_) = witness {
            deal.secret = Some(token);
        }
        if is_stopped {
            let stopped_at = TimeMs(beat_by.0.saturating_sub(grace.0));
            self.pay_begun(&mut deal, (stopped_at.since(from), interval), outcome);
            self.complete(deal, Step::Beat, outcome);
            return Ok(());
        }
        self.pay_intervals(&mut deal, many, outcome);
        if deal.left() == 0 {
            self.complete(deal, Step::Beat, outcome);
        } else {
            let state = self.leased(from.plus(span(many)), interval, grace);
            self.enter(deal, Step::Beat, state, outcome);
        }
        Ok(())
    }

    /// The provider goes before the end.
    pub(crate) fn leave(
        &mut self,
        sender: Address,
        id: DealId,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_provider(sender, id)?;
        if !matches!(deal.state, DealState::Leased { .. }) {
            return Err(wrong(&deal, "leased"));
        }
        let penalty = Penalty { renter: self.rules.leave_fine_basis_points, ..Penalty::default() };
        self.drop_provider(deal, (Step::Leave, Failure::Left), penalty, outcome);
        Ok(())
    }

    /// No heartbeat came in time.
    pub(super) fn miss(&mut self, deal: Deal, outcome: &mut Outcome) {
        #[cfg(feature = "faults")]
        let deal = self.pay_gap(deal, outcome);
        let Kind::Lease { witness, .. } = deal.terms.kind else {
            unreachable!("only leases are leased")
        };
        if deal.stop != Stop::No {
            // The renter has gone already, and nobody shows that there is anything to pay for.
            self.complete(deal, Step::Gap, outcome);
            return;
        }
        let (why, renter) = match witness {
            // A provider that is fined for a token that its renter withholds would be robbed.
            Witness::Renter(_) => ((Step::Unwitnessed, Failure::Unwitnessed), 0),
            Witness::Chain => ((Step::Gap, Failure::Silent), self.rules.late_fine_basis_points),
        };
        self.drop_provider(deal, why, Penalty { renter, ..Penalty::default() }, outcome);
    }

    /// A lease that its renter stops, where the chain is the witness: the provider has the grace to show that it is there, and is paid for what has passed
    /// of the interval. Where the renter is the witness the provider has the interval's token already, or has stopped serving.
    pub(super) fn stopped_lease(&self, deal: &Deal) -> Option<DealState> {
        match (&deal.state, deal.terms.kind) {
            (
                DealState::Leased { from, question, .. },
                Kind::Lease { grace, witness: Witness::Chain, .. },
            ) => {
                let beat_by = self.now.time.plus(grace);
                Some(DealState::Leased { from: *from, question: *question, beat_by })
            }
            _ => None,
        }
    }

    /// Pays for a part of an interval.
    fn pay_begun(
        &self,
        deal: &mut Deal,
        (passed, interval): (DurationMs, DurationMs),
        outcome: &mut Outcome,
    ) {
        let passed = u128::from(passed.0.min(interval.0));
        let units = u128::from(deal.terms.lot.0) * passed / u128::from(interval.0.max(1));
        let units = Units(u64::try_from(units).expect("a part of a lot"));
        let earned = deal.terms.price.cost(units);
        let (paid, fee) = self.pay_for_work(deal, earned, outcome);
        outcome.events.push(Event::BegunPaid { deal: deal.id, units, paid, fee });
    }

    #[cfg(feature = "faults")]
    fn pay_gap(&self, mut deal: Deal, outcome: &mut Outcome) -> Deal {
        if faults::is(Fault::PayGap) {
            self.pay_intervals(&mut deal, 1, outcome);
        }
        deal
    }

    fn pay_intervals(&self, deal: &mut Deal, many: u32, outcome: &mut Outcome) {
        let units = Units(u64::from(many) * deal.terms.lot.0);
        let earned = deal.terms.price.cost(units);
        let (first, count) = (deal.batch_first(), many);
        let (paid, fee) = self.pay_for_work(deal, earned, outcome);
        deal.accepted += many;
        outcome.events.push(Event::Accepted { deal: deal.id, first, count, paid, fee });
    }

    /// The lease ends, and nobody has failed.
    pub(super) fn complete(&mut self, mut deal: Deal, step: Step, outcome: &mut Outcome) {
        let refund = self.close_deal(&mut deal, outcome);
        let (paid, fee) = (deal.paid, deal.fees);
        self.credit(&deal);
        outcome.events.push(Event::Completed { deal: deal.id, paid, fee, refund });
        self.enter(deal, step, DealState::Completed { paid, fee, refund }, outcome);
    }
}
