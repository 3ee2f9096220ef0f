//! A file on this machine with one record for each of many objects.
//!
//! [`RecordFile`] has a magic number, records of equal length in ascending order, and a checksum. Invariant: a file that is missing, damaged or
//! too large has no records, so whatever is in it may be lost.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::platform::{create_private_folder, open_regular, replace_private_file};
use crate::runtime::Runtime;

const MAGIC_LEN: usize = 8;
const KEY_LEN: usize = 16;
const SUM_LEN: usize = 32;
/// A file with more records was not written by br.
const MAX_RECORDS: usize = 10_000_000;

/// Records of `N` bytes, by the id of their object.
pub(super) type Records<const N: usize> = BTreeMap<[u8; KEY_LEN], [u8; N]>;

/// A file of records.
#[derive(Debug, Clone)]
pub(super) struct RecordFile<const N: usize> {
    path: PathBuf,
    magic: [u8; MAGIC_LEN],
    runtime: Runtime,
}

impl<const N: usize> RecordFile<N> {
    const RECORD_LEN: usize = KEY_LEN + N;

    /// `name` is the file's name in `folder`, which is created if it is missing.
    pub(super) fn open(
        folder: &Path,
        name: &str,
        magic: [u8; MAGIC_LEN],
        runtime: &Runtime,
    ) -> io::Result<Self> {
        create_private_folder(folder)?;
        Ok(Self {
            path: folder.join(name),
            magic,
            runtime: runtime.clone(),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.runtime.clock.now()
    }

    /// The records; none if the file is missing or invalid.
    pub(super) fn read(&self) -> Records<N> {
        self.load().unwrap_or_default()
    }

    fn load(&self) -> Option<Records<N>> {
        let most = (MAX_RECORDS * Self::RECORD_LEN) as u64;
        let file = open_regular(&self.path).ok()?;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > most {
            return None;
        }
        let (body, sum) = bytes.split_last_chunk::<SUM_LEN>()?;
        if blake3::hash(body) != *sum {
            return None;
        }
        let records = body.strip_prefix(&self.magic)?;
        let records = records.chunks_exact(Self::RECORD_LEN).map(|record| {
            let (key, value) = record.split_first_chunk()?;
            Some((*key, value.try_into().ok()?))
        });
        records.collect()
    }

    /// Replaces the file.
    pub(super) fn write(&self, records: &Records<N>) -> io::Result<()> {
        let len = MAGIC_LEN + records.len() * Self::RECORD_LEN + SUM_LEN;
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&self.magic);
        for (key, value) in records {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        replace_private_file(&self.path, &self.runtime.hidden_name(), &bytes)
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
