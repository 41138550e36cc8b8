//! Probes: who is asked, with what seed, and what follows.

use std::collections::BTreeSet;

use gongsuan_types::capacity::{Capacity, rate};
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{Bid, Class, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::{Address, Amount, DealId, DurationMs, Hash, Hasher, OrderId, Units};

use super::certificate::{Certificate, Lapse, Probe, Shown};
use crate::deal::{Deal, DealState, Failure, Kind, Terms};
use crate::{Event, HoldId, Market, Order, OrderState, OrderTerms, Outcome, Settlement};

impl Market {
    /// Opens the probes whose seed this block is: those that were asked for, and some drawn again. `since` is the time since the block before.
    pub(crate) fn probe_all(&mut self, since: DurationMs, outcome: &mut Outcome) {
        for provider in self.table.asked.clone() {
            let known = self.certificate(&provider).copied();
            if let Some(certificate @ Certificate { probe: Probe::Asked(at), .. }) = known
                && at < self.now.height
            {
                self.open_probe(provider, certificate, outcome);
            }
        }
        for provider in self.redrawn(since) {
            if let Some(certificate) = self.certificate(&provider).copied() {
                self.open_probe(provider, certificate, outcome);
            }
        }
    }

    /// Who is probed again: each with the probability `since` of `redraw_every`, by this block's hash.
    fn redrawn(&self, since: DurationMs) -> BTreeSet<Address> {
        let (every, certified) = (self.rules.capacity.redraw_every.0, &self.table.certified);
        if every == 0 || certified.is_empty() {
            return BTreeSet::new();
        }
        let count = certified.len() as u64;
        let due = u128::from(count) * u128::from(since.0.min(every));
        let number = |what: &str, index: u64| {
            let mut hasher = Hasher::new("gongsuan/capacity/redraw/v1");
            hasher.update(&self.now.block.0).part(what.as_bytes()).update(&index.to_le_bytes());
            hasher.finish().to_u64()
        };
        // What is left of a whole one is drawn as well, so that the mean is right however often blocks come.
        let more = u128::from(number("one more", 0) % every) < due % u128::from(every);
        let wanted = due / u128::from(every) + u128::from(more);
        let wanted = u64::try_from(wanted).unwrap_or(count).min(count);
        let pick = |index| {
            let at = usize::try_from(number("who", index) % count).expect("an index of a set");
            *certified.iter().nth(at).expect("below its length")
        };
        (0..wanted).map(pick).collect()
    }

    /// The stake behind a claim, and what the audits of one probe cost.
    pub(super) fn probe_costs(&self, claim: Capacity) -> Option<(Amount, Amount)> {
        let rules = &self.rules.capacity;
        let stake = Amount::new(u128::from(rules.stake_micro) * u128::from(claim.lanes));
        let lot = claim.challenge(Hash::ZERO, rules.steps).to_job(rules.module, rules.meter).lot();
        let lane = rules.audit_price.cost(lot);
        let lane = lane.basis_points(self.rules.audit_price_basis_points)?;
        Some((stake, lane.mul_div_floor(u64::from(rules.samples), 1)?))
    }

    /// The chain asks: an order of its own, and at once the deal over it.
    fn open_probe(&mut self, provider: Address, mut known: Certificate, outcome: &mut Outcome) {
        let costs = self.probe_costs(known.claim);
        let (stake, audits) = costs.expect("the claim was refused if it does not fit");
        let needed = stake.checked_add(audits).expect("checked when it was claimed");
        let Some(held) = known.held.checked_sub(needed) else {
            self.lapse(provider, &known, Lapse::UsedUp, outcome);
            return;
        };
        let bid = self.probe_bid(provider, known.claim);
        self.table.next_order += 1;
        self.table.next_deal += 1;
        let (order, id) = (OrderId(self.table.next_order), DealId(self.table.next_deal));
        let terms = Terms {
            kind: Kind::Probe { capacity: known.claim, steps: self.rules.capacity.steps },
            ..Terms::of(&bid, (bid.units, bid.price_max), 0)
        };
        let deal = Deal {
            ask: order,
            bid: order,
            provider,
            escrow: audits,
            audit_budget: audits,
            deposit: stake,
            state: DealState::Running {
                done: 0,
                done_by: self.now.time.plus(terms.run_within),
                heartbeat_by: None,
            },
            ..Deal::new(id, terms, (bid.class, self.now.time))
        };
        let source = HoldId::Capacity(provider);
        for (target, amount) in [(HoldId::Escrow(id), audits), (HoldId::Deposit(id), stake)] {
            if !amount.is_zero() {
                outcome.settlements.push(Settlement::Move { source, target, amount });
            }
        }
        let lanes = u32::from(known.claim.lanes);
        outcome.events.push(Event::Probed { deal: id, order, provider, lanes });
        (known.held, known.probe) = (held, Probe::Open(id));
        known.probes = known.probes.saturating_add(1);
        self.table.put_certificate(provider, Some(known));
        self.table.put_order(Order {
            id: order,
            owner: provider,
            terms: OrderTerms::Bid(Box::new(bid)),
            state: OrderState::Filled,
            open: Units(0),
            arrived: self.now.height,
            sequence: 0,
            reputation: 0,
            segments_done: lanes,
            deals: 1,
            held: Amount::ZERO,
            cancelled: None,
            vetted: false,
        });
        self.table.put_deal(deal);
    }

    /// What the chain asks for. The seed is this block's, and the provider's own: no two are asked the same.
    fn probe_bid(&self, provider: Address, claim: Capacity) -> Bid {
        let rules = &self.rules.capacity;
        let mut hasher = Hasher::new("gongsuan/capacity/seed/v1");
        hasher.update(&self.now.block.0).update(&provider.0);
        let spec = claim.challenge(hasher.finish(), rules.steps).to_job(rules.module, rules.meter);
        let lot = spec.lot();
        let units = Units(lot.0 * u64::from(claim.lanes));
        Bid {
            class: Class::WASM,
            price_max: rules.audit_price,
            units,
            lot,
            fill_min: units,
            deals_max: 1,
            requirements: Requirements::ANY,
            fill_rule: FillRule::FillOrKill,
            self_match: SelfMatch::Skip,
            expires_at: self.now.time,
            work: Work::Job(Box::new(JobOrder {
                spec,
                ack_within: DurationMs(0),
                run_within: rules.answer_within,
                samples: rules.samples,
                deposit_basis_points: 0,
                secret_hash: Hash::ZERO,
                check: Check::Lottery,
                pace: Pace::default(),
            })),
        }
    }

    /// Money of a probe goes back behind the certificate.
    pub(crate) fn back_to_certificate(
        &mut self,
        deal: &Deal,
        source: HoldId,
        amount: Amount,
        outcome: &mut Outcome,
    ) {
        if amount.is_zero() {
            return;
        }
        let target = HoldId::Capacity(deal.provider);
        outcome.settlements.push(Settlement::Move { source, target, amount });
        let mut certificate = *self.certificate(&deal.provider).expect("kept while it is probed");
        certificate.held = certificate.held.checked_add(amount).expect("money that exists");
        self.table.put_certificate(deal.provider, Some(certificate));
    }

    /// A deal has ended. If it was a probe, the certificate stands or falls with it.
    pub(crate) fn probe_is_over(
        &mut self,
        deal: &Deal,
        failed: Option<Failure>,
        outcome: &mut Outcome,
    ) {
        let Kind::Probe { capacity, .. } = deal.terms.kind else { return };
        let provider = deal.provider;
        let mut certificate = *self.certificate(&provider).expect("kept while it is probed");
        certificate.probe = Probe::No;
        match failed {
            None => {
                let fuel =
                    deal.results().map(|(commitment, _)| commitment.fuel).unwrap_or_default();
                let took = deal.terms.run_within.0.saturating_sub(deal.time_left.0);
                let fuel_per_s = rate(fuel, took);
                certificate.shown = Some(Shown { capacity, fuel_per_s, at: self.now.time });
                outcome.events.push(Event::Certified { provider, capacity, fuel_per_s });
                self.table.put_certificate(provider, Some(certificate));
                if self.rules.capacity.required {
                    // What was shown may be less than before.
                    self.unlist(provider, outcome);
                }
            }
            // Nobody judged, which is not the provider's fault: it stands as it stood.
            Some(Failure::Disputed) => self.table.put_certificate(provider, Some(certificate)),
            #[cfg(feature = "faults")]
            Some(_) if crate::faults::is(crate::faults::Fault::KeepFailed) => {
                self.table.put_certificate(provider, Some(certificate));
            }
            Some(why) => self.lapse(provider, &certificate, Lapse::Failed(why), outcome),
        }
    }
}
