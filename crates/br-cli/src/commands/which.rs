//! Selects a backup: by id, or `latest` among the backups that the filter options match.
//!
//! All commands share [`FilterArgs`]. Invariant: an option without effect is refused.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use br_core::{BackupFilter, BackupSelector};
use clap::Args;

use super::sources::current_folder;
use crate::error::CommandError;

/// Filter options.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which backups count")]
pub(super) struct FilterArgs {
    /// Only backups of this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Only backups of this path, as given to `br backup` (can be repeated: must have all paths)
    #[arg(id = "of_path", long = "path", value_name = "PATH")]
    path: Vec<OsString>,

    /// Only backups with this tag (can be repeated: must have all tags)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// Only complete backups
    #[arg(long)]
    complete: bool,
}

impl FilterArgs {
    /// The filter from the command line.
    pub(super) fn filter(&self) -> BackupFilter {
        let paths = self.path.iter().map(|path| path.as_bytes().to_vec());
        BackupFilter::default()
            .with_host(self.host.clone())
            .with_paths(paths.collect(), current_folder())
            .with_tags(self.tag.clone())
            .with_complete(self.complete)
    }

    /// The selected backup.
    pub(super) fn apply(&self, id: &BackupSelector) -> Result<BackupSelector, CommandError> {
        let [id] = self.apply_all([id])?;
        Ok(id)
    }

    /// The selected backups. The filter does not apply to ids.
    pub(super) fn apply_all<const N: usize>(
        &self,
        ids: [&BackupSelector; N],
    ) -> Result<[BackupSelector; N], CommandError> {
        self.check(&ids)?;
        let filter = self.filter();
        Ok(ids.map(|id| id.clone().with_filter(filter.clone())))
    }

    /// Like [`FilterArgs::apply_all`], for any number of backups.
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
        let message = "--host, --path, --tag and --complete only apply to `latest`";
        let hint = "write `latest` as the backup, or leave out these options";
        Err(CommandError::usage(message, hint))
    }
}
