//! `gongsuan job rate`: stars and words for the other side of a settled deal.

use gongsuan_ledger::Op;
use gongsuan_market::{COMMENT_BYTES_MAX, Command as MarketCommand, Deal, DealState};
use gongsuan_types::{DealId, OrderId};
use serde_json::json;

use crate::cli::{Coded, Context, exit, output, usage};
use crate::renter;

/// Rates every settled deal of a bid, or one, of which this account is a side that has not spoken yet.
pub(super) fn rate(
    context: &Context,
    (bid, only): (OrderId, Option<DealId>),
    stars: u8,
    comment: &str,
) -> anyhow::Result<()> {
    if comment.len() > COMMENT_BYTES_MAX {
        let got = comment.len();
        return Err(usage(format!("--comment has {got} bytes, the limit is {COMMENT_BYTES_MAX}")));
    }
    let (client, me) = (context.client(), context.key()?.address());
    client.order(bid)?;
    let deals = renter::deals_of(&client, bid)?;
    let can_be_rated = |deal: &&Deal| {
        let rated = if deal.renter == me {
            &deal.of_provider
        } else if deal.provider == me {
            &deal.of_renter
        } else {
            return false;
        };
        rated.is_none() && matches!(deal.state, DealState::Settled { .. })
    };
    let wanted = deals.iter().filter(|deal| only.is_none_or(|only| deal.id == only));
    let rated: Vec<DealId> = wanted.filter(can_be_rated).map(|deal| deal.id).collect();
    if rated.is_empty() {
        let what = only.map_or_else(|| format!("bid {bid}"), |deal| format!("deal {deal} of it"));
        return Err(Coded(
            exit::REJECTED,
            format!(
                "nothing of {what} can be rated by {me}: only the renter and the provider of a settled deal can, once; see `gongsuan job status {bid}`"
            ),
        )
        .into());
    }
    for deals in rated.chunks(gongsuan_ledger::tx::OPS_MAX) {
        let of = |deal: &DealId| {
            let comment = comment.to_owned();
            Op::Market(MarketCommand::Rate { deal: *deal, stars, comment })
        };
        crate::cli::account::execute(context, &deals.iter().map(of).collect::<Vec<_>>())?;
    }
    let value = json!({ "bid": bid, "stars": stars, "deals": rated });
    output::show(context.json, "gongsuan/job-rate/v1", &value, || {
        let deals: Vec<String> = rated.iter().map(ToString::to_string).collect();
        format!("{stars} of 5 for deals {}", deals.join(", "))
    });
    Ok(())
}
