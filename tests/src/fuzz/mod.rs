//! Bytes from outside, by the million.
//!
//! A [`Target`] is a plain function of bytes: it decodes them as the program would and panics if a promise is broken. Three runners share the targets:
//!
//! - `cargo test -p gongsuan-tests --test fuzz`: the committed corpora (`tests/corpus`) and some thousand seeded mutations of them;
//! - `cargo run --release -p gongsuan-tests --bin fuzz -- --seconds 60 [target]`: as many as there is time for;
//! - `cargo fuzz run <target>` in `fuzz/`: guided by coverage, with a nightly compiler.
//!
//! # What a target promises
//! 1. No input panics.
//! 2. What is accepted has one form: it is encoded to the very bytes that were read, and read again it is the same value.
//! 3. Memory in use while an input is judged is bounded by the input's length ([`Target::memory_max`]), whatever lengths it declares.
//! 4. What a target says beside that: a proof that was bent does not hold, a journal that was repaired opens again.

mod bytes;
mod corpus;
mod files;
pub mod market;
mod mutate;
mod run;
mod text;
mod world;

pub use corpus::{folder, read_corpus, write_corpus};
pub use mutate::Mutator;
pub use run::{Failure, Measure, Report, Runner};

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused.
    Refused,
    /// It was taken for what it should be.
    Accepted,
}

/// Something that reads bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of seeds.
    pub name: &'static str,
    /// Judges bytes; panics if a promise is broken.
    pub judge: fn(&[u8]) -> Verdict,
    /// Good inputs to begin with.
    seeds: fn() -> Vec<Vec<u8>>,
    /// Bytes of memory beside those of the input that judging may take, whatever its length.
    memory_fixed: usize,
    /// And for each byte of the input.
    memory_per_byte: usize,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

impl Target {
    /// A target with the usual bound: serde allocates at most a mebibyte ahead for a list whose length it was told, lists stand in lists, and values
    /// are larger than their encodings.
    const fn new(
        name: &'static str,
        judge: fn(&[u8]) -> Verdict,
        seeds: fn() -> Vec<Vec<u8>>,
    ) -> Self {
        Self { name, judge, seeds, memory_fixed: 8 << 20, memory_per_byte: 1_024 }
    }

    /// The same with another fixed part.
    const fn with_memory(self, memory_fixed: usize) -> Self {
        Self { memory_fixed, ..self }
    }

    /// Bytes of memory that judging an input of this length may take.
    #[must_use]
    pub fn memory_max(&self, input_bytes: usize) -> usize {
        self.memory_fixed.saturating_add(self.memory_per_byte.saturating_mul(input_bytes))
    }
}

/// Not a decoder: bytes as commands, and two books that must agree.
const BOOKS: Target = Target::new(
    "market",
    |bytes| {
        market::run(bytes);
        Verdict::Accepted
    },
    // Its seeds are written by hand: there is nothing to encode them from.
    || corpus::read("market").unwrap_or_default(),
)
.with_memory(64 << 20);

/// Every target.
#[must_use]
pub fn targets() -> Vec<Target> {
    [bytes::TARGETS, files::TARGETS, text::TARGETS, &[BOOKS]].concat()
}

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    targets().into_iter().find(|target| target.name == name)
}
