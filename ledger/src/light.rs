//! A client that keeps one header and checks everything else by proofs.
//!
//! It trusts a genesis, or a checkpoint: one header, from where trust comes from. What makes another header trustworthy is a certificate of the
//! validators. This crate does not know consensus, so the caller brings an [`Authority`] that judges certificates and follows the validators from epoch
//! to epoch. From then on:
//!
//! | question | proof |
//! |---|---|
//! | is this record in the state, or absent? | [`Fact::Record`](crate::proof::Fact::Record) under `state_root` |
//! | was this transaction in that block? | [`Fact::Transaction`](crate::proof::Fact::Transaction) under `tx_root` |
//! | what became of it? | [`Fact::Receipt`](crate::proof::Fact::Receipt) under `receipt_root` |
//! | what else happened in the block? | [`Fact::Events`](crate::proof::Fact::Events) under `receipt_root` |
//! | is this older header one of ours? | [`Fact::Block`](crate::proof::Fact::Block), by [`HistoryProof`] under `history_root` |
//!
//! [`LightClient::verify`] answers all of them.

use gongsuan_types::Hash;

use crate::header::Header;
use crate::history::HistoryProof;
use crate::proof::{PROOF_VERSION, Passed, Proof, Refuted, Step};

/// Judges certificates.
pub trait Authority {
    /// Whether the validators certified a header; returns how, for people. Certificates of later epochs bring the proof of who votes in them, and
    /// the authority goes on to those. It is unchanged after an error.
    ///
    /// # Errors
    /// Why the certificate does not count, for people.
    fn certifies(&mut self, header: &Header, certificate: &[u8]) -> Result<String, String>;
}

/// Why a header is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// Of another chain or version.
    #[error("the header is of another chain or format")]
    Foreign,
    /// It is not later than the one that is trusted.
    #[error("the header is not later than the trusted one")]
    NotLater,
    /// The validators did not certify it.
    #[error("the header is not certified: {0}")]
    NotCertified(String),
    /// It does not descend from the one that is trusted.
    #[error("the header does not descend from the trusted one")]
    NotDescended,
}

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LightClient<A> {
    chain_id: Hash,
    head: Option<Header>,
    authority: A,
}

impl<A: Authority> LightClient<A> {
    /// A client that trusts the chain with this id, which is the hash of its genesis, and whom the authority begins with.
    #[must_use]
    pub fn from_genesis(chain_id: Hash, authority: A) -> Self {
        Self { chain_id, head: None, authority }
    }

    /// A client that trusts this header: an operator's, a pinned one. The authority begins with those who vote at or before it.
    #[must_use]
    pub fn from_checkpoint(trusted: Header, authority: A) -> Self {
        Self { chain_id: trusted.chain_id, head: Some(trusted), authority }
    }

    /// The latest header trusted; nothing yet after [`LightClient::from_genesis`].
    #[must_use]
    pub fn head(&self) -> Option<&Header> {
        self.head.as_ref()
    }

    /// Who judges certificates, with what it has learnt.
    #[must_use]
    pub fn authority(&self) -> &A {
        &self.authority
    }

    /// Goes on to a later header, any number of blocks ahead. `past` proves that the trusted header is in its past; for the very next block, and while
    /// no header is trusted, none is needed.
    ///
    /// # Errors
    /// A [`LightError`]; the client is unchanged.
    pub fn advance(
        &mut self,
        to: Header,
        past: Option<&HistoryProof>,
        certificate: &[u8],
    ) -> Result<(), LightError> {
        if to.version != 1 || to.chain_id != self.chain_id {
            return Err(LightError::Foreign);
        }
        if let Some(head) = &self.head {
            if to.height <= head.height || to.time <= head.time {
                return Err(LightError::NotLater);
            }
            let next = to.height == head.height.next() && to.parent == head.hash();
            if !next && !past.is_some_and(|past| descends(&to, past, head)) {
                return Err(LightError::NotDescended);
            }
        }
        self.authority.certifies(&to, certificate).map_err(LightError::NotCertified)?;
        self.head = Some(to);
        Ok(())
    }

    /// Checks a proof of any kind, from the certificate to the fact. The anchor may be older or younger than the trusted header; it counts if it is that
    /// header or if the validators that the authority knows certified it. Returns the steps, for people.
    ///
    /// # Errors
    /// [`Refuted`]: the first step that fails.
    pub fn verify(&mut self, proof: &Proof) -> Result<Vec<Passed>, Refuted> {
        let mut passed = Vec::new();
        for step in [
            Step::Version,
            Step::Chain,
            Step::Certificate,
            Step::Ancestry,
            Step::Content,
            Step::Path,
        ] {
            match self.step(step, proof) {
                Ok(Some(detail)) => passed.push(Passed { step, detail }),
                Ok(None) => {}
                Err((step, reason)) => return Err(Refuted { step, reason, passed }),
            }
        }
        Ok(passed)
    }

    /// One step; nothing to say for one that the last step does together with its own.
    fn step(&mut self, step: Step, proof: &Proof) -> Result<Option<String>, (Step, String)> {
        let anchor = &proof.anchor;
        let found = match step {
            Step::Version if proof.version != PROOF_VERSION || anchor.version != 1 => {
                let got = format!("proof {}, header {}", proof.version, anchor.version);
                Err(format!("this program reads proof 1 with header 1, got {got}"))
            }
            Step::Version => Ok(Some(format!("proof {}", proof.version))),
            Step::Chain if anchor.chain_id != self.chain_id => Err(format!(
                "the proof is of chain {}, trusted is {}",
                anchor.chain_id, self.chain_id
            )),
            Step::Chain => Ok(Some(self.chain_id.to_string())),
            // Bytes that nobody reads could be anything: a trusted header's proof brings none, or good ones.
            Step::Certificate if self.head == Some(*anchor) && proof.certificate.is_empty() => {
                Ok(Some(format!("header {} is the trusted one", anchor.height)))
            }
            Step::Certificate => self.authority.certifies(anchor, &proof.certificate).map(Some),
            Step::Ancestry => match &proof.past {
                None => Ok(Some(format!("block {} is certified itself", anchor.height))),
                Some(past) if descends(anchor, &past.path, &past.header) => Ok(Some(format!(
                    "block {} is in the past of certified block {}",
                    past.header.height, anchor.height
                ))),
                Some(past) => Err(format!(
                    "header {} is not at height {} in the past of certified block {}",
                    past.header.hash(),
                    past.header.height,
                    anchor.height
                )),
            },
            Step::Content => return Ok(None),
            Step::Path => return proof.fact.check(proof.block()).map(Some),
        };
        found.map_err(|reason| (step, reason))
    }
}

/// Whether `older` is at the place in the past of `newer` that its height says.
fn descends(newer: &Header, past: &HistoryProof, older: &Header) -> bool {
    let placed = past.index.checked_add(1) == Some(older.height.0)
        && past.count.checked_add(1) == Some(newer.height.0);
    placed && past.verify(newer.history_root, older.hash())
}
