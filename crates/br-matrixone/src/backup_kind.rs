//! Whether a backup stands alone.
//!
//! Invariant: the words of [`BackupKind`] are those of statements, lists and names of folders.

use std::fmt;

/// Whether a backup builds on earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackupKind {
    /// It has all its files.
    Full,
    /// Some of its files are in earlier backups below the same root.
    Incremental,
}

impl BackupKind {
    /// The word for it in lists and names.
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
