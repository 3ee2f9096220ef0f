//! `br matrixone delete`: deletes backups of MatrixOne.

use std::path::Path;
use std::sync::Arc;

use br_matrixone::archive;
use br_matrixone::backup::is_running;
use br_matrixone::catalogue::{
    BackupLocation, Catalogue, CatalogueEntry, CatalogueError, Listing, State,
};
use br_matrixone::delete;
use clap::Args;

use super::place::{Source, Wanted};
use super::progress::ArchiveReporter;
use super::{CODES, CatalogueArgs, blocking};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::Summary;

const EXAMPLES: &str = "\
  br matrixone delete e4cade26
  br matrixone delete e4cade26 --cascade           # with the incremental backups that need it
  br matrixone delete e4cade26 --not-delete-data   # only the catalogue entry";

/// Delete a backup
///
/// br refuses to delete a backup that others need, unless --cascade deletes those too. A copy in a repository stays; delete it with `br delete`.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct DeleteArgs {
    /// Backup: its id or the start of it
    #[arg(value_name = "ID")]
    id: String,

    /// Keep the files of the backup
    #[arg(long)]
    not_delete_data: bool,

    /// Also delete the backups that need it
    #[arg(long)]
    cascade: bool,

    #[command(flatten)]
    catalogue: CatalogueArgs,
}

pub(super) async fn run(args: DeleteArgs, context: &CommandContext) -> CommandResult {
    let catalogue = args.catalogue.open()?;
    let listing = args.catalogue.list(context)?;
    let entry = listing.find(&args.id)?;
    if !args.not_delete_data {
        refuse_absent(&entry)?;
    }
    let mut to_delete = if args.not_delete_data && !args.cascade {
        // With --not-delete-data the files stay, so other backups still have them.
        Vec::new()
    } else {
        dependents(&listing, &entry, context).await?
    };
    if !to_delete.is_empty() && !args.cascade {
        return Err(needed(&listing, &entry, &to_delete));
    }
    // Delete dependent backups first: an interruption must not leave a backup without its base.
    to_delete.push(entry);
    // After a rebuild of the catalogue, a backup in progress may have a different entry.
    if to_delete.iter().any(|entry| entry.state != State::Complete) && is_running(&catalogue) {
        return Err(CommandError::new(
            ExitStatus::Conflict,
            "a backup is running on this machine, and it may be the one to delete",
            "run the command again when it has finished",
        ));
    }
    let mut deleted = Vec::new();
    for entry in &to_delete {
        if context.cancel.is_cancelled() {
            return Err(CommandError::interrupted());
        }
        delete_one(entry, &catalogue, args.not_delete_data, context).await?;
        deleted.push(entry.id.to_string());
    }
    print(&deleted, args.not_delete_data, context)?;
    Ok(ExitStatus::Ok)
}

/// The error about a backup that others need. The hint names only ids that are in the catalogue.
fn needed(
    listing: &Listing,
    entry: &CatalogueEntry,
    dependents: &[CatalogueEntry],
) -> CommandError {
    let is_known = |id| listing.entries.iter().any(|known| known.id == id);
    let names: Vec<_> = dependents
        .iter()
        .map(|other| {
            if is_known(other.id) {
                other.id.to_string()
            } else {
                format!("{} (only its files: it is not in the catalogue)", other.id)
            }
        })
        .collect();
    let hint = if dependents.iter().all(|other| is_known(other.id)) {
        "delete them first, or delete all together with --cascade"
    } else {
        "delete all together with --cascade, including files that are not in the catalogue"
    };
    let message = format!("other backups need {}: {}", entry.id, names.join(", "));
    CommandError::usage(message, hint)
}

/// Finds the backups that need a backup.
async fn dependents(
    listing: &Listing,
    entry: &CatalogueEntry,
    context: &CommandContext,
) -> Result<Vec<CatalogueEntry>, CommandError> {
    let source = Source::of(entry.clone(), context)?;
    let reporter = Arc::new(context.reporter());
    let progress = ArchiveReporter::new(&reporter, context);
    let (listing, entry) = (listing.clone(), entry.clone());
    let work = move || {
        let archive = source.archive_if_any()?;
        delete::dependents(&listing, &entry, archive.as_ref(), &progress)
    };
    blocking(work).await.map_err(|error| match error.status {
        ExitStatus::Damaged => error.with_hint(
            "br cannot determine whether other backups need this one: first delete the backup with the damaged list",
        ),
        _ => error,
    })
}

/// Deletes one backup. It removes the catalogue entry last, so that an interrupted deletion can be repeated.
async fn delete_one(
    entry: &CatalogueEntry,
    catalogue: &Catalogue,
    keep_data: bool,
    context: &CommandContext,
) -> Result<(), CommandError> {
    if !keep_data {
        let source = Source::of(entry.clone(), context)?;
        let id = entry.id.to_string();
        blocking(move || remove(&source, &id)).await?;
    }
    match catalogue.remove(entry.id) {
        // A dependent backup that was found only by its files.
        Err(CatalogueError::NotFound(_)) => Ok(()),
        removed => Ok(removed?),
    }
}

fn remove(source: &Source, id: &str) -> archive::Result<()> {
    let entry = match (&source.wanted, &source.entry) {
        (Wanted::Directory(directory), _) => {
            return archive::delete(&source.folder, directory, id);
        }
        (_, entry) => entry.as_ref(),
    };
    let Some(archive) = source.archive_if_any()? else {
        return Ok(());
    };
    // An interrupted deletion leaves an unfinished backup. The catalogue may name the folder of the backup or the root above it.
    let mut all = archive.backups().iter().chain(archive.unfinished());
    let found = all.find(|backup| entry.is_some_and(|entry| entry.is_about(backup)));
    found.map_or(Ok(()), |found| {
        archive::delete(archive.folder(), &found.dir, id)
    })
}

/// A missing folder may be on a file system that is not mounted; do not treat its backups as deleted.
fn refuse_absent(entry: &CatalogueEntry) -> Result<(), CommandError> {
    match &entry.place {
        BackupLocation::FileSystem { path }
            if entry.state == State::Complete && !Path::new(path).exists() =>
        {
            Err(CommandError::new(
                ExitStatus::RepositoryNotFound,
                format!("the folder {} does not exist", format::text(path)),
                "mount it, or remove only the catalogue entry with --not-delete-data",
            ))
        }
        _ => Ok(()),
    }
}

fn print(
    deleted: &[String],
    kept_data: bool,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() {
        return output.document(&Summary::new(serde_json::json!({
            "deleted": deleted,
            "data_deleted": !kept_data,
        })));
    }
    if output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    for id in deleted {
        lines.line(&format!("deleted {}", format::text(id)))?;
    }
    lines.finish()
}
