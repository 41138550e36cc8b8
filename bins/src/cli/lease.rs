//! `gongsuan lease`.

use std::path::PathBuf;
use std::time::Duration;

use gongsuan_ledger::Op;
use gongsuan_market::{Command as MarketCommand, Deal, DealState, Order, Stage};
use gongsuan_types::lease::{INTERVAL_MAX, INTERVALS_MAX, Witness};
use gongsuan_types::order::{Capabilities, RegionSet, Requirements, Side};
use gongsuan_types::{DurationMs, Hash, OrderId, Price};
use serde_json::{Value, json};

use super::{Coded, Context, exit, lease_task, output, usage};
use crate::client::{Client, ClientError, Page};
use crate::envelope::Post;
use crate::lease::{CLASS, Keeper, Plan, TOKEN_LETTERS_MAX};
use crate::renter;

/// Between two looks at a lease.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Of the provider, from the match to the beginning.
const BEGIN_PATIENCE: Duration = Duration::from_secs(30);

/// Of an interval, and of a grace.
const SECONDS_MAX: i64 = 3_600;
const _: () = assert!(INTERVAL_MAX.0 == 3_600_000);

/// Who says that the machine was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum WitnessKind {
    /// The chain: it asks the provider's agent once an interval. Nobody else has to be there.
    Chain,
    /// The renter: this command (or `lease keep`) hands a token over for every interval, and stays as long.
    Renter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// Cores, of one machine.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    cores: u16,
    /// How long; rounded up to whole intervals.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Price of a core for a second in tokens, at most.
    #[arg(long)]
    max_price: Price,
    /// Seconds that are paid at one time: what either side can lose.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=SECONDS_MAX))]
    interval: u32,
    /// How many seconds late a sign of life may come.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=SECONDS_MAX))]
    grace: u32,
    /// Memory in MiB, for everything that runs at one time.
    #[arg(long, default_value_t = 512)]
    memory_mib: u32,
    /// Who says that the machine was there.
    #[arg(long, value_enum, default_value = "chain")]
    witness: WitnessKind,
    /// Providers, one after another, if one goes or is silent.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    attempts: u8,
    /// Vetted providers only.
    #[arg(long)]
    vetted: bool,
    /// Only machines of this region; may be repeated.
    #[arg(long = "region", value_name = "REGION", value_parser = clap::value_parser!(u8).range(0..=63))]
    regions: Vec<u8>,
    /// Seconds to wait for a match.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    match_within: u32,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lease cores for some time; comes back when the lease has begun or, with the renter as witness, when it is over.
    Order {
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Be the witness of a lease: hand a token over for every interval, until it is over.
    Keep {
        /// The bid.
        bid: OrderId,
    },
    /// Run a job file on leased cores, and fetch its outputs. The provider signs what came out; nothing of it is proved on the chain.
    Submit {
        /// The bid.
        bid: OrderId,
        /// The job file. What it says of price and matching counts for nothing here.
        file: PathBuf,
        /// Where outputs (`segment-N`) and `answer.json` are written.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
        /// Segments, drawn at random, that this command runs again itself; exit code 7 if one of them gives something else.
        #[arg(long, default_value_t = 1)]
        check: u32,
    },
    /// The leases of this account, the newest first.
    List {
        /// Only those that are not over.
        #[arg(long)]
        open: bool,
    },
    /// A lease: what is paid, and until when.
    Status {
        /// The bid.
        bid: OrderId,
    },
    /// End a lease. Where the chain is the witness what has passed of the interval is paid; the rest of the escrow comes back.
    Stop {
        /// The bid.
        bid: OrderId,
    },
}

impl Wanted {
    fn plan(&self) -> anyhow::Result<Plan> {
        let interval = self.interval.min(self.seconds);
        let intervals = self.seconds.div_ceil(interval);
        let by_renter = self.witness == WitnessKind::Renter;
        let limit = if by_renter { TOKEN_LETTERS_MAX } else { INTERVALS_MAX };
        if intervals > limit {
            return Err(usage(format!(
                "--seconds {} are {intervals} intervals of {interval} s, and a lease has at most {limit}{}; use --interval {}",
                self.seconds,
                if by_renter { " with the renter as witness" } else { "" },
                self.seconds.div_ceil(limit),
            )));
        }
        let bits = self.regions.iter().fold(0, |bits, region| bits | (1_u64 << region));
        let regions = if self.regions.is_empty() { RegionSet::ANY } else { RegionSet(bits) };
        let capabilities = if self.vetted { Capabilities::VETTED } else { Capabilities::NONE };
        Ok(Plan {
            cores: self.cores,
            intervals,
            interval: DurationMs(u64::from(interval) * 1_000),
            grace: DurationMs(u64::from(self.grace) * 1_000),
            price_max: self.max_price,
            memory_mib: self.memory_mib,
            requirements: Requirements { regions, capabilities, ..Requirements::ANY },
            attempts_max: self.attempts,
            by_renter,
            match_within: DurationMs(u64::from(self.match_within) * 1_000),
        })
    }
}

/// A lease as it stands.
pub(super) struct View {
    pub(super) order: Order,
    /// Nothing as long as it is not matched.
    pub(super) deal: Option<Deal>,
}

impl View {
    pub(super) fn read(client: &Client, bid: OrderId) -> anyhow::Result<Self> {
        let order = client.order(bid)?;
        if order.bid().and_then(|bid| bid.work.lease()).is_none() {
            return Err(usage(format!(
                "order {bid} is not a lease; yours: `gongsuan lease list`, jobs: `gongsuan job list`"
            )));
        }
        let deal = renter::deals_of(client, bid)?.pop();
        Ok(Self { order, deal })
    }

    fn state(&self) -> String {
        match &self.deal {
            Some(deal) => Stage::of(&deal.state).name().to_owned(),
            None => {
                let state = serde_json::to_value(self.order.state).unwrap_or_default();
                state.as_str().unwrap_or("?").to_owned()
            }
        }
    }

    fn is_open(&self) -> bool {
        self.deal.as_ref().map_or_else(|| self.order.is_live(), |deal| !deal.is_over())
    }

    fn value(&self) -> Value {
        let bid = self.order.bid();
        let lease = bid.and_then(|bid| bid.work.lease());
        let intervals = bid.map_or(0, |bid| bid.segments_of(bid.units));
        let deal = self.deal.as_ref();
        let (why, refund) = match deal.map(|deal| &deal.state) {
            Some(DealState::Failed { why, .. } | DealState::Rematch { why, .. }) => {
                (Some(*why), None)
            }
            Some(DealState::Completed { refund, .. }) => (None, Some(*refund)),
            _ => (None, None),
        };
        json!({
            "bid": self.order.id,
            "state": self.state(),
            "open": self.is_open(),
            "cores": lease.map(|lease| lease.cores),
            "interval_s": lease.map(|lease| lease.interval.0 / 1_000),
            "intervals": intervals,
            "intervals_paid": deal.map_or(0, |deal| deal.accepted),
            "witness": lease.map(|lease| match lease.witness {
                Witness::Chain => "chain",
                Witness::Renter(_) => "renter",
            }),
            "price_max": self.order.price(),
            "price": deal.map(|deal| deal.terms.price),
            "deal": deal.map(|deal| deal.id),
            "provider": deal.map(|deal| deal.provider),
            "escrow": deal.map_or(self.order.held, |deal| deal.escrow),
            "paid": deal.map(|deal| deal.paid),
            "fees": deal.map(|deal| deal.fees),
            "refund": refund,
            "failed": why,
        })
    }

    /// One line for people: what `lease list` has in columns.
    fn row(&self) -> Vec<String> {
        let bid = self.order.bid();
        let lease = bid.and_then(|bid| bid.work.lease());
        let intervals = bid.map_or(0, |bid| bid.segments_of(bid.units));
        let deal = self.deal.as_ref();
        let paid = deal.map_or(0, |deal| deal.accepted);
        vec![
            self.order.id.to_string(),
            self.state(),
            lease.map_or_else(String::new, |lease| lease.cores.to_string()),
            format!("{paid}/{intervals} × {} s", lease.map_or(0, |lease| lease.interval.0 / 1_000)),
            deal.map_or_else(|| "-".to_owned(), |deal| deal.terms.price.to_string()),
            deal.map_or_else(|| "-".to_owned(), |deal| deal.paid.to_string()),
            deal.map_or_else(|| "-".to_owned(), |deal| deal.provider.short()),
        ]
    }

    fn show(&self, context: &Context) {
        output::show(context.json, "gongsuan/lease/v1", &self.value(), || table([self]));
    }

    /// 0, unless it ended by somebody's failure.
    fn code(&self) -> u8 {
        let state = self.deal.as_ref().map(|deal| &deal.state);
        if matches!(state, Some(DealState::Failed { .. })) { exit::JOB_FAILED } else { 0 }
    }
}

fn table<'a>(views: impl IntoIterator<Item = &'a View>) -> String {
    let head = ["bid", "state", "cores", "paid", "price", "tokens paid", "provider"];
    output::table(&head, views.into_iter().map(View::row))
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Order { wanted } => order(&wanted, context),
        Command::Keep { bid } => keep(bid, context),
        Command::Submit { bid, file, out, check } => {
            lease_task::submit(bid, &file, &out, check, context)
        }
        Command::List { open } => list(open, context),
        Command::Status { bid } => {
            View::read(&context.client(), bid)?.show(context);
            Ok(0)
        }
        Command::Stop { bid } => stop(bid, context),
    }
}

fn order(wanted: &Wanted, context: &Context) -> anyhow::Result<u8> {
    let plan = wanted.plan()?;
    let (client, key) = (context.client(), context.key()?);
    let mut setup = [0; 32];
    getrandom::fill(&mut setup).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let bid = plan.to_bid(crate::node::clock(), &key, Hash(setup));
    bid.validate(crate::node::clock()).map_err(|refusal| usage(refusal.to_string()))?;
    let (units, cost) = (bid.units, plan.price_max.cost(bid.units));
    // Tasks and answers are sealed to the parties.
    Post::new(&client, &key)?.publish()?;
    let id = renter::place(&client, &key, bid)?;
    output::note(&format!(
        "bid {id} is placed: {units} core-seconds; at most {cost} tokens are in escrow until it is over"
    ));
    let patience = Duration::from_millis(plan.match_within.0) + BEGIN_PATIENCE;
    let begun = client.wait_for("a match", patience, |client| {
        let deal = renter::deals_of(client, id)?.pop();
        if deal.is_none() && !client.order(id)?.is_live() {
            return Err(ClientError::TimedOut("a match".into()));
        }
        let has_begun = |deal: &Deal| matches!(deal.state, DealState::Leased { .. });
        Ok(deal.filter(|deal| has_begun(deal) || deal.is_over()))
    });
    if let Err(error) = begun {
        let why = client.why(id).map(|why| why.summary).unwrap_or_default();
        let message = format!("{error}: {why}; ask again with `gongsuan market why {id}`");
        return Err(Coded(exit::NO_MATCH, message).into());
    }
    let view = View::read(&client, id)?;
    if plan.by_renter && view.is_open() {
        return keep(id, context);
    }
    view.show(context);
    Ok(view.code())
}

/// Hands tokens over until the lease is over. What fails is told and tried again.
fn keep(bid: OrderId, context: &Context) -> anyhow::Result<u8> {
    let (client, key) = (context.client(), context.key()?);
    let mut keeper = Keeper::new(&client, &key, &View::read(&client, bid)?.order)?;
    if !keeper.is_witness() {
        return Err(usage(format!(
            "the chain is the witness of lease {bid}: nothing has to be kept"
        )));
    }
    loop {
        let view = match View::read(&client, bid) {
            Ok(view) => view,
            Err(error) if is_unreachable(&error) => {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            Err(error) => return Err(error),
        };
        if !view.is_open() {
            view.show(context);
            return Ok(view.code());
        }
        if let Some(deal) = &view.deal {
            match keeper.look(deal, crate::node::clock()) {
                Ok(Some(interval)) => {
                    output::note(&format!("interval {interval} of {}", deal.terms.count));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "cannot hand the token over"),
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<ClientError>();
    error.is_some_and(|error| {
        matches!(error, ClientError::Unreachable { .. } | ClientError::TimedOut(_))
    })
}

fn list(open: bool, context: &Context) -> anyhow::Result<u8> {
    let client = context.client();
    let page = Page {
        limit: Some(1_000),
        account: Some(context.key()?.address()),
        class: Some(CLASS),
        ..Page::default()
    };
    let deals = client.deals(&page)?.deals;
    let bids = client.orders(&Page { side: Some(Side::Bid), ..page })?.orders;
    let views = bids.into_iter().map(|order| {
        let deal = deals.iter().find(|deal| deal.bid == order.id).cloned();
        View { order, deal }
    });
    let views: Vec<View> = views.filter(|view| !open || view.is_open()).collect();
    let value = json!({ "leases": views.iter().map(View::value).collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/leases/v1", &value, || table(&views));
    Ok(0)
}

fn stop(bid: OrderId, context: &Context) -> anyhow::Result<u8> {
    let client = context.client();
    let view = View::read(&client, bid)?;
    let op = match &view.deal {
        Some(deal) if !deal.is_over() => MarketCommand::Stop(deal.id),
        None if view.order.is_live() => MarketCommand::Cancel(bid),
        _ => {
            let message = format!("lease {bid} is over: {}", view.state());
            return Err(Coded(exit::REJECTED, message).into());
        }
    };
    super::account::execute(context, &[Op::Market(op)])?;
    View::read(&client, bid)?.show(context);
    Ok(0)
}
