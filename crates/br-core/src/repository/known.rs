//! The newest log entry that this machine knows.
//!
//! [`LogMemory`] stores the number and the digest of this entry in a file. If the log later lacks the entry, it was rolled back or damaged.
//! Invariant: the stored entry is only replaced by one with a higher number.

use std::io;
use std::path::{Path, PathBuf};

use super::Layout;
use crate::error::Error;
use crate::platform::{create_private_folder, open_regular, replace_private_file};
use crate::runtime::Runtime;
use crate::warning::Warning;

/// First line of the file.
const MAGIC: &str = "br newest log entry 1";
/// A longer file was not written by br.
const MAX_LEN: u64 = 1024;

/// Stores the newest known log entry of one repository at one location.
#[derive(Debug, Clone)]
pub(crate) struct LogMemory {
    path: PathBuf,
    runtime: Runtime,
}

/// A log entry that this machine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownEntry {
    pub(crate) seq: u64,
    /// Digest of the whole object, in hexadecimal.
    pub(crate) digest: String,
}

impl LogMemory {
    /// `name` is the file's name in `folder`.
    pub(crate) fn open(folder: &Path, name: &str, runtime: &Runtime) -> io::Result<Self> {
        create_private_folder(folder)?;
        Ok(Self {
            path: folder.join(name),
            runtime: runtime.clone(),
        })
    }

    /// Returns the newest known entry; an error when the file is invalid.
    pub(crate) fn read(&self) -> io::Result<Option<KnownEntry>> {
        let read = |path: &Path| {
            let file = open_regular(path)?;
            if file.metadata()?.len() > MAX_LEN {
                return Err(io::ErrorKind::InvalidData.into());
            }
            io::read_to_string(file)
        };
        match read(&self.path) {
            Ok(text) => match parse(&text) {
                Some(known) => Ok(Some(known)),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores an entry, unless a newer one is stored.
    pub(crate) fn note(&self, entry: &KnownEntry) -> io::Result<()> {
        if let Ok(Some(known)) = self.read()
            && known.seq >= entry.seq
        {
            return Ok(());
        }
        let body = format!("{MAGIC}\n{}\n{}\n", entry.seq, entry.digest);
        let sum = blake3::hash(body.as_bytes()).to_hex();
        let name = self.runtime.hidden_name();
        replace_private_file(&self.path, &name, format!("{body}{sum}\n").as_bytes())
    }

    /// The error for a log that ends before the known entry.
    pub(crate) fn went_back(&self, known: &KnownEntry, newest: Option<u64>) -> Error {
        let seen = Layout::log(known.seq);
        let now = match newest {
            Some(newest) => format!("the log ends with {} now", Layout::log(newest)),
            None => "the log is empty now".to_owned(),
        };
        let message = format!(
            "the repository was rolled back: this machine has seen {seen}, and {now}; {}",
            self.ways_out()
        );
        Error::damaged(message)
    }

    /// The error for a log that has a different entry with the known number.
    pub(crate) fn differs(&self, known: &KnownEntry) -> Error {
        let message = format!(
            "the repository has a different history than before: {} is not the entry that this machine has seen; {}",
            Layout::log(known.seq),
            self.ways_out()
        );
        Error::damaged(message)
    }

    fn ways_out(&self) -> String {
        format!(
            "if that was an accident, `check --repair-log` restores every complete backup; if it was set back on \
             purpose, remove {}",
            self.path.display()
        )
    }

    /// The warning for an invalid file.
    pub(crate) fn unreadable(&self, error: io::Error) -> Warning {
        let path = self.path.clone();
        Warning::NewestLogUnreadable { path, error }
    }
}

fn parse(text: &str) -> Option<KnownEntry> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    if blake3::hash(format!("{body}\n").as_bytes())
        .to_hex()
        .as_str()
        != sum
    {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != MAGIC {
        return None;
    }
    let seq = lines.next()?.parse().ok()?;
    let digest = lines.next()?.to_owned();
    Some(KnownEntry { seq, digest })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_newer_entry_replaces_the_one_that_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let memory = LogMemory::open(dir.path(), "here", &Runtime::system()).unwrap();
        assert_eq!(memory.read().unwrap(), None);
        let entry = |seq| KnownEntry {
            seq,
            digest: format!("{seq:064}"),
        };
        for seq in [3, 7, 5] {
            memory.note(&entry(seq)).unwrap();
        }
        assert_eq!(memory.read().unwrap(), Some(entry(7)));
        let elsewhere = LogMemory::open(dir.path(), "there", &Runtime::system()).unwrap();
        assert_eq!(elsewhere.read().unwrap(), None, "a copy has its own log");
        let bytes = fs::read(&memory.path).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&memory.path, bad).unwrap();
            assert!(memory.read().is_err(), "flipped at {at}");
            fs::write(&memory.path, &bytes[..at]).unwrap();
            assert!(memory.read().is_err(), "cut at {at}");
        }
        memory.note(&entry(2)).unwrap();
        assert_eq!(
            memory.read().unwrap(),
            Some(entry(2)),
            "a damaged file is replaced"
        );
    }
}
