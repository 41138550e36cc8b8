//! Who may come in, how many at a time, how fast.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gongsuan_types::Refusal;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::answer::ApiError;
use super::patient::Patient;

/// What bounds the API's clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at one time.
    pub(super) connections: usize,
    /// Connections of one address at one time.
    pub(super) per_address: usize,
    /// A request's head must be there after this; a connection without a request ends after it.
    pub(super) head_within: Duration,
    /// A request must be read and answered within this, but for event streams.
    pub(super) answer_within: Duration,
    /// A reader who takes nothing of what is sent for this long is cut off, listeners as well.
    pub(super) take_within: Duration,
    /// Requests of one address in a second, in the long run.
    pub(super) requests_per_second: u32,
    /// Requests of one address at once.
    pub(super) requests_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_address: 256,
            head_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(60),
            take_within: Duration::from_secs(30),
            requests_per_second: 5_000,
            requests_burst: 10_000,
        }
    }
}

/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request, at most.
const HEADERS_MAX: usize = 64;
/// Addresses remembered, at most; beyond, those that have been quiet are forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// One address.
#[derive(Debug)]
struct Guest {
    connections: usize,
    /// Requests that it may still make, in thousandths.
    credit: u64,
    at: Instant,
}

/// The guests, by address.
#[derive(Debug)]
pub(super) struct Door {
    limits: Limits,
    guests: Mutex<HashMap<IpAddr, Guest>>,
}

/// A connection's place among those of its address.
struct Place {
    door: Arc<Door>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.with(self.address, |guest, _| guest.connections -= 1);
    }
}

impl Door {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, guests: Mutex::default() })
    }

    fn with<T>(&self, address: IpAddr, act: impl FnOnce(&mut Guest, &Limits) -> T) -> T {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let full = u64::from(self.limits.requests_burst) * 1_000;
        if guests.len() >= ADDRESSES_MAX {
            let refilled = self.limits.refill(full);
            guests.retain(|_, guest| guest.connections > 0 || now - guest.at < refilled);
        }
        let fresh = || Guest { connections: 0, credit: full, at: now };
        let guest = guests.entry(address).or_insert_with(fresh);
        let milliseconds = u64::try_from((now - guest.at).as_millis()).unwrap_or(u64::MAX);
        let earned = milliseconds.saturating_mul(u64::from(self.limits.requests_per_second));
        if earned > 0 {
            guest.credit = guest.credit.saturating_add(earned).min(full);
            guest.at = now;
        }
        act(guest, &self.limits)
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let may = self.with(address, |guest, limits| {
            let may = guest.connections < limits.per_address;
            guest.connections += usize::from(may);
            may
        });
        may.then(|| Place { door: self.clone(), address })
    }

    fn may_ask(&self, address: IpAddr) -> bool {
        self.with(address, |guest, _| {
            let may = guest.credit >= 1_000;
            guest.credit -= if may { 1_000 } else { 0 };
            may
        })
    }
}

impl Limits {
    /// How long it takes to earn so many thousandths of a request.
    fn refill(&self, credit: u64) -> Duration {
        Duration::from_millis(credit / u64::from(self.requests_per_second.max(1)))
    }
}

/// Who asks, as far as it is known: the address at the other end of the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Caller(pub(super) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Refuses those who ask too often.
async fn pace(
    State((door, address)): State<(Arc<Door>, IpAddr)>,
    mut request: Request,
    next: Next,
) -> Response {
    if door.may_ask(address) {
        request.extensions_mut().insert(Caller(Some(address)));
        return next.run(request).await;
    }
    let limit = format!("{} requests a second", door.limits.requests_per_second);
    let message = "too many requests from this address; slow down";
    let refusal = Refusal::new("rate-limited", "requests", limit, "more", message);
    let mut response = ApiError::from(refusal).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Serves connections until the listener fails for good.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let door = Door::new(limits);
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: what ends gives some back.
                tracing::warn!(%error, "the API cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Whoever finds no place sees the connection closed.
        let Ok(permit) = places.clone().try_acquire_owned() else { continue };
        let Some(place) = door.enter(from.ip()) else { continue };
        drop(stream.set_nodelay(true));
        let stream = Patient::new(stream, limits.take_within);
        let router = router
            .clone()
            .layer(axum::middleware::from_fn_with_state((door.clone(), from.ip()), pace));
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_within)
                .max_buf_size(HEAD_BYTES_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                .await;
            if let Err(error) = served {
                tracing::debug!(%from, %error, "a connection has ended");
            }
            drop((place, permit));
        });
    }
}

/// The address that the listener really has.
pub(super) fn bind(address: SocketAddr) -> std::io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn open(limits: Limits) -> SocketAddr {
        let (listener, address) = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        tokio::spawn(serve(listener, router, limits));
        address
    }

    /// All that comes until the other end closes.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset is an end too.
        drop(stream.read_to_end(&mut bytes).await);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        drop(stream.write_all(request.as_bytes()).await);
        rest(stream).await
    }

    const GOOD: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn connections_that_say_nothing_end_and_their_places_are_free_again() {
        let limits = Limits {
            connections: 3,
            per_address: 3,
            head_within: Duration::from_millis(50),
            ..Limits::default()
        };
        let address = open(limits).await;
        let mut idle = Vec::new();
        for part in ["", "GET", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(part.as_bytes()).await.expect("a beginning");
            idle.push(stream);
        }
        for stream in idle {
            let said = rest(stream).await;
            assert!(!said.contains("here"), "{said}");
        }
        assert!(ask(address, GOOD).await.ends_with("here"));
    }

    #[tokio::test]
    async fn readers_who_take_nothing_end_and_their_places_are_free_again() {
        let limits = Limits {
            connections: 3,
            per_address: 3,
            take_within: Duration::from_millis(100),
            ..Limits::default()
        };
        let (listener, address) = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let listener = TcpListener::from_std(listener).expect("a listener");
        // More than the buffers of both ends hold.
        let long = || async { vec![0; 64 << 20] };
        let endless = || async {
            let piece = || Ok::<_, std::convert::Infallible>(vec![0; 64 << 10]);
            axum::body::Body::from_stream(tokio_stream::iter(std::iter::repeat_with(piece)))
        };
        let router = Router::new()
            .route("/", axum::routing::get(|| async { "here" }))
            .route("/long", axum::routing::get(long))
            .route("/endless", axum::routing::get(endless));
        tokio::spawn(serve(listener, router, limits));
        let mut idle = Vec::new();
        for path in ["/long", "/endless", "/endless"] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("a request");
            let mut first = [0; 8];
            stream.read_exact(&mut first).await.expect("the beginning of an answer");
            idle.push(stream);
        }
        let served = async {
            while !ask(address, GOOD).await.ends_with("here") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), served).await.expect("a free place");
    }

    #[tokio::test]
    async fn an_address_has_so_many_places_and_no_more() {
        let limits =
            Limits { per_address: 2, head_within: Duration::from_secs(60), ..Limits::default() };
        let address = open(limits).await;
        let mut kept = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("a request");
            let mut first = [0; 8];
            stream.read_exact(&mut first).await.expect("an answer");
            kept.push(stream);
        }
        assert_eq!(ask(address, GOOD).await, "", "the third sees the connection closed");
        drop(kept);
        // The server sees the ends of the other two in its own time.
        while !ask(address, GOOD).await.ends_with("here") {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn bad_heads_are_refused_and_the_next_client_is_served() {
        let address = open(Limits::default()).await;
        let many: String = (0..HEADERS_MAX + 1).map(|n| format!("X-{n}: y\r\n")).collect();
        for bad in [
            "\x16\x03\x01 hello".to_owned(),
            format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(2 * HEAD_BYTES_MAX)),
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        ] {
            let said = ask(address, &bad).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
        }
        assert!(ask(address, GOOD).await.ends_with("here"));
    }

    #[test]
    fn credit_is_spent_and_comes_back_up_to_a_burst() {
        let limits = Limits { requests_per_second: 1, requests_burst: 3, ..Limits::default() };
        let door = Door::new(limits);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("an address"));
        assert_eq!(
            (0..5).map(|_| door.may_ask(one)).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
        assert!(door.may_ask(other), "another address has its own");
        let mut guests = door.guests.lock().expect("a lock");
        let guest = guests.get_mut(&one).expect("a guest");
        guest.at -= Duration::from_secs(3600);
        drop(guests);
        assert_eq!(
            (0..5).map(|_| door.may_ask(one)).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
    }
}
