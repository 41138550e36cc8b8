//! Proofs out of a source's blocks, in one pass from the first block to the newest that is certified.

use anyhow::Context as _;
use gongsuan_consensus::CertifiedHeader;
use gongsuan_ledger::proof::{Fact, PROOF_VERSION, Past, events_of, receipt_of, transaction_of};
use gongsuan_ledger::{Header, HistoryTree, Proof, Replay, StoredBlock};
use gongsuan_types::{Height, Refusal, codec};

use super::source::committed;
use super::{Certificate, Mismatch, Source, Subject};
use crate::client::ClientError;

/// Proves a subject under the newest header that the source's blocks certify. A record is proved as it was after that header's block, which takes
/// the execution of all blocks up to there.
///
/// # Errors
/// [`ClientError::NotFound`] if there is no such thing in certified blocks; [`Mismatch`] if the blocks are not a chain.
pub fn prove(source: &Source, subject: &Subject) -> anyhow::Result<Proof> {
    let (anchor, certified) = newest_certified(source)?;
    let mut history = HistoryTree::default();
    let mut path = Vec::new();
    let mut replay = match subject {
        Subject::Record(_) => Some(Replay::new(source.genesis())?),
        _ => None,
    };
    let mut found: Option<(Header, Fact)> = None;
    for block in source.blocks(Height(1), anchor.height) {
        let block = block?;
        let (consensus, certificate) = committed(&block)?;
        if consensus.header.is_final() && consensus.header.epoch < certified.block.header.epoch {
            path.push(CertifiedHeader { block: consensus, certificate });
        }
        if block.header.height < anchor.height {
            history.push(block.header.hash());
        }
        if let Some(replay) = &mut replay {
            replay.apply(&block).map_err(|differs| Mismatch(differs.to_string()))?;
        }
        found = found.or_else(|| fact_in(&block, subject).map(|fact| (block.header, fact)));
    }
    if let (Some(replay), Subject::Record(key)) = (replay, subject) {
        let state = replay.into_state();
        let fact = Fact::Record { key: *key, value: state.record(key), path: state.prove(key) };
        found = Some((anchor, fact));
    }
    let (header, fact) = found.ok_or_else(|| missing(subject, anchor.height))?;
    let past = if header == anchor {
        None
    } else {
        let path = history.prove(header.height.0 - 1, anchor.height.0 - 1);
        Some(Past { header, path: path.context("the header is among those before the anchor")? })
    };
    let certificate = codec::encode(&Certificate { path, certified });
    Ok(Proof { version: PROOF_VERSION, anchor, certificate, past, fact })
}

/// What a block says of a subject that is not a record.
#[must_use]
pub fn fact_in(block: &StoredBlock, subject: &Subject) -> Option<Fact> {
    let height = block.header.height;
    match subject {
        Subject::Transaction(id) => transaction_of(block, id),
        Subject::Receipt(id) => receipt_of(block, id),
        Subject::Events(of) => (*of == height).then(|| events_of(block)),
        Subject::Block(of) => (*of == height).then_some(Fact::Block),
        Subject::Record(_) => None,
    }
}

/// The answer about something that is in no certified block.
#[must_use]
pub fn missing(subject: &Subject, upto: Height) -> ClientError {
    let (kind, id) = subject.name();
    let message = format!("there is no such {kind} in the {upto} blocks that are certified");
    ClientError::missing(Refusal::new("not-found", "id", "one of this chain", id, message))
}

/// The newest ledger header that a block with a certificate of its own names.
fn newest_certified(source: &Source) -> anyhow::Result<(Header, CertifiedHeader)> {
    let mut height = source.head();
    while height.0 > 0 {
        let (block, certificate) = committed(&source.block(height)?)?;
        if certificate.rank.height == block.header.height && block.header.app.height.0 > 0 {
            let anchor = source.block(block.header.app.height)?.header;
            return Ok((anchor, CertifiedHeader { block, certificate }));
        }
        height = Height(height.0 - 1);
    }
    let message = "no block is certified yet; try again when the chain has gone on";
    let head = source.head();
    Err(ClientError::missing(Refusal::new(
        "not-found",
        "certificate",
        "at least one",
        head,
        message,
    ))
    .into())
}
