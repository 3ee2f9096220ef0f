//! Until when this machine locked which object.
//!
//! [`LockMemory`] stores the times in a file, because a server answers such a question only object by object. Invariant: an object is in
//! the file only after the server accepted or reported the lock. The file may be lost or deleted: then every object is locked again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use br_storage::RetentionMode;
use jiff::Timestamp;

use super::record_file::RecordFile;
use crate::runtime::Runtime;

const MAGIC: [u8; 8] = *b"brlock1\n";
/// Bytes of the mode, and of a time in seconds since 1970. The id is the hash of a key.
const VALUE_LEN: usize = 1 + 8;

/// The file with the locks of one repository at one location.
#[derive(Debug, Clone)]
pub(crate) struct LockMemory {
    file: RecordFile<VALUE_LEN>,
}

type Lock = (RetentionMode, Timestamp);

/// Locks that have not ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct KnownLocks(BTreeMap<[u8; 16], Lock>);

impl KnownLocks {
    /// Mode and end of the lock of an object.
    pub(crate) fn get(&self, key: &str) -> Option<Lock> {
        self.0.get(&id(key)).copied()
    }
}

/// A short name for a key.
fn id(key: &str) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..16]);
    id
}

impl LockMemory {
    /// `name` is the file's name in `folder`.
    pub(crate) fn open(folder: &Path, name: &str, runtime: &Runtime) -> io::Result<Self> {
        let file = RecordFile::open(folder, name, MAGIC, runtime)?;
        Ok(Self { file })
    }

    /// Returns the locks. A missing or invalid file has none.
    pub(crate) fn read(&self) -> KnownLocks {
        let now = self.file.now();
        let locks = self.file.read().into_iter();
        let locks: Option<BTreeMap<_, _>> =
            locks.map(|(id, value)| Some((id, lock(value)?))).collect();
        let mut locks = locks.unwrap_or_default();
        locks.retain(|_, (_, until)| *until > now);
        KnownLocks(locks)
    }

    /// Adds locks, and forgets those that have ended.
    pub(crate) fn note(&self, locked: &[(String, RetentionMode, Timestamp)]) -> io::Result<()> {
        let KnownLocks(mut locks) = self.read();
        let new = locked.iter();
        locks.extend(new.map(|(key, mode, until)| (id(key), (*mode, *until))));
        let locks = locks.into_iter().map(|(id, lock)| (id, value(lock)));
        self.file.write(&locks.collect())
    }
}

fn value((mode, until): Lock) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    value[0] = u8::from(mode == RetentionMode::Compliance);
    value[1..].copy_from_slice(&until.as_second().to_le_bytes());
    value
}

fn lock([mode, seconds @ ..]: [u8; VALUE_LEN]) -> Option<Lock> {
    let mode = match mode {
        0 => RetentionMode::Governance,
        1 => RetentionMode::Compliance,
        _ => return None,
    };
    let until = Timestamp::from_second(i64::from_le_bytes(seconds)).ok()?;
    Some((mode, until))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn ended_locks_and_damaged_files_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::system();
        let memory = LockMemory::open(dir.path(), "locks", &runtime).unwrap();
        assert_eq!(memory.read(), KnownLocks::default());
        let now = Timestamp::from_second(runtime.clock.now().as_second()).unwrap();
        let later = now + SignedDuration::from_hours(1);
        let lock = |key: &str, mode, until| (key.to_owned(), mode, until);
        let one = lock("packs/one", RetentionMode::Compliance, later);
        let two = lock("packs/two", RetentionMode::Governance, now);
        memory.note(&[one, two]).unwrap();
        let locks = memory.read();
        let expected = Some((RetentionMode::Compliance, later));
        assert_eq!(locks.get("packs/one"), expected);
        assert_eq!(locks.get("packs/two"), None, "it has ended");
        let bytes = fs::read(memory.file.path()).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(memory.file.path(), bad).unwrap();
            assert_eq!(memory.read(), KnownLocks::default(), "flipped at {at}");
            fs::write(memory.file.path(), &bytes[..at]).unwrap();
            assert_eq!(memory.read(), KnownLocks::default(), "cut at {at}");
        }
    }
}
