//! What happened, as a hash always and as readable lines when asked for.

use gongsuan_consensus::Message;
use gongsuan_types::{Hash, Hasher};

/// The trace of one world.
pub(crate) struct Trace {
    hasher: Hasher,
    pub(crate) events: u64,
    wanted: bool,
    pub(crate) lines: Vec<String>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({} events)", self.events)
    }
}

impl Trace {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { hasher: Hasher::new("gongsuan/sim/trace"), events: 0, wanted, lines: Vec::new() }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// One event: its time, what kind, whom it concerns, and what stands for its content.
    pub(crate) fn event(&mut self, now: u64, kind: &str, node: usize, content: &[u8]) {
        self.events += 1;
        self.hasher.update(&now.to_le_bytes()).update(&(node as u64).to_le_bytes());
        self.hasher.part(kind.as_bytes()).part(content);
    }

    /// A line: the time, one glyph a node, and what happened.
    pub(crate) fn line(&mut self, now: u64, glyphs: &str, text: impl FnOnce() -> String) {
        if self.wanted {
            self.lines.push(format!("{now:>8} ms  {glyphs}  {}", text()));
        }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hasher.clone().finish()
    }
}

/// A message in a few words.
pub(crate) fn brief(message: &Message) -> String {
    match message {
        Message::Propose(p) => {
            let header = &p.block.header;
            let more = if header.is_final() { ", last of its epoch" } else { "" };
            format!("block {}.{}{more}", header.term, header.height)
        }
        Message::Vote(vote) => format!("{:?} {}.{}", vote.kind, vote.rank.term, vote.rank.height),
        Message::Votes(joined) => {
            let (prepare, commit) = (joined.prepare.0, joined.commit.0);
            format!(
                "Prepare {}.{} + Commit {}.{}",
                prepare.term, prepare.height, commit.term, commit.height
            )
        }
        Message::Certificate(qc) => {
            format!("certificate {:?} {}.{}", qc.kind, qc.rank.term, qc.rank.height)
        }
        Message::Suspect(suspect) => format!("suspects term {}", suspect.term),
        Message::Timeout(timeout) => format!(
            "ends term {}, highest {}.{}",
            timeout.term, timeout.high.rank.term, timeout.high.rank.height
        ),
        Message::TermOver(tc) => format!("term {} is over", tc.term),
        Message::Reopen(tc) => format!("votes again on the last block, after term {}", tc.term),
        Message::Status(status) => {
            format!("is at epoch {} term {} height {}", status.epoch, status.term, status.committed)
        }
        Message::FetchBlock(fetch) => format!("asks for block {}", fetch.height),
        Message::FetchRange(fetch) => format!("asks for blocks from {}", fetch.from_height),
        Message::Blocks(blocks) => format!("{} blocks", blocks.proposals.len()),
        Message::Snapshot(offer) => format!("offers a snapshot of {}", offer.height),
        Message::FetchChunk(fetch) => format!("asks for piece {}", fetch.index),
        Message::Chunk(chunk) => format!("piece {}", chunk.proof.index),
    }
}
