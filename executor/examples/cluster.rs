//! Renders the ray-traced scene on the machines of a Slurm cluster, with no chain, and writes it as a PPM file.
//!
//! ```sh
//! cargo build --release -p gongsuan-executor --example cluster
//! cp target/release/examples/cluster /shared/
//! /shared/cluster picture.ppm /shared/spool 8 --partition=idle
//! ```
//! The program must lie where every machine sees it: it is its own pilot and worker. End it in the middle and start it again: it finds its
//! pilots, and takes what they have done. Instead of `sbatch` options, `--here` runs the pilots on this machine.
#![expect(clippy::print_stderr, reason = "an example talks to people")]

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gongsuan_executor::backend::{
    Children, Fleet, KEY_VARIABLE, PilotCommand, PilotConfig, Pilots, PilotsConfig, Slurm,
    SlurmConfig, key_file, run_job,
};
use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_executor::jobs::{Lanes, Scheduler, SchedulerConfig};
use gongsuan_executor::worker::{PoolConfig, serve};
use gongsuan_executor::{Backend, Cancel, Event, Inputs, Job};
use gongsuan_types::Hash;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let end = match words[..] {
        // A worker gives up files and sockets before it reads a byte of the program that it runs.
        ["worker"] => return serve(),
        ["run-job", "--spool", spool, "--name", name] => pilot(spool.into(), name),
        [picture, spool, pilots, ref options @ ..] => {
            render(Path::new(picture), Path::new(spool), pilots, options)
        }
        _ => Err("usage: cluster PICTURE SPOOL PILOTS [--here | SBATCH_OPTION...]".into()),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pilot(spool: PathBuf, name: &str) -> Result<(), Box<dyn Error>> {
    let why = run_job(PilotConfig {
        spool,
        name: name.to_owned(),
        key: std::env::var(KEY_VARIABLE)?.parse()?,
        worker: PoolConfig::new(std::env::current_exe()?, ["worker"]),
        orphan_after: Duration::from_mins(10),
    })?;
    eprintln!("the pilot leaves: {why}");
    Ok(())
}

fn render(
    picture: &Path,
    spool: &Path,
    pilots: &str,
    options: &[&str],
) -> Result<(), Box<dyn Error>> {
    let spool = std::path::absolute(spool)?;
    let key = key_file(&spool.with_extension("key"))?;
    let command = PilotCommand {
        program: std::env::current_exe()?,
        args: vec!["run-job".into()],
        spool: spool.clone(),
        key: key.clone(),
    };
    let fleet: Arc<dyn Fleet> = if options == ["--here"] {
        Arc::new(Children::new(command))
    } else {
        let options = options.iter().map(OsString::from).collect();
        Arc::new(Slurm::new(SlurmConfig { options, ..SlurmConfig::new(command) }))
    };
    let config = PilotsConfig { pilots: pilots.parse()?, ..PilotsConfig::new(spool, key) };
    let pilots = Pilots::open(config, fleet)?;
    eprintln!("{:?}", pilots.reconciled());

    let scene = RaytraceScene::default();
    let spec = scene.to_job(Hash::ZERO);
    let job = Job {
        module: RAYTRACE.into(),
        segments: (0..spec.segment_count()).collect(),
        inputs: Inputs::Shared(scene.to_input().into()),
        spec,
    };
    let mut pixels = vec![0; scene.width as usize * scene.height as usize * 3];
    let scheduler = Scheduler::start(SchedulerConfig::new(Lanes::Pilots(pilots)))?;
    let receipts = scheduler.run(&job, &Cancel::new(), &mut |event| match event {
        Event::Done(done) => scene.place(&mut pixels, done.receipt.segment, &done.output),
        Event::Worker { worker, pid, .. } => {
            eprintln!("pilot {worker}: its worker is process {pid}");
        }
        Event::Retried { segment, why } => eprintln!("segment {segment} again: {why}"),
        Event::Refused(error) => eprintln!("refused: {error}"),
        Event::Cache { reason } => eprintln!("{reason}"),
        // More kinds may come.
        _ => {}
    })?;
    let fuel: u64 = receipts.iter().map(|receipt| receipt.fuel.0).sum();
    eprintln!("{} tiles, {} Mf", receipts.len(), fuel / 1_000_000);
    let header = format!("P6\n{} {}\n255\n", scene.width, scene.height);
    std::fs::write(picture, [header.as_bytes(), &pixels].concat())?;
    Ok(())
}
