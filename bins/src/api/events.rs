//! `GET /v1/events`: what happens, block by block, as server-sent events.
//!
//! A message's id is `height:index`, its last event. Whoever comes back with `Last-Event-ID` gets everything after it: out of the log as long as
//! it is behind, then as it happens. A listener that falls behind is served from the log again; one that takes nothing for a while is dropped,
//! and resumes when it comes back. So there is never a gap, and nothing is buffered without bound.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use gongsuan_ledger::StoredBlock;
use gongsuan_types::{Height, Refusal};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use super::answer::{ApiError, ask};
use super::wire::{BlockEvents, EventRow};
use super::{LISTENERS_MAX, Server, log};
use crate::node::Happened;

/// Messages that wait for a listener.
const WAITING_MAX: usize = 64;
/// A listener that takes nothing for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(30);
/// Blocks read from the log at one time, at most.
const BLOCKS_MAX: u64 = 32;

/// What happens, block by block, as server-sent events.
///
/// From now on, or from after `Last-Event-ID`: whoever comes back gets everything that was missed. The data of a message is as described;
/// its event is `chain`, its id `height:index` of its last event.
#[utoipa::path(
    get, path = "/v1/events", tag = "chain", operation_id = "events",
    params(("last-event-id" = Option<String>, Header, description = "`height:index`, the id of the last message received.", example = "12:3")),
    responses((status = OK, description = "A stream that does not end.", body = BlockEvents, content_type = "text/event-stream"))
)]
pub(super) async fn listen(
    State(server): State<Server>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, ApiError> {
    let next = headers.get("last-event-id").map(|value| next_height(value.to_str().unwrap_or("")));
    let next = next.transpose()?;
    let permit = server.listeners.clone().try_acquire_owned().map_err(|_| {
        let message = "too many listeners; try again later";
        Refusal::new("busy", "listeners", LISTENERS_MAX, LISTENERS_MAX + 1, message)
    })?;
    let live = server.feed.0.subscribe();
    let next = match next {
        Some(next) => next,
        None => ask(&server, |view| view.chain.state().height().0).await? + 1,
    };
    let (out, waiting) = mpsc::channel(WAITING_MAX);
    let read = move |from: u64| {
        let server = server.clone();
        async move { past(&server, from).await.ok() }
    };
    tokio::spawn(pump(next, live, read, out, permit));
    let lines = ReceiverStream::new(waiting).map(|block| Ok(line(&block)));
    Ok(Sse::new(lines).keep_alive(KeepAlive::default()))
}

/// The height after the one that an id names.
fn next_height(text: &str) -> Result<u64, ApiError> {
    let parts = text.split_once(':');
    let height = parts.and_then(|(height, index)| {
        index.parse::<u32>().ok()?;
        height.parse::<u64>().ok()?.checked_add(1)
    });
    height.ok_or_else(|| {
        let message = "not the id of an event";
        Refusal::new("malformed", "Last-Event-ID", "height:index", text, message).into()
    })
}

/// Brings one listener up to date and keeps it there. `read` answers with the blocks from a height on, as many as it likes; none beyond the
/// head; nothing at all when the node has stopped.
async fn pump<R, F>(
    mut next: u64,
    mut live: broadcast::Receiver<Arc<Happened>>,
    read: R,
    out: mpsc::Sender<Arc<Happened>>,
    _permit: OwnedSemaphorePermit,
) where
    R: Fn(u64) -> F,
    F: Future<Output = Option<Vec<Happened>>>,
{
    let mut is_behind = true;
    loop {
        let blocks = if is_behind {
            let Some(blocks) = read(next).await else { return };
            is_behind = !blocks.is_empty();
            blocks.into_iter().map(Arc::new).collect()
        } else {
            tokio::select! {
                block = live.recv() => match block {
                    Ok(block) if block.height.0 > next => {
                        is_behind = true;
                        continue;
                    }
                    Ok(block) => vec![block],
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        is_behind = true;
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = out.closed() => return,
            }
        };
        for block in blocks {
            let height = block.height.0;
            if height >= next {
                if out.send_timeout(block, PATIENCE).await.is_err() {
                    return;
                }
                next = height + 1;
            }
        }
    }
}

/// One message for a block: its id is that of its last event.
fn line(block: &Happened) -> SseEvent {
    let height = block.height;
    let row = |(tx, event): &(_, gongsuan_ledger::Event)| EventRow {
        height,
        tx: *tx,
        event: event.clone(),
    };
    let data = BlockEvents { height, events: block.events.iter().map(row).collect() };
    let id = format!("{height}:{}", data.events.len().saturating_sub(1));
    let text = serde_json::to_string(&data).unwrap_or_default();
    SseEvent::default().id(id).event("chain").data(text)
}

async fn past(server: &Server, from: u64) -> Result<Vec<Happened>, ApiError> {
    let heights = (from..from.saturating_add(BLOCKS_MAX)).map(Height).collect();
    let happened =
        |stored: StoredBlock| Happened::of(stored.header.height, &stored.receipts, &stored.events);
    log::some(server, heights, happened).await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    fn block(height: u64) -> Happened {
        Happened { height: Height(height), events: Vec::new() }
    }

    #[test]
    fn ids_are_a_height_and_an_index() {
        assert_eq!(next_height("12:3").map_err(|_| ()), Ok(13));
        // After the last height that can be written there is none.
        let last = format!("{}:0", u64::MAX);
        for bad in ["", "12", ":", "12:", ":3", "-1:0", "a:b", "1:2:3", &last] {
            assert!(next_height(bad).is_err(), "{bad}");
        }
    }

    /// A chain that grows while it is read, a feed that keeps three messages and is slower than the log.
    #[tokio::test]
    async fn nothing_is_missed_or_repeated_however_far_behind_a_listener_is() {
        const END: u64 = 900;
        let head = Arc::new(Mutex::new(500_u64));
        let (feed, live) = broadcast::channel::<Arc<Happened>>(3);
        let log = head.clone();
        let read = move |from: u64| {
            let head = *log.lock().expect("a lock");
            async move { Some((from..=head.min(from + 49)).map(block).collect()) }
        };
        let (out, mut waiting) = mpsc::channel(4);
        let places = Arc::new(Semaphore::new(1));
        let permit = places.clone().try_acquire_owned().expect("a place");
        let listener = tokio::spawn(pump(7, live, read, out, permit));
        let grow = tokio::spawn(async move {
            for height in 501..=END {
                *head.lock().expect("a lock") = height;
                // Now and then a message is lost, and bursts are longer than the feed.
                if height % 11 != 0 || height == END {
                    drop(feed.send(Arc::new(block(height))));
                }
                if height % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            feed
        });
        let mut seen = Vec::new();
        while seen.last() != Some(&END) {
            seen.push(waiting.recv().await.expect("the pump goes on").height.0);
        }
        assert_eq!(seen, (7..=END).collect::<Vec<_>>());
        drop(grow.await.expect("the feed ends"));
        listener.await.expect("the pump ends with the feed");
        assert_eq!(places.available_permits(), 1, "the place is free again");
    }
}
