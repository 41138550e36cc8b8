//! redb on disk: one file of checksummed pages with two commit slots.

use std::path::{Path, PathBuf};

use gongsuan_types::Height;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Batch, COLUMNS, Column, Pairs, STORE_VERSION, Store, StoreError};

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

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

fn table(column: Column) -> Table {
    let name = COLUMNS.iter().find(|(other, _)| *other == column);
    TableDefinition::new(name.expect("every column has a name").1)
}

/// Any of redb's errors, which all turn into this one.
type Fault = redb::Error;

impl RedbStore {
    /// Opens or creates the store in a file.
    ///
    /// # Errors
    /// [`StoreError`], also for a store of another version: remove the file and rebuild.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |reason: String| StoreError { path: path.to_owned(), reason };
        let db = Database::create(path).map_err(|error| fault(error.to_string()))?;
        let store = Self { path: path.to_owned(), db };
        let version = store.prepare().map_err(|error| store.fault(error))?;
        if version != u64::from(STORE_VERSION) {
            return Err(store.fault(format!("the store is not of version {STORE_VERSION}")));
        }
        Ok(store)
    }

    /// Makes every table and says which version the store is of.
    fn prepare(&self) -> Result<u64, Fault> {
        let transaction = self.db.begin_write()?;
        let version = {
            for (column, _) in COLUMNS {
                transaction.open_table(table(column))?;
            }
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

    fn fault(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Durable if it comes with a height.
    fn put(&self, batch: &Batch, applied: Option<Height>) -> Result<(), Fault> {
        let mut transaction = self.db.begin_write()?;
        let lasting = if applied.is_some() { Durability::Immediate } else { Durability::None };
        transaction.set_durability(lasting)?;
        for (column, _) in COLUMNS {
            let mut table = transaction.open_table(table(column))?;
            for (_, key, value) in batch.changes.iter().filter(|(of, ..)| *of == column) {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
        }
        if let Some(applied) = applied {
            transaction.open_table(META)?.insert(APPLIED, applied.0)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn read_applied(&self) -> Result<u64, Fault> {
        let meta = self.db.begin_read()?.open_table(META)?;
        Ok(meta.get(APPLIED)?.map_or(0, |applied| applied.value()))
    }

    fn read(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let table = self.db.begin_read()?.open_table(table(column))?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    fn read_prefix(&self, column: Column, prefix: &[u8]) -> Result<Pairs, Fault> {
        let table = self.db.begin_read()?.open_table(table(column))?;
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
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.put(batch, None).map_err(|error| self.fault(error))
    }

    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError> {
        self.put(batch, Some(applied)).map_err(|error| self.fault(error))
    }

    fn applied(&self) -> Result<Height, StoreError> {
        self.read_applied().map(Height).map_err(|error| self.fault(error))
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(column, key).map_err(|error| self.fault(error))
    }

    fn scan(&self, column: Column, prefix: &[u8]) -> Result<Pairs, StoreError> {
        self.read_prefix(column, prefix).map_err(|error| self.fault(error))
    }
}
