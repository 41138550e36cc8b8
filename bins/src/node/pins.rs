//! Which blobs are needed: what open deals, waiting orders and the newest deals name, and what is named in those.
//!
//! ```text
//! order → module, predicate, input or index of inputs → inputs        deal → lists of receipts → outputs        private deal → letters
//! ```
//!
//! The ciphertexts of a private job are named only in letters that a node cannot read: they are kept by their age alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use gongsuan_market::{Deal, Market};
use gongsuan_types::job::{Check, JobOrder, MapInput, Shape};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{DealId, Hash, codec};

use super::blobs::{BLOB_BYTES_MAX, Blobs};
use super::event::Handle;
use super::letters::Letters;
use crate::renter::results;

/// Deals that are over keep what they name as long as they are among so many of the newest: their renters still have to fetch it.
const NEWEST: usize = 256;
/// What was found holds for this long. That is far less than any blob stays that was just brought.
const FRESH: Duration = Duration::from_secs(5);

/// What the ledger names itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    blobs: BTreeSet<Hash>,
    /// Of these: addresses of inputs, 32 bytes each.
    indexes: BTreeSet<Hash>,
    /// Of these: lists of receipts.
    receipts: BTreeSet<Hash>,
    /// Deals whose letters are needed.
    private: BTreeSet<DealId>,
}

impl Named {
    fn of(market: &Market) -> Self {
        let mut named = Self::default();
        for order in market.open_orders() {
            named.add_job(order.bid().and_then(|bid| bid.work.job()));
        }
        let newest = market.deals().rev().take(NEWEST);
        for deal in newest.filter(|deal| deal.is_over()).chain(market.open_deals()) {
            named.add_deal(deal, market);
        }
        named
    }

    fn add_deal(&mut self, deal: &Deal, market: &Market) {
        let bid = market.order(deal.bid).and_then(|order| order.bid());
        self.add_job(bid.and_then(|bid| bid.work.job()));
        if bid.is_some_and(|bid| bid.is_private()) {
            self.private.insert(deal.id);
        }
        for part in results::parts(deal) {
            self.blobs.insert(part.receipts);
            self.receipts.insert(part.receipts);
        }
    }

    fn add_job(&mut self, job: Option<&JobOrder>) {
        let Some(job) = job else { return };
        self.blobs.insert(job.spec.module);
        let Shape::Map { input, .. } = &job.spec.shape;
        match input {
            MapInput::Shared(blob) => self.blobs.insert(*blob),
            MapInput::Each(index) => self.blobs.insert(*index) | self.indexes.insert(*index),
        };
        if let Check::Predicate(predicate) = job.check {
            self.blobs.insert(predicate.module);
        }
    }

    /// All of it, and what is named in it as far as it is here.
    fn expand(mut self, blobs: &Blobs) -> BTreeSet<Hash> {
        for bytes in self.indexes.iter().filter_map(|index| blobs.get(index)) {
            self.blobs.extend(bytes.as_chunks::<32>().0.iter().map(|bytes| Hash(*bytes)));
        }
        for bytes in self.receipts.iter().filter_map(|list| blobs.get(list)) {
            let list = codec::decode::<Vec<Receipt>>("receipts", BLOB_BYTES_MAX, &bytes);
            self.blobs.extend(list.unwrap_or_default().iter().map(|receipt| receipt.output));
        }
        self.blobs
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pins {
    node: Handle,
    /// They keep the blobs themselves.
    letters: Weak<Letters>,
    last: Mutex<Option<(Instant, Arc<BTreeSet<Hash>>)>>,
}

impl Pins {
    pub(super) fn new(node: Handle, letters: &Arc<Letters>) -> Self {
        Self { node, letters: Arc::downgrade(letters), last: Mutex::new(None) }
    }

    /// What is needed now, or was some seconds ago; nothing, if the ledger does not answer. Not to be asked on the replica's thread.
    pub(super) fn needed(&self, blobs: &Blobs) -> Option<Arc<BTreeSet<Hash>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            tracing::debug!(age = ?at.elapsed(), "what is needed is known");
            return Some(Arc::clone(known));
        }
        let named = self.node.ask_blocking(|view| Named::of(view.chain.state().market())).ok()?;
        let letters = self.letters.upgrade()?;
        let letters: Vec<Hash> = named.private.iter().flat_map(|deal| letters.all(*deal)).collect();
        let mut needed = named.expand(blobs);
        needed.extend(letters);
        let needed = Arc::new(needed);
        *last = Some((Instant::now(), Arc::clone(&needed)));
        Some(needed)
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::job::Predicate;
    use gongsuan_types::receipt::Status;
    use gongsuan_types::{DurationMs, Fuel, Price, TimeMs};

    use super::*;
    use crate::renter::Wish;

    fn hash(name: &str) -> Hash {
        Hash::of_content(name.as_bytes())
    }

    fn job(input: MapInput) -> JobOrder {
        let spec = gongsuan_types::job::JobSpec {
            version: gongsuan_types::job::JOB_VERSION,
            module: hash("module"),
            meter: 1,
            args: Vec::new(),
            shape: Shape::Map { segments: 2, input },
            limits: gongsuan_types::job::Limits {
                fuel: Fuel(1_000_000_000),
                memory_pages: 1,
                output_bytes: 0,
            },
            seed: Hash::ZERO,
        };
        let wish = Wish {
            spec,
            price_max: Price(10),
            deals_max: 1,
            samples: 1,
            requirements: gongsuan_types::order::Requirements::ANY,
            check: Check::Lottery,
            pace: gongsuan_types::job::Pace {
                heartbeat_within: DurationMs(0),
                batches_max: 1,
                attempts_max: 1,
            },
            match_within: DurationMs(600_000),
            run_within: DurationMs(600_000),
        };
        wish.to_bid(TimeMs(1), &Hash::ZERO).work.job().unwrap().clone()
    }

    #[test]
    fn inputs_and_outputs_are_needed_because_lists_of_them_are() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().to_owned()).unwrap();
        let inputs = [hash("input 0"), hash("input 1")];
        let index = blobs.put(&inputs.map(|input| input.0).concat(), None, None).unwrap();
        let receipt = |segment, name| Receipt {
            segment,
            input: Hash::ZERO,
            output: hash(name),
            output_bytes: 8,
            fuel: Fuel(1),
            status: Status::Ok,
        };
        let list = codec::encode(&vec![receipt(0, "output 0"), receipt(1, "output 1")]);
        let list = blobs.put(&list, None, None).unwrap();
        let mut named = Named::default();
        let predicate = Predicate { module: hash("predicate"), fuel: Fuel(1) };
        let each = JobOrder { check: Check::Predicate(predicate), ..job(MapInput::Each(index)) };
        named.add_job(Some(&each));
        named.add_job(Some(&job(MapInput::Shared(hash("shared")))));
        named.receipts.insert(list);
        named.blobs.insert(list);
        let names = ["module", "predicate", "shared", "input 0", "input 1", "output 0", "output 1"];
        let expected = names.map(hash).into_iter().chain([index, list]);
        assert_eq!(named.expand(&blobs), expected.collect());
    }
}
