//! What a node reads of its own chain: blocks as consensus knew them, certificates, and the hashes of all headers.

use std::path::Path;

use gongsuan_consensus::{Block, CertifiedHeader, CommittedBlock, Payload, Proposal, Qc};
use gongsuan_ledger::{Chain, ChainError, Header, HistoryTree, NodeFile};
use gongsuan_types::{Height, codec};

fn decode(consensus: &[u8]) -> Option<(Block, Qc)> {
    codec::decode("committed block", usize::MAX, consensus).ok()
}

/// What is stored of a block for consensus.
pub(super) fn encode(block: &Block, certificate: &Qc) -> Vec<u8> {
    codec::encode(&(block, certificate))
}

/// A block of the log as consensus knew it.
pub(super) fn committed_at(chain: &Chain, height: Height) -> Option<CommittedBlock> {
    let stored = chain.stored(height).ok()??;
    let (block, certificate) = decode(&stored.consensus)?;
    let proposal = Proposal { block, payload: Payload::new(stored.body) };
    Some(CommittedBlock { proposal, certificate })
}

/// The newest block, from which consensus goes on. Its payload may be gone, and nobody asks for it.
pub(super) fn newest(chain: &Chain) -> Option<CommittedBlock> {
    let sealed = chain.sealed(chain.state().height()).ok()??;
    let (block, certificate) = decode(&sealed.consensus)?;
    let proposal = Proposal { block, payload: Payload::default() };
    Some(CommittedBlock { proposal, certificate })
}

/// The ledger header that a stored certified block certifies, if it has its own certificate and names a state.
pub(super) fn certificate_in(
    chain: &Chain,
    consensus: &[u8],
) -> Result<Option<(Header, CertifiedHeader)>, ChainError> {
    let Some((block, certificate)) = decode(consensus) else { return Ok(None) };
    if certificate.rank.height != block.header.height {
        return Ok(None);
    }
    let sealed = chain.sealed(block.header.app.height)?;
    Ok(sealed.map(|sealed| (sealed.header, CertifiedHeader { block, certificate })))
}

/// The hashes of all headers in a file beside the chain. One that is missing, too long or of other headers is written anew from the log, and where
/// the oldest headers are not here, from the peaks in the state: then nothing is proved of the headers before.
pub(super) fn open_history(chain: &Chain, path: &Path) -> Option<HistoryTree<NodeFile>> {
    let history = chain.state().history();
    let is_right = |tree: &HistoryTree<NodeFile>| {
        tree.count() == history.count() && tree.root_at(history.count()) == Some(history.root())
    };
    for attempt in 0..2 {
        if attempt > 0 && std::fs::remove_file(path).is_err() {
            break;
        }
        let Ok(Some(mut tree)) = NodeFile::open(path).map(HistoryTree::of) else { continue };
        let missing = tree.count() + 1..=history.count();
        let filled = missing.into_iter().try_for_each(|height| {
            let sealed = chain.sealed(Height(height)).ok().flatten()?;
            tree.try_push(sealed.header.hash()).ok()
        });
        if filled.is_some() && is_right(&tree) {
            return Some(tree);
        }
    }
    match HistoryTree::begin_at(path, history) {
        Ok(tree) => Some(tree),
        Err(error) => {
            let file = path.display();
            tracing::warn!(%file, %error, "no proofs of the past are served");
            None
        }
    }
}
