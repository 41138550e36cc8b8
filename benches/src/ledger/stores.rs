//! One durable commit a block, beside stores that could hold the chain: for each transfer a body of 200 bytes, two records of the state and an entry
//! of the index.

use std::path::Path;

use gongsuan_ledger::log::BlockLog;
use gongsuan_types::{Hash, Height};

use super::{Size, row};
use crate::measure::Clock;
use crate::table::Report;

const BODY_BYTES: usize = 200;
const RECORD_BYTES: usize = 64;
/// Records of the state before the first block, at most: filling sled with a million takes minutes.
const RECORDS_MAX: usize = 200_000;
const BLOCKS: usize = 16;

/// What a block writes.
struct Writes {
    height: u64,
    body: Vec<u8>,
    records: Vec<([u8; 32], [u8; RECORD_BYTES])>,
    index: Vec<([u8; 32], [u8; 8])>,
}

fn name_of(kind: &str, n: usize) -> [u8; 32] {
    Hash::of(kind, &n.to_le_bytes()).0
}

impl Writes {
    fn of_block(height: u64, transfers: usize, accounts: usize) -> Self {
        let first = usize::try_from(height).expect("a small number") * transfers;
        let number = |n: usize| (first + n) as u64;
        let mut records: Vec<_> = (0..2 * transfers)
            .map(|n| {
                let account = (n * 7_919 + first * 104_729) % accounts;
                let mut record = [0; RECORD_BYTES];
                record[..8].copy_from_slice(&number(n).to_le_bytes());
                (name_of("account", account), record)
            })
            .collect();
        records.sort_unstable();
        records.dedup_by_key(|(key, _)| *key);
        let mut index: Vec<_> =
            (0..transfers).map(|n| (name_of("tx", first + n), number(n).to_be_bytes())).collect();
        index.sort_unstable();
        let body = (0..transfers).flat_map(|n| name_of("body", first + n).repeat(7)).collect();
        let mut writes = Self { height, body, records, index };
        writes.body.truncate(transfers * BODY_BYTES);
        writes
    }

    /// The records of all accounts, as blocks without bodies.
    fn fill(accounts: usize) -> impl Iterator<Item = Self> {
        let all = (0..accounts).step_by(10_000).zip(1..);
        all.map(move |(from, height)| {
            let numbers = from..(from + 10_000).min(accounts);
            let records = numbers.map(|n| (name_of("account", n), [1; RECORD_BYTES])).collect();
            Self { height, body: Vec::new(), records, index: Vec::new() }
        })
    }
}

/// Something that keeps a block's writes together and durably.
trait Peer {
    fn commit(&mut self, writes: &Writes);
}

/// The block log alone: what a block of the log has to make durable. The state is executed from it and held in memory, the index is written
/// behind it, so the same bytes go into one record.
struct Log(BlockLog);

impl Peer for Log {
    fn commit(&mut self, writes: &Writes) {
        let mut record = writes.body.clone();
        for (key, value) in &writes.records {
            record.extend_from_slice(key);
            record.extend_from_slice(value);
        }
        for (key, value) in &writes.index {
            record.extend_from_slice(key);
            record.extend_from_slice(value);
        }
        self.0.append(Height(writes.height), &[record]).expect("the disk works");
    }
}

pub(super) fn run(report: &mut Report, size: Size) {
    let accounts = size.accounts.min(RECORDS_MAX);
    report.note(&format!(
        "durable commit: {BODY_BYTES} bytes of body, 2 records of {RECORD_BYTES} bytes and an index entry per transfer, {accounts} records before"
    ));
    measure(report, "gongsuan block log: durable commit", accounts, |path| {
        Box::new(Log(BlockLog::open(path).expect("a log")))
    });
    #[cfg(feature = "peers")]
    peers::run(report, accounts);
}

fn measure(
    report: &mut Report,
    name: &str,
    accounts: usize,
    open: impl FnOnce(&Path) -> Box<dyn Peer>,
) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut peer = open(&dir.path().join("store"));
    let mut height = 0;
    for writes in Writes::fill(accounts) {
        height = writes.height;
        peer.commit(&writes);
    }
    for transfers in [1_000, 4_000] {
        let blocks: Vec<Writes> = (0..BLOCKS)
            .map(|_| {
                height += 1;
                Writes::of_block(height, transfers, accounts)
            })
            .collect();
        let started = Clock::start();
        for writes in &blocks {
            peer.commit(writes);
        }
        row(report, name, transfers, BLOCKS, started);
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::fs::File;

    use redb::TableDefinition;
    use sled::Transactional;

    use super::*;

    pub(super) fn run(report: &mut Report, accounts: usize) {
        report.note("redb, fjall: their own durable commit; sled: one transaction over four trees, flush, and the fdatasync that its flush leaves out");
        measure(report, "redb: durable commit", accounts, |path| Box::new(Redb::open(path)));
        measure(report, "fjall: durable commit", accounts, |path| Box::new(Fjall::open(path)));
        measure(report, "sled: durable commit", accounts, |path| Box::new(Sled::open(path)));
    }

    const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
    const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
    const INDEX: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("index");

    struct Redb(redb::Database);

    impl Redb {
        fn open(path: &Path) -> Self {
            Self(redb::Database::create(path).expect("a database"))
        }

        fn try_commit(&self, writes: &Writes) -> Result<(), redb::Error> {
            let tx = self.0.begin_write()?;
            tx.open_table(BODIES)?.insert(writes.height, writes.body.as_slice())?;
            {
                let mut records = tx.open_table(RECORDS)?;
                for (key, value) in &writes.records {
                    records.insert(key.as_slice(), value.as_slice())?;
                }
                let mut index = tx.open_table(INDEX)?;
                for (key, value) in &writes.index {
                    index.insert(key.as_slice(), value.as_slice())?;
                }
            }
            tx.commit()?;
            Ok(())
        }
    }

    impl Peer for Redb {
        fn commit(&mut self, writes: &Writes) {
            self.try_commit(writes).expect("the disk works");
        }
    }

    struct Fjall {
        all: fjall::Database,
        bodies: fjall::Keyspace,
        records: fjall::Keyspace,
        index: fjall::Keyspace,
    }

    impl Fjall {
        fn open(path: &Path) -> Self {
            let all = fjall::Database::builder(path).open().expect("a database");
            let column = |name: &str| {
                all.keyspace(name, fjall::KeyspaceCreateOptions::default).expect("a column")
            };
            let (bodies, records, index) = (column("bodies"), column("records"), column("index"));
            Self { all, bodies, records, index }
        }
    }

    impl Peer for Fjall {
        fn commit(&mut self, writes: &Writes) {
            let mut batch = self.all.batch().durability(Some(fjall::PersistMode::SyncData));
            batch.insert(&self.bodies, writes.height.to_be_bytes(), writes.body.as_slice());
            for (key, value) in &writes.records {
                batch.insert(&self.records, key.as_slice(), value.as_slice());
            }
            for (key, value) in &writes.index {
                batch.insert(&self.index, key.as_slice(), value.as_slice());
            }
            batch.commit().expect("the disk works");
        }
    }

    struct Sled {
        all: sled::Db,
        bodies: sled::Tree,
        records: sled::Tree,
        index: sled::Tree,
        file: File,
    }

    impl Sled {
        fn open(path: &Path) -> Self {
            let config = sled::Config::new().path(path).flush_every_ms(None);
            let all = config.open().expect("a database");
            let tree = |name: &str| all.open_tree(name).expect("a tree");
            let (bodies, records, index) = (tree("bodies"), tree("records"), tree("index"));
            let file = File::open(path.join("db")).expect("its file");
            Self { all, bodies, records, index, file }
        }
    }

    impl Peer for Sled {
        fn commit(&mut self, writes: &Writes) {
            let trees = (&self.bodies, &self.records, &self.index);
            let done = trees.transaction(|(bodies, records, index)| {
                bodies.insert(&writes.height.to_be_bytes(), writes.body.as_slice())?;
                for (key, value) in &writes.records {
                    records.insert(key, value.as_slice())?;
                }
                for (key, value) in &writes.index {
                    index.insert(key, value.as_slice())?;
                }
                Ok::<(), sled::transaction::ConflictableTransactionError<()>>(())
            });
            done.expect("no other transaction");
            self.all.flush().expect("the disk works");
            self.file.sync_data().expect("the disk works");
        }
    }
}
