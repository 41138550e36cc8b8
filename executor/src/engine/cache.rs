//! Compiled modules kept on disk, so that a program of many megabytes starts in milliseconds the second time.
//!
//! For this process and modules that its caller trusts: a caged worker has given up files before it sees a module, and what a stranger's module
//! made of a compiler must not be loaded outside the cage. See the crate `gongsuan-executor-cache` for what proves an entry.

use std::path::Path;

use gongsuan_executor_cache::{Cache, Found, Subject};
use gongsuan_types::{Hash, codec};
use serde::{Deserialize, Serialize};

pub use gongsuan_executor_cache::{CacheError, Discarded};

use super::cranelift::Cranelift;
use super::{EngineKind, Program, Ready};
use crate::meter::{METER_VERSION, Metered};
use crate::wasi::files::Tree;
use crate::wasi::{self, Function};
use crate::{ModuleError, RunError};

/// A folder of compiled modules.
#[derive(Debug)]
pub struct ModuleCache(Cache);

/// Where a program came from.
#[derive(Debug)]
pub enum Origin {
    /// From the cache.
    Loaded,
    /// It was compiled now, since it was not there.
    Compiled,
    /// It was compiled now, since what was there must not be used; it is replaced.
    Recompiled(Discarded),
}

/// A program, and what the cache had to do with it.
#[derive(Debug)]
pub struct Cached {
    /// The program.
    pub program: Program,
    /// Where it came from.
    pub origin: Origin,
    /// Why it was not kept for the next time, if it was not: the cache cannot be written, or has no room for it.
    pub unkept: Option<CacheError>,
}

/// What is needed of a module beside its code.
#[derive(Serialize, Deserialize)]
struct Note {
    memory_minimum: u32,
    start_fuel: u64,
    imports: Vec<(String, String)>,
    files: Vec<u8>,
}

impl ModuleCache {
    /// Opens a folder, making it where it is absent. Its files may have `bytes_max` bytes together: those unused longest go first.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, CacheError> {
        Cache::open(folder, bytes_max).map(Self)
    }

    /// The program with this content address, if its compiled form is here and good: its module is not needed.
    ///
    /// # Errors
    /// [`RunError::Engine`] if the engine does not start.
    pub fn get(&self, module: Hash) -> Result<Option<Program>, RunError> {
        self.find(module).map(|(program, _)| program)
    }

    /// The program of a module: from the cache, or compiled and kept. A module that may not run is never kept.
    ///
    /// # Errors
    /// As [`Program::load`].
    pub fn load(&self, module: &[u8]) -> Result<Cached, RunError> {
        let hash = Hash::of_content(module);
        let (found, discarded) = self.find(hash)?;
        if let Some(program) = found {
            return Ok(Cached { program, origin: Origin::Loaded, unkept: None });
        }
        let origin = discarded.map_or(Origin::Compiled, Origin::Recompiled);
        let metered = match Metered::new(module) {
            Ok(metered) => metered,
            Err(refusal) => {
                let program = Program::refused(EngineKind::Cranelift, hash, refusal);
                return Ok(Cached { program, origin, unkept: None });
            }
        };
        let engine = Cranelift::shared()?;
        let compiled = engine.compile(metered.bytes())?;
        let note = Note {
            memory_minimum: metered.memory_minimum(),
            start_fuel: metered.start_fuel(),
            imports: metered.imports().iter().map(|f| (f.module.into(), f.name.into())).collect(),
            files: metered.files().section().to_vec(),
        };
        let kept = self.0.store(engine.engine(), subject(hash), &codec::encode(&note), &compiled);
        let ready = Ready {
            prepared: engine.assemble(&compiled, metered.imports())?.into(),
            memory_minimum: metered.memory_minimum(),
            start_fuel: metered.start_fuel(),
            files: metered.files().clone(),
        };
        let program = Program::of(EngineKind::Cranelift, hash, ready);
        Ok(Cached { program, origin, unkept: kept.err() })
    }

    fn find(&self, module: Hash) -> Result<(Option<Program>, Option<Discarded>), RunError> {
        let engine = Cranelift::shared()?;
        let (compiled, note) = match self.0.load(engine.engine(), subject(module)) {
            Found::Absent => return Ok((None, None)),
            Found::Bad(why) => return Ok((None, Some(why))),
            Found::Entry(compiled, note) => (compiled, note),
        };
        match Note::read(&note) {
            Ok((note, imports, files)) => {
                let Note { memory_minimum, start_fuel, .. } = note;
                let prepared = engine.assemble(&compiled, &imports)?.into();
                let ready = Ready { prepared, memory_minimum, start_fuel, files: files.into() };
                Ok((Some(Program::of(EngineKind::Cranelift, module, ready)), None))
            }
            // Authentic, and yet not what this build writes: of a build that wrote other notes under the same versions.
            Err(reason) => Ok((None, Some(Discarded::Refused { reason }))),
        }
    }
}

impl Note {
    fn read(bytes: &[u8]) -> Result<(Self, Vec<&'static Function>, Tree), String> {
        let note: Self = codec::decode_own("note", bytes).map_err(|error| error.to_string())?;
        let find = |(module, name): &(String, String)| {
            wasi::find(module, name).ok_or_else(|| format!("there is no import {module}.{name}"))
        };
        let imports = note.imports.iter().map(find).collect::<Result<_, _>>()?;
        let files =
            Tree::read(&note.files).map_err(|error| ModuleError::from(error).to_string())?;
        Ok((note, imports, files))
    }
}

fn subject(module: Hash) -> Subject {
    Subject { module: module.0, meter: METER_VERSION }
}
