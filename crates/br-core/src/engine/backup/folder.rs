//! Reading a folder whose entries come in one pass and in any order.
//!
//! A [`Pass`] stores each file as it comes, and sorts the entries when all have come. Invariant: a folder that cannot be read to its end has one outcome: it
//! failed. Its chunks are stored, and the next backup finds them.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::compare::action_of;
use super::job::{FileOutcome, Outcome};
use super::shared::Disconnected;
use super::worker::{Worker, outcome_of};
use crate::model::{Content, Entry, EntryKind, EntryPath};
use crate::progress::Action;
use crate::source::FolderReader;

/// A folder that a worker reads. It holds all its entries in memory.
pub(super) struct Pass<'w, 'a> {
    worker: &'w mut Worker<'a>,
    folder: Entry,
    /// What the base has at and below the folder.
    known: BTreeMap<EntryPath, Entry>,
    read: BTreeMap<EntryPath, (Entry, FileOutcome)>,
    is_disconnected: bool,
}

impl<'w, 'a> Pass<'w, 'a> {
    pub(super) const fn new(
        worker: &'w mut Worker<'a>,
        folder: Entry,
        known: BTreeMap<EntryPath, Entry>,
    ) -> Self {
        Self {
            worker,
            folder,
            known,
            read: BTreeMap::new(),
            is_disconnected: false,
        }
    }

    /// Reads all entries. The outcomes are in path order.
    pub(super) fn run(
        mut self,
        reader: Box<dyn FolderReader>,
    ) -> Result<Vec<Outcome>, Disconnected> {
        let began = self.worker.shared.clock.now();
        let result = reader.read(&mut |entry, content| self.take(entry, content));
        if self.is_disconnected {
            return Err(Disconnected);
        }
        let record = match result {
            Ok(record) => record,
            Err(error) => {
                let path = self.folder.path;
                return Ok(vec![Outcome::Failed { path, error }]);
            }
        };
        let ended = self.worker.shared.clock.now();
        let mut stream = record.map(|record| Box::new(record.with_times(Some(began), Some(ended))));
        let action = self.action(&self.folder);
        let folder = (self.folder, FileOutcome::NotAFile(action));
        let all = std::iter::once(folder).chain(self.read.into_values());
        let outcomes = all.map(|(entry, file)| Outcome::Entry {
            entry,
            file,
            missing: None,
            stream: stream.take(),
        });
        Ok(outcomes.collect())
    }

    fn take(&mut self, mut entry: Entry, content: &mut dyn Read) -> io::Result<()> {
        if (self.worker.shared.cancelled)() {
            return Err(self.disconnect());
        }
        let path = entry.path.clone();
        if path == self.folder.path && entry.kind == EntryKind::Directory {
            self.folder = entry;
            return Ok(());
        }
        if path == self.folder.path || !path.is_within(&self.folder.path) {
            let text = format!("{path} is not below {}", self.folder.path);
            return Err(io::Error::other(text));
        }
        if self.read.contains_key(&path) {
            return Err(io::Error::other(format!("{path} occurs twice")));
        }
        let file = self.store(&mut entry, content)?;
        self.read.insert(path, (entry, file));
        Ok(())
    }

    fn store(&mut self, entry: &mut Entry, content: &mut dyn Read) -> io::Result<FileOutcome> {
        let action = self.action(entry);
        let EntryKind::File(file) = &mut entry.kind else {
            return Ok(FileOutcome::NotAFile(action));
        };
        // As for other files, content and hash are computed here.
        (file.content, file.sha256) = (Content::default(), None);
        let known = match self.known.get(&entry.path).map(|before| &before.kind) {
            Some(EntryKind::File(before)) => Some(before),
            _ => None,
        };
        let expected = file.size;
        let Ok(read) = self.worker.read_content(file, expected, content, known) else {
            return Err(self.disconnect());
        };
        let len = read?;
        if len != expected {
            let text = format!("{} has {len} bytes instead of {expected}", entry.path);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(outcome_of(file, known))
    }

    fn action(&self, entry: &Entry) -> Action {
        let before = self.known.get(&entry.path);
        before.map_or(Action::New, |before| action_of(entry, before))
    }

    fn disconnect(&mut self) -> io::Error {
        self.is_disconnected = true;
        io::Error::other("the backup was ended")
    }
}
