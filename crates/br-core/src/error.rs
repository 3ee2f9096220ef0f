//! Errors: what failed, on what, and what the caller can do.

use std::fmt;

use crate::format::FormatError;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. Its text is a lower-case fragment that names the object; causes are in
/// [`source`](std::error::Error::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong. Correct it; retrying does not help.
    Invalid,
    /// The repository has no backup yet, or none that fits what was asked for. Make one, or ask for less.
    NoBackup,
    /// No backup has this id. List the backups for their ids.
    BackupNotFound,
    /// Several backups fit a part of an id. Give more of it.
    AmbiguousId,
    /// The backup has no such path. List the backup for its paths.
    PathNotFound,
    /// There is no repository at that location. Correct the location, or make one.
    RepositoryNotFound,
    /// There is a repository already.
    RepositoryExists,
    /// The repository is encrypted and no password was given, or the one given is wrong.
    Password,
    /// The system or the store refused access. Get the permission.
    Denied,
    /// No space is left. Make some, and run again: what was stored is used.
    Full,
    /// The store did not answer. Retrying may help.
    Unavailable,
    /// Stored data is missing or altered. Run `check`.
    Damaged,
    /// Written by a newer br. Use one that knows the format.
    UnsupportedFormat,
    /// Others changed the repository meanwhile. Run again.
    Conflict,
    /// The caller asked to stop.
    Interrupted,
    /// The local system failed while reading or writing files.
    Io,
    /// A bug in br.
    Internal,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted")
    }

    /// An object's bytes are not what they should be.
    pub(crate) fn format(object: &str, error: FormatError) -> Self {
        let kind = match error {
            FormatError::Password => ErrorKind::Password,
            ref newer if newer.is_newer() => ErrorKind::UnsupportedFormat,
            _ => ErrorKind::Damaged,
        };
        Self::new(kind, format!("cannot use {object}")).with_source(error)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// The local system failed.
    pub(crate) fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self::new(kind, what).with_source(error)
    }

    /// True when it is about stored data, and not about access to it.
    pub(crate) const fn is_damage(&self) -> bool {
        matches!(self.kind, ErrorKind::Damaged | ErrorKind::UnsupportedFormat)
    }

    /// What the caller can do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// An error and its causes in one line, for reports that hold text.
pub(crate) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<br_storage::Error> for Error {
    fn from(error: br_storage::Error) -> Self {
        use br_storage::ErrorKind as Storage;
        let kind = match error.kind() {
            Storage::Invalid | Storage::Unsupported => ErrorKind::Invalid,
            // An object that something names and that is not there, or is shorter than it must be, is damage.
            Storage::NotFound | Storage::TooLarge | Storage::Truncated => ErrorKind::Damaged,
            Storage::LocationNotFound => ErrorKind::RepositoryNotFound,
            Storage::Denied => ErrorKind::Denied,
            Storage::Full => ErrorKind::Full,
            Storage::Unavailable => ErrorKind::Unavailable,
            _ => ErrorKind::Io,
        };
        let message = error.to_string();
        let mut out = Self::new(kind, message);
        out.source = std::error::Error::source(&error).map(|source| source.to_string().into());
        out
    }
}
