//! Lists: the newest first, filtered, a page at a time.

use axum::Json;
use axum::extract::{Path, Query, State};
use gongsuan_ledger::Header;
use gongsuan_market::{Deal, Order};
use gongsuan_types::order::{Class, Side};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, DealId, Hash, Height, OrderId, Refusal, codec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Server;
use super::routes::{Answer, ApiError, ask, missing, parse};
use crate::node::Trade;
use crate::node::blobs::BLOB_BYTES_MAX;

/// Rows of one answer, unless the request says fewer.
const ROWS: usize = 100;
/// Rows of one answer, at most.
pub(super) const ROWS_MAX: usize = 1_000;

/// What to list. Everything is optional; what a list does not know is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Rows, at most.
    limit: Option<usize>,
    /// Only what is older than this id or height.
    below: Option<u64>,
    /// `open`: only what is not over; `all`.
    state: Option<String>,
    /// `ask` or `bid`.
    side: Option<Side>,
    /// Only what this account has a part in.
    account: Option<Address>,
    /// Only of this class.
    class: Option<String>,
    /// Only deals of this order.
    order: Option<OrderId>,
}

impl Filter {
    fn rows(&self) -> Result<usize, ApiError> {
        match self.limit.unwrap_or(ROWS) {
            rows @ 1..=ROWS_MAX => Ok(rows),
            got => {
                let limit = format!("1..={ROWS_MAX}");
                let message = "too few or too many rows; ask for more with below";
                Err(Refusal::new("out-of-range", "limit", limit, got, message).into())
            }
        }
    }

    fn is_open(&self) -> Result<bool, ApiError> {
        match self.state.as_deref() {
            None | Some("all") => Ok(false),
            Some("open") => Ok(true),
            Some(other) => {
                let message = "not a state to list by";
                Err(Refusal::new("malformed", "state", "open or all", other, message).into())
            }
        }
    }

    fn class(&self) -> Result<Option<Class>, ApiError> {
        Ok(self.class.as_deref().map(str::parse).transpose()?)
    }

    fn is_below(&self, id: u64) -> bool {
        self.below.is_none_or(|below| id < below)
    }
}

/// Newest first: the rows of the page, and how many there are in all.
fn page<'a, T: Clone + 'a>(
    all: impl DoubleEndedIterator<Item = &'a T>,
    rows: usize,
    is_on_page: impl Fn(&T) -> bool,
) -> (Vec<T>, usize) {
    let (mut found, mut total) = (Vec::new(), 0);
    for one in all.rev() {
        total += 1;
        if found.len() < rows && is_on_page(one) {
            found.push(one.clone());
        }
    }
    (found, total)
}

/// `GET /v1/blocks`: the newest headers.
pub(super) async fn blocks(
    State(server): State<Server>,
    Query(filter): Query<Filter>,
) -> Answer<Value> {
    let rows = filter.rows()?;
    let found = ask(&server, move |view| {
        let head = view.chain.state().height().0;
        let last = filter.below.map_or(head, |below| head.min(below.saturating_sub(1)));
        let heights = (1..=last).rev().take(rows);
        heights
            .map_while(|height| view.chain.stored(Height(height)).ok().flatten())
            .map(|stored| row(&stored.header))
            .collect::<Vec<_>>()
    });
    Ok(Json(json!({ "blocks": found.await? })))
}

fn row(header: &Header) -> Value {
    json!({
        "height": header.height,
        "hash": header.hash(),
        "time": header.time,
        "term": header.term,
        "proposer": header.proposer,
        "tx_count": header.tx_count,
        "body_bytes": header.body_bytes,
        "state_root": header.state_root,
    })
}

/// `GET /v1/orders`.
pub(super) async fn orders(
    State(server): State<Server>,
    Query(filter): Query<Filter>,
) -> Answer<Value> {
    let (rows, open, class) = (filter.rows()?, filter.is_open()?, filter.class()?);
    let (found, total) = ask(&server, move |view| {
        let wanted = |order: &&Order| {
            (!open || order.is_live())
                && filter.side.is_none_or(|wanted| wanted == order.side())
                && filter.account.is_none_or(|wanted| wanted == order.owner)
                && class.is_none_or(|wanted| wanted == order.class())
        };
        let all: Vec<&Order> = view.chain.state().market().orders().filter(wanted).collect();
        page(all.into_iter(), rows, |order| filter.is_below(order.id.0))
    })
    .await?;
    Ok(Json(json!({ "orders": found, "total": total })))
}

/// `GET /v1/deals`.
pub(super) async fn deals(
    State(server): State<Server>,
    Query(filter): Query<Filter>,
) -> Answer<Value> {
    let (rows, open, class) = (filter.rows()?, filter.is_open()?, filter.class()?);
    let (found, total) = ask(&server, move |view| {
        let wanted = |deal: &&Deal| {
            (!open || !deal.is_over())
                && filter
                    .account
                    .is_none_or(|wanted| [deal.provider, deal.renter].contains(&wanted))
                && filter.order.is_none_or(|wanted| [deal.ask, deal.bid].contains(&wanted))
                && class.is_none_or(|wanted| wanted == deal.class)
        };
        let all: Vec<&Deal> = view.chain.state().market().deals().filter(wanted).collect();
        page(all.into_iter(), rows, |deal| filter.is_below(deal.id.0))
    })
    .await?;
    Ok(Json(json!({ "deals": found, "total": total })))
}

/// `GET /v1/classes`: what is traded here, by name.
pub(super) async fn classes(State(server): State<Server>) -> Answer<Value> {
    let found = ask(&server, |view| {
        let orders = view.chain.state().market().orders().map(Order::class);
        let all = orders.chain(view.trades.classes()).chain([Class::WASM]);
        all.collect::<std::collections::BTreeSet<_>>()
    });
    let names: Vec<String> = found.await?.iter().map(Class::to_string).collect();
    Ok(Json(json!({ "classes": names })))
}

/// `GET /v1/trades/{class}`: the newest fills that this node remembers.
pub(super) async fn trades(
    State(server): State<Server>,
    Path(class): Path<String>,
    Query(filter): Query<Filter>,
) -> Answer<Value> {
    let (rows, class): (usize, Class) = (filter.rows()?, class.parse()?);
    let found = ask(&server, move |view| {
        let older = |trade: &&Trade| filter.is_below(trade.deal.0);
        view.trades.of(class).filter(older).take(rows).copied().collect::<Vec<_>>()
    });
    Ok(Json(json!({ "trades": found.await? })))
}

/// `GET /v1/identities`: who holds which role.
pub(super) async fn identities(State(server): State<Server>) -> Answer<Value> {
    let found = ask(&server, |view| {
        let state = view.chain.state();
        let live = |expires_at| expires_at > state.time();
        let attested = state.accounts().attestations();
        attested
            .filter(|(_, attestation)| live(attestation.expires_at))
            .map(|((address, role), attestation)| {
                json!({
                    "address": address,
                    "role": role.to_string(),
                    "issuer": attestation.issuer,
                    "expires_at": attestation.expires_at,
                })
            })
            .take(ROWS_MAX)
            .collect::<Vec<_>>()
    });
    Ok(Json(json!({ "identities": found.await? })))
}

/// `GET /v1/deals/{id}/receipts`: what the provider committed, out of the blob that it published.
pub(super) async fn receipts(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<Value> {
    let id: DealId = parse("deal", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().deal(id).cloned()).await?;
    let deal = found.ok_or_else(|| missing("deal", id))?;
    let hash: Hash = deal.receipts().ok_or_else(|| missing("receipts", id))?;
    let blobs = server.blobs.clone();
    let bytes = tokio::task::spawn_blocking(move || blobs.get(&hash)).await.ok().flatten();
    let bytes = bytes.ok_or_else(|| missing("blob", hash))?;
    let list: Vec<Receipt> =
        codec::decode("receipts", BLOB_BYTES_MAX, &bytes).map_err(|error| {
            let limit = "canonical receipts";
            Refusal::new(
                "malformed",
                "receipts",
                limit,
                format!("{} bytes", bytes.len()),
                error.to_string(),
            )
        })?;
    Ok(Json(json!({ "deal": id, "receipts": list })))
}
