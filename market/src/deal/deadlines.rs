//! What time does. Any block at or after a deadline fires it, so anybody can; nobody has to be trusted to.

use gongsuan_types::{Address, DealId};

use super::money::{Penalty, return_stake};
use super::{Cancellation, Deal, DealState, Failure, Stage, Step, draw};
use crate::{Event, Market, Outcome};

impl Market {
    /// Fires what is due, fixes beacons, draws, settles. Several steps of one deal may follow each other in one block.
    pub(crate) fn sweep(&mut self, auditors: &[Address], fires: bool, outcome: &mut Outcome) {
        self.return_pledges(outcome);
        let last = (self.now.time, DealId(u64::MAX));
        let mut ready = self.table.committed.clone();
        if fires {
            ready.extend(self.table.deal_due.range(..=last).map(|(_, id)| *id));
        }
        for id in ready {
            let Some(deal) = self.table.deals.get(&id).cloned() else { continue };
            if matches!(deal.state, DealState::Committed { .. }) {
                self.draw_or_wait(deal, auditors, outcome);
            } else {
                self.fire(deal, outcome);
            }
        }
    }

    /// What a deadline that has come does.
    fn fire(&mut self, deal: Deal, outcome: &mut Outcome) {
        let now = self.now.time;
        let rules = &self.rules;
        let fined = |renter| Penalty { renter, ..Penalty::default() };
        match &deal.state {
            DealState::Matched { .. } => {
                let penalty = fined(rules.no_ack_fine_basis_points);
                self.drop_provider(deal, (Step::NoAck, Failure::NoAck), penalty, outcome);
            }
            DealState::Running { done_by, .. } => {
                let is_late = *done_by <= now;
                let why = if is_late {
                    (Step::Late, Failure::Late)
                } else {
                    (Step::Silent, Failure::Silent)
                };
                let penalty = fined(rules.late_fine_basis_points);
                self.drop_provider(deal, why, penalty, outcome);
            }
            DealState::Sealed { .. } => {
                let penalty = fined(rules.late_fine_basis_points);
                self.drop_provider(deal, (Step::Unopened, Failure::Late), penalty, outcome);
            }
            DealState::Drawn { .. } => self.end_window(deal, outcome),
            DealState::Disputed { .. } | DealState::Asked { .. } if self.is_crowded(&deal) => {
                self.wait_for_others(deal, outcome);
            }
            DealState::Disputed { .. } => {
                return_stake(&deal, outcome);
                let why = (Step::Unjudged, Failure::Disputed);
                self.drop_provider(deal, why, Penalty::default(), outcome);
            }
            DealState::Asked { .. } => {
                return_stake(&deal, outcome);
                let why = Cancellation::InputUnjudged;
                self.cancel_deal(deal, Step::InputUnjudged, why, outcome);
            }
            DealState::Examined { commitment, receipts, .. } => {
                let state = self.committed(&deal, *commitment, *receipts);
                self.enter(deal, Step::Unexamined, state, outcome);
            }
            DealState::Demanded { .. } => {
                return_stake(&deal, outcome);
                let penalty = self.withheld();
                self.drop_provider(deal, (Step::Withheld, Failure::Withheld), penalty, outcome);
            }
            DealState::Closing { .. } => {
                self.cancel_deal(deal, Step::Closed, Cancellation::Stopped, outcome);
            }
            DealState::Rematch { why, fine, .. } => {
                let why = (*why, *fine);
                self.fail(deal, Step::NoOffer, why, outcome);
            }
            DealState::Leased { .. } => self.miss(deal, outcome),
            DealState::Committed { .. }
            | DealState::Settled { .. }
            | DealState::Failed { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => {}
        }
    }

    /// Results whose beacon, secret or other copies may have come.
    fn draw_or_wait(&mut self, mut deal: Deal, auditors: &[Address], outcome: &mut Outcome) {
        let now = self.now;
        if deal.group.is_some() {
            let waits = |copy: &Deal| {
                let stage = Stage::of(&copy.state);
                matches!(stage, Stage::Matched | Stage::Asked | Stage::Running | Stage::Sealed)
            };
            if self.copies(&deal).any(waits) {
                return;
            }
            if self.all_agree(&deal)
                && let Some((commitment, receipts)) = deal.results()
            {
                let results = (commitment, receipts, Vec::new());
                self.accept(deal, Step::Agree, results, outcome);
                return;
            }
        }
        let mut state = deal.state.clone();
        let DealState::Committed { commitment, receipts, at, height, beacon, secret, reveal_by } =
            &mut state
        else {
            unreachable!("the caller looked")
        };
        let (commitment, receipts, at) = (*commitment, *receipts, *at);
        let is_silent = *reveal_by <= now.time;
        let is_new = beacon.is_none() && now.height > *height;
        if is_new {
            *beacon = Some(now.block);
        }
        let (beacon, secret) = (*beacon, *secret);
        if is_new {
            self.enter(deal.clone(), Step::Beacon, state.clone(), outcome);
            deal.state = state;
        }
        let (Some(beacon), true) = (beacon, secret.is_some() || is_silent) else { return };
        let seed = draw::seed(secret, commitment.root, beacon);
        let samples = draw::samples(seed, &deal, commitment.count, &self.eligible(&deal, auditors));
        outcome.events.push(Event::Drawn { deal: deal.id, samples: samples.clone() });
        let audit_by = now.time.plus(self.rules.audit_window);
        // The window is for challenges, which need the draw, so it has its full length from there for a quorum that was waited for.
        let from = if deal.group.is_some() { now.time } else { at };
        let open_until = from.plus(self.rules.challenge_window);
        let id = deal.id;
        let state = DealState::Drawn { commitment, receipts, samples, audit_by, open_until };
        self.enter(deal, Step::Draw, state, outcome);
        let deal = self.table.deals.get(&id).cloned().expect("just stored");
        if deal.due().is_some_and(|at| at <= now.time) {
            self.end_window(deal, outcome);
        }
    }

    /// Whether a majority of the copies of a quorum is there, and all that are there are equal.
    fn all_agree(&self, deal: &Deal) -> bool {
        let mut there =
            self.copies(deal).filter_map(Deal::results).map(|(commitment, _)| commitment);
        let copies = deal.group.map_or(1, |(_, count)| usize::from(count));
        let Some(first) = there.next() else { return false };
        let mut count = 1;
        for other in there {
            if other != first {
                return false;
            }
            count += 1;
        }
        count * 2 > copies && count > 1
    }

    /// Nothing was found in time, so the results are accepted.
    fn end_window(&mut self, deal: Deal, outcome: &mut Outcome) {
        let DealState::Drawn { commitment, receipts, mut samples, .. } = deal.state.clone() else {
            unreachable!("only drawn results have a window");
        };
        self.fine_absent(&deal, &samples, outcome);
        for sample in &mut samples {
            // Silence accepts.
            sample.passed = true;
        }
        self.accept(deal, Step::WindowOver, (commitment, receipts, samples), outcome);
    }
}
