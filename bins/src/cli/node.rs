//! `gongsuan node`.

use std::path::PathBuf;
use std::time::Duration;

use super::Context;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Run a validator on its folder (node.toml, genesis.json, validator.key).
    Run {
        /// The folder.
        #[arg(long)]
        home: PathBuf,
        /// End when standard input is closed.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
}

/// Ends the process when whoever started it is gone.
pub(super) fn watch_parent(stop: std::sync::mpsc::Sender<()>) {
    std::thread::spawn(move || {
        use std::io::Read as _;
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        stop.send(()).ok();
    });
}

pub(super) fn run(command: Command, _context: &Context) -> anyhow::Result<u8> {
    let Command::Run { home, exit_with_parent } = command;
    let (stop, stopped) = std::sync::mpsc::channel();
    let signal = stop.clone();
    ctrlc::set_handler(move || {
        signal.send(()).ok();
    })?;
    if exit_with_parent {
        watch_parent(stop);
    }
    let node = crate::node::Node::start(&home)?;
    loop {
        match stopped.recv_timeout(Duration::from_secs(1)) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if node.is_alive() => {}
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                anyhow::bail!("the replica has ended")
            }
            _ => break,
        }
    }
    node.stop();
    Ok(0)
}
