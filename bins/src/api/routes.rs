//! The routes.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gongsuan_ledger::header::Body;
use gongsuan_ledger::{Chain, SignedTransaction};
use gongsuan_types::order::Class;
use gongsuan_types::{Address, DealId, Hash, Height, OrderId, Refusal, codec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::lists;
use super::wire::{AccountView, CertifiedState, ErrorBody, Status, SupplyView, TxState};
use super::{Server, door, events, explorer, histories, metrics};
use crate::audit::{ProofFile, Subject};
use crate::node::{TxAnswer, View};

/// Bytes of a request's body, at most, but for blobs.
const BODY_BYTES_MAX: usize = 256 << 10;
/// A request with `wait=commit` is answered by then.
const WAIT: Duration = Duration::from_secs(30);
/// A request must be answered by then, but for waits and streams.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a proof waits for its certificate.
const PROOF_WAIT: Duration = Duration::from_secs(4);

pub(super) struct ApiError(Refusal);

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.0.code.as_ref() {
            "not-found" => StatusCode::NOT_FOUND,
            "busy" => StatusCode::SERVICE_UNAVAILABLE,
            "rate-limited" => StatusCode::TOO_MANY_REQUESTS,
            "timeout" => StatusCode::GATEWAY_TIMEOUT,
            "too-long" => StatusCode::PAYLOAD_TOO_LARGE,
            "stopped" | "disk" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(ErrorBody(self.0))).into_response()
    }
}

pub(super) fn missing(field: &'static str, got: impl std::fmt::Display) -> ApiError {
    let message = format!("there is no such {field}");
    ApiError(Refusal::new(
        "not-found",
        field,
        format!("a {field} of this chain"),
        got.to_string(),
        message,
    ))
}

pub(super) fn parse<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        let form = std::any::type_name::<T>().rsplit("::").next().unwrap_or("value");
        let got: String = text.chars().take(100).collect();
        ApiError(Refusal::new("malformed", field, form, got, error.to_string()))
    })
}

pub(super) async fn ask<T: Send + 'static>(
    server: &Server,
    question: impl FnOnce(&View<'_>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let node = server.node.clone();
    let asked = tokio::task::spawn_blocking(move || node.ask(question)).await;
    asked
        .map_err(|error| {
            ApiError(Refusal::new("stopped", "node", "an answer", "none", error.to_string()))
        })?
        .map_err(ApiError)
}

pub(super) fn router(server: Server, limits: &door::Limits) -> Router {
    let plain = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/tx/{id}", get(tx))
        .route("/v1/blocks", get(lists::blocks))
        .route("/v1/blocks/{height}", get(block))
        .route("/v1/headers/latest", get(latest))
        .route("/v1/genesis", get(genesis))
        .route("/v1/accounts/{address}", get(account))
        .route("/v1/{kind}/{id}/history", get(histories::history))
        .route("/v1/deals/{id}/trail", get(histories::trail))
        .route("/v1/book/{*class}", get(book))
        .route("/v1/classes", get(lists::classes))
        .route("/v1/trades/{*class}", get(lists::trades))
        .route("/v1/orders", get(lists::orders))
        .route("/v1/orders/{id}", get(order))
        .route("/v1/orders/{id}/why", get(why))
        .route("/v1/deals", get(lists::deals))
        .route("/v1/deals/{id}", get(deal))
        .route("/v1/deals/{id}/receipts", get(lists::receipts))
        .route("/v1/identities", get(lists::identities))
        .route("/v1/providers", get(providers))
        .route("/v1/validators", get(validators))
        .route("/v1/supply", get(supply))
        .route("/v1/proofs/{kind}/{id}", get(proof))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .layer(within(DEADLINE));
    let blobs = Router::new()
        .route("/v1/blobs/{hash}", get(get_blob).put(put_blob).post(put_blob))
        .layer(DefaultBodyLimit::max(crate::node::blobs::BLOB_BYTES_MAX + 1));
    let slow = Router::new()
        .route("/v1/tx", post(submit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(blobs)
        .layer(within(limits.answer_within));
    Router::new()
        .route("/v1/events", get(events::listen))
        .merge(slow)
        .merge(plain)
        .fallback(fallback)
        .with_state(server)
}

/// Ends a request that takes longer, its body included.
fn within(limit: Duration) -> tower_http::timeout::TimeoutLayer {
    tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limit)
}

/// The explorer's files; anything else is not here.
async fn fallback(
    method: axum::http::Method,
    uri: axum::http::Uri,
    headers: axum::http::HeaderMap,
) -> Response {
    let reads = [axum::http::Method::GET, axum::http::Method::HEAD].contains(&method);
    let file = reads.then(|| explorer::file(&uri, &headers)).flatten();
    file.unwrap_or_else(|| missing("endpoint", uri.path()).into_response())
}

async fn status(State(server): State<Server>) -> Answer<Status> {
    let status = ask(&server, |view| {
        let name = |index: u16| {
            let validator = view.genesis.validators.get(usize::from(index));
            validator.map(|validator| validator.name.clone()).unwrap_or_default()
        };
        let state = view.chain.state();
        Status {
            schema: "gongsuan/status/v1".into(),
            chain_id: state.chain_id(),
            name: name(view.index),
            height: state.height(),
            term: view.core.progress().term,
            leader: name(view.core.progress().leader.0),
            state_root: state.root(),
            certified: view.certified.map_or(Height(0), |(header, _)| header.height),
            time: state.time(),
            pool: view.pool.count() as u64,
            peers: view.links.iter().filter(|(_, up)| *up).map(|(i, _)| name(*i)).collect(),
        }
    });
    Ok(Json(status.await?))
}

async fn ready(State(server): State<Server>) -> Result<&'static str, ApiError> {
    let (up, needed) = ask(&server, |view| {
        let up = view.links.iter().filter(|(_, up)| *up).count() + 1;
        let count = view.genesis.validators.len();
        (up, count - (count - 1) / 3)
    })
    .await?;
    if up >= needed {
        return Ok("ready");
    }
    let message = "too few validators are connected";
    Err(ApiError(Refusal::new("busy", "peers", format!("at least {needed}"), up, message)))
}

#[derive(Deserialize)]
struct SubmitQuery {
    wait: Option<String>,
}

async fn submit(
    State(server): State<Server>,
    Query(query): Query<SubmitQuery>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Answer<TxState> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hex {
        hex: String,
    }
    let json = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let bytes = if json {
        let bad = |reason: String| {
            let limit = "{\"hex\": \"…\"}";
            ApiError(Refusal::new(
                "malformed",
                "body",
                limit,
                format!("{} bytes", body.len()),
                reason,
            ))
        };
        let text: Hex = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        hex::decode(text.hex).map_err(|error| bad(error.to_string()))?
    } else {
        body.to_vec()
    };
    let tx: SignedTransaction = gongsuan_ledger::tx::decode(&bytes)?;
    let id = tx.body.id();
    let wait = query.wait.as_deref() == Some("commit");
    let node = server.node.clone();
    let answer = tokio::task::spawn_blocking(move || node.submit(tx, wait, WAIT)).await;
    let answer = answer.map_err(|error| {
        ApiError(Refusal::new("stopped", "node", "an answer", "none", error.to_string()))
    })??;
    match answer {
        TxAnswer::Refused(refusal) => Err(ApiError(refusal)),
        TxAnswer::Pending(id) => Ok(Json(TxState::Pending { id })),
        TxAnswer::Committed(_) => tx_state(&server, id).await,
    }
}

fn find_tx(chain: &Chain, pool: bool, id: Hash) -> TxState {
    let found = chain.location(&id).and_then(|location| {
        let stored = chain.stored(location.height).ok()??;
        let receipt = stored.receipts.into_iter().nth(location.index as usize)?;
        Some(TxState::Committed { id, location, receipt: Box::new(receipt) })
    });
    found.unwrap_or(if pool { TxState::Pending { id } } else { TxState::Unknown { id } })
}

async fn tx_state(server: &Server, id: Hash) -> Answer<TxState> {
    Ok(Json(ask(server, move |view| find_tx(view.chain, view.pool.contains(&id), id)).await?))
}

async fn tx(State(server): State<Server>, Path(id): Path<String>) -> Answer<TxState> {
    tx_state(&server, parse("id", &id)?).await
}

async fn block(State(server): State<Server>, Path(height): Path<String>) -> Answer<Value> {
    let height: Height = parse("height", &height)?;
    let stored = ask(&server, move |view| view.chain.stored(height).ok().flatten()).await?;
    let stored = stored.ok_or_else(|| missing("height", height))?;
    let body = Body::decode(&stored.body).unwrap_or_default();
    Ok(Json(json!({
        "header": stored.header,
        "hash": stored.header.hash(),
        "transactions": body.txs,
        "receipts": stored.receipts,
        "events": stored.events,
        "bytes": hex::encode(codec::encode(&stored)),
    })))
}

async fn latest(State(server): State<Server>) -> Answer<CertifiedState> {
    let found = ask(&server, |view| {
        let (header, certified) = view.certified?.clone();
        let validators = crate::node::validator_set(view.genesis);
        Some(CertifiedState { header, certified, validators })
    });
    found.await?.map(Json).ok_or_else(|| missing("certified header", "none yet"))
}

async fn genesis(State(server): State<Server>) -> Answer<gongsuan_ledger::Genesis> {
    Ok(Json(ask(&server, |view| view.genesis.clone()).await?))
}

async fn account(State(server): State<Server>, Path(text): Path<String>) -> Answer<AccountView> {
    let address: Address = parse("address", &text)?;
    let view = ask(&server, move |view| {
        let state = view.chain.state();
        let account = state.accounts().account(&address);
        let attested = state.accounts().attestations();
        let roles = attested
            .filter(|((of, _), attestation)| {
                *of == address && attestation.expires_at > state.time()
            })
            .map(|((_, role), _)| role.to_string())
            .collect();
        AccountView {
            address,
            balance: account.balance,
            held: state.accounts().held_of(&address),
            nonce: account.nonce,
            nonce_next: view.pool.next_nonce(&address, state),
            roles,
            reputation: state.market().reputation(&address),
        }
    });
    Ok(Json(view.await?))
}

async fn book(
    State(server): State<Server>,
    Path(class): Path<String>,
) -> Answer<gongsuan_market::BookView> {
    let class: Class = class.parse()?;
    Ok(Json(ask(&server, move |view| view.chain.state().market().book(class)).await?))
}

async fn order(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<gongsuan_market::Order> {
    let id: OrderId = parse("order", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().order(id).cloned());
    found.await?.map(Json).ok_or_else(|| missing("order", id))
}

async fn why(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<gongsuan_market::Explanation> {
    let id: OrderId = parse("order", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().explain(id));
    found.await?.map(Json).ok_or_else(|| missing("order", id))
}

async fn deal(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<gongsuan_market::Deal> {
    let id: DealId = parse("deal", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().deal(id).cloned());
    found.await?.map(Json).ok_or_else(|| missing("deal", id))
}

async fn providers(State(server): State<Server>) -> Answer<Value> {
    let rows = ask(&server, |view| {
        let state = view.chain.state();
        let attested = state.accounts().attestations();
        attested
            .filter(|((_, role), _)| *role == gongsuan_ledger::Role::Provider)
            .map(|((address, _), attestation)| {
                json!({
                    "address": address,
                    "vetted_until": attestation.expires_at,
                    "reputation": state.market().reputation(address),
                })
            })
            .collect::<Vec<_>>()
    });
    Ok(Json(json!({ "providers": rows.await? })))
}

async fn validators(State(server): State<Server>) -> Answer<Value> {
    Ok(Json(json!({ "validators": ask(&server, |view| view.genesis.validators.clone()).await? })))
}

async fn supply(State(server): State<Server>) -> Answer<SupplyView> {
    let (supply, equal) = ask(&server, |view| {
        let state = view.chain.state();
        (state.supply(), gongsuan_ledger::invariants::check(state).is_ok())
    })
    .await?;
    Ok(Json(SupplyView { supply, equal }))
}

/// A proof of any kind as a file. What is not certified yet will be in some milliseconds, unless the chain rests; it is waited for.
async fn proof(
    State(server): State<Server>,
    Path((kind, id)): Path<(String, String)>,
) -> Answer<ProofFile> {
    let subject = Subject::parse(&kind, &id)?;
    let shown = ask(&server, move |view| super::proofs::find(view, &subject)).await??;
    let until = tokio::time::Instant::now() + PROOF_WAIT;
    loop {
        let height = shown.height();
        let found = ask(&server, move |view| super::proofs::anchor(view, height)).await??;
        if let Some(anchor) = found {
            let made = tokio::task::spawn_blocking(move || shown.proof(anchor)).await;
            let made = made.map_err(|error| {
                ApiError(Refusal::new("stopped", "node", "an answer", "none", error.to_string()))
            })?;
            return Ok(Json(made?));
        }
        if tokio::time::Instant::now() >= until {
            let message = "the block is not certified yet: blocks after it do that; try again";
            return Err(ApiError(Refusal::new("timeout", "id", "certified", height, message)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn get_blob(
    State(server): State<Server>,
    Path(hash): Path<String>,
) -> Result<Vec<u8>, ApiError> {
    let hash: Hash = parse("hash", &hash)?;
    let found = tokio::task::spawn_blocking(move || server.blobs.get(&hash)).await;
    found.ok().flatten().ok_or_else(|| missing("blob", hash))
}

async fn put_blob(
    State(server): State<Server>,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<Value> {
    let hash: Hash = parse("hash", &hash)?;
    let put = tokio::task::spawn_blocking(move || server.blobs.put(&body, Some(hash))).await;
    let hash = put.map_err(|error| {
        ApiError(Refusal::new("stopped", "node", "an answer", "none", error.to_string()))
    })??;
    Ok(Json(json!({ "hash": hash })))
}
