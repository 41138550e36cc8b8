//! Books, orders, deals: one at a time.

use axum::Json;
use axum::extract::{Path, State};
use gongsuan_market::{BookView, Deal, Explanation, Order};
use gongsuan_types::order::Unit;
use gongsuan_types::{DealId, OrderId};

use super::Server;
use super::answer::{Answer, ask, missing, parse};

async fn book_of(server: &Server, class: &str) -> Answer<BookView> {
    let class = class.parse()?;
    Ok(Json(ask(server, move |view| view.chain.state().market().book(class)).await?))
}

/// The book of a class, by price.
#[utoipa::path(
    get, path = "/v1/book/{unit}/{arch}", tag = "market",
    params(("unit" = Unit, Path, description = "What is sold."), ("arch" = String, Path, description = "wasm, x86_64 or aarch64.", example = "wasm")),
    responses((status = OK, description = "Depth on both sides.", body = BookView))
)]
pub(super) async fn book(
    State(server): State<Server>,
    Path((unit, arch)): Path<(String, String)>,
) -> Answer<BookView> {
    book_of(&server, &format!("{unit}/{arch}")).await
}

/// The book of a class with a model of graphics processor.
#[utoipa::path(
    get, path = "/v1/book/{unit}/{arch}/{gpu}", tag = "market", operation_id = "gpu_book",
    params(
        ("unit" = Unit, Path, description = "What is sold."),
        ("arch" = String, Path, description = "wasm, x86_64 or aarch64.", example = "x86_64"),
        ("gpu" = String, Path, description = "The model, such as gpu7.", example = "gpu7"),
    ),
    responses((status = OK, description = "Depth on both sides.", body = BookView))
)]
pub(super) async fn gpu_book(
    State(server): State<Server>,
    Path((unit, arch, gpu)): Path<(String, String, String)>,
) -> Answer<BookView> {
    book_of(&server, &format!("{unit}/{arch}/{gpu}")).await
}

/// An order.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "market", params(("id" = OrderId, Path, description = "Its number.")),
    responses((status = OK, description = "The order.", body = Order))
)]
pub(super) async fn order(State(server): State<Server>, Path(id): Path<String>) -> Answer<Order> {
    let id: OrderId = parse("order", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().order(id).cloned());
    found.await?.map(Json).ok_or_else(|| missing("order", id))
}

/// Why an order does not match, and what would make it match.
#[utoipa::path(
    get, path = "/v1/orders/{id}/why", tag = "market", params(("id" = OrderId, Path, description = "Its number.")),
    responses((status = OK, description = "By constraint, and in a sentence.", body = Explanation))
)]
pub(super) async fn why(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<Explanation> {
    let id: OrderId = parse("order", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().explain(id));
    found.await?.map(Json).ok_or_else(|| missing("order", id))
}

/// A deal.
#[utoipa::path(
    get, path = "/v1/deals/{id}", tag = "market", params(("id" = DealId, Path, description = "Its number.")),
    responses((status = OK, description = "The deal.", body = Deal))
)]
pub(super) async fn deal(State(server): State<Server>, Path(id): Path<String>) -> Answer<Deal> {
    let id: DealId = parse("deal", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().deal(id).cloned());
    found.await?.map(Json).ok_or_else(|| missing("deal", id))
}
