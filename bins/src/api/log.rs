//! Blocks out of the log. The replica's thread, which votes, only reads their bytes, a few blocks at a time; they are decoded here.

use gongsuan_ledger::{ChainError, StoredBlock};
use gongsuan_types::{Height, Refusal};

use super::Server;
use super::answer::{ApiError, stopped};
use crate::node::Handle;

/// Blocks that one question reads, at most.
const BLOCKS_MAX: usize = 32;
/// Bytes after which a question reads no further block.
const BYTES_ENOUGH: usize = 1 << 20;

/// A block, if it is there.
pub(super) type Found = Result<Option<StoredBlock>, ChainError>;

/// One question to the replica's thread: the first of these heights, at least one.
fn visit(node: &Handle, heights: &[Height]) -> Result<Vec<Found>, Refusal> {
    let wanted: Vec<Height> = heights.iter().copied().take(BLOCKS_MAX).collect();
    let read = node.ask(move |view| {
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
    })?;
    let decode = |(height, bytes): (Height, Result<Option<Vec<u8>>, ChainError>)| {
        bytes?.map(|bytes| StoredBlock::decode(height, &bytes)).transpose()
    };
    Ok(read.into_iter().map(decode).collect())
}

/// What is made of each block, in order; nothing of those that are not there.
pub(super) async fn each<T: Send + 'static>(
    server: &Server,
    heights: Vec<Height>,
    make: impl Fn(StoredBlock) -> T + Send + 'static,
) -> Result<Vec<T>, ApiError> {
    let node = server.node.clone();
    let read = tokio::task::spawn_blocking(move || {
        let (mut made, mut rest) = (Vec::new(), heights.as_slice());
        while !rest.is_empty() {
            let found = visit(&node, rest)?;
            rest = &rest[found.len()..];
            made.extend(found.into_iter().filter_map(|found| found.ok().flatten()).map(&make));
        }
        Ok(made)
    });
    read.await.map_err(stopped)?.map_err(ApiError)
}

/// What is made of the first of these blocks, up to one that is not there: as many as can be had at once.
pub(super) async fn some<T: Send + 'static>(
    server: &Server,
    heights: Vec<Height>,
    make: impl Fn(StoredBlock) -> T + Send + 'static,
) -> Result<Vec<T>, ApiError> {
    let node = server.node.clone();
    let read = tokio::task::spawn_blocking(move || {
        let found = visit(&node, &heights)?;
        Ok(found.into_iter().map_while(|found| found.ok().flatten()).map(make).collect())
    });
    read.await.map_err(stopped)?.map_err(ApiError)
}

/// One block.
pub(super) async fn one(server: &Server, height: Height) -> Result<Found, ApiError> {
    let node = server.node.clone();
    let read = tokio::task::spawn_blocking(move || visit(&node, &[height])).await;
    let found = read.map_err(stopped)?.map_err(ApiError)?;
    Ok(found.into_iter().next().unwrap_or(Ok(None)))
}
