//! Cases: who may bring what before the validators, and what follows from their verdict.
//!
//! A case needs no rounds: the challenger names one segment, shows what was committed for it and says what it got itself. The validators
//! execute that one segment and each signs what came out; [`Market::judge`] counts. While a case is open the window of the results stands still, so
//! that a false claim takes no time away from a true one; it costs its stake.

use gongsuan_types::court::{CaseId, Finding};
use gongsuan_types::receipt::{Receipt, ReceiptProof};
use gongsuan_types::{Address, Amount, DealId};

use super::machine::{check_place, wrong};
use super::money::{Penalty, forfeit_bond, hold_stake, pay_for_receipt, return_stake};
use super::{Cancellation, Case, Deal, DealState, Failure, Kind, Question, Sample, Step, Vote};
use crate::{Event, Market, MarketError, Outcome};

/// Windows for which a case waits, at most.
const CASE_WINDOWS_MAX: u64 = 4;

impl Market {
    /// What a claim about a deal costs whoever makes it, if it is false: a share of what is in question, and no less than the validators' work.
    #[must_use]
    pub fn claim_stake(&self, deal: &Deal) -> Amount {
        let least = Amount::new(u128::from(self.rules.claim_stake_micro));
        let part = deal.terms.price.cost(deal.taken);
        let part = part.basis_points(self.rules.claim_stake_basis_points);
        part.unwrap_or(least).max(least)
    }

    /// Anybody says that a result is wrong.
    pub(crate) fn challenge(
        &mut self,
        sender: Address,
        id: DealId,
        (committed, proof, found): (Receipt, &ReceiptProof, Receipt),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_other(sender, id)?;
        let DealState::Drawn { commitment, .. } = &deal.state else {
            return Err(wrong(&deal, "drawn"));
        };
        check_place(&deal, commitment, (&committed, proof))?;
        if found == committed {
            return Err(MarketError::Mismatch {
                field: "found",
                limit: "another receipt than the committed one".into(),
                got: "the same".into(),
            });
        }
        self.dispute(deal, sender, Question::Result { committed, found }, outcome)
    }

    /// Anybody says that an output, or the list of receipts, is not to be had.
    pub(crate) fn demand_output(
        &mut self,
        sender: Address,
        id: DealId,
        (committed, proof): (Receipt, &ReceiptProof),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_other(sender, id)?;
        let DealState::Drawn { commitment, .. } = &deal.state else {
            return Err(wrong(&deal, "drawn"));
        };
        check_place(&deal, commitment, (&committed, proof))?;
        self.dispute(deal, sender, Question::Output { committed }, outcome)
    }

    /// A provider that judges itself could save the challenger's share of its own deposit.
    fn find_as_other(&self, sender: Address, id: DealId) -> Result<Deal, MarketError> {
        let deal = self.find(id)?;
        if deal.provider == sender {
            return Err(MarketError::NotYours { role: "others than the provider of the deal" });
        }
        Ok(deal)
    }

    /// Brings drawn results before the validators.
    pub(super) fn dispute(
        &mut self,
        mut deal: Deal,
        by: Address,
        question: Question,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let DealState::Drawn { commitment, receipts, samples, audit_by, open_until } =
            deal.state.clone()
        else {
            return Err(wrong(&deal, "drawn"));
        };
        let (Question::Result { committed, .. } | Question::Output { committed }) = question else {
            return Err(wrong(&deal, "asked about a segment"));
        };
        let step = match question {
            Question::Output { .. } => Step::DemandOutput,
            Question::Result { .. } | Question::Input | Question::Predicate => Step::Challenge,
        };
        let stake = self.claim_stake(&deal);
        hold_stake(&deal, by, stake, outcome);
        let segment = committed.segment;
        outcome.events.push(Event::Disputed { deal: deal.id, segment, auditor: by });
        let case = self.case(&mut deal, (by, stake), question, outcome);
        let state =
            DealState::Disputed { commitment, receipts, samples, audit_by, open_until, case };
        self.enter(deal, step, state, outcome);
        Ok(())
    }

    /// Whether a case has not been judged because there are others: nobody shall have its deal lapse by filling the court. Not for ever: if the validators
    /// cannot judge it at all, it ends.
    pub(super) fn is_crowded(&self, deal: &Deal) -> bool {
        let most = self.rules.dispute_window.0.saturating_mul(CASE_WINDOWS_MAX);
        let waited = |case: &Case| case.until.since(case.opened).0;
        self.table.cases.len() > 1 && deal.case().is_some_and(|case| waited(case) < most)
    }

    pub(super) fn wait_for_others(&mut self, deal: Deal, outcome: &mut Outcome) {
        let mut state = deal.state.clone();
        if let DealState::Disputed { case, .. } | DealState::Asked { case } = &mut state {
            case.until = case.until.plus(self.rules.dispute_window);
        }
        self.enter(deal, Step::Crowded, state, outcome);
    }

    /// The provider says that it cannot get the input.
    pub(crate) fn ask_input(
        &mut self,
        sender: Address,
        id: DealId,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let mut deal = self.find_as_provider(sender, id)?;
        // What a lease needs is between its parties; validators could not judge it.
        if !matches!((&deal.state, deal.terms.kind), (DealState::Matched { .. }, Kind::Job)) {
            return Err(wrong(&deal, "matched, for a job"));
        }
        let stake = self.claim_stake(&deal);
        hold_stake(&deal, sender, stake, outcome);
        let case = self.case(&mut deal, (sender, stake), Question::Input, outcome);
        self.enter(deal, Step::AskInput, DealState::Asked { case }, outcome);
        self.await_copy(id, outcome);
        Ok(())
    }

    /// Anybody wants to see the receipt of a segment.
    pub(crate) fn demand(
        &mut self,
        sender: Address,
        id: DealId,
        segment: u32,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_other(sender, id)?;
        let DealState::Drawn { commitment, receipts, samples, audit_by, open_until } =
            deal.state.clone()
        else {
            return Err(wrong(&deal, "drawn"));
        };
        let (first, end) = (deal.batch_first(), deal.batch_first() + commitment.count);
        if !(first..end).contains(&segment) {
            return Err(MarketError::Mismatch {
                field: "segment",
                limit: format!("{first}..{end}"),
                got: segment.to_string(),
            });
        }
        // What the provider has to show then is what the auditor has to find out.
        let waits = |sample: &Sample| sample.segment == segment && sample.auditor.is_some();
        if self.is_sealing(audit_by)
            && samples.iter().any(|one| waits(one) && one.seal.is_none() && !one.passed)
        {
            return Err(MarketError::Mismatch {
                field: "segment",
                limit: "one that no auditor is about to seal".into(),
                got: segment.to_string(),
            });
        }
        let fee = Amount::new(u128::from(self.rules.receipt_fee_micro));
        hold_stake(&deal, sender, fee, outcome);
        let (opened, by) = (self.now.time, sender);
        let serve_by = opened.plus(self.rules.serve_window);
        let state = DealState::Demanded {
            commitment,
            receipts,
            samples,
            audit_by,
            open_until,
            segment,
            by,
            fee,
            opened,
            serve_by,
        };
        self.enter(deal, Step::Demand, state, outcome);
        Ok(())
    }

    /// The provider shows a receipt.
    pub(crate) fn serve(
        &mut self,
        sender: Address,
        id: DealId,
        (receipt, proof): (Receipt, &ReceiptProof),
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let deal = self.find_as_provider(sender, id)?;
        let DealState::Demanded { commitment, segment, .. } = &deal.state else {
            return Err(wrong(&deal, "demanded"));
        };
        if receipt.segment != *segment {
            return Err(MarketError::BadProof);
        }
        check_place(&deal, commitment, (&receipt, proof))?;
        pay_for_receipt(&deal, outcome);
        let state = self.window_goes_on(&deal);
        outcome.events.push(Event::Served { deal: id, receipt });
        self.enter(deal, Step::Serve, state, outcome);
        Ok(())
    }

    /// The window as it was, later by the time for which it stood still.
    fn window_goes_on(&self, deal: &Deal) -> DealState {
        let (commitment, receipts, samples, audit_by, open_until, opened) = match &deal.state {
            DealState::Disputed { commitment, receipts, samples, audit_by, open_until, case } => {
                (commitment, receipts, samples, audit_by, open_until, case.opened)
            }
            DealState::Demanded {
                commitment,
                receipts,
                samples,
                audit_by,
                open_until,
                opened,
                ..
            } => (commitment, receipts, samples, audit_by, open_until, *opened),
            DealState::Matched { .. }
            | DealState::Running { .. }
            | DealState::Committed { .. }
            | DealState::Drawn { .. }
            | DealState::Settled { .. }
            | DealState::Failed { .. }
            | DealState::Asked { .. }
            | DealState::Examined { .. }
            | DealState::Closing { .. }
            | DealState::Sealed { .. }
            | DealState::Rematch { .. }
            | DealState::Leased { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => unreachable!("the caller knows that a window stands"),
        };
        let stood = self.now.time.since(opened);
        DealState::Drawn {
            commitment: *commitment,
            receipts: *receipts,
            samples: samples.clone(),
            audit_by: audit_by.plus(stood),
            open_until: open_until.plus(stood),
        }
    }

    /// Counts what validators found of a case, each once; `needed` equal findings settle it. The caller has checked signatures and seats.
    ///
    /// # Errors
    /// If there is no such case, or a finding does not answer its question. The market is unchanged.
    pub fn judge(
        &mut self,
        id: CaseId,
        votes: &[Vote],
        needed: usize,
    ) -> Result<Outcome, MarketError> {
        let mut outcome = Outcome::default();
        let mut deal = self.find(id.deal)?;
        let Some(case) = case_mut(&mut deal.state).filter(|case| case.id == id) else {
            return Err(MarketError::NoCase(id));
        };
        let before = case.votes.len();
        for vote in votes {
            if !case.question.is_answered_by(&vote.finding) {
                return Err(MarketError::Mismatch {
                    field: "finding",
                    limit: "an answer to the question of the case".into(),
                    got: format!("{:?}", vote.finding),
                });
            }
            if case.votes.iter().all(|known| known.seat != vote.seat) {
                case.votes.push(*vote);
            }
        }
        if case.votes.len() == before {
            return Err(MarketError::Mismatch {
                field: "verdicts",
                limit: "one of a validator that has not been heard".into(),
                got: "none".into(),
            });
        }
        case.votes.sort_unstable_by_key(|vote| vote.seat);
        let agreed = case.votes.iter().map(|vote| vote.finding).find(|finding| {
            case.votes.iter().filter(|vote| vote.finding == *finding).count() >= needed
        });
        let case = case.clone();
        match agreed {
            None => self.table.put_deal(deal),
            Some(finding) => {
                outcome.events.push(Event::Judged { case: id, finding });
                self.rule(deal, &case, finding, &mut outcome);
            }
        }
        Ok(outcome)
    }

    /// What follows from what the validators found.
    fn rule(&mut self, mut deal: Deal, case: &Case, finding: Finding, outcome: &mut Outcome) {
        match (case.question, finding) {
            (Question::Result { committed, .. }, Finding::Produced(got)) if got == committed => {
                self.uphold(deal, outcome);
            }
            (Question::Output { .. }, Finding::Available) => self.uphold(deal, outcome),
            (Question::Result { committed, found }, Finding::Produced(got)) => {
                return_stake(&deal, outcome);
                self.fine_false(&deal, committed.segment, outcome);
                // Whoever guesses that something is wrong does not know what is right.
                let reward = self.rules.fraud_to_challenger_basis_points;
                let penalty = Penalty {
                    renter: self.rules.fraud_to_renter_basis_points,
                    challenger: (got == found).then_some((case.by, reward)),
                    all: true,
                };
                self.drop_provider(deal, (Step::Fraud, Failure::Fraud), penalty, outcome);
            }
            (Question::Output { .. }, _) => {
                return_stake(&deal, outcome);
                let why = (Step::OutputMissing, Failure::Withheld);
                self.drop_provider(deal, why, self.withheld(), outcome);
            }
            (Question::Result { .. }, _) => {
                return_stake(&deal, outcome);
                let state = self.window_goes_on(&deal);
                self.enter(deal, Step::Unknowable, state, outcome);
            }
            (Question::Input, Finding::Available) => {
                self.lose_stake(&deal, deal.renter, outcome);
                let ack_by = self.now.time.plus(deal.terms.ack_within);
                let id = deal.id;
                self.enter(deal, Step::InputThere, DealState::Matched { ack_by }, outcome);
                self.await_copy(id, outcome);
            }
            (Question::Input, _) => {
                return_stake(&deal, outcome);
                forfeit_bond(&mut deal, outcome);
                self.cancel_deal(deal, Step::InputMissing, Cancellation::NoInput, outcome);
            }
            (Question::Predicate, Finding::Accepts) => {
                if let Some((commitment, receipts)) = deal.results() {
                    let results = (commitment, receipts, Vec::new());
                    self.accept(deal, Step::Approve, results, outcome);
                }
            }
            (Question::Predicate, _) => {
                let why = (Step::Refuse, Failure::Refused);
                self.drop_provider(deal, why, Penalty::default(), outcome);
            }
        }
    }

    /// The claim was false.
    fn uphold(&mut self, deal: Deal, outcome: &mut Outcome) {
        self.lose_stake(&deal, deal.provider, outcome);
        let state = self.window_goes_on(&deal);
        self.enter(deal, Step::Upheld, state, outcome);
    }

    /// What it costs not to show what was committed.
    pub(super) fn withheld(&self) -> Penalty {
        let renter = self.rules.withheld_to_renter_basis_points;
        Penalty { renter, challenger: None, all: true }
    }
}

fn case_mut(state: &mut DealState) -> Option<&mut Case> {
    match state {
        DealState::Disputed { case, .. }
        | DealState::Asked { case }
        | DealState::Examined { case, .. } => Some(case),
        DealState::Matched { .. }
        | DealState::Running { .. }
        | DealState::Committed { .. }
        | DealState::Drawn { .. }
        | DealState::Settled { .. }
        | DealState::Failed { .. }
        | DealState::Demanded { .. }
        | DealState::Closing { .. }
        | DealState::Sealed { .. }
        | DealState::Rematch { .. }
        | DealState::Leased { .. }
        | DealState::Completed { .. }
        | DealState::Cancelled { .. } => None,
    }
}

impl Question {
    /// Whether a finding is an answer to it.
    #[must_use]
    pub fn is_answered_by(&self, finding: &Finding) -> bool {
        match (self, finding) {
            (Self::Result { committed, .. }, Finding::Produced(got)) => {
                got.segment == committed.segment
            }
            (Self::Result { .. }, Finding::Unavailable)
            | (Self::Output { .. } | Self::Input, Finding::Available | Finding::Unavailable)
            | (Self::Predicate, Finding::Accepts | Finding::Refuses) => true,
            _ => false,
        }
    }
}
