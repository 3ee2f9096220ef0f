//! Errors of this crate.
//!
//! [`Error`] has an [`ErrorKind`], which says what the caller can do, and names the member it is about. Invariant: every defect of a bundle
//! gives an error of the kind `Refused` or `Damaged`, never a panic.

use std::fmt;
use std::io;

use br_emqx::rules::Refusal;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is wrong: correct it.
    Invalid,
    /// The name already exists: choose another name or folder.
    Exists,
    /// The bundle is well-formed but breaks a rule: it was renamed, has members that could do harm, exceeds a limit, or is not for this
    /// version or edition. Nothing was imported.
    Refused,
    /// The bundle is cut short or altered: get another copy.
    Damaged,
    /// The operating system reported an error: no space, no permission, no such file.
    Io,
    /// The caller asked to stop.
    Cancelled,
}

/// Why an operation failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    member: Option<String>,
    refusal: Option<Box<Refusal>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error. `message` is a lower-case fragment.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            member: None,
            refusal: None,
            source: None,
        }
    }

    /// An argument is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The bundle breaks a rule.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// The bundle is altered or cut short.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// The operating system reported an error.
    pub(crate) fn io(message: impl Into<String>, error: io::Error) -> Self {
        let mut out = Self::new(ErrorKind::Io, message);
        out.source = Some(Box::new(error));
        out
    }

    /// The caller asked to stop.
    pub(crate) fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// The error for a failed read from a bundle. Errors of this crate pass through [`io::Error`] unchanged.
    pub(crate) fn read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::damaged("unexpected end of file")
            }
            Err(error) => Self::io("cannot read the bundle", error),
        }
    }

    /// The error for a failed read from the file or stream that contains a bundle.
    pub(crate) fn input(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::io("cannot read the bundle", error),
        }
    }

    /// Adds the member it is about, unless it already names one.
    pub(crate) fn in_member(mut self, member: impl Into<String>) -> Self {
        self.member.get_or_insert_with(|| member.into());
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

    /// What the caller can do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The member it is about, as the archive names it.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The rule of EMQX that the bundle breaks, if any.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_deref()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        // EMQX reports a missing file as a refusal. Here it is an I/O error, as there is no bundle to refuse.
        let kind = match refusal {
            Refusal::NotFound => ErrorKind::Io,
            _ => ErrorKind::Refused,
        };
        let mut out = Self::new(kind, refusal.to_string());
        out.refusal = Some(Box::new(refusal));
        out
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Member names are untrusted, so control characters are escaped.
        match &self.member {
            Some(member) => write!(f, "{}: {}", member.escape_debug(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
