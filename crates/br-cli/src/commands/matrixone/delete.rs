//! `br matrixone delete`: deletes backups of MatrixOne.

use br_sources::matrixone::archive::{ErrorKind, Result};
use br_sources::matrixone::backup::is_running;
use br_sources::matrixone::catalog::{Catalog, Entry, State};
use clap::Args;

use super::place::{Source, Wanted, refuse_place};
use super::{CODES, CatalogArgs, blocking};
use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;

const EXAMPLES: &str = "\
  br matrixone delete e4cade26
  br matrixone delete e4cade26 --cascade              with the incremental backups that need it
  br matrixone delete e4cade26 --not-delete-data      only from the catalogue";

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
    #[arg(long, alias = "not_delete_data")]
    not_delete_data: bool,

    /// Delete the backups that need it as well
    #[arg(long)]
    cascade: bool,

    #[command(flatten)]
    catalog: CatalogArgs,
}

pub(super) async fn run(args: DeleteArgs, context: &CommandContext) -> CommandResult {
    refuse_place(context)?;
    let catalog = args.catalog.open()?;
    let listing = args.catalog.list(context)?;
    let entry = listing.find(&args.id)?;
    let dependents = listing.dependents(entry.id);
    let all: Vec<_> = dependents
        .certain
        .iter()
        .chain(&dependents.possible)
        .collect();
    if !all.is_empty() && !args.cascade && !args.not_delete_data {
        let names: Vec<_> = all.iter().map(|entry| entry.id.to_string()).collect();
        return Err(CommandError::usage(
            format!("other backups need {}: {}", entry.id, names.join(", ")),
            "delete them first, or all together with --cascade",
        ));
    }
    let mut doomed = Vec::new();
    if args.cascade {
        // Those that need others go first: whatever interrupts this leaves no backup without its base.
        doomed.extend(all.iter().rev().map(|entry| (*entry).clone()));
    }
    doomed.push(entry);
    if doomed.iter().any(|entry| entry.state == State::Running) && is_running(&catalog) {
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
        delete(entry, &catalog, args.not_delete_data, context).await?;
        deleted.push(entry.id.to_string());
    }
    print(&deleted, args.not_delete_data, context)?;
    Ok(ExitStatus::Ok)
}

/// Deletes one. The catalogue forgets it last: what is interrupted can be done again.
async fn delete(
    entry: &Entry,
    catalog: &Catalog,
    keep_data: bool,
    context: &CommandContext,
) -> std::result::Result<(), CommandError> {
    if !keep_data {
        let source = Source::of(entry.clone(), context)?;
        let id = entry.id.to_string();
        blocking(move || remove(&source, &id)).await?;
    }
    Ok(catalog.remove(entry.id)?)
}

/// Deletes the files of a backup; first the mark that it is complete, so that half of one is never taken for a backup.
fn remove(source: &Source, id: &str) -> Result<()> {
    let (place, directory) = match &source.wanted {
        Wanted::Directory(directory) => (source.place.clone(), directory.clone()),
        wanted => match source.archive() {
            // The place that was noted may be the folder of the backup, and the root above it.
            Ok(archive) => (archive.place().clone(), wanted.pick(&archive)?.dir.clone()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        },
    };
    let below = |name: &str| match directory.as_str() {
        "" => name.to_owned(),
        directory => format!("{directory}/{name}"),
    };
    for name in ["mo_meta.sha256", "mo_meta"] {
        place.delete(&below(name))?;
    }
    // A root that is a backup may have other things in it.
    let folders = match directory.as_str() {
        "" => vec!["config", "hakeeper", "tae"],
        directory => vec![directory],
    };
    for folder in folders {
        let mut paths = Vec::new();
        place.list(folder, &mut |entry| {
            paths.push(format!("{folder}/{}", entry.path));
            Ok(())
        })?;
        for path in paths {
            place.delete(&path)?;
        }
        place.prune(folder)?;
    }
    for name in [below("backup_meta"), below("backup_meta.sha256")] {
        place.delete(&name)?;
    }
    for name in [format!("{id}.meta"), format!("{id}.meta.sha256")] {
        place.delete(&name)?;
    }
    Ok(())
}

fn print(
    deleted: &[String],
    kept_data: bool,
    context: &CommandContext,
) -> std::result::Result<(), CommandError> {
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
