//! The agent's loop: what of the chain's open deals concerns it, each thing once.

use std::collections::BTreeSet;

use gongsuan_market::{Deal, DealState, Kind, Rules};
use gongsuan_types::court::CaseId;
use gongsuan_types::{Address, DealId, TimeMs};

use super::{Agent, CHORES_EVERY, LOOK_EVERY, deals};

/// A deal's cases, its accepted segments, and when a receipt of it was demanded: after each of these it begins anew.
pub(super) type Round = (DealId, u32, u32, Option<TimeMs>);

/// A sample: the deal, who works, the commitment's number and the sample's.
type Drawn = (DealId, Address, u16, u16);

/// What was begun, so that it is not begun twice.
#[derive(Debug, Default)]
struct Rounds {
    started: BTreeSet<Round>,
    audited: BTreeSet<Drawn>,
    attended: BTreeSet<CaseId>,
    shown: BTreeSet<(DealId, u16)>,
    /// Whether journals of deals that ended before this process were looked for.
    swept: bool,
    /// Own deals that were open at the last look.
    open: BTreeSet<DealId>,
    /// Own deals that may be over and were not finished yet.
    ended: BTreeSet<DealId>,
}

fn demanded_at(deal: &Deal) -> Option<TimeMs> {
    match deal.state {
        DealState::Demanded { opened, .. } => Some(opened),
        _ => None,
    }
}

pub(super) fn round(deal: &Deal) -> Round {
    (deal.id, deal.cases, deal.accepted, demanded_at(deal))
}

/// Whether a provider has something to do for a job of its own.
pub(super) fn is_to_do(deal: &Deal) -> bool {
    matches!(
        deal.state,
        DealState::Matched { .. }
            | DealState::Running { .. }
            | DealState::Closing { .. }
            | DealState::Sealed { .. }
            | DealState::Demanded { .. }
    )
}

impl Agent {
    /// Works until the process ends. Errors are logged and tried again: the chain's deadlines decide when it is too late.
    pub fn run(&self) {
        let rules = self.rules();
        let mut rounds = Rounds::default();
        let mut has_looked_back = false;
        for look in 0_u64.. {
            if look.is_multiple_of(CHORES_EVERY) {
                self.pledge(&rules);
                // What a process before this one left; later deals are seen when they end.
                if !has_looked_back {
                    has_looked_back = self.look_back(&mut rounds.ended);
                }
                rounds.ended.retain(|id| {
                    let is_finished = self.finish(*id);
                    if is_finished {
                        self.forget(*id);
                    }
                    !is_finished
                });
            }
            let own = format!("state=open&account={}", self.key.address());
            match deals(&self.client, &own) {
                Err(error) => tracing::warn!(%error, "cannot read the deals"),
                Ok(all) => self.look(&mut rounds, all, &rules),
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Own deals that are over; `false` if no node answers.
    fn look_back(&self, ended: &mut BTreeSet<DealId>) -> bool {
        let me = self.key.address();
        match deals(&self.client, &format!("state=all&account={me}")) {
            Ok(all) => {
                let own = all.iter().filter(|deal| deal.provider == me && deal.is_over());
                ended.extend(own.map(|deal| deal.id));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the deals");
                false
            }
        }
    }

    fn look(&self, rounds: &mut Rounds, all: Vec<Deal>, rules: &Rules) {
        let me = self.key.address();
        let own = all.iter().filter(|deal| deal.provider == me && !deal.is_over());
        let open: BTreeSet<DealId> = own.map(|deal| deal.id).collect();
        let gone: BTreeSet<DealId> = rounds.open.difference(&open).copied().collect();
        if let Some(journals) = &self.journals {
            if !std::mem::replace(&mut rounds.swept, true) {
                journals.keep_only(&open);
            } else if !gone.is_empty() {
                journals.forget(&gone);
            }
        }
        for id in &gone {
            // Nobody pays for what still runs of it, and its renter has a promise that nothing of it stays here.
            self.stop_early(*id);
        }
        rounds.ended.extend(gone);
        rounds.open = open;
        for deal in all.into_iter().filter(|deal| !deal.is_over()) {
            let case = deal.case().filter(|case| [deal.provider, case.by].contains(&me));
            if case.is_some_and(|case| rounds.attended.insert(case.id)) {
                self.start_attending(deal.clone());
            }
            if deal.provider == me {
                self.look_at_own(rounds, deal, rules);
            } else if let DealState::Drawn { samples, .. } = &deal.state {
                for (index, sample) in (0u16..).zip(samples) {
                    let mine = sample.auditor == Some(me) && !sample.passed;
                    let drawn = (deal.id, deal.provider, deal.commits, index);
                    if mine && rounds.audited.insert(drawn) {
                        self.start_audit(deal.clone(), index, sample.segment);
                    }
                }
            }
        }
    }

    fn look_at_own(&self, rounds: &mut Rounds, deal: Deal, rules: &Rules) {
        if matches!(deal.terms.kind, Kind::Lease { .. }) {
            if matches!(deal.state, DealState::Matched { .. } | DealState::Leased { .. }) {
                self.start_lease(deal);
            }
            return;
        }
        let is_checked = deal.results().is_some() && rules.seal_window.0 > 0;
        if is_checked && rounds.shown.insert((deal.id, deal.commits)) {
            self.start_showing(deal.clone(), rules.clone());
        }
        if matches!(deal.state, DealState::Closing { .. }) {
            self.stop_early(deal.id);
        }
        if is_to_do(&deal) && rounds.started.insert(round(&deal)) {
            self.start(deal);
        }
    }
}
