//! The record of a deal.

use gongsuan_types::capacity::Capacity;
use gongsuan_types::court::{CaseId, Finding};
use gongsuan_types::job::{Check, JobOrder};
use gongsuan_types::lease::Witness;
use gongsuan_types::merkle;
use gongsuan_types::order::{Bid, Class, Work};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::secrets::{self, Secrets};
use gongsuan_types::{
    Address, Amount, DealId, DurationMs, Fuel, Hash, Height, OrderId, Price, TimeMs, Units,
};
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
    /// What the auditor sealed, where audits are sealed.
    pub seal: Option<Hash>,
}

/// Results that were accepted and paid while the deal went on. What was accepted last stands in [`DealState::Settled`].
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The first segment, counted in the job.
    pub first: u32,
    /// Who did it.
    pub provider: Address,
    /// The results.
    pub commitment: Commitment,
    /// The list of receipts, by content address.
    pub receipts: Hash,
    /// What was drawn.
    pub samples: Vec<Sample>,
    /// To the provider, without the fee.
    pub paid: Amount,
}

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
        /// [`seal`] of what will be committed.
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

/// Whether the renter wants the deal to end.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// No.
    #[default]
    No,
    /// Yes; the provider may still commit once.
    Asked,
    /// Yes, and what is committed now is the last.
    Last,
}

/// What one side of a settled deal says of the other.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rating {
    /// 1 to 5.
    pub stars: u8,
    /// At most [`COMMENT_BYTES_MAX`].
    pub comment: String,
    /// When.
    pub at: TimeMs,
}

/// Bytes of a comment, at most.
pub const COMMENT_BYTES_MAX: usize = 280;

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
    /// When the present provider was matched.
    pub matched: TimeMs,
    /// Of the escrow: what the renter loses if it does not serve the input.
    pub bond: Amount,
    /// Units taken from the present provider's ask.
    pub taken: Units,
    /// Segments accepted and paid, the first ones.
    pub accepted: u32,
    /// The accepted batches but the last one of a settled deal.
    pub batches: Vec<Batch>,
    /// Commitments made so far.
    pub commits: u16,
    /// Providers that failed, and why.
    pub tried: Vec<(Address, Failure)>,
    /// Cases so far.
    pub cases: u32,
    /// Whether the renter wants it to end.
    pub stop: Stop,
    /// The secret revealed last.
    pub secret: Option<Hash>,
    /// What was left of the time to run when results were committed: time in a window does not count.
    pub time_left: DurationMs,
    /// The deals that do the same work: the first one's number, and how many.
    pub group: Option<(DealId, u8)>,
    /// What the renter says of the provider.
    pub of_provider: Option<Rating>,
    /// What the provider says of the renter.
    pub of_renter: Option<Rating>,
    /// Which deal of its order it is, from 0.
    pub number: u16,
    /// What the present provider was paid for work so far.
    pub paid: Amount,
    /// What the treasury got of its work so far.
    pub fees: Amount,
    /// Whether issuers had vetted the renter and the present provider when they ordered and offered.
    pub vetted: bool,
}

/// What one of a quorum says before it says what it got. Nobody else can use it: it binds the provider.
#[must_use]
pub fn seal(provider: Address, commitment: &Commitment, salt: Hash) -> Hash {
    Hash::of("gongsuan/seal/v1", &gongsuan_types::codec::encode(&(provider, commitment, salt)))
}

impl Deal {
    /// A deal that nobody is a party of yet, and that holds nothing.
    pub(crate) fn new(id: DealId, terms: Terms, (class, now): (Class, TimeMs)) -> Self {
        let nobody = Address::TREASURY;
        Self {
            id,
            ask: OrderId(0),
            bid: OrderId(0),
            provider: nobody,
            renter: nobody,
            class,
            state: DealState::Matched { ack_by: now.plus(terms.ack_within) },
            terms,
            escrow: Amount::ZERO,
            audit_budget: Amount::ZERO,
            audited: Amount::ZERO,
            deposit: Amount::ZERO,
            matched: now,
            bond: Amount::ZERO,
            taken: Units(0),
            accepted: 0,
            batches: Vec::new(),
            commits: 0,
            tried: Vec::new(),
            cases: 0,
            stop: Stop::No,
            secret: None,
            time_left: DurationMs(0),
            group: None,
            of_provider: None,
            of_renter: None,
            number: 0,
            paid: Amount::ZERO,
            fees: Amount::ZERO,
            vetted: false,
        }
    }

    /// Whether the chain itself asked for it, to see what a provider has.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        matches!(self.terms.kind, Kind::Probe { .. })
    }

    /// Whether nothing more happens.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self.state,
            DealState::Settled { .. }
                | DealState::Failed { .. }
                | DealState::Cancelled { .. }
                | DealState::Completed { .. }
        )
    }

    /// The first segment of the batch that is worked on or waits to be accepted, counted in the job.
    #[must_use]
    pub fn batch_first(&self) -> u32 {
        self.terms.first.saturating_add(self.accepted)
    }

    /// The providers that failed, and why.
    pub fn dropped(&self) -> impl Iterator<Item = (Address, Failure)> + '_ {
        self.tried.iter().copied()
    }

    /// Segments not accepted yet.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.terms.count.saturating_sub(self.accepted)
    }

    /// Whether this is the renter's next secret. The first one shows by its path that it belongs to this deal of the order.
    pub(crate) fn is_secret(&self, secret: &Hash, path: Option<&merkle::Proof>) -> bool {
        match (&self.secret, path) {
            (Some(last), _) => JobOrder::hash_secret(secret) == *last,
            (None, Some(path)) => {
                secrets::is_first(self.terms.secret_hash, self.number, secret, path)
            }
            (None, None) => false,
        }
    }

    /// What the renter reveals next, out of its order's secrets: the secret, and for the first one its path. Nothing when the chain is used up.
    #[must_use]
    pub fn next_secret(&self, secrets: &Secrets) -> Option<(Hash, Option<merkle::Proof>)> {
        match &self.secret {
            Some(last) => Some((secrets.after(self.number, last)?, None)),
            None => secrets.first(self.number).map(|(secret, path)| (secret, Some(path))),
        }
    }

    /// The token of a lease that was shown last, or the end of all tokens.
    pub(crate) fn token(&self) -> Hash {
        self.secret.unwrap_or(self.terms.secret_hash)
    }

    /// The results that are committed and not given up, and the content address of the list of their receipts.
    #[must_use]
    pub fn results(&self) -> Option<(Commitment, Hash)> {
        match &self.state {
            DealState::Committed { commitment, receipts, .. }
            | DealState::Drawn { commitment, receipts, .. }
            | DealState::Disputed { commitment, receipts, .. }
            | DealState::Examined { commitment, receipts, .. }
            | DealState::Demanded { commitment, receipts, .. }
            | DealState::Settled { commitment, receipts, .. } => Some((*commitment, *receipts)),
            DealState::Matched { .. }
            | DealState::Running { .. }
            | DealState::Failed { .. }
            | DealState::Asked { .. }
            | DealState::Closing { .. }
            | DealState::Sealed { .. }
            | DealState::Rematch { .. }
            | DealState::Leased { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => None,
        }
    }

    /// The content address of the list of receipts, once the results are committed.
    #[must_use]
    pub fn receipts(&self) -> Option<Hash> {
        self.results().map(|(_, receipts)| receipts)
    }

    /// The case before the validators.
    #[must_use]
    pub fn case(&self) -> Option<&Case> {
        match &self.state {
            DealState::Disputed { case, .. }
            | DealState::Asked { case }
            | DealState::Examined { case, .. } => Some(case),
            DealState::Matched { .. }
            | DealState::Running { .. }
            | DealState::Committed { .. }
            | DealState::Drawn { .. }
            | DealState::Settled { .. }
            | DealState::Failed { .. }
            | DealState::Demanded { .. }
            | DealState::Closing { .. }
            | DealState::Sealed { .. }
            | DealState::Rematch { .. }
            | DealState::Leased { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => None,
        }
    }

    /// What somebody who is not a party set aside for the deal: a case's stake, or the fee for a receipt.
    #[must_use]
    pub fn stake(&self) -> Amount {
        if let DealState::Demanded { fee, .. } = &self.state {
            return *fee;
        }
        self.case().map_or(Amount::ZERO, |case| case.stake)
    }

    /// The deadline that ends the present state.
    #[must_use]
    pub fn due(&self) -> Option<TimeMs> {
        match &self.state {
            DealState::Matched { ack_by } => Some(*ack_by),
            DealState::Running { done_by, heartbeat_by, .. } => {
                Some(heartbeat_by.map_or(*done_by, |at| at.min(*done_by)))
            }
            DealState::Committed { reveal_by, .. } => Some(*reveal_by),
            DealState::Drawn { samples, audit_by, open_until, .. } => {
                let all = samples.iter().all(|sample| sample.passed);
                Some(if all { *open_until } else { (*audit_by).max(*open_until) })
            }
            DealState::Disputed { case, .. }
            | DealState::Asked { case }
            | DealState::Examined { case, .. } => Some(case.until),
            DealState::Demanded { serve_by, .. } => Some(*serve_by),
            DealState::Closing { commit_by } => Some(*commit_by),
            DealState::Sealed { unseal_by, .. } => Some(*unseal_by),
            DealState::Rematch { until, .. } => Some(*until),
            DealState::Leased { beat_by, .. } => Some(*beat_by),
            DealState::Settled { .. }
            | DealState::Failed { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => None,
        }
    }
}
