//! The agent as an auditor: it pledges what the chain asks for, executes what it is drawn for, and tells.
//!
//! Where audits are sealed it binds itself to what it got before the provider shows what it committed, and shows it once all have bound themselves.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::Job;
use gongsuan_executor::jobs::Options;
use gongsuan_market::{Command, Deal, DealState, Rules, audit_seal};
use gongsuan_types::receipt::{Receipt, ReceiptProof};
use gongsuan_types::{Amount, DealId, DurationMs, Hash, TimeMs};

use super::{Agent, LOOK_EVERY, fetch_job, opening, weight};

/// How long a list of receipts is waited for before it is demanded on the chain.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// How long the keys of a private segment are waited for.
const LETTER_PATIENCE: Duration = Duration::from_secs(30);
/// Clocks of agents and of the chain differ by less.
pub(super) const CLOCKS_DIFFER: DurationMs = DurationMs(1_000);

/// From when samples may be shown though somebody has not sealed: the chain's rule, and a margin for clocks.
pub(super) fn seals_over(audit_by: TimeMs, rules: &Rules) -> TimeMs {
    let drawn = audit_by.0.saturating_sub(rules.audit_window.0);
    TimeMs(drawn).plus(rules.seal_window).plus(CLOCKS_DIFFER)
}

/// Whether what was drawn of a deal may be shown: everybody has sealed, or had the time to. Not known while a case is open.
pub(super) fn may_show(deal: &Deal, rules: &Rules, now: TimeMs) -> Option<bool> {
    match &deal.state {
        DealState::Drawn { samples, audit_by, .. } => {
            let all = samples.iter().all(|one| one.seal.is_some() || one.auditor.is_none());
            Some(all || now >= seals_over(*audit_by, rules))
        }
        DealState::Committed { .. } | DealState::Disputed { .. } => Some(false),
        DealState::Demanded { .. } => Some(true),
        _ => None,
    }
}

/// What the auditor of a sample has sealed.
fn sealed(deal: &Deal, sample: u16) -> Option<Hash> {
    let DealState::Drawn { samples, .. } = &deal.state else { return None };
    samples.get(usize::from(sample))?.seal
}

impl Agent {
    pub(crate) fn start_audit(&self, deal: Deal, sample: u16, segment: u32) {
        let agent = self.clone();
        std::thread::spawn(move || {
            if let Err(error) = agent.audit(&deal, sample, segment) {
                tracing::error!(deal = %deal.id, segment, error = format!("{error:#}"), "cannot audit");
            }
        });
    }

    /// Sets aside what an auditor must, if this account is one. A failure is told and tried again.
    pub(super) fn pledge(&self, rules: &Rules) {
        if let Err(error) = self.try_pledge(rules) {
            tracing::warn!(error = format!("{error:#}"), "cannot pledge");
        }
    }

    fn try_pledge(&self, rules: &Rules) -> anyhow::Result<()> {
        let least = Amount::new(u128::from(rules.pledge_min_micro));
        if least.is_zero() {
            return Ok(());
        }
        let account = self.client.account(self.key.address())?;
        let missing = least.saturating_sub(account.pledge);
        if missing.is_zero() || !account.roles.iter().any(|role| role == "auditor") {
            return Ok(());
        }
        self.execute(Command::Pledge(missing))?;
        tracing::info!(%missing, "pledged, and can be drawn as an auditor");
        Ok(())
    }

    /// Executes a drawn segment again and tells what came out.
    fn audit(&self, deal: &Deal, sample: u16, segment: u32) -> anyhow::Result<()> {
        let rules = self.client.genesis()?.params.market;
        let job = self.fetch_drawn(deal, segment)?;
        let options = Options { weight: weight(deal), ..Options::default() };
        let found = self.scheduler.submit(job, options)?.wait(&mut |_| {})?;
        let found = *found.first().context("no receipt")?;
        // A renter that looks itself has nobody to convince.
        if rules.seal_window.0 > 0 && deal.renter != self.key.address() {
            let seal = audit_seal(self.key.address(), deal.id, sample, &found);
            // Before a restart it may have been: the same execution gives the same seal.
            if sealed(deal, sample) != Some(seal) {
                self.execute(Command::SealAudit { deal: deal.id, sample, seal })?;
                tracing::info!(deal = %deal.id, segment, "sealed");
            }
            self.wait_for_seals(deal.id, &rules)?;
        }
        let (committed, proof) = self.opening_in_time(deal, segment)?;
        let equal = found == committed;
        tracing::info!(deal = %deal.id, segment, equal, "audited");
        self.execute(Command::Audit { deal: deal.id, sample, committed, proof, found })?;
        Ok(())
    }

    /// What a drawn segment needs. The renter of a private job sends it when it sees the draw, so it is waited for.
    fn fetch_drawn(&self, deal: &Deal, segment: u32) -> anyhow::Result<Job> {
        let deadline = Instant::now() + LETTER_PATIENCE;
        loop {
            match fetch_job(&self.client, &self.key, deal, vec![segment]) {
                Ok(assignment) => return Ok(assignment.job),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Waits until what was drawn may be shown.
    ///
    /// # Errors
    /// If the deal goes on in another way first.
    fn wait_for_seals(&self, id: DealId, rules: &Rules) -> anyhow::Result<()> {
        loop {
            let deal = self.client.deal(id)?;
            let show = may_show(&deal, rules, crate::node::clock());
            if show.context("the results are not checked any more")? {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What was committed for a segment; if its list does not come, it is demanded on the chain, once, and waited for while the results are checked.
    fn opening_in_time(
        &self,
        deal: &Deal,
        segment: u32,
    ) -> anyhow::Result<(Receipt, ReceiptProof)> {
        let (deadline, mut demanded) = (Instant::now() + LIST_PATIENCE, false);
        loop {
            let error = match opening(&self.client, deal, segment) {
                Ok(opening) => return Ok(opening),
                Err(error) => error,
            };
            if !demanded && Instant::now() >= deadline {
                self.execute(Command::Demand { deal: deal.id, segment })?;
                tracing::warn!(deal = %deal.id, segment, "the receipt is demanded on the chain");
                demanded = true;
            }
            let now = self.client.deal(deal.id)?;
            let is_same = now.results().map(|(now, _)| now) == deal.results().map(|(then, _)| then);
            if now.is_over() || !is_same {
                return Err(error.context("the list did not come while it was wanted"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
