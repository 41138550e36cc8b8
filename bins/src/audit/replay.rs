//! The whole chain, checked: who committed it, how it hangs together, and what executing it gives.

use std::collections::BTreeMap;

use gongsuan_consensus::{CertifiedHeader, Payload, genesis};
use gongsuan_ledger::{Genesis, Header, Replay, State, StoredBlock};
use gongsuan_types::{Hash, Height};

use super::source::committed;
use super::{Mismatch, Source, Validators};
use crate::api::wire::Status;
use crate::client::Client;

/// Headers that a block may name as the newest state its leader knew. Validators look back as far.
const HEADERS_KEPT: usize = 1_024;

/// Checks block after block. Holds the state and a few hashes.
#[derive(Debug)]
pub struct Auditor {
    replay: Replay,
    chain_id: Hash,
    validators: Validators,
    /// The block of the log before.
    last: Hash,
    /// The last height that a certificate covers, itself or by the links to it.
    certified: Height,
    headers: BTreeMap<Height, Hash>,
}

impl Auditor {
    /// Begins at a genesis.
    ///
    /// # Errors
    /// If no chain can begin like this.
    pub fn new(of: &Genesis) -> anyhow::Result<Self> {
        let chain_id = of.chain_id();
        Ok(Self {
            replay: Replay::new(of)?,
            chain_id,
            validators: Validators::of_genesis(of),
            last: genesis(&chain_id, 0),
            certified: Height(0),
            headers: BTreeMap::new(),
        })
    }

    /// The state after the last block.
    #[must_use]
    pub fn state(&self) -> &State {
        self.replay.state()
    }

    /// The last height that a certificate covers.
    #[must_use]
    pub fn certified(&self) -> Height {
        self.certified
    }

    /// Checks the next block: its place in the log that consensus agreed on, its certificate, and its execution.
    ///
    /// # Errors
    /// [`Mismatch`]: what does not hold, and where.
    pub fn apply(&mut self, stored: &StoredBlock) -> Result<(), Mismatch> {
        let header = &stored.header;
        let height = header.height;
        let fault = |what: String| Mismatch(format!("block {height}: {what}"));
        let (block, certificate) = committed(stored)?;
        let ordered = &block.header;
        let hash = block.hash(&self.chain_id);
        if (ordered.height, ordered.term, ordered.time) != (height, header.term, header.time) {
            return Err(fault(
                "height, term or time are not those that consensus agreed on".into(),
            ));
        }
        if ordered.epoch != self.validators.set().epoch() {
            return Err(fault(format!("it is of epoch {}", ordered.epoch)));
        }
        if self.validators.set().key(ordered.proposer) != Some(&header.proposer) {
            return Err(fault("the proposer is not the seat that consensus names".into()));
        }
        if hash != header.block {
            return Err(fault(format!("the log has block {hash}, the header {}", header.block)));
        }
        if ordered.parent != self.last {
            return Err(fault(format!("its parent is {}, not {}", ordered.parent, self.last)));
        }
        if ordered.payload_hash != Payload::new(stored.body.clone()).hash() {
            return Err(fault("the body is not the payload that consensus agreed on".into()));
        }
        let app = &ordered.app;
        let known = match app.height {
            Height(0) => Some(Hash::ZERO),
            height => self.headers.get(&height).copied(),
        };
        if known != Some(app.hash) {
            return Err(fault(format!("it names another state of height {}", app.height)));
        }
        self.last = hash;
        // A certificate of a later block is checked there; the links lead back from it.
        if certificate.rank.height == height {
            let certified = CertifiedHeader { block, certificate };
            let found = certified.verify(self.validators.set(), &self.chain_id);
            found.map_err(|error| fault(format!("certificate: {error}")))?;
            self.certified = height;
            if certified.block.header.is_final() {
                self.validators.follow(&certified).map_err(fault)?;
            }
        }
        self.replay.apply(stored).map_err(|differs| Mismatch(differs.to_string()))?;
        self.headers.insert(height, header.hash());
        while self.headers.len() > HEADERS_KEPT {
            self.headers.pop_first();
        }
        Ok(())
    }
}

/// What an audit of the whole chain found.
#[derive(Debug)]
pub struct Replayed {
    /// The blocks that a certificate covers.
    pub certified: Height,
    /// The state that executing every block gave.
    pub state: State,
    /// The nodes compared, with their state root at the common height.
    pub roots: Vec<(String, Hash)>,
    /// Whether all roots are equal, ours among them.
    pub equal: bool,
}

/// Checks every block of a source up to a height, shows each to `look`, and checks at the end that all money is somewhere.
///
/// # Errors
/// [`Mismatch`]: the first thing that does not hold.
pub fn replay(
    source: &Source,
    upto: Height,
    mut look: impl FnMut(&StoredBlock, &State) -> anyhow::Result<()>,
) -> anyhow::Result<Replayed> {
    let mut auditor = Auditor::new(source.genesis())?;
    for block in source.blocks(Height(1), upto) {
        let block = block?;
        auditor.apply(&block)?;
        look(&block, auditor.state())?;
    }
    gongsuan_ledger::invariants::check(auditor.state())
        .map_err(|violation| Mismatch(violation.to_string()))?;
    let certified = auditor.certified();
    let state = auditor.replay.into_state();
    Ok(Replayed { certified, state, roots: Vec::new(), equal: true })
}

/// Checks every block of a node up to the least height of all nodes and compares their roots with ours.
///
/// # Errors
/// If a node does not answer; [`Mismatch`] at the first thing that does not hold.
pub fn replay_all(
    client: &Client,
    look: impl FnMut(&StoredBlock, &State) -> anyhow::Result<()>,
) -> anyhow::Result<Replayed> {
    let statuses = (0..client.nodes().len())
        .map(|index| client.only(index).get::<Status>("/v1/status"))
        .collect::<Result<Vec<_>, _>>()?;
    let height = statuses.iter().map(|status| status.height).min().unwrap_or(Height(0));
    let source = Source::node(client.only(0))?;
    let mut replayed = replay(&source, height, look)?;
    for (index, status) in statuses.iter().enumerate().filter(|_| height.0 > 0) {
        let block: serde_json::Value = client.only(index).get(&format!("/v1/blocks/{height}"))?;
        let header: Header = serde_json::from_value(block["header"].clone())?;
        replayed.roots.push((status.name.clone(), header.state_root));
    }
    let own = replayed.state.root();
    replayed.equal = replayed.roots.iter().all(|(_, root)| *root == own);
    Ok(replayed)
}
