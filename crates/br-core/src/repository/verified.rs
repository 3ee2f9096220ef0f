//! When this machine verified which pack.
//!
//! [`VerifiedPacks`] stores the times in a file. Invariant: a pack is in the file only after every byte of it was read and found intact.
//! The file may be lost or deleted: then packs count as never verified.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::model::PackId;
use crate::platform::{create_private_folder, open_regular, replace_private_file};
use crate::runtime::Runtime;

const MAGIC: &[u8; 8] = b"brvrfy1\n";
/// Bytes of a pack id and of a time in seconds since 1970.
const RECORD_LEN: usize = 24;
const SUM_LEN: usize = 32;
/// A larger file was not written by br: it would describe ten million packs.
const MAX_LEN: u64 = 240_000_000;

/// The file with the times for one repository at one location.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedPacks {
    path: PathBuf,
    runtime: Runtime,
}

impl VerifiedPacks {
    /// `name` is the file's name in `folder`.
    pub(crate) fn open(folder: &Path, name: &str, runtime: &Runtime) -> io::Result<Self> {
        create_private_folder(folder)?;
        Ok(Self {
            path: folder.join(name),
            runtime: runtime.clone(),
        })
    }

    /// Returns the time of the last verification of each pack. A missing or invalid file has none. A time in the future is left out:
    /// the clock was wrong then or is wrong now.
    pub(crate) fn read(&self) -> BTreeMap<PackId, Timestamp> {
        let now = self.runtime.clock.now();
        let mut times = self.load().unwrap_or_default();
        times.retain(|_, time| *time <= now);
        times
    }

    fn load(&self) -> Option<BTreeMap<PackId, Timestamp>> {
        let file = open_regular(&self.path).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_LEN + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > MAX_LEN {
            return None;
        }
        parse(&bytes)
    }

    /// Stores the current time for `verified`. Keeps the times of the packs that `exists` accepts, and forgets the other ones. `damaged`
    /// packs lose their time.
    pub(crate) fn note(
        &self,
        verified: &[PackId],
        damaged: &[PackId],
        exists: impl Fn(&PackId) -> bool,
    ) -> io::Result<()> {
        let now = self.runtime.clock.now();
        let mut times = self.read();
        times.retain(|pack, _| exists(pack));
        times.extend(verified.iter().map(|pack| (*pack, now)));
        for pack in damaged {
            times.remove(pack);
        }
        replace_private_file(&self.path, &self.runtime.hidden_name(), &bytes(&times))
    }
}

fn bytes(times: &BTreeMap<PackId, Timestamp>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + times.len() * RECORD_LEN + SUM_LEN);
    bytes.extend_from_slice(MAGIC);
    for (pack, time) in times {
        bytes.extend_from_slice(&pack.0);
        bytes.extend_from_slice(&time.as_second().to_le_bytes());
    }
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<PackId, Timestamp>> {
    let (body, sum) = bytes.split_last_chunk::<SUM_LEN>()?;
    if blake3::hash(body) != *sum {
        return None;
    }
    let records = body.strip_prefix(MAGIC)?.chunks_exact(RECORD_LEN);
    let record = |record: &[u8]| {
        let (pack, time) = record.split_first_chunk::<16>()?;
        let seconds = i64::from_le_bytes(time.try_into().ok()?);
        Some((PackId(*pack), Timestamp::from_second(seconds).ok()?))
    };
    records.map(record).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn damaged_file_has_no_times_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let packs = VerifiedPacks::open(dir.path(), "packs", &Runtime::system()).unwrap();
        assert!(packs.read().is_empty());
        let [one, two, three] = [1, 2, 3].map(|byte| PackId([byte; 16]));
        packs.note(&[one, two], &[], |_| true).unwrap();
        packs.note(&[three], &[one], |pack| *pack != two).unwrap();
        assert_eq!(packs.read().into_keys().collect::<Vec<_>>(), [three]);

        let bytes = fs::read(&packs.path).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&packs.path, bad).unwrap();
            assert!(packs.read().is_empty(), "flipped at {at}");
            fs::write(&packs.path, &bytes[..at]).unwrap();
            assert!(packs.read().is_empty(), "cut at {at}");
        }
        packs.note(&[two], &[], |_| true).unwrap();
        assert_eq!(packs.read().into_keys().collect::<Vec<_>>(), [two]);
    }

    #[test]
    fn time_in_future_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let packs = VerifiedPacks::open(dir.path(), "packs", &Runtime::system()).unwrap();
        let later = Timestamp::from_second(32_503_680_000).unwrap();
        let times = BTreeMap::from([(PackId([1; 16]), later)]);
        fs::write(&packs.path, bytes(&times)).unwrap();
        assert!(packs.read().is_empty());
    }
}
