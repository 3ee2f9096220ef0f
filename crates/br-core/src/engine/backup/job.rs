//! What the stages of a backup hand to each other: jobs from the walk to the workers, results from these to the collector.

use crate::model::{Entry, EntryPath, FileContent};
use crate::progress::Action;
use crate::source::{Details, Exclusion};

/// A run of consecutive items.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) items: Vec<Item>,
}

/// What is to be done with an entry.
pub(super) enum Item {
    /// Nothing: it is complete.
    Done {
        entry: Entry,
        /// A file whose content is taken from the base.
        unchanged_file: bool,
    },
    /// Fetch its attributes, and its content if it is a file.
    Fetch {
        entry: Entry,
        details: Box<dyn Details>,
        /// The content that the base has under that path.
        known: Option<Box<FileContent>>,
        /// How it compares with the base, by its metadata.
        action: Action,
    },
    /// It could not be looked at.
    Failed { path: EntryPath, reason: String },
    /// It is left out on purpose.
    LeftOut { path: EntryPath, reason: Exclusion },
    /// Something to be told.
    Told { message: String, is_warning: bool },
}

/// How a file compares with the base.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileOutcome {
    /// It is no regular file.
    NotAFile(Action),
    Unchanged,
    /// It was read, as the base could not be trusted, and has the same content.
    Same,
    New,
    Changed,
}

impl FileOutcome {
    /// What is told about the entry.
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

/// What became of an entry.
pub(super) enum Outcome {
    /// It is there.
    Entry {
        entry: Entry,
        file: FileOutcome,
        /// What could not be found out about it.
        missing: Option<String>,
    },
    /// It could not be read.
    Failed { path: EntryPath, reason: String },
    /// It is left out on purpose.
    LeftOut { path: EntryPath, reason: Exclusion },
    /// Something to be told.
    Told { message: String, is_warning: bool },
}
