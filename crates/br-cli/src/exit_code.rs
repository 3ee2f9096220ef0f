//! Exit codes.
//!
//! [`ExitStatus`] lists the codes. Invariant: a code never gets another meaning, because scripts depend on it;
//! `docs/cli/exit-codes.md` explains each, and a test compares.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// Success.
    Ok = 0,
    /// Any failure without a specific code.
    Failure = 1,
    /// Arguments or configuration are wrong.
    Usage = 2,
    /// Finished, but some entries could not be read, written or deleted.
    Partial = 3,
    /// There is no repository at that location.
    RepositoryNotFound = 10,
    /// Other writers changed the repository at the same time, or another backup is running.
    Conflict = 11,
    /// The password is wrong or missing, or the system refuses access.
    AccessDenied = 12,
    /// The store does not answer.
    StorageUnavailable = 13,
    /// Stored data is missing or altered.
    Damaged = 14,
    /// A newer br wrote the data.
    UnsupportedFormat = 15,
    /// A bundle breaks a rule, or does not fit the target.
    Refused = 16,
    /// Stopped by SIGINT, SIGTERM or SIGHUP.
    Interrupted = 130,
}

impl ExitStatus {
    /// Every code, ascending.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Partial,
        Self::RepositoryNotFound,
        Self::Conflict,
        Self::AccessDenied,
        Self::StorageUnavailable,
        Self::Damaged,
        Self::UnsupportedFormat,
        Self::Refused,
        Self::Interrupted,
    ];

    /// Codes of every command that opens a repository.
    pub(crate) const REPOSITORY: &[Self] = &[
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::RepositoryNotFound,
        Self::AccessDenied,
        Self::StorageUnavailable,
        Self::Damaged,
        Self::UnsupportedFormat,
        Self::Interrupted,
    ];

    /// Codes of the commands for backups of MatrixOne.
    pub(crate) const MATRIXONE: &[Self] = &[
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::RepositoryNotFound,
        Self::Conflict,
        Self::AccessDenied,
        Self::StorageUnavailable,
        Self::Damaged,
        Self::UnsupportedFormat,
        Self::Refused,
        Self::Interrupted,
    ];

    /// Codes of commands that need no repository.
    pub(crate) const PLAIN: &[Self] = &[Self::Ok, Self::Failure, Self::Usage];

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// A short text for the end of a command's help.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failure => "failed",
            Self::Usage => "wrong arguments",
            Self::Partial => "finished, but some entries could not be processed",
            Self::RepositoryNotFound => "there is no repository at that location",
            Self::Conflict => "other writers kept changing the repository",
            Self::AccessDenied => "the password is wrong or missing, or access was denied",
            Self::StorageUnavailable => "the store does not answer: run the command again",
            Self::Damaged => "stored data or a bundle is missing or damaged",
            Self::UnsupportedFormat => "the data was written by a newer br",
            Self::Refused => "the bundle breaks a rule or does not fit the target",
            Self::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_have_documented_numbers() {
        let codes: Vec<_> = ExitStatus::ALL.iter().map(|status| status.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 130]);
    }

    #[test]
    fn document_explains_every_exit_code() {
        let text = include_str!("../../../docs/cli/exit-codes.md");
        for status in ExitStatus::ALL {
            let row = format!("| {} |", status.code());
            assert!(
                text.contains(&row),
                "no row `{row}` in docs/cli/exit-codes.md"
            );
        }
    }
}
