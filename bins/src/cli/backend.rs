//! Where a provider runs its deals: the options of `gongsuan provider run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use gongsuan_executor::backend::{
    Fleet, PilotCommand, Pilots, PilotsConfig, Slurm, SlurmConfig, Standing, key_file,
};
use gongsuan_executor::jobs::{Lanes, Scheduler, SchedulerConfig};
use gongsuan_executor::worker::PoolConfig;
use gongsuan_executor::{InProcess, default_engine};

use super::{output, usage};
use crate::provider::Stalls;

/// Where segments run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kind {
    /// Caged processes of this machine.
    Processes,
    /// Threads of this process, without a cage: for programs of people you trust.
    Threads,
    /// Pilots that Slurm starts.
    Slurm,
    /// Pilots that something else starts, such as Kubernetes.
    Pilots,
}

#[derive(Debug, clap::Args)]
pub(super) struct Backend {
    /// Where deals run.
    #[arg(long, value_enum, default_value = "processes")]
    backend: Kind,
    /// Workers at once; 0 means one for each core, or two pilots.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// With slurm and pilots: a folder that all machines see.
    #[arg(long)]
    spool: Option<PathBuf>,
    /// With slurm and pilots: memory of one pilot, in MiB.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u64).range(512..))]
    pilot_memory_mib: u64,
    /// With slurm: one more option of sbatch, such as `--slurm=--partition=idle`; may be repeated.
    #[arg(long = "slurm", value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Backend {
    /// Leaves cores of this machine to others, unless it was said how many workers there are.
    pub(super) fn leave(&mut self, others: u16, cores: u16) {
        let is_here = matches!(self.backend, Kind::Processes | Kind::Threads);
        if self.workers == 0 && others > 0 && is_here {
            // One at least: the agent may be drawn as an auditor.
            self.workers = usize::from(cores.saturating_sub(others).max(1));
        }
    }

    /// Cores for leases, of this kind of backend.
    pub(super) fn stalls(&self, cores: u16) -> anyhow::Result<Stalls> {
        let lanes = match self.backend {
            Kind::Processes => {
                Lanes::Processes(PoolConfig::new(std::env::current_exe()?, ["worker"]))
            }
            Kind::Threads => {
                Lanes::Threads(InProcess { engine: default_engine(), threads: self.workers })
            }
            Kind::Slurm | Kind::Pilots => {
                return Err(usage(
                    "cores of pilots cannot be reserved: --lease-cores goes with --backend processes or threads",
                ));
            }
        };
        Stalls::new(lanes, cores).map_err(usage)
    }

    /// Starts it. `state` is the agent's own folder: the spool's key is there.
    pub(super) fn start(&self, state: &Path) -> anyhow::Result<Scheduler> {
        let lanes = match self.backend {
            Kind::Processes => {
                let config = PoolConfig::new(std::env::current_exe()?, ["worker"]);
                Lanes::Processes(PoolConfig { workers: self.workers, ..config })
            }
            Kind::Threads => {
                output::note(
                    "warning: without a cage, a deal's program runs in the process that holds your key",
                );
                Lanes::Threads(InProcess { engine: default_engine(), threads: self.workers })
            }
            Kind::Slurm | Kind::Pilots => Lanes::Pilots(self.pilots(state)?),
        };
        let mut config = SchedulerConfig::new(lanes);
        if let Lanes::Pilots(pilots) = &config.lanes {
            // Each pilot has its own memory.
            let pilots = pilots.config();
            config.memory_bytes = pilots.memory_bytes.saturating_mul(pilots.pilots as u64);
        }
        Ok(Scheduler::start(config)?)
    }

    fn pilots(&self, state: &Path) -> anyhow::Result<Arc<Pilots>> {
        let spool = self.spool.as_ref().ok_or_else(|| {
            usage("no folder for pilots; use --spool DIR, on a file system that all machines see")
        })?;
        let spool = std::path::absolute(spool)?;
        let key = key_file(&state.join("spool.key"))?;
        let command = PilotCommand {
            program: std::env::current_exe()?,
            args: vec!["run-job".into()],
            spool: spool.clone(),
            key: key.clone(),
        };
        let fleet: Arc<dyn Fleet> = if self.backend == Kind::Slurm {
            let options = self.options.iter().map(Into::into).collect();
            let memory_mib = self.pilot_memory_mib;
            Arc::new(Slurm::new(SlurmConfig { memory_mib, options, ..SlurmConfig::new(command) }))
        } else {
            Arc::new(Standing)
        };
        let mut config = PilotsConfig::new(spool, key);
        config.memory_bytes = self.pilot_memory_mib << 20;
        if self.workers > 0 {
            config.pilots = self.workers;
        }
        if fleet.is_joined() {
            // Whoever started them decides how long they stay.
            config.idle_max = std::time::Duration::MAX;
        }
        let pilots = Pilots::open(config, fleet).context("cannot open the spool")?;
        let found = pilots.reconciled();
        tracing::info!(
            pilots = found.kept,
            lost = found.lost,
            results = found.results,
            "spool opened"
        );
        Ok(pilots)
    }
}
