//! The routes: what is not described cannot be registered.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{in_form, missing};
use super::{Server, blobs, chain, door, events, explorer, histories, letters, lists, market};
use super::{metrics, openapi, people, pieces};

/// Bytes of a request's body, at most, but for blobs.
const BODY_BYTES_MAX: usize = 256 << 10;
/// A request must be answered by then, but for waits and streams.
const DEADLINE: Duration = Duration::from_secs(5);

/// All routes with their descriptions.
fn described(limits: &door::Limits) -> OpenApiRouter<Server> {
    let plain = OpenApiRouter::new()
        .routes(routes!(chain::status))
        .routes(routes!(chain::tx))
        .routes(routes!(chain::blocks))
        .routes(routes!(chain::block))
        .routes(routes!(chain::latest))
        .routes(routes!(chain::genesis))
        .routes(routes!(chain::validators))
        .routes(routes!(chain::supply))
        .routes(routes!(chain::proof))
        .routes(routes!(people::account))
        .routes(routes!(people::identities))
        .routes(routes!(people::identity))
        .routes(routes!(people::providers))
        .routes(routes!(histories::history))
        .routes(routes!(histories::trail))
        .routes(routes!(market::book))
        .routes(routes!(market::gpu_book))
        .routes(routes!(market::order))
        .routes(routes!(market::why))
        .routes(routes!(market::deal))
        .routes(routes!(lists::orders))
        .routes(routes!(lists::deals))
        .routes(routes!(lists::anomalies))
        .routes(routes!(lists::receipts))
        .routes(routes!(letters::letters, letters::put_letter))
        .routes(routes!(lists::classes))
        .routes(routes!(lists::trades))
        .routes(routes!(lists::gpu_trades))
        .routes(routes!(metrics::metrics))
        .routes(routes!(chain::healthz))
        .routes(routes!(chain::readyz))
        .layer(within(DEADLINE));
    let blobs = OpenApiRouter::new()
        .routes(routes!(blobs::get_blob, blobs::put_blob, blobs::post_blob))
        .layer(DefaultBodyLimit::max(crate::node::blobs::BLOB_BYTES_MAX + 1))
        .routes(routes!(pieces::put_piece))
        .routes(routes!(pieces::join));
    let slow = OpenApiRouter::new()
        .routes(routes!(chain::submit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(blobs)
        .layer(within(limits.answer_within));
    OpenApiRouter::new().routes(routes!(events::listen)).merge(slow).merge(plain)
}

/// The description of the API.
pub(super) fn description() -> OpenApi {
    openapi::complete(described(&door::Limits::default()).into_openapi())
}

pub(super) fn router(server: Server, limits: &door::Limits) -> Router {
    let (routes, api) = described(limits).split_for_parts();
    let text: &'static str = openapi::to_json(&openapi::complete(api)).leak();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    routes
        .route("/openapi.json", axum::routing::get(move || async move { (kind, text) }))
        .fallback(fallback)
        .with_state(server)
        .layer(map_response(in_form))
}

/// Ends a request that takes longer, its body included.
fn within(limit: Duration) -> tower_http::timeout::TimeoutLayer {
    tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limit)
}

/// The explorer's files; anything else is not here.
async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let reads = [Method::GET, Method::HEAD].contains(&method);
    let file = reads.then(|| explorer::file(&uri, &headers)).flatten();
    file.unwrap_or_else(|| missing("endpoint", uri.path()).into_response())
}
