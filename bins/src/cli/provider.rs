//! `gongsuan provider`.

use std::path::PathBuf;
use std::time::Duration;

use gongsuan_ledger::Op;
use gongsuan_market::prelude::Why;
use gongsuan_market::{Command as MarketCommand, Order, OrderState};
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::{Price, TimeMs, Units};
use serde::Deserialize;
use serde_json::json;

use super::backend::Backend;
use super::{Context, node, output};
use crate::envelope::Post;
use crate::provider::{Agent, Payout, deals};

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
    fn ask(&self) -> Ask {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ask {
            class: Class::WASM,
            price: self.price_micro.map_or(self.price, Price),
            units: Units(self.units),
            fill_min: Units(1),
            machine: Machine {
                cpu_cores: u16::try_from(cores).unwrap_or(u16::MAX),
                memory_mib: self.memory_mib,
                disk_mib: 1_024,
                gpu_count: 0,
                duration_s_max: 86_400,
                region: Region(self.region),
                capabilities: Capabilities::NONE,
            },
            expires_at: TimeMs(crate::node::clock().0 + 30 * 86_400_000),
        }
    }
}

fn own_asks(context: &Context) -> anyhow::Result<Vec<Order>> {
    let me = context.key()?.address();
    let all: Orders =
        context.client().get(&format!("/v1/orders?limit=1000&side=ask&account={me}"))?;
    Ok(all.orders)
}

fn join(offer: &Offer, context: &Context) -> anyhow::Result<()> {
    // First the key, so that the chain knows of the ask that private jobs may go to it.
    let (client, key) = (context.client(), context.key()?);
    Post::new(&client, &key)?.publish()?;
    let ask = offer.ask();
    let line = format!("listed {} Gf at {} per Gf", ask.units, ask.price);
    client.execute(&key, &[Op::Market(MarketCommand::PlaceAsk(ask))])?;
    output::note(&line);
    Ok(())
}

/// Lists this machine unless it is listed, and again whenever its certificate went and took the listing with it. Comes back only with an error.
fn keep_listed(agent: &Agent, offer: &Offer, context: &Context) -> anyhow::Result<()> {
    let list = || {
        let ask = offer.ask();
        agent.list(&ask)?;
        output::note(&format!("listed {} Gf at {} per Gf", ask.units, ask.price));
        anyhow::Ok(())
    };
    if !own_asks(context)?.iter().any(Order::is_live) {
        list()?;
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        let asks = own_asks(context).unwrap_or_default();
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
        Command::Run { offer, backend, state, payout, exit_with_parent } => {
            if exit_with_parent {
                let (stop, stopped) = std::sync::mpsc::channel();
                node::watch_parent(stop);
                std::thread::spawn(move || {
                    stopped.recv().ok();
                    std::process::exit(0);
                });
            }
            let state = state.map_or_else(|| state_folder(context), Ok)?;
            let scheduler = backend.start(&state)?;
            let agent = Agent::new(context.client(), context.key()?, scheduler, state);
            let agent = agent.paid_to(payout);
            // Before anything else is signed with this key, and before the ask: so the chain knows of it that private jobs may go to it.
            agent.publish_key();
            let worker = agent.clone();
            std::thread::spawn(move || worker.run());
            keep_listed(&agent, &offer, context)?;
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
                        state.to_owned(),
                        order.price().to_string(),
                        order.open.to_string(),
                    ]
                });
                let open = own.iter().filter(|deal| !deal.is_over()).count();
                let table = output::table(&["ask", "state", "price", "open Gf"], lines);
                format!("{me}\n{table}\n{} deals, {open} open", own.len())
            });
        }
    }
    Ok(0)
}
