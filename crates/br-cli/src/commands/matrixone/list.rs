//! `br matrixone list`: lists MatrixOne backups.

use br_matrixone::catalogue::{BackupLocation, CatalogueEntry};
use clap::Args;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::check::{self, CheckJson};
use super::place::Source;
use super::{CODES, CatalogueArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::matrixone::{TableOptions, table};

const EXAMPLES: &str = "\
  br matrixone list
  br matrixone list 4d21b228            # also check that its files exist
  br matrixone list --meta-path /srv/mo_br.meta";

/// List the backups in the catalogue
///
/// With an id, br also checks that the files of that backup exist.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct ListArgs {
    /// List only this backup: its id or the start of it
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// Do not check that its files exist
    #[arg(long)]
    not_check_data: bool,

    #[command(flatten)]
    catalogue: CatalogueArgs,
}

pub(super) async fn run(args: ListArgs, context: &CommandContext) -> CommandResult {
    let Some(id) = &args.id else {
        let listing = args.catalogue.list(context)?;
        print(&listing.entries, true, context)?;
        return Ok(ExitStatus::Ok);
    };
    let entry = args.catalogue.find(id, context)?;
    let output = &context.output;
    if !output.is_json() {
        print(std::slice::from_ref(&entry), false, context)?;
    }
    if args.not_check_data {
        if output.is_json() {
            print(std::slice::from_ref(&entry), false, context)?;
        }
        return Ok(ExitStatus::Ok);
    }
    if !output.is_json() && !output.console.quiet {
        output.text(b"\nChecking the backup data(currently,no checksum)...\n\n")?;
    }
    let checked = check::look(Source::of(entry.clone(), context)?, context).await?;
    if output.is_json() {
        output.document(&serde_json::json!({
            "backups": [EntryJson::from(&entry)],
            "check": CheckJson::from(&checked),
        }))?;
    } else {
        check::print(&checked, context)?;
    }
    check::verdict_of(&checked)?;
    Ok(ExitStatus::Ok)
}

/// Prints the manual's table, or JSON.
pub(super) fn print(
    entries: &[CatalogueEntry],
    all: bool,
    context: &CommandContext,
) -> Result<(), CommandError> {
    if context.output.is_json() {
        let backups: Vec<_> = entries.iter().map(EntryJson::from).collect();
        return context
            .output
            .document(&serde_json::json!({ "backups": backups }));
    }
    let options = TableOptions {
        zone: TimeZone::system(),
        with_type: all,
        with_stored: all,
    };
    let table = table(entries, &options);
    context.output.text(format::visible(&table).as_bytes())
}

/// A location as JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum PlaceJson<'a> {
    FileSystem {
        path: &'a str,
    },
    S3 {
        endpoint: &'a str,
        bucket: &'a str,
        filepath: &'a str,
        region: &'a str,
        is_minio: bool,
    },
    Repository {
        url: &'a str,
        backup: &'a str,
    },
}

impl<'a> From<&'a BackupLocation> for PlaceJson<'a> {
    fn from(place: &'a BackupLocation) -> Self {
        match place {
            BackupLocation::FileSystem { path } => Self::FileSystem { path },
            BackupLocation::S3(place) => Self::S3 {
                endpoint: &place.endpoint,
                bucket: &place.bucket,
                filepath: &place.filepath,
                region: &place.region,
                is_minio: place.is_minio,
            },
            BackupLocation::Repository { url, backup } => Self::Repository { url, backup },
        }
    }
}

/// A backup as JSON.
#[derive(Debug, Serialize)]
pub(super) struct EntryJson<'a> {
    id: String,
    kind: &'static str,
    place: PlaceJson<'a>,
    directory: Option<String>,
    state: &'static str,
    at_time: String,
    complete_time: Option<String>,
    duration_seconds: Option<f64>,
    backup_ts: Option<String>,
    bytes: Option<u64>,
    bytes_stored: Option<u64>,
    base: Option<String>,
    server_version: Option<String>,
}

impl<'a> From<&'a CatalogueEntry> for EntryJson<'a> {
    fn from(entry: &'a CatalogueEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            kind: entry.kind.as_str(),
            place: PlaceJson::from(&entry.place),
            directory: entry.sub_directory.clone(),
            state: entry.state.as_str(),
            at_time: entry.at_time.to_string(),
            complete_time: entry.complete_time.map(|time| time.to_string()),
            duration_seconds: entry
                .duration
                .map(|duration| format::round_seconds(duration.as_secs_f64())),
            backup_ts: entry.backup_ts.map(|ts| ts.to_string()),
            bytes: entry.logical_size,
            bytes_stored: entry.stored_size,
            base: entry.base.map(|id| id.to_string()),
            server_version: entry.server_version.clone(),
        }
    }
}
