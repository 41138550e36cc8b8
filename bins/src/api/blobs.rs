//! Blobs by content address, whole or in parts: a download that broke off goes on where it stopped, and whoever reads checks the hash.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gongsuan_types::{ContentHasher, Hash, Refusal};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Server;
use super::answer::{Answer, ApiError, missing, parse, stopped};
use super::door::Caller;
use super::wire::{BlobStored, Octets};
use crate::node::blobs::Blobs;

/// Bytes read and sent at a time.
const PIECE_BYTES: usize = 64 << 10;

/// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH` of a blob with so many bytes, as first and last byte. Several ranges, or another unit,
/// are answered as if nothing had been asked for, which the standard allows.
fn range(text: &str, len: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let outside = || {
        let message = "the range is outside the blob";
        Err(Refusal::new("bad-range", "range", format!("bytes 0 to {len}"), text, message).into())
    };
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(length)) if first.is_empty() && length > 0 => {
            (len.saturating_sub(length), u64::MAX)
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
    let files = Arc::clone(&blobs);
    let found = tokio::task::spawn_blocking(move || files.file(&hash)).await;
    let (file, len) = found.map_err(stopped)?.ok_or_else(|| missing("blob", hash))?;
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A condition that names other bytes: all of these are sent.
    let is_same = headers.get(header::IF_RANGE).is_none_or(|condition| *condition == tag);
    let part = match asked.filter(|_| is_same) {
        Some(text) => range(text, len)?,
        None => None,
    };
    let kind = HeaderValue::from_static("application/octet-stream");
    let mut common = HeaderMap::from_iter([
        (header::CONTENT_TYPE, kind),
        (header::ETAG, tag),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ]);
    let (status, first, count) = match part {
        None => (StatusCode::OK, 0, len),
        Some((first, last)) => {
            let place = format!("bytes {first}-{last}/{len}");
            let place = HeaderValue::try_from(place).map_err(stopped)?;
            common.insert(header::CONTENT_RANGE, place);
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
    };
    common.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
    // The hash is only of the whole.
    let hasher = (count == len).then(ContentHasher::default);
    let download = Download { blobs, hash, file, at: first, left: count, hasher };
    Ok((status, common, Body::from_stream(download.pieces())).into_response())
}

/// A blob, or a part of it, on its way to a reader.
struct Download {
    blobs: Arc<Blobs>,
    hash: Hash,
    file: File,
    at: u64,
    left: u64,
    /// Of what was read so far, if all of it will be.
    hasher: Option<ContentHasher>,
}

impl Download {
    /// Reads the next piece. Of a whole that turns out to be damaged the last piece is not handed out.
    fn next(&mut self) -> io::Result<Bytes> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut piece = vec![0; len];
        self.file.seek(io::SeekFrom::Start(self.at))?;
        self.file.read_exact(&mut piece)?;
        self.at += len as u64;
        self.left -= len as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        if self.left == 0 && self.hasher.take().is_some_and(|all| all.finish() != self.hash) {
            self.blobs.doubt(&self.hash);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the blob is damaged"));
        }
        Ok(piece.into())
    }

    /// The pieces, each read when the reader has taken the one before: so a reader who takes nothing holds two of them, and the others wait on the disk.
    fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> {
        let (out, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut download = self;
            while download.left > 0 {
                // A reader who has gone ends it.
                let Ok(place) = out.reserve().await else { return };
                let read = tokio::task::spawn_blocking(move || {
                    let piece = download.next();
                    (download, piece)
                });
                let Ok((rest, piece)) = read.await else { return };
                let is_over = piece.is_err();
                place.send(piece);
                if is_over {
                    return;
                }
                download = rest;
            }
        });
        ReceiverStream::new(pieces)
    }
}

async fn store(server: Server, by: Option<IpAddr>, hash: &str, body: Bytes) -> Answer<BlobStored> {
    let hash: Hash = parse("hash", hash)?;
    let put = tokio::task::spawn_blocking(move || server.blobs.put(&body, Some(hash), by)).await;
    Ok(Json(BlobStored { hash: put.map_err(stopped)?? }))
}

/// Stores a blob under its hash. Twice is the same as once.
///
/// It is kept for ten minutes at least, and as long as an open deal or a waiting order names it; after that, as long as there is room.
#[utoipa::path(
    put, path = "/v1/blobs/{hash}", tag = "blobs", params(("hash" = Hash, Path, description = "SHA-256 of the bytes.")),
    request_body(content = Octets, content_type = "application/octet-stream", description = "At most 16 MiB."),
    responses((status = OK, description = "It is stored.", body = BlobStored))
)]
pub(super) async fn put_blob(
    State(server): State<Server>,
    Caller(by): Caller,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<BlobStored> {
    store(server, by, &hash, body).await
}

/// The same as `PUT`, for tools that only know `POST`.
#[utoipa::path(
    post, path = "/v1/blobs/{hash}", tag = "blobs", params(("hash" = Hash, Path, description = "SHA-256 of the bytes.")),
    request_body(content = Octets, content_type = "application/octet-stream", description = "At most 16 MiB."),
    responses((status = OK, description = "It is stored.", body = BlobStored))
)]
pub(super) async fn post_blob(
    State(server): State<Server>,
    Caller(by): Caller,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<BlobStored> {
    store(server, by, &hash, body).await
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    /// A blob of many pieces, and a way to ask for it.
    struct Shelf {
        dir: tempfile::TempDir,
        blobs: Arc<Blobs>,
        hash: Hash,
    }

    const LEN: u64 = 40 * PIECE_BYTES as u64 + 7;

    impl Shelf {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let blobs = Arc::new(Blobs::open(dir.path().to_owned()).unwrap());
            let bytes = vec![7; usize::try_from(LEN).unwrap()];
            let hash = blobs.put(&bytes, None, None).unwrap();
            Self { dir, blobs, hash }
        }

        fn path(&self) -> std::path::PathBuf {
            self.dir.path().join(self.hash.to_string())
        }

        async fn ask(&self, headers: &[(header::HeaderName, &str)]) -> Response {
            let headers =
                headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            let (state, path) = (State(self.blobs.clone()), Path(self.hash.to_string()));
            let answer = get_blob(state, path, headers.collect()).await;
            answer.unwrap_or_else(IntoResponse::into_response)
        }
    }

    /// Bytes of a body, up to its end or to where it breaks off.
    async fn read(response: Response) -> (usize, bool) {
        let mut pieces = response.into_body().into_data_stream();
        let mut len = 0;
        while let Some(piece) = pieces.next().await {
            let Ok(piece) = piece else { return (len, false) };
            assert!(piece.len() <= PIECE_BYTES);
            len += piece.len();
        }
        (len, true)
    }

    #[tokio::test]
    async fn a_blob_is_read_as_fast_as_its_reader_takes_it() {
        let shelf = Shelf::new();
        let response = shelf.ask(&[]).await;
        assert_eq!(response.headers()[header::CONTENT_LENGTH], LEN.to_string());
        let mut pieces = response.into_body().into_data_stream();
        pieces.next().await.unwrap().unwrap();
        // Time enough to read everything, for who would.
        for _ in 0..500 {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        // What has not been read by now is gone.
        File::options().write(true).open(shelf.path()).unwrap().set_len(0).unwrap();
        let mut taken = 1;
        while let Some(Ok(_)) = pieces.next().await {
            taken += 1;
        }
        assert!(taken <= 4, "{taken} pieces were read ahead");
        assert_eq!(read(Shelf::new().ask(&[]).await).await, (usize::try_from(LEN).unwrap(), true));
    }

    #[tokio::test]
    async fn a_part_or_a_name_costs_no_look_at_the_whole_and_damage_is_seen_in_the_whole() {
        let shelf = Shelf::new();
        let mut damaged = std::fs::read(shelf.path()).unwrap();
        damaged[0] ^= 1;
        std::fs::write(shelf.path(), damaged).unwrap();
        let tag = format!("\"{}\"", shelf.hash);
        let same = shelf.ask(&[(header::IF_NONE_MATCH, &tag)]).await;
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        let part = shelf.ask(&[(header::RANGE, "bytes=3-3")]).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.headers()[header::CONTENT_RANGE], format!("bytes 3-3/{LEN}"));
        assert_eq!(read(part).await, (1, true));
        assert!(shelf.path().exists(), "nobody has looked at all of it");
        // The form in which clients ask for everything.
        let (len, whole) = read(shelf.ask(&[(header::RANGE, "bytes=0-")]).await).await;
        assert!(!whole && len < usize::try_from(LEN).unwrap(), "{len} bytes of a damaged blob");
        assert!(!shelf.path().exists());
        assert_eq!(shelf.ask(&[]).await.status(), StatusCode::NOT_FOUND);
    }

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
