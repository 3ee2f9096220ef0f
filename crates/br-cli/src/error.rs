//! Why a command failed, and what to do about it.
//!
//! [`CommandError`] has the exit code, the text with its causes, and a hint. Invariant: there is always a hint; for errors
//! of the engine it is decided here, once per [`ErrorKind`].

use std::error::Error as _;
use std::io;

use br_core::ErrorKind;

use crate::exit_code::ExitStatus;

/// The result of a command: how it ended, or why it failed.
pub(crate) type CommandResult = Result<ExitStatus, CommandError>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// The exit code.
    pub(crate) status: ExitStatus,
    /// What failed, a lower-case fragment.
    pub(crate) message: String,
    /// Why, the nearest cause first.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) hint: String,
    /// Say nothing: whoever read the output went away.
    pub(crate) silent: bool,
}

impl CommandError {
    /// An error with a code of its own.
    pub(crate) fn new(
        status: ExitStatus,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self {
            status,
            message,
            causes: Vec::new(),
            hint,
            silent: false,
        }
    }

    /// Wrong arguments.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message, hint)
    }

    /// Adds the causes of an error, and the error itself as the first of them.
    pub(crate) fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Gives other advice.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let hint = if full {
            "make space where the output goes, and run the command again"
        } else {
            "check where the output goes"
        };
        let mut out = Self::new(ExitStatus::Failure, "cannot write the output", hint);
        out.silent = error.kind() == io::ErrorKind::BrokenPipe;
        if out.silent {
            out.status = ExitStatus::Ok;
        }
        out.because(error)
    }

    /// The user stopped the command.
    pub(crate) fn interrupted() -> Self {
        let (status, hint) = decide(ErrorKind::Interrupted);
        Self::new(status, "interrupted", hint)
    }
}

/// Maps a kind of engine error to its exit code and its advice.
fn decide(kind: ErrorKind) -> (ExitStatus, &'static str) {
    match kind {
        ErrorKind::Invalid => (
            ExitStatus::Usage,
            "correct the argument: `br list` shows the backups, `br ls ID` what is in one",
        ),
        ErrorKind::NoBackup => (
            ExitStatus::Usage,
            "`br list` shows the backups there are, `br backup PATH` makes one",
        ),
        ErrorKind::BackupNotFound => (
            ExitStatus::Usage,
            "`br list` shows the backups and their ids",
        ),
        ErrorKind::AmbiguousId => (
            ExitStatus::Usage,
            "use an id that `br list` shows: it fits one backup only",
        ),
        ErrorKind::PathNotFound => (
            ExitStatus::Usage,
            "`br ls ID` shows the paths that a backup has: use one as it is shown",
        ),
        ErrorKind::RepositoryNotFound => (
            ExitStatus::RepositoryNotFound,
            "check --repo or BR_REPOSITORY; `br init` makes a new repository",
        ),
        ErrorKind::RepositoryExists => (
            ExitStatus::Failure,
            "use it as it is, or choose another location with --repo",
        ),
        ErrorKind::Password => (
            ExitStatus::AccessDenied,
            "give the right password with --password-file, --password-command or BR_PASSWORD",
        ),
        ErrorKind::Denied => (
            ExitStatus::AccessDenied,
            "check the access key and what its owner may do with the bucket, or the permissions of the folder",
        ),
        ErrorKind::Full => (
            ExitStatus::Failure,
            "make space and run the command again: what was stored is used",
        ),
        ErrorKind::Unavailable => (
            ExitStatus::StorageUnavailable,
            "check the connection and run the command again: what was stored is used",
        ),
        ErrorKind::Damaged => (
            ExitStatus::Damaged,
            "run `br check` to see what is affected and how to repair it: everything else can still be restored",
        ),
        ErrorKind::UnsupportedFormat => (
            ExitStatus::UnsupportedFormat,
            "use a newer br: this one does not know the format and leaves it alone",
        ),
        ErrorKind::Conflict => (
            ExitStatus::Locked,
            "run the command again when other br commands are done",
        ),
        ErrorKind::Interrupted => (
            ExitStatus::Interrupted,
            "run the command again: what was stored is used",
        ),
        ErrorKind::Io => (
            ExitStatus::Failure,
            "see the cause above; when it is mended, run the command again",
        ),
        _ => (
            ExitStatus::Failure,
            "this is a bug in br: please report it with the command you ran",
        ),
    }
}

impl From<br_core::Error> for CommandError {
    fn from(error: br_core::Error) -> Self {
        let (status, hint) = decide(error.kind());
        let mut out = Self::new(status, error.to_string(), hint);
        if let Some(cause) = error.source() {
            out = out.because(cause);
        }
        out.causes.dedup();
        out
    }
}

/// True when an error came from writing to a pipe that nobody reads any more.
pub(crate) fn is_broken_pipe(error: &br_core::Error) -> bool {
    let io = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_code_and_a_hint() {
        let expected = [
            (ErrorKind::Invalid, 2),
            (ErrorKind::NoBackup, 2),
            (ErrorKind::BackupNotFound, 2),
            (ErrorKind::AmbiguousId, 2),
            (ErrorKind::PathNotFound, 2),
            (ErrorKind::RepositoryNotFound, 10),
            (ErrorKind::RepositoryExists, 1),
            (ErrorKind::Password, 12),
            (ErrorKind::Denied, 12),
            (ErrorKind::Full, 1),
            (ErrorKind::Unavailable, 13),
            (ErrorKind::Damaged, 14),
            (ErrorKind::UnsupportedFormat, 15),
            (ErrorKind::Conflict, 11),
            (ErrorKind::Interrupted, 130),
            (ErrorKind::Io, 1),
            (ErrorKind::Internal, 1),
        ];
        for (kind, code) in expected {
            let (status, hint) = decide(kind);
            assert_eq!(status.code(), code, "{kind:?}");
            assert!(!hint.is_empty() && !hint.ends_with('.'), "{kind:?}");
        }
        assert!(decide(ErrorKind::Internal).1.contains("bug in br"));
        assert!(!decide(ErrorKind::Io).1.contains("bug"));
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let error = CommandError::output(&io::ErrorKind::BrokenPipe.into());
        assert!(error.silent && error.status == ExitStatus::Ok);
        assert!(!CommandError::output(&io::ErrorKind::StorageFull.into()).silent);
    }
}
