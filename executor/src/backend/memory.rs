//! Whether the kernel killed a worker because the memory of its group was used up.

use std::path::{Path, PathBuf};

use crate::WorkerFailure;

/// The groups of this process that count such kills, with the counts at some moment.
#[derive(Debug)]
pub(super) struct OutOfMemory(Vec<(PathBuf, u64)>);

impl OutOfMemory {
    /// From now on.
    pub(super) fn watch() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let files = counters(&own).into_iter();
        Self(files.filter_map(|file| Some((kills(&file)?, file))).map(|(n, f)| (f, n)).collect())
    }

    /// A death by signal gets its reason, if this was it.
    pub(super) fn explain(&self, failure: WorkerFailure) -> WorkerFailure {
        let grown = |(file, before): &(PathBuf, u64)| kills(file).is_some_and(|now| now > *before);
        if let WorkerFailure::Died { status } = &failure
            && self.0.iter().any(grown)
        {
            return WorkerFailure::OutOfMemory { status: status.clone() };
        }
        failure
    }
}

/// The files that count kills, for the lines of `/proc/self/cgroup`: `0::/path` (version 2), `4:memory:/path` (version 1).
fn counters(own: &str) -> Vec<PathBuf> {
    let file = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        match controllers {
            "" => Some(Path::new("/sys/fs/cgroup").join(path).join("memory.events")),
            _ if controllers.split(',').any(|name| name == "memory") => {
                Some(Path::new("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"))
            }
            _ => None,
        }
    };
    own.lines().filter_map(file).collect()
}

fn kills(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_groups_are_found() {
        let own = "9:name=systemd:/\n4:cpu,memory:/slurm/job_7\n1:cpu:/\n0::/user.slice\n";
        let expected = [
            "/sys/fs/cgroup/memory/slurm/job_7/memory.oom_control",
            "/sys/fs/cgroup/user.slice/memory.events",
        ];
        assert_eq!(counters(own), expected.map(PathBuf::from));
    }

    #[test]
    fn a_death_gets_this_reason_only_if_the_count_grew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.events");
        std::fs::write(&file, "oom 3\noom_kill 2\noom_group_kill 0\n").unwrap();
        let watch = OutOfMemory(vec![(file.clone(), kills(&file).unwrap())]);
        let died = WorkerFailure::Died { status: "signal: 9".to_owned() };
        assert_eq!(watch.explain(died.clone()), died);
        std::fs::write(&file, "oom 4\noom_kill 3\noom_group_kill 0\n").unwrap();
        let killed = WorkerFailure::OutOfMemory { status: "signal: 9".to_owned() };
        assert_eq!(watch.explain(died), killed);
        let hung = WorkerFailure::Hung { limit_ms: 1 };
        assert_eq!(watch.explain(hung.clone()), hung);
    }
}
