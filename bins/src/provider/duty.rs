//! A duty is tried until it is done, or until the chain says that it is none any more: a node that restarts must not cost a provider its deposit.

use std::time::Duration;

use gongsuan_market::Deal;
use gongsuan_types::DealId;

use super::Agent;

/// Between two attempts, at first; each is twice as long as the one before, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);

impl Agent {
    /// Does something for a deal on a thread of its own. After a failure the deal is looked at again: what `is_due` still says of it is tried again.
    pub(super) fn start_duty(
        &self,
        name: &'static str,
        deal: Deal,
        is_due: impl Fn(&Deal) -> bool + Send + 'static,
        mut attempt: impl FnMut(&Self, &Deal) -> anyhow::Result<()> + Send + 'static,
    ) {
        let agent = self.clone();
        std::thread::spawn(move || {
            let (mut deal, mut pause) = (deal, FIRST);
            while let Err(error) = attempt(&agent, &deal) {
                let id: DealId = deal.id;
                let error = format!("{error:#}");
                std::thread::sleep(pause);
                pause = LONGEST.min(pause * 2);
                match agent.client.deal(id) {
                    Ok(now) if !is_due(&now) => {
                        return tracing::error!(deal = %id, error, "{name}: not done in time");
                    }
                    Ok(now) => deal = now,
                    // Nobody answers: the attempt itself will say so.
                    Err(_) => {}
                }
                tracing::warn!(deal = %id, error, "{name}: tried again");
            }
        });
    }
}
