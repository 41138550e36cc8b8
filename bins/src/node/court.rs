//! What a validator does as a judge: looks for cases on its own chain, finds out, and signs what it found.
//!
//! ```text
//! blocks → a case is open and this seat has not been heard → the blobs it needs, from here or from the other validators
//!        → one segment in a worker process → Verdict, signed with the key that votes → a transaction, by the front door
//! ```
//!
//! All of it happens on a thread of its own and in a process of its own: nothing here can hold up a vote. The queue is the chain's state, so
//! it is bounded, survives a restart, and a case that could not be answered is taken up again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use gongsuan_executor::pool::Backend as _;
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{Cancel, Inputs, Job};
use gongsuan_ledger::{Event as ChainEvent, Op, State, fee_min};
use gongsuan_market::{Case, Deal, Event as MarketEvent, Question};
use gongsuan_types::court::{CaseId, Finding, Verdict};
use gongsuan_types::job::{Check, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::receipt::{Commitment, Receipt, Status};
use gongsuan_types::{Address, Amount, Hash, PublicKey, SecretKey, TimeMs, Verified, codec};

use super::blobs::BLOB_BYTES_MAX;
use super::event::Handle;
use super::library::{Library, Shelf};
use super::view::{Feed, View};
use crate::client::sign;
use crate::envelope::KeyPair;

/// Cases taken up in one look, those that lapse first before others.
const CASES_MAX: usize = 8;
/// Between two looks while a case is open and unanswered.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// One execution takes no longer on this machine; the segment's fuel bounds it as well.
const RUN_MAX: Duration = Duration::from_secs(60);
/// How long a verdict may wait for its block.
const COMMIT_WAIT: Duration = Duration::from_secs(20);
/// Output of a predicate, at most: nobody reads it.
const PREDICATE_OUTPUT_MAX: u32 = 64 << 10;

/// A case as the chain has it, with what is needed to answer it.
#[derive(Debug, Clone)]
struct Docket {
    deal: Deal,
    case: Case,
    spec: JobSpec,
    /// Whether what is needed comes in letters.
    private: bool,
    /// How many encryption keys this seat has published.
    keys: u32,
}

/// Why a case is not answered now.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// A blob is not to be had.
    #[error("the blob {0} is not to be had")]
    Missing(Hash),
    /// This machine is at fault.
    #[error(transparent)]
    Fault(#[from] anyhow::Error),
}

/// A judge.
pub(super) struct Court {
    node: Handle,
    key: SecretKey,
    library: Library,
    /// What was found already, so that a verdict that got lost costs no second execution.
    found: BTreeMap<CaseId, Finding>,
}

impl Court {
    /// A judge for the node with this key. While that has no seat, no case is open to it.
    pub(super) fn new(node: Handle, key: SecretKey, library: Library) -> Self {
        Self { node, key, library, found: BTreeMap::new() }
    }

    /// Takes up its office on threads of its own. They end with the node's feed.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(mut self, feed: &Feed) -> std::io::Result<()> {
        let (bell, rung) = bounded(1);
        let mut blocks = feed.0.subscribe();
        std::thread::Builder::new().name("usher".into()).spawn(move || {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                let ring = match blocks.blocking_recv() {
                    Ok(happened) => happened.events.iter().any(|(_, event)| opens_case(event)),
                    Err(RecvError::Lagged(_)) => true,
                    Err(RecvError::Closed) => return,
                };
                if ring && !ring_bell(&bell) {
                    return;
                }
            }
        })?;
        std::thread::Builder::new().name("court".into()).spawn(move || self.sit(&rung))?;
        Ok(())
    }

    fn sit(&mut self, bell: &Receiver<()>) {
        loop {
            // Cases may have been opened while this node was down.
            let open = self.look();
            let rung = if open {
                bell.recv_timeout(LOOK_AGAIN)
            } else {
                bell.recv().map_err(|_| crossbeam_channel::RecvTimeoutError::Disconnected)
            };
            if matches!(rung, Err(crossbeam_channel::RecvTimeoutError::Disconnected)) {
                return;
            }
        }
    }

    /// Answers what is open. Whether something is left.
    fn look(&mut self) -> bool {
        let key = self.key.public_key();
        let dockets = match self.node.ask_blocking(move |view| dockets(view.chain.state(), key)) {
            Ok(dockets) => dockets,
            Err(refusal) => {
                tracing::warn!(%refusal, "the court cannot see the chain");
                return refusal.code != "stopped";
            }
        };
        self.found.retain(|id, _| dockets.iter().any(|docket| docket.case.id == *id));
        let mut left = false;
        for docket in dockets {
            let case = docket.case.id;
            match self
                .finding(&docket)
                .map_err(anyhow::Error::from)
                .and_then(|finding| finding.map(|finding| self.hand_in(case, finding)).transpose())
            {
                Ok(Some(())) => {}
                Ok(None) => left = true,
                Err(error) => {
                    left = true;
                    tracing::warn!(%case, error = format!("{error:#}"), "no verdict yet");
                }
            }
        }
        left
    }

    /// What this validator finds, or nothing yet.
    fn finding(&mut self, docket: &Docket) -> Result<Option<Finding>, Unanswered> {
        let case = docket.case.id;
        if let Some(known) = self.found.get(&case) {
            return Ok(Some(*known));
        }
        let finding = match self.answer(docket) {
            Ok(finding) => finding,
            Err(Unanswered::Missing(hash)) => match unavailable(&docket.case, super::clock()) {
                Some(finding) => finding,
                None => return Err(Unanswered::Missing(hash)),
            },
            Err(fault) => return Err(fault),
        };
        tracing::info!(%case, ?finding, "found");
        self.found.insert(case, finding);
        Ok(Some(finding))
    }

    fn answer(&self, docket: &Docket) -> Result<Finding, Unanswered> {
        if docket.private && docket.keys == 0 {
            self.publish_key()?;
        }
        let shelf = self.library.shelf(docket.private.then_some((&self.key, docket.deal.id)));
        match &docket.case.question {
            Question::Result { committed, .. } => {
                let job = assemble(&shelf, docket, vec![committed.segment])?;
                Ok(Finding::Produced(self.execute(&job)?.into_iter().next().context("no receipt")?))
            }
            Question::Output { committed } => {
                self.receipts(&docket.deal)?;
                blob(&shelf, committed.output)?;
                Ok(Finding::Available)
            }
            Question::Input => {
                let first = docket.deal.batch_first();
                assemble(&shelf, docket, (first..first + docket.deal.left()).collect())?;
                Ok(Finding::Available)
            }
            Question::Predicate => self.examine(docket, &shelf),
        }
    }

    /// Runs the renter's predicate over every output of the batch.
    fn examine(&self, docket: &Docket, shelf: &Shelf<'_>) -> Result<Finding, Unanswered> {
        let Check::Predicate(predicate) = docket.deal.terms.check else {
            return Err(anyhow::anyhow!("the deal has no predicate").into());
        };
        let receipts = self.receipts(&docket.deal)?;
        let mut inputs = BTreeMap::new();
        for receipt in &receipts {
            inputs.insert(receipt.segment, blob(shelf, receipt.output)?.into());
        }
        let limits = Limits {
            fuel: predicate.fuel,
            memory_pages: docket.spec.limits.memory_pages,
            output_bytes: PREDICATE_OUTPUT_MAX,
        };
        let Shape::Map { segments, .. } = docket.spec.shape;
        // Each reads what it is given; no index of inputs is needed to run them.
        let shape = Shape::Map { segments, input: MapInput::Each(Hash::ZERO) };
        let spec = JobSpec {
            module: predicate.module,
            args: Vec::new(),
            shape,
            limits,
            ..docket.spec.clone()
        };
        let job = Job {
            module: blob(shelf, predicate.module)?.into(),
            spec,
            segments: receipts.iter().map(|receipt| receipt.segment).collect(),
            inputs: Inputs::Each(inputs),
        };
        let accepts = self.execute(&job)?.iter().all(|receipt| receipt.status == Status::Ok);
        Ok(if accepts { Finding::Accepts } else { Finding::Refuses })
    }

    /// The list of receipts that a deal's provider committed.
    fn receipts(&self, deal: &Deal) -> Result<Vec<Receipt>, Unanswered> {
        let (commitment, hash) = deal.results().context("the deal has no results")?;
        let bytes = self.library.blob(hash).ok_or(Unanswered::Missing(hash))?;
        let list = codec::decode::<Vec<Receipt>>("receipts", BLOB_BYTES_MAX, &bytes);
        // Other bytes than those that were committed are no list of theirs.
        match list {
            Ok(list) if Commitment::new(&list) == Some(commitment) => Ok(list),
            _ => Err(Unanswered::Missing(hash)),
        }
    }

    fn execute(&self, job: &Job) -> anyhow::Result<Vec<Receipt>> {
        let mut config = PoolConfig::new(std::env::current_exe()?, ["worker"]);
        config.workers = 1;
        config.deadline = RUN_MAX;
        Ok(Pool::new(config).run(job, &Cancel::new(), &mut |_| {})?)
    }

    /// The parties of a private job seal what is needed to this seat's account: it publishes its first encryption key when it is asked for.
    fn publish_key(&self) -> anyhow::Result<()> {
        let key = KeyPair::derive(&self.key, 0).public();
        self.submit(false, |_| Op::PublishKey { key, number: 0 })
    }

    /// Signs a verdict and hands it in like any other transaction.
    fn hand_in(&self, case: CaseId, finding: Finding) -> anyhow::Result<()> {
        // Judging is a validator's office: its own verdict of an open case is free.
        self.submit(true, |chain_id| {
            let verdict = Verdict { chain_id, case, finding, validator: self.key.public_key() };
            Op::Judge(vec![Verified::sign(verdict, &self.key).into_signed()])
        })
    }

    fn submit(&self, is_free: bool, op: impl FnOnce(Hash) -> Op) -> anyhow::Result<()> {
        let sender = self.key.address();
        let (chain_id, nonce, fee) = self.node.ask_blocking(move |view: &View<'_>| {
            let state = view.chain.state();
            let fee = if is_free { Amount::ZERO } else { fee_min(state.params(), 1) };
            (state.chain_id(), view.pool.next_nonce(&sender, state), fee)
        })?;
        let tx = sign(&self.key, chain_id, nonce, fee, vec![op(chain_id)]);
        match self.node.submit_blocking(tx, true, COMMIT_WAIT)? {
            super::TxAnswer::Refused(refusal) => {
                let account = sender.short();
                Err(refusal).with_context(|| {
                    format!("a transaction of the validator's account {account} is refused")
                })
            }
            super::TxAnswer::Committed(_) | super::TxAnswer::Pending(_) => Ok(()),
        }
    }
}

fn blob(shelf: &Shelf<'_>, hash: Hash) -> Result<Vec<u8>, Unanswered> {
    shelf.blob(hash).ok_or(Unanswered::Missing(hash))
}

fn assemble(shelf: &Shelf<'_>, docket: &Docket, segments: Vec<u32>) -> Result<Job, Unanswered> {
    crate::provider::assemble_job(&docket.spec, segments, |hash| {
        // What the chain itself asks nobody has to serve.
        let known = crate::capacity::blob(&docket.deal, &docket.spec, hash);
        known.map_or_else(|| blob(shelf, hash), Ok)
    })
}

fn ring_bell(bell: &Sender<()>) -> bool {
    !matches!(bell.try_send(()), Err(crossbeam_channel::TrySendError::Disconnected(())))
}

fn opens_case(event: &ChainEvent) -> bool {
    matches!(event, ChainEvent::Market(MarketEvent::CaseOpened { .. }))
}

/// The open cases in which the seat of a key has not been heard, the oldest before others: whoever opens more of them only waits longer itself.
fn dockets(state: &State, key: PublicKey) -> Vec<Docket> {
    let seat = state.validators().iter().position(|seated| *seated == key);
    let Some(seat) = seat.and_then(|seat| u16::try_from(seat).ok()) else { return Vec::new() };
    let market = state.market();
    let open = market.disputed().filter_map(|deal| {
        let case = deal.case().filter(|case| case.votes.iter().all(|vote| vote.seat != seat))?;
        let bid = market.order(deal.bid)?.bid()?;
        let order = bid.work.job()?;
        let published = state.accounts().encryption_key(&Address::from(key));
        Some(Docket {
            deal: deal.clone(),
            case: case.clone(),
            spec: order.spec.clone(),
            private: bid.is_private(),
            keys: published.map_or(0, |known| known.number.saturating_add(1)),
        })
    });
    open.take(CASES_MAX).collect()
}

/// What to say of data that is not to be had: nothing for the first half of the case's time, in which it may still be served.
fn unavailable(case: &Case, now: TimeMs) -> Option<Finding> {
    let half = case.until.since(case.opened).0 / 2;
    let waited = now.since(case.opened).0 >= half;
    match case.question {
        // A predicate that cannot be run is not answered: the deal then goes on as in the lottery.
        Question::Predicate => None,
        Question::Result { .. } | Question::Output { .. } | Question::Input => {
            waited.then_some(Finding::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::{Address, Amount, DealId};

    use super::*;

    fn case(question: Question) -> Case {
        Case {
            id: CaseId { deal: DealId(1), number: 1 },
            by: Address([7; 32]),
            stake: Amount::new(1),
            question,
            opened: TimeMs(1_000),
            until: TimeMs(3_000),
            votes: Vec::new(),
        }
    }

    #[test]
    fn missing_data_is_waited_for_during_half_of_the_time() {
        for (now, expected) in [(0, None), (1_999, None), (2_000, Some(Finding::Unavailable))] {
            assert_eq!(unavailable(&case(Question::Input), TimeMs(now)), expected, "{now}");
        }
        assert_eq!(unavailable(&case(Question::Predicate), TimeMs(9_000)), None);
    }
}
