//! Errors of commands, with hints.
//!
//! [`CommandError`] holds the exit code, the message with its causes, and a hint. Invariant: there is always a hint; for engine
//! errors it comes from [`Origin`].

use std::error::Error as _;
use std::io;

use br_core::ErrorKind;

use crate::exit_code::ExitStatus;
use crate::hint::{Kept, Origin, of_stream};

/// The result of a command: its exit status or its error.
pub(crate) type CommandResult = Result<ExitStatus, CommandError>;

/// Why a command failed.
#[derive(Debug, Clone)]
pub(crate) struct CommandError {
    /// The exit code.
    pub(crate) status: ExitStatus,
    /// What failed, a lower-case fragment.
    pub(crate) message: String,
    /// Why, the nearest cause first.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) hint: String,
    /// The origin of the error, while the hint is the default one for it.
    origin: Option<Origin>,
    /// Whether the source of a backup failed, and not its repository.
    pub(crate) is_of_source: bool,
    /// Print nothing, because the reader of the output is gone.
    pub(crate) silent: bool,
}

/// Why a command line was not understood.
#[derive(Debug)]
pub(crate) enum BadLine {
    /// Help that the user requested, or an error of the parser.
    Parser(clap::Error),
    /// An error that br finds itself.
    Command(CommandError),
}

impl From<clap::Error> for BadLine {
    fn from(error: clap::Error) -> Self {
        Self::Parser(error)
    }
}

impl From<CommandError> for BadLine {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl CommandError {
    /// An error with the given exit code.
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
            origin: None,
            is_of_source: false,
            silent: false,
        }
    }

    /// Wrong arguments.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message, hint)
    }

    /// A failure with the message and the causes of an error.
    pub(crate) fn failure(error: &dyn std::error::Error, hint: impl Into<String>) -> Self {
        let out = Self::new(ExitStatus::Failure, error.to_string(), hint);
        match error.source() {
            Some(cause) => out.because(cause),
            None => out,
        }
    }

    /// Adds the causes of an error, and the error itself as the first of them.
    pub(crate) fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self.causes.dedup();
        self
    }

    /// The message and its causes in one line.
    pub(crate) fn reasons(&self) -> String {
        let reasons = std::iter::once(&self.message).chain(&self.causes);
        let reasons: Vec<&str> = reasons.map(String::as_str).collect();
        reasons.join(": ")
    }

    /// Replaces the hint.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self.origin = None;
        self
    }

    /// Replaces the hints about options that name a repository and its password: a set has keys for both.
    pub(crate) fn advised_for_set(self, repository: &str) -> Self {
        match self.status {
            ExitStatus::RepositoryNotFound => self.with_hint(format!(
                "check that the disk of the repository {repository} is mounted, and `location` in the configuration file; `br -r {repository} init` creates a new repository"
            )),
            ExitStatus::AccessDenied if self.hint.contains("--password-file") => self.with_hint(format!(
                "check `password` of the repository {repository} in the configuration file"
            )),
            _ => self,
        }
    }

    /// Names the file that the error is about.
    pub(crate) fn in_file(mut self, name: &str) -> Self {
        self.message = format!("{name}: {}", self.message);
        self
    }

    /// The output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let hint = if full {
            "free space where the output goes, and run the command again"
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
        Self::from_origin(
            Origin::interrupted(),
            ExitStatus::Interrupted,
            "interrupted",
        )
    }

    /// An error whose hint depends on its origin.
    fn from_origin(origin: Origin, status: ExitStatus, message: impl Into<String>) -> Self {
        let mut out = Self::new(status, message, origin.advise(Kept::Nothing));
        out.origin = Some(origin);
        out
    }

    /// Records whether the repository is on a server.
    pub(crate) fn at_store(mut self, is_remote: bool) -> Self {
        if let Some(origin) = &mut self.origin {
            origin.is_remote.get_or_insert(is_remote);
        }
        self
    }

    /// Sets the hint, which depends on what the command keeps when it stops.
    pub(crate) fn advised(mut self, kept: Kept) -> Self {
        if let Some(origin) = &self.origin {
            self.hint = origin.advise(kept);
        }
        self
    }
}

/// Maps a kind of engine error to its exit code.
const fn status(kind: ErrorKind) -> ExitStatus {
    match kind {
        ErrorKind::Invalid
        | ErrorKind::NoBackup
        | ErrorKind::BackupNotFound
        | ErrorKind::AmbiguousId
        | ErrorKind::PathNotFound => ExitStatus::Usage,
        ErrorKind::RepositoryNotFound => ExitStatus::RepositoryNotFound,
        ErrorKind::Password
        | ErrorKind::NotEncrypted
        | ErrorKind::KeyRights
        | ErrorKind::Denied => ExitStatus::AccessDenied,
        ErrorKind::Unavailable => ExitStatus::StorageUnavailable,
        ErrorKind::Damaged => ExitStatus::Damaged,
        ErrorKind::UnsupportedFormat => ExitStatus::UnsupportedFormat,
        ErrorKind::Conflict => ExitStatus::Conflict,
        ErrorKind::Interrupted => ExitStatus::Interrupted,
        _ => ExitStatus::Failure,
    }
}

impl From<br_core::Error> for CommandError {
    fn from(error: br_core::Error) -> Self {
        let mut out =
            Self::from_origin(Origin::of(&error), status(error.kind()), error.to_string());
        out.causes = error.causes();
        out.is_of_source = error.site() == br_core::Site::Source && error.kind() == ErrorKind::Io;
        match of_stream(&error) {
            Some(hint) => out.with_hint(hint),
            None => out,
        }
    }
}

/// True when an error came from writing to a pipe whose reader is gone.
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
    fn every_error_kind_has_exit_code() {
        let expected = [
            (ErrorKind::Invalid, 2),
            (ErrorKind::NoBackup, 2),
            (ErrorKind::BackupNotFound, 2),
            (ErrorKind::AmbiguousId, 2),
            (ErrorKind::PathNotFound, 2),
            (ErrorKind::RepositoryNotFound, 10),
            (ErrorKind::RepositoryExists, 1),
            (ErrorKind::Password, 12),
            (ErrorKind::NotEncrypted, 12),
            (ErrorKind::KeyRights, 12),
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
            assert_eq!(status(kind).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn broken_pipe_is_not_reported_as_failure() {
        let error = CommandError::output(&io::ErrorKind::BrokenPipe.into());
        assert!(error.silent && error.status == ExitStatus::Ok);
        assert!(!CommandError::output(&io::ErrorKind::StorageFull.into()).silent);
    }
}
