//! Proofs out of a running node: what is asked on the replica's thread, and what is put together after it.

use gongsuan_ledger::proof::{Fact, PROOF_VERSION, Past};
use gongsuan_ledger::{Header, HistoryProof, Proof, StateKey, StoredBlock};
use gongsuan_types::{Height, Refusal, codec};

use super::log::Found;
use crate::audit::prove::fact_in;
use crate::audit::{Certificate, ProofFile, Subject};
use crate::node::View;

/// Where the thing is that a proof is about.
pub(super) enum Place {
    /// A record after the last block, or after an earlier one with the same state.
    Record(Box<Header>, Box<Fact>),
    /// In a block.
    Block(Height),
}

/// What a proof is about, found.
pub(super) enum Shown {
    /// A record after the last block, or after an earlier one with the same state.
    Record(Box<Header>, Box<Fact>),
    /// A block, and what of it is to be shown.
    Block(Box<StoredBlock>, Subject),
}

/// A certified header at or after some height, and the path from there to it.
pub(super) struct Anchor {
    header: Header,
    certificate: Certificate,
    path: Option<HistoryProof>,
}

fn missing(subject: &Subject) -> Refusal {
    let (kind, id) = subject.name();
    let message = format!("there is no such {kind}");
    Refusal::new("not-found", "id", format!("a {kind} of this chain"), id, message)
}

fn unreadable(what: &str) -> Refusal {
    Refusal::new("disk", "node", "a readable log", what, "the node cannot read its own files")
}

/// Finds what a proof is about.
pub(super) fn find(view: &View<'_>, subject: &Subject) -> Result<Place, Refusal> {
    match subject {
        Subject::Record(key) => record(view, key),
        Subject::Transaction(id) | Subject::Receipt(id) => {
            let location = view.chain.location(id).ok_or_else(|| missing(subject))?;
            Ok(Place::Block(location.height))
        }
        Subject::Events(height) | Subject::Block(height) => Ok(Place::Block(*height)),
    }
}

fn record(view: &View<'_>, key: &StateKey) -> Result<Place, Refusal> {
    let state = view.chain.state();
    let fact = Fact::Record { key: *key, value: state.record(key), path: state.prove(key) };
    // A chain that rests ends with blocks that changed nothing, and the last of them are never certified.
    let same = view.certified.filter(|(header, _)| header.state_root == state.root());
    let header = match same {
        Some((header, _)) => *header,
        None => {
            let head = view.chain.stored(state.height());
            let head = head.map_err(|error| unreadable(&error.to_string()))?;
            head.ok_or_else(|| {
                let message = "there is no block yet";
                Refusal::new("not-found", "id", "at least one block", 0, message)
            })?
            .header
        }
    };
    Ok(Place::Record(Box::new(header), Box::new(fact)))
}

/// The newest certified header, if it is at or after a height.
pub(super) fn anchor(view: &View<'_>, height: Height) -> Result<Option<Anchor>, Refusal> {
    let Some((header, certified)) = view.certified.filter(|(header, _)| header.height >= height)
    else {
        return Ok(None);
    };
    let path = if header.height == height {
        None
    } else {
        let history = view.history.ok_or_else(|| unreadable("the file of header hashes"))?;
        let path = history.prove(height.0 - 1, header.height.0 - 1);
        Some(path.ok_or_else(|| unreadable("the file of header hashes"))?)
    };
    // The ledger has one epoch: no other validators were ever named.
    let certificate = Certificate { path: Vec::new(), certified: certified.clone() };
    Ok(Some(Anchor { header: *header, certificate, path }))
}

impl Shown {
    /// A block, as it was read.
    pub(super) fn block(found: Found, subject: Subject) -> Result<Self, Refusal> {
        let block = found.map_err(|error| unreadable(&error.to_string()))?;
        Ok(Self::Block(Box::new(block.ok_or_else(|| missing(&subject))?), subject))
    }

    /// The block whose header must be certified.
    pub(super) fn height(&self) -> Height {
        match self {
            Self::Record(header, _) => header.height,
            Self::Block(block, _) => block.header.height,
        }
    }

    /// The proof under an anchor.
    pub(super) fn proof(self, anchor: Anchor) -> Result<ProofFile, Refusal> {
        let (header, fact) = match self {
            Self::Record(header, fact) => (*header, *fact),
            Self::Block(block, subject) => {
                let fact = fact_in(&block, &subject).ok_or_else(|| missing(&subject))?;
                (block.header, fact)
            }
        };
        // The file of header hashes is not the truth: what it gives is checked like anybody's word.
        let holds = |path: &HistoryProof| path.verify(anchor.header.history_root, header.hash());
        if anchor.path.as_ref().is_some_and(|path| !holds(path)) {
            return Err(unreadable(
                "the file `history`; stop the node, remove it, start: it is written anew",
            ));
        }
        let past = anchor.path.map(|path| Past { header, path });
        Ok(ProofFile::new(&Proof {
            version: PROOF_VERSION,
            anchor: anchor.header,
            certificate: codec::encode(&anchor.certificate),
            past,
            fact,
        }))
    }
}
