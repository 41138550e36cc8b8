//! Where an audit takes its blocks from: the files of a folder, or nodes. One block at a time, however long the chain is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_consensus::{Block, Qc};
use gongsuan_journal::Disk;
use gongsuan_ledger::log::BlockLog;
use gongsuan_ledger::{Genesis, StoredBlock};
use gongsuan_types::{Height, codec};

use super::Mismatch;
use crate::api::wire::Status;
use crate::client::Client;
use crate::node::config::ConfigError;

/// See the module's documentation.
#[derive(Debug)]
pub struct Source {
    genesis: Genesis,
    head: Height,
    from: From,
}

#[derive(Debug)]
enum From {
    Folder(BlockLog),
    Node(Client),
}

impl Source {
    /// The files of a node's folder, or of a copy of it. They are read only: a torn end stays as it is and is passed over. `genesis` is the file to
    /// believe; without one, the folder's own `genesis.json`.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn folder(data: &Path, genesis: Option<&Path>) -> anyhow::Result<Self> {
        let path = data.join("blocks");
        let disk = ReadOnly::open(&path).map_err(|error| {
            let reason =
                format!("no block log: {error}; name a node's folder, the one with `blocks` in it");
            ConfigError { path, reason }
        })?;
        let own = data.join("genesis.json");
        if genesis.is_none() && !own.exists() {
            let reason = "no genesis here; name one with --genesis FILE".to_owned();
            return Err(ConfigError { path: own, reason }.into());
        }
        let genesis = crate::node::config::load_genesis(genesis.unwrap_or(&own))?;
        let log = BlockLog::open_over(Box::new(disk))?;
        let head = log.head();
        Ok(Self { genesis, head, from: From::Folder(log) })
    }

    /// The first node of a client that answers.
    ///
    /// # Errors
    /// [`crate::client::ClientError`].
    pub fn node(client: Client) -> anyhow::Result<Self> {
        let genesis = client.get("/v1/genesis")?;
        let head = client.get::<Status>("/v1/status")?.height;
        Ok(Self { genesis, head, from: From::Node(client) })
    }

    /// How the chain began.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The last block that there was when this was opened.
    #[must_use]
    pub fn head(&self) -> Height {
        self.head
    }

    /// A block.
    ///
    /// # Errors
    /// If it is not there or does not decode.
    pub fn block(&self, height: Height) -> anyhow::Result<StoredBlock> {
        let bytes = match &self.from {
            From::Folder(log) => log.read(height)?.with_context(|| format!("no block {height}"))?,
            From::Node(client) => {
                let block: serde_json::Value = client.get(&format!("/v1/blocks/{height}"))?;
                let bytes = block["bytes"].as_str().context("the answer has no bytes")?;
                hex::decode(bytes).context("the bytes are not hexadecimal")?
            }
        };
        codec::decode("stored block", usize::MAX, &bytes)
            .map_err(|error| Mismatch(format!("block {height}: {error}")).into())
    }

    /// The blocks from one height to another, both included.
    pub fn blocks(
        &self,
        from: Height,
        to: Height,
    ) -> impl Iterator<Item = anyhow::Result<StoredBlock>> + '_ {
        (from.0.max(1)..=to.0).map(|height| self.block(Height(height)))
    }
}

/// A block as consensus committed it: the block and a certificate of it or of a later one.
///
/// # Errors
/// [`Mismatch`] if the bytes are not that.
pub fn committed(stored: &StoredBlock) -> Result<(Block, Qc), Mismatch> {
    codec::decode("committed block", usize::MAX, &stored.consensus)
        .map_err(|error| Mismatch(format!("block {}: {error}", stored.header.height)))
}

/// A folder of files that is read and never written: opening a journal on it repairs nothing.
#[derive(Debug)]
pub struct ReadOnly(PathBuf);

impl ReadOnly {
    /// A folder that exists.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::read_dir(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Disk for ReadOnly {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // What begins with a dot is a lock; `.new` was never finished.
            if !name.starts_with('.') && !name.ends_with(".new") {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.0.join(name))?.len())
    }

    fn read(&self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        File::open(self.0.join(name))?.read_exact_at(bytes, offset)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, format!("there is no {name}")))
    }

    fn write(&mut self, _name: &str, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _name: &str, _size: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }

    fn salt(&mut self) -> u64 {
        0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
