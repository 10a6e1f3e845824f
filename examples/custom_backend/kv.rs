//! The key-value store. The only file that knows which one it is: to build on
//! another one, write these functions anew.

use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass::backend::{Error, ErrorKind, Result};

use crate::keys::{Key, Keys};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("windlass");

/// A sorted map of bytes, in a file or in memory.
#[derive(Debug)]
pub(crate) struct Kv(Database);

impl Kv {
    /// Opens a file, which is created if it is missing. One process can have
    /// it open at a time.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Database::create(path).map(Self).map_err(failed)
    }

    pub(crate) fn in_memory() -> Result<Self> {
        let backend = InMemoryBackend::new();
        Database::builder().create_with_backend(backend).map(Self).map_err(failed)
    }

    /// Begins a transaction. It has the store for itself.
    pub(crate) fn begin(&self) -> Result<Transaction> {
        self.0.begin_write().map(Transaction).map_err(failed)
    }
}

/// Changes that happen together or not at all. Dropping it undoes them.
pub(crate) struct Transaction(WriteTransaction);

impl Transaction {
    pub(crate) fn pairs(&self) -> Result<Pairs<'_>> {
        let table = self.0.open_table(TABLE).map_err(failed)?;
        Ok(Pairs { table, changed: false })
    }

    /// Makes the changes durable: when this returns, they are on the disk.
    pub(crate) fn commit(self) -> Result<()> {
        self.0.commit().map_err(failed)
    }
}

/// The pairs, as the transaction sees them.
pub(crate) struct Pairs<'t> {
    table: Table<'t, &'static [u8], &'static [u8]>,
    changed: bool,
}

impl Pairs<'_> {
    /// Whether there is anything to commit.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        let found = self.table.get(key.bytes()).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    pub(crate) fn put(&mut self, key: &Key, value: &[u8]) -> Result<()> {
        self.changed = true;
        self.table.insert(key.bytes(), value).map_err(failed)?;
        Ok(())
    }

    /// Answers whether there was such a key.
    pub(crate) fn remove(&mut self, key: &Key) -> Result<bool> {
        let removed = self.table.remove(key.bytes()).map_err(failed)?.is_some();
        self.changed |= removed;
        Ok(removed)
    }

    /// The values of these keys in the order of the keys. Nothing is read
    /// before it is asked for.
    pub(crate) fn walk(
        &self,
        keys: Keys,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Vec<u8>>> + use<'_>> {
        let range = self.table.range(keys.from.as_slice()..keys.until.as_slice());
        let walk = range.map_err(failed)?;
        Ok(walk.map(|pair| Ok(pair.map_err(failed)?.1.value().to_vec())))
    }

    pub(crate) fn first(&self, keys: Keys) -> Result<Option<Vec<u8>>> {
        self.walk(keys)?.next().transpose()
    }

    /// Reads the records of these keys.
    pub(crate) fn read_all<T: DeserializeOwned>(&self, keys: Keys) -> Result<Vec<T>> {
        self.walk(keys)?.map(|bytes| decode(&bytes?)).collect()
    }

    /// Reads a record.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        self.get(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Writes a record.
    pub(crate) fn write<T: Serialize>(&mut self, key: &Key, record: &T) -> Result<()> {
        self.put(key, &encode(record)?)
    }
}

/// The stored form of a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(record)
        .map_err(|error| Error::new(ErrorKind::Store, "a record has no JSON").with_source(error))
}

/// Reads what [`encode`] made.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = "the file holds a record that this version does not write";
        Error::new(ErrorKind::Incompatible, what).with_source(error)
    })
}

/// What a failure means for the caller.
fn failed(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let (kind, what) = match &error {
        redb::Error::DatabaseAlreadyOpen => {
            (ErrorKind::Unavailable, "another process has the file open")
        }
        // A disk may be full, and have room again later.
        redb::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            (ErrorKind::Unavailable, "the file cannot be read or written")
        }
        redb::Error::Io(_) | redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => {
            (ErrorKind::Incompatible, "the file is not one of redb's, or is damaged")
        }
        _ => (ErrorKind::Store, "the store failed"),
    };
    Error::new(kind, what).with_source(error)
}
