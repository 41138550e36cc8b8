//! Uploads that can be continued: see [`crate::node::pieces`].

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use gongsuan_types::{Hash, Refusal};

use super::answer::{Answer, parse, stopped};
use super::door::Caller;
use super::wire::{Join, Joined, Octets, PieceStored};
use crate::node::pieces::Pieces;

/// Keeps a piece of a blob that is on its way.
#[utoipa::path(
    put, path = "/v1/pieces/{hash}", tag = "blobs", params(("hash" = Hash, Path, description = "SHA-256 of the piece.")),
    request_body(content = Octets, content_type = "application/octet-stream", description = "At most 1 MiB."),
    responses((status = OK, description = "It is kept until its blob is joined, an hour at least.", body = PieceStored))
)]
pub(super) async fn put_piece(
    State(pieces): State<Arc<Pieces>>,
    Caller(by): Caller,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<PieceStored> {
    let hash: Hash = parse("hash", &hash)?;
    let put = tokio::task::spawn_blocking(move || pieces.put(&body, hash, by)).await;
    put.map_err(stopped)??;
    Ok(Json(PieceStored { piece: hash }))
}

/// Joins pieces to a blob, or says which of them are missing: bring those and ask again.
#[utoipa::path(
    post, path = "/v1/blobs/{hash}/join", tag = "blobs", operation_id = "join_blob",
    params(("hash" = Hash, Path, description = "SHA-256 of the whole.")), request_body(content = Join, description = "All pieces, in order."),
    responses((status = OK, description = "What is missing; nothing, once the blob is stored.", body = Joined))
)]
pub(super) async fn join(
    State(pieces): State<Arc<Pieces>>,
    Caller(by): Caller,
    Path(hash): Path<String>,
    body: Bytes,
) -> Answer<Joined> {
    let blob: Hash = parse("hash", &hash)?;
    let join: Join = serde_json::from_slice(&body).map_err(|error| {
        let got = format!("{} bytes", body.len());
        Refusal::new("malformed", "body", "{\"pieces\": [\"…\"]}", got, error.to_string())
    })?;
    let joined = tokio::task::spawn_blocking(move || pieces.join(blob, &join.pieces, by)).await;
    Ok(Json(Joined { missing: joined.map_err(stopped)?? }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::extract::FromRef;
    use axum::routing::{get, post, put};

    use super::*;
    use crate::client::Client;
    use crate::node::blobs::Blobs;
    use crate::node::pieces::PIECE_BYTES_MAX;

    #[derive(Clone)]
    struct Files {
        blobs: Arc<Blobs>,
        pieces: Arc<Pieces>,
    }

    impl FromRef<Files> for Arc<Blobs> {
        fn from_ref(files: &Files) -> Self {
            files.blobs.clone()
        }
    }

    impl FromRef<Files> for Arc<Pieces> {
        fn from_ref(files: &Files) -> Self {
            files.pieces.clone()
        }
    }

    /// A server of blobs and nothing else.
    fn serve(files: Files) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = axum::Router::new()
            .route("/v1/blobs/{hash}", get(crate::api::blobs::get_blob))
            .route("/v1/blobs/{hash}/join", post(join))
            .route("/v1/pieces/{hash}", put(put_piece))
            .with_state(files);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        address
    }

    /// A line that breaks: the first connections are cut after so many bytes in either direction.
    struct Line {
        address: SocketAddr,
        up: Arc<AtomicUsize>,
        down: Arc<AtomicUsize>,
    }

    fn pass(mut from: TcpStream, mut to: TcpStream, room: Option<usize>, count: &AtomicUsize) {
        let (mut left, mut buffer) = (room.unwrap_or(usize::MAX), vec![0; 16 << 10]);
        while let Ok(got @ 1..) = from.read(&mut buffer) {
            let part = got.min(left);
            count.fetch_add(part, Ordering::SeqCst);
            left -= part;
            if to.write_all(&buffer[..part]).is_err() || left == 0 {
                break;
            }
        }
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    }

    fn line(server: SocketAddr, broken: usize, room: usize) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let [up, down] = [(), ()].map(|()| Arc::new(AtomicUsize::new(0)));
        let counts = (up.clone(), down.clone());
        std::thread::spawn(move || {
            for (number, near) in listener.incoming().map_while(Result::ok).enumerate() {
                let room = (number < broken).then_some(room);
                let far = TcpStream::connect(server).unwrap();
                let (back, front) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                let (up, down) = counts.clone();
                std::thread::spawn(move || pass(near, far, room, &up));
                std::thread::spawn(move || pass(back, front, room, &down));
            }
        });
        Line { address, up, down }
    }

    /// What does not compress into one piece and differs everywhere.
    fn large() -> Vec<u8> {
        let part = |n: u32| Hash::of("large", &n.to_le_bytes()).0;
        (0..u32::try_from(6 * PIECE_BYTES_MAX / 32).unwrap())
            .flat_map(part)
            .chain([1, 2, 3])
            .collect()
    }

    #[test]
    fn transfers_over_a_line_that_breaks_go_on_where_they_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
        let pieces = Pieces::open(dir.path().join("pieces"), blobs.clone()).unwrap();
        let server = serve(Files { blobs: blobs.clone(), pieces: Arc::new(pieces) });
        let bytes = large();
        let (broken, room) = (3, PIECE_BYTES_MAX * 3 / 2);
        let slack = 64 << 10;

        let line_up = line(server, broken, room);
        let client = Client::new([format!("http://{}", line_up.address)]);
        let hash = client.put_blob(&bytes).unwrap();
        assert_eq!(blobs.get(&hash).unwrap(), bytes);
        let sent = line_up.up.load(Ordering::SeqCst);
        // Each break costs the piece that was on its way, and no other.
        assert!(sent <= bytes.len() + broken * PIECE_BYTES_MAX + slack, "{sent}");
        assert!(sent > bytes.len() + PIECE_BYTES_MAX / 4, "the line did break: {sent}");

        let line_down = line(server, broken, room);
        let client = Client::new([format!("http://{}", line_down.address)]);
        assert_eq!(client.blob(hash).unwrap(), bytes);
        let got = line_down.down.load(Ordering::SeqCst);
        assert!(got <= bytes.len() + PIECE_BYTES_MAX, "what came is not fetched again: {got}");
        assert!(got >= bytes.len());
    }

    #[test]
    fn a_line_that_never_holds_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
        let pieces = Pieces::open(dir.path().join("pieces"), blobs.clone()).unwrap();
        let server = serve(Files { blobs, pieces: Arc::new(pieces) });
        // Less than a piece passes on each connection, for ever.
        let line = line(server, usize::MAX, PIECE_BYTES_MAX / 2);
        let client = Client::new([format!("http://{}", line.address)]);
        let refused = client.put_blob(&large()).unwrap_err().to_string();
        assert!(refused.contains("no node answers"), "{refused}");
    }
}
