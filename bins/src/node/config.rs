//! A node's folder: `node.toml`, `genesis.json`, `validator.key`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_ledger::{Genesis, Retention};
use gongsuan_types::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};

use crate::replica::wal::Wal;

/// The vote log, in a node's folder.
pub(super) const VOTE_LOG: &str = "votes.wal";
/// Bytes of a configuration file, at most.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Another validator and where it listens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name in the genesis, or any name for a node that is not there.
    pub name: String,
    /// Its public key, if it is not in the genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// Its address for other nodes.
    pub p2p: SocketAddr,
    /// Where it serves its HTTP API, if it may be asked for blobs: modules and inputs of disputed segments that clients did not bring here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
}

/// `node.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// This validator's name in the genesis. A node that is not there, with a key of its own, follows the chain.
    pub name: String,
    /// Where it listens for other nodes.
    pub p2p: SocketAddr,
    /// Where it serves its HTTP API.
    pub api: SocketAddr,
    /// The other validators.
    pub peers: Vec<Peer>,
    /// How long a term may make no progress, in milliseconds, before its leader is suspected.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Which blocks are kept: `archive`, `pruned:N` or `light`. Without it, as the folder's record says; everything in a new folder.
    #[serde(default, with = "retention", skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Bytes of a file of the block log. Pruning removes whole files; without it, they have 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_bytes: Option<u64>,
}

/// A retention as its text.
mod retention {
    use gongsuan_ledger::Retention;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[expect(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Retention>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(retention) => s.collect_str(retention),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Retention>, D::Error> {
        String::deserialize(d)?.parse().map(Some).map_err(de::Error::custom)
    }
}

fn default_timeout_ms() -> u64 {
    250
}

/// Everything a node starts from.
#[derive(Debug)]
pub struct NodeConfig {
    /// The folder.
    pub home: PathBuf,
    /// The file.
    pub file: NodeFile,
    /// How the chain began.
    pub genesis: Genesis,
    /// The node's key.
    pub key: SecretKey,
}

/// Why a node's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ConfigError {
    /// Which file.
    pub path: PathBuf,
    /// What was wrong, with the line where there is one.
    pub reason: String,
}

/// Reads a file within bounds.
///
/// # Errors
/// [`ConfigError`].
pub fn read_file(path: &Path) -> Result<String, ConfigError> {
    let fault = |reason: String| ConfigError { path: path.to_owned(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(fault(format!("{} bytes, the limit is {FILE_BYTES_MAX}", metadata.len())));
    }
    std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))
}

impl NodeConfig {
    /// Reads a node's folder.
    ///
    /// # Errors
    /// [`ConfigError`] that names the file, and the line where there is one.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join("node.toml");
        let file: NodeFile = toml::from_str(&read_file(&path)?)
            .map_err(|error| ConfigError { path: path.clone(), reason: error.to_string() })?;
        let genesis = load_genesis(&home.join("genesis.json"))?;
        let key_path = home.join("validator.key");
        let key = load_key(&key_path)?;
        let validators = &genesis.validators;
        let own = key.public_key();
        if let Some(named) = validators.iter().find(|validator| validator.name == file.name) {
            if named.key != own {
                let reason = format!("the key is not that of validator `{}`", file.name);
                return Err(ConfigError { path: key_path, reason });
            }
        } else if let Some(keyed) = validators.iter().find(|validator| validator.key == own) {
            let reason = format!("name: the key is that of validator `{}`", keyed.name);
            return Err(ConfigError { path, reason });
        }
        for peer in &file.peers {
            if peer.name == file.name || key_of(peer, &genesis).is_none() {
                let name = &peer.name;
                let reason = format!(
                    "peers: `{name}` is not another validator of the genesis, and has no key"
                );
                return Err(ConfigError { path, reason });
            }
        }
        Ok(Self { home: home.to_owned(), file, genesis, key })
    }

    /// Where other nodes listen, by their keys.
    pub fn addresses(&self) -> impl Iterator<Item = (PublicKey, SocketAddr)> {
        let peers = self.file.peers.iter();
        peers.filter_map(|peer| Some((key_of(peer, &self.genesis)?, peer.p2p)))
    }
}

/// The key of a peer: that of the genesis, or its own if it is not there.
fn key_of(peer: &Peer, genesis: &Genesis) -> Option<PublicKey> {
    let named = genesis.validators.iter().find(|validator| validator.name == peer.name);
    named.map(|validator| validator.key).or(peer.key)
}

/// Writes the key of a new node, and begins its vote log: a key without one may have signed what nobody knows any more.
///
/// # Errors
/// What the disk said; also if there is a key.
pub fn write_node_key(home: &Path, key: &SecretKey) -> anyhow::Result<()> {
    Wal::begin(&home.join(VOTE_LOG))?;
    let path = home.join("validator.key");
    write_key(&path, key).with_context(|| path.display().to_string())
}

/// Reads and checks a genesis.
///
/// # Errors
/// [`ConfigError`] that names the entry.
pub fn load_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let fault = |reason: String| ConfigError { path: path.to_owned(), reason };
    let genesis: Genesis =
        serde_json::from_str(&read_file(path)?).map_err(|error| fault(error.to_string()))?;
    genesis.validate().map_err(|refusal| fault(refusal.to_string()))?;
    Ok(genesis)
}

/// Reads a key file of 64 hexadecimal digits that only its owner can read.
///
/// # Errors
/// [`ConfigError`].
pub fn load_key(path: &Path) -> Result<SecretKey, ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let fault = |reason: String| ConfigError { path: path.to_owned(), reason };
    let text = read_file(path)?;
    let mode =
        std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fault(format!("mode {:o} lets others read the key; use 600", mode & 0o777)));
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .map_err(|error| fault(format!("expected 64 hexadecimal digits: {error}")))?;
    SecretKey::from_bytes(bytes).map_err(|error| fault(error.to_string()))
}

/// Writes a key file that only its owner can read.
///
/// # Errors
/// What the disk said; also if the file exists.
pub fn write_key(path: &Path, key: &SecretKey) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", hex::encode(key.to_bytes()))
}

/// Holds a folder for this process; the file names the process.
#[derive(Debug)]
pub struct HomeLock {
    _file: std::fs::File,
}

impl HomeLock {
    /// Takes the folder, or says who has it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn take(home: &Path) -> Result<Self, ConfigError> {
        use std::io::Write;
        let path = home.join("lock");
        let fault = |reason: String| ConfigError { path: path.clone(), reason };
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| fault(error.to_string()))?;
        if file.try_lock().is_err() {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            return Err(fault(format!("the folder is in use by process {}", holder.trim())));
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self { _file: file })
    }
}
