//! Real nodes under real faults: processes that are killed, stopped, cut off, without room, and with a wrong clock, and a checker that counts the money.
//!
//! ```text
//! load    sixteen payers, each with its own key and its own node to begin with: one transfer after another, waiting for the commit of each
//! faults  one after another, each healed again; after each, how long it took until somebody's transfer was committed
//! judge   every acknowledged transfer is committed at every node, its payee has exactly what was sent, and all roots are equal
//! ```
//!
//! The validators run on loopback with a wire between them, or each on a host of its own: a network namespace whose packets a router drops.

mod fault;
mod hosts;
mod links;
mod load;
mod network;
mod trial;

use std::fmt;
use std::time::{Duration, Instant};

pub use fault::Fault;
use load::Load;
pub use network::{Error, Network, Options, Stop};
use trial::Trial;

/// What a run came to.
#[derive(Debug)]
pub struct Sum {
    faults: usize,
    acknowledged: usize,
    longest: Duration,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, acknowledged, longest } = self;
        write!(
            f,
            "{faults} faults, {acknowledged} transfers acknowledged: 0 lost, 0 doubled, roots equal; commits went on within {longest:.2?}"
        )
    }
}

/// How hard a network is tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What is done to it, in this order.
    pub faults: &'a [Fault],
    /// Again and again until so long after the start; once without it.
    pub until: Option<Duration>,
    /// After a fault that leaves a quorum, and once any other is healed, somebody's transfer is committed within this.
    pub within: Duration,
}

/// Puts faults on a network under load and counts. `say` hears a line for each fault. Faults that the network refuses are left out.
///
/// # Errors
/// What does not hold.
pub fn run(
    network: &mut Network,
    plan: Plan<'_>,
    mut say: impl FnMut(String),
) -> Result<Sum, Error> {
    let start = Instant::now();
    let load = Load::start(network)?;
    load.wait_for_commit()?;
    let (mut count, mut longest) = (0, Duration::ZERO);
    let possible = plan.faults.iter().filter(|fault| network.refuses(**fault).is_none());
    let faults: Vec<Fault> = possible.copied().collect();
    loop {
        for fault in &faults {
            let before = load.count();
            let gap = Trial::new(network, &load).put(*fault)?;
            count += 1;
            longest = longest.max(gap);
            let more = load.count() - before;
            say(format!("{fault:<12} commits went on within {gap:.2?}; {more} acknowledged"));
            if gap > plan.within {
                let within = plan.within;
                return Err(Error(format!(
                    "{fault}: no commit for {gap:.2?}, more than {within:?}"
                )));
            }
        }
        if faults.is_empty() || plan.until.is_none_or(|until| start.elapsed() >= until) {
            break;
        }
    }
    let paid = load.stop()?;
    let acknowledged = paid.iter().map(|payer| payer.acknowledged.len()).sum();
    load::judge(network, &paid)?;
    Ok(Sum { faults: count, acknowledged, longest })
}
