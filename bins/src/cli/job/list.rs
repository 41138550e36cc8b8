//! `gongsuan job list` and `gongsuan job status`.

use gongsuan_market::{Deal, Order, Stage};
use gongsuan_types::OrderId;
use gongsuan_types::order::Side;
use serde_json::json;

use crate::cli::{Context, output};
use crate::client::Page;
use crate::renter;

/// What all jobs of this account have come to.
pub(super) fn list(open: bool, context: &Context) -> anyhow::Result<()> {
    let page = Page {
        limit: Some(1_000),
        open: false,
        account: Some(context.key()?.address()),
        side: Some(Side::Bid),
        ..Page::default()
    };
    let client = context.client();
    let deals = client.deals(&Page { side: None, ..page })?.deals;
    let mut rows = Vec::new();
    let is_job = |order: &Order| order.bid().is_some_and(|bid| bid.work.job().is_some());
    for order in client.orders(&page)?.orders.into_iter().filter(is_job) {
        let own: Vec<&Deal> = deals.iter().filter(|deal| deal.bid == order.id).collect();
        let running = own.iter().any(|deal| !deal.is_over());
        if open && !running && !order.is_live() {
            continue;
        }
        let wanted = order
            .bid()
            .map_or(0, |bid| bid.segments_of(bid.units) * u32::from(bid.work.check().copies()));
        let done: u32 = own.iter().map(|deal| renter::done(deal)).sum();
        rows.push((order, own.len(), done, wanted, running));
    }
    let value = rows.iter().map(|(order, deals, done, wanted, running)| {
        json!({ "bid": order.id, "state": order.state, "deals": deals, "segments_done": done, "segments": wanted, "running": running, "price_max": order.price(), "held": order.held })
    });
    let value = json!({ "jobs": value.collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/jobs/v1", &value, || {
        let lines = rows.iter().map(|(order, deals, done, wanted, running)| {
            let state = serde_json::to_value(order.state).unwrap_or_default();
            let state = if *running { "running" } else { state.as_str().unwrap_or("?") };
            vec![
                order.id.to_string(),
                state.to_owned(),
                format!("{done}/{wanted}"),
                deals.to_string(),
                order.price().to_string(),
            ]
        });
        output::table(&["bid", "state", "segments", "deals", "price ≤"], lines)
    });
    Ok(())
}

/// A bid and its deals.
pub(super) fn status(bid: OrderId, context: &Context) -> anyhow::Result<()> {
    let client = context.client();
    let order = client.order(bid)?;
    let deals = renter::deals_of(&client, bid)?;
    let value = json!({ "order": order, "deals": deals });
    output::show(context.json, "gongsuan/job/v1", &value, || {
        let rows = deals.iter().map(|deal| {
            vec![
                deal.id.to_string(),
                deal.provider.short(),
                Stage::of(&deal.state).name().to_owned(),
                format!("{}/{}", renter::done(deal), deal.terms.count),
            ]
        });
        output::table(&["deal", "provider", "state", "done"], rows)
    });
    Ok(())
}
