//! Leases, by the book: an interval is paid once, at its price, when somebody has shown that it was had, and not before its time.

use gongsuan_ledger::{Applied, Body, Op, OrderedBlock, State, TxStatus};
use gongsuan_market::{Command, Deal, DealState, Kind, Market, Stop};
use gongsuan_types::job::JobOrder;
use gongsuan_types::lease::{Witness, answer};
use gongsuan_types::{Address, DealId, DurationMs, Hash, Units};

use super::books::{LEASE, broken};
use crate::sim::Violation;

/// Checks every lease in a block: the market before it, the state after it.
pub(super) fn check(
    before: &Market,
    state: &State,
    block: &OrderedBlock<'_>,
    applied: &Applied,
) -> Result<(), Violation> {
    let leases =
        state.market().deals().filter(|deal| matches!(deal.terms.kind, Kind::Lease { .. }));
    let mut beats = None;
    for lease in leases {
        let old = before.deal(lease.id);
        if old == Some(lease) {
            continue;
        }
        let beats = beats.get_or_insert_with(|| heartbeats(block, applied));
        let own = beats.iter().filter(|beat| beat.deal == lease.id);
        lived(old, lease, block, own)?;
    }
    Ok(())
}

/// A heartbeat that the chain has taken.
#[derive(Debug)]
struct Beat {
    deal: DealId,
    by: Address,
    interval: u32,
    token: Hash,
}

fn heartbeats(block: &OrderedBlock<'_>, applied: &Applied) -> Vec<Beat> {
    let body = Body::decode(block.body).unwrap_or_default();
    let good = body.txs.iter().zip(&applied.receipts);
    let good = good.filter(|(_, receipt)| receipt.status == TxStatus::Applied);
    let ops = good.flat_map(|(tx, _)| tx.body.ops.iter().map(move |op| (tx.body.sender, op)));
    let beat = |(by, op): (Address, &Op)| match op {
        Op::Market(Command::Beat { deal, interval, token }) => {
            Some(Beat { deal: *deal, by, interval: *interval, token: *token })
        }
        _ => None,
    };
    ops.filter_map(beat).collect()
}

/// What one lease was paid in a block is what its heartbeats stand for.
fn lived<'a>(
    old: Option<&Deal>,
    lease: &Deal,
    block: &OrderedBlock<'_>,
    beats: impl Iterator<Item = &'a Beat>,
) -> Result<(), Violation> {
    let Kind::Lease { interval, grace, witness } = lease.terms.kind else { return Ok(()) };
    // What was acknowledged in this block begins with it.
    let (mut from, mut question) = match old.map(|old| &old.state) {
        Some(DealState::Leased { from, question, .. }) => (*from, *question),
        _ => (block.time, block.block),
    };
    let first = old.map_or(0, |old| old.accepted);
    let mut last = from;
    let mut paid = first;
    for beat in beats {
        let (id, number) = (lease.id, beat.interval);
        let bad =
            |what: &str| broken(LEASE, format!("deal {id}: interval {number} is paid, and {what}"));
        if number <= paid {
            return bad("was paid before");
        }
        let begins = from.plus(span(interval, number - paid - 1));
        let (is_shown, earliest) = match witness {
            Witness::Renter(end) => (hashed(beat.token, number) == end, begins),
            Witness::Chain => {
                (beat.token == answer(question, id, number, beat.by), begins.plus(interval))
            }
        };
        if !is_shown {
            return bad("its token is none");
        }
        if block.time < earliest && lease.stop == Stop::No {
            return bad(&format!("it is {}, not {earliest} yet", block.time));
        }
        last = from;
        from = from.plus(span(interval, number - paid));
        (paid, question) = (number, block.block);
    }
    // The last heartbeat of a lease that its renter has stopped is paid by the part of the interval.
    let part = match (old.map(|old| (&old.state, old.stop)), witness) {
        _ if lease.accepted.checked_add(1) != Some(paid) || lease.stop == Stop::No => None,
        (_, Witness::Renter(_)) => None,
        (Some((DealState::Leased { beat_by, .. }, Stop::Asked)), Witness::Chain) => {
            Some(beat_by.0.saturating_sub(grace.0))
        }
        (_, Witness::Chain) => Some(block.time.0),
    };
    let part = part.map(|stopped| stopped.saturating_sub(last.0).min(interval.0));
    if part.is_some() {
        paid -= 1;
    }
    if lease.accepted != paid {
        let (id, got) = (lease.id, lease.accepted);
        return broken(LEASE, format!("deal {id}: {got} intervals are paid, {paid} were shown"));
    }
    let Some(old) =
        old.filter(|old| old.provider == lease.provider && (paid > first || part.is_some()))
    else {
        return Ok(());
    };
    let lot = lease.terms.lot.0;
    let price = lease.terms.price;
    let whole = price.cost(Units(u64::from(paid - first) * lot));
    let begun = part.map_or(0, |part| price.cost(Units(lot * part / interval.0)).micro());
    let due = gongsuan_types::Amount::new(whole.micro() + begun);
    let sum = |deal: &Deal| deal.paid.micro() + deal.fees.micro();
    let got = sum(lease) - sum(old);
    if got == due.micro() {
        return Ok(());
    }
    let id = lease.id;
    broken(LEASE, format!("deal {id}: {got} is paid for {} intervals, {due} is due", paid - first))
}

fn span(interval: DurationMs, count: u32) -> DurationMs {
    DurationMs(interval.0 * u64::from(count))
}

fn hashed(token: Hash, times: u32) -> Hash {
    (0..times).fold(token, |at, _| JobOrder::hash_secret(&at))
}
