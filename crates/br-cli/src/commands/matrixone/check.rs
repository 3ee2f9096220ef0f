//! `br matrixone check`: verifies a MatrixOne backup.

use std::sync::Arc;

use br_matrixone::archive::{
    self, Archive, ArchiveBackup, CheckLevel, CheckOptions, CheckReport, check,
};
use clap::Args;
use serde::Serialize;

use super::list;
use super::place::{LocationArgs, Source, Wanted};
use super::progress::ArchiveReporter;
use super::{CODES, CatalogueArgs, blocking};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::Summary;

/// Maximum number of files without a digest named without `--verbose`.
const SHOWN: usize = 20;

const EXAMPLES: &str = "\
  br matrixone check 1614f462
  br matrixone check --location /backup   # all backups there
  br matrixone check --location /backup/full-01942b54-a5a9-7b2f-8f1d-6a1f3c5d7e90";

/// Verify that backups can be restored
///
/// br reads every file and checks its size, its recorded SHA-256, the CRC of each frame and the header of each object. For
/// incremental backups it also checks that the shared files still exist. It names files without a digest.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct CheckArgs {
    /// Backup: its id or the start of it [default: all backups at --location]
    #[arg(value_name = "ID")]
    id: Option<String>,

    #[command(flatten)]
    location: LocationArgs,

    #[command(flatten)]
    catalogue: CatalogueArgs,
}

/// A verified backup.
pub(super) struct Checked {
    id: Option<String>,
    directory: String,
    /// The output lines of the manual.
    lines: Vec<String>,
    report: CheckReport,
}

/// The results for a location.
struct Found {
    checked: Vec<Checked>,
    /// Unfinished backups, and the reason.
    unfinished: Vec<(String, String)>,
}

pub(super) async fn run(args: CheckArgs, context: &CommandContext) -> CommandResult {
    let source = Source::find(args.id.as_deref(), &args.location, &args.catalogue, context)?;
    if let (Some(entry), false) = (&source.entry, context.output.is_json()) {
        list::print(std::slice::from_ref(entry), false, context)?;
        if !context.output.console.quiet {
            context.output.text(b"\nChecking the backup data...\n\n")?;
        }
    }
    check_source(source, context).await
}

async fn check_source(source: Source, context: &CommandContext) -> CommandResult {
    let reporter = Arc::new(context.reporter());
    let progress = ArchiveReporter::new(&reporter, context);
    let (_, guard) = context.engine_with(&reporter);
    let found = blocking(move || find_all(&source, &progress)).await;
    drop(guard);
    print_all(&found?, context)
}

/// Checks the selected backup, or all backups at a location if none is selected.
fn find_all(source: &Source, progress: &ArchiveReporter) -> archive::Result<Found> {
    let archive = source.archive()?;
    let several = archive.backups().len() > 1 && matches!(source.wanted, Wanted::Only);
    match source.wanted.pick(&archive) {
        Ok(backup) => Ok(Found {
            checked: vec![examine(
                &archive,
                backup,
                CheckOptions::default(),
                progress,
            )?],
            unfinished: Vec::new(),
        }),
        Err(_) if several => {
            // Shared files are read with the backup that contains them.
            let options = CheckOptions::default().with_own_only(true);
            let backups = archive.backups().iter();
            let checked = backups.map(|backup| examine(&archive, backup, options, progress));
            let unfinished = archive.unfinished().iter().map(|backup| {
                let reason = backup.unfinished.clone().unwrap_or_default();
                (backup.name().to_owned(), reason)
            });
            Ok(Found {
                checked: checked.collect::<archive::Result<_>>()?,
                unfinished: unfinished.collect(),
            })
        }
        Err(error) => Err(error),
    }
}

fn examine(
    archive: &Archive,
    backup: &ArchiveBackup,
    options: CheckOptions,
    progress: &ArchiveReporter,
) -> archive::Result<Checked> {
    let report = check(archive, backup, &options, progress)?;
    Ok(Checked {
        id: backup.id.clone(),
        directory: backup.dir.clone(),
        lines: progress.take_checked(&backup.dir),
        report,
    })
}

/// Checks only that the files of a backup exist.
pub(super) async fn look(
    source: Source,
    context: &CommandContext,
) -> Result<Checked, CommandError> {
    let reporter = Arc::new(context.reporter());
    let progress = ArchiveReporter::new(&reporter, context);
    let (_, guard) = context.engine_with(&reporter);
    let checked = blocking(move || {
        let archive = source.archive()?;
        let backup = source.wanted.pick(&archive)?;
        let options = CheckOptions::default().with_level(CheckLevel::Existence);
        examine(&archive, backup, options, &progress)
    })
    .await;
    drop(guard);
    checked
}

/// Prints the results; damage is an error.
fn print_all(found: &Found, context: &CommandContext) -> CommandResult {
    let Found {
        checked,
        unfinished,
    } = found;
    for (name, reason) in unfinished {
        let text = format!("the backup {} is unfinished: {reason}", format::text(name));
        context.output.console.warning(&text);
    }
    if context.output.is_json() {
        let unfinished = unfinished.iter().map(|(name, _)| name.as_str());
        context.output.document(&Summary::new(ChecksJson {
            sound: checked.iter().all(|checked| checked.report.is_good()),
            checks: checked.iter().map(CheckJson::from).collect(),
            unfinished: unfinished.collect(),
        }))?;
    } else {
        let several = checked.len() > 1;
        for (number, checked) in checked.iter().enumerate() {
            if several && !context.output.console.quiet {
                let space = if number > 0 { "\n" } else { "" };
                let name = format::text(&checked.directory);
                context.output.text(format!("{space}{name}\n").as_bytes())?;
            }
            print(checked, context)?;
        }
    }
    checked.iter().try_for_each(verdict_of)?;
    Ok(ExitStatus::Ok)
}

/// Prints the result for one backup.
pub(super) fn print(checked: &Checked, context: &CommandContext) -> Result<(), CommandError> {
    let (output, report) = (&context.output, &checked.report);
    let quiet = output.console.quiet;
    let mut lines = output.lines();
    for line in checked.lines.iter().filter(|_| !quiet) {
        lines.line(line)?;
    }
    for problem in &report.problems {
        lines.line(&format!("problem: {}", format::text(&problem.to_string())))?;
    }
    if !quiet {
        let shown = match (report.level, output.is_verbose()) {
            (CheckLevel::Existence, _) => 0,
            (CheckLevel::Full, true) => usize::MAX,
            (CheckLevel::Full, false) => SHOWN,
        };
        for path in report.unproven.keys().take(shown) {
            lines.line(&format!("no digest: {}", format::text(path)))?;
        }
        lines.line(&summary(report))?;
    }
    lines.finish()
}

/// Returns an error if the backup is damaged.
pub(super) fn verdict_of(checked: &Checked) -> Result<(), CommandError> {
    let report = &checked.report;
    if report.is_good() {
        return Ok(());
    }
    let count = format::counted(report.problem_count, "problem", "problems");
    let name = checked.id.as_deref().unwrap_or(&checked.directory);
    let backup = format!("the backup {}", format::text(name));
    Err(CommandError::new(
        ExitStatus::Damaged,
        format!("{} is damaged: {count}", backup.trim_end()),
        "use another backup; the missing files may have been in a deleted backup",
    ))
}

fn summary(report: &CheckReport) -> String {
    let files = format::counted(report.files, "file", "files");
    let bytes = format::size(report.logical_bytes);
    if !report.is_good() {
        let count = format::counted(report.problem_count, "problem", "problems");
        return format!("{files}, {bytes}: {count}");
    }
    match report.level {
        CheckLevel::Existence => {
            format!("{files}, {bytes}: all exist with the right size (checksums were not verified)")
        }
        CheckLevel::Full if report.unproven_count == 0 => {
            format!("{files}, {bytes}: all digests match{}", elsewhere(report))
        }
        CheckLevel::Full => {
            let unproven = format::counted(report.unproven_count, "file has", "files have");
            format!(
                "{files}, {bytes}: {} match their digest; {unproven} no digest, but the right size, frames and headers{}",
                format::count(report.proven),
                elsewhere(report)
            )
        }
    }
}

/// Files in other backups, which were read with those.
fn elsewhere(report: &CheckReport) -> String {
    let read = report.proven.saturating_add(report.unproven_count);
    match report.files.saturating_sub(read) {
        0 => String::new(),
        count => format!(
            "; {} in other backups and verified there",
            format::counted(count, "file is", "files are")
        ),
    }
}

#[derive(Debug, Serialize)]
struct ChecksJson<'a> {
    sound: bool,
    checks: Vec<CheckJson<'a>>,
    unfinished: Vec<&'a str>,
}

/// A result as JSON.
#[derive(Debug, Serialize)]
pub(super) struct CheckJson<'a> {
    id: Option<&'a str>,
    directory: &'a str,
    sound: bool,
    full: bool,
    files: u64,
    bytes: u64,
    bytes_stored: u64,
    bytes_read: u64,
    proven: u64,
    unproven_count: u64,
    unproven: Vec<&'a str>,
    problem_count: u64,
    problems: Vec<ProblemJson<'a>>,
    strays: &'a [String],
}

#[derive(Debug, Serialize)]
struct ProblemJson<'a> {
    path: &'a str,
    kind: &'static str,
    message: &'a str,
}

impl<'a> From<&'a Checked> for CheckJson<'a> {
    fn from(checked: &'a Checked) -> Self {
        let report = &checked.report;
        let problems = report.problems.iter().map(|problem| ProblemJson {
            path: &problem.path,
            kind: problem.kind.as_str(),
            message: &problem.text,
        });
        Self {
            id: checked.id.as_deref(),
            directory: &checked.directory,
            sound: report.is_good(),
            full: report.level == CheckLevel::Full,
            files: report.files,
            bytes: report.logical_bytes,
            bytes_stored: report.stored_bytes,
            bytes_read: report.read_bytes,
            proven: report.proven,
            unproven_count: report.unproven_count,
            unproven: report.unproven.keys().map(String::as_str).collect(),
            problem_count: report.problem_count,
            problems: problems.collect(),
            strays: &report.strays,
        }
    }
}
