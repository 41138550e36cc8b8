//! The provider's agent: takes deals, runs them in worker processes, commits results; and audits what it is drawn for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::pool::Backend as _;
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{Cancel, Event, Inputs, Job};
use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Order};
use gongsuan_types::job::{JobSpec, MapInput, Shape};
use gongsuan_types::order::Work;
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{DealId, SecretKey, codec};
use serde::Deserialize;

use crate::client::{Client, ClientError};

/// Between two looks at the chain.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a list of receipts, at most.
const RECEIPTS_BYTES_MAX: usize = crate::node::blobs::BLOB_BYTES_MAX;

/// What an agent needs.
#[derive(Debug, Clone)]
pub struct Agent {
    client: Client,
    key: SecretKey,
    workers: usize,
    /// One transaction at a time: nonces follow each other.
    purse: Arc<Mutex<()>>,
}

/// A list of deals.
#[derive(Deserialize)]
struct Deals {
    deals: Vec<Deal>,
}

/// Reads the newest 1,000 deals that a filter lets pass (`state=open`, `order=4`, `account=gs1…`), newest first.
///
/// # Errors
/// [`ClientError`].
pub fn deals(client: &Client, filter: &str) -> Result<Vec<Deal>, ClientError> {
    client.get::<Deals>(&format!("/v1/deals?limit=1000&{filter}")).map(|all| all.deals)
}

/// Reads the job of a deal: its specification, module and inputs for some segments, all checked against their hashes.
///
/// # Errors
/// If something is missing or is not what the order says.
pub fn fetch_job(client: &Client, deal: &Deal, segments: Vec<u32>) -> anyhow::Result<Job> {
    let order: Order = client.get(&format!("/v1/orders/{}", deal.bid))?;
    let bid = order.bid().context("the deal's order is no bid")?;
    let Work::Job(work) = &bid.work;
    let spec: JobSpec = work.spec.clone();
    anyhow::ensure!(spec.id() == deal.terms.job, "the order's job is not the deal's");
    let module = client.blob(spec.module)?;
    let Shape::Map { input, segments: count } = &spec.shape;
    let inputs = match input {
        MapInput::Shared(hash) => Inputs::Shared(client.blob(*hash)?.into()),
        MapInput::Each(hash) => {
            let index = Inputs::index(&client.blob(*hash)?, *count)?;
            let wanted = segments.iter().map(|segment| {
                let hash = index.get(*segment as usize).context("a segment beyond the index")?;
                Ok((*segment, client.blob(*hash)?.into()))
            });
            Inputs::Each(wanted.collect::<anyhow::Result<_>>()?)
        }
    };
    Ok(Job { module: module.into(), spec, segments, inputs })
}

impl Agent {
    /// An agent with `workers` processes per deal.
    #[must_use]
    pub fn new(client: Client, key: SecretKey, workers: usize) -> Self {
        Self { client, key, workers, purse: Arc::default() }
    }

    /// Hands in one command, after those that are on their way.
    fn execute(&self, command: Command) -> Result<(), ClientError> {
        let _turn = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        self.client.execute(&self.key, &[Op::Market(command)]).map(|_| ())
    }

    fn pool(&self) -> anyhow::Result<Pool> {
        let mut config = PoolConfig::new(std::env::current_exe()?, ["worker"]);
        config.workers = self.workers;
        Ok(Pool::new(config))
    }

    /// Works until the process ends. Errors are logged and tried again: the chain's deadlines decide when it is too late.
    pub fn run(&self) {
        let me = self.key.address();
        let (mut started, mut audited) = (BTreeSet::new(), BTreeSet::new());
        loop {
            match deals(&self.client, "state=open") {
                Err(error) => tracing::warn!(%error, "cannot read the deals"),
                Ok(all) => {
                    for deal in all.into_iter().filter(|deal| !deal.is_over()) {
                        if deal.provider == me && started.insert(deal.id) {
                            self.start(deal);
                        } else if let DealState::Drawn { samples, .. } = &deal.state {
                            for (index, sample) in (0u16..).zip(samples) {
                                let mine = sample.auditor == Some(me) && !sample.passed;
                                if mine && audited.insert((deal.id, index)) {
                                    self.start_audit(deal.clone(), index, sample.segment);
                                }
                            }
                        }
                    }
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn start(&self, deal: Deal) {
        let agent = self.clone();
        std::thread::spawn(move || {
            let id = deal.id;
            if let Err(error) = agent.work(&deal) {
                tracing::error!(deal = %id, error = format!("{error:#}"), "the deal is lost");
            }
        });
    }

    /// One deal from the acknowledgement to the commitment.
    fn work(&self, deal: &Deal) -> anyhow::Result<()> {
        let segments = (deal.terms.first..deal.terms.first + deal.terms.count).collect();
        let job = fetch_job(&self.client, deal, segments).context("cannot fetch the job")?;
        if matches!(deal.state, DealState::Matched { .. }) {
            self.execute(Command::Acknowledge(deal.id)).context("cannot acknowledge")?;
        }
        tracing::info!(deal = %deal.id, segments = deal.terms.count, "running");
        let receipts = self.execute_segments(deal.id, &job)?;
        let commitment = Commitment::new(&receipts).context("the fuel overflows")?;
        let receipts = self.client.put_blob(&codec::encode(&receipts))?;
        self.execute(Command::Commit { deal: deal.id, commitment, receipts })
            .context("cannot commit")?;
        tracing::info!(deal = %deal.id, fuel = %commitment.fuel, "committed");
        Ok(())
    }

    fn execute_segments(&self, deal: DealId, job: &Job) -> anyhow::Result<Vec<Receipt>> {
        let (mut done, mut reported, mut last) = (0, 0, Instant::now());
        let mut lost = None;
        let receipts = self.pool()?.run(job, &Cancel::new(), &mut |event| match event {
            Event::Done(output) => {
                done += 1;
                if let Err(error) = self.client.put_blob(&output.output) {
                    lost = Some(error);
                }
                if last.elapsed() >= REPORT_EVERY && done > reported {
                    (reported, last) = (done, Instant::now());
                    let told = self.execute(Command::Progress { deal, done });
                    if let Err(error) = told {
                        tracing::warn!(%error, "cannot report progress");
                    }
                }
            }
            other => tracing::debug!(?other, "worker"),
        })?;
        lost.map_or(Ok(receipts), |error| Err(error).context("cannot store an output"))
    }

    fn start_audit(&self, deal: Deal, sample: u16, segment: u32) {
        let agent = self.clone();
        std::thread::spawn(move || {
            if let Err(error) = agent.audit(&deal, sample, segment) {
                tracing::error!(deal = %deal.id, segment, error = format!("{error:#}"), "cannot audit");
            }
        });
    }

    /// Executes a drawn segment again and tells what came out.
    fn audit(&self, deal: &Deal, sample: u16, segment: u32) -> anyhow::Result<()> {
        let DealState::Drawn { commitment, receipts, .. } = &deal.state else { return Ok(()) };
        let list = self.client.blob(*receipts)?;
        let list: Vec<Receipt> = codec::decode("receipts", RECEIPTS_BYTES_MAX, &list)?;
        anyhow::ensure!(
            Commitment::new(&list) == Some(*commitment),
            "the list of receipts is not the one committed"
        );
        let index = (segment - deal.terms.first) as usize;
        let committed = *list.get(index).context("the list is too short")?;
        let proof = ReceiptProof::new(&list, index).context("the list is too short")?;
        let job = fetch_job(&self.client, deal, vec![segment])?;
        let found = self.pool()?.run(&job, &Cancel::new(), &mut |_| {})?;
        let found = *found.first().context("no receipt")?;
        let equal = found == committed;
        tracing::info!(deal = %deal.id, segment, equal, "audited");
        self.execute(Command::Audit { deal: deal.id, sample, committed, proof, found })?;
        Ok(())
    }
}
