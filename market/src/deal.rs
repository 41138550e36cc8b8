//! The record of a deal.

use gongsuan_types::order::Class;
use gongsuan_types::receipt::Commitment;
use gongsuan_types::{
    Address, Amount, DealId, DurationMs, Fuel, Hash, Height, OrderId, Price, TimeMs, Units,
};
use serde::{Deserialize, Serialize};

/// What both sides signed.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = DealTerms))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// The job.
    pub job: Hash,
    /// Fuel of one segment, at most.
    pub fuel_max: Fuel,
    /// The first segment.
    pub first: u32,
    /// How many segments.
    pub count: u32,
    /// Units: segments × lot.
    pub units: Units,
    /// Per unit.
    pub price: Price,
    /// To acknowledge.
    pub ack_within: DurationMs,
    /// To commit.
    pub run_within: DurationMs,
    /// Segments to draw.
    pub samples: u16,
    /// The renter's commitment to its share of the draw.
    pub secret_hash: Hash,
}

/// A segment drawn for re-execution.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The segment, counted in the job.
    pub segment: u32,
    /// Who re-executes it; nobody, where no auditor was eligible.
    pub auditor: Option<Address>,
    /// Whether it was found equal, or silence accepted it.
    pub passed: bool,
}

/// Why a deal failed.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The provider did not acknowledge in time.
    NoAck,
    /// The provider did not commit in time.
    Late,
    /// An auditor got another result and nobody has judged.
    Disputed,
}

/// Where a deal is in its life.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DealState {
    /// Waiting for the provider.
    Matched {
        /// Until then.
        ack_by: TimeMs,
    },
    /// The provider works.
    Running {
        /// Segments it says are done.
        done: u32,
        /// Until then.
        done_by: TimeMs,
    },
    /// The results are committed; the draw needs the next block's hash and the renter's secret.
    Committed {
        /// The results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// When.
        at: TimeMs,
        /// In which block.
        height: Height,
        /// The hash of the next block.
        beacon: Option<Hash>,
        /// The renter's secret.
        secret: Option<Hash>,
        /// Waiting for the secret until then.
        reveal_by: TimeMs,
    },
    /// Segments are drawn and wait for their auditors and the window.
    Drawn {
        /// The results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// What was drawn.
        samples: Vec<Sample>,
        /// Silence accepts from then on.
        audit_by: TimeMs,
        /// Nothing is paid before.
        open_until: TimeMs,
    },
    /// An auditor got something else.
    Disputed {
        /// The results.
        commitment: Commitment,
        /// The segment.
        segment: u32,
        /// The auditor.
        auditor: Address,
        /// Ends then.
        until: TimeMs,
    },
    /// Paid.
    Settled {
        /// The results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// The samples and who answered for them.
        samples: Vec<Sample>,
        /// To the provider.
        paid: Amount,
        /// To the treasury.
        fee: Amount,
        /// To auditors.
        audited: Amount,
        /// Back to the renter.
        refund: Amount,
    },
    /// Not paid.
    Failed {
        /// Why.
        why: Failure,
        /// What the provider lost to the renter.
        fine: Amount,
    },
}

/// A contract between a provider and a renter over some segments of a job.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deal {
    /// Its number.
    pub id: DealId,
    /// The offer.
    pub ask: OrderId,
    /// The order.
    pub bid: OrderId,
    /// Who works.
    pub provider: Address,
    /// Who pays.
    pub renter: Address,
    /// What is sold.
    pub class: Class,
    /// What was agreed.
    pub terms: Terms,
    /// Money in escrow, the renter's.
    pub escrow: Amount,
    /// Of the escrow: what audits may still cost.
    pub audit_budget: Amount,
    /// Money paid to auditors so far.
    pub audited: Amount,
    /// Money deposited, the provider's.
    pub deposit: Amount,
    /// Its life.
    pub state: DealState,
}

impl Deal {
    /// Whether nothing more happens.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, DealState::Settled { .. } | DealState::Failed { .. })
    }

    /// The content address of the list of receipts, once the results are committed.
    #[must_use]
    pub fn receipts(&self) -> Option<Hash> {
        match &self.state {
            DealState::Committed { receipts, .. }
            | DealState::Drawn { receipts, .. }
            | DealState::Settled { receipts, .. } => Some(*receipts),
            DealState::Matched { .. }
            | DealState::Running { .. }
            | DealState::Disputed { .. }
            | DealState::Failed { .. } => None,
        }
    }

    /// The deadline that ends the present state.
    #[must_use]
    pub fn due(&self) -> Option<TimeMs> {
        match &self.state {
            DealState::Matched { ack_by } => Some(*ack_by),
            DealState::Running { done_by, .. } => Some(*done_by),
            DealState::Committed { reveal_by, .. } => Some(*reveal_by),
            DealState::Drawn { samples, audit_by, open_until, .. } => {
                let all = samples.iter().all(|sample| sample.passed);
                Some(if all { *open_until } else { (*audit_by).max(*open_until) })
            }
            DealState::Disputed { until, .. } => Some(*until),
            DealState::Settled { .. } | DealState::Failed { .. } => None,
        }
    }
}
