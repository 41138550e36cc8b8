//! What the two sides of a deal agreed on.

use gongsuan_types::capacity::Capacity;
use gongsuan_types::job::Check;
use gongsuan_types::lease::Witness;
use gongsuan_types::order::{Bid, Work};
use gongsuan_types::{DurationMs, Fuel, Hash, Price, Units};
use serde::{Deserialize, Serialize};

/// What both sides signed.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = DealTerms))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// The job; of a lease, what is to be set up.
    pub job: Hash,
    /// Fuel of one segment, at most.
    pub fuel_max: Fuel,
    /// The first segment.
    pub first: u32,
    /// How many segments.
    pub count: u32,
    /// Units: segments × lot.
    pub units: Units,
    /// Per unit, by the ask of the present provider.
    pub price: Price,
    /// To acknowledge.
    pub ack_within: DurationMs,
    /// To commit.
    pub run_within: DurationMs,
    /// Segments to draw in each batch.
    pub samples: u16,
    /// The renter's commitment to its shares of the draws of all deals of the order ([`gongsuan_types::secrets`]); of a lease, the end of its tokens.
    pub secret_hash: Hash,
    /// Units of one segment.
    pub lot: Units,
    /// Per unit, at most, for the next provider if this one fails.
    pub price_max: Price,
    /// The provider's deposit, in basis points of the price of what is left to do.
    pub deposit_basis_points: u32,
    /// How the results are checked.
    pub check: Check,
    /// Progress, or a commitment, must come within this; zero demands nothing.
    pub heartbeat_within: DurationMs,
    /// Batches, at most.
    pub batches_max: u16,
    /// Providers one after another, at most.
    pub attempts_max: u8,
    /// What kind of deal it is.
    pub kind: Kind,
}

/// What a deal is about.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = DealKind))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A job whose results are proved.
    Job,
    /// Leased time, metered by heartbeat. Its *segments* are intervals.
    Lease {
        /// What is paid at one time.
        interval: DurationMs,
        /// How long after an interval its heartbeat may come.
        grace: DurationMs,
        /// Who says that the machine was there.
        witness: Witness,
    },
    /// A job of the chain itself: the provider shows what its machine has. Seed and steps say what every lane reads.
    Probe {
        /// What is shown.
        capacity: Capacity,
        /// Dependent reads of each lane.
        steps: u32,
    },
}

impl Terms {
    /// What a fill of a bid agrees on: so many units at a price, from a segment on.
    pub(crate) fn of(bid: &Bid, (units, price): (Units, Price), first: u32) -> Self {
        let pace = bid.work.pace();
        let terms = Self {
            job: Hash::ZERO,
            fuel_max: Fuel(0),
            first,
            count: bid.segments_of(units),
            units,
            price,
            ack_within: bid.work.ack_within(),
            run_within: DurationMs(0),
            samples: bid.work.samples(),
            secret_hash: Hash::ZERO,
            lot: bid.lot,
            price_max: bid.price_max,
            deposit_basis_points: bid.work.deposit_basis_points(),
            check: bid.work.check(),
            heartbeat_within: pace.heartbeat_within,
            batches_max: pace.batches_max,
            attempts_max: pace.attempts_max,
            kind: Kind::Job,
        };
        match &bid.work {
            Work::Job(job) => Self {
                job: job.spec.id(),
                fuel_max: job.spec.limits.fuel,
                run_within: job.run_within,
                secret_hash: job.secret_hash,
                ..terms
            },
            Work::Lease(lease) => Self {
                job: lease.setup,
                run_within: lease.duration(units),
                secret_hash: match lease.witness {
                    Witness::Renter(end) => end,
                    Witness::Chain => Hash::ZERO,
                },
                kind: Kind::Lease {
                    interval: lease.interval,
                    grace: lease.grace,
                    witness: lease.witness,
                },
                ..terms
            },
        }
    }
}
