//! The `gongsuan` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    gongsuan::cli::main()
}
