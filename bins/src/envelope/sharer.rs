//! The renter's side of a private job: everybody who has to execute something is sent what opens it, when the chain says who that is.

use std::collections::BTreeSet;

use gongsuan_market::{Deal, DealState};
use gongsuan_types::{Address, DealId};

use super::{Opening, Post};
use crate::client::ClientError;

/// What a private job's programs and inputs open with.
#[derive(Debug, Clone)]
pub struct Files {
    module: Opening,
    /// The input of all segments, or the index of their inputs.
    input: Opening,
    /// The input of each segment, if each has its own.
    each: Vec<Opening>,
    /// The program that the validators run over the outputs.
    predicate: Option<Opening>,
}

impl Files {
    /// Encrypts and stores a job whose segments all read the same.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn shared(post: &Post, module: &[u8], input: &[u8]) -> Result<Self, ClientError> {
        let (module, input) = (post.put_blob(module)?, post.put_blob(input)?);
        Ok(Self { module, input, each: Vec::new(), predicate: None })
    }

    /// Encrypts and stores a job whose segments each read their own.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn each(post: &Post, module: &[u8], inputs: &[Vec<u8>]) -> Result<Self, ClientError> {
        let each =
            inputs.iter().map(|input| post.put_blob(input)).collect::<Result<Vec<_>, _>>()?;
        let index: Vec<u8> = each.iter().flat_map(|opening| opening.plain.0).collect();
        let (module, input) = (post.put_blob(module)?, post.put_blob(&index)?);
        Ok(Self { module, input, each, predicate: None })
    }

    /// The same files with the program of a predicate, encrypted and stored as well. No provider and no auditor is sent it: whoever knew what is
    /// asked of an output could make one that passes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn with_predicate(self, post: &Post, program: &[u8]) -> Result<Self, ClientError> {
        Ok(Self { predicate: Some(post.put_blob(program)?), ..self })
    }

    /// The content address of the input, or of the index of inputs: what the job's specification names.
    #[must_use]
    pub fn input(&self) -> gongsuan_types::Hash {
        self.input.plain
    }

    /// What executing some segments needs.
    fn of(&self, segments: impl Iterator<Item = u32>) -> Vec<Opening> {
        let own = segments.filter_map(|segment| self.each.get(segment as usize));
        [&self.module, &self.input].into_iter().chain(own).cloned().collect()
    }
}

/// An audit: the commitment's number in its deal, and the segment.
type Audit = (u16, u32);

/// To whom what was sent: everything that is left to do, unless it was for an audit.
type Sent = (DealId, Address, Option<Audit>);

/// See the module's documentation.
#[derive(Debug)]
pub struct Sharer {
    post: Post,
    files: Files,
    sent: BTreeSet<Sent>,
}

impl Sharer {
    /// A sharer of these files.
    #[must_use]
    pub fn new(post: Post, files: Files) -> Self {
        Self { post, files, sent: BTreeSet::new() }
    }

    /// Sends what the present state of the deals asks for and was not sent before. What cannot be sent now is logged, and tried at the next look.
    pub fn look(&mut self, deals: &[Deal]) {
        for deal in deals.iter().filter(|deal| !deal.is_over()) {
            let first = deal.batch_first();
            let left = first..first.saturating_add(deal.left());
            let mut openings = self.files.of(left);
            self.send(deal, deal.provider, None, &openings);
            // The renter itself too, so that another process of its owner can go on; the predicate as well, for the validators who will ask it.
            openings.extend(self.files.predicate.clone());
            self.send(deal, self.post.address(), None, &openings);
            let DealState::Drawn { samples, .. } = &deal.state else { continue };
            for sample in samples.iter().filter(|sample| !sample.passed) {
                let Some(auditor) = sample.auditor else { continue };
                let segment = sample.segment;
                let openings = self.files.of(segment..segment + 1);
                self.send(deal, auditor, Some((deal.commits, segment)), &openings);
            }
        }
    }

    fn send(&mut self, deal: &Deal, to: Address, what: Option<Audit>, openings: &[Opening]) {
        let entry = (deal.id, to, what);
        if self.sent.contains(&entry) {
            return;
        }
        match self.post.send(deal.id, to, openings) {
            Ok(was_sent) => {
                if !was_sent {
                    tracing::warn!(deal = %deal.id, to = to.short(), "has published no encryption key and can execute nothing");
                }
                self.sent.insert(entry);
            }
            Err(error) => {
                tracing::warn!(deal = %deal.id, to = to.short(), %error, "cannot send the keys");
            }
        }
    }
}
