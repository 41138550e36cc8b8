//! `gongsuan job deletions`: what providers of a private job have signed.

use gongsuan_types::OrderId;
use serde_json::json;

use crate::cli::{Context, exit, output};
use crate::envelope::{Content, DELETION, letters};
use crate::renter;

/// Shows who has promised deletion for which deal of a bid; exit code 3 if somebody has not.
pub(super) fn show(bid: OrderId, context: &Context) -> anyhow::Result<u8> {
    let client = context.client();
    let chain_id = client.status()?.chain_id;
    let mut rows = Vec::new();
    for deal in renter::deals_of(&client, bid)? {
        let found = letters(&client, (chain_id, deal.id, deal.renter))?;
        let own = found.iter().filter(|letter| letter.body.from == deal.provider);
        let at = own.filter_map(|letter| match letter.body.content {
            Content::Deletion { at } => Some((at, letter.signature)),
            _ => None,
        });
        rows.push((deal.id, deal.provider, at.min_by_key(|(at, _)| *at)));
    }
    let value = rows.iter().map(|(deal, provider, promised)| {
        json!({ "deal": deal, "provider": provider, "at": promised.map(|(at, _)| at), "signature": promised.map(|(_, signature)| signature) })
    });
    let value = json!({ "promise": DELETION, "deals": value.collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/job-deletions/v1", &value, || {
        let lines = rows.iter().map(|(deal, provider, promised)| {
            let at = promised.map_or_else(|| "not yet".to_owned(), |(at, _)| at.to_string());
            vec![deal.to_string(), provider.short(), at]
        });
        format!("{DELETION}\n{}", output::table(&["deal", "signed by", "at"], lines))
    });
    let all = !rows.is_empty() && rows.iter().all(|(_, _, promised)| promised.is_some());
    Ok(if all { 0 } else { exit::NOT_FOUND })
}
