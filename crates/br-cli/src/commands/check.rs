//! `br check`: verifies a repository.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use br_core::engine::check::{self, CheckOptions, CheckReport, Finding, ReadData, Severity};
use br_core::engine::copy;
use br_core::{BackupSelector, Error, ErrorKind, LogHead, Repository};
use clap::Args;

use super::check_spot::SpotArgs;
use super::check_verdict::{due, verdict};
use super::lock;
use super::source_repository::SourceArgs;
use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::format;
use crate::output::json::Summary;
use crate::output::report::{CheckSummary, severity};
use crate::output::{Lines, Output};

/// Maximum number of damaged files shown without `--verbose`.
const SHOWN: usize = 20;
/// Maximum number of backups shown for each.
const SHOWN_BACKUPS: usize = 3;

const EXAMPLES: &str = "\
  br check                              # check that nothing is missing
  br check --read-data                  # read and verify every byte
  br check --read-data-subset 10%       # verify a random tenth
  br check --max-age 30d --budget 20min # every night: verify what was not verified for 30 days, at most 20 minutes
  br check latest --read-data           # verify the data of one backup
  br check --spot /home /etc            # compare a random part of the files with their newest backup
  br check --locked-for 7d              # check that no needed object can be deleted for 7 days (object lock)
  br check --repair-index --read-data   # drop unreadable data; then back up the same data again
  br check --read-data --repair-from s3://bucket/copies   # take damaged data from a copy";

/// Verify the repository, and optionally repair it
///
/// Without --read-data, br checks only the structure: that the log and the index are intact, and that every chunk of every
/// backup exists. On a local disk it also reads the header and the footer of each pack. br lists the damage and the files that
/// it affects; everything else can still be restored.
///
/// With --read-data, br records in the repository which backups it verified. It also records the damage: the next backup of the
/// same data stores it again. With both --repair-index and --read-data, br replaces damaged packs: it copies the readable data and
/// drops the rest.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Partial]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Partial]))
)]
pub(crate) struct CheckArgs {
    /// Check only this backup and its data: an id, a short id from `br list`, `latest`, or `latest~1`; with --spot, the paths of the backup
    #[arg(value_name = "ID|PATH")]
    names: Vec<OsString>,

    /// Read and verify all stored data
    #[arg(long)]
    read_data: bool,

    /// Read and verify a random part of the stored data: 10% or 512MiB
    #[arg(long, value_name = "SHARE", value_parser = parse_subset, conflicts_with = "read_data")]
    read_data_subset: Option<ReadData>,

    /// Read and verify the data that this machine did not verify within this time, the oldest verification first
    ///
    /// br remembers in its cache folder when it verified which data. If nothing is left to verify, br records all intact backups as
    /// verified, as with --read-data.
    #[arg(long, value_name = "TIME", value_parser = format::parse_age, conflicts_with_all = ["read_data", "read_data_subset", "repair_index", "repair_from"])]
    max_age: Option<Duration>,

    /// Stop reading data after this time or this many bytes: 10min or 50GiB
    ///
    /// The next check continues with the data whose verification is the oldest. br always reads at least one pack.
    #[arg(long, value_name = "LIMIT", value_parser = parse_budget, conflicts_with_all = ["read_data", "read_data_subset", "repair_index", "repair_from"])]
    budget: Option<Budget>,

    /// Do not record in the repository which backups --read-data verified
    ///
    /// `br forget` never deletes the newest verified backup of a group. Give this option for a copy of a repository that another
    /// program keeps equal to the original, such as rsync: a record would make the copy differ.
    #[arg(long)]
    no_record: bool,

    /// Rebuild a damaged index from the packs, and drop missing packs from it
    ///
    /// With --read-data (or --read-data-subset), br also replaces packs with damaged data: it copies the intact data. The next
    /// backup of the same files stores the lost data again, which also repairs older backups.
    #[arg(long)]
    repair_index: bool,

    /// Rebuild a damaged or lost backup list from the log and the manifests
    ///
    /// This also recovers complete backups that no log entry names, for example after the last entry was lost. A deleted backup
    /// does not reappear while the log still records its deletion.
    #[arg(long)]
    repair_log: bool,

    /// Store damaged and missing data again, from a repository with copies of the backups
    ///
    /// br checks the repository as with --repair-index, takes the data that was lost from the other repository (see `br copy`), and checks again. With --read-data it
    /// finds all damage, otherwise only missing packs.
    #[arg(long, value_name = "URL|PATH")]
    repair_from: Option<String>,

    /// Fail if the repository lacks this entry of its log, as `br export-head` printed it
    ///
    /// This detects that backups were removed from the storage, or that an old copy of the repository took its place.
    #[arg(long, value_name = "NUMBER/DIGEST")]
    expect: Option<LogHead>,

    /// Warn if an object that backups need is not locked for at least this time: see `br lock`
    ///
    /// br asks the server about each object. With a warning and no damage, the exit code is 3.
    #[arg(long, value_name = "TIME", value_parser = format::parse_age)]
    locked_for: Option<Duration>,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    spot: SpotArgs,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

impl CheckArgs {
    /// The backups that the arguments name: at most one.
    fn ids(&self) -> Result<Vec<BackupSelector>, CommandError> {
        if self.names.len() > 1 {
            let message = "a check is about one backup or about all of them";
            let hint = "name one backup or none; --spot compares paths";
            return Err(CommandError::usage(message, hint));
        }
        let parse = |name: &OsString| {
            let hint = "name a backup, or compare paths with --spot";
            let parsed = name.to_string_lossy().parse();
            parsed.map_err(|error| CommandError::from(error).with_hint(hint))
        };
        self.names.iter().map(parse).collect()
    }

    /// Refuses options about stored data for a comparison of files.
    fn refuse_with_spot(&self) -> Result<(), CommandError> {
        let given = [
            ("--read-data", self.read_data),
            ("--read-data-subset", self.read_data_subset.is_some()),
            ("--max-age", self.max_age.is_some()),
            ("--budget", self.budget.is_some()),
            ("--repair-index", self.repair_index),
            ("--repair-log", self.repair_log),
            ("--repair-from", self.repair_from.is_some()),
            ("--expect", self.expect.is_some()),
            ("--locked-for", self.locked_for.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(CommandError::usage(
                format!("--spot and {option} contradict each other"),
                "run two checks: one of the stored data, and one with --spot",
            )),
        }
    }

    fn data(&self) -> ReadData {
        let (max_bytes, max_time) = match self.budget {
            Some(Budget::Bytes(bytes)) => (Some(bytes), None),
            Some(Budget::Time(time)) => (None, Some(time)),
            None => (None, None),
        };
        match self.read_data_subset {
            Some(subset) => subset,
            None if self.read_data => ReadData::All,
            None if self.max_age.is_some() || self.budget.is_some() => ReadData::Due {
                max_age: self.max_age.unwrap_or_default(),
                max_bytes,
                max_time,
            },
            None => ReadData::None,
        }
    }
}

fn parse_subset(text: &str) -> Result<ReadData, String> {
    let subset = if text.ends_with('%') {
        format::parse_percent(text).map(ReadData::Fraction)?
    } else {
        let is_nothing = text.bytes().all(|byte| byte == b'0');
        let has_unit = !text.ends_with(|c: char| c.is_ascii_digit());
        let size = format::parse_size(text).ok();
        let size = size.filter(|_| has_unit || is_nothing);
        size.map(ReadData::Bytes).ok_or_else(|| {
            format!("`{text}` is neither a percentage nor a size: write 10% or 512MiB")
        })?
    };
    // Refuse a check that reads nothing: its success would look as if data had been verified.
    match subset {
        ReadData::Bytes(0) => Err(of_nothing(text)),
        ReadData::Fraction(share) if share <= 0.0 => Err(of_nothing(text)),
        subset => Ok(subset),
    }
}

/// How much a check reads at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Budget {
    Time(Duration),
    Bytes(u64),
}

fn parse_budget(text: &str) -> Result<Budget, String> {
    let size = format::parse_size(text);
    let has_unit = !text.ends_with(|c: char| c.is_ascii_digit());
    match (format::parse_duration(text), size) {
        (Ok(time), _) if time.is_zero() => {
            Err(format!("`{text}` reads nothing: write 10min or 50GiB"))
        }
        (Ok(time), _) => Ok(Budget::Time(time)),
        (_, Ok(0)) => Err(format!("`{text}` reads nothing: write 10min or 50GiB")),
        (_, Ok(size)) if has_unit => Ok(Budget::Bytes(size)),
        _ => Err(format!(
            "`{text}` is neither a time nor a size: write 10min or 50GiB"
        )),
    }
}

fn of_nothing(text: &str) -> String {
    format!("`{text}` reads nothing: write 10% or 512MiB, or leave out the option")
}

fn explain_expected(error: Error) -> CommandError {
    let is_about_log = error.kind() == ErrorKind::Damaged;
    let error = CommandError::from(error);
    if is_about_log {
        return error.with_hint(
            "find out who changed the storage; after `check --repair-log`, or when an old copy was put back on purpose, \
             run `br export-head` again",
        );
    }
    error
}

pub(crate) async fn run(args: CheckArgs, context: &CommandContext) -> CommandResult {
    if args.spot.is_given() {
        args.refuse_with_spot()?;
        return args.spot.run(&args.names, &args.filter, context).await;
    }
    args.spot.refuse_alone()?;
    let id = args.filter.apply_list(&args.ids()?)?.pop();
    if args.locked_for.is_some() && id.is_some() {
        let message = "--locked-for is about the objects of all backups";
        return Err(CommandError::usage(message, "name no backup"));
    }
    let data = args.data();
    if matches!(data, ReadData::Due { .. }) && context.cache_dir().is_none() {
        let message =
            "--max-age and --budget need the cache folder, where br remembers what it verified";
        let hint = "leave out --no-cache, or name a folder with --cache-dir";
        return Err(CommandError::usage(message, hint));
    }
    let repository = context.open().await?;
    if let Some(expected) = &args.expect {
        repository
            .expect_head(expected, &context.engine())
            .await
            .map_err(explain_expected)?;
    }
    let options = CheckOptions::default()
        .with_backup(id)
        .with_data(data)
        .with_record_proof(!args.no_record)
        .with_repair_index(args.repair_index)
        .with_repair_log(args.repair_log)
        .with_locked_for(args.locked_for);
    let report = match &args.repair_from {
        None => check(&repository, &options, context).await?,
        Some(from) => {
            let other = args.source.open("--repair-from", from, context).await?;
            let options = options.clone().with_repair_index(true);
            let report = check(&repository, &options, context).await?;
            repair(&repository, &other, report, &options, context).await?
        }
    };
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(CheckSummary::from(&report)))?;
    } else {
        print(&report, data, output)?;
    }
    if report.is_sound() {
        return Ok(if report.has_warnings() {
            ExitStatus::Partial
        } else {
            ExitStatus::Ok
        });
    }
    let repairs = options.repair_index || args.repair_from.is_some();
    let repaired = repairs && data != ReadData::None;
    output.console.hint(way_on(&report, repaired));
    Ok(ExitStatus::Damaged)
}

async fn check(
    repository: &Repository,
    options: &CheckOptions,
    context: &CommandContext,
) -> Result<CheckReport, CommandError> {
    let reporter = Arc::new(context.reporter());
    let (engine, _guard) = context.engine_with(&reporter);
    let report = check::check(repository, options, &engine).await;
    report.map_err(advise)
}

/// Stores damaged data again from another repository, and checks again.
async fn repair(
    repository: &Repository,
    other: &Repository,
    first: CheckReport,
    options: &CheckOptions,
    context: &CommandContext,
) -> Result<CheckReport, CommandError> {
    if first.is_sound() {
        return Ok(first);
    }
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let repaired = copy::repair(repository, other, &engine).await;
    drop(guard);
    let repaired = repaired?;
    let mut report = check(repository, options, context).await?;
    let mut steps = first.repaired;
    steps.push(format!(
        "{} of data were stored again from {}",
        format::size(repaired.bytes_added),
        other.location()
    ));
    steps.append(&mut report.repaired);
    report.repaired = steps;
    if !repaired.missing.is_empty() {
        let many = format::counted(repaired.missing.len() as u64, "backup", "backups");
        let console = &context.output.console;
        console.note(&format!("{} has no copy of {many}", other.location()));
    }
    Ok(report)
}

/// The hint for damage; `repaired` means that this run dropped the data that it could not read.
fn way_on(report: &CheckReport, repaired: bool) -> &'static str {
    let is_damaged = |folder: &str| {
        report.findings.iter().any(|finding| {
            finding.severity == Severity::Damage && finding.object.starts_with(folder)
        })
    };
    let elsewhere = ["packs", "index", "backup"].map(is_damaged).contains(&true);
    let has_lost_data = elsewhere || report.files_count > 0;
    match (is_damaged("log"), has_lost_data) {
        (true, false) => {
            "`br check --repair-log` rebuilds the log from the manifests; until then, backups can still be listed and restored"
        }
        (true, true) => {
            "everything else can be restored; `br check --repair-log --repair-index --read-data` rebuilds the log and drops \
             unreadable data, then `br backup` of the same data stores it again"
        }
        (false, true) if !repaired => {
            "everything else can be restored; `br check --repair-index --read-data` drops unreadable data, then `br backup` of \
             the same data stores it again"
        }
        (false, true) => {
            "now run `br backup` of the same data: it stores the data that still exists again, which repairs the backups named \
             above; `br delete` the backups whose data no longer exists anywhere, or keep them for their other files"
        }
        // Only manifests are damaged.
        (false, false) => {
            "all files can be restored; back up the same data again and `br delete` the backup whose manifest is lost: `br prune` \
             does nothing until then"
        }
    }
}

/// If the log cannot be read, the check ends; only a repair helps.
fn advise(error: Error) -> CommandError {
    let damaged = error.kind() == ErrorKind::Damaged;
    let error = lock::advise(error);
    if damaged {
        return error
            .with_hint("`br check --repair-log` rebuilds the backup list from the manifests");
    }
    error
}

fn print(report: &CheckReport, data: ReadData, output: &Output) -> Result<(), CommandError> {
    let mut lines = output.lines();
    for repaired in &report.repaired {
        lines.line(&format!("repaired: {}", format::text(repaired)))?;
    }
    for finding in &report.findings {
        print_finding(finding, &mut lines)?;
    }
    print_files(report, output.is_verbose(), &mut lines)?;
    if !(report.is_sound() && output.console.quiet) {
        lines.line(&verdict(report, data == ReadData::None))?;
        if let ReadData::Due { max_age, .. } = data
            && report.is_sound()
        {
            lines.line(&due(report, !max_age.is_zero()))?;
        }
    }
    lines.finish()
}

fn print_finding(finding: &Finding, lines: &mut Lines) -> Result<(), CommandError> {
    let Finding {
        object, message, ..
    } = finding;
    let label = severity(finding.severity);
    lines.line(&format!(
        "{label}: {}: {}",
        format::text(object),
        format::text(message)
    ))
}

/// Prints one line for each damaged file, with the backups that contain it.
fn print_files(report: &CheckReport, all: bool, lines: &mut Lines) -> Result<(), CommandError> {
    if report.files_count == 0 {
        return Ok(());
    }
    let files = format::counted(report.files_count, "file", "files");
    lines.line(&format!("{files} cannot be restored:"))?;
    let shown = if all { report.files.len() } else { SHOWN };
    for file in report.files.iter().take(shown) {
        let named = if all {
            file.backups.len()
        } else {
            SHOWN_BACKUPS
        };
        let ids = file.backups.iter().take(named).map(ToString::to_string);
        let ids = ids.collect::<Vec<_>>().join(", ");
        let more = match file.backups.len().saturating_sub(named) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.line(&format!("  {} in {ids}{more}", format::text(&file.path)))?;
    }
    if let Some(more @ 1..) = report.files_count.checked_sub(shown as u64) {
        let all = if all { "" } else { " (-v shows more)" };
        lines.line(&format!("  and {} more{all}", format::count(more)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_can_be_time_or_size() {
        let minutes = |n: u64| Ok(Budget::Time(Duration::from_secs(60 * n)));
        assert_eq!(parse_budget("10min"), minutes(10));
        assert_eq!(parse_budget("10m"), minutes(10));
        assert_eq!(parse_budget("50GiB"), Ok(Budget::Bytes(50 << 30)));
        for wrong in ["0", "0s", "0MiB", "10", "soon", "-1h", ""] {
            assert!(parse_budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn subset_can_be_percentage_or_size() {
        assert_eq!(parse_subset("10%"), Ok(ReadData::Fraction(0.1)));
        assert_eq!(parse_subset("512MiB"), Ok(ReadData::Bytes(512 << 20)));
        assert!(parse_subset("110%").is_err() && parse_subset("a lot").is_err());
        for nothing in ["0%", "0.0%", "-0%", "0", "0B", "0MiB"] {
            let error = parse_subset(nothing).unwrap_err();
            assert!(error.contains("reads nothing"), "{nothing}: {error}");
        }
    }
}
