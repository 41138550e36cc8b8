//! What a worker gives up before it sees a stranger's byte.

use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rlimit::Resource;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde::{Deserialize, Serialize};

/// Memory that a worker may write, in bytes: the largest job (1 GiB), the compiler and the engine.
const DATA_BYTES_MAX: u64 = 3 << 30;

/// Which protections hold in a worker. `None` means that it holds; otherwise why not.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Protections {
    /// Killed by the kernel when its parent dies (beside ending with its input).
    pub dies_with_parent: Option<String>,
    /// Limits on memory, files and core dumps.
    pub limits: Option<String>,
    /// Landlock: no file system, no TCP, no signals or sockets outwards.
    pub no_files: Option<String>,
    /// seccomp: only the system calls that computing needs.
    pub no_system_calls: Option<String>,
}

impl Protections {
    /// Whether everything holds.
    #[must_use]
    pub fn all_hold(&self) -> bool {
        self.missing().is_empty()
    }

    /// What does not hold and why, in words; empty if everything holds.
    #[must_use]
    pub fn missing(&self) -> String {
        let list = [
            ("die with the parent", &self.dies_with_parent),
            ("resource limits", &self.limits),
            ("landlock", &self.no_files),
            ("seccomp", &self.no_system_calls),
        ];
        let words = list
            .iter()
            .filter_map(|(name, lack)| lack.as_ref().map(|why| format!("{name}: {why}")));
        words.collect::<Vec<_>>().join("; ")
    }
}

/// Gives up, for the whole of the calling process and for good: files, sockets, other programs, new threads, core dumps;
/// and dies with the parent. What [`super::serve`] does before anything else; for programs that do strangers' work in
/// another way. Must be called before other threads start.
#[must_use]
pub fn enter_cage() -> Protections {
    let mut protections = enter_process();
    close(&mut protections);
    protections
}

/// The part that concerns the process and is inherited by threads; before any thread starts.
pub(super) fn enter_process() -> Protections {
    Protections {
        dies_with_parent: rustix::process::set_parent_process_death_signal(Some(
            rustix::process::Signal::KILL,
        ))
        .err()
        .map(|error| error.to_string()),
        limits: limit_resources().err().map(|error| error.to_string()),
        no_files: restrict_files().err(),
        no_system_calls: None,
    }
}

/// The last door, for all threads of the process at once.
pub(super) fn close(protections: &mut Protections) {
    protections.no_system_calls = filter_calls().err();
}

fn limit_resources() -> std::io::Result<()> {
    for (resource, limit) in
        [(Resource::CORE, 0), (Resource::NOFILE, 16), (Resource::DATA, DATA_BYTES_MAX)]
    {
        resource.set(limit, limit)?;
    }
    Ok(())
}

fn restrict_files() -> Result<(), String> {
    // Best effort up to the newest rules known; the status tells what the kernel really has.
    let abi = ABI::V6;
    let words = |error: landlock::RulesetError| error.to_string();
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(words)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => {
            Err("this kernel's landlock is older: only a part holds".to_owned())
        }
        RulesetStatus::NotEnforced => Err("this kernel has no landlock".to_owned()),
    }
}

/// What computing needs: memory, signals of its own traps, the two pipes, time and exit. No `open`, `socket`,
/// `execve`, `clone`, `ptrace`, `kill`; whatever is not listed fails with `EPERM`.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn filter_calls() -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|error| format!("no filter for {}: {error}", std::env::consts::ARCH))?;
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        CALLS.iter().map(|&call| (call, Vec::new())).collect();
    let denied = SeccompAction::Errno(u32::try_from(libc::EPERM).expect("a small number"));
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)
        .map_err(|error| error.to_string())?;
    let program = BpfProgram::try_from(filter).map_err(|error| error.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
}
