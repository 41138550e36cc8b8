//! What happened, as a hash always and as readable lines when asked for.

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
