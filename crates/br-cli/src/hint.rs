//! Hints for errors, derived from the kind of error, where it occurred, and what the command had done.
//!
//! [`Origin`] describes the error, [`Origin::advise`] returns the hint. Invariant: the hint is about the place that failed; it
//! mentions no access key for a folder, and no command that would fail for the same reason.

use std::io;

use br_core::source::StreamError;
use br_core::{ErrorKind, ObjectKind, ProgramError, Site};

/// Where an error came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    kind: ErrorKind,
    site: Site,
    object: Option<ObjectKind>,
    io: Option<io::ErrorKind>,
    /// Whether the repository is on a server; `None` when that is not known.
    pub(crate) is_remote: Option<bool>,
}

/// What an interrupted command keeps, so that the next run continues from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing: the next run starts from the beginning.
    #[default]
    Nothing,
    /// Stored data.
    Stored,
    /// Restored files.
    Restored,
    /// Completed deletions.
    Removed,
}

impl Kept {
    const fn retry_advice(self) -> &'static str {
        match self {
            Self::Nothing => "run the command again",
            Self::Stored => "run the command again: it uses what is already stored",
            Self::Restored => "run the command again: it skips files that are already restored",
            Self::Removed => "run the command again: it continues where it stopped",
        }
    }
}

impl Origin {
    /// From an error of the engine.
    pub(crate) fn of(error: &br_core::Error) -> Self {
        Self {
            kind: error.kind(),
            site: error.site(),
            object: error.object(),
            io: error.io_kind(),
            is_remote: None,
        }
    }

    /// From a command that the user stopped.
    pub(crate) const fn interrupted() -> Self {
        Self {
            kind: ErrorKind::Interrupted,
            site: Site::Unknown,
            object: None,
            io: None,
            is_remote: None,
        }
    }

    /// Returns the hint.
    pub(crate) fn advise(&self, kept: Kept) -> String {
        let again = kept.retry_advice();
        let text = match self.kind {
            ErrorKind::Invalid => self.invalid(),
            ErrorKind::NoBackup => "`br list` shows the backups, `br backup PATH` makes one",
            ErrorKind::BackupNotFound => "`br list` shows the backups and their ids",
            ErrorKind::AmbiguousId => "use an id that `br list` shows: it matches only one backup",
            ErrorKind::PathNotFound => {
                "use a path that `br ls ID` shows; `br find NAME` shows the backups that have a file, and --path or --tag selects among them"
            }
            ErrorKind::RepositoryNotFound => {
                "check --repo or BR_REPOSITORY; `br init` or `br backup --init` creates a new repository"
            }
            ErrorKind::RepositoryExists => {
                "use the existing repository, or choose another location with --repo"
            }
            ErrorKind::Password => {
                "give the correct password with --password-file, --password-command or BR_PASSWORD; if the master key was just changed, run \
                 the command again"
            }
            ErrorKind::NotEncrypted => "leave out the password: the repository is not encrypted",
            ErrorKind::KeyRights => {
                "give the password of another key with --password-file, --password-command or BR_PASSWORD: `br key list` shows the keys and what they can do"
            }
            ErrorKind::Denied => self.denied(),
            ErrorKind::Full | ErrorKind::Io if self.io == Some(io::ErrorKind::FileTooLarge) => {
                return format!("raise the file size limit (`ulimit -f` shows it), and {again}");
            }
            ErrorKind::Full => return format!("{}, and {again}", self.full()),
            ErrorKind::Unavailable => return format!("{}, and {again}", self.unavailable()),
            ErrorKind::Damaged => self.damaged(),
            ErrorKind::UnsupportedFormat => {
                "use a newer br: this version does not know the format and changes nothing"
            }
            ErrorKind::Conflict => "run the command again when the other br commands have finished",
            ErrorKind::Interrupted => again,
            ErrorKind::Io => return format!("fix the cause above, and {again}"),
            _ => "this is a bug in br: please report it with the command you ran",
        };
        text.to_owned()
    }

    const fn invalid(&self) -> &'static str {
        match self.site {
            Site::Target => "name a new or an existing folder with --target",
            Site::Repository => "name another location with --repo or BR_REPOSITORY",
            _ => "correct the argument: `br list` shows the backups, `br ls ID` the entries of one",
        }
    }

    fn denied(&self) -> &'static str {
        let read_only = self.io == Some(io::ErrorKind::ReadOnlyFilesystem);
        match (self.site, read_only, self.is_remote) {
            (Site::Source, _, _) => "run br as a user with permission to read it, such as root",
            (Site::Target, true, _) => {
                "its file system is read-only: mount it read-write, or name another folder with --target"
            }
            (Site::Target, false, _) => {
                "name a writable folder with --target, or run br as another user"
            }
            (Site::Cache, _, _) => "name a writable folder with --cache-dir, or give --no-cache",
            (Site::Output, _, _) => "send the output to a writable place",
            (Site::Repository, true, _) => {
                "the file system of the repository is read-only: mount it read-write, or use another location"
            }
            (Site::Repository, false, Some(true)) => {
                "check the access key and its permissions for the bucket"
            }
            (Site::Repository, false, Some(false)) => {
                "run br as the owner of the folder of the repository, or change its permissions"
            }
            _ => "get permission for the path named above, or run br as another user",
        }
    }

    const fn full(&self) -> &'static str {
        match (self.site, self.is_remote) {
            (Site::Target, _) => "free space at the target",
            (Site::Cache, _) => {
                "free space in the cache folder, or name another one with --cache-dir"
            }
            (Site::Output, _) => "free space where the output goes",
            (Site::Repository, Some(true)) => "free space in the bucket, or have its quota raised",
            (Site::Repository, _) => "free space where the repository is",
            _ => "free space",
        }
    }

    const fn unavailable(&self) -> &'static str {
        match (self.site, self.is_remote) {
            (Site::Repository, Some(false)) => {
                "check that the file system of the repository is mounted and responds"
            }
            _ => "check the connection",
        }
    }

    const fn damaged(&self) -> &'static str {
        match self.object {
            Some(ObjectKind::Config) => {
                "restore br.json from a copy of the repository: without it nothing can be read"
            }
            Some(ObjectKind::KeySlot) => {
                "give the password of another key; if there is none, restore the folder `keys` from a copy of the repository: without a key \
                 nothing can be read"
            }
            Some(ObjectKind::Log) => {
                "`br check --repair-log` rebuilds the backup list from the manifests"
            }
            Some(ObjectKind::Index) => {
                "`br check --repair-index` rebuilds the index from the packs"
            }
            Some(ObjectKind::Manifest) => {
                "`br check` names the backup whose manifest is lost: restore what you need from it, then `br delete` it"
            }
            _ => {
                "`br check --read-data` lists the affected files and how to repair them, also from a copy; everything else can be restored"
            }
        }
    }
}

/// What the user can do if a stream did not become a backup; `None` for other errors.
pub(crate) fn of_stream(error: &br_core::Error) -> Option<&'static str> {
    let source = std::error::Error::source(error)?;
    let io = source.downcast_ref::<io::Error>()?;
    let mut error = io.get_ref()?.downcast_ref::<StreamError>()?;
    while let StreamError::BadOutput { reason, .. } = error {
        error = reason;
    }
    Some(match error {
        StreamError::Empty => "if an empty stream is right, add --allow-empty",
        StreamError::NoEndMark { .. } => {
            "make the dump again; if its last line is right, give its beginning with --expect-trailer"
        }
        StreamError::Program(ProgramError::NotStarted { .. }) => {
            "check the name of the program and the variable PATH"
        }
        StreamError::Program(ProgramError::TimedOut { .. }) => {
            "find out what the program waits for, or give it more time with --command-timeout"
        }
        StreamError::Program(ProgramError::WaitsForTerminal { .. }) => {
            "give the program its password in a file that only you can read, such as ~/.my.cnf or ~/.pgpass"
        }
        _ => "correct what the program reports, and run the command again",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(kind: ErrorKind, site: Site) -> Origin {
        Origin {
            kind,
            site,
            ..Origin::interrupted()
        }
    }

    #[test]
    fn every_kind_and_site_has_hint_of_one_sentence() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::NoBackup,
            ErrorKind::BackupNotFound,
            ErrorKind::AmbiguousId,
            ErrorKind::PathNotFound,
            ErrorKind::RepositoryNotFound,
            ErrorKind::RepositoryExists,
            ErrorKind::Password,
            ErrorKind::NotEncrypted,
            ErrorKind::KeyRights,
            ErrorKind::Denied,
            ErrorKind::Full,
            ErrorKind::Unavailable,
            ErrorKind::Damaged,
            ErrorKind::UnsupportedFormat,
            ErrorKind::Conflict,
            ErrorKind::Interrupted,
            ErrorKind::Io,
            ErrorKind::Internal,
        ] {
            for site in [
                Site::Unknown,
                Site::Source,
                Site::Target,
                Site::Repository,
                Site::Cache,
                Site::Output,
            ] {
                for is_remote in [None, Some(false), Some(true)] {
                    let origin = Origin {
                        is_remote,
                        ..origin(kind, site)
                    };
                    let hint = origin.advise(Kept::Stored);
                    assert!(!hint.is_empty() && !hint.ends_with('.'), "{kind:?}: {hint}");
                    let is_bug = kind == ErrorKind::Internal;
                    assert_eq!(hint.contains("bug in br"), is_bug, "{kind:?}: {hint}");
                }
            }
        }
    }

    #[test]
    fn hint_names_place_that_failed() {
        for (site, is_remote, io, expected) in [
            (Site::Repository, Some(true), None, "access key"),
            (
                Site::Repository,
                Some(false),
                None,
                "folder of the repository",
            ),
            (
                Site::Repository,
                Some(false),
                Some(io::ErrorKind::ReadOnlyFilesystem),
                "read-only",
            ),
            (Site::Target, None, None, "--target"),
            (
                Site::Target,
                None,
                Some(io::ErrorKind::ReadOnlyFilesystem),
                "read-only",
            ),
            (Site::Source, None, None, "permission to read"),
            (Site::Cache, None, None, "--no-cache"),
        ] {
            let origin = Origin {
                is_remote,
                io,
                ..origin(ErrorKind::Denied, site)
            };
            let hint = origin.advise(Kept::Nothing);
            assert!(hint.contains(expected), "{site:?}: {hint}");
            let of_server = is_remote == Some(true);
            assert_eq!(hint.contains("access key"), of_server, "{site:?}: {hint}");
        }
        for (site, expected) in [
            (Site::Target, "at the target"),
            (Site::Repository, "where the repository is"),
            (Site::Cache, "--cache-dir"),
        ] {
            let hint = origin(ErrorKind::Full, site).advise(Kept::Restored);
            assert!(hint.contains(expected), "{site:?}: {hint}");
            assert!(
                hint.ends_with("skips files that are already restored"),
                "{hint}"
            );
        }
    }

    #[test]
    fn file_size_limit_has_hint_about_ulimit() {
        for kind in [ErrorKind::Full, ErrorKind::Io] {
            let origin = Origin {
                io: Some(io::ErrorKind::FileTooLarge),
                ..origin(kind, Site::Repository)
            };
            let hint = origin.advise(Kept::Stored);
            assert!(hint.contains("ulimit -f"), "{kind:?}: {hint}");
        }
    }

    #[test]
    fn damage_hint_names_repair_of_damaged_object() {
        for (object, expected) in [
            (Some(ObjectKind::Config), "copy of the repository"),
            (Some(ObjectKind::KeySlot), "copy of the repository"),
            (Some(ObjectKind::Log), "--repair-log"),
            (Some(ObjectKind::Index), "--repair-index"),
            (Some(ObjectKind::Manifest), "`br check`"),
            (Some(ObjectKind::Pack), "--read-data"),
            (None, "--read-data"),
        ] {
            let origin = Origin {
                object,
                ..origin(ErrorKind::Damaged, Site::Repository)
            };
            let hint = origin.advise(Kept::Nothing);
            assert!(hint.contains(expected), "{object:?}: {hint}");
            let lost = matches!(object, Some(ObjectKind::Config | ObjectKind::KeySlot));
            assert_eq!(hint.contains("nothing can be read"), lost, "{hint}");
        }
    }
}
