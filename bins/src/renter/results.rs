//! What a deal brought, batch by batch.

use gongsuan_market::Deal;
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Hash, codec};

use crate::client::Client;

/// Results that were committed together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The first segment, counted in the job.
    pub first: u32,
    /// What was committed.
    pub commitment: Commitment,
    /// The list of receipts, by content address.
    pub receipts: Hash,
}

/// All results of a deal, those that wait to be accepted last. They may be of several providers: each began after what was accepted of the one before.
#[must_use]
pub fn parts(deal: &Deal) -> Vec<Part> {
    let mut parts: Vec<Part> = deal
        .batches
        .iter()
        .map(|batch| Part {
            first: batch.first,
            commitment: batch.commitment,
            receipts: batch.receipts,
        })
        .collect();
    if let Some((commitment, receipts)) = deal.results() {
        // Not the deal's first segment: what was accepted before stands in the batches. Nor its next one: the last results may be accepted as well.
        let before: u32 = parts.iter().map(|part| part.commitment.count).sum();
        let first = deal.terms.first.saturating_add(before);
        parts.push(Part { first, commitment, receipts });
    }
    parts
}

/// Reads the list of receipts of one part, and checks it against what was committed.
///
/// # Errors
/// If the list is not to be had, or is another one.
pub fn list(client: &Client, part: &Part) -> anyhow::Result<Vec<Receipt>> {
    let bytes = client.blob(part.receipts)?;
    check(part, &bytes)
        .map_err(|reason| anyhow::anyhow!("the receipts from segment {}: {reason}", part.first))
}

/// The receipts in these bytes, if they are those of a part.
pub(crate) fn check(part: &Part, bytes: &[u8]) -> Result<Vec<Receipt>, String> {
    let list: Vec<Receipt> = codec::decode("receipts", crate::node::blobs::BLOB_BYTES_MAX, bytes)
        .map_err(|error| error.to_string())?;
    if Commitment::new(&list) == Some(part.commitment) {
        return Ok(list);
    }
    Err("they are not those committed".to_owned())
}

/// Reads all receipts of a deal, each part checked.
///
/// # Errors
/// As [`list`].
pub fn lists(client: &Client, deal: &Deal) -> anyhow::Result<Vec<Receipt>> {
    let lists =
        parts(deal).iter().map(|part| list(client, part)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(lists.concat())
}
