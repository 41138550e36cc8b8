//! The provider's agent: takes deals, runs them, commits results; and audits what it is drawn for. What a deal has done is in a journal: an
//! agent that comes back goes on where it was.

mod after;
mod auditor;
mod committer;
mod duty;
mod journal;
mod lessor;
mod rounds;
mod stalls;
mod vacancy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::jobs::{JobLog, Lanes, Next, Options, Scheduler, SchedulerConfig};
use gongsuan_executor::worker::PoolConfig;
use gongsuan_executor::{Event, Inputs, Job};
use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Order, Rules};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::job::{JobSpec, MapInput, Shape};
use gongsuan_types::order::Ask;
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{DealId, Hash, SecretKey, codec};
use serde::Deserialize;

pub use after::{Payout, earned};
pub use stalls::{Stalls, cores_of};
pub use vacancy::Vacancy;

use crate::client::{Client, ClientError};
use crate::envelope::{self, Outputs, Post, Source};

use journal::Journals;

/// Between two looks at the chain.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks at the deals between two at what cannot wait for ever, and need not happen at once: pledges, payouts, promises.
const CHORES_EVERY: u64 = 100;
/// Deals in one answer, at most.
const PAGE: usize = 1000;
/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a list of receipts, at most.
const RECEIPTS_BYTES_MAX: usize = crate::node::blobs::BLOB_BYTES_MAX;

/// What an agent needs.
#[derive(Debug, Clone)]
pub struct Agent {
    client: Client,
    key: SecretKey,
    scheduler: Arc<Scheduler>,
    /// What deals have done; an agent that only audits has none.
    journals: Option<Journals>,
    /// Deals that their renters stop.
    stopped: Arc<Mutex<BTreeSet<DealId>>>,
    payout: Payout,
    /// The cores that are for leases, if there are any.
    stalls: Option<Arc<Stalls>>,
    /// One transaction at a time: nonces follow each other.
    purse: Arc<Mutex<()>>,
}

/// A list of deals.
#[derive(Deserialize)]
struct Deals {
    deals: Vec<Deal>,
}

/// Reads all deals that a filter lets pass (`state=open`, `order=4`, `account=gs1…`), newest first, page after page.
///
/// # Errors
/// [`ClientError`].
pub fn deals(client: &Client, filter: &str) -> Result<Vec<Deal>, ClientError> {
    let (mut all, mut older) = (Vec::new(), String::new());
    loop {
        let page: Deals = client.get(&format!("/v1/deals?limit={PAGE}&{filter}{older}"))?;
        let is_last = page.deals.len() < PAGE;
        all.extend(page.deals);
        match all.last() {
            Some(last) if !is_last => older = format!("&below={}", last.id),
            _ => return Ok(all),
        }
    }
}

/// A job that somebody has to execute.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// What to execute.
    pub job: Job,
    /// Whether outputs are for the renter only.
    pub private: bool,
}

/// Reads the job of a deal: its specification, module and inputs for some segments, all checked against their hashes. What is private is opened with
/// letters to the account of `key`.
///
/// # Errors
/// If something is missing or is not what the order says.
pub fn fetch_job(
    client: &Client,
    key: &SecretKey,
    deal: &Deal,
    segments: Vec<u32>,
) -> anyhow::Result<Assignment> {
    let order: Order = client.get(&format!("/v1/orders/{}", deal.bid))?;
    let bid = order.bid().context("the deal's order is no bid")?;
    let work = bid.work.job().context("the deal's order is a lease")?;
    let spec: JobSpec = work.spec.clone();
    anyhow::ensure!(spec.id() == deal.terms.job, "the order's job is not the deal's");
    let source = match bid.is_private() {
        true => Source::private(client, key, deal.id)?,
        false => Source::open(client),
    };
    let job =
        assemble_job(&spec, segments, |hash| match crate::capacity::blob(deal, &spec, hash) {
            Some(known) => Ok(known),
            None => source.blob(hash).map_err(anyhow::Error::from),
        })?;
    Ok(Assignment { job, private: bid.is_private() })
}

/// A job out of its specification and the blobs that it names, whoever has them.
///
/// # Errors
/// The first blob that is not to be had, or an index of inputs that is none.
pub fn assemble_job<E: From<anyhow::Error>>(
    spec: &JobSpec,
    segments: Vec<u32>,
    mut blob: impl FnMut(Hash) -> Result<Vec<u8>, E>,
) -> Result<Job, E> {
    let module = blob(spec.module)?.into();
    let Shape::Map { input, segments: count } = &spec.shape;
    let inputs = match input {
        MapInput::Shared(hash) => Inputs::Shared(blob(*hash)?.into()),
        MapInput::Each(hash) => {
            let index = Inputs::index(&blob(*hash)?, *count).map_err(anyhow::Error::from)?;
            let mut each = std::collections::BTreeMap::new();
            for segment in &segments {
                let hash = index.get(*segment as usize).context("a segment beyond the index")?;
                each.insert(*segment, blob(*hash)?.into());
            }
            Inputs::Each(each)
        }
    };
    Ok(Job { module, spec: spec.clone(), segments, inputs })
}

/// A committed receipt of a deal with its path, out of the list that the provider serves.
///
/// # Errors
/// If the list is not to be had, or is not the one that was committed.
pub fn opening(
    client: &Client,
    deal: &Deal,
    segment: u32,
) -> anyhow::Result<(Receipt, ReceiptProof)> {
    let (commitment, receipts) = deal.results().context("the deal has no results")?;
    let list = client.blob(receipts)?;
    let list: Vec<Receipt> = codec::decode("receipts", RECEIPTS_BYTES_MAX, &list)?;
    anyhow::ensure!(
        Commitment::new(&list) == Some(commitment),
        "the list of receipts is not the one committed"
    );
    let index = segment.checked_sub(deal.batch_first()).context("a segment of another batch")?;
    let receipt = *list.get(index as usize).context("the list is too short")?;
    let proof = ReceiptProof::new(&list, index as usize).context("the list is too short")?;
    Ok((receipt, proof))
}

/// The receipts from a segment on without a gap.
fn in_a_row(first: u32, receipts: &BTreeMap<u32, Receipt>) -> Vec<Receipt> {
    (first..).map_while(|segment| receipts.get(&segment).copied()).collect()
}

/// A deal's share of the machine: by what it pays.
fn weight(deal: &Deal) -> u32 {
    u32::try_from(deal.terms.price.0).unwrap_or(u32::MAX)
}

impl Agent {
    /// An agent that runs all deals over one scheduler and keeps their journals in the folder `state`.
    #[must_use]
    pub fn new(client: Client, key: SecretKey, scheduler: Scheduler, state: PathBuf) -> Self {
        Self {
            journals: Some(Journals::new(state)),
            ..Self::without_journals(client, key, scheduler)
        }
    }

    fn without_journals(client: Client, key: SecretKey, scheduler: Scheduler) -> Self {
        let (scheduler, payout, purse) = (Arc::new(scheduler), Payout::Same, Arc::default());
        let stopped = Arc::default();
        Self { client, key, scheduler, journals: None, payout, stalls: None, purse, stopped }
    }

    /// An agent that audits what it is told to, with one worker process.
    ///
    /// # Errors
    /// If the worker cannot be started.
    pub fn auditing(client: Client, key: SecretKey) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let workers = PoolConfig { workers: 1, ..PoolConfig::new(program, ["worker"]) };
        let scheduler = Scheduler::start(SchedulerConfig::new(Lanes::Processes(workers)))?;
        Ok(Self::without_journals(client, key, scheduler))
    }

    /// The same agent with another way of being paid.
    #[must_use]
    pub fn paid_to(self, payout: Payout) -> Self {
        Self { payout, ..self }
    }

    /// The same agent with cores for leases.
    #[must_use]
    pub fn leasing(self, stalls: Stalls) -> Self {
        Self { stalls: Some(Arc::new(stalls)), ..self }
    }

    /// Hands in one command, after those that are on their way.
    fn execute(&self, command: Command) -> Result<(), ClientError> {
        self.execute_op(Op::Market(command))
    }

    fn execute_op(&self, op: Op) -> Result<(), ClientError> {
        let _turn = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        self.client.execute(&self.key, &[op]).map(|_| ())
    }

    /// Lists a machine. Where the chain wants a certificate first, it claims one, which the agent must be running to answer for.
    ///
    /// # Errors
    /// As [`crate::capacity::list`].
    pub fn list(&self, ask: &Ask, claim: Capacity) -> anyhow::Result<()> {
        crate::capacity::list(ask, claim, |command| self.execute(command))
    }

    /// The market's rules, once a node answers.
    fn rules(&self) -> Rules {
        loop {
            match self.client.genesis() {
                Ok(genesis) => return genesis.params.market,
                Err(error) => tracing::warn!(%error, "cannot read the chain's rules"),
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Others can send it secrets from now on. A failure is told; jobs that are not private do not need it.
    pub fn publish_key(&self) {
        let published = Post::new(&self.client, &self.key).and_then(|post| post.publish());
        if let Err(error) = published {
            tracing::warn!(%error, "cannot publish an encryption key");
        }
    }

    /// Helps the validators to read what they judge.
    fn start_attending(&self, deal: Deal) {
        let agent = self.clone();
        std::thread::spawn(move || {
            if let Err(error) = envelope::attend(&agent.client, &agent.key, &deal) {
                tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "cannot attend the case");
            }
        });
    }

    fn start(&self, deal: Deal) {
        let (me, begun) = (self.key.address(), rounds::round(&deal));
        let is_due = move |now: &Deal| {
            now.provider == me && rounds::is_to_do(now) && rounds::round(now) == begun
        };
        self.start_duty("work", deal, is_due, |agent, deal| match deal.state {
            DealState::Demanded { segment, .. } => agent.serve(deal, segment),
            _ => agent.work(deal),
        });
    }

    /// The renter has stopped the deal, or it is over: what is done by now is all that is committed, if anything still can be.
    fn stop_early(&self, id: DealId) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    fn forget(&self, id: DealId) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn is_stopped(&self, id: DealId) -> bool {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// One deal from the acknowledgement to the commitment.
    fn work(&self, deal: &Deal) -> anyhow::Result<()> {
        let Some(assignment) = self.fetch_in_time(deal)? else { return Ok(()) };
        if matches!(deal.state, DealState::Matched { .. }) {
            self.execute(Command::Acknowledge(deal.id)).context("cannot acknowledge")?;
        }
        tracing::info!(deal = %deal.id, segments = assignment.job.segments.len(), "running");
        let receipts = self.execute_segments(deal, assignment)?;
        self.commit(deal, &receipts)?;
        if let Some(journals) = &self.journals {
            journals.remove(deal);
        }
        Ok(())
    }

    /// The deal's job. If half of the time to acknowledge passes without it, the validators are asked whether it is to be had.
    fn fetch_in_time(&self, deal: &Deal) -> anyhow::Result<Option<Assignment>> {
        let first = deal.batch_first();
        let segments: Vec<u32> = (first..first + deal.left()).collect();
        loop {
            let error = match fetch_job(&self.client, &self.key, deal, segments.clone()) {
                Ok(job) => return Ok(Some(job)),
                Err(error) => error.context("cannot fetch the job"),
            };
            let DealState::Matched { ack_by } = deal.state else { return Err(error) };
            let half = deal.matched.0 + ack_by.since(deal.matched).0 / 2;
            if crate::node::clock().0 >= half {
                self.execute(Command::AskInput(deal.id)).context("cannot ask for the input")?;
                tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "the validators are asked");
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Shows a receipt on the chain that somebody could not get from the list.
    fn serve(&self, deal: &Deal, segment: u32) -> anyhow::Result<()> {
        // A list that was held back is being shown now.
        let (receipt, proof) = loop {
            match opening(&self.client, deal, segment) {
                Ok(found) => break found,
                Err(error) if deal.due().is_none_or(|due| crate::node::clock() >= due) => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        };
        self.execute(Command::Serve { deal: deal.id, receipt, proof })?;
        tracing::info!(deal = %deal.id, segment, "shown");
        Ok(())
    }

    /// Executes what is left of a deal; all of it, or what was done in a row when the renter stopped it.
    fn execute_segments(&self, of: &Deal, assignment: Assignment) -> anyhow::Result<Vec<Receipt>> {
        let Assignment { job, private } = assignment;
        let mut outputs = Outputs::new(&self.client, &self.key, private)?;
        let (deal, accepted) = (of.id, of.accepted);
        let (mut done, mut reported, mut last) = (0, 0, Instant::now());
        let mut lost = None;
        let mut options = Options { weight: weight(of), ..Options::default() };
        // What is private is never on this machine's disk: after a restart it is run again.
        if let Some(journals) = self.journals.as_ref().filter(|_| !private) {
            let (log, before) = journals.open(of, &job.spec)?;
            // It may have ended between writing an output down and handing it on.
            for output in job.segments.iter().filter_map(|segment| before.get(segment)) {
                outputs.put(&output.output).context("cannot store an output")?;
                done += 1;
            }
            if done > 0 {
                tracing::info!(%deal, done, "resumed");
            }
            options =
                Options { log: Some(Box::new(log) as Box<dyn JobLog>), done: before, ..options };
        }
        let mut so_far: BTreeMap<u32, Receipt> =
            options.done.values().map(|output| (output.receipt.segment, output.receipt)).collect();
        let handle = self.scheduler.submit(job, options)?;
        let receipts = loop {
            if self.is_stopped(deal) {
                handle.cancel();
                break in_a_row(of.batch_first(), &so_far);
            }
            match handle.poll(LOOK_EVERY) {
                Next::Over(end) => break end?,
                Next::Nothing => {}
                Next::Event(Event::Done(output)) => {
                    done += 1;
                    so_far.insert(output.receipt.segment, output.receipt);
                    if let Err(error) = outputs.put(&output.output) {
                        lost = Some(error);
                    }
                    if last.elapsed() >= REPORT_EVERY && done > reported {
                        (reported, last) = (done, Instant::now());
                        let told = self.execute(Command::Progress { deal, done: accepted + done });
                        if let Err(error) = told {
                            tracing::warn!(%error, "cannot report progress");
                        }
                    }
                }
                Next::Event(other) => tracing::debug!(?other, "worker"),
            }
        };
        lost.map_or(Ok(()), |error| Err(error).context("cannot store an output"))?;
        anyhow::ensure!(!receipts.is_empty(), "the renter stopped before anything was done");
        outputs.deliver(deal, of.renter).context("cannot send the keys of the outputs")?;
        Ok(receipts)
    }
}
