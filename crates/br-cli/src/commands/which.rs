//! Which backup a command is about: an id, or `latest` among the backups that options choose.
//!
//! [`FilterArgs`] are these options; all commands share them. Invariant: an option that has no effect is refused.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use br_core::{BackupFilter, BackupSelector};
use clap::Args;

use super::sources::current_folder;
use crate::error::CommandError;

/// Says which backups count.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which backups count")]
pub(super) struct FilterArgs {
    /// Only backups of this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Only backups of this path, as it was given to `br backup` (can be repeated: of all of them)
    #[arg(id = "of_path", long = "path", value_name = "PATH")]
    path: Vec<OsString>,

    /// Only backups with this tag (can be repeated: with all of them)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// Only backups that miss nothing
    #[arg(long)]
    complete: bool,
}

impl FilterArgs {
    /// What was typed.
    pub(super) fn filter(&self) -> BackupFilter {
        let paths = self.path.iter().map(|path| path.as_bytes().to_vec());
        BackupFilter::default()
            .with_host(self.host.clone())
            .with_paths(paths.collect(), current_folder())
            .with_tags(self.tag.clone())
            .with_complete(self.complete)
    }

    /// The backup that is meant.
    pub(super) fn apply(&self, id: &BackupSelector) -> Result<BackupSelector, CommandError> {
        let [id] = self.apply_all([id])?;
        Ok(id)
    }

    /// The backups that are meant. An id names one whatever the options say.
    pub(super) fn apply_all<const N: usize>(
        &self,
        ids: [&BackupSelector; N],
    ) -> Result<[BackupSelector; N], CommandError> {
        self.check(&ids)?;
        let filter = self.filter();
        Ok(ids.map(|id| id.clone().with_filter(filter.clone())))
    }

    /// As [`FilterArgs::apply_all`], for any number.
    pub(super) fn apply_list(
        &self,
        ids: &[BackupSelector],
    ) -> Result<Vec<BackupSelector>, CommandError> {
        self.check(&ids.iter().collect::<Vec<_>>())?;
        let filter = self.filter();
        let with = |id: &BackupSelector| id.clone().with_filter(filter.clone());
        Ok(ids.iter().map(with).collect())
    }

    fn check(&self, ids: &[&BackupSelector]) -> Result<(), CommandError> {
        if self.filter().is_empty() || ids.iter().any(|id| !id.is_id()) {
            return Ok(());
        }
        let message = "--host, --path, --tag and --complete only say which backup is the latest";
        let hint = "write `latest` as the backup, or leave these options out";
        Err(CommandError::usage(message, hint))
    }
}
