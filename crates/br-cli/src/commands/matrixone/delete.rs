//! `br matrixone delete`: deletes backups of MatrixOne.

use std::path::Path;
use std::sync::Arc;

use br_matrixone::archive;
use br_matrixone::backup::is_running;
use br_matrixone::catalog::{Catalog, CatalogError, Entry, Listing, Place, State};
use br_matrixone::delete;
use clap::Args;

use super::place::{Source, Wanted};
use super::progress::ArchiveProgress;
use super::{CODES, CatalogArgs, blocking};
use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;

const EXAMPLES: &str = "\
  br matrixone delete e4cade26
  br matrixone delete e4cade26 --cascade           # with the incremental backups that need it
  br matrixone delete e4cade26 --not-delete-data   # only from the catalogue";

/// Delete a backup
///
/// A backup that others need is not deleted, unless they go with it (--cascade). A copy in a repository stays; `br delete` deletes that.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct DeleteArgs {
    /// The backup: its id, or the start of it
    #[arg(value_name = "ID")]
    id: String,

    /// Leave its files where they are
    #[arg(long)]
    not_delete_data: bool,

    /// Delete the backups that need it as well
    #[arg(long)]
    cascade: bool,

    #[command(flatten)]
    catalog: CatalogArgs,
}

pub(super) async fn run(args: DeleteArgs, context: &CommandContext) -> CommandResult {
    let catalog = args.catalog.open()?;
    let listing = args.catalog.list(context)?;
    let entry = listing.find(&args.id)?;
    if !args.not_delete_data {
        refuse_absent(&entry)?;
    }
    let mut doomed = match args.not_delete_data && !args.cascade {
        // Files that stay are still there for those that need them.
        true => Vec::new(),
        false => dependents(&listing, &entry, context).await?,
    };
    if !doomed.is_empty() && !args.cascade {
        return Err(needed(&listing, &entry, &doomed));
    }
    // Those that need others go first: whatever interrupts this leaves no backup without its base.
    doomed.push(entry);
    // One that is being made may have been noted otherwise, when the catalogue was made again meanwhile.
    if doomed.iter().any(|entry| entry.state != State::Complete) && is_running(&catalog) {
        return Err(CommandError::new(
            ExitStatus::Locked,
            "a backup is being made on this machine, and may be the one to be deleted",
            "run the command again when it is done",
        ));
    }
    let mut deleted = Vec::new();
    for entry in &doomed {
        if context.cancel.is_cancelled() {
            return Err(CommandError::interrupted());
        }
        delete_one(entry, &catalog, args.not_delete_data, context).await?;
        deleted.push(entry.id.to_string());
    }
    print(&deleted, args.not_delete_data, context)?;
    Ok(ExitStatus::Ok)
}

/// The error about a backup that others need. A hint names no id that the catalogue does not know.
fn needed(listing: &Listing, entry: &Entry, dependents: &[Entry]) -> CommandError {
    let is_known = |id| listing.entries.iter().any(|known| known.id == id);
    let names: Vec<_> = dependents
        .iter()
        .map(|other| match is_known(other.id) {
            true => other.id.to_string(),
            false => format!("{} (its files; the catalogue does not know it)", other.id),
        })
        .collect();
    let hint = match dependents.iter().all(|other| is_known(other.id)) {
        true => "delete them first, or all together with --cascade",
        false => {
            "delete all together with --cascade, files that the catalogue does not know included"
        }
    };
    let message = format!("other backups need {}: {}", entry.id, names.join(", "));
    CommandError::usage(message, hint)
}

/// Finds what needs a backup.
async fn dependents(
    listing: &Listing,
    entry: &Entry,
    context: &CommandContext,
) -> Result<Vec<Entry>, CommandError> {
    let source = Source::of(entry.clone(), context)?;
    let reporter = Arc::new(context.reporter());
    let progress = ArchiveProgress::new(&reporter, context);
    let (listing, entry) = (listing.clone(), entry.clone());
    let work = move || {
        let archive = source.archive_if_any()?;
        delete::dependents(&listing, &entry, archive.as_ref(), &progress)
    };
    blocking(work).await.map_err(|error| match error.status {
        ExitStatus::Damaged => error.with_hint(
            "it cannot be found out whether others need the backup: delete the one first whose list is damaged",
        ),
        _ => error,
    })
}

/// Deletes one. The catalogue forgets it last: what is interrupted can be done again.
async fn delete_one(
    entry: &Entry,
    catalog: &Catalog,
    keep_data: bool,
    context: &CommandContext,
) -> Result<(), CommandError> {
    if !keep_data {
        let source = Source::of(entry.clone(), context)?;
        let id = entry.id.to_string();
        blocking(move || remove(&source, &id)).await?;
    }
    match catalog.remove(entry.id) {
        // One that needed another, and that only its own files told of.
        Err(CatalogError::NotFound(_)) => Ok(()),
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
    // What an interrupted deletion left is unfinished. The place that was noted may be the folder of the backup, and the root above it.
    let mut all = archive.backups().iter().chain(archive.unfinished());
    let found = all.find(|backup| entry.is_some_and(|entry| entry.is_about(backup)));
    found.map_or(Ok(()), |found| {
        archive::delete(archive.folder(), &found.dir, id)
    })
}

/// A folder that is not there may be one that is not mounted: its backups are not deleted.
fn refuse_absent(entry: &Entry) -> Result<(), CommandError> {
    match &entry.place {
        Place::FileSystem { path }
            if entry.state == State::Complete && !Path::new(path).exists() =>
        {
            Err(CommandError::new(
                ExitStatus::RepositoryNotFound,
                format!("the folder {} is not there", format::text(path)),
                "mount it; with --not-delete-data the backup is forgotten, wherever it is",
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
