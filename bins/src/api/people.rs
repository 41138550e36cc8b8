//! Accounts, roles, providers.

use axum::Json;
use axum::extract::{Path, State};
use gongsuan_ledger::Role;
use gongsuan_ledger::identity::Attestation;
use gongsuan_types::{Address, TimeMs};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Server;
use super::answer::{Answer, Asked, ask, parse};
use super::lists::{ROWS_MAX, rows as checked_rows};
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

/// A page of a list by address.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Rows, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only what comes after this address: the last one of the page before.
    after: Option<Address>,
}

/// Who holds a role at a time, by address.
fn holders<'a>(
    attested: impl Iterator<Item = (&'a (Address, Role), &'a Attestation)>,
    role: Role,
    now: TimeMs,
    after: Option<Address>,
) -> impl Iterator<Item = (Address, TimeMs)> {
    attested
        .filter(move |((_, held), attestation)| *held == role && attestation.expires_at > now)
        .map(|((address, _), attestation)| (*address, attestation.expires_at))
        .filter(move |(address, _)| after.is_none_or(|after| *address > after))
}

/// Vetted providers with their reputation: those whose attestation holds now. More than one answer holds come page by page.
#[utoipa::path(get, path = "/v1/providers", tag = "accounts", params(After), responses((status = OK, description = "By address.", body = Providers)))]
pub(super) async fn providers(
    State(server): State<Server>,
    Asked(page): Asked<After>,
) -> Answer<Providers> {
    let rows = checked_rows(page.limit)?;
    let providers = ask(&server, move |view| {
        let state = view.chain.state();
        let attested = state.accounts().attestations();
        holders(attested, Role::Provider, state.time(), page.after)
            .take(rows)
            .map(|(address, vetted_until)| ProviderRow {
                address,
                vetted_until,
                reputation: state.market().reputation(&address),
            })
            .collect()
    });
    Ok(Json(Providers { providers: providers.await? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_role_is_listed_as_long_as_it_holds_and_page_by_page() {
        let attestation = |until| Attestation {
            issuer: Address([9; 32]),
            expires_at: TimeMs(until),
            attributes: None,
        };
        let entry = |n: u8, role, until| ((Address([n; 32]), role), attestation(until));
        let all = [
            entry(1, Role::Provider, 200),
            entry(2, Role::Auditor, 200),
            entry(2, Role::Provider, 100),
            entry(3, Role::Provider, 101),
        ];
        let found = |now, after: Option<u8>| {
            let after = after.map(|n| Address([n; 32]));
            let attested = all.iter().map(|(key, attestation)| (key, attestation));
            let found = holders(attested, Role::Provider, TimeMs(now), after);
            found.map(|(address, _)| address.0[0]).collect::<Vec<u8>>()
        };
        assert_eq!(found(99, None), [1, 2, 3]);
        assert_eq!(found(100, None), [1, 3], "an attestation ends at its time");
        assert_eq!(found(100, Some(1)), [3]);
        assert!(found(100, Some(3)).is_empty());
    }
}
