//! Data passed between the stages of a backup: jobs from the walk to the workers, results from the workers to the collector.

use std::collections::BTreeMap;
use std::io;

use crossbeam_channel::Sender;

use crate::model::{Entry, EntryPath, FileContent, StreamRecord};
use crate::progress::Action;
use crate::source::{Details, Exclusion, FolderReader, SourceItem};
use crate::warning::{Note, Warning};

/// A sequence of consecutive items.
pub(super) struct Job {
    pub(super) place: Place,
    pub(super) items: Vec<Item>,
}

/// Where the results of a job go.
pub(super) enum Place {
    /// To the collector, which takes jobs in the order of their numbers.
    Number(u64),
    /// Back to the walk, which has not begun yet.
    First(EntryPath, Sender<(EntryPath, Vec<Outcome>)>),
}

/// What a worker does with an entry.
pub(super) enum Item {
    /// Nothing: the entry is complete.
    Done {
        entry: Entry,
        /// True for a file whose content is reused from the base.
        unchanged_file: bool,
    },
    /// Fetch the entry's attributes, and the content if it is a file.
    Fetch {
        entry: Entry,
        details: Box<dyn Details>,
        /// The content that the base has for this path.
        known: Option<Box<FileContent>>,
        /// How the entry's metadata compares with the base.
        action: Action,
    },
    /// Read a folder whose entries come in one pass.
    Folder {
        folder: Entry,
        reader: Box<dyn FolderReader>,
        /// What the base has at and below this path.
        known: BTreeMap<EntryPath, Entry>,
    },
    /// Nothing: they are no entries, or were read first.
    Ready(Vec<Outcome>),
}

impl Outcome {
    /// Of an item with nothing to read. Entries have none.
    pub(super) fn of(item: SourceItem) -> Option<Self> {
        match item {
            SourceItem::Unreadable { path, error } => Some(Self::Failed { path, error }),
            SourceItem::LeftOut { path, reason } => Some(Self::LeftOut { path, reason }),
            SourceItem::Warning(warning) => Some(Self::Warning(warning)),
            SourceItem::Note(note) => Some(Self::Note(note)),
            SourceItem::Entry { .. } | SourceItem::Folder { .. } => None,
        }
    }
}

/// How a file compares with the base.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileOutcome {
    /// The entry is not a regular file.
    NotAFile(Action),
    Unchanged,
    /// The file was read, because its metadata did not prove it unchanged, and has the same content.
    Same,
    New,
    Changed,
}

impl FileOutcome {
    /// The action to report for the entry.
    pub(super) const fn action(self) -> Action {
        match self {
            Self::NotAFile(action) => action,
            Self::Unchanged | Self::Same => Action::Unchanged,
            Self::New => Action::New,
            Self::Changed => Action::Changed,
        }
    }
}

/// A finished job.
pub(super) struct Finished {
    pub(super) number: u64,
    pub(super) results: Vec<Outcome>,
}

/// Result of one item.
pub(super) enum Outcome {
    /// The entry can be stored.
    Entry {
        entry: Entry,
        file: FileOutcome,
        /// Which metadata could not be read.
        missing: Option<String>,
        /// How the stream ended, if it is one.
        stream: Option<Box<StreamRecord>>,
    },
    /// The entry could not be read.
    Failed { path: EntryPath, error: io::Error },
    /// The entry is excluded on purpose.
    LeftOut { path: EntryPath, reason: Exclusion },
    /// A warning of the source.
    Warning(Warning),
    /// A note of the source.
    Note(Note),
}
