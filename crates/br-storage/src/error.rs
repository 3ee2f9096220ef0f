//! Errors.
//!
//! [`Error`] names the operation, the object and the location; its [`ErrorKind`] says what the caller must
//! do. Invariant: the same situation has the same kind on every backend.

use std::{error::Error as StdError, fmt, io, time::Duration};

use crate::{server_error::ServerError, waiting::in_words};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed, and so what the caller must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A key, range or location is malformed: correct the argument; a retry fails again.
    Invalid,
    /// The location or the operation is not supported: choose another one.
    Unsupported,
    /// The object does not exist: check the name, or continue without it if it is optional.
    NotFound,
    /// The directory or the bucket does not exist: check the location, or make it.
    LocationNotFound,
    /// The permissions do not allow it, or the file system is read-only: have the user correct
    /// the permissions or credentials.
    Denied,
    /// There is no space left or a quota is exhausted: have the user make room, then run again.
    Full,
    /// The object is larger than the caller is willing to read: treat it as damaged.
    TooLarge,
    /// The object is shorter than it must be: treat it as damaged.
    Truncated,
    /// On disk, the object's name belongs to something other than a regular file: treat the object as
    /// damaged.
    NotAFile,
    /// The disk cannot read the bytes of the object, as with a bad sector: treat the object as damaged. A network
    /// file system may report it for a while only.
    Unreadable,
    /// The storage cannot be reached at the moment: run again later.
    Unavailable,
    /// Anything else, such as a failing disk: report it together with its cause.
    Other,
}

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Parsing the text of a location.
    Parse,
    /// Opening a storage.
    Open,
    /// Making a storage.
    Create,
    /// Reading an object, a part of it, or its size.
    Read,
    /// Writing a new object.
    Write,
    /// Listing a folder.
    List,
    /// Deleting an object.
    Delete,
    /// Finding out which operations a store supports.
    Probe,
    /// Removing the leftovers of killed writers.
    Sweep,
    /// Reading until when an object is locked, or whether the bucket locks objects.
    ReadLock,
    /// Extending the lock of an object.
    ExtendLock,
}

/// A failed operation on a storage.
///
/// Its text is a lower-case fragment such as `cannot read packs/ab/abcd from /srv/backup`. The cause is in
/// [`source`](std::error::Error::source); the text of the cause includes its own causes.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: Operation,
    key: Option<String>,
    place: String,
    /// The kind that the operating system reported, if it reported the error.
    io: Option<io::ErrorKind>,
    cause: Box<dyn StdError + Send + Sync>,
    /// The operation was retried until the time limit.
    is_final: bool,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        operation: Operation,
        key: Option<&str>,
        place: &str,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            operation,
            key: key.filter(|key| !key.is_empty()).map(str::to_owned),
            place: place.to_owned(),
            io: None,
            cause: cause.into(),
            is_final: false,
        }
    }

    pub(crate) fn from_io(
        operation: Operation,
        key: Option<&str>,
        place: &str,
        cause: io::Error,
    ) -> Self {
        let kind = match (kind_of_io(cause.kind()), operation) {
            (ErrorKind::NotFound, Operation::Open | Operation::Create) => {
                ErrorKind::LocationNotFound
            }
            // A missing folder is made or counts as empty; only the location itself can be missing.
            (ErrorKind::NotFound, Operation::List) if cause.kind() == io::ErrorKind::NotFound => {
                ErrorKind::LocationNotFound
            }
            (kind, _) => kind,
        };
        let io = Some(cause.kind());
        Self {
            io,
            ..Self::new(kind, operation, key, place, cause)
        }
    }

    pub(crate) fn from_store(
        operation: Operation,
        key: Option<&str>,
        place: &str,
        cause: &object_store::Error,
    ) -> Self {
        let io = io_kind_within(cause);
        let kind = match (kind_of_store(cause), operation, io) {
            (ErrorKind::NotFound, Operation::Write, Some(io::ErrorKind::NotFound)) => {
                ErrorKind::LocationNotFound
            }
            (ErrorKind::Other, Operation::Read, Some(io::ErrorKind::InvalidData)) => {
                ErrorKind::NotAFile
            }
            (ErrorKind::Other, Operation::Read, _) if is_bad_medium(cause) => ErrorKind::Unreadable,
            (kind, ..) => kind,
        };
        Self {
            io,
            is_final: end_of_trying(cause).is_some(),
            ..Self::new(kind, operation, key, place, StoreCause::new(cause))
        }
    }

    /// Returns whether the layer that retries requests has given up.
    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    /// Returns what the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the operation that failed.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the kind that the operating system reported, if it reported the error.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.io
    }

    /// Returns the location, which never holds a secret.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns the key of the object, or the folder of a listing, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, preposition) = match self.operation {
            Operation::Parse => ("use location", "of"),
            Operation::Open => ("open", "in"),
            Operation::Create => ("create", "in"),
            Operation::Read => ("read", "from"),
            Operation::Write => ("write", "to"),
            Operation::List => ("list", "in"),
            Operation::Delete => ("delete", "from"),
            Operation::Probe => ("probe", "in"),
            Operation::Sweep => ("remove unfinished files from", "in"),
            Operation::ReadLock => ("read the lock of", "in"),
            Operation::ExtendLock => ("extend the lock of", "in"),
        };
        match &self.key {
            // An invalid key may hold any characters. Escaping does not change a valid key.
            Some(key) => {
                write!(
                    f,
                    "cannot {verb} {} {preposition} {}",
                    key.escape_debug(),
                    self.place
                )
            }
            None => write!(f, "cannot {verb} {}", self.place),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// The text of an `object_store` error.
///
/// Each level of those errors repeats the text of the level below, so printing the chain of sources would
/// repeat it. The text of the outermost level contains everything. For a response of a server, or a failure
/// to reach it, only the last part of the text is useful.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct StoreCause(String);

impl StoreCause {
    fn new(error: &object_store::Error) -> Self {
        let text = match error {
            // This variant only adds the name of a type, or an empty path.
            object_store::Error::Generic { source, .. }
            | object_store::Error::Unauthenticated { source, .. } => source.to_string(),
            _ => error.to_string(),
        };
        let text = match (ServerError::find(&text), text.split_once("HTTP error: ")) {
            (Some(answer), _) => answer.to_string(),
            (None, Some((_, failure))) => failure.to_owned(),
            (None, None) => text,
        };
        Self(match end_of_trying(error).flatten() {
            Some(time) => format!("{text} (tried again for {})", in_words(time)),
            None => text,
        })
    }
}

fn kind_of_store(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    if let Some(answer) = ServerError::find(&error.to_string()) {
        return answer.kind();
    }
    match error {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Unsupported,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::Denied,
        // No credentials were found.
        _ if io_kind_within(error) == Some(io::ErrorKind::PermissionDenied) => ErrorKind::Denied,
        _ if is_transport(error) => ErrorKind::Unavailable,
        _ => io_kind_within(error).map_or(ErrorKind::Other, kind_of_io),
    }
}

/// Returns whether a request failed without a response.
#[cfg(feature = "network")]
fn is_transport(error: &object_store::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<object_store::client::HttpError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns how long a request was retried, if its retries have ended.
#[cfg(feature = "network")]
fn end_of_trying(error: &object_store::Error) -> Option<Option<Duration>> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(failure) = error.downcast_ref::<crate::backend::remote::Unreachable>() {
            return failure.is_final.then_some(failure.tried_for);
        }
        next = error.source();
    }
    None
}

#[cfg(not(feature = "network"))]
fn end_of_trying(_: &object_store::Error) -> Option<Option<Duration>> {
    None
}

#[cfg(not(feature = "network"))]
fn is_transport(_: &object_store::Error) -> bool {
    false
}

/// Returns the kind of the first operating system error in the chain of causes.
pub(crate) fn io_kind_within(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

/// Returns whether the system could not read the disk (`EIO`).
fn is_bad_medium(error: &object_store::Error) -> bool {
    #[cfg(unix)]
    const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
    #[cfg(not(unix))]
    const EIO: i32 = i32::MIN;
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error() == Some(EIO);
        }
        next = error.source();
    }
    false
}

fn kind_of_io(kind: io::ErrorKind) -> ErrorKind {
    use io::ErrorKind as K;
    match kind {
        // A file has the folder's name, so there is no object below it.
        K::NotFound | K::NotADirectory => ErrorKind::NotFound,
        K::PermissionDenied | K::ReadOnlyFilesystem => ErrorKind::Denied,
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => ErrorKind::Full,
        K::InvalidFilename | K::InvalidInput => ErrorKind::Invalid,
        K::Unsupported => ErrorKind::Unsupported,
        K::UnexpectedEof => ErrorKind::Truncated,
        K::TimedOut
        | K::ConnectionRefused
        | K::ConnectionReset
        | K::ConnectionAborted
        | K::NotConnected
        | K::BrokenPipe
        | K::HostUnreachable
        | K::NetworkUnreachable
        | K::NetworkDown
        | K::StaleNetworkFileHandle
        | K::ResourceBusy
        | K::Interrupted
        | K::WouldBlock => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operating system error inside two wrappers, as `object_store` returns it.
    fn nested(kind: io::ErrorKind) -> object_store::Error {
        #[derive(Debug, thiserror::Error)]
        #[error("unable to copy data to file: {source}")]
        struct Middle {
            source: io::Error,
        }
        let source = Middle {
            source: io::Error::new(kind, "inner"),
        };
        object_store::Error::Generic {
            store: "test",
            source: Box::new(source),
        }
    }

    #[test]
    fn innermost_cause_decides_the_kind() {
        let table = [
            (io::ErrorKind::StorageFull, ErrorKind::Full),
            (io::ErrorKind::QuotaExceeded, ErrorKind::Full),
            (io::ErrorKind::PermissionDenied, ErrorKind::Denied),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied),
            (io::ErrorKind::TimedOut, ErrorKind::Unavailable),
            (io::ErrorKind::InvalidData, ErrorKind::Other),
        ];
        for (inner, expected) in table {
            assert_eq!(kind_of_store(&nested(inner)), expected, "{inner:?}");
        }
        #[cfg(unix)]
        for (code, expected) in [
            (28, ErrorKind::Full),
            (13, ErrorKind::Denied),
            (30, ErrorKind::Denied),
        ] {
            let kind = io::Error::from_raw_os_error(code).kind();
            assert_eq!(kind_of_io(kind), expected, "errno {code}");
        }
    }

    #[test]
    fn text_does_not_contain_the_cause() {
        let cause = nested(io::ErrorKind::StorageFull);
        let error = Error::from_store(
            Operation::Write,
            Some("packs/ab/abcd"),
            "/srv/backup",
            &cause,
        );
        assert_eq!(
            error.to_string(),
            "cannot write packs/ab/abcd to /srv/backup"
        );
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "unable to copy data to file: inner");
        assert!(source.source().is_none(), "a chain would repeat the text");
        let error = Error::from_store(Operation::List, Some(""), "/srv/backup", &cause);
        assert_eq!(error.to_string(), "cannot list /srv/backup");
        assert_eq!(error.key(), None);
    }
}
