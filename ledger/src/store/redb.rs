//! redb on disk: one file of checksummed pages with two commit slots.

use std::path::{Path, PathBuf};

use gongsuan_types::Height;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Batch, OLD_TABLES, Pairs, STORE_VERSION, Store, StoreError, TABLE, from_version_1};

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

const CONTENT: Table = TableDefinition::new(TABLE);

/// The height of the last batch and the version.
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const APPLIED: &str = "applied";
const VERSION: &str = "version";

/// redb on disk.
#[derive(Debug)]
pub struct RedbStore {
    path: PathBuf,
    db: Database,
}

/// Any of redb's errors, which all turn into this one.
type Fault = redb::Error;

impl RedbStore {
    /// Opens or creates the store in a file. One of an older version is brought up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`]; [`StoreError::Fault`]: remove the file and rebuild.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |reason: String| StoreError::Fault { path: path.to_owned(), reason };
        let db = Database::create(path).map_err(|error| fault(error.to_string()))?;
        let mut store = Self { path: path.to_owned(), db };
        let got = store.prepare().map_err(|error| store.fault(error))?;
        match u32::try_from(got).unwrap_or(u32::MAX) {
            STORE_VERSION => Ok(store),
            1 => {
                store.drop_old().map_err(|error| store.fault(error))?;
                let applied = store.applied()?;
                let batch = from_version_1(applied, &store.scan(&[])?);
                store.commit(&batch, applied)?;
                Ok(store)
            }
            got if got > STORE_VERSION => {
                Err(StoreError::Newer { path: path.to_owned(), got, known: STORE_VERSION })
            }
            _ => Err(store.fault("the store says nothing of its version")),
        }
    }

    /// Makes every table and says which version the store is of.
    fn prepare(&self) -> Result<u64, Fault> {
        let transaction = self.db.begin_write()?;
        let version = {
            transaction.open_table(CONTENT)?;
            let mut meta = transaction.open_table(META)?;
            let version = meta.get(VERSION)?.map(|version| version.value());
            let fresh = u64::from(STORE_VERSION);
            if version.is_none() {
                meta.insert(VERSION, fresh)?;
            }
            version.unwrap_or(fresh)
        };
        transaction.commit()?;
        Ok(version)
    }

    /// The index is derived from the log now.
    fn drop_old(&self) -> Result<(), Fault> {
        let transaction = self.db.begin_write()?;
        for old in OLD_TABLES {
            transaction.delete_table(Table::new(old))?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn fault(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Fault { path: self.path.clone(), reason: reason.to_string() }
    }

    fn put(&self, batch: &Batch, applied: Height) -> Result<(), Fault> {
        let transaction = self.db.begin_write()?;
        {
            let mut table = transaction.open_table(CONTENT)?;
            for (key, value) in &batch.changes {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(APPLIED, applied.0)?;
            meta.insert(VERSION, u64::from(STORE_VERSION))?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn read_applied(&self) -> Result<u64, Fault> {
        let meta = self.db.begin_read()?.open_table(META)?;
        Ok(meta.get(APPLIED)?.map_or(0, |applied| applied.value()))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let table = self.db.begin_read()?.open_table(CONTENT)?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    fn read_prefix(&self, prefix: &[u8]) -> Result<Pairs, Fault> {
        let table = self.db.begin_read()?.open_table(CONTENT)?;
        let mut pairs = Pairs::new();
        for pair in table.range(prefix..)? {
            let (key, value) = pair?;
            if !key.value().starts_with(prefix) {
                break;
            }
            pairs.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(pairs)
    }
}

impl Store for RedbStore {
    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError> {
        self.put(batch, applied).map_err(|error| self.fault(error))
    }

    fn applied(&self) -> Result<Height, StoreError> {
        self.read_applied().map(Height).map_err(|error| self.fault(error))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(key).map_err(|error| self.fault(error))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Pairs, StoreError> {
        self.read_prefix(prefix).map_err(|error| self.fault(error))
    }
}
