//! Real child processes: the cage, deaths, silence, garbage.

use std::path::PathBuf;
use std::time::Duration;

use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{
    Backend, Cancel, Event, InProcess, Inputs, Job, PoolError, WorkerFailure, default_engine,
};
use gongsuan_types::job::{MapInput, Shape};
use gongsuan_types::receipt::{Receipt, Status};
use gongsuan_types::{Fuel, Hash};

use crate::support::{job, start, wasm};

const WORKER: &str = env!("CARGO_BIN_EXE_gongsuan-executor-worker");

fn config() -> PoolConfig {
    PoolConfig { workers: 2, ..PoolConfig::new(WORKER, [""; 0]) }
}

/// Eight segments of some hundred milliseconds each on the slow engine.
fn work(rounds: u32) -> Job {
    let module = wasm(&start(&format!(
        "(local $i i32) (loop $l
           (i32.store (i32.const 100) (i32.mul (local.get $i) (i32.const 0x9e3779b1)))
           (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {rounds}))))
         (drop (call $random_get (i32.const 104) (i32.const 8)))
         (call $put (i32.const 100) (i32.const 12))"
    )));
    let input = b"input".as_slice();
    let mut spec = job(&module, input);
    spec.limits.fuel = Fuel(4_000_000_000);
    spec.shape = Shape::Map { segments: 8, input: MapInput::Shared(Hash::of_content(input)) };
    Job {
        module: module.into(),
        spec,
        segments: (0..8).collect(),
        inputs: Inputs::Shared(input.into()),
    }
}

fn in_process(job: &Job) -> Vec<Receipt> {
    let backend = InProcess { engine: default_engine(), threads: 2 };
    backend.run(job, &Cancel::new(), &mut |_| {}).unwrap()
}

#[test]
fn workers_give_the_receipts_that_this_process_gives() {
    let job = work(1000);
    let mut workers = Vec::new();
    let receipts = Pool::new(config())
        .run(&job, &Cancel::new(), &mut |event| {
            if let Event::Worker { protections, .. } = event {
                workers.push(protections);
            }
        })
        .unwrap();
    assert_eq!(receipts, in_process(&job));
    assert!(!workers.is_empty() && workers.len() <= 2);
    for protections in workers {
        // These hold on every Linux that can run the tests; landlock depends on the kernel.
        assert_eq!(protections.no_system_calls, None);
        assert_eq!(protections.limits, None);
        assert_eq!(protections.dies_with_parent, None);
        assert_eq!(protections.all_hold(), protections.missing().is_empty());
    }
}

#[test]
fn traps_exits_and_endless_loops_are_results_not_failures() {
    for (body, status) in [
        ("unreachable", Status::Trap(gongsuan_types::receipt::Trap::Unreachable)),
        ("(call $proc_exit (i32.const 9))", Status::Exit(9)),
        ("(loop $l (br $l))", Status::OutOfFuel),
        (
            "(i32.store (i32.const -4) (i32.const 0))",
            Status::Trap(gongsuan_types::receipt::Trap::MemoryOutOfBounds),
        ),
    ] {
        let module = wasm(&start(body));
        let job = Job {
            spec: job(&module, b""),
            module: module.into(),
            segments: vec![0, 1],
            inputs: Inputs::Shared(b"".as_slice().into()),
        };
        let receipts = Pool::new(config()).run(&job, &Cancel::new(), &mut |_| {}).unwrap();
        assert_eq!(receipts, in_process(&job));
        assert!(receipts.iter().all(|receipt| receipt.status == status), "{body}");
    }
}

#[test]
fn a_worker_killed_in_the_middle_is_replaced_and_the_receipts_are_equal() {
    let job = work(3_000_000);
    let expected = in_process(&job);
    let (mut killed, mut retried, mut stood) = (None, Vec::new(), 0);
    let receipts = Pool::new(PoolConfig { workers: 1, ..config() })
        .run(&job, &Cancel::new(), &mut |event| match event {
            Event::Worker { pid, .. } => {
                stood += 1;
                // Its first segment has not begun or is running: the next thing it says would be a result.
                if killed.is_none() {
                    killed = Some(pid);
                    let status =
                        std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
                    assert!(status.unwrap().success());
                }
            }
            Event::Retried { segment, why } => retried.push((segment, why)),
            Event::Refused(_) | Event::Done(_) | _ => {}
        })
        .unwrap();
    assert_eq!(receipts, expected);
    assert_eq!(stood, 2);
    assert!(
        matches!(&retried[..], [(0, WorkerFailure::Died { status })] if status.contains('9')),
        "{retried:?}"
    );
}

#[test]
fn silence_beyond_the_deadline_fails_the_segment_after_one_retry() {
    let mut config = PoolConfig::new("/bin/sleep", ["600"]);
    (config.workers, config.deadline) = (1, Duration::from_millis(50));
    let mut retries = 0;
    let error = Pool::new(config)
        .run(&work(10), &Cancel::new(), &mut |event| {
            retries += u32::from(matches!(event, Event::Retried { .. }));
        })
        .unwrap_err();
    assert_eq!(retries, 1);
    let last = WorkerFailure::Hung { limit_ms: 50 };
    assert_eq!(error, PoolError::Worker { segment: 0, attempts: 2, last });
}

#[test]
fn garbage_death_and_absence_are_told_apart() {
    let failure = |program: &str, args: &[&str]| {
        let mut config = PoolConfig::new(program, args);
        config.workers = 1;
        match Pool::new(config).run(&work(10), &Cancel::new(), &mut |_| {}) {
            Err(PoolError::Worker { segment: 0, attempts: 2, last }) => last,
            other => panic!("{other:?}"),
        }
    };
    let garbage =
        failure("/bin/sh", &["-c", "printf 'this is no frame of ours'; exec /bin/sleep 600"]);
    assert!(matches!(garbage, WorkerFailure::Garbage { .. }), "{garbage}");
    let died = failure("/bin/sh", &["-c", "exit 3"]);
    assert!(matches!(&died, WorkerFailure::Died { status } if status.contains('3')), "{died}");
    let absent = failure("/nowhere/at/all", &[]);
    assert!(matches!(absent, WorkerFailure::Spawn { .. }), "{absent}");
}

#[test]
fn cancelling_kills_the_workers_at_once() {
    let job = work(u32::MAX);
    let cancel = Cancel::new();
    let mut pids = Vec::new();
    let error = Pool::new(config())
        .run(&job, &cancel, &mut |event| {
            if let Event::Worker { pid, .. } = event {
                pids.push(pid);
                cancel.cancel();
            }
        })
        .unwrap_err();
    assert_eq!(error, PoolError::Cancelled { done: 0, total: 8 });
    for pid in pids {
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "{pid} lives");
    }
}

#[test]
fn a_worker_ends_with_its_input() {
    let mut child = std::process::Command::new(WORKER)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_refused_module_reaches_the_parent_by_name() {
    let module = b"garbage".to_vec();
    let job = Job {
        spec: job(&module, b""),
        module: module.into(),
        segments: vec![2, 0],
        inputs: Inputs::Shared(b"".as_slice().into()),
    };
    let mut refusals = Vec::new();
    let receipts = Pool::new(config())
        .run(&job, &Cancel::new(), &mut |event| {
            if let Event::Refused(error) = event {
                refusals.push(error.to_string());
            }
        })
        .unwrap();
    assert_eq!(receipts, in_process(&job));
    assert_eq!(refusals.len(), 1);
}

#[test]
fn nothing_leads_out_of_the_cage() {
    let output = std::process::Command::new(WORKER).arg("probe").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("missing")).collect();
    let shut = ["read", "write", "list", "tcp", "udp", "unix", "program", "thread"];
    let expected: Vec<String> = std::iter::once("before: true".to_owned())
        .chain(shut.map(|way| format!("{way}: false")))
        .chain(["computing: true".to_owned()])
        .collect();
    assert_eq!(lines, expected, "{text} {}", String::from_utf8_lossy(&output.stderr));
}
