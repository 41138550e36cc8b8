//! The agent as a lessor: cores of its own for each lease, heartbeats, and the renter's tasks.
//!
//! A lease has lanes that nobody else uses, from the acknowledgement to its end. Their number is what was ordered; a lease for which there are not enough
//! cores left is not acknowledged, and costs the small fine for that. What an agent serves follows from the chain, and what it has answered from its
//! letters, so nothing of a lease is on disk and an agent that comes back goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::jobs::{Lanes, Options, Scheduler, SchedulerConfig};
use gongsuan_executor::worker::PoolConfig;
use gongsuan_executor::{Cancel, Event, InProcess};
use gongsuan_market::{Command, Deal, DealState, Kind};
use gongsuan_types::lease::{LeaseOrder, Witness, answer};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, DealId, DurationMs, Hash, TimeMs, codec};

use super::{Agent, assemble_job};
use crate::envelope::{Content, Mailbox, Outputs, Post};
use crate::lease::{Answer, TASK_BYTES_MAX, Task};

/// Between two looks at one lease.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After something went wrong.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the openings of a task that was announced are waited for.
const OPENINGS_PATIENCE: Duration = Duration::from_secs(30);
/// A heartbeat is sent this much after its time, by this clock: the chain's may be a little behind.
const CLOCK_MARGIN: DurationMs = DurationMs(100);
/// Memory of a lease that asks for none, in MiB.
const MEMORY_MIB_DEFAULT: u32 = 512;

/// The cores that an agent leases, and what they run.
#[derive(Debug)]
pub struct Stalls {
    lanes: Lanes,
    cores: u16,
    /// Leases that are served, and how many cores each has.
    served: Mutex<BTreeMap<DealId, u16>>,
}

impl Stalls {
    /// So many cores for leases, on lanes of this kind.
    ///
    /// # Errors
    /// The reason, if nothing can be reserved on such lanes: pilots belong to a cluster's scheduler.
    pub fn new(lanes: Lanes, cores: u16) -> Result<Self, &'static str> {
        match lanes {
            Lanes::Pilots(_) => Err("cores of pilots cannot be reserved for a lease"),
            lanes => Ok(Self { lanes, cores, served: Mutex::default() }),
        }
    }

    /// Cores that are leased out or free.
    #[must_use]
    pub fn cores(&self) -> u16 {
        self.cores
    }

    fn lanes(&self, cores: u16) -> Lanes {
        let count = usize::from(cores);
        match self.lanes.clone() {
            Lanes::Processes(pool) => Lanes::Processes(PoolConfig { workers: count, ..pool }),
            Lanes::Threads(pool) => Lanes::Threads(InProcess { threads: count, ..pool }),
            other => other,
        }
    }

    fn served(&self) -> std::sync::MutexGuard<'_, BTreeMap<DealId, u16>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody serves this lease yet; from now on somebody does, on no cores so far.
    fn begin(&self, deal: DealId) -> bool {
        let mut served = self.served();
        let is_new = !served.contains_key(&deal);
        if is_new {
            served.insert(deal, 0);
        }
        is_new
    }

    /// Takes cores for a lease that is being served; `false` if there are not enough.
    fn take(&self, deal: DealId, cores: u16) -> bool {
        let mut served = self.served();
        let others = served.iter().filter(|(id, _)| **id != deal).map(|(_, taken)| *taken);
        let free = self.cores.saturating_sub(others.sum());
        if cores > free {
            return false;
        }
        served.insert(deal, cores);
        true
    }
}

/// Cores of one machine that a lease of this deal takes.
#[must_use]
pub fn cores_of(deal: &Deal) -> u16 {
    let Kind::Lease { interval, .. } = deal.terms.kind else { return 0 };
    let cores = deal.terms.lot.0 / (interval.0 / 1_000).max(1);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

/// The heartbeat that may be sent now: its interval, and what it carries.
fn beat(deal: &Deal, me: Address, now: TimeMs, shown: Option<(u32, Hash)>) -> Option<(u32, Hash)> {
    let (Kind::Lease { interval, witness, .. }, DealState::Leased { from, question, .. }) =
        (deal.terms.kind, &deal.state)
    else {
        return None;
    };
    let after = |count: u32| {
        let span = DurationMs(interval.0.saturating_mul(u64::from(count)));
        from.plus(span).plus(CLOCK_MARGIN)
    };
    let next = deal.accepted + 1;
    match witness {
        Witness::Chain => (now >= after(1)).then(|| (next, answer(*question, deal.id, next, me))),
        Witness::Renter(_) => {
            let (number, token) = shown?;
            let many = number.checked_sub(deal.accepted)?;
            let last = deal.secret.unwrap_or(deal.terms.secret_hash);
            let is_right = LeaseOrder::is_token(&token, many, &last);
            (is_right && now >= after(many.saturating_sub(1))).then_some((number, token))
        }
    }
}

/// One lease being served.
struct Service {
    deal: DealId,
    renter: Address,
    mailbox: Mailbox,
    lanes: Arc<Scheduler>,
    /// Stops what runs when the lease is over.
    cancel: Cancel,
    /// The renter's newest token.
    token: Option<(u32, Hash)>,
    /// Tasks that were begun or answered.
    tasks: BTreeSet<Hash>,
}

impl Agent {
    /// Serves a lease on a thread of its own, unless one does.
    pub(super) fn start_lease(&self, deal: Deal) {
        let Some(stalls) = self.stalls.clone() else {
            return tracing::warn!(deal = %deal.id, "this agent leases no cores: start it with --lease-cores");
        };
        if !stalls.begin(deal.id) {
            return;
        }
        let agent = self.clone();
        std::thread::spawn(move || {
            if let Err(error) = agent.serve_lease(&stalls, &deal) {
                tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "the lease is not served; tried again while it is open");
                std::thread::sleep(AGAIN_AFTER);
            }
            stalls.served().remove(&deal.id);
        });
    }

    /// One lease from the acknowledgement to its end.
    fn serve_lease(&self, stalls: &Stalls, deal: &Deal) -> anyhow::Result<()> {
        let cores = cores_of(deal);
        anyhow::ensure!(
            stalls.take(deal.id, cores),
            "{cores} cores are leased, and not so many are left of {}",
            stalls.cores()
        );
        let mut service = self.begin_service(stalls, deal, cores)?;
        if matches!(deal.state, DealState::Matched { .. }) {
            self.execute(Command::Acknowledge(deal.id)).context("cannot acknowledge")?;
        }
        tracing::info!(deal = %deal.id, cores, "the lease is served");
        loop {
            match self.client.deal(deal.id) {
                Ok(now) => {
                    let is_open = matches!(now.state, DealState::Leased { .. });
                    if !is_open || now.provider != self.key.address() {
                        break;
                    }
                    self.attend(&mut service, &now);
                }
                Err(error) => tracing::warn!(deal = %deal.id, %error, "cannot read the lease"),
            }
            std::thread::sleep(LOOK_EVERY);
        }
        service.cancel.cancel();
        tracing::info!(deal = %deal.id, "the lease is over");
        Ok(())
    }

    fn begin_service(&self, stalls: &Stalls, deal: &Deal, cores: u16) -> anyhow::Result<Service> {
        let order = self.client.order(deal.bid)?;
        let wanted = order.bid().map_or(0, |bid| bid.requirements.memory_mib_min);
        let memory_mib = if wanted == 0 { MEMORY_MIB_DEFAULT } else { wanted };
        let mut config = SchedulerConfig::new(stalls.lanes(cores));
        config.memory_bytes = u64::from(memory_mib) << 20;
        let post = Post::new(&self.client, &self.key)?;
        let said = post.letters_between(deal.id, self.key.address(), deal.renter)?;
        let tasks = said.iter().filter_map(|letter| match letter.body.content {
            Content::Done { task, .. } => Some(task),
            _ => None,
        });
        Ok(Service {
            deal: deal.id,
            renter: deal.renter,
            mailbox: post.mailbox(deal.id),
            lanes: Arc::new(Scheduler::start(config)?),
            cancel: Cancel::new(),
            token: None,
            tasks: tasks.collect(),
        })
    }

    /// Reads the renter's letters, begins what they ask for, and sends the heartbeat that is due.
    fn attend(&self, service: &mut Service, deal: &Deal) {
        match service.mailbox.look() {
            Err(error) => tracing::warn!(deal = %deal.id, %error, "cannot read the letters"),
            Ok(letters) => {
                let own = letters.into_iter().filter(|letter| letter.body.from == service.renter);
                for letter in own {
                    match letter.body.content {
                        Content::Token { interval, token } => {
                            service.token = service.token.max(Some((interval, token)));
                        }
                        Content::Task { task } if service.tasks.insert(task) => {
                            self.start_task(service, task);
                        }
                        _ => {}
                    }
                }
            }
        }
        let due = beat(deal, self.key.address(), crate::node::clock(), service.token);
        let Some((interval, token)) = due else { return };
        match self.execute(Command::Beat { deal: deal.id, interval, token }) {
            Ok(()) => tracing::info!(deal = %deal.id, interval, "paid"),
            Err(error) => tracing::warn!(deal = %deal.id, interval, %error, "no heartbeat"),
        }
    }

    fn start_task(&self, service: &Service, task: Hash) {
        let (agent, deal, renter) = (self.clone(), service.deal, service.renter);
        let (lanes, cancel) = (Arc::clone(&service.lanes), service.cancel.clone());
        std::thread::spawn(move || {
            while let Err(error) = agent.run_task((deal, renter), task, &lanes, &cancel) {
                tracing::warn!(%deal, task = task.short(), error = format!("{error:#}"), "the task is not answered");
                if cancel.is_cancelled() {
                    break;
                }
                std::thread::sleep(AGAIN_AFTER);
            }
        });
    }

    /// Runs a task and sends what came out. What cannot be run is answered with the reason.
    fn run_task(
        &self,
        (deal, renter): (DealId, Address),
        task: Hash,
        lanes: &Scheduler,
        cancel: &Cancel,
    ) -> anyhow::Result<()> {
        let mut outputs = Outputs::new(&self.client, &self.key, true)?;
        let found = match self.execute_task((deal, task), lanes, cancel, &mut outputs) {
            Ok(receipts) => Answer::Done(receipts),
            Err(_) if cancel.is_cancelled() => anyhow::bail!("the lease ended first"),
            Err(error) => Answer::Refused(format!("{error:#}")),
        };
        let bytes = codec::encode(&found);
        outputs.put(&bytes)?;
        outputs.deliver(deal, renter)?;
        let content = Content::Done { task, answer: Hash::of_content(&bytes) };
        Post::new(&self.client, &self.key)?.say(deal, renter, content)?;
        tracing::info!(%deal, task = task.short(), "answered");
        Ok(())
    }

    fn execute_task(
        &self,
        (deal, id): (DealId, Hash),
        lanes: &Scheduler,
        cancel: &Cancel,
        outputs: &mut Outputs<'_>,
    ) -> anyhow::Result<Vec<Receipt>> {
        let deadline = Instant::now() + OPENINGS_PATIENCE;
        let post = Post::new(&self.client, &self.key)?;
        // The announcement may be here before the openings are.
        let job = loop {
            let keyring = post.keyring(deal)?;
            let blob = |hash: Hash| {
                let found = keyring.open(hash, |sealed| self.client.blob(sealed).ok());
                found.with_context(|| format!("no letter opens blob {hash}"))
            };
            let assembled = blob(id).and_then(|bytes| {
                let task: Task = codec::decode("task", TASK_BYTES_MAX, &bytes)?;
                task.spec.validate()?;
                assemble_job(&task.spec, (0..task.spec.segment_count()).collect(), blob)
            });
            match assembled {
                Ok(job) => break job,
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        };
        let options = Options { weight: 1, cancel: cancel.clone(), ..Options::default() };
        let mut lost = None;
        let receipts = lanes.submit(job, options)?.wait(&mut |event| {
            if let Event::Done(output) = event
                && let Err(error) = outputs.put(&output.output)
            {
                lost = Some(error);
            }
        })?;
        lost.map_or(Ok(receipts), |error| Err(error).context("cannot store an output"))
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_executor::EngineKind;

    use super::*;

    fn stalls(cores: u16) -> Stalls {
        let threads = InProcess { engine: EngineKind::Wasmi, threads: 0 };
        Stalls::new(Lanes::Threads(threads), cores).expect("threads can be reserved")
    }

    #[test]
    fn cores_are_leased_once() {
        let stalls = stalls(3);
        assert!(stalls.take(DealId(1), 2));
        assert!(stalls.take(DealId(1), 2), "the same lease, after something went wrong");
        assert!(!stalls.take(DealId(2), 2));
        assert!(stalls.take(DealId(3), 1));
        stalls.served().remove(&DealId(1));
        assert!(stalls.take(DealId(2), 2));
        let Lanes::Threads(lanes) = stalls.lanes(2) else { panic!("threads") };
        assert_eq!(lanes.threads, 2, "as many lanes as were ordered");
    }
}
