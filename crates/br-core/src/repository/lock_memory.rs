//! Until when this machine locked which object.
//!
//! [`LockMemory`] stores the times in a file, because a server answers such a question only object by object. Invariant: an object is in
//! the file only after the server accepted or reported the lock. The file may be lost or deleted: then every object is locked again.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use br_storage::RetentionMode;
use jiff::Timestamp;

use crate::platform::{create_private_folder, open_regular, replace_private_file};
use crate::runtime::Runtime;

const MAGIC: &[u8; 8] = b"brlock1\n";
/// Bytes of the hash of a key, of the mode, and of a time in seconds since 1970.
const RECORD_LEN: usize = 16 + 1 + 8;
const SUM_LEN: usize = 32;
/// A larger file was not written by br: it would describe ten million objects.
const MAX_LEN: u64 = 250_000_000;

/// The file with the locks of one repository at one location.
#[derive(Debug, Clone)]
pub(crate) struct LockMemory {
    path: PathBuf,
    runtime: Runtime,
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
        create_private_folder(folder)?;
        Ok(Self {
            path: folder.join(name),
            runtime: runtime.clone(),
        })
    }

    /// Returns the locks. A missing or invalid file has none.
    pub(crate) fn read(&self) -> KnownLocks {
        let now = self.runtime.clock.now();
        let mut locks = self.load().unwrap_or_default();
        locks.retain(|_, (_, until)| *until > now);
        KnownLocks(locks)
    }

    fn load(&self) -> Option<BTreeMap<[u8; 16], Lock>> {
        let file = open_regular(&self.path).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_LEN + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > MAX_LEN {
            return None;
        }
        parse(&bytes)
    }

    /// Adds locks, and forgets those that have ended.
    pub(crate) fn note(&self, locked: &[(String, RetentionMode, Timestamp)]) -> io::Result<()> {
        let KnownLocks(mut locks) = self.read();
        let new = locked.iter();
        locks.extend(new.map(|(key, mode, until)| (id(key), (*mode, *until))));
        replace_private_file(&self.path, &self.runtime.hidden_name(), &bytes(&locks))
    }
}

fn bytes(locks: &BTreeMap<[u8; 16], Lock>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + locks.len() * RECORD_LEN + SUM_LEN);
    bytes.extend_from_slice(MAGIC);
    for (id, (mode, until)) in locks {
        bytes.extend_from_slice(id);
        bytes.push(u8::from(*mode == RetentionMode::Compliance));
        bytes.extend_from_slice(&until.as_second().to_le_bytes());
    }
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<[u8; 16], Lock>> {
    let (body, sum) = bytes.split_last_chunk::<SUM_LEN>()?;
    if blake3::hash(body) != *sum {
        return None;
    }
    let records = body.strip_prefix(MAGIC)?.chunks_exact(RECORD_LEN);
    let record = |record: &[u8]| {
        let (id, rest) = record.split_first_chunk::<16>()?;
        let (mode, time) = rest.split_first()?;
        let mode = match mode {
            0 => RetentionMode::Governance,
            1 => RetentionMode::Compliance,
            _ => return None,
        };
        let seconds = i64::from_le_bytes(time.try_into().ok()?);
        Some((*id, (mode, Timestamp::from_second(seconds).ok()?)))
    };
    records.map(record).collect()
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
        let bytes = fs::read(&memory.path).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&memory.path, bad).unwrap();
            assert_eq!(memory.read(), KnownLocks::default(), "flipped at {at}");
            fs::write(&memory.path, &bytes[..at]).unwrap();
            assert_eq!(memory.read(), KnownLocks::default(), "cut at {at}");
        }
    }
}
