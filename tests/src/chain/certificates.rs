//! Certificates of capacity, by the book: nobody lists what no certificate shows, and whoever fails a probe has none.

use std::collections::BTreeMap;

use gongsuan_ledger::State;
use gongsuan_market::{DealState, Failure, Market, Probe};
use gongsuan_types::Address;

use super::books::{CERTIFICATE, broken};
use crate::sim::Violation;

/// Checks every account in a block: the market before it, the state after it.
pub(super) fn check(before: &Market, state: &State) -> Result<(), Violation> {
    let market = state.market();
    if !market.rules().capacity.required {
        return Ok(());
    }
    let mut listed: BTreeMap<Address, (u64, u64)> = BTreeMap::new();
    for order in market.orders().filter(|order| order.is_live()) {
        let Some(ask) = order.ask() else { continue };
        let (cores, memory) = listed.entry(order.owner).or_default();
        *cores += u64::from(ask.machine.cpu_cores);
        *memory += u64::from(ask.machine.memory_mib);
    }
    for (who, (cores, memory)) in listed {
        let shown = market.certificate(&who).and_then(|certificate| certificate.shown);
        let covers = shown.is_some_and(|shown| {
            u64::from(shown.capacity.lanes) >= cores
                && u64::from(shown.capacity.memory_mib()) >= memory
        });
        if !covers {
            let text = format!("{who} lists {cores} cores and {memory} MiB, and shows {shown:?}");
            return broken(CERTIFICATE, text);
        }
    }
    for deal in market.deals().filter(|deal| deal.is_probe()) {
        let was_open = before.deal(deal.id).is_none_or(|old| !old.is_over());
        let DealState::Failed { why, .. } = &deal.state else { continue };
        if !was_open || *why == Failure::Disputed {
            continue;
        }
        // In the same block it may have asked for another probe already.
        let again = |probe: Probe| matches!(probe, Probe::Asked(_));
        if let Some(kept) = market.certificate(&deal.provider)
            && !(kept.shown.is_none() && again(kept.probe))
        {
            let text = format!("{} failed probe {} and has {kept:?}", deal.provider, deal.id);
            return broken(CERTIFICATE, text);
        }
    }
    Ok(())
}
