//! The smallest program around [`gongsuan_executor::worker::serve`]: what a pool starts in this crate's tests.
//!
//! - `probe`: enters the cage instead and tries to get out, one line for each way.
//! - `run-job --spool DIR [--name NAME]`: a pilot with this program as its worker; without a name it joins.
//! - `controller DIR KEYFILE children|slurm`: renders a picture on two pilots, a line for each tile, and hangs after eight of them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "answers are output, errors go to people"
)]

use std::fs::File;
use std::io::ErrorKind;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use gongsuan_executor::backend::{
    Children, Fleet, KEY_VARIABLE, PilotCommand, PilotConfig, Pilots, PilotsConfig, Slurm,
    SlurmConfig, join, key_file, run_job,
};
use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_executor::jobs::{Lanes, Scheduler, SchedulerConfig};
use gongsuan_executor::worker::{PoolConfig, enter_cage, serve};
use gongsuan_executor::{Backend, Cancel, Event, Inputs, Job};
use gongsuan_types::Hash;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["probe"] => return probe(),
        ["run-job", "--spool", spool, "--name", name] => pilot(spool.as_ref(), Some(name)),
        ["run-job", "--spool", spool] => pilot(spool.as_ref(), None),
        ["controller", spool, key, fleet] => controller(spool.as_ref(), key.as_ref(), fleet),
        _ => return serve(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pilot(spool: &Path, name: Option<&str>) -> Outcome {
    let key = std::env::var(KEY_VARIABLE)?.parse()?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => join(spool, &key)?,
    };
    let config = PilotConfig {
        spool: spool.to_owned(),
        name,
        key,
        worker: PoolConfig::new(std::env::current_exe()?, [""; 0]),
        orphan_after: Duration::from_secs(20),
    };
    let why = run_job(config)?;
    eprintln!("{why}");
    Ok(())
}

fn controller(spool: &Path, key: &Path, fleet: &str) -> Outcome {
    let key = key_file(key)?;
    let command = PilotCommand {
        program: std::env::current_exe()?,
        args: vec!["run-job".into()],
        spool: spool.to_owned(),
        key: key.clone(),
    };
    let fleet: Arc<dyn Fleet> = match fleet {
        "slurm" => Arc::new(Slurm::new(SlurmConfig::new(command))),
        _ => Arc::new(Children::new(command)),
    };
    let mut config = PilotsConfig::new(spool.to_owned(), key);
    config.batch_fuel = 50_000_000;
    let scheduler =
        Scheduler::start(SchedulerConfig::new(Lanes::Pilots(Pilots::open(config, fleet)?)))?;
    let scene = RaytraceScene { width: 64, height: 40, samples: 1, ..RaytraceScene::default() };
    let spec = scene.to_job(Hash::ZERO);
    let job = Job {
        module: RAYTRACE.into(),
        segments: (0..spec.segment_count()).collect(),
        inputs: Inputs::Shared(scene.to_input().into()),
        spec,
    };
    let mut told = 0;
    scheduler.run(&job, &Cancel::new(), &mut |event| {
        if let Event::Done(done) = event {
            println!("{}", done.receipt.segment);
            told += 1;
        }
        if told == 8 {
            // It waits for its death here; its pilots go on.
            loop {
                std::thread::park();
            }
        }
    })?;
    Ok(())
}

fn probe() -> ExitCode {
    let before = File::open("/proc/self/stat").is_ok();
    println!("before: {before}");
    println!("missing: {}", enter_cage().missing());
    let escapes = [
        ("read", File::open("/proc/self/stat").is_ok()),
        ("write", File::create("/tmp/gongsuan-escaped").is_ok()),
        ("list", std::fs::read_dir("/").is_ok()),
        (
            "tcp",
            !TcpStream::connect("127.0.0.1:9")
                .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied),
        ),
        ("udp", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("unix", UnixStream::pair().is_ok()),
        ("program", Command::new("/bin/true").status().is_ok()),
        ("thread", std::thread::Builder::new().spawn(|| ()).is_ok()),
        ("computing", vec![1u8; 64 << 20].iter().map(|n| u64::from(*n)).sum::<u64>() == 64 << 20),
    ];
    for (way, open) in escapes {
        println!("{way}: {open}");
    }
    ExitCode::SUCCESS
}
