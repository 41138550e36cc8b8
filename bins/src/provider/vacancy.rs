//! Leased time on offer: what of the leased cores is free.
//!
//! One ask lists the free cores as one machine. The matcher does not know how many of them a lease takes for how long, only that the machine has enough; so
//! the ask is withdrawn as soon as a lease takes cores, and the rest is listed anew, as it is when cores come back. Two leases matched in one block may
//! still want more than there is; then the later one is not acknowledged.

use std::time::Duration;

use gongsuan_market::{Command, Order};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::order::{Ask, Machine, Side, UNITS_MAX};
use gongsuan_types::{OrderId, Price, TimeMs, Units};

use super::{Agent, cores_of};
use crate::client::Page;
use crate::lease::CLASS;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an ask lasts.
const LASTS_MS: u64 = 30 * 86_400_000;

/// Leased time as a provider offers it.
#[derive(Debug, Clone)]
pub struct Vacancy {
    /// Micro-tokens of a core-second.
    pub price: Price,
    /// All cores for leases, and their memory; the longest lease.
    pub machine: Machine,
    /// What the account has to show before it can list everything that it lists.
    pub claim: Capacity,
}

/// What has to be done so that what is free is on offer.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    withdraw: Vec<OrderId>,
    list: Option<Ask>,
}

impl Vacancy {
    /// The ask for so many free cores; none for none.
    fn ask(&self, free: u16, now: TimeMs) -> Option<Ask> {
        let all = self.machine.cpu_cores.max(1);
        let memory = u64::from(self.machine.memory_mib) * u64::from(free) / u64::from(all);
        let units = u64::from(free).saturating_mul(u64::from(self.machine.duration_s_max));
        (free > 0).then(|| Ask {
            class: CLASS,
            price: self.price,
            units: Units(units.min(UNITS_MAX.0)),
            fill_min: Units(1),
            machine: Machine {
                cpu_cores: free,
                memory_mib: u32::try_from(memory).unwrap_or(u32::MAX),
                ..self.machine
            },
            expires_at: now.plus(gongsuan_types::DurationMs(LASTS_MS)),
        })
    }

    /// `live` are the account's live asks of the class.
    fn change(&self, live: &[Order], free: u16, now: TimeMs) -> Change {
        let wanted = self.ask(free, now);
        let stands = |order: &&Order| {
            let (Some(wanted), Some(ask)) = (&wanted, order.ask()) else { return false };
            let is_same = (ask.machine, ask.price) == (wanted.machine, wanted.price);
            // Of an ask that short leases have used up, a long one would get nothing.
            is_same && order.open.0 >= wanted.units.0.div_ceil(2)
        };
        let kept = live.iter().find(stands).map(|order| order.id);
        let others = live.iter().map(|order| order.id).filter(|id| Some(*id) != kept);
        Change { withdraw: others.collect(), list: wanted.filter(|_| kept.is_none()) }
    }
}

impl Agent {
    /// Keeps on offer what is free, until the process ends. Errors are logged and tried again.
    pub fn offer_leases(&self, vacancy: &Vacancy) {
        loop {
            if let Err(error) = self.offer_what_is_free(vacancy) {
                tracing::warn!(error = format!("{error:#}"), "leased time is not on offer");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn offer_what_is_free(&self, vacancy: &Vacancy) -> anyhow::Result<()> {
        let me = self.key.address();
        let own = Page {
            limit: Some(1_000),
            open: true,
            account: Some(me),
            class: Some(CLASS),
            ..Page::default()
        };
        let deals = self.client.deals(&own)?.deals;
        let taken = deals.iter().filter(|deal| deal.provider == me).map(cores_of);
        let free = vacancy.machine.cpu_cores.saturating_sub(taken.sum());
        let live = self.client.orders(&Page { side: Some(Side::Ask), ..own })?.orders;
        let change = vacancy.change(&live, free, crate::node::clock());
        for order in change.withdraw {
            self.execute(Command::Cancel(order))?;
        }
        if let Some(ask) = change.list {
            crate::capacity::list(&ask, vacancy.claim, |command| self.execute(command))?;
            tracing::info!(cores = free, price = %vacancy.price, "leased time is on offer");
        }
        Ok(())
    }
}
