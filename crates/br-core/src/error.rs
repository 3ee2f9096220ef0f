//! Errors: what failed, where, for which object, and what the caller can do.

use std::fmt;
use std::io;

use crate::format::FormatError;
use crate::model::retention::KeepSpanError;
use crate::model::{EntryError, IdPrefixError, PathError};
use crate::repository::Layout;
use crate::source::{ExcludeError, SourceError};

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. Its text is a lower-case fragment that names the object; the causes are in
/// [`source`](std::error::Error::source).
///
/// The causes are errors of their own types, for `downcast_ref`: [`StorageError`](crate::StorageError) for a store, [`io::Error`] for local
/// files. An error of a store has the same text as the `StorageError` that is its cause; [`Error::causes`] leaves out such a repetition.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    site: Site,
    object: Option<ObjectKind>,
    io: Option<io::ErrorKind>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong. Correct it; retrying does not help.
    Invalid,
    /// The repository has no backup, or none that matches the request. Make a backup, or widen the request.
    NoBackup,
    /// No backup has this id. List the backups for their ids.
    BackupNotFound,
    /// Several backups match the part of an id. Pass more digits.
    AmbiguousId,
    /// The backup has no such path. List the backup for its paths.
    PathNotFound,
    /// There is no repository at this location. Correct the location, or create a repository.
    RepositoryNotFound,
    /// A repository already exists at this location.
    RepositoryExists,
    /// The repository is encrypted, and the password is missing or wrong. Ask the user for it.
    Password,
    /// A password was given, but the repository is not encrypted. Open it without a password; asking for another one does not help.
    NotEncrypted,
    /// The key that opened the repository does not permit the operation. Open the repository with another key.
    KeyRights,
    /// The system or the store refused access. Get the permission.
    Denied,
    /// No space is left. Free some space and run the operation again: it reuses the data stored so far.
    Full,
    /// The store did not answer. Retrying may help.
    Unavailable,
    /// Stored data is missing or altered. Run `check`.
    Damaged,
    /// The object was written by a newer br. Use a version that supports the format.
    UnsupportedFormat,
    /// Another process changed the repository at the same time. Run the operation again.
    Conflict,
    /// The caller cancelled the operation.
    Interrupted,
    /// The local system failed while reading or writing files.
    Io,
    /// A bug in br.
    Internal,
}

/// Where an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Site {
    /// No specific place, such as an argument.
    #[default]
    Unknown,
    /// In the source of a backup.
    Source,
    /// In the folder that a restore writes to.
    Target,
    /// In the store of the repository.
    Repository,
    /// In the folder of the cache and the journal.
    Cache,
    /// In the caller's output: the writer of a dump, the sink of an export.
    Output,
}

/// The kind of repository object that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// `br.json`, which is needed to open the repository.
    Config,
    /// A key slot; an encrypted repository needs at least one.
    KeySlot,
    /// An entry of the commit log.
    Log,
    /// An index segment.
    Index,
    /// The document that describes one backup.
    Manifest,
    /// A pack of data.
    Pack,
}

impl ObjectKind {
    /// The kind of the first object key in a text.
    fn named_in(text: &str) -> Option<Self> {
        text.split([' ', ':', ',']).find_map(|word| {
            let (folder, _) = word.split_once('/').unwrap_or((word, ""));
            Some(match folder {
                Layout::CONFIG => Self::Config,
                Layout::KEYS => Self::KeySlot,
                Layout::LOG if word.contains('/') => Self::Log,
                Layout::INDEX if word.contains('/') => Self::Index,
                Layout::MANIFESTS => Self::Manifest,
                Layout::PACKS if word.contains('/') => Self::Pack,
                _ => return None,
            })
        })
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            site: Site::Unknown,
            object: None,
            io: None,
            message: message.into(),
            source: None,
        }
    }

    /// Sets where the operation failed.
    pub(crate) const fn at(mut self, site: Site) -> Self {
        self.site = site;
        self
    }

    /// Sets the kind of object. Needed if the text does not start with the object's key.
    pub(crate) const fn about(mut self, object: ObjectKind) -> Self {
        self.object = Some(object);
        self
    }

    /// An error about a repository object; the text names its key.
    fn of_object(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut out = Self::new(kind, message).at(Site::Repository);
        out.object = ObjectKind::named_in(&out.message);
        out
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

    /// An error for an object that cannot be decoded.
    pub(crate) fn format(object: &str, error: FormatError) -> Self {
        let kind = match error {
            FormatError::Password | FormatError::OutdatedKey => ErrorKind::Password,
            FormatError::WriteOnly => ErrorKind::KeyRights,
            ref newer if newer.is_newer() => ErrorKind::UnsupportedFormat,
            _ => ErrorKind::Damaged,
        };
        Self::of_object(kind, format!("cannot use {object}")).with_source(error)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::of_object(ErrorKind::Damaged, message)
    }

    /// An error for a pack that is missing or lacks expected content. The text need not name its key.
    pub(crate) fn damaged_pack(message: impl Into<String>) -> Self {
        Self::damaged(message).about(ObjectKind::Pack)
    }

    /// An error of the local system.
    pub(crate) fn io(what: impl Into<String>, error: io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        let mut out = Self::new(kind, what);
        out.io = Some(error.kind());
        out.with_source(error)
    }

    /// The error for a system that cannot create more threads.
    #[must_use]
    pub fn lack_of_threads() -> Self {
        let message = "the system cannot create more threads, or has no memory for them: raise the limits (`ulimit -a` shows them)";
        Self::new(ErrorKind::Io, message)
    }

    /// True for the payload of a panic that says the system could not create a thread. This is not a bug.
    #[must_use]
    pub fn is_lack_of_threads(panic: &(dyn std::any::Any + Send)) -> bool {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or_default();
        text.contains("failed to spawn thread") || text.contains("can't spawn worker thread")
    }

    /// True for damaged stored data; false for failed access to it.
    pub(crate) const fn is_damage(&self) -> bool {
        matches!(self.kind, ErrorKind::Damaged | ErrorKind::UnsupportedFormat)
    }

    /// True when a disk could not read the bytes. They may still be there.
    pub(crate) fn is_bad_medium(&self) -> bool {
        let cause = std::error::Error::source(self);
        let cause = cause.and_then(|cause| cause.downcast_ref::<br_storage::Error>());
        cause.is_some_and(|cause| cause.kind() == br_storage::ErrorKind::Unreadable)
    }

    /// What the caller can do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where the operation failed.
    #[must_use]
    pub const fn site(&self) -> Site {
        self.site
    }

    /// The kind of repository object that the error is about, if any.
    #[must_use]
    pub const fn object(&self) -> Option<ObjectKind> {
        self.object
    }

    /// The texts of the causes, the nearest first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        causes(self)
    }

    /// The error of the operating system, if it caused this one.
    #[must_use]
    pub const fn io_kind(&self) -> Option<io::ErrorKind> {
        self.io
    }
}

/// The texts of the causes of an error, the nearest first, without texts that repeat the one before.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.split_off(1)
}

/// An error and its causes in one line, for reports that store text.
pub(crate) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(&cause);
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

/// For conversions that may or may not fail.
impl From<std::convert::Infallible> for Error {
    fn from(error: std::convert::Infallible) -> Self {
        match error {}
    }
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::invalid("this is not a path in a backup").with_source(error)
    }
}

impl From<EntryError> for Error {
    fn from(error: EntryError) -> Self {
        Self::invalid("this entry breaks a rule of the format").with_source(error)
    }
}

impl From<IdPrefixError> for Error {
    fn from(error: IdPrefixError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ExcludeError> for Error {
    fn from(error: ExcludeError) -> Self {
        SourceError::from(error).into()
    }
}

impl From<KeepSpanError> for Error {
    fn from(error: KeepSpanError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        let out = Self::invalid("these paths cannot be backed up").at(Site::Source);
        out.with_source(error)
    }
}

impl From<br_storage::Error> for Error {
    fn from(error: br_storage::Error) -> Self {
        use br_storage::{ErrorKind as Storage, Operation};
        let kind = match error.kind() {
            Storage::Invalid | Storage::Unsupported => ErrorKind::Invalid,
            // A missing or truncated object that something refers to is damage. Failing to write, list or delete because something is
            // missing is a failure of the store.
            Storage::NotFound
            | Storage::TooLarge
            | Storage::Truncated
            | Storage::NotAFile
            | Storage::Unreadable
                if error.operation() == Operation::Read =>
            {
                ErrorKind::Damaged
            }
            Storage::LocationNotFound => ErrorKind::RepositoryNotFound,
            Storage::Denied => ErrorKind::Denied,
            Storage::Full => ErrorKind::Full,
            Storage::Unavailable => ErrorKind::Unavailable,
            _ => ErrorKind::Io,
        };
        let mut out = Self::new(kind, error.to_string());
        if error.operation() != Operation::Parse {
            out.site = Site::Repository;
            out.object = error.key().and_then(ObjectKind::named_in);
        }
        out.io = error.io_kind();
        out.with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_knows_which_kind_of_object_it_is_about() {
        for (text, kind) in [
            (
                "cannot use br.json in /srv/packs/log",
                Some(ObjectKind::Config),
            ),
            ("log/0000000000000001 is missing", Some(ObjectKind::Log)),
            ("group 3 of packs/ab/abcd", Some(ObjectKind::Pack)),
            ("index/0123: too short", Some(ObjectKind::Index)),
            ("manifests/0123", Some(ObjectKind::Manifest)),
            (
                "there is no key slot below keys in /srv",
                Some(ObjectKind::KeySlot),
            ),
            ("moves of chunks form a cycle in the index", None),
            ("chunk 0123 is in no pack", None),
        ] {
            assert_eq!(Error::damaged(text).object(), kind, "{text}");
        }
        assert_eq!(Error::damaged("x").site(), Site::Repository);
    }

    #[test]
    fn error_of_store_has_storage_error_as_source_and_no_repeated_cause() {
        let cause = "s3://".parse::<br_storage::Location>().unwrap_err();
        let error = Error::from(cause);
        let source = std::error::Error::source(&error).unwrap();
        let storage = source.downcast_ref::<br_storage::Error>().unwrap();
        assert_eq!(storage.kind(), br_storage::ErrorKind::Invalid);
        assert_eq!(storage.to_string(), error.to_string());
        let reason = std::error::Error::source(storage).unwrap().to_string();
        assert_eq!(error.causes().join("|"), reason);
        assert_eq!(in_one_line(&error), format!("{error}: {reason}"));
    }

    #[test]
    fn error_of_local_file_has_io_error_as_source() {
        let error = Error::io("cannot read x", io::ErrorKind::PermissionDenied.into());
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.causes(), [source.to_string()]);
    }
}
