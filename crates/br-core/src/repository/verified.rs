//! When this machine verified which pack.
//!
//! [`VerifiedPacks`] stores the times in a file. Invariant: a pack is in the file only after every byte of it was read and found intact.
//! The file may be lost or deleted: then packs count as never verified.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::record_file::{RecordFile, Records};
use crate::model::PackId;
use crate::runtime::Runtime;

const MAGIC: [u8; 8] = *b"brvrfy1\n";
/// Bytes of a time in seconds since 1970.
const VALUE_LEN: usize = 8;

/// The file with the times for one repository at one location.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedPacks {
    file: RecordFile<VALUE_LEN>,
}

impl VerifiedPacks {
    /// `name` is the file's name in `folder`.
    pub(crate) fn open(folder: &Path, name: &str, runtime: &Runtime) -> io::Result<Self> {
        let file = RecordFile::open(folder, name, MAGIC, runtime)?;
        Ok(Self { file })
    }

    /// Returns the time of the last verification of each pack. A missing or invalid file has none. A time in the future is left out:
    /// the clock was wrong then or is wrong now.
    pub(crate) fn read(&self) -> BTreeMap<PackId, Timestamp> {
        let now = self.file.now();
        let times = self.file.read().into_iter();
        let times: Option<BTreeMap<_, _>> = times
            .map(|(pack, at)| Some((PackId(pack), time(at)?)))
            .collect();
        let mut times = times.unwrap_or_default();
        times.retain(|_, time| *time <= now);
        times
    }

    /// Stores the current time for `verified`. Keeps the times of the packs that `exists` accepts, and forgets the other ones. `damaged`
    /// packs lose their time.
    pub(crate) fn note(
        &self,
        verified: &[PackId],
        damaged: &[PackId],
        exists: impl Fn(&PackId) -> bool,
    ) -> io::Result<()> {
        let now = self.file.now();
        let mut times = self.read();
        times.retain(|pack, _| exists(pack));
        times.extend(verified.iter().map(|pack| (*pack, now)));
        for pack in damaged {
            times.remove(pack);
        }
        self.file.write(&values(&times))
    }
}

fn values(times: &BTreeMap<PackId, Timestamp>) -> Records<VALUE_LEN> {
    let values = times.iter();
    values
        .map(|(pack, time)| (pack.0, time.as_second().to_le_bytes()))
        .collect()
}

fn time(seconds: [u8; VALUE_LEN]) -> Option<Timestamp> {
    Timestamp::from_second(i64::from_le_bytes(seconds)).ok()
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

        let bytes = fs::read(packs.file.path()).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(packs.file.path(), bad).unwrap();
            assert!(packs.read().is_empty(), "flipped at {at}");
            fs::write(packs.file.path(), &bytes[..at]).unwrap();
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
        packs.file.write(&values(&times)).unwrap();
        assert!(packs.read().is_empty());
    }
}
