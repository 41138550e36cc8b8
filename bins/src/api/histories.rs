//! What happened to one account, order or deal: by the index, newest first, a page at a time; and a deal's trail with its events.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use gongsuan_ledger::{Location, Subject};
use gongsuan_types::{DealId, Height, Refusal};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::answer::{Answer, ApiError, Asked, ask, missing, parse};
use super::lists::ROWS_MAX;
use super::log;
use super::wire::{HistoryRow, HistoryView, TrailView};
use crate::audit::trail::Trail;

/// Rows of one answer, unless the request says fewer.
const ROWS: usize = 100;
/// Blocks read for one trail, at most: the newest ones, and those in which the orders came.
const TRAIL_BLOCKS: usize = 128;

/// A page of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Before {
    /// Rows, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `height:index`: only what is older, as `next` of the page before says.
    #[param(pattern = "^[0-9]{1,19}:[0-9]{1,9}$")]
    before: Option<String>,
}

/// Whose history.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it stands in the description")]
enum HistoryKind {
    Accounts,
    Orders,
    Deals,
}

fn place(text: &str) -> Result<Location, ApiError> {
    let parsed = text.split_once(':').and_then(|(height, index)| {
        Some(Location { height: Height(height.parse().ok()?), index: index.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        let message = "not a place in the chain";
        Refusal::new("malformed", "before", "height:index", text, message).into()
    })
}

/// The history of an account, an order or a deal: transactions and blocks that touched it, the newest first.
#[utoipa::path(
    get, path = "/v1/{kind}/{id}/history", tag = "accounts",
    params(("kind" = inline(HistoryKind), Path, description = "Of what."), ("id" = String, Path, description = "An address or a number."), Before),
    responses((status = OK, description = "A page.", body = HistoryView))
)]
pub(super) async fn history(
    State(server): State<Server>,
    Path((kind, id)): Path<(String, String)>,
    Asked(query): Asked<Before>,
) -> Answer<HistoryView> {
    let subject = match kind.as_str() {
        "accounts" => Subject::Account(parse("address", &id)?),
        "orders" => Subject::Order(parse("order", &id)?),
        "deals" => Subject::Deal(parse("deal", &id)?),
        _ => return Err(missing("endpoint", format!("/v1/{kind}/{id}/history"))),
    };
    let before = query.before.as_deref().map(place).transpose()?;
    let rows = query.limit.unwrap_or(ROWS);
    if !(1..=ROWS_MAX).contains(&rows) {
        let limit = format!("1..={ROWS_MAX}");
        let message = "too few or too many rows; ask for more with before";
        return Err(Refusal::new("out-of-range", "limit", limit, rows, message).into());
    }
    let page = ask(&server, move |view| view.chain.history_page(subject, before, rows));
    let page = page.await?.map_err(|error| {
        Refusal::new("not-kept", "before", "what this node keeps", id, error.to_string())
    })?;
    let rows =
        page.rows.iter().map(|(at, tx)| HistoryRow { height: at.height, index: at.index, tx: *tx });
    let next = page.next.map(|at| format!("{}:{}", at.height, at.index));
    Ok(Json(HistoryView { rows: rows.collect(), next }))
}

/// Every event of a deal, from the placing of its orders on, the oldest first.
#[utoipa::path(
    get, path = "/v1/deals/{id}/trail", tag = "market", params(("id" = DealId, Path, description = "The deal's number.")),
    responses((status = OK, description = "The trail.", body = TrailView))
)]
pub(super) async fn trail(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<TrailView> {
    let id: DealId = parse("deal", &id)?;
    let found = ask(&server, move |view| {
        let market = view.chain.state().market();
        let deal = market.deal(id)?;
        let page = view.chain.history_page(Subject::Deal(id), None, ROWS_MAX).ok()?;
        let newest = page.rows.iter().map(|(at, _)| at.height);
        let mut heights: Vec<Height> = newest.collect::<BTreeSet<_>>().into_iter().rev().collect();
        let is_whole = heights.len() <= TRAIL_BLOCKS && page.next.is_none();
        heights.truncate(TRAIL_BLOCKS);
        let placed = [deal.ask, deal.bid].into_iter().filter_map(|order| market.order(order));
        heights.extend(placed.map(|order| order.arrived));
        let heights: BTreeSet<Height> = heights.into_iter().collect();
        Some((heights, Trail::of_deal(id, (deal.ask, deal.bid)), is_whole))
    });
    let (heights, trail, whole) = found.await?.ok_or_else(|| missing("deal", id))?;
    let rows = log::each(&server, heights.into_iter().collect(), move |block| {
        trail.rows(&block).unwrap_or_default()
    });
    let rows = rows.await?.into_iter().flatten();
    let events = rows.filter_map(|row| serde_json::from_value(row).ok()).collect();
    Ok(Json(TrailView { deal: id, events, whole }))
}
