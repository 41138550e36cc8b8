//! Blobs by content address, whole or in parts: a download that broke off goes on where it stopped, and whoever reads checks the hash.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gongsuan_types::{Hash, Refusal};

use super::Server;
use super::answer::{Answer, ApiError, missing, parse, stopped};
use super::wire::{BlobStored, Octets};
use crate::node::blobs::Blobs;

/// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH` of a blob with so many bytes, as first and last byte. Several ranges, or another unit,
/// are answered as if nothing had been asked for, which the standard allows.
fn range(text: &str, len: usize) -> Result<Option<(usize, usize)>, ApiError> {
    let outside = || {
        let message = "the range is outside the blob";
        Err(Refusal::new("bad-range", "range", format!("bytes 0 to {len}"), text, message).into())
    };
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let number = |text: &str| text.parse::<usize>().ok();
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.is_empty() => (first, usize::MAX),
        (None, Some(length)) if first.is_empty() && length > 0 => {
            (len.saturating_sub(length), usize::MAX)
        }
        (None, Some(0)) if first.is_empty() => return outside(),
        _ => return Ok(None),
    };
    if first >= len { outside() } else { Ok(Some((first, last.min(len - 1)))) }
}

/// A blob, or with `Range: bytes=FIRST-LAST` a part of it.
#[utoipa::path(
    get, path = "/v1/blobs/{hash}", tag = "blobs",
    params(("hash" = Hash, Path, description = "SHA-256 of the bytes."), ("range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`.", example = "bytes=0-1023")),
    responses(
        (status = OK, description = "All bytes. Whoever reads them checks the hash.", body = Octets, content_type = "application/octet-stream"),
        (status = PARTIAL_CONTENT, description = "The part asked for; `Content-Range` says which.", body = Octets, content_type = "application/octet-stream"),
        (status = NOT_MODIFIED, description = "`If-None-Match` names this hash: bytes under a hash never change.")
    )
)]
pub(super) async fn get_blob(
    State(blobs): State<Arc<Blobs>>,
    Path(hash): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let hash: Hash = parse("hash", &hash)?;
    let tag = HeaderValue::try_from(format!("\"{hash}\"")).map_err(stopped)?;
    let found = tokio::task::spawn_blocking(move || blobs.get(&hash)).await;
    let bytes = Bytes::from(found.ok().flatten().ok_or_else(|| missing("blob", hash))?);
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A condition that names other bytes: all of these are sent.
    let is_same = headers.get(header::IF_RANGE).is_none_or(|condition| *condition == tag);
    let part = match asked.filter(|_| is_same) {
        Some(text) => range(text, bytes.len())?,
        None => None,
    };
    let kind = HeaderValue::from_static("application/octet-stream");
    let common = [
        (header::CONTENT_TYPE, kind),
        (header::ETAG, tag),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    let Some((first, last)) = part else { return Ok((common, bytes).into_response()) };
    let place = format!("bytes {first}-{last}/{}", bytes.len());
    let place = [(header::CONTENT_RANGE, HeaderValue::try_from(place).map_err(stopped)?)];
    let part = bytes.slice(first..=last);
    Ok((StatusCode::PARTIAL_CONTENT, common, place, part).into_response())
}

async fn store(server: Server, hash: &str, body: Bytes) -> Answer<BlobStored> {
    let hash: Hash = parse("hash", hash)?;
    let put = tokio::task::spawn_blocking(move || server.blobs.put(&body, Some(hash))).await;
    Ok(Json(BlobStored { hash: put.map_err(stopped)?? }))
}

/// Stores a blob under its hash. Twice is the same as once.
#[utoipa::path(
    put, path = "/v1/blobs/{hash}", tag = "blobs", params(("hash" = Hash, Path, description = "SHA-256 of the bytes.")),
    request_body(content = Octets, content_type = "application/octet-stream", description = "At most 16 MiB."),
    responses((status = OK, description = "It is stored.", body = BlobStored))
)]
pub(super) async fn put_blob(
    State(server): State<Server>,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<BlobStored> {
    store(server, &hash, body).await
}

/// The same as `PUT`, for tools that only know `POST`.
#[utoipa::path(
    post, path = "/v1/blobs/{hash}", tag = "blobs", params(("hash" = Hash, Path, description = "SHA-256 of the bytes.")),
    request_body(content = Octets, content_type = "application/octet-stream", description = "At most 16 MiB."),
    responses((status = OK, description = "It is stored.", body = BlobStored))
)]
pub(super) async fn post_blob(
    State(server): State<Server>,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<BlobStored> {
    store(server, &hash, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let read = |text, len| range(text, len).map_err(|error| error.0.code.into_owned());
        assert_eq!(read("bytes=0-9", 100), Ok(Some((0, 9))));
        assert_eq!(read("bytes=90-", 100), Ok(Some((90, 99))));
        assert_eq!(read("bytes=90-1000", 100), Ok(Some((90, 99))));
        assert_eq!(read("bytes=-10", 100), Ok(Some((90, 99))));
        assert_eq!(read("bytes=-1000", 100), Ok(Some((0, 99))));
        for ignored in ["", "items=0-1", "bytes=5-1", "bytes=a-b", "bytes=-", "bytes=0-1,3-4"] {
            assert_eq!(read(ignored, 100), Ok(None), "{ignored}");
        }
        for outside in ["bytes=100-", "bytes=-0"] {
            assert_eq!(read(outside, 100), Err("bad-range".into()), "{outside}");
        }
        assert_eq!(read("bytes=0-", 0), Err("bad-range".into()));
    }
}
