//! `br matrixone rebuild`: adds existing backups to the catalogue.

use std::sync::Arc;

use br_matrixone::archive::{Archive, Limits};
use br_matrixone::catalogue::{BackupLocation, State};
use br_matrixone::find::{self, Found};
use br_sources::matrixone::copies;
use clap::Args;

use super::place::{LocationArgs, open};
use super::progress::ArchiveReporter;
use super::{CODES, CatalogueArgs, blocking};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::Summary;

const EXAMPLES: &str = "\
  br matrixone rebuild --location /backup
  br matrixone rebuild --location s3://bucket/mo?endpoint=http://127.0.0.1:9000
  br matrixone rebuild -r /srv/repository";

/// Add existing backups to the catalogue
///
/// br searches the given folder or bucket, and the copies in a repository if one is named. Entries in the catalogue stay unchanged,
/// except that br corrects a failed or deleted backup that is complete. br first renames a damaged catalogue to a name with
/// `.damaged` at the end. A backup is listed as complete if all its files exist.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    location: LocationArgs,

    #[command(flatten)]
    catalogue: CatalogueArgs,
}

pub(super) async fn run(args: RebuildArgs, context: &CommandContext) -> CommandResult {
    let catalogue = args.catalogue.open()?;
    let place = args.location.place(context)?;
    let repository = context.additional_repository()?;
    if place.is_none() && repository.is_none() {
        return Err(CommandError::usage(
            "no location to search for backups is given",
            "name a folder or a bucket with --location, or a repository with --repo",
        ));
    }
    let mut found = match place {
        Some(place) => below(place, context).await?,
        None => Found::default(),
    };
    if repository.is_some() {
        let repository = context.open().await?;
        found
            .entries
            .extend(copies(&repository, &context.engine()).await?);
    }
    for name in &found.nameless {
        let text = format!(
            "the backup in {} has no id, and cannot be in a catalogue",
            format::text(name)
        );
        context.output.console.warning(&text);
    }
    let incomplete = found.entries.iter();
    let incomplete = incomplete.filter(|entry| entry.state != State::Complete);
    let incomplete = incomplete.count() as u64;
    let rebuilt = catalogue.rebuild(found.entries)?;
    let output = &context.output;
    if let Some(path) = &rebuilt.set_aside {
        let text = format!(
            "the catalogue was damaged; br renamed it to {}",
            format::path(path)
        );
        output.console.warning(&text);
    }
    if output.is_json() {
        output.document(&Summary::new(serde_json::json!({
            "catalog": catalogue.path().to_string_lossy(),
            "added": rebuilt.added,
            "updated": rebuilt.updated,
            "kept": rebuilt.kept,
            "incomplete": incomplete,
            "set_aside": rebuilt.set_aside.map(|path| path.to_string_lossy().into_owned()),
        })))?;
        return Ok(ExitStatus::Ok);
    }
    if !output.console.quiet {
        let added = format::counted(rebuilt.added as u64, "backup", "backups");
        let mut line = format!("{added} added to {}", format::path(catalogue.path()));
        if rebuilt.updated > 0 {
            line += &format!(", {} corrected", format::count(rebuilt.updated as u64));
        }
        line += &format!(", {} already known", format::count(rebuilt.kept as u64));
        if incomplete > 0 {
            line += &format!("; {} incomplete", format::count(incomplete));
        }
        let mut lines = output.lines();
        lines.line(&line)?;
        lines.finish()?;
    }
    Ok(ExitStatus::Ok)
}

/// Finds the backups below a root.
async fn below(place: BackupLocation, context: &CommandContext) -> Result<Found, CommandError> {
    let root = open(&place, context)?;
    let reporter = Arc::new(context.reporter());
    let progress = ArchiveReporter::new(&reporter, context);
    let work = move || {
        let archive = Archive::open(&root, &Limits::default())?;
        find::find(&place, &archive, &progress)
    };
    blocking(work).await
}
