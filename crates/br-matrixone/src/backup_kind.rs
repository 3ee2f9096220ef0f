//! Full and incremental backups.
//!
//! Invariant: statements, lists and folder names all use the words of [`BackupKind`].

use std::fmt;

/// Whether a backup uses files of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackupKind {
    /// The backup has all its files.
    Full,
    /// Some of the backup's files are in earlier backups below the same root.
    Incremental,
}

impl BackupKind {
    /// Returns the word for the kind in lists and names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Full, Self::Incremental]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
