//! The renter's side: order, reveal, collect, check.

mod duties;
pub mod results;
mod stages;

use std::time::Duration;

use anyhow::Context as _;
use gongsuan_ledger::{Event, Op};
use gongsuan_market::{Command, Deal, DealState, Event as MarketEvent, Failure};
use gongsuan_types::job::{Check, JobOrder, JobSpec, Pace};
use gongsuan_types::order::{Bid, Class, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{DurationMs, Hash, OrderId, Price, SecretKey, TimeMs, Units};

pub use duties::Duties;
pub use stages::{Plan, Then};

use crate::api::wire::TxState;
use crate::client::{Client, ClientError};
use crate::provider::deals;

/// What a renter decides.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The job.
    pub spec: JobSpec,
    /// Micro-tokens per Gf, at most.
    pub price_max: Price,
    /// Deals, at most.
    pub deals_max: u16,
    /// Segments to draw in each deal.
    pub samples: u16,
    /// What the machine must have, and its provider must be.
    pub requirements: Requirements,
    /// How the results are checked.
    pub check: Check,
    /// Batches, heartbeats, attempts.
    pub pace: Pace,
    /// The order expires after this.
    pub match_within: DurationMs,
    /// The results must be there after this.
    pub run_within: DurationMs,
}

impl Wish {
    /// The bid, with what it commits to of the secrets that follow from one.
    #[must_use]
    pub fn to_bid(&self, now: TimeMs, secret: &Hash) -> Bid {
        let lot = self.spec.lot();
        Bid {
            class: Class::WASM,
            price_max: self.price_max,
            units: Units(lot.0 * u64::from(self.spec.segment_count())),
            lot,
            fill_min: lot,
            deals_max: self.deals_max,
            requirements: self.requirements,
            fill_rule: FillRule::Rest,
            self_match: SelfMatch::Skip,
            expires_at: now.plus(self.match_within),
            work: Work::Job(Box::new(JobOrder {
                spec: self.spec.clone(),
                ack_within: DurationMs(10_000),
                run_within: self.run_within,
                samples: self.samples,
                deposit_basis_points: 10_000,
                secret_hash: Secrets::new(*secret).root(),
                check: self.check,
                pace: self.pace,
            })),
        }
    }
}

/// The secret of a bid of this job by this account that expires then: it follows from the account's own, so that whoever has the key can go on with the
/// bid from anywhere, and nothing has to be kept beside it.
#[must_use]
pub fn secret(key: &SecretKey, job: &JobSpec, expires_at: TimeMs) -> Hash {
    let mut seed = zeroize::Zeroizing::new(key.to_bytes().to_vec());
    seed.extend_from_slice(&job.id().0);
    seed.extend_from_slice(&expires_at.0.to_le_bytes());
    Hash::of("gongsuan/renter-secret/v1", &seed)
}

/// Places the bid; the order's number comes from the chain's receipt.
///
/// # Errors
/// [`ClientError`].
pub fn place(client: &Client, key: &SecretKey, bid: Bid) -> anyhow::Result<OrderId> {
    let state = client.execute(key, &[Op::Market(Command::PlaceBid(Box::new(bid)))])?;
    let TxState::Committed { receipt, .. } = state else {
        anyhow::bail!("the bid is not committed")
    };
    let placed = receipt.events.iter().find_map(|event| match event {
        Event::Market(MarketEvent::Placed { order, .. }) => Some(*order),
        _ => None,
    });
    placed.context("the receipt names no order")
}

/// A bid's deals, oldest first.
///
/// # Errors
/// [`ClientError`].
pub fn deals_of(client: &Client, bid: OrderId) -> Result<Vec<Deal>, ClientError> {
    let mut own = deals(client, &format!("order={bid}"))?;
    own.sort_by_key(|deal| deal.id);
    Ok(own)
}

/// Segments that a deal says are done.
#[must_use]
pub fn done(deal: &Deal) -> u32 {
    match &deal.state {
        DealState::Running { done, .. } => *done,
        DealState::Matched { .. }
        | DealState::Failed { .. }
        | DealState::Asked { .. }
        | DealState::Rematch { .. }
        | DealState::Closing { .. }
        | DealState::Cancelled { .. } => deal.accepted,
        DealState::Sealed { .. } => deal.terms.count,
        DealState::Committed { commitment, .. }
        | DealState::Drawn { commitment, .. }
        | DealState::Disputed { commitment, .. }
        | DealState::Examined { commitment, .. }
        | DealState::Demanded { commitment, .. } => deal.accepted + commitment.count,
        DealState::Settled { .. } | DealState::Leased { .. } | DealState::Completed { .. } => {
            deal.accepted
        }
    }
}

/// Watches a bid's deals to their end, revealing the secret where it is wanted. `look` sees every change.
///
/// # Errors
/// If it takes too long or a deal fails.
pub fn follow(
    client: &Client,
    key: &SecretKey,
    bid: OrderId,
    secret: Hash,
    patience: Duration,
    mut look: impl FnMut(&[Deal]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Deal>> {
    let deadline = std::time::Instant::now() + patience;
    let (secrets, mut revealed) = (Secrets::new(secret), std::collections::BTreeSet::new());
    loop {
        let all = match deals_of(client, bid) {
            Ok(all) => all,
            Err(ClientError::Unreachable { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        look(&all)?;
        for deal in &all {
            let asked = matches!(deal.state, DealState::Committed { secret: None, .. });
            let wanted = (deal.id, deal.secret);
            if asked
                && !revealed.contains(&wanted)
                && let Some((secret, path)) = deal.next_secret(&secrets)
            {
                let reveal = Command::Reveal { deal: deal.id, secret, path };
                match client.execute(key, &[Op::Market(reveal)]) {
                    Ok(_) => drop(revealed.insert(wanted)),
                    Err(error) => tracing::warn!(%error, "cannot reveal"),
                }
            }
        }
        if !all.is_empty() && all.iter().all(Deal::is_over) {
            return Ok(all);
        }
        anyhow::ensure!(
            std::time::Instant::now() < deadline,
            ClientError::TimedOut("the job".into())
        );
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// A settled deal's receipts, of all its batches, checked against what was committed.
///
/// # Errors
/// If the deal failed or its receipts are missing or others.
pub fn receipts(client: &Client, deal: &Deal) -> anyhow::Result<Vec<Receipt>> {
    match &deal.state {
        DealState::Settled { .. } => {
            results::lists(client, deal).with_context(|| format!("deal {}", deal.id))
        }
        DealState::Failed { why, .. } => {
            let words = match why {
                Failure::NoAck => "the provider did not acknowledge",
                Failure::Late => "the provider was late",
                Failure::Disputed => "a result was challenged and nobody has judged",
                Failure::Fraud => "the validators got another result",
                Failure::Withheld => "the provider did not show its results",
                Failure::Silent => "the provider gave no sign of life",
                Failure::Refused => "the predicate refused an output",
                Failure::Left => "the provider left the lease",
                Failure::Unwitnessed => "no token of the renter came for an interval",
            };
            anyhow::bail!("deal {} failed: {words}", deal.id)
        }
        _ => anyhow::bail!("deal {} is not over", deal.id),
    }
}
