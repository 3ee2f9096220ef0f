//! Errors of this module.
//!
//! [`Error`] has an [`ErrorKind`], which says what the caller can do, and names the file it is about. Invariant: every defect of an archive
//! gives an error of the kind `Refused`, `Damaged` or `Missing`, never a panic.

use std::fmt;
use std::io;

use br_storage::{ErrorKind as StorageErrorKind, Operation};

use super::problem::Problem;

/// The result of an operation of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is wrong: correct it.
    Invalid,
    /// The location, backup or file does not exist: list the existing ones.
    NotFound,
    /// The target already exists: choose another one, or remove it.
    Exists,
    /// The archive is well-formed but breaks a rule: a path leads out of it, or a number or a list exceeds a limit. Nothing was written.
    Refused,
    /// Bytes are altered or truncated: use another copy of the archive, or another backup.
    Damaged,
    /// The backup needs files that no backup of the archive has: bring back the backup that had them.
    Missing,
    /// The user or the access key lacks permission.
    Denied,
    /// The storage did not answer, even after retries. A later attempt may succeed.
    Unavailable,
    /// The operating system reported an error: no space, a broken disk.
    Io,
    /// The caller cancelled.
    Cancelled,
}

/// Why an operation failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    path: Option<String>,
    problems: Vec<Problem>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error. `message` is a lower-case fragment.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            path: None,
            problems: Vec::new(),
            source: None,
        }
    }

    /// An argument is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The archive breaks a rule.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// Bytes are altered or truncated.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// The operating system reported an error. Errors of this module and of a storage pass through [`io::Error`] unchanged.
    pub(crate) fn io(message: impl Into<String>, error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) => return error,
            Err(error) => error,
        };
        match error.downcast::<br_storage::Error>() {
            Ok(error) => Self::storage(message.into(), &error),
            Err(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::NotFound => ErrorKind::NotFound,
                    io::ErrorKind::AlreadyExists => ErrorKind::Exists,
                    io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                    _ => ErrorKind::Io,
                };
                Self::new(kind, message).because(error)
            }
        }
    }

    /// An operation on a file failed.
    pub(crate) fn of(path: &str) -> impl Fn(br_storage::Error) -> Self {
        move |error| {
            let place = error.place();
            let message = match error.operation() {
                Operation::List => format!("cannot list it in {place}"),
                Operation::Write => format!("cannot write it to {place}"),
                Operation::Delete => format!("cannot delete it from {place}"),
                _ => format!("cannot read it from {place}"),
            };
            match path {
                "" => error.into(),
                path => Self::storage(message, &error).at(path),
            }
        }
    }

    fn storage(message: String, error: &br_storage::Error) -> Self {
        let kind = match error.kind() {
            StorageErrorKind::NotFound | StorageErrorKind::LocationNotFound => ErrorKind::NotFound,
            StorageErrorKind::Denied => ErrorKind::Denied,
            StorageErrorKind::Unavailable => ErrorKind::Unavailable,
            StorageErrorKind::Invalid | StorageErrorKind::Unsupported => ErrorKind::Invalid,
            StorageErrorKind::TooLarge | StorageErrorKind::NotAFile => ErrorKind::Refused,
            StorageErrorKind::Truncated => ErrorKind::Damaged,
            StorageErrorKind::Full => ErrorKind::Io,
            // The server gave an unexpected answer: a retry may help.
            _ if error.io_kind().is_none() => ErrorKind::Unavailable,
            _ => ErrorKind::Io,
        };
        let cause = std::error::Error::source(error).map(ToString::to_string);
        match (kind, cause) {
            // The cause is the rule that the file breaks.
            (ErrorKind::Refused | ErrorKind::Damaged, Some(rule)) => Self::new(kind, rule),
            (_, Some(cause)) => Self::new(kind, message).because(cause),
            (_, None) => Self::new(kind, message),
        }
    }

    /// The caller cancelled.
    pub(crate) fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// Adds the file it is about, unless it already names one.
    pub(crate) fn at(mut self, path: impl Into<String>) -> Self {
        self.path.get_or_insert_with(|| path.into());
        self
    }

    /// Adds a cause.
    pub(crate) fn because(
        mut self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(error.into());
        self
    }

    /// Adds the list of all problems.
    pub(crate) fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// What the caller can do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file it is about, below the root of the archive or of the target.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// All missing or damaged files that the operation found; empty if the message is enough.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The text without the file's name.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names are untrusted, so control characters are escaped.
        match &self.path {
            Some(path) if !path.is_empty() => {
                write!(f, "{}: {}", path.escape_debug(), self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<br_storage::Error> for Error {
    fn from(error: br_storage::Error) -> Self {
        Self::storage(error.to_string(), &error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
