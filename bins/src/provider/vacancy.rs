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

#[cfg(test)]
mod tests {
    use gongsuan_market::{Market, Rules};
    use gongsuan_types::Address;
    use gongsuan_types::order::{Capabilities, Party, Region};

    use super::*;

    fn vacancy() -> Vacancy {
        let machine = Machine {
            cpu_cores: 4,
            memory_mib: 1_000,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 600,
            region: Region(3),
            capabilities: Capabilities::NONE,
        };
        Vacancy { price: Price(7), machine, claim: crate::capacity::claim(&[machine]) }
    }

    /// The ask as it stands when so much of it is left.
    fn live(ask: Ask, open: u64) -> Order {
        let mut market = Market::new(Rules::default());
        let party = Party { address: Address([7; 32]), attested: Capabilities::NONE };
        market.submit(party, Command::PlaceAsk(ask)).unwrap();
        let id = OrderId(1);
        Order { open: Units(open), ..market.order(id).unwrap().clone() }
    }

    #[test]
    fn what_is_free_is_listed_and_what_is_not_is_withdrawn() {
        let (vacancy, now) = (vacancy(), TimeMs(5));
        let ask = |free: u16| vacancy.ask(free, now);
        assert_eq!(ask(0), None);
        let three = ask(3).unwrap();
        assert_eq!((three.units, three.machine.memory_mib), (Units(1_800), 750));
        let change =
            |order: &Order, free: u16| vacancy.change(std::slice::from_ref(order), free, now);
        let nothing = Change { withdraw: vec![], list: None };
        let gone = vec![OrderId(1)];

        assert_eq!(vacancy.change(&[], 3, now), Change { withdraw: vec![], list: ask(3) });
        let all = live(three.clone(), 1_800);
        assert_eq!(change(&all, 3), nothing, "it is on offer");
        assert_eq!(change(&all, 2), Change { withdraw: gone.clone(), list: ask(2) });
        assert_eq!(change(&all, 0), Change { withdraw: gone.clone(), list: None });
        let used_up = live(three.clone(), 899);
        assert_eq!(change(&used_up, 3), Change { withdraw: gone.clone(), list: ask(3) });
        assert_eq!(change(&live(three, 900), 3), nothing);
        let dearer = Vacancy { price: Price(8), ..vacancy.clone() };
        assert_eq!(dearer.change(&[all], 3, now).withdraw, gone, "the price is another one now");
    }
}
