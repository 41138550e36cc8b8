//! Namespaces of a program's own: mounts, processes and, if wanted, networks that end with it, however it ends.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Runs a tool to its end; what it printed.
///
/// # Errors
/// Its name, and what it said.
pub(crate) fn run_tool(program: &str, args: &[&OsStr]) -> Result<String, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// [`run_tool`] with words and paths as they come.
macro_rules! tool {
    ($program:expr $(, $arg:expr)* $(,)?) => {
        $crate::enclose::run_tool($program, &[$(AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*])
    };
}
pub(crate) use tool;

/// What a program can have of its own beside mounts and processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// The one that it finds.
    Shared,
    /// An empty one.
    Own,
}

/// Becomes this program in namespaces of its own, with the same arguments and `inside` after them. Returns only if there can be none, and says why:
/// the process stays the same, so that whoever kills it kills all of them, and their mounts with them.
#[must_use]
pub fn enclose(network: Network, inside: &str) -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let mut namespaces = vec!["--mount", "--pid", "--mount-proc", "--fork", "--kill-child"];
    if network == Network::Own {
        namespaces.push("--net");
    }
    let probe: Vec<&OsStr> = namespaces.iter().chain(&["true"]).map(OsStr::new).collect();
    if let Err(reason) = run_tool("unshare", &probe) {
        return reason;
    }
    let mut command = Command::new("unshare");
    command.args(namespaces).arg(program).args(std::env::args_os().skip(1)).arg(inside);
    format!("unshare: {}", command.exec())
}
