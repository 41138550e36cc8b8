//! The agent as a lessor: cores of its own for each lease, heartbeats, and the renter's tasks.
//!
//! A lease has lanes that nobody else uses, from the acknowledgement to its end. Their number is what was ordered; a lease for which there are not enough
//! cores left is not acknowledged, and costs the small fine for that. What an agent serves follows from the chain, and what it has answered from its
//! letters, so nothing of a lease is on disk and an agent that comes back goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::jobs::{Options, Scheduler, SchedulerConfig};
use gongsuan_executor::{Cancel, Event};
use gongsuan_market::{Command, Deal, DealState, Kind, Stop};
use gongsuan_types::lease::{LeaseOrder, Witness, answer};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, DealId, DurationMs, Hash, TimeMs, codec};

use super::{Agent, Stalls, assemble_job, cores_of};
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
        // When the renter has stopped, what has passed of the interval is paid for one answer more.
        Witness::Chain => (now >= after(1) || deal.stop != Stop::No)
            .then(|| (next, answer(*question, deal.id, next, me))),
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
            stalls.end(deal.id);
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
    use gongsuan_market::{Market, Rules};
    use gongsuan_types::order::{Ask, Capabilities, Machine, Party, Region, Requirements};
    use gongsuan_types::{Price, SecretKey, Units};

    use super::*;
    use crate::lease::{Plan, Tokens};

    const STEP: u64 = 10_000;

    /// A lease of three intervals on one core that has just begun, at time 0, with its provider.
    fn leased(by_renter: bool) -> (Deal, Address, Tokens) {
        let [renter, provider] =
            ["renter", "provider"].map(|name| SecretKey::from_seed(name.as_bytes()));
        let plan = Plan {
            cores: 2,
            intervals: 3,
            interval: DurationMs(STEP),
            grace: DurationMs(5_000),
            price_max: Price(7),
            memory_mib: 1,
            requirements: Requirements::ANY,
            attempts_max: 1,
            by_renter,
            match_within: DurationMs(1_000),
        };
        let machine = Machine {
            cpu_cores: 2,
            memory_mib: 1,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 60,
            region: Region(0),
            capabilities: Capabilities::NONE,
        };
        let (units, expires_at) = (Units(1_000), TimeMs(1_000));
        let (class, price, fill_min) = (crate::lease::CLASS, Price(7), Units(1));
        let ask = Ask { class, price, units, fill_min, machine, expires_at };
        let party =
            |key: &SecretKey| Party { address: key.address(), attested: Capabilities::PRIVATE };
        let mut market = Market::new(Rules::default());
        market.submit(party(&provider), Command::PlaceAsk(ask)).unwrap();
        let bid = plan.to_bid(TimeMs(0), &renter, Hash::ZERO);
        market.submit(party(&renter), Command::PlaceBid(Box::new(bid))).unwrap();
        market.end_block();
        let deal = DealId(1);
        market.submit(party(&provider), Command::Acknowledge(deal)).unwrap();
        let deal = market.deal(deal).unwrap().clone();
        (deal, provider.address(), Tokens::new(&renter, Hash::ZERO, 3))
    }

    #[test]
    fn the_chain_is_answered_when_an_interval_is_over() {
        let (deal, me, _) = leased(false);
        assert_eq!(cores_of(&deal), 2);
        let DealState::Leased { from, question, .. } = deal.state else { panic!("leased") };
        let end = from.plus(DurationMs(STEP));
        assert_eq!(beat(&deal, me, end, None), None, "by the chain's clock it may not be over");
        let due = beat(&deal, me, end.plus(CLOCK_MARGIN), None);
        assert_eq!(due, Some((1, answer(question, deal.id, 1, me))));
    }

    #[test]
    fn a_token_is_shown_when_its_interval_has_begun_and_only_if_it_is_right() {
        let (deal, me, tokens) = leased(true);
        let DealState::Leased { from, .. } = deal.state else { panic!("leased") };
        let at =
            |ms: u64, shown| beat(&deal, me, from.plus(DurationMs(ms)).plus(CLOCK_MARGIN), shown);
        let token = |interval: u32| (interval, tokens.of(interval).unwrap());
        assert_eq!(at(STEP, None), None, "without a token nothing is due");
        assert_eq!(at(0, Some(token(1))), Some(token(1)));
        assert_eq!(at(0, Some(token(2))), None, "it has not begun");
        assert_eq!(at(STEP, Some(token(2))), Some(token(2)), "one token stands for all before it");
        assert_eq!(at(STEP, Some((2, token(1).1))), None, "the renter's mistake costs no fee");
        assert_eq!(at(STEP, Some((0, token(1).1))), None);
    }
}
