//! Work that is not done: a hash stands for running a segment. What it gives follows from the job and the segment alone, as
//! with the real executor, so whoever "runs" it again gets the same and whoever makes something up gets something else.

use std::collections::BTreeMap;

use gongsuan_market::{Deal, Market};
use gongsuan_types::job::{JobSpec, Limits, MapInput, Shape};
use gongsuan_types::receipt::{Receipt, Status};
use gongsuan_types::{Amount, DealId, Fuel, Hash, Hasher, codec};

/// Of the price of a segment: what running it costs whoever runs it, in basis points. The study's `c = 0.8 v`.
pub(crate) const COST_BASIS_POINTS: u32 = 8_000;

/// A job whose module and input do not exist.
pub(crate) fn job(number: u64, segments: u32) -> JobSpec {
    let name = |what: &str| Hash::of(what, &number.to_le_bytes());
    JobSpec {
        version: gongsuan_types::job::JOB_VERSION,
        module: name("gongsuan/chain/module"),
        meter: 1,
        args: Vec::new(),
        shape: Shape::Map { segments, input: MapInput::Shared(name("gongsuan/chain/input")) },
        limits: Limits { fuel: Fuel(1_000_000_000), memory_pages: 16, output_bytes: 1_024 },
        seed: Hash::ZERO,
    }
}

/// What every segment of a job reads.
pub(crate) fn input(spec: &JobSpec) -> Hash {
    let Shape::Map { input, .. } = &spec.shape;
    match input {
        MapInput::Shared(hash) | MapInput::Each(hash) => *hash,
    }
}

/// What running a segment gives.
pub(crate) fn execute(spec: &JobSpec, segment: u32) -> Receipt {
    let mut hasher = Hasher::new("gongsuan/chain/execute");
    hasher.update(&spec.id().0).update(&segment.to_le_bytes());
    let output = hasher.finish();
    let half = spec.limits.fuel.0 / 2;
    let fuel = Fuel(half + output.to_u64() % half);
    Receipt { segment, input: input(spec), output, output_bytes: 32, fuel, status: Status::Ok }
}

/// What somebody writes who has not run it: another output, and all the fuel that the order allows.
pub(crate) fn make_up(spec: &JobSpec, segment: u32) -> Receipt {
    let true_one = execute(spec, segment);
    let output = Hash::of("gongsuan/chain/made-up", &true_one.output.0);
    Receipt { output, fuel: spec.limits.fuel, ..true_one }
}

/// The job of a deal, out of its bid.
pub(crate) fn job_of<'a>(market: &'a Market, deal: &Deal) -> Option<&'a JobSpec> {
    let order = market.order(deal.bid)?.bid()?.work.job()?;
    Some(&order.spec)
}

/// What running so much fuel costs at a deal's price.
pub(crate) fn cost(deal: &Deal, fuel: Fuel) -> Amount {
    let price = deal.terms.price.cost_of_fuel(fuel);
    price.basis_points(COST_BASIS_POINTS).unwrap_or_default()
}

/// What is off the chain and served by whoever has it: inputs, lists of receipts, tokens of leases.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    blobs: BTreeMap<Hash, Vec<u8>>,
    /// The newest token of each lease, and for which interval it is.
    tokens: BTreeMap<DealId, (u32, Hash)>,
}

impl Shelf {
    /// Serves the module and the input of a job.
    pub(crate) fn serve_job(&mut self, spec: &JobSpec) {
        self.blobs.insert(spec.module, Vec::new());
        self.blobs.insert(input(spec), Vec::new());
    }

    pub(crate) fn has_job(&self, spec: &JobSpec) -> bool {
        self.blobs.contains_key(&spec.module) && self.blobs.contains_key(&input(spec))
    }

    /// Hands over a token.
    pub(crate) fn hand_over(&mut self, lease: DealId, interval: u32, token: Hash) {
        self.tokens.insert(lease, (interval, token));
    }

    /// The newest token of a lease.
    pub(crate) fn token(&self, lease: DealId) -> Option<(u32, Hash)> {
        self.tokens.get(&lease).copied()
    }

    /// The content address of a list of receipts.
    pub(crate) fn address_of(receipts: &[Receipt]) -> Hash {
        Hash::of_content(&codec::encode(&receipts.to_vec()))
    }

    /// Serves a list of receipts.
    pub(crate) fn serve_receipts(&mut self, receipts: &[Receipt]) -> Hash {
        let bytes = codec::encode(&receipts.to_vec());
        let hash = Hash::of_content(&bytes);
        self.blobs.insert(hash, bytes);
        hash
    }

    pub(crate) fn receipts(&self, hash: &Hash) -> Option<Vec<Receipt>> {
        codec::decode("receipts", 1 << 24, self.blobs.get(hash)?).ok()
    }
}
