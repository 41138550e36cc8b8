//! The command line.

mod account;
mod audit;
mod cluster;
pub(crate) mod demo;
mod job;
mod market;
mod node;
pub(crate) mod output;
mod provider;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::client::{Client, ClientError};
use crate::node::config::ConfigError;

/// Exit codes that scripts may rely on.
pub mod exit {
    /// Anything else.
    pub const OTHER: u8 = 1;
    /// Wrong usage or a bad file.
    pub const USAGE: u8 = 2;
    /// There is no such thing.
    pub const NOT_FOUND: u8 = 3;
    /// The chain refused.
    pub const REJECTED: u8 = 4;
    /// No match before the deadline.
    pub const NO_MATCH: u8 = 5;
    /// The job failed.
    pub const JOB_FAILED: u8 = 6;
    /// A check does not hold.
    pub const MISMATCH: u8 = 7;
    /// Nobody answers, or not in time.
    pub const UNREACHABLE: u8 = 8;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;
}

#[derive(Debug, Parser)]
#[command(
    name = "gongsuan",
    version,
    about = "Rent and lend compute on a chain that proves the work",
    max_term_width = 120
)]
struct Cli {
    /// Print JSON with a `schema` field.
    #[arg(long, global = true)]
    json: bool,
    /// Nodes to talk to, separated by commas.
    #[arg(long, global = true, env = "GONGSUAN_NODE", value_delimiter = ',')]
    node: Vec<String>,
    /// The key that signs: a keystore file, or a plain key file of a development network.
    #[arg(long, global = true, env = "GONGSUAN_KEY")]
    key: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    /// A local network of validators.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// One validator.
    #[command(subcommand)]
    Node(node::Command),
    /// Keys and balances.
    #[command(subcommand)]
    Account(account::Command),
    /// Pay somebody.
    Transfer(account::Transfer),
    /// Attested roles.
    #[command(subcommand)]
    Permit(account::Permit),
    /// Run work on rented machines.
    #[command(subcommand)]
    Job(job::Command),
    /// Lend a machine.
    #[command(subcommand)]
    Provider(provider::Command),
    /// Books and orders.
    #[command(subcommand)]
    Market(market::Command),
    /// Check receipts and the whole chain.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Shell completions.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// The manual page.
    Man,
    /// A caged process that runs segments for its parent.
    #[command(hide = true)]
    Worker,
}

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    json: bool,
    nodes: Vec<String>,
    key: Option<PathBuf>,
}

impl Context {
    /// A client of the nodes given, or of the cluster in this folder, or of the default port.
    fn client(&self) -> Client {
        if !self.nodes.is_empty() {
            return Client::new(self.nodes.clone());
        }
        let cluster = crate::cluster::Cluster::load(std::path::Path::new(".cluster"));
        cluster.map_or_else(|_| Client::new(["http://127.0.0.1:8080".to_owned()]), |c| c.client())
    }

    fn key(&self) -> anyhow::Result<gongsuan_types::SecretKey> {
        let path = self.key.as_ref().ok_or_else(|| {
            usage("no key; use --key FILE or GONGSUAN_KEY (a cluster's money is in .cluster/faucet.key)")
        })?;
        account::open_key(path)
    }
}

/// An error of usage, exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// A failure with a code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
pub(crate) struct Coded(pub(crate) u8, pub(crate) String);

/// Parses, runs, prints, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
        }
    };
    if matches!(cli.command, Command::Worker) {
        return gongsuan_executor::worker::serve();
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("GONGSUAN_LOG");
    let quiet = if matches!(cli.command, Command::Node(_) | Command::Provider(_)) {
        "info"
    } else {
        "error"
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| quiet.into()))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let context = Context { json: cli.json, nodes: cli.node, key: cli.key };
    match run(cli.command, &context) {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(report(&error, context.json)),
    }
}

fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Demo(args) => {
            interruptible();
            demo::run(&args, context.json)
        }
        Command::Cluster(command) => cluster::run(command, context),
        Command::Node(command) => node::run(command, context),
        Command::Account(command) => account::run(command, context),
        Command::Transfer(args) => account::transfer(&args, context),
        Command::Permit(command) => account::permit(&command, context),
        Command::Job(command) => job::run(command, context),
        Command::Provider(command) => provider::run(command, context),
        Command::Market(command) => market::run(&command, context),
        Command::Audit(command) => audit::run(command, context),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gongsuan", &mut text);
            output::data(&String::from_utf8_lossy(&text));
            Ok(0)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            output::data(&String::from_utf8_lossy(&text));
            Ok(0)
        }
        Command::Worker => unreachable!("handled before anything else"),
    }
}

/// Ctrl-C and SIGTERM: children see their standard input close and end by themselves; the folder is removed here.
fn interruptible() {
    let handler = || {
        crate::demo::clean_up();
        std::process::exit(i32::from(exit::INTERRUPTED));
    };
    drop(ctrlc::set_handler(handler));
}

fn report(error: &anyhow::Error, json: bool) -> u8 {
    let (mut code, mut help, mut refusal) = (exit::OTHER, None, None);
    for cause in error.chain() {
        if let Some(coded) = cause.downcast_ref::<Coded>() {
            code = coded.0;
        } else if cause.is::<Usage>() || cause.is::<ConfigError>() {
            code = exit::USAGE;
        } else if let Some(client) = cause.downcast_ref::<ClientError>() {
            match client {
                ClientError::Unreachable { .. } | ClientError::TimedOut(_) => {
                    code = exit::UNREACHABLE;
                    help = Some(
                        "is a node running? start one with `gongsuan cluster up`, or name it with --node URL",
                    );
                }
                ClientError::Refused(found) => {
                    code = exit::REJECTED;
                    refusal = Some(found.clone());
                }
                ClientError::NotFound(_) => code = exit::NOT_FOUND,
                ClientError::Malformed { .. } => {}
            }
        }
    }
    if json {
        let message = format!("{error:#}");
        let object = serde_json::json!({ "schema": "gongsuan/error/v1", "exit": code, "message": message, "refusal": refusal });
        output::note(&object.to_string());
        return code;
    }
    output::note(&format!("error: {error:#}"));
    if let Some(help) = help {
        output::note(&format!("help: {help}"));
    }
    code
}
