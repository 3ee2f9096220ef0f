//! The journal of a running backup. If the backup is interrupted, the next one uses the journal (section 11 of the format).

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Io;
use crate::error::{Error, Result, Site};
use crate::format::{
    FRAME_HEAD_LEN, HEADER_LEN, JournalRecord, LeafBuilder, MAX_CHUNKS_IN_ENTRY, ObjectKind,
    SealedObject, TAG_LEN, limits,
};
use crate::model::{Content, Entry, EntryKind, FileContent, PackId, hex};
use crate::platform::{create_private_file, create_private_folder, open_regular};

/// A leaf of entries is written when it has about this length.
const LEAF_LEN: usize = 64 << 10;

/// Writes the journal of a backup. Deleted after the commit.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    object: SealedObject,
    frames: u32,
    leaf: LeafBuilder,
}

impl Journal {
    /// Creates a journal in a folder, which is created if needed, and keeps the journal locked while the value exists.
    pub(crate) fn create(folder: &Path, io: &Io) -> Result<Self> {
        let folder = folder.join(io.repository.config().id.to_string());
        let id = io.context.runtime.object_id();
        let path = folder.join(format!("{}.journal", hex(id.as_bytes())));
        let object = io.new_object(ObjectKind::Journal, id);
        let make = || -> io::Result<File> {
            create_private_folder(&folder)?;
            let mut file = create_private_file(&path)?;
            file.try_lock()?;
            file.write_all(object.header())?;
            Ok(file)
        };
        let named =
            |error| Error::io(format!("cannot write {}", path.display()), error).at(Site::Cache);
        let file = make().map_err(named)?;
        let mut journal = Self {
            path: path.clone(),
            file,
            object,
            frames: 0,
            leaf: LeafBuilder::default(),
        };
        let started = io.context.runtime.clock.now().as_millisecond();
        journal
            .write(&JournalRecord::encode_started(started))
            .map_err(named)?;
        Ok(journal)
    }

    /// Records stored packs.
    pub(crate) fn push_packs(&mut self, packs: &[PackId]) -> io::Result<()> {
        self.write(&JournalRecord::encode_packs(packs))
    }

    /// Records a finished entry.
    pub(crate) fn push_entry(&mut self, entry: &Entry) -> io::Result<()> {
        // Skip files with very many chunks: their lists would be in the repository, not in the journal. The next backup reads them again.
        if let EntryKind::File(FileContent {
            content: Content::Chunks(chunks),
            ..
        }) = &entry.kind
            && chunks.len() > MAX_CHUNKS_IN_ENTRY
        {
            return Ok(());
        }
        self.leaf.push(entry, &[]);
        if self.leaf.len() < LEAF_LEN {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let leaf = self.leaf.finish();
        self.write(&JournalRecord::encode_leaf(&leaf))
    }

    fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::new();
        self.object.write_frame(self.frames, payload, &mut frame);
        self.frames += 1;
        self.file.write_all(&frame)
    }

    /// Deletes the journal after the commit.
    pub(crate) fn remove(self) {
        // Ignore a failure: the next backup then reads the journal needlessly and deletes it.
        remove(&self.path);
    }
}

/// The journals of interrupted backups.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    files: Vec<PathBuf>,
    /// Packs that these backups stored.
    pub(crate) packs: Vec<PackId>,
    /// The journal with the most entries.
    longest: Option<PathBuf>,
    /// Start of the backup that wrote the longest journal.
    pub(crate) started: Timestamp,
}

impl Leftover {
    /// True when a backup was interrupted on this machine.
    pub(crate) const fn is_any(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads all journals whose backup no longer runs. Unreadable journals are skipped; this only costs time.
    pub(crate) fn find(folder: &Path, io: &Io) -> Self {
        let mut leftover = Self::default();
        let folder = folder.join(io.repository.config().id.to_string());
        let mut most = 0;
        for item in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = item.path();
            let is_journal = path
                .extension()
                .is_some_and(|extension| extension == "journal");
            if !is_journal || open_regular(&path).is_ok_and(|file| file.try_lock().is_err()) {
                continue;
            }
            let (mut entries, mut started) = (0, 0);
            for record in Records::open(&path, io).into_iter().flatten() {
                match record {
                    JournalRecord::Packs(packs) => leftover.packs.extend(packs),
                    JournalRecord::Entries(more) => entries += more.len(),
                    JournalRecord::Started(millis) => started = millis,
                }
            }
            if entries > most {
                most = entries;
                leftover.longest = Some(path.clone());
                leftover.started = Timestamp::from_millisecond(started).unwrap_or_default();
            }
            leftover.files.push(path);
        }
        leftover
    }

    /// The entries of the longest journal, in path order.
    pub(crate) fn entries(&self, io: &Io) -> impl Iterator<Item = Entry> + Send + use<> {
        let records = self
            .longest
            .as_ref()
            .and_then(|path| Records::open(path, io));
        let entries = |record| match record {
            JournalRecord::Entries(entries) => entries,
            JournalRecord::Packs(_) | JournalRecord::Started(_) => Vec::new(),
        };
        records.into_iter().flatten().flat_map(entries)
    }

    /// Deletes the journals after their contents were committed.
    pub(crate) fn remove(self) {
        self.files.iter().for_each(|path| remove(path));
    }
}

/// Deletes a journal, and its folder if it is empty then.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    if let Some(folder) = path.parent() {
        let _ = fs::remove_dir(folder);
    }
}

/// The records of a journal, up to the first incomplete one.
struct Records {
    file: BufReader<File>,
    object: SealedObject,
    number: u32,
}

impl Records {
    fn open(path: &Path, io: &Io) -> Option<Self> {
        let mut file = BufReader::with_capacity(256 << 10, open_regular(path).ok()?);
        let mut header = [0; HEADER_LEN];
        file.read_exact(&mut header).ok()?;
        let object =
            SealedObject::read(io.keyring(), io.cipher(), ObjectKind::Journal, &header).ok()?;
        Some(Self {
            file,
            object,
            number: 0,
        })
    }
}

impl Iterator for Records {
    type Item = JournalRecord;

    fn next(&mut self) -> Option<JournalRecord> {
        let mut frame = vec![0; FRAME_HEAD_LEN];
        self.file.read_exact(&mut frame).ok()?;
        let stored = u32::from_le_bytes(*frame.last_chunk()?);
        let rest = u64::from(stored).checked_add(TAG_LEN as u64)?;
        if rest > limits::GROUP_STORED {
            return None;
        }
        self.file.by_ref().take(rest).read_to_end(&mut frame).ok()?;
        let (payload, _) = self
            .object
            .read_frame(self.number, &frame, limits::TREE_NODE)
            .ok()?;
        self.number += 1;
        JournalRecord::decode(&payload).ok()
    }
}
