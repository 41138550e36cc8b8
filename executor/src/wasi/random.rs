//! Random bytes that anybody can repeat.

use gongsuan_types::{Hash, Hasher};

/// Random bytes that follow from a seed: SHA-256 in counter mode.
#[derive(Debug)]
pub(super) struct Random {
    seed: Hash,
    block: u64,
    ready: Vec<u8>,
}

impl Random {
    /// The bytes that follow from a seed.
    pub(super) fn new(seed: Hash) -> Self {
        Self { seed, block: 0, ready: Vec::new() }
    }

    /// The next bytes.
    pub(super) fn fill(&mut self, to: &mut [u8]) {
        for byte in to {
            if self.ready.is_empty() {
                let mut hasher = Hasher::new("gongsuan/random/v1");
                hasher.update(&self.seed.0).update(&self.block.to_le_bytes());
                self.ready = hasher.finish().0.to_vec();
                self.ready.reverse();
                self.block += 1;
            }
            *byte = self.ready.pop().expect("just filled");
        }
    }
}
