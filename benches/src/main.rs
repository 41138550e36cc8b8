//! `gongsuan-bench`: how fast the parts are on this machine. Prints a table, or JSON with `--json`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark shows its figures")]
#![expect(clippy::float_arithmetic, reason = "statistics for people; nothing here is agreed upon")]

mod ledger;
mod measure;
mod report;
mod verify;

use std::process::ExitCode;

use crate::report::Report;

const USAGE: &str = "usage: gongsuan-bench <verify | ledger> [--json] [--quick]

verify   signatures per second and core: by the batch and one by one
ledger   transfers per second through checking, executing, hashing and storing; the state root; a restart

--json   machine-readable rows instead of a table
--quick  fewer repetitions, a smaller state
Built with `--features peers`, other people's implementations are measured in the same run.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    let quick = flag("--quick");
    let mut report = Report::new();
    match args.first().map(String::as_str) {
        Some("verify") => verify::run(&mut report, quick),
        Some("ledger") => ledger::run(&mut report, quick),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    if flag("--json") {
        println!("{}", report.to_json());
    } else {
        println!("{}", report.to_table());
    }
    ExitCode::SUCCESS
}
