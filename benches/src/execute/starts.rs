//! How long a large module takes to start: compiled, and from the cache of compiled modules.

use std::path::{Path, PathBuf};

use gongsuan_executor::engine::cache::{ModuleCache, Origin};
use gongsuan_executor::{EngineKind, Metered, Program};
use serde_json::json;

use super::{process_nanos, rounded, text};
use crate::table::Report;

/// What `scripts/setup --programs` installs: `CPython`, 20 MB.
const MODULE: &str = "target/programs/python/python.wasm";

pub(super) fn run(report: &mut Report, quick: bool, module: Option<&Path>) -> Result<(), String> {
    let path = module.map_or_else(|| PathBuf::from(MODULE), Path::to_owned);
    let Ok(module) = std::fs::read(&path) else {
        report.note(&format!(
            "SKIPPED: starts of a large module, because {} is absent (scripts/setup --programs installs it; --module names another)",
            path.display()
        ));
        return Ok(());
    };
    let folder = tempfile::tempdir().map_err(text)?;
    let cache = ModuleCache::open(folder.path(), 1 << 30).map_err(text)?;
    let timed = |work: &mut dyn FnMut() -> Result<(), String>| {
        let from = process_nanos();
        work()?;
        Ok::<f64, String>((process_nanos() - from) / 1e6)
    };
    let metering = timed(&mut || Metered::new(&module).map(drop).map_err(text))?;
    let interpreter =
        timed(&mut || Program::load(EngineKind::Wasmi, &module).map(drop).map_err(text))?;
    let mut first = None;
    let compiled = timed(&mut || {
        first = Some(cache.load(&module).map_err(text)?);
        Ok(())
    })?;
    let first = first.ok_or("nothing was loaded")?;
    if let Some(refusal) = first.program.refusal() {
        return Err(refusal.to_string());
    }
    if let Some(why) = first.unkept {
        return Err(why.to_string());
    }
    let (mut by_bytes, mut by_name) = (f64::MAX, f64::MAX);
    for _ in 0..if quick { 5 } else { 20 } {
        by_bytes = by_bytes.min(timed(&mut || match cache.load(&module).map_err(text)?.origin {
            Origin::Loaded => Ok(()),
            Origin::Compiled | Origin::Recompiled(_) => Err("it was not in the cache".to_owned()),
        })?);
        let name = first.program.module_hash();
        by_name = by_name.min(timed(&mut || {
            cache
                .get(name)
                .map_err(text)?
                .map(drop)
                .ok_or_else(|| "it was not in the cache".to_owned())
        })?);
    }
    report.row(json!({
        "name": "start",
        "variant": format!("{:.1} MB", module.len() as f64 / 1e6),
        "metering_ms": rounded(metering, 1),
        "interpreter_ms": rounded(interpreter, 1),
        "compiled_and_kept_ms": rounded(compiled, 1),
        "cached_ms": rounded(by_bytes, 2),
        "cached_by_name_ms": rounded(by_name, 2),
    }));
    Ok(())
}
