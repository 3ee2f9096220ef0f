//! Changes tags, note and pin of a backup.
//!
//! [`label`] applies a [`LabelChange`]. Invariant: only the description in the backup list changes; content, times and the order of backups
//! stay.

use crate::error::Result;
use crate::format::LogEntry;
use crate::model::Backup;
use crate::progress::Context;
use crate::repository::{
    Append, BackupSelector, Io, LogPosition, MAX_COMMIT_RACES, Repository, conflict,
};

/// What to change. The default changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LabelChange {
    /// Tags to add.
    pub add_tags: Vec<String>,
    /// Tags to remove. A tag that is added and removed is removed.
    pub remove_tags: Vec<String>,
    /// A new note; an empty text removes the note.
    pub note: Option<String>,
    /// Whether the backup must not be deleted.
    pub pinned: Option<bool>,
}

impl LabelChange {
    /// Adds these tags.
    #[must_use]
    pub fn with_added_tags(mut self, tags: Vec<String>) -> Self {
        self.add_tags = tags;
        self
    }

    /// Removes these tags.
    #[must_use]
    pub fn with_removed_tags(mut self, tags: Vec<String>) -> Self {
        self.remove_tags = tags;
        self
    }

    /// Sets the note; an empty text removes it.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Pins or unpins.
    #[must_use]
    pub const fn with_pinned(mut self, pinned: bool) -> Self {
        self.pinned = Some(pinned);
        self
    }

    fn apply(&self, backup: &Backup) -> Backup {
        let mut backup = backup.clone();
        for tag in &self.add_tags {
            if !backup.tags.contains(tag) {
                backup.tags.push(tag.clone());
            }
        }
        backup.tags.retain(|tag| !self.remove_tags.contains(tag));
        if let Some(note) = &self.note {
            backup.note = Some(note.clone()).filter(|note| !note.is_empty());
        }
        if let Some(pinned) = self.pinned {
            backup.pinned = pinned;
        }
        backup
    }
}

/// Changes the labels of backups, one log entry each, and returns the backups as they are afterwards. A backup that has these labels
/// already needs no entry.
///
/// # Errors
/// When a backup is unknown or ambiguous: then nothing changes. When the log cannot be read or added to: then some may have changed.
pub async fn label(
    repository: &Repository,
    selectors: impl IntoIterator<Item: Into<BackupSelector>>,
    change: &LabelChange,
    context: &Context,
) -> Result<Vec<Backup>> {
    repository.check_writable(context)?;
    let selectors: Vec<BackupSelector> = selectors.into_iter().map(Into::into).collect();
    let change = change.clone();
    let work = move |io: &Io| {
        let mut position = LogPosition::read(io)?;
        let mut ids = Vec::new();
        for selector in &selectors {
            let id = position.state.find(selector)?.id;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let changed = ids.into_iter();
        changed
            .map(|id| append(io, &mut position, &id.into(), &change))
            .collect()
    };
    repository.run(context, work).await
}

fn append(
    io: &Io,
    position: &mut LogPosition,
    id: &BackupSelector,
    change: &LabelChange,
) -> Result<Backup> {
    for _ in 0..MAX_COMMIT_RACES {
        let before = position.state.find(id)?;
        let after = change.apply(before);
        if after == *before {
            return Ok(after);
        }
        let entry = LogEntry::describe(&after);
        if let Append::Done = position.append(io, entry)? {
            return Ok(after);
        }
    }
    Err(conflict())
}
