//! Answers, and the one form of every error.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gongsuan_types::Refusal;
use serde::de::DeserializeOwned;

use super::Server;
use super::wire::ErrorBody;
use crate::node::View;

pub(super) struct ApiError(pub(super) Refusal);

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
            "bad-range" => StatusCode::RANGE_NOT_SATISFIABLE,
            "stopped" | "disk" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(ErrorBody(self.0))).into_response()
    }
}

pub(super) fn missing(field: &'static str, got: impl std::fmt::Display) -> ApiError {
    let message = format!("there is no such {field}");
    ApiError(Refusal::new("not-found", field, "one of this chain", got.to_string(), message))
}

/// What a worker of the API could not answer.
pub(super) fn stopped(error: impl std::fmt::Display) -> ApiError {
    ApiError(Refusal::new("stopped", "node", "an answer", "none", error.to_string()))
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
    server.node.ask(question).await.map_err(ApiError)
}

/// A query string; one that does not fit is a refusal that says why.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let got: String = parts.uri.query().unwrap_or("").chars().take(100).collect();
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(query)| Self(query)).map_err(|rejection| {
            let limit = "the parameters of /openapi.json";
            Refusal::new("malformed", "query", limit, got, rejection.body_text()).into()
        })
    }
}

/// Gives errors that were made below the handlers (a method that is not there, a body too long, a deadline passed) the form of all others.
pub(super) async fn in_form(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_ours = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (code, limit, message) = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            ("bad-method", "see the header Allow", "no such method here")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("too-long", "the bound of this request", "the body is too long")
        }
        StatusCode::REQUEST_TIMEOUT => {
            ("timeout", "the deadline of this request", "not answered in time")
        }
        _ => ("malformed", "a request as /openapi.json describes it", "the request cannot be read"),
    };
    let body = ErrorBody(Refusal::new(code, "request", limit, status, message));
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let text = serde_json::to_vec(&body).unwrap_or_default();
    Response::from_parts(parts, text.into())
}
