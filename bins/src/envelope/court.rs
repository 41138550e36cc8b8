//! What validators need to answer a case of a private job, from whoever has it and wants the truth found.
//!
//! A validator that cannot read what it has to execute publishes an encryption key; every party that holds openings sends it those of the case, and no
//! others: one segment's module and input, or the output in question.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_executor::Inputs;
use gongsuan_market::{Deal, Order, Question};
use gongsuan_types::job::{Check, JobSpec, MapInput, Shape};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, Hash, SecretKey, codec};

use super::{Keyring, Opening, Post};
use crate::client::Client;
use crate::node::blobs::BLOB_BYTES_MAX;

/// Between two looks at a case.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Serves a deal's open case until it is decided, with what letters to this account open. Nothing to do for a job that is not private.
///
/// # Errors
/// If the chain cannot be read or a letter cannot be sent.
pub fn attend(client: &Client, key: &SecretKey, deal: &Deal) -> anyhow::Result<()> {
    let Some(case) = deal.case() else { return Ok(()) };
    let order: Order = client.order(deal.bid)?;
    let bid = order.bid().context("the deal's order is no bid")?;
    if !bid.is_private() {
        return Ok(());
    }
    let work = bid.work.job().context("the deal's order is a lease")?;
    let post = Post::new(client, key)?;
    let seats = client.validators()?.validators;
    let judges: Vec<Address> = seats.iter().map(|seat| Address::from(seat.key)).collect();
    let mut served = BTreeMap::new();
    while client.deal(deal.id)?.case().map(|open| open.id) == Some(case.id) {
        let keyring = post.keyring(deal.id)?;
        let openings = needed(client, &keyring, deal, (&work.spec, &case.question));
        for judge in &judges {
            // Letters to this account may still be on their way: what comes later is sent as well.
            let known = served.get(judge).copied().unwrap_or(0);
            if openings.len() > known && post.send(deal.id, *judge, &openings)? {
                tracing::info!(case = %case.id, judge = judge.short(), "a validator can read what it judges");
                served.insert(*judge, openings.len());
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The openings that a question needs, as far as they are in the keyring.
fn needed(
    client: &Client,
    keyring: &Keyring,
    deal: &Deal,
    (spec, question): (&JobSpec, &Question),
) -> Vec<Opening> {
    let fetch = |sealed: Hash| client.blob(sealed).ok();
    let inputs = |segments: &[u32]| -> Vec<Hash> {
        let Shape::Map { input, segments: count } = &spec.shape;
        match input {
            MapInput::Shared(hash) => vec![*hash],
            MapInput::Each(hash) => {
                let index = keyring.open(*hash, fetch);
                let index = index.and_then(|bytes| Inputs::index(&bytes, *count).ok());
                let each = segments.iter().filter_map(|at| index.as_ref()?.get(*at as usize));
                each.copied().chain([*hash]).collect()
            }
        }
    };
    let plains = match question {
        Question::Result { committed, .. } => {
            [vec![spec.module], inputs(&[committed.segment])].concat()
        }
        Question::Output { committed } => vec![committed.output],
        Question::Input => {
            let first = deal.batch_first();
            let all: Vec<u32> = (first..first.saturating_add(deal.left())).collect();
            [vec![spec.module], inputs(&all)].concat()
        }
        Question::Predicate => {
            let list = deal.receipts().and_then(fetch).unwrap_or_default();
            let list: Vec<Receipt> =
                codec::decode("receipts", BLOB_BYTES_MAX, &list).unwrap_or_default();
            let Check::Predicate(predicate) = deal.terms.check else { return Vec::new() };
            list.iter().map(|receipt| receipt.output).chain([predicate.module]).collect()
        }
    };
    keyring.of(plains).cloned().collect()
}
