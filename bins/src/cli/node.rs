//! `gongsuan node`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_ledger::genesis::{GenesisAccount, Params, Validator};
use gongsuan_ledger::{Genesis, Retention};
use gongsuan_types::{Address, Amount, PublicKey, SecretKey};
use serde_json::json;

use super::{Context, output, usage};
use crate::node::Node;
use crate::node::config::{
    NodeConfig, NodeFile, Peer, load_genesis, load_key, write_key, write_node_key,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Prepare a validator's folder: a key, node.toml, and the genesis if there is one.
    Init {
        /// The folder.
        #[arg(long)]
        home: PathBuf,
        /// The validator's name in the genesis.
        #[arg(long)]
        name: String,
        /// Where it listens for validators.
        #[arg(long, default_value = "127.0.0.1:26600")]
        p2p: SocketAddr,
        /// Where it serves its HTTP API. Only addresses of this machine are out of reach for strangers.
        #[arg(long, default_value = "127.0.0.1:8080")]
        api: SocketAddr,
        /// Another validator, as NAME=HOST:PORT; once for each.
        #[arg(long = "peer", value_name = "NAME=ADDRESS")]
        peers: Vec<Pair<SocketAddr>>,
        /// Which blocks to keep: archive, pruned:N or light.
        #[arg(long)]
        retention: Option<Retention>,
        /// The genesis to begin with, as `gongsuan node genesis` wrote it.
        #[arg(long)]
        genesis: Option<PathBuf>,
        /// A network of this validator alone, with a key that owns all the money: for trying things out.
        #[arg(long, conflicts_with_all = ["genesis", "peers"])]
        solo: bool,
    },
    /// Put a genesis together from the validators' public keys; print it.
    Genesis {
        /// The network's name.
        #[arg(long)]
        name: String,
        /// A validator, as `NAME=PUBLIC_KEY`; once for each, in the order of their seats.
        #[arg(long = "validator", value_name = "NAME=KEY", required = true)]
        validators: Vec<Pair<PublicKey>>,
        /// An account with money, as ADDRESS=TOKENS; once for each.
        #[arg(long = "account", value_name = "ADDRESS=TOKENS", required = true)]
        accounts: Vec<Pair<Amount>>,
        /// Who may attest roles; once for each.
        #[arg(long = "issuer", value_name = "ADDRESS", required = true)]
        issuers: Vec<Address>,
        /// Refuse listings that no certificate of capacity covers; `provider run` gets one by itself.
        #[arg(long)]
        certificates: bool,
    },
    /// Run a validator on its folder (node.toml, genesis.json, validator.key).
    Run {
        /// The folder.
        #[arg(long)]
        home: PathBuf,
        /// Which blocks to keep: archive, pruned:N or light. Otherwise as `GONGSUAN_RETENTION`, node.toml or the configuration file say.
        #[arg(long)]
        retention: Option<Retention>,
        /// End when standard input is closed.
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },
}

/// `NAME=VALUE`.
#[derive(Debug, Clone)]
pub(super) struct Pair<T> {
    name: String,
    value: T,
}

impl<T: FromStr> FromStr for Pair<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("there is no `=`")?;
        let value = value.parse().map_err(|error: T::Err| format!("`{value}`: {error}"))?;
        Ok(Self { name: name.to_owned(), value })
    }
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

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Init { home, name, p2p, api, peers, retention, genesis, solo } => {
            let peer = |pair: Pair<SocketAddr>| Peer {
                name: pair.name,
                key: None,
                p2p: pair.value,
                api: None,
            };
            let peers = peers.into_iter().map(peer).collect();
            let (timeout_ms, segment_bytes) = (250, None);
            let file = NodeFile { name, p2p, api, peers, timeout_ms, retention, segment_bytes };
            init(&home, &file, genesis.as_deref(), solo, context)?;
        }
        Command::Genesis { name, validators, accounts, issuers, certificates } => {
            let genesis = assemble(name, validators, (accounts, issuers), certificates)?;
            output::data(&serde_json::to_string_pretty(&genesis)?);
        }
        Command::Run { home, retention, exit_with_parent } => {
            let mut config = NodeConfig::load(&home)?;
            config.file.retention = retention.or_else(|| context.retention(config.file.retention));
            serve(&config, exit_with_parent)?;
        }
    }
    Ok(0)
}

fn assemble(
    name: String,
    validators: Vec<Pair<PublicKey>>,
    (accounts, issuers): (Vec<Pair<Amount>>, Vec<Address>),
    certificates: bool,
) -> anyhow::Result<Genesis> {
    let mut params = Params::default();
    params.market.capacity = crate::capacity::rules(certificates);
    let account = |pair: Pair<Amount>| {
        let address = pair
            .name
            .parse()
            .map_err(|error| usage(format!("--account {}: {error}", pair.name)))?;
        anyhow::Ok(GenesisAccount { address, balance: pair.value })
    };
    let genesis = Genesis {
        name,
        time: crate::node::clock(),
        params,
        accounts: accounts.into_iter().map(account).collect::<Result<_, _>>()?,
        validators: validators
            .into_iter()
            .map(|pair| Validator { name: pair.name, key: pair.value })
            .collect(),
        issuers,
    };
    genesis.validate().map_err(|refusal| usage(format!("the genesis is refused: {refusal}")))?;
    Ok(genesis)
}

/// A key that is there is kept: it may be in a genesis already.
fn key_of(path: &Path) -> anyhow::Result<SecretKey> {
    if path.exists() {
        return Ok(load_key(path)?);
    }
    let key = new_key()?;
    write_key(path, &key).with_context(|| path.display().to_string())?;
    Ok(key)
}

fn new_key() -> anyhow::Result<SecretKey> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(SecretKey::from_bytes(*bytes)?)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = created.map_err(|error| usage(format!("{}: {error}", path.display())))?;
    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())
}

fn init(
    home: &Path,
    file: &NodeFile,
    genesis: Option<&Path>,
    solo: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let genesis = genesis.map(load_genesis).transpose()?;
    if home.join("node.toml").exists() {
        return Err(usage(format!("{}: there is a node already", home.display())));
    }
    std::fs::create_dir_all(home).with_context(|| home.display().to_string())?;
    let path = home.join("validator.key");
    let key = if path.exists() { load_key(&path)? } else { new_key()? };
    if !path.exists() {
        write_node_key(home, &key)?;
    }
    let genesis = if solo {
        let owner = key_of(&home.join("account.key"))?.address();
        let validator = Pair { name: file.name.clone(), value: key.public_key() };
        let balance = "1000000".parse().context("the supply of a network for one")?;
        let account = Pair { name: owner.to_string(), value: balance };
        let people = (vec![account], vec![owner]);
        Some(assemble(file.name.clone(), vec![validator], people, false)?)
    } else {
        genesis
    };
    if let Some(genesis) = &genesis {
        // A node that is not there follows the chain.
        let named = |validator: &&Validator| validator.name == file.name;
        let own = |validator: &&Validator| validator.key == key.public_key();
        let validators = &genesis.validators;
        if validators.iter().find(named) != validators.iter().find(own) {
            return Err(usage(format!(
                "the genesis has no validator `{}` with the key {}",
                file.name,
                key.public_key()
            )));
        }
        write_new(&home.join("genesis.json"), &serde_json::to_string_pretty(genesis)?)?;
    }
    write_new(&home.join("node.toml"), &toml::to_string(file)?)?;
    let value = json!({ "home": home, "name": file.name, "public_key": key.public_key(), "chain_id": genesis.as_ref().map(Genesis::chain_id) });
    output::show(context.json, "gongsuan/node-init/v1", &value, || {
        format!("{}={}", file.name, key.public_key())
    });
    let shown = home.display();
    output::note(&match genesis {
        Some(_) => format!("next: gongsuan node run --home {shown}"),
        None => format!(
            "next: give the line above to whoever runs `gongsuan node genesis`, and put the result into {shown}/genesis.json"
        ),
    });
    if solo {
        output::note(&format!("development keys: all the money is in {shown}/account.key"));
    }
    Ok(())
}

fn serve(config: &NodeConfig, exit_with_parent: bool) -> anyhow::Result<()> {
    let (stop, stopped) = std::sync::mpsc::channel();
    let signal = stop.clone();
    ctrlc::set_handler(move || {
        signal.send(()).ok();
    })?;
    if exit_with_parent {
        watch_parent(stop);
    }
    let node = Node::start_with(config)?;
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
    Ok(())
}
