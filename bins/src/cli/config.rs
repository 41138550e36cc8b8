//! `gongsuan config`: flags before `GONGSUAN_*` before the file before defaults.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ArgMatches;
use clap::parser::ValueSource;
use gongsuan_ledger::Retention;
use serde::Deserialize;
use serde_json::json;

use super::{Context, output, usage};
use crate::node::config::{ConfigError, read_file};

/// The node that is asked where nothing else is said.
const NODE: &str = "http://127.0.0.1:8080";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Every setting, its value, and where that comes from.
    Show,
    /// Print a commented configuration file.
    Init {
        /// Write it to where it is looked for, instead of printing it. An existing file is left alone.
        #[arg(long)]
        write: bool,
    },
}

const TEMPLATE: &str = r#"# Settings of the command line. Flags come before GONGSUAN_* variables, and these before this file.

# Nodes to talk to. What one does not answer, the next is asked.
# node = ["http://127.0.0.1:8080"]

# The key that signs: a keystore file (`gongsuan account new`), or a plain key file of a development network.
# key = "/home/me/keys/renter.json"

# Print JSON, always.
# json = false

# Which blocks `gongsuan node run` keeps where its node.toml says nothing: "archive", "pruned:100000" or "light".
# retention = "archive"
"#;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    node: Option<Vec<String>>,
    key: Option<PathBuf>,
    json: Option<bool>,
    retention: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Variable(&'static str),
    File(PathBuf),
    Cluster,
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => write!(f, "flag"),
            Self::Variable(name) => write!(f, "{name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Cluster => write!(f, ".cluster"),
            Self::Default => write!(f, "default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Setting<T> {
    /// The first that is there: what the command line or its variable says, then the file, then the default.
    fn settle(
        given: Option<(T, Option<ValueSource>)>,
        variable: &'static str,
        file: Option<T>,
        path: &Path,
        default: impl FnOnce() -> (T, Origin),
    ) -> Self {
        if let Some((value, source)) = given {
            let is_variable = source == Some(ValueSource::EnvVariable);
            let origin = if is_variable { Origin::Variable(variable) } else { Origin::Flag };
            return Self { value, origin };
        }
        match file {
            Some(value) => Self { value, origin: Origin::File(path.to_owned()) },
            None => {
                let (value, origin) = default();
                Self { value, origin }
            }
        }
    }
}

/// All settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) node: Setting<Vec<String>>,
    pub(super) key: Setting<Option<PathBuf>>,
    pub(super) json: Setting<bool>,
    pub(super) retention: Setting<Option<Retention>>,
    /// The file, and whether it is there.
    file: (PathBuf, bool),
}

/// What the command line says itself.
pub(super) struct Given {
    pub(super) node: Vec<String>,
    pub(super) key: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) config: Option<PathBuf>,
}

/// Where the file is looked for unless `--config` or `GONGSUAN_CONFIG` says so.
fn default_path() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let base = base.filter(|path| path.is_absolute()).or_else(home).unwrap_or_default();
    base.join("gongsuan").join("config.toml")
}

impl Settings {
    /// Reads the file and puts everything in order.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be used, or a retention that is none.
    pub(super) fn read(given: Given, matches: &ArgMatches) -> anyhow::Result<Self> {
        let named = given.config.is_some();
        let path = given.config.unwrap_or_else(default_path);
        let is_there = named || path.exists();
        let file: ConfigFile = if is_there {
            let fault = |reason: String| ConfigError { path: path.clone(), reason };
            toml::from_str(&read_file(&path)?).map_err(|error| fault(error.to_string()))?
        } else {
            ConfigFile::default()
        };
        let source = |id: &str| matches.value_source(id);
        let node = Setting::settle(
            (!given.node.is_empty()).then(|| (given.node, source("node"))),
            "GONGSUAN_NODE",
            file.node,
            &path,
            || match crate::cluster::Cluster::load(Path::new(".cluster")) {
                Ok(cluster) => (cluster.client().nodes().to_vec(), Origin::Cluster),
                Err(_) => (vec![NODE.to_owned()], Origin::Default),
            },
        );
        let key = given.key.map(|key| (Some(key), source("key")));
        let key = Setting::settle(key, "GONGSUAN_KEY", file.key.map(Some), &path, || {
            (None, Origin::Default)
        });
        let is_json = given.json.then(|| (true, source("json")));
        let is_json = Setting::settle(is_json, "GONGSUAN_JSON", file.json, &path, || {
            (false, Origin::Default)
        });
        let retention = |text: &str, of: &Path| {
            let fault = |reason| ConfigError { path: of.to_owned(), reason };
            text.parse::<Retention>().map_err(fault)
        };
        let of_file = file.retention.map(|text| retention(&text, &path)).transpose()?;
        let of_variable = match std::env::var("GONGSUAN_RETENTION") {
            Ok(text) => {
                let parsed = retention(&text, Path::new("GONGSUAN_RETENTION"))?;
                Some((Some(parsed), Some(ValueSource::EnvVariable)))
            }
            Err(_) => None,
        };
        let retention =
            Setting::settle(of_variable, "GONGSUAN_RETENTION", of_file.map(Some), &path, || {
                (None, Origin::Default)
            });
        Ok(Self { node, key, json: is_json, retention, file: (path, is_there) })
    }
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Show => show(context),
        Command::Init { write: false } => output::data(TEMPLATE.trim_end()),
        Command::Init { write: true } => {
            let (path, _) = &context.settings.file;
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            let created = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
            let mut file =
                created.map_err(|error| usage(format!("{}: {error}", path.display())))?;
            std::io::Write::write_all(&mut file, TEMPLATE.as_bytes())
                .with_context(|| path.display().to_string())?;
            output::note(&format!("written: {}", path.display()));
        }
    }
    Ok(0)
}

fn show(context: &Context) {
    let settings = &context.settings;
    let dash = || "-".to_owned();
    let rows = [
        ("node", settings.node.value.join(","), &settings.node.origin),
        (
            "key",
            settings.key.value.as_ref().map_or_else(dash, |path| path.display().to_string()),
            &settings.key.origin,
        ),
        ("json", settings.json.value.to_string(), &settings.json.origin),
        (
            "retention",
            settings.retention.value.map_or_else(dash, |retention| retention.to_string()),
            &settings.retention.origin,
        ),
    ];
    let (path, is_there) = &settings.file;
    let listed = rows.iter().map(|(name, value, origin)| {
        json!({ "name": name, "value": value, "origin": origin.to_string() })
    });
    let value = json!({ "file": path, "exists": is_there, "settings": listed.collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/config/v1", &value, || {
        let lines = rows.iter().map(|(name, value, origin)| {
            vec![(*name).to_owned(), value.clone(), origin.to_string()]
        });
        let state = if *is_there { "" } else { "  (absent; `gongsuan config init` prints one)" };
        let table = output::table(&["setting", "value", "from"], lines);
        format!("file {}{state}\n{table}", path.display())
    });
}
