//! Where a deal is in its life, and why it left it.

use gongsuan_types::court::{CaseId, Finding};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Address, Amount, Hash, Height, TimeMs};
use serde::{Deserialize, Serialize};

use super::record::Sample;

/// Why a provider failed, and with it the deal, if nobody takes it over.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The provider did not acknowledge in time.
    NoAck,
    /// The provider did not commit in time.
    Late,
    /// A result was challenged and nobody has judged.
    Disputed,
    /// The validators got another result than the provider committed.
    Fraud,
    /// The provider did not show what it had committed.
    Withheld,
    /// The provider gave no sign of life in time.
    Silent,
    /// The renter's predicate refused an output.
    Refused,
    /// The provider of a lease left it.
    Left,
    /// The renter's token for an interval of a lease did not come: who is at fault cannot be told.
    Unwitnessed,
}

/// Why a deal ended without anybody's failure.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cancellation {
    /// The renter stopped it, and there was nothing more to pay for.
    Stopped,
    /// The renter did not serve the module or the input: its bond is the provider's.
    NoInput,
    /// The provider says that the input is missing, and nobody has judged.
    InputUnjudged,
}

/// What is asked of the validators.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// What does this segment produce?
    Result {
        /// What the provider committed.
        committed: Receipt,
        /// What the challenger found.
        found: Receipt,
    },
    /// Is the list of receipts, and the output of this one, there?
    Output {
        /// What the provider committed.
        committed: Receipt,
    },
    /// Are the module and the inputs of the deal's segments there?
    Input,
    /// Does the renter's predicate accept every output of the batch?
    Predicate,
}

/// What one validator found.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// Its seat.
    pub seat: u16,
    /// What it found.
    pub finding: Finding,
}

/// A question before the validators.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its name.
    pub id: CaseId,
    /// Who brought it.
    pub by: Address,
    /// What it set aside for it.
    pub stake: Amount,
    /// What is asked.
    pub question: Question,
    /// When.
    pub opened: TimeMs,
    /// Without equal findings of enough validators it lapses then.
    pub until: TimeMs,
    /// What validators found so far.
    pub votes: Vec<Vote>,
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
        /// All must be committed by then.
        done_by: TimeMs,
        /// It must give a sign of life by then.
        heartbeat_by: Option<TimeMs>,
    },
    /// Results are committed; the draw needs the next block's hash and the renter's secret.
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
    /// Somebody says that a result is wrong or withheld, and the validators judge. The window stands still.
    Disputed {
        /// The results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// What was drawn.
        samples: Vec<Sample>,
        /// As when it was drawn.
        audit_by: TimeMs,
        /// As when it was drawn.
        open_until: TimeMs,
        /// What is judged.
        case: Box<Case>,
    },
    /// Paid.
    Settled {
        /// The last results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// The samples and who answered for them.
        samples: Vec<Sample>,
        /// To the provider, for the last results.
        paid: Amount,
        /// To the treasury, for the last results.
        fee: Amount,
        /// To auditors, in the whole deal.
        audited: Amount,
        /// Back to the renter.
        refund: Amount,
    },
    /// Given up.
    Failed {
        /// Why.
        why: Failure,
        /// What the last provider lost to the renter.
        fine: Amount,
    },
    /// The provider says that it cannot get the input, and the validators look.
    Asked {
        /// What is judged.
        case: Box<Case>,
    },
    /// The validators run the renter's predicate over the committed outputs.
    Examined {
        /// The results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// When.
        at: TimeMs,
        /// What is judged.
        case: Box<Case>,
    },
    /// Somebody wants to see a receipt, and the provider must show it. The window stands still.
    Demanded {
        /// The results.
        commitment: Commitment,
        /// The list of receipts, by content address.
        receipts: Hash,
        /// What was drawn.
        samples: Vec<Sample>,
        /// As when it was drawn.
        audit_by: TimeMs,
        /// As when it was drawn.
        open_until: TimeMs,
        /// The segment whose receipt is wanted.
        segment: u32,
        /// Who wants it.
        by: Address,
        /// What the provider is paid for showing it.
        fee: Amount,
        /// When it was asked for.
        opened: TimeMs,
        /// Not to show it by then is fraud.
        serve_by: TimeMs,
    },
    /// The renter has stopped the deal; the provider may commit what it has done.
    Closing {
        /// Until then.
        commit_by: TimeMs,
    },
    /// One of a quorum: the result is sealed until all others are.
    Sealed {
        /// [`crate::seal`] of what will be committed.
        seal: Hash,
        /// It must be opened by then.
        unseal_by: TimeMs,
    },
    /// The provider is out; another one is looked for.
    Rematch {
        /// Why the provider is out.
        why: Failure,
        /// What it lost to the renter.
        fine: Amount,
        /// Until then.
        until: TimeMs,
        /// Where the search for one goes on at the end of the block; nowhere, when all asks were looked at and new ones are waited for.
        from: Option<(u64, u64)>,
    },
    /// Ended without anybody's failure; what was accepted before is paid.
    Cancelled {
        /// Why.
        why: Cancellation,
    },
    /// A lease goes on.
    Leased {
        /// When the interval began that is not paid yet, or will begin.
        from: TimeMs,
        /// What the chain asks: the block of the last heartbeat.
        question: Hash,
        /// The interval's heartbeat must come by then.
        beat_by: TimeMs,
    },
    /// A lease is over, at its end or stopped by the renter.
    Completed {
        /// To the last provider.
        paid: Amount,
        /// To the treasury, of that.
        fee: Amount,
        /// Back to the renter.
        refund: Amount,
    },
}
