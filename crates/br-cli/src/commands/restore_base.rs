//! Restores of the data folder of a PostgreSQL server.
//!
//! Files of another state of the server beside the restored ones damage it, so the folder must be empty.

use std::fs;
use std::path::{Path, PathBuf};

use br_core::Repository;
use br_core::engine::restore::RestoreOptions;
use br_core::model::{Backup, EntryPath};

use super::restore_steps::BASE;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::output::format;

/// The file in the data folder of a server that runs.
const PID_FILE: &str = "postmaster.pid";

/// Refuses to write the data folder of a server into a folder that is not empty.
pub(super) async fn check_target(
    target: &Path,
    options: &RestoreOptions,
    repository: &Repository,
    backup: &Backup,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let Some(folder) = data_folder(target, options) else {
        return Ok(());
    };
    let is_empty = fs::read_dir(&folder).map_or(true, |mut items| items.next().is_none());
    if is_empty {
        return Ok(());
    }
    let described = repository.describe(backup.id, &context.engine()).await?;
    let mut streams = described.streams.iter();
    if streams.any(|stream| *stream.path == *BASE.as_bytes()) {
        check(&folder, options.delete)?;
    }
    Ok(())
}

/// Where a restore writes the data folder, if the backup has one.
fn data_folder(target: &Path, options: &RestoreOptions) -> Option<PathBuf> {
    if options.folder.as_bytes() == BASE.as_bytes() {
        return Some(target.to_owned());
    }
    let is_base = |path: &EntryPath| path.as_bytes() == BASE.as_bytes();
    let is_selected = options.paths.is_empty() || options.paths.iter().any(is_base);
    let is_whole = options.folder == EntryPath::root() && options.stripped_parts == 0;
    (is_selected && is_whole).then(|| target.join(BASE))
}

/// Refuses a folder that is not empty, unless `deletes`, and one in which a server runs.
fn check(folder: &Path, deletes: bool) -> Result<(), CommandError> {
    let name = format::path(folder);
    if folder.join(PID_FILE).exists() {
        let message = format!("a PostgreSQL server runs in {name}, or was killed there");
        let hint = format!(
            "restore into another folder; or stop the server, and delete {PID_FILE} if it does not run"
        );
        return Err(CommandError::new(ExitStatus::Failure, message, hint));
    }
    if !deletes {
        let message =
            format!("{name} is not empty, and the data folder of PostgreSQL needs an empty folder");
        let hint =
            "choose another --target, or add --delete, which deletes what the backup does not have";
        return Err(CommandError::usage(message, hint));
    }
    Ok(())
}
