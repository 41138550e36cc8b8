//! `gongsuan provider`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_ledger::Op;
use gongsuan_market::prelude::Why;
use gongsuan_market::{Command as MarketCommand, Order, OrderState};
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::{Price, TimeMs, Units};
use serde::Deserialize;
use serde_json::json;

use super::backend::Backend;
use super::{Context, node, output, usage};
use crate::envelope::Post;
use crate::provider::{Agent, Payout, Vacancy, deals};

/// Between two looks at what is listed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Offer {
    /// Price of a Gf in tokens.
    #[arg(long, default_value = "0.1")]
    price: Price,
    /// Price of a Gf in micro-tokens; instead of --price.
    #[arg(long, hide = true)]
    price_micro: Option<u64>,
    /// Gf that may be in deals at one time.
    #[arg(long, default_value_t = 256)]
    units: u64,
    /// Memory to offer, in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u32,
    /// The region in which the machine stands, by its number in the chain's registry.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=63))]
    region: u8,
}

/// Leased time, beside jobs.
#[derive(Debug, clap::Args)]
pub(super) struct LeaseOffer {
    /// Cores that are for leases only; jobs get the others.
    #[arg(long, default_value_t = 0)]
    lease_cores: u16,
    /// Price of a leased core for a second in tokens.
    #[arg(long, default_value = "0.05")]
    lease_price: Price,
    /// The longest lease, in seconds. What is listed holds a deposit of cores × seconds × price.
    #[arg(long, default_value_t = 1_800, value_parser = clap::value_parser!(u32).range(1..))]
    lease_seconds: u32,
    /// Memory of all leased cores together, in MiB.
    #[arg(long, default_value_t = 2048)]
    lease_memory_mib: u32,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List this machine: place an ask that lasts 30 days.
    Join {
        #[command(flatten)]
        offer: Offer,
    },
    /// List this machine unless it is listed, and work: run deals, audit what is drawn.
    Run {
        #[command(flatten)]
        offer: Offer,
        #[command(flatten)]
        leases: LeaseOffer,
        #[command(flatten)]
        backend: Backend,
        /// A folder of the agent's own: what deals have done so far. Without it, beside the key: KEY.state.
        #[arg(long)]
        state: Option<PathBuf>,
        /// Where the money of a settled deal goes: it stays in this account, or moves to a fresh address for each deal (`account payouts`).
        #[arg(long, value_enum, default_value_t)]
        payout: Payout,
        /// End when standard input is closed.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
    /// Asks and deals of this account.
    Status,
    /// Check the machine, the nodes, the key, vetting, money, the offer and its price; exit code 7 if something is not well.
    Doctor,
}

#[derive(Deserialize)]
struct Orders {
    orders: Vec<Order>,
}

impl Offer {
    /// The ask for jobs; none, if all cores are for leases.
    fn ask(&self, leased: u16) -> Option<Ask> {
        let cpu_cores = cores().saturating_sub(leased);
        (cpu_cores > 0).then(|| Ask {
            class: Class::WASM,
            price: self.price_micro.map_or(self.price, Price),
            units: Units(self.units),
            fill_min: Units(1),
            machine: Machine { duration_s_max: 86_400, ..self.machine(cpu_cores, self.memory_mib) },
            expires_at: TimeMs(crate::node::clock().0 + 30 * 86_400_000),
        })
    }

    fn machine(&self, cpu_cores: u16, memory_mib: u32) -> Machine {
        Machine {
            cpu_cores,
            memory_mib,
            disk_mib: 1_024,
            gpu_count: 0,
            duration_s_max: 0,
            region: Region(self.region),
            capabilities: Capabilities::NONE,
        }
    }
}

impl LeaseOffer {
    fn check(&self) -> anyhow::Result<()> {
        let (got, limit) = (self.lease_cores, cores());
        if got > limit {
            return Err(usage(format!("--lease-cores {got}: this machine has {limit}")));
        }
        Ok(())
    }

    /// What is on offer, if anything is: `jobs` is what else the account lists.
    fn vacancy(&self, offer: &Offer, jobs: Option<&Ask>) -> Option<Vacancy> {
        let machine = Machine {
            duration_s_max: self.lease_seconds,
            ..offer.machine(self.lease_cores, self.lease_memory_mib)
        };
        let machines: Vec<Machine> =
            jobs.map(|ask| ask.machine).into_iter().chain([machine]).collect();
        let claim = crate::capacity::claim(&machines);
        (self.lease_cores > 0).then_some(Vacancy { price: self.lease_price, machine, claim })
    }
}

/// Cores of this machine.
fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

fn own_asks(context: &Context) -> anyhow::Result<Vec<Order>> {
    let me = context.key()?.address();
    let all: Orders =
        context.client().get(&format!("/v1/orders?limit=1000&side=ask&account={me}"))?;
    Ok(all.orders)
}

/// The asks for jobs among them.
fn own_job_asks(context: &Context) -> anyhow::Result<Vec<Order>> {
    let mut asks = own_asks(context)?;
    asks.retain(|ask| ask.class() == Class::WASM);
    Ok(asks)
}

fn join(offer: &Offer, context: &Context) -> anyhow::Result<()> {
    // First the key, so that the chain knows of the ask that private jobs may go to it.
    let (client, key) = (context.client(), context.key()?);
    Post::new(&client, &key)?.publish()?;
    let ask = offer.ask(0).context("this machine has no cores")?;
    let line = format!("listed {} Gf at {} per Gf", ask.units, ask.price);
    client.execute(&key, &[Op::Market(MarketCommand::PlaceAsk(ask))])?;
    output::note(&line);
    Ok(())
}

/// Lists this machine unless it is listed, and again whenever its certificate went and took the listing with it. Comes back only with an error.
fn keep_listed(
    agent: &Agent,
    (offer, leases): (&Offer, &LeaseOffer),
    context: &Context,
) -> anyhow::Result<()> {
    let vacancy = leases.vacancy(offer, offer.ask(leases.lease_cores).as_ref());
    if let Some(vacancy) = vacancy.clone() {
        let agent = agent.clone();
        std::thread::spawn(move || agent.offer_leases(&vacancy));
    }
    let list = || {
        let Some(ask) = offer.ask(leases.lease_cores) else { return Ok(()) };
        let claim = vacancy
            .as_ref()
            .map_or_else(|| crate::capacity::claim(&[ask.machine]), |all| all.claim);
        agent.list(&ask, claim)?;
        output::note(&format!("listed {} Gf at {} per Gf", ask.units, ask.price));
        anyhow::Ok(())
    };
    if !own_job_asks(context)?.iter().any(Order::is_live) {
        list()?;
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        let asks = own_job_asks(context).unwrap_or_default();
        let newest = asks.iter().max_by_key(|order| order.id);
        let is_lost = newest.is_some_and(|order| order.cancelled == Some(Why::Uncertified));
        if is_lost
            && !asks.iter().any(Order::is_live)
            && let Err(error) = list()
        {
            tracing::warn!(error = format!("{error:#}"), "the machine is not listed again");
        }
    }
}

/// Beside the key: an agent that comes back with the same key finds what it had.
fn state_folder(context: &Context) -> anyhow::Result<PathBuf> {
    let mut path = context.key_path()?.as_os_str().to_owned();
    path.push(".state");
    Ok(path.into())
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Join { offer } => join(&offer, context)?,
        Command::Run { offer, leases, mut backend, state, payout, exit_with_parent } => {
            if exit_with_parent {
                let (stop, stopped) = std::sync::mpsc::channel();
                node::watch_parent(stop);
                std::thread::spawn(move || {
                    stopped.recv().ok();
                    std::process::exit(0);
                });
            }
            let state = state.map_or_else(|| state_folder(context), Ok)?;
            leases.check()?;
            backend.leave(leases.lease_cores, cores());
            let scheduler = backend.start(&state)?;
            let agent = Agent::new(context.client(), context.key()?, scheduler, state);
            let agent = agent.paid_to(payout);
            let agent = match leases.lease_cores {
                0 => agent,
                cores => agent.leasing(backend.stalls(cores)?),
            };
            // Before anything else is signed with this key, and before the ask: so the chain knows of it that private jobs may go to it.
            agent.publish_key();
            let worker = agent.clone();
            std::thread::spawn(move || worker.run());
            keep_listed(&agent, (&offer, &leases), context)?;
        }
        Command::Doctor => return super::doctor::run(context),
        Command::Status => {
            let me = context.key()?.address();
            let asks = own_asks(context)?;
            let mut own = deals(&context.client(), &format!("account={me}"))?;
            own.retain(|deal| deal.provider == me);
            let value = json!({ "address": me, "asks": asks, "deals": own });
            output::show(context.json, "gongsuan/provider/v1", &value, || {
                let lines = asks.iter().map(|order| {
                    let state = match order.state {
                        OrderState::New | OrderState::Resting => "live",
                        OrderState::Filled => "in deals",
                        OrderState::Cancelled => "cancelled",
                        OrderState::Expired => "expired",
                    };
                    vec![
                        order.id.to_string(),
                        order.class().to_string(),
                        state.to_owned(),
                        order.price().to_string(),
                        order.open.to_string(),
                    ]
                });
                let open = own.iter().filter(|deal| !deal.is_over()).count();
                let table = output::table(&["ask", "class", "state", "price", "open"], lines);
                format!("{me}\n{table}\n{} deals, {open} open", own.len())
            });
        }
    }
    Ok(0)
}
