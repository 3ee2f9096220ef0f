//! Selects a backup: by id, or `latest` among the backups that the filter options match.
//!
//! All commands share [`FilterArgs`]; [`BackupAndPath`] is a backup with a path in it. Invariant: an option without effect is refused.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use br_core::{BackupFilter, BackupSelector};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::paths::{PathInBackup, paths_in_backup};
use super::sources::current_folder;
use crate::error::CommandError;

/// A backup, or a path in it: `latest:home/anna`.
#[derive(Debug, Clone)]
pub(super) struct BackupAndPath {
    pub(super) id: BackupSelector,
    path: Option<OsString>,
}

impl BackupAndPath {
    /// Reads an argument. Ids contain no colon, so the first one ends the id.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|typed| {
            let bytes = typed.as_bytes();
            let colon = bytes.iter().position(|byte| *byte == b':');
            let (id, path) = match colon {
                None => (bytes, None),
                Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            };
            let id = String::from_utf8_lossy(id).parse()?;
            let path = path.map(|path| OsStr::from_bytes(path).to_owned());
            Ok::<_, br_core::Error>(Self { id, path })
        })
    }

    /// The path after the colon. Refuses other paths in addition to it.
    pub(super) fn path(&self, others: &[OsString]) -> Result<Option<PathInBackup>, CommandError> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        if let Some(other) = others.first() {
            let (id, path, other) = (&self.id, path.display(), other.display());
            let message = format!("{id}:{path} and the path {other} contradict each other");
            let hint = "write the backup without a colon, and all paths after it";
            return Err(CommandError::usage(message, hint));
        }
        PathInBackup::parse(path).map(Some)
    }

    /// The path after the colon, or else the other paths. No path means everything.
    pub(super) fn paths(&self, others: &[OsString]) -> Result<Vec<PathInBackup>, CommandError> {
        self.path(others)?;
        paths_in_backup(self.path.as_ref().map_or(others, std::slice::from_ref))
    }
}

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
    /// The host, and the first other of these options on the command line.
    pub(super) fn host_and_other(&self) -> (Option<&str>, Option<&'static str>) {
        let others = [
            ("--path", !self.path.is_empty()),
            ("--tag", !self.tag.is_empty()),
            ("--complete", self.complete),
        ];
        let other = others.into_iter().find(|(_, given)| *given);
        (self.host.as_deref(), other.map(|(name, _)| name))
    }

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
