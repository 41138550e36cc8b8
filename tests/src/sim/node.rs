//! A node: its core while it lives, and its disks, which survive.

use std::collections::BTreeMap;

use gongsuan_consensus::{
    Config, Core, Message, Proposal, Record, Recovered, Seq, To, ValidatorSet,
};
use gongsuan_journal::{Journal, MemoryDisk, Options, Tear};
use gongsuan_types::{Hash, SecretKey};

use super::app::App;
use super::judge::Saved;
use super::mischief::Mischief;

const OPTIONS: Options = Options { segment_bytes: 4 << 10, ..Options::new(*b"votes\0\0\0") };

/// How a node's clocks differ from the world's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Thousandths of the true speed.
    pub(crate) rate: u64,
    /// Milliseconds that the wall clock is ahead, less a large constant.
    pub(crate) ahead: u64,
    /// Stands still until then.
    pub(crate) frozen_until: u64,
}

/// What every wall clock is ahead of the world, so that one can also be behind.
pub(crate) const WALL: u64 = 10_000_000;

impl Clock {
    pub(crate) const TRUE: Self = Self { rate: 1_000, ahead: WALL, frozen_until: 0 };

    /// The monotonic clock.
    pub(crate) fn monotonic(&self, now: u64) -> u64 {
        now * self.rate / 1_000
    }

    /// When, in the world's time, the monotonic clock shows `at`.
    pub(crate) fn when(&self, at: u64) -> u64 {
        (at * 1_000).div_ceil(self.rate)
    }

    pub(crate) fn wall(&self, now: u64) -> u64 {
        now + self.ahead
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: SecretKey,
    pub(crate) core: Option<Core>,
    pub(crate) life: u32,
    pub(crate) app: App,
    pub(crate) clock: Clock,
    pub(crate) mischief: Mischief,
    /// Never to be started again: it has left the validators, or lost its disk.
    pub(crate) retired: bool,
    disk: MemoryDisk,
    wal: Option<Journal>,
    /// Records that were appended and not synced.
    unsynced: Vec<Record>,
    pub(crate) saved: Saved,
    pub(crate) appended: Seq,
    pub(crate) synced: Seq,
    pub(crate) held: Vec<(Seq, To, Message)>,
    /// Checks that wait for more blocks or more time.
    pub(crate) delayed: Vec<(Hash, Proposal)>,
    pub(crate) pieces: BTreeMap<u32, Vec<u8>>,
    pub(crate) timer: u64,
}

impl Node {
    pub(crate) fn new(key: SecretKey, mischief: Mischief, app: App) -> Self {
        Self {
            key,
            core: None,
            life: 0,
            app,
            clock: Clock::TRUE,
            mischief,
            retired: false,
            disk: MemoryDisk::new(),
            wal: None,
            unsynced: Vec::new(),
            saved: Saved::default(),
            appended: Seq(0),
            synced: Seq(0),
            held: Vec::new(),
            delayed: Vec::new(),
            pieces: BTreeMap::new(),
            timer: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// Starts from the disks. Says whether the vote state holds everything that was synced.
    pub(crate) fn start(
        &mut self,
        chain_id: Hash,
        config: impl FnOnce(Config) -> Config,
        set: ValidatorSet,
    ) -> Result<bool, String> {
        self.life += 1;
        (self.appended, self.synced) = (Seq(0), Seq(0));
        let (journal, _) = Journal::open(Box::new(self.disk.clone()), OPTIONS)
            .map_err(|error| format!("the vote log does not open: {error}"))?;
        let (mut recovered, mut saved) = (Recovered::default(), Saved::default());
        for record in journal.iter_from(journal.first()) {
            let (_, bytes) = record.map_err(|error| format!("the vote log: {error}"))?;
            let record = Record::decode(&bytes).map_err(|error| format!("a record: {error}"))?;
            saved.add(&record, &chain_id);
            recovered.apply(record);
        }
        let whole = saved.covers(&self.saved);
        self.saved = saved;
        self.wal = Some(journal);
        self.unsynced.clear();
        if let Some(newest) = self.app.newest() {
            recovered.set_committed(newest.clone());
        }
        let config = config(Config::new(chain_id, set, self.key.clone()));
        let core = Core::new(config, recovered).map_err(|error| format!("no start: {error}"))?;
        self.core = Some(core);
        Ok(whole)
    }

    /// The power goes: what was not synced is lost, torn or there, as `tear` says.
    pub(crate) fn crash(&mut self, tear: Tear, lost_blocks: usize) {
        self.core = None;
        self.wal = None;
        self.held.clear();
        self.delayed.clear();
        self.pieces.clear();
        self.unsynced.clear();
        self.disk = self.disk.crash(tear);
        self.app = self.app.crash(lost_blocks);
    }

    /// Everything is gone but the key.
    pub(crate) fn wipe(&mut self) {
        self.disk = MemoryDisk::new();
        self.app = App::default();
        self.saved = Saved::default();
    }

    pub(crate) fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// Appends a record; not durable yet. An error ends the process.
    pub(crate) fn append(&mut self, seq: Seq, record: Record) -> Result<(), String> {
        let wal = self.wal.as_mut().ok_or("the log is closed")?;
        wal.append(&[record.encode()]).map_err(|error| error.to_string())?;
        self.appended = seq;
        self.unsynced.push(record);
        Ok(())
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self, chain_id: &Hash) -> Result<(), String> {
        let wal = self.wal.as_mut().ok_or("the log is closed")?;
        wal.sync().map_err(|error| error.to_string())?;
        for record in std::mem::take(&mut self.unsynced) {
            self.saved.add(&record, chain_id);
        }
        self.synced = self.synced.max(self.appended);
        Ok(())
    }

    /// Replaces the log by the core's own summary, as a driver does when it has grown long.
    pub(crate) fn rotate(&mut self, chain_id: &Hash) -> Result<(), String> {
        let (Some(wal), Some(core)) = (self.wal.as_mut(), self.core.as_ref()) else {
            return Ok(());
        };
        let records = core.durable_records();
        let bytes: Vec<Vec<u8>> = records.iter().map(Record::encode).collect();
        wal.replace_all(&bytes).map_err(|error| error.to_string())?;
        self.unsynced.clear();
        for record in &records {
            self.saved.add(record, chain_id);
        }
        self.synced = self.synced.max(self.appended);
        Ok(())
    }
}
