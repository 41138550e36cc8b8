//! Blocks out of the log. The replica's thread, which votes, only reads their bytes, a few blocks at a time; they are decoded here.

use std::sync::Arc;

use gongsuan_ledger::{ChainError, StoredBlock};
use gongsuan_types::Height;

use super::Server;
use super::answer::{ApiError, ask, stopped};

/// Blocks that one question reads, at most.
const BLOCKS_MAX: usize = 32;
/// Bytes after which a question reads no further block.
const BYTES_ENOUGH: usize = 1 << 20;

/// A block, if it is there.
pub(super) type Found = Result<Option<StoredBlock>, ChainError>;

/// One question to the replica's thread: the first of these heights, at least one. What is made of each is made on a thread that may take its time.
async fn visit<T: Send + 'static>(
    server: &Server,
    heights: &[Height],
    make: impl FnOnce(Vec<Found>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let wanted: Vec<Height> = heights.iter().copied().take(BLOCKS_MAX).collect();
    let read = ask(server, move |view| {
        let mut bytes = 0;
        let read = wanted.into_iter().map_while(|height| {
            if bytes >= BYTES_ENOUGH {
                return None;
            }
            let found = view.chain.stored_bytes(height);
            bytes += found.as_ref().map_or(0, |found| found.as_ref().map_or(0, Vec::len));
            Some((height, found))
        });
        read.collect::<Vec<_>>()
    });
    let read = read.await?;
    let decode = |(height, bytes): (Height, Result<Option<Vec<u8>>, ChainError>)| {
        bytes?.map(|bytes| StoredBlock::decode(height, &bytes)).transpose()
    };
    let made = tokio::task::spawn_blocking(move || make(read.into_iter().map(decode).collect()));
    made.await.map_err(stopped)
}

/// What is made of each block, in order; nothing of those that are not there.
pub(super) async fn each<T: Send + 'static>(
    server: &Server,
    heights: Vec<Height>,
    make: impl Fn(StoredBlock) -> T + Send + Sync + 'static,
) -> Result<Vec<T>, ApiError> {
    let (mut made, mut rest) = (Vec::new(), heights.as_slice());
    let make = Arc::new(make);
    while !rest.is_empty() {
        let make = Arc::clone(&make);
        let visited = visit(server, rest, move |found| {
            let count = found.len();
            let blocks = found.into_iter().filter_map(|found| found.ok().flatten());
            (count, blocks.map(|block| make(block)).collect::<Vec<T>>())
        });
        let (count, some) = visited.await?;
        rest = &rest[count..];
        made.extend(some);
    }
    Ok(made)
}

/// What is made of the first of these blocks, up to one that is not there: as many as can be had at once.
pub(super) async fn some<T: Send + 'static>(
    server: &Server,
    heights: Vec<Height>,
    make: impl Fn(StoredBlock) -> T + Send + 'static,
) -> Result<Vec<T>, ApiError> {
    let made = visit(server, &heights, move |found| {
        found.into_iter().map_while(|found| found.ok().flatten()).map(make).collect()
    });
    made.await
}

/// One block.
pub(super) async fn one(server: &Server, height: Height) -> Result<Found, ApiError> {
    let found = visit(server, &[height], |found| found.into_iter().next()).await?;
    Ok(found.unwrap_or(Ok(None)))
}
