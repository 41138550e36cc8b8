//! Judging inputs one after another, and saying how to see a failure again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Mutator, Target, Verdict};

/// Accepted mutants that become seeds of further ones, at most.
const LEARNT_MAX: usize = 64;
/// Bytes of a mutant that becomes a seed, at most.
const LEARNT_BYTES_MAX: usize = 16 << 10;

/// A broken promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Of which target.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What was said.
    pub message: String,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Inputs judged.
    pub inputs: u64,
    /// Of these accepted.
    pub accepted: u64,
    /// The most memory that one took, in bytes, where it was measured.
    pub memory_max: usize,
}

/// Calls something and says how many bytes of memory it took at its peak.
pub type Measure = dyn Fn(&mut dyn FnMut()) -> usize;

/// Judges a target's inputs.
pub struct Runner<'a> {
    target: Target,
    pool: Vec<Vec<u8>>,
    committed: usize,
    mutator: Mutator,
    /// Bytes of memory that a call takes at its peak.
    measure: Option<&'a Measure>,
    report: Report,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runner({:?}, {:?})", self.target, self.report)
    }
}

impl<'a> Runner<'a> {
    /// A runner over a corpus, which is not empty.
    #[must_use]
    pub fn new(target: Target, corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        let committed = corpus.len();
        let (mutator, report) = (Mutator::new(seed), Report::default());
        Self { target, pool: corpus, committed, mutator, measure: None, report }
    }

    /// Measures memory too.
    #[must_use]
    pub fn measured(self, measure: &'a Measure) -> Self {
        Self { measure: Some(measure), ..self }
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report
    }

    /// Judges the corpus as it is.
    ///
    /// # Errors
    /// The first [`Failure`].
    pub fn corpus(&mut self) -> Result<(), Failure> {
        for at in 0..self.committed {
            self.judge(self.pool[at].clone())?;
        }
        Ok(())
    }

    /// Judges some mutants.
    ///
    /// # Errors
    /// The first [`Failure`].
    pub fn mutants(&mut self, count: u64) -> Result<(), Failure> {
        for _ in 0..count {
            let input = self.mutator.mutant(&self.pool);
            let short = input.len() <= LEARNT_BYTES_MAX;
            let accepted = self.judge(input.clone())? == Verdict::Accepted;
            if accepted && short && !self.pool.contains(&input) {
                if self.pool.len() < self.committed + LEARNT_MAX {
                    self.pool.push(input);
                } else {
                    let at = self.committed + self.mutator.below(LEARNT_MAX);
                    self.pool[at] = input;
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, input: Vec<u8>) -> Result<Verdict, Failure> {
        self.report.inputs += 1;
        let judge = self.target.judge;
        let mut judged = None;
        let mut call = || judged = Some(catch_unwind(AssertUnwindSafe(|| judge(&input))));
        let memory = match self.measure {
            Some(measure) => measure(&mut call),
            None => {
                call();
                0
            }
        };
        self.report.memory_max = self.report.memory_max.max(memory);
        let failure = |message: String, input: Vec<u8>| {
            Err(Failure { target: self.target.name, input, message })
        };
        match judged {
            Some(Ok(_)) if memory > self.target.memory_max(input.len()) => {
                let limit = self.target.memory_max(input.len());
                let message = format!(
                    "{memory} bytes of memory for an input of {} bytes, the limit is {limit}",
                    input.len()
                );
                failure(message, input)
            }
            Some(Ok(verdict)) => {
                self.report.accepted += u64::from(verdict == Verdict::Accepted);
                Ok(verdict)
            }
            Some(Err(panic)) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                failure(text.unwrap_or("a panic without words").to_owned(), input)
            }
            None => failure("it was not judged at all".to_owned(), input),
        }
    }
}
