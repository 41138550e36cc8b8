//! The command line.

mod account;
mod account_key;
mod account_payout;
mod audit;
mod backend;
mod cluster;
mod config;
pub(crate) mod demo;
mod doctor;
mod examples;
mod help;
mod job;
mod lease;
mod lease_task;
mod market;
mod node;
pub(crate) mod output;
mod provider;
mod run_job;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    #[arg(long, global = true, env = "GONGSUAN_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Nodes to talk to, separated by commas.
    #[arg(long, global = true, env = "GONGSUAN_NODE", value_delimiter = ',')]
    node: Vec<String>,
    /// The key that signs: a keystore file, or a plain key file of a development network.
    #[arg(long, global = true, env = "GONGSUAN_KEY")]
    key: Option<PathBuf>,
    /// The configuration file; see `gongsuan config`.
    #[arg(long, global = true, env = "GONGSUAN_CONFIG")]
    config: Option<PathBuf>,
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
    /// Lease cores by the second, and run work on them.
    #[command(subcommand)]
    Lease(lease::Command),
    /// Lend a machine.
    #[command(subcommand)]
    Provider(provider::Command),
    /// Run the pieces that a provider's agent hands out through a shared folder. Schedulers start this, people hardly ever.
    RunJob(run_job::Args),
    /// Books and orders.
    #[command(subcommand)]
    Market(market::Command),
    /// Check receipts and the whole chain.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Print the description of the HTTP API (`OpenAPI` 3.1).
    Openapi,
    /// Shell completions.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// The manual page.
    Man {
        /// Write the pages of all commands into this folder, instead of printing the first one.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// The wire of a local network.
    #[command(hide = true)]
    Wire {
        #[arg(long)]
        dir: PathBuf,
    },
    /// A caged process that runs segments for its parent.
    #[command(hide = true)]
    Worker,
}

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    json: bool,
    settings: config::Settings,
}

impl Context {
    /// A client of the nodes given, or of the cluster in this folder, or of the default port.
    fn client(&self) -> Client {
        Client::new(self.settings.node.value.clone())
    }

    /// What a node keeps: the variable comes before its node.toml, and that before the configuration file.
    fn retention(
        &self,
        of_node: Option<gongsuan_ledger::Retention>,
    ) -> Option<gongsuan_ledger::Retention> {
        let set = &self.settings.retention;
        let is_variable = matches!(set.origin, config::Origin::Variable(_));
        if is_variable { set.value } else { of_node.or(set.value) }
    }

    fn key_path(&self) -> anyhow::Result<&std::path::Path> {
        self.settings.key.value.as_deref().ok_or_else(|| {
            usage("no key; use --key FILE or GONGSUAN_KEY (a cluster's money is in .cluster/faucet.key)")
        })
    }

    fn key(&self) -> anyhow::Result<gongsuan_types::SecretKey> {
        account::open_key(self.key_path()?)
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

/// The commands that do something, by their path, such as `job run`.
#[must_use]
pub fn commands() -> Vec<String> {
    fn leaves(command: &clap::Command, path: &str) -> Vec<String> {
        let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let below =
            subs.flat_map(|sub| leaves(sub, format!("{path} {}", sub.get_name()).trim_start()));
        let below: Vec<String> = below.collect();
        if below.is_empty() { vec![path.to_owned()] } else { below }
    }
    leaves(&Cli::command(), "")
}

/// Parses, runs, prints, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = examples::add(Cli::command()).try_get_matches();
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
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
    let given = config::Given { node: cli.node, key: cli.key, json: cli.json, config: cli.config };
    let context = match config::Settings::read(given, &matches) {
        Ok(settings) => Context { json: settings.json.value, settings },
        Err(error) => return ExitCode::from(report(&error, cli.json)),
    };
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
        Command::Lease(command) => lease::run(command, context),
        Command::Provider(command) => provider::run(command, context),
        Command::RunJob(args) => run_job::run(args),
        Command::Market(command) => market::run(&command, context),
        Command::Audit(command) => audit::run(command, context),
        Command::Wire { dir } => {
            let cluster = crate::cluster::Cluster::load(&dir)?;
            crate::wire::serve(cluster.wire.clone(), &cluster.rules())?;
            loop {
                std::thread::park();
            }
        }
        Command::Config(command) => config::run(&command, context),
        Command::Openapi => {
            output::data(&crate::api::description());
            Ok(0)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gongsuan", &mut text);
            output::data(&String::from_utf8_lossy(&text));
            Ok(0)
        }
        Command::Man { dir: Some(dir) } => {
            std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            clap_mangen::generate_to(examples::add(Cli::command()), &dir)
                .with_context(|| dir.display().to_string())?;
            output::note(&format!("written: {}", dir.display()));
            Ok(0)
        }
        Command::Man { dir: None } => {
            let mut text = Vec::new();
            clap_mangen::Man::new(examples::add(Cli::command())).render(&mut text)?;
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
            help = help::of_usage(&cause.to_string()).or(help);
        } else if let Some(client) = cause.downcast_ref::<ClientError>() {
            help = help::of_client(client).or(help);
            match client {
                ClientError::Unreachable { .. } | ClientError::TimedOut(_) => {
                    code = exit::UNREACHABLE;
                }
                ClientError::Refused(found) => {
                    code = exit::REJECTED;
                    refusal = Some((**found).clone());
                }
                ClientError::NotFound(_) => code = exit::NOT_FOUND,
                ClientError::Malformed { .. } => {}
            }
        }
    }
    if json {
        let message = format!("{error:#}");
        let object = serde_json::json!({ "schema": "gongsuan/error/v1", "exit": code, "message": message, "help": help, "refusal": refusal });
        output::note(&object.to_string());
        return code;
    }
    output::note(&format!("error: {error:#}"));
    if let Some(help) = help {
        output::note(&format!("help: {help}"));
    }
    code
}
