//! Letters that the parties of a deal leave for each other: see [`crate::envelope`].

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use gongsuan_types::{Address, DealId, Refusal};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Server;
use super::answer::{Answer, Asked, ask, missing, parse, stopped};
use super::door::Caller;
use super::wire::{BlobStored, Letters, Octets};
use crate::node::letters::{self, is_concerned};

/// Whose letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct To {
    /// The account that they are for.
    to: Address,
}

/// Letters of a deal to one account. They are blobs; what they say is sealed to that account.
#[utoipa::path(
    get, path = "/v1/deals/{id}/letters", tag = "blobs", operation_id = "letters",
    params(("id" = DealId, Path, description = "The deal's number."), To),
    responses((status = OK, description = "Their content addresses; none if there are none.", body = Letters))
)]
pub(super) async fn letters(
    State(server): State<Server>,
    Path(id): Path<String>,
    Asked(query): Asked<To>,
) -> Answer<Letters> {
    let deal: DealId = parse("deal", &id)?;
    let found = tokio::task::spawn_blocking(move || server.letters.of(deal, &query.to)).await;
    Ok(Json(Letters { deal, letters: found.map_err(stopped)? }))
}

/// Leaves a signed letter. Only who has a part in the deal may write, and only to others who have one or to validators.
#[utoipa::path(
    post, path = "/v1/deals/{id}/letters", tag = "blobs", operation_id = "put_letter",
    params(("id" = DealId, Path, description = "The deal's number.")),
    request_body(content = Octets, content_type = "application/octet-stream", description = "Canonical bytes of the signed letter, at most 256 KiB."),
    responses((status = OK, description = "It is kept.", body = BlobStored))
)]
pub(super) async fn put_letter(
    State(server): State<Server>,
    Caller(by): Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<BlobStored> {
    let id: DealId = parse("deal", &id)?;
    let found = ask(&server, move |view| {
        let state = view.chain.state();
        let validators = state.validators().iter().map(|key| Address::from(*key));
        Some((state.chain_id(), state.market().deal(id)?.clone(), validators.collect::<Vec<_>>()))
    });
    let (chain_id, deal, validators) = found.await?.ok_or_else(|| missing("deal", id))?;
    let kept = server.letters.clone();
    let put = tokio::task::spawn_blocking(move || {
        let letter = letters::Letters::check(&body, chain_id, id)?;
        let (from, to) = (letter.body.from, letter.body.to);
        if !is_concerned(&deal, &from) {
            let message = "only who has a part in a deal writes letters in it";
            return Err(Refusal::new("not-yours", "from", "a party of the deal", from, message));
        }
        if !is_concerned(&deal, &to) && !validators.contains(&to) {
            let message = "nobody else can execute anything of the deal";
            let limit = "a party of the deal or a validator";
            return Err(Refusal::new("not-yours", "to", limit, to, message));
        }
        kept.put(&letter, by)
    });
    Ok(Json(BlobStored { hash: put.await.map_err(stopped)?? }))
}
