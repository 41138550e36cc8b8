//! The chain itself: status, transactions, blocks, headers, the genesis, the money.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use gongsuan_ledger::header::Body;
use gongsuan_ledger::{Genesis, Header, SignedTransaction};
use gongsuan_types::{Hash, Height, Refusal, codec};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Server;
use super::answer::{Answer, ApiError, Asked, ask, missing, parse, stopped};
use super::lists::Below;
use super::log;
use super::proofs::{Place, Shown};
use super::wire::{
    BlockRow, BlockView, Blocks, CertifiedState, HexTransaction, Octets, Status, SupplyView,
    TxState, ValidatorsView,
};
use crate::audit::{ProofFile, Subject};
use crate::node::TxAnswer;

/// A request with `wait=commit` is answered by then.
const WAIT: Duration = Duration::from_secs(30);
/// How long a proof waits for its certificate.
const PROOF_WAIT: Duration = Duration::from_secs(4);

/// Where this node and its chain are.
#[utoipa::path(get, path = "/v1/status", tag = "chain", responses((status = OK, description = "The status.", body = Status)))]
pub(super) async fn status(State(server): State<Server>) -> Answer<Status> {
    let status = ask(&server, |view| {
        let (state, progress) = (view.chain.state(), view.core.progress());
        let set = view.core.epoch().validators();
        let leader = set.key(progress.leader).map(|key| view.name_of(key)).unwrap_or_default();
        Status {
            schema: "gongsuan/status/v1".into(),
            chain_id: state.chain_id(),
            name: view.name.to_owned(),
            seat: progress.seat.map(|seat| seat.0),
            height: state.height(),
            term: progress.term,
            leader,
            state_root: state.root(),
            certified: view.certified.map_or(Height(0), |(header, _)| header.height),
            time: state.time(),
            pool: view.pool.count() as u64,
            peers: view.connected().map(|key| view.name_of(key)).collect(),
        }
    });
    Ok(Json(status.await?))
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = OK, description = "It does.", body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// Whether a quorum of validators is connected to this one.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses((status = OK, description = "It is.", body = String, content_type = "text/plain")))]
pub(super) async fn readyz(State(server): State<Server>) -> Result<&'static str, ApiError> {
    let (up, needed) = ask(&server, |view| {
        let own = usize::from(view.core.progress().seat.is_some());
        (view.connected().count() + own, view.core.epoch().validators().quorum())
    })
    .await?;
    if up >= needed {
        return Ok("ready");
    }
    let message = "too few validators are connected";
    Err(ApiError(Refusal::new("busy", "peers", format!("at least {needed}"), up, message)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SubmitQuery {
    /// `commit`: answer once the transaction is durably committed, at most 30 seconds later; otherwise once it waits.
    #[param(example = "commit")]
    wait: Option<String>,
}

/// Hands in a signed transaction.
///
/// The same bytes count once, however often and to however many nodes they are sent.
#[utoipa::path(
    post, path = "/v1/tx", tag = "chain", operation_id = "submit", params(SubmitQuery),
    request_body(content((Octets = "application/octet-stream"), (HexTransaction = "application/json")), description = "Canonical bytes, or the same in hexadecimal as JSON."),
    responses((status = OK, description = "What became of it.", body = TxState))
)]
pub(super) async fn submit(
    State(server): State<Server>,
    Asked(query): Asked<SubmitQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<TxState> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let bytes = if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        let bad = |reason: String| {
            let (limit, got) = ("{\"hex\": \"…\"}", format!("{} bytes", body.len()));
            ApiError(Refusal::new("malformed", "body", limit, got, reason))
        };
        let text: HexTransaction =
            serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        hex::decode(text.hex).map_err(|error| bad(error.to_string()))?
    } else {
        body.to_vec()
    };
    let tx: SignedTransaction = gongsuan_ledger::tx::decode(&bytes)?;
    let id = tx.body.id();
    let wait = match query.wait.as_deref() {
        None => false,
        Some("commit") => true,
        Some(other) => {
            let message = "not something to wait for";
            return Err(Refusal::new("malformed", "wait", "commit", other, message).into());
        }
    };
    match server.node.submit(tx, wait, WAIT).await? {
        TxAnswer::Refused(refusal) => Err(ApiError(refusal)),
        TxAnswer::Pending(id) => Ok(Json(TxState::Pending { id })),
        TxAnswer::Committed(_) => state_of(&server, id).await,
    }
}

async fn state_of(server: &Server, id: Hash) -> Answer<TxState> {
    let (location, waits) =
        ask(server, move |view| (view.chain.location(&id), view.pool.contains(&id))).await?;
    let otherwise = if waits { TxState::Pending { id } } else { TxState::Unknown { id } };
    let Some(location) = location else { return Ok(Json(otherwise)) };
    let (height, index) = (location.height, location.index);
    let block = log::one(server, height).await?.ok().flatten();
    let receipt = block.and_then(|block| block.receipts.into_iter().nth(index as usize));
    Ok(Json(receipt.map_or(otherwise, |receipt| {
        let receipt = Box::new(receipt);
        TxState::Committed { id, height, index, receipt }
    })))
}

/// What became of a transaction.
#[utoipa::path(
    get, path = "/v1/tx/{id}", tag = "chain", operation_id = "transaction", params(("id" = Hash, Path, description = "The transaction's id.")),
    responses((status = OK, description = "Pending, committed or unknown.", body = TxState))
)]
pub(super) async fn tx(State(server): State<Server>, Path(id): Path<String>) -> Answer<TxState> {
    state_of(&server, parse("id", &id)?).await
}

/// The newest blocks.
#[utoipa::path(get, path = "/v1/blocks", tag = "chain", params(Below), responses((status = OK, description = "A page.", body = Blocks)))]
pub(super) async fn blocks(
    State(server): State<Server>,
    Asked(query): Asked<Below>,
) -> Answer<Blocks> {
    let rows = query.rows()?;
    let head = ask(&server, |view| view.chain.state().height().0).await?;
    let last = query.below.map_or(head, |below| head.min(below.saturating_sub(1)));
    let heights = (1..=last).rev().take(rows).map(Height).collect();
    let blocks = log::each(&server, heights, |stored| row(&stored.header)).await?;
    Ok(Json(Blocks { blocks }))
}

fn row(header: &Header) -> BlockRow {
    BlockRow {
        height: header.height,
        hash: header.hash(),
        time: header.time,
        term: header.term,
        proposer: header.proposer,
        tx_count: header.tx_count,
        body_bytes: header.body_bytes,
        state_root: header.state_root,
    }
}

/// A block with its transactions, receipts and events.
#[utoipa::path(
    get, path = "/v1/blocks/{height}", tag = "chain", params(("height" = Height, Path, description = "From 1.")),
    responses((status = OK, description = "The block.", body = BlockView))
)]
pub(super) async fn block(
    State(server): State<Server>,
    Path(height): Path<String>,
) -> Answer<BlockView> {
    let height: Height = parse("height", &height)?;
    let stored = log::one(&server, height).await?.ok().flatten();
    let stored = stored.ok_or_else(|| missing("height", height))?;
    let bytes = hex::encode(codec::encode(&stored));
    Ok(Json(BlockView {
        hash: stored.header.hash(),
        header: stored.header,
        transactions: Body::decode(&stored.body).unwrap_or_default().txs,
        receipts: stored.receipts,
        events: stored.events,
        bytes,
    }))
}

/// The newest header whose state is certified, with the certificate.
#[utoipa::path(
    get, path = "/v1/headers/latest", tag = "chain", operation_id = "latest_header",
    responses((status = OK, description = "Header, certificate, validators.", body = CertifiedState))
)]
pub(super) async fn latest(State(server): State<Server>) -> Answer<CertifiedState> {
    let found = ask(&server, |view| {
        let (header, certified) = view.certified?.clone();
        let validators = crate::node::validator_set(view.genesis);
        Some(CertifiedState { header, certified, validators })
    });
    found.await?.map(Json).ok_or_else(|| missing("certified header", "none yet"))
}

/// How the chain began.
#[utoipa::path(get, path = "/v1/genesis", tag = "chain", responses((status = OK, description = "The genesis.", body = Genesis)))]
pub(super) async fn genesis(State(server): State<Server>) -> Answer<Genesis> {
    Ok(Json(ask(&server, |view| view.genesis.clone()).await?))
}

/// Who votes.
#[utoipa::path(get, path = "/v1/validators", tag = "chain", responses((status = OK, description = "By seat.", body = ValidatorsView)))]
pub(super) async fn validators(State(server): State<Server>) -> Answer<ValidatorsView> {
    let validators = ask(&server, |view| view.genesis.validators.clone()).await?;
    Ok(Json(ValidatorsView { validators }))
}

/// Where all money is, and whether it adds up.
///
/// The sums are kept with every change of a balance or a hold, so that anybody may ask at any time. That they are those of the records, and that the
/// holds are those of orders and deals, is checked by `gongsuan audit replay`, which believes nobody.
#[utoipa::path(get, path = "/v1/supply", tag = "chain", responses((status = OK, description = "The sums.", body = SupplyView)))]
pub(super) async fn supply(State(server): State<Server>) -> Answer<SupplyView> {
    let found = ask(&server, |view| {
        let state = view.chain.state();
        SupplyView::new(state.height(), state.supply())
    });
    Ok(Json(found.await?))
}

/// A proof that can be checked offline, from the validators' signatures to the fact.
///
/// What is not certified yet will be in some milliseconds, unless the chain rests; it is waited for.
#[utoipa::path(
    get, path = "/v1/proofs/{kind}/{id}", tag = "proofs",
    params(
        ("kind" = String, Path, description = "account, order, deal, hold, attestation, provider, supply, market, tx, receipt, events or block."),
        ("id" = String, Path, description = "Which: an address, a number, a transaction's id, a height; hold: escrow:N; attestation: ADDRESS:ROLE; supply: total; market: registers."),
    ),
    responses((status = OK, description = "The proof as a file.", body = ProofFile))
)]
pub(super) async fn proof(
    State(server): State<Server>,
    Path((kind, id)): Path<(String, String)>,
) -> Answer<ProofFile> {
    let subject = Subject::parse(&kind, &id)?;
    let place = ask(&server, move |view| super::proofs::find(view, &subject)).await??;
    let shown = match place {
        Place::Record(header, fact) => Shown::Record(header, fact),
        Place::Block(height) => Shown::block(log::one(&server, height).await?, subject)?,
    };
    let until = tokio::time::Instant::now() + PROOF_WAIT;
    loop {
        let height = shown.height();
        let found = ask(&server, move |view| super::proofs::anchor(view, height)).await??;
        if let Some(anchor) = found {
            let made = tokio::task::spawn_blocking(move || shown.proof(anchor)).await;
            return Ok(Json(made.map_err(stopped)??));
        }
        if tokio::time::Instant::now() >= until {
            let message = "the block is not certified yet: blocks after it do that; try again";
            return Err(ApiError(Refusal::new("timeout", "id", "certified", height, message)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
