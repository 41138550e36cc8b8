//! The record of a deal.

use gongsuan_types::job::JobOrder;
use gongsuan_types::merkle;
use gongsuan_types::order::Class;
use gongsuan_types::receipt::Commitment;
use gongsuan_types::secrets::{self, Secrets};
use gongsuan_types::{Address, Amount, DealId, DurationMs, Hash, OrderId, TimeMs, Units};
use serde::{Deserialize, Serialize};

use super::{Case, DealState, Failure, Kind, Terms};

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
