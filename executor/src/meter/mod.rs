//! The rules that go into every module: fuel, stack height, NaN bits.
//!
//! [`Metered::new`] refuses what may not run and rewrites the rest, so that fuel and limits are part of what the program
//! *means*. Any engine that follows the WebAssembly specification then gives the same output, the same fuel and the same
//! trap; its own fuel, stack and NaN settings stay out of it.
//!
//! What is written into a module:
//! 1. **Fuel.** Every stretch of straight code pays the sum of its costs (the table of version [`METER_VERSION`]) from a local counter when
//!    it is entered; a loop of straight code that counts pays for a portion of its rounds at once. Loop headers and function entries look at
//!    the counter; below zero it takes a *lease* of [`LEASE_FUEL`] from the module's reserve, or, where the reserve is empty, traps as out of
//!    fuel. Bulk operations and memory growth pay for their length before they run.
//! 2. **A trap burns the lease.** A stretch that traps does not say how far it came, so what was leased counts as burnt: at most [`LEASE_FUEL`]
//!    and a portion more than was used, the same everywhere. Returning and exiting count exactly.
//! 3. **Stack.** A function that calls reserves its frame (locals, operands and a constant, in slots of 8 bytes) and traps
//!    beyond [`STACK_SLOTS_MAX`]. Engines get native stacks far larger than that.
//! 4. **NaN.** Arithmetic may give any NaN. Where its bits could show, as bytes, an integer or a sign, it is made the canonical one; the values
//!    are followed from where they are made, so that nothing is done where bits cannot show. What was loaded keeps its bits.
//! 5. **Start.** The start function becomes an ordinary export, called once the fuel is there.
//!
//! Admitted: the MVP with floats, sign extension, saturating conversions, bulk memory, multiple values, mutable globals,
//! reference types (functions only) and 128-bit SIMD. Everything else is refused by name, before anything is rewritten.
//!
//! A module that would keep a compiler busy for minutes is refused, too: what compiling takes is estimated from the operations alone,
//! so that the refusal is the same everywhere.
//!
//! It deliberately does not optimise, and knows nothing of engines.

mod blocks;
mod cost;
mod counted;
mod emit;
mod inspect;
mod nan;
mod rewrite;
#[cfg(test)]
mod scramble;

use std::sync::Arc;

use gongsuan_types::Hash;

use crate::ModuleError;
use crate::wasi::Function;
use crate::wasi::files::Tree;

/// The version of the cost table and of the rules above. The same module burns the same fuel under it for ever.
pub const METER_VERSION: u16 = 3;
/// A module in bytes, at most.
/// Enough for an interpreter of a large language with its library. A chain may carry less: what it stores of one blob is its own limit.
pub const MODULE_BYTES_MAX: usize = 32 << 20;
/// Fuel taken from the reserve at once.
pub const LEASE_FUEL: i64 = 1_000_000;
/// Slots of 8 bytes that the frames of all calling functions may reserve together: 1 MiB.
pub const STACK_SLOTS_MAX: u32 = 131_072;
/// Bytes in a page of memory.
pub const PAGE_BYTES: usize = 65_536;
/// Fuel of a fresh page: the system must find and clear it.
pub const PAGE_FUEL: u64 = 16_384;
/// Fuel of asking for a longer memory or table.
pub(crate) const GROWTH_FUEL: u64 = cost::GROWTH.cast_unsigned();
/// Tables in a module, at most.
pub const TABLES_MAX: usize = 16;
/// Entries in a table, at most.
pub const TABLE_ENTRIES_MAX: usize = 262_144;

/// Exports that the meter adds; a module may not use their prefix.
pub(crate) const PREFIX: &str = "gongsuan:";
pub(crate) const RESERVE: &str = "gongsuan:reserve";
pub(crate) const LEASE: &str = "gongsuan:lease";
pub(crate) const FAULT: &str = "gongsuan:fault";
pub(crate) const START: &str = "gongsuan:start";
/// What the fault global says about a trap of the meter's own. Out of fuel is what a comparison gives for true.
pub(crate) const FAULT_FUEL: i32 = 1;
pub(crate) const FAULT_STACK: i32 = 2;

/// A module with the rules inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metered {
    bytes: Vec<u8>,
    module: Hash,
    memory_minimum: u32,
    start_fuel: u64,
    imports: Vec<&'static Function>,
    files: Arc<Tree>,
}

impl Metered {
    /// Checks a module and writes the rules into it.
    ///
    /// # Errors
    /// [`ModuleError`]: what is wrong, where, the limit and what was got.
    pub fn new(module: &[u8]) -> Result<Self, ModuleError> {
        let facts = inspect::inspect(module)?;
        let bytes = rewrite::rewrite(module, &facts)?;
        Ok(Self {
            bytes,
            module: Hash::of_content(module),
            memory_minimum: facts.memory_minimum,
            start_fuel: u64::from(facts.memory_minimum) * PAGE_FUEL + facts.data_fuel,
            imports: facts.imports,
            files: Arc::new(facts.files.unwrap_or_default()),
        })
    }

    /// The rewritten module.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content address of the module as it came.
    #[must_use]
    pub fn module_hash(&self) -> Hash {
        self.module
    }

    /// Pages of memory that an instance starts with.
    #[must_use]
    pub fn memory_minimum(&self) -> u32 {
        self.memory_minimum
    }

    /// Fuel of a fresh instance: its pages, and the data written into them.
    #[must_use]
    pub fn start_fuel(&self) -> u64 {
        self.start_fuel
    }

    /// The files that it carries.
    pub(crate) fn files(&self) -> &Arc<Tree> {
        &self.files
    }

    /// The functions that it imports, each once.
    pub(crate) fn imports(&self) -> &[&'static Function] {
        &self.imports
    }
}
