//! `gongsuan run-job`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_executor::EngineKind;
use gongsuan_executor::backend::{self, KEY_VARIABLE, PilotConfig, SpoolError};
use gongsuan_executor::worker::PoolConfig;

use super::{Coded, exit, output, usage};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that the controller shares with its pilots.
    #[arg(long)]
    spool: PathBuf,
    /// This pilot's name in it. Without one it makes a folder for itself, for a controller that lets pilots join.
    #[arg(long)]
    name: Option<String>,
    /// A file with the spool's key; otherwise the variable `GONGSUAN_SPOOL_KEY` holds it.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The engine, wasmi or cranelift; otherwise the fastest of this build.
    #[arg(long)]
    engine: Option<EngineKind>,
    /// Leave after so many seconds without a word from the controller.
    #[arg(long, default_value_t = 600)]
    orphan_seconds: u64,
}

pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let key = match &args.key_file {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => std::env::var(KEY_VARIABLE)
            .map_err(|_| usage(format!("no key; use --key-file FILE or {KEY_VARIABLE}")))?,
    };
    let key = key.parse().map_err(|error: backend::KeyError| usage(error.to_string()))?;
    let mut worker = PoolConfig::new(std::env::current_exe()?, ["worker"]);
    if let Some(engine) = args.engine {
        worker.engine = engine;
    }
    let name = match args.name {
        Some(name) => name,
        None => backend::join(&args.spool, &key)?,
    };
    let orphan_after = Duration::from_secs(args.orphan_seconds);
    let config = PilotConfig { spool: args.spool, name, key, worker, orphan_after };
    match backend::run_job(config) {
        Ok(why) => {
            output::note(&why);
            Ok(0)
        }
        Err(error @ SpoolError::NoSuchPilot { .. }) => {
            Err(Coded(exit::NOT_FOUND, error.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}
