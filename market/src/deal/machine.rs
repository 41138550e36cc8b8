//! What the parties of a deal can do.

use gongsuan_types::court::CaseId;
use gongsuan_types::job::{Check, JobOrder};
use gongsuan_types::merkle;
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{Address, Amount, DealId, Hash, TimeMs};

use super::{
    COMMENT_BYTES_MAX, Cancellation, Case, Deal, DealState, Kind, Question, Rating, Stage, Step,
    Stop,
};
use crate::{Event, Market, MarketError, Outcome};

/// What an auditor says of one sample.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sample: u16,
    pub(crate) committed: Receipt,
    pub(crate) proof: ReceiptProof,
    pub(crate) found: Receipt,
}

pub(super) fn wrong(deal: &Deal, needed: &'static str) -> MarketError {
    MarketError::WrongState { deal: deal.id, state: Stage::of(&deal.state).name(), needed }
}

#[expect(clippy::needless_pass_by_value, reason = "callers pass numbers and text by value")]
pub(super) fn mismatch(
    field: &'static str,
    limit: impl ToString,
    got: impl ToString,
) -> MarketError {
    MarketError::Mismatch { field, limit: limit.to_string(), got: got.to_string() }
}

impl Market {
    pub(super) fn find(&self, id: DealId) -> Result<Deal, MarketError> {
        self.table.deals.get(&id).cloned().ok_or(MarketError::NoDeal(id))
    }

    pub(super) fn find_as_provider(
        &self,
        sender: Address,
        id: DealId,
    ) -> Result<Deal, MarketError> {
        let deal = self.find(id)?;
        if deal.provider != sender {
            return Err(MarketError::NotYours { role: "provider of the deal" });
        }
        Ok(deal)
    }

    fn find_as_renter(&self, sender: Address, id: DealId) -> Result<Deal, MarketError> {
        let deal = self.find(id)?;
        if deal.renter != sender {
            return Err(MarketError::NotYours { role: "renter of the deal" });
        }
        Ok(deal)
    }

    /// The next deadline for a sign of life.
    pub(super) fn heartbeat(&self, deal: &Deal) -> Option<TimeMs> {
        let within = deal.terms.heartbeat_within;
        (within.0 > 0).then(|| self.now.time.plus(within))
    }

    /// A new case of a deal.
    pub(super) fn case(
        &self,
        deal: &mut Deal,
        (by, stake): (Address, Amount),
        question: Question,
        outcome: &mut Outcome,
    ) -> Box<Case> {
        deal.cases += 1;
        let id = CaseId { deal: deal.id, number: deal.cases };
        outcome.events.push(Event::CaseOpened { case: id, by, stake });
        Box::new(Case {
            id,
            by,
            stake,
            question,
            opened: self.now.time,
            until: self.now.time.plus(self.rules.dispute_window),
            votes: Vec::new(),
        })
    }

    pub(crate) fn acknowledge(
        &mut self,
        sender: Address,
        id: DealId,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_provider(sender, id)?;
        if !matches!(deal.state, DealState::Matched { .. }) {
            return Err(wrong(&deal, "matched"));
        }
        outcome.events.push(Event::Acknowledged { deal: id });
        let state = match deal.terms.kind {
            Kind::Lease { interval, grace, .. } => self.leased(self.now.time, interval, grace),
            Kind::Job | Kind::Probe { .. } => {
                let done_by = self.now.time.plus(deal.terms.run_within);
                let (done, heartbeat_by) = (deal.accepted, self.heartbeat(&deal));
                DealState::Running { done, done_by, heartbeat_by }
            }
        };
        self.enter(deal, Step::Acknowledge, state, outcome);
        self.await_copy(id, outcome);
        Ok(())
    }

    pub(crate) fn progress(
        &mut self,
        sender: Address,
        id: DealId,
        done: u32,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_provider(sender, id)?;
        let DealState::Running { done: before, done_by, .. } = deal.state else {
            return Err(wrong(&deal, "running"));
        };
        let count = deal.terms.count;
        if done <= before || done > count {
            return Err(mismatch("done", format!("above {before}, at most {count}"), done));
        }
        outcome.events.push(Event::Progress { deal: id, done, count });
        let heartbeat_by = self.heartbeat(&deal);
        let state = DealState::Running { done, done_by, heartbeat_by };
        self.enter(deal, Step::Progress, state, outcome);
        Ok(())
    }

    pub(crate) fn commit_results(
        &mut self,
        sender: Address,
        id: DealId,
        (commitment, receipts): (Commitment, Hash),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_provider(sender, id)?;
        if deal.group.is_some() {
            return Err(wrong(&deal, "sealed: the copies of a quorum seal before they show"));
        }
        match deal.state {
            DealState::Running { done_by, .. } => {
                check_commitment(&deal, &commitment)?;
                deal.time_left = done_by.since(self.now.time);
            }
            DealState::Closing { .. } => {
                check_commitment(&deal, &commitment)?;
                deal.stop = Stop::Last;
            }
            DealState::Matched { .. }
            | DealState::Committed { .. }
            | DealState::Drawn { .. }
            | DealState::Disputed { .. }
            | DealState::Settled { .. }
            | DealState::Failed { .. }
            | DealState::Asked { .. }
            | DealState::Examined { .. }
            | DealState::Demanded { .. }
            | DealState::Sealed { .. }
            | DealState::Rematch { .. }
            | DealState::Leased { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => return Err(wrong(&deal, "running")),
        }
        self.take_results(deal, Step::Commit, (commitment, receipts), outcome);
        Ok(())
    }

    fn take_results(
        &mut self,
        mut deal: Deal,
        step: Step,
        (commitment, receipts): (Commitment, Hash),
        outcome: &mut Outcome,
    ) {
        deal.commits += 1;
        outcome.events.push(Event::Committed { deal: deal.id, commitment });
        if let Check::Predicate(_) = deal.terms.check {
            let by = (deal.provider, Amount::ZERO);
            let case = self.case(&mut deal, by, Question::Predicate, outcome);
            let at = self.now.time;
            let state = DealState::Examined { commitment, receipts, at, case };
            self.enter(deal, step, state, outcome);
            return;
        }
        let state = self.committed(&deal, commitment, receipts);
        self.enter(deal, step, state, outcome);
    }

    /// Results that wait for their draw.
    pub(super) fn committed(
        &self,
        deal: &Deal,
        commitment: Commitment,
        receipts: Hash,
    ) -> DealState {
        let (at, height) = (self.now.time, self.now.height);
        let mut reveal_by = at.plus(self.rules.reveal_window);
        if deal.group.is_some() {
            // The copies are compared first, so no draw is due before all are there.
            reveal_by = reveal_by.max(self.unseal_by(deal));
        }
        if deal.is_probe() {
            // The chain has no secret: the next block draws.
            reveal_by = at;
        }
        let (beacon, secret) = (None, None);
        DealState::Committed { commitment, receipts, at, height, beacon, secret, reveal_by }
    }

    /// When a copy of a quorum must be shown: the others that are at work have sealed or failed by then, unless a missing input starts their clocks
    /// anew, and there is time left to show.
    pub(super) fn unseal_by(&self, deal: &Deal) -> TimeMs {
        let others = self.copies(deal).filter(|copy| copy.id != deal.id && is_at_work(copy));
        let last = others.filter_map(Deal::due).max().unwrap_or(self.now.time);
        last.max(self.now.time).plus(self.rules.reveal_window)
    }

    /// A copy of a quorum has got more time: those that have sealed can show only after it, so they get more as well.
    pub(super) fn await_copy(&mut self, id: DealId, outcome: &mut Outcome) {
        let Some(deal) = self.table.deals.get(&id).filter(|deal| deal.group.is_some()) else {
            return;
        };
        let sealed: Vec<Deal> = self.copies(deal).filter(|copy| copy.id != id).cloned().collect();
        for copy in sealed {
            let DealState::Sealed { seal, unseal_by } = copy.state else { continue };
            let later = self.unseal_by(&copy);
            if later > unseal_by {
                let state = DealState::Sealed { seal, unseal_by: later };
                self.enter(copy, Step::Await, state, outcome);
            }
        }
    }

    /// Whether another copy of a quorum has neither sealed nor failed.
    pub(super) fn others_work(&self, deal: &Deal) -> bool {
        self.copies(deal).any(|copy| copy.id != deal.id && is_at_work(copy))
    }

    /// The deals that do the same work as this one, itself among them.
    pub(super) fn copies(&self, deal: &Deal) -> impl Iterator<Item = &Deal> {
        let (first, count) = deal.group.unwrap_or((deal.id, 1));
        self.table.deals.range(first..DealId(first.0 + u64::from(count))).map(|(_, copy)| copy)
    }

    pub(crate) fn seal(
        &mut self,
        sender: Address,
        id: DealId,
        seal: Hash,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_provider(sender, id)?;
        if deal.group.is_none() {
            return Err(wrong(&deal, "one of a quorum"));
        }
        if !matches!(deal.state, DealState::Running { .. }) {
            return Err(wrong(&deal, "running"));
        }
        // Whoever seals after another has shown could copy it.
        if self.copies(&deal).any(|copy| copy.commits > 0) {
            return Err(mismatch("seal", "before any other copy is shown", "after one was"));
        }
        let unseal_by = self.unseal_by(&deal);
        self.enter(deal, Step::Seal, DealState::Sealed { seal, unseal_by }, outcome);
        Ok(())
    }

    pub(crate) fn unseal(
        &mut self,
        sender: Address,
        id: DealId,
        (commitment, receipts, salt): (Commitment, Hash, Hash),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_provider(sender, id)?;
        let DealState::Sealed { seal, .. } = deal.state else {
            return Err(wrong(&deal, "sealed"));
        };
        // Each of them has a deadline of its own, so this does not last.
        if self.others_work(&deal) {
            let got = "while another is at work";
            return Err(mismatch("unseal", "after all copies have sealed or failed", got));
        }
        let got = super::seal(sender, &commitment, salt);
        if got != seal {
            return Err(mismatch("salt", format!("what makes the seal {seal}"), got));
        }
        check_commitment(&deal, &commitment)?;
        self.take_results(deal, Step::Unseal, (commitment, receipts), outcome);
        Ok(())
    }

    pub(crate) fn reveal(
        &mut self,
        sender: Address,
        id: DealId,
        (revealed, path): (Hash, Option<&merkle::Proof>),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_renter(sender, id)?;
        let mut state = deal.state.clone();
        let DealState::Committed { secret, .. } = &mut state else {
            return Err(wrong(&deal, "committed"));
        };
        if secret.is_some() {
            return Err(mismatch("secret", "once for each batch", "another one"));
        }
        if !deal.is_secret(&revealed, path) {
            let got = JobOrder::hash_secret(&revealed);
            let limit = match deal.secret {
                Some(last) => format!("a secret with the hash {last}, the one revealed before"),
                None => format!(
                    "the first secret of deal {} of the order, with its path to {}",
                    deal.number, deal.terms.secret_hash
                ),
            };
            return Err(mismatch("secret", limit, format!("one with the hash {got}")));
        }
        *secret = Some(revealed);
        deal.secret = Some(revealed);
        outcome.events.push(Event::Revealed { deal: id });
        self.enter(deal, Step::Reveal, state, outcome);
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
        let mut state = deal.state.clone();
        let DealState::Drawn { commitment, samples, audit_by, .. } = &mut state else {
            return Err(wrong(&deal, "drawn"));
        };
        let sealed = (id, report.sample);
        let seals = self.check_seal(sealed, (samples, *audit_by), &report.found);
        let drawn = samples.len();
        let sample = samples
            .get_mut(usize::from(report.sample))
            .ok_or_else(|| mismatch("sample", format!("below {drawn}"), report.sample))?;
        if sample.auditor != Some(sender) {
            return Err(MarketError::NotYours { role: "auditor drawn for the sample" });
        }
        if sample.passed {
            return Err(mismatch("sample", "one that waits", "one that has passed"));
        }
        // A renter that looks itself has nobody to convince.
        if sender != deal.renter {
            seals?;
        }
        let segment = sample.segment;
        if report.committed.segment != segment {
            return Err(MarketError::BadProof);
        }
        check_place(&deal, commitment, (&report.committed, &report.proof))?;
        if report.found != report.committed {
            let (committed, found) = (report.committed, report.found);
            return self.dispute(deal, sender, Question::Result { committed, found }, outcome);
        }
        sample.passed = true;
        // A renter that looks itself is not paid for it.
        let paid = if sender == deal.renter {
            Amount::ZERO
        } else {
            self.pay_auditor(&mut deal, sender, report.found.fuel, outcome)?
        };
        outcome.events.push(Event::Audited { deal: id, segment, auditor: sender, paid });
        self.enter(deal, Step::Audit, state, outcome);
        Ok(())
    }

    /// One side of a settled deal says what it thinks of the other.
    pub(crate) fn rate(
        &mut self,
        sender: Address,
        id: DealId,
        (stars, comment): (u8, String),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find(id)?;
        if deal.is_probe()
            || !matches!(deal.state, DealState::Settled { .. } | DealState::Completed { .. })
        {
            return Err(wrong(&deal, "settled or completed, and between two parties"));
        }
        if !(1..=5).contains(&stars) {
            return Err(mismatch("stars", "1..=5", stars));
        }
        if comment.len() > COMMENT_BYTES_MAX {
            return Err(mismatch("comment", format!("{COMMENT_BYTES_MAX} bytes"), comment.len()));
        }
        let (of, place) = if sender == deal.renter {
            (deal.provider, &mut deal.of_provider)
        } else if sender == deal.provider {
            (deal.renter, &mut deal.of_renter)
        } else {
            return Err(MarketError::NotYours { role: "renter or provider of the deal" });
        };
        if place.is_some() {
            return Err(mismatch("stars", "once for each side", "a second time"));
        }
        *place = Some(Rating { stars, comment, at: self.now.time });
        outcome.events.push(Event::Rated { deal: id, by: sender, of, stars });
        self.table.put_deal(deal);
        Ok(())
    }

    /// The renter wants the deal to end.
    pub(crate) fn stop(
        &mut self,
        sender: Address,
        id: DealId,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_renter(sender, id)?;
        if deal.stop != Stop::No {
            return Err(mismatch("stop", "once", "a second time"));
        }
        deal.stop = Stop::Asked;
        let state = match Stage::of(&deal.state) {
            Stage::Matched | Stage::Rematch => {
                self.cancel_deal(deal, Step::Stop, Cancellation::Stopped, outcome);
                return Ok(());
            }
            Stage::Leased => match self.stopped_lease(&deal) {
                Some(state) => state,
                None => {
                    self.complete(deal, Step::Stop, outcome);
                    return Ok(());
                }
            },
            // What one has sealed so far can be shown only when all have.
            Stage::Running if deal.group.is_some() => {
                return Err(wrong(&deal, "not at work: the copies of a quorum are shown together"));
            }
            Stage::Running => {
                DealState::Closing { commit_by: self.now.time.plus(self.rules.stop_window) }
            }
            Stage::Committed
            | Stage::Drawn
            | Stage::Disputed
            | Stage::Examined
            | Stage::Demanded => deal.state.clone(),
            // A seal is a promise of all, and a missing input is for the validators to see.
            Stage::Asked | Stage::Sealed => return Err(wrong(&deal, "at work or in its window")),
            Stage::Closing
            | Stage::Settled
            | Stage::Failed
            | Stage::Cancelled
            | Stage::Completed => {
                return Err(wrong(&deal, "under way"));
            }
        };
        self.enter(deal, Step::Stop, state, outcome);
        Ok(())
    }
}

/// Whether a copy of a quorum may still seal.
fn is_at_work(copy: &Deal) -> bool {
    matches!(Stage::of(&copy.state), Stage::Matched | Stage::Asked | Stage::Running)
}

/// Whether results are for the segments that come next, and burnt no more than they could.
fn check_commitment(deal: &Deal, commitment: &Commitment) -> Result<(), MarketError> {
    let (left, count) = (deal.left(), commitment.count);
    let closing = matches!(deal.state, DealState::Closing { .. });
    let may_be_less = closing || deal.commits + 1 < deal.terms.batches_max;
    if count == 0 || count > left || (count < left && !may_be_less) {
        let limit = if may_be_less { format!("1..={left}") } else { left.to_string() };
        return Err(mismatch("commitment.count", limit, count));
    }
    let fuel_max = u64::from(count).checked_mul(deal.terms.fuel_max.0);
    let fuel_max = fuel_max.ok_or(MarketError::Overflow)?;
    if commitment.fuel.0 > fuel_max {
        return Err(mismatch("commitment.fuel", format!("at most {fuel_max}"), commitment.fuel));
    }
    Ok(())
}

/// Whether a receipt stands where its segment belongs.
pub(super) fn check_place(
    deal: &Deal,
    commitment: &Commitment,
    (receipt, proof): (&Receipt, &ReceiptProof),
) -> Result<(), MarketError> {
    let in_place = proof.index.checked_add(deal.batch_first()) == Some(receipt.segment);
    if in_place && proof.verify(commitment, receipt) {
        return Ok(());
    }
    Err(MarketError::BadProof)
}
