//! What to do about an error: derived from what failed, where, and what the command had done by then.
//!
//! [`Origin`] is what is known, [`Origin::advise`] the advice. Invariant: the advice is about the place that failed; it names
//! no key of a server for a folder, and no command that would fail for the same reason.

use std::io;

use br_core::{ErrorKind, ObjectKind, Site};

use crate::cli::Command;

/// Where an error came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    kind: ErrorKind,
    site: Site,
    object: Option<ObjectKind>,
    io: Option<io::ErrorKind>,
    /// The store of the repository is a server; `None` when that is not known.
    pub(crate) is_remote: Option<bool>,
}

/// What a command keeps when it is stopped, for those that do not begin again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing: it begins again.
    #[default]
    Nothing,
    /// What was stored.
    Stored,
    /// What was restored.
    Restored,
    /// What was removed.
    Removed,
}

impl Kept {
    /// What a command keeps.
    pub(crate) const fn of(command: &Command) -> Self {
        match command {
            Command::Backup(_) | Command::Import(_) | Command::Matrixone(_) => Self::Stored,
            Command::Restore(_) => Self::Restored,
            Command::Delete(_) | Command::Prune(_) => Self::Removed,
            _ => Self::Nothing,
        }
    }

    const fn again(self) -> &'static str {
        match self {
            Self::Nothing => "run the command again",
            Self::Stored => "run the command again: what was stored is used",
            Self::Restored => "run the command again: what is restored is not written again",
            Self::Removed => "run the command again: it goes on where it was",
        }
    }
}

impl Origin {
    /// Of an error of the engine.
    pub(crate) fn of(error: &br_core::Error) -> Self {
        Self {
            kind: error.kind(),
            site: error.site(),
            object: error.object(),
            io: error.io_kind(),
            is_remote: None,
        }
    }

    /// Of a command that was stopped.
    pub(crate) const fn interrupted() -> Self {
        Self {
            kind: ErrorKind::Interrupted,
            site: Site::Unknown,
            object: None,
            io: None,
            is_remote: None,
        }
    }

    /// Says what to do.
    pub(crate) fn advise(&self, kept: Kept) -> String {
        let again = kept.again();
        let text = match self.kind {
            ErrorKind::Invalid => self.invalid(),
            ErrorKind::NoBackup => {
                "`br list` shows the backups there are, `br backup PATH` makes one"
            }
            ErrorKind::BackupNotFound => "`br list` shows the backups and their ids",
            ErrorKind::AmbiguousId => "use an id that `br list` shows: it fits one backup only",
            ErrorKind::PathNotFound => {
                "`br ls ID` shows the paths that a backup has: use one as it is shown"
            }
            ErrorKind::RepositoryNotFound => {
                "check --repo or BR_REPOSITORY; `br init` makes a new repository, and so does `br backup --init`"
            }
            ErrorKind::RepositoryExists => {
                "use it as it is, or choose another location with --repo"
            }
            ErrorKind::Password => {
                "give the right password with --password-file, --password-command or BR_PASSWORD"
            }
            ErrorKind::NotEncrypted => "leave the password out: the repository is not encrypted",
            ErrorKind::Denied => self.denied(),
            ErrorKind::Full | ErrorKind::Io if self.io == Some(io::ErrorKind::FileTooLarge) => {
                return format!(
                    "raise the limit of file sizes (`ulimit -f` shows it), and {again}"
                );
            }
            ErrorKind::Full => return format!("{}, and {again}", self.full()),
            ErrorKind::Unavailable => return format!("{}, and {again}", self.unavailable()),
            ErrorKind::Damaged => self.damaged(),
            ErrorKind::UnsupportedFormat => {
                "use a newer br: this one does not know the format and leaves it alone"
            }
            ErrorKind::Conflict => "run the command again when other br commands are done",
            ErrorKind::Interrupted => again,
            ErrorKind::Io => return format!("mend the cause above, and {again}"),
            _ => "this is a bug in br: please report it with the command you ran",
        };
        text.to_owned()
    }

    const fn invalid(&self) -> &'static str {
        match self.site {
            Site::Target => "name a folder with --target: a new one, or one that is there",
            Site::Repository => {
                "name another place for the repository with --repo or BR_REPOSITORY"
            }
            _ => "correct the argument: `br list` shows the backups, `br ls ID` what is in one",
        }
    }

    fn denied(&self) -> &'static str {
        let read_only = self.io == Some(io::ErrorKind::ReadOnlyFilesystem);
        match (self.site, read_only, self.is_remote) {
            (Site::Source, _, _) => "run br as a user who may read it, such as root",
            (Site::Target, true, _) => {
                "its file system is read-only: mount it for writing, or name another folder with --target"
            }
            (Site::Target, false, _) => {
                "name a folder with --target in which you may write, or run br as another user"
            }
            (Site::Cache, _, _) => {
                "name a folder in which you may write with --cache-dir, or give --no-cache"
            }
            (Site::Output, _, _) => "send the output to where you may write",
            (Site::Repository, true, _) => {
                "the file system of the repository is read-only: mount it for writing, or use another location"
            }
            (Site::Repository, false, Some(true)) => {
                "check the access key, and what its owner may do with the bucket"
            }
            (Site::Repository, false, Some(false)) => {
                "run br as the user to whom the folder of the repository belongs, or change its permissions"
            }
            _ => "get the permission for what is named above, or run br as another user",
        }
    }

    const fn full(&self) -> &'static str {
        match (self.site, self.is_remote) {
            (Site::Target, _) => "make space at the target",
            (Site::Cache, _) => {
                "make space in the cache folder, or name another one with --cache-dir"
            }
            (Site::Output, _) => "make space where the output goes",
            (Site::Repository, Some(true)) => "make space in the bucket, or have its quota raised",
            (Site::Repository, _) => "make space where the repository is",
            _ => "make space",
        }
    }

    const fn unavailable(&self) -> &'static str {
        match (self.site, self.is_remote) {
            (Site::Repository, Some(false)) => {
                "see that the file system of the repository is mounted and answers"
            }
            _ => "check the connection",
        }
    }

    const fn damaged(&self) -> &'static str {
        match self.object {
            Some(ObjectKind::Config) => {
                "put br.json back from a copy of the repository: without it nothing can be read"
            }
            Some(ObjectKind::KeySlot) => {
                "put the folder keys back from a copy of the repository: without it nothing can be read"
            }
            Some(ObjectKind::Log) => {
                "`br check --repair-log` builds the catalog anew from the manifests"
            }
            Some(ObjectKind::Index) => {
                "`br check --repair-index` builds the index anew from the packs"
            }
            Some(ObjectKind::Manifest) => {
                "`br check` names the backup whose manifest is lost: restore what you need of it, then `br delete` it"
            }
            _ => {
                "`br check --read-data` names what is affected and how to repair it; everything else can be restored"
            }
        }
    }
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
    fn every_kind_and_site_has_a_hint_in_one_sentence() {
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
    fn hints_are_about_the_place_that_failed() {
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
            (Site::Source, None, None, "may read it"),
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
                hint.ends_with("what is restored is not written again"),
                "{hint}"
            );
        }
    }

    #[test]
    fn a_file_that_may_not_grow_is_hinted_at_by_its_limit() {
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
    fn damage_is_mended_by_what_mends_that_object() {
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
