//! Accounts, roles, providers.

use axum::Json;
use axum::extract::{Path, State};
use gongsuan_ledger::Role;
use gongsuan_types::Address;

use super::Server;
use super::answer::{Answer, ask, parse};
use super::lists::ROWS_MAX;
use super::wire::{AccountView, Identities, IdentityRow, ProviderRow, Providers};
use crate::node::View;

/// An account. One that nobody has paid yet has nothing.
#[utoipa::path(
    get, path = "/v1/accounts/{address}", tag = "accounts", params(("address" = Address, Path, description = "Whose.")),
    responses((status = OK, description = "The account.", body = AccountView))
)]
pub(super) async fn account(
    State(server): State<Server>,
    Path(text): Path<String>,
) -> Answer<AccountView> {
    let address: Address = parse("address", &text)?;
    let view = ask(&server, move |view| {
        let state = view.chain.state();
        let account = state.accounts().account(&address);
        AccountView {
            address,
            balance: account.balance,
            held: state.accounts().held_of(&address),
            nonce: account.nonce,
            nonce_next: view.pool.next_nonce(&address, state),
            roles: rows(view, Some(address)).into_iter().map(|row| row.role).collect(),
            reputation: state.market().reputation(&address),
            pledge: state.market().pledge_of(&address).amount,
            encryption_key: state.accounts().encryption_key(&address),
        }
    });
    Ok(Json(view.await?))
}

/// Roles that hold now, of everybody or of one account.
fn rows(view: &View<'_>, of: Option<Address>) -> Vec<IdentityRow> {
    let state = view.chain.state();
    let attested = state.accounts().attestations();
    attested
        .filter(|(_, attestation)| attestation.expires_at > state.time())
        .filter(|((address, _), _)| of.is_none_or(|of| of == *address))
        .map(|((address, role), attestation)| IdentityRow {
            address: *address,
            role: role.to_string(),
            issuer: attestation.issuer,
            expires_at: attestation.expires_at,
        })
        .take(ROWS_MAX)
        .collect()
}

/// Who holds which role.
#[utoipa::path(get, path = "/v1/identities", tag = "accounts", responses((status = OK, description = "The first 1,000.", body = Identities)))]
pub(super) async fn identities(State(server): State<Server>) -> Answer<Identities> {
    Ok(Json(Identities { identities: ask(&server, |view| rows(view, None)).await? }))
}

/// Which roles an account holds, who attested them and until when.
#[utoipa::path(
    get, path = "/v1/identities/{address}", tag = "accounts", params(("address" = Address, Path, description = "Whose.")),
    responses((status = OK, description = "Its roles; none for a stranger.", body = Identities))
)]
pub(super) async fn identity(
    State(server): State<Server>,
    Path(text): Path<String>,
) -> Answer<Identities> {
    let address: Address = parse("address", &text)?;
    let identities = ask(&server, move |view| rows(view, Some(address))).await?;
    Ok(Json(Identities { identities }))
}

/// Vetted providers with their reputation.
#[utoipa::path(get, path = "/v1/providers", tag = "accounts", responses((status = OK, description = "By address.", body = Providers)))]
pub(super) async fn providers(State(server): State<Server>) -> Answer<Providers> {
    let providers = ask(&server, |view| {
        let state = view.chain.state();
        let attested = state.accounts().attestations();
        attested
            .filter(|((_, role), _)| *role == Role::Provider)
            .map(|((address, _), attestation)| ProviderRow {
                address: *address,
                vetted_until: attestation.expires_at,
                reputation: state.market().reputation(address),
            })
            .collect()
    });
    Ok(Json(Providers { providers: providers.await? }))
}
