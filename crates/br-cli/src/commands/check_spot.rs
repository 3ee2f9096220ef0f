//! `br check --spot`: compares a random part of the files with their newest backup.
//!
//! [`SpotArgs`] are the options. Invariant: br leaves out the same files as `br backup` does with the same options and settings.

use std::ffi::OsString;
use std::sync::Arc;

use br_core::ErrorKind;
use br_core::engine::check::{Sample, SpotFiles, SpotOptions, SpotReport, spot};
use clap::Args;
use serde::Serialize;

use super::backup::BackupArgs;
use super::run::{backup_line, backup_of};
use super::sources::SelectArgs;
use super::which::FilterArgs;
use crate::config::words;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::json::Summary;
use crate::output::{Lines, Output, format};

/// Maximum number of files of one kind shown without `--verbose`.
const SHOWN: usize = 20;

/// Options of a comparison with the source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Comparing files with their backup")]
pub(super) struct SpotArgs {
    /// Compare a random part of the files below PATH with their newest backup
    ///
    /// br reads the chosen files, and compares their sizes, times and contents with the newest backup of the same paths and host. A file that changed after this backup began is no
    /// problem. Exit code 14 means that a file is missing in the backup although it is older, or that it differs although nothing says that it changed. Give the same exclusions as for
    /// `br backup`; if none is given, those of the section `[backup]` apply.
    #[arg(long)]
    spot: bool,

    /// Compare the files of a set of the configuration files, with its exclusions
    #[arg(long, value_name = "SET", requires = "spot", conflicts_with = "names")]
    set: Option<String>,

    /// How many files to compare: `1%` or `500`; at least about 20 with a percentage [default: 1000]
    #[arg(long, value_name = "SHARE", value_parser = parse_sample, requires = "spot")]
    sample: Option<Sample>,

    /// Accept this number of files that are missing in the backup [default: 0]
    #[arg(long, value_name = "N", requires = "spot")]
    max_missing: Option<u64>,

    /// Accept this number of files that differ from the backup [default: 0]
    #[arg(long, value_name = "N", requires = "spot")]
    max_different: Option<u64>,

    #[command(flatten)]
    select: SelectArgs,
}

fn parse_sample(text: &str) -> Result<Sample, String> {
    let sample = if text.ends_with('%') {
        Sample::Fraction(format::parse_percent(text)?)
    } else {
        let number = text.parse().map(Sample::Files);
        number.map_err(|_| {
            format!("`{text}` is neither a percentage nor a number: write 1% or 500")
        })?
    };
    match sample {
        Sample::Files(0) => Err("`0` compares nothing: write 1% or 500".to_owned()),
        Sample::Fraction(share) if share <= 0.0 => {
            Err(format!("`{text}` compares nothing: write 1% or 500"))
        }
        sample => Ok(sample),
    }
}

impl SpotArgs {
    pub(super) const fn is_given(&self) -> bool {
        self.spot
    }

    /// Refuses typed options without `--spot`.
    pub(super) fn refuse_alone(&self) -> Result<(), CommandError> {
        match self.select.typed() {
            None => Ok(()),
            Some(option) => Err(CommandError::usage(
                format!("{option} has no effect without --spot"),
                format!("add --spot and the paths, or leave out {option}"),
            )),
        }
    }

    pub(super) async fn run(
        &self,
        names: &[OsString],
        filter: &FilterArgs,
        context: &CommandContext,
    ) -> CommandResult {
        let (host, other) = filter.host_and_other();
        if let Some(option) = other {
            let message = format!("--spot and {option} contradict each other");
            let hint = "br compares the newest backup of the paths: leave the option out";
            return Err(CommandError::usage(message, hint));
        }
        match &self.set {
            Some(_) if context.names_repository() => {
                let message = "--repo has no effect with --set: the set names its repository";
                let hint = "leave it out, or name the paths instead of the set";
                Err(CommandError::usage(message, hint))
            }
            Some(set) => {
                let (backup, own) = backup_of(set, context)?;
                self.compare(&backup, host, &own).await
            }
            None => {
                let (backup, _) = backup_line(&line(names, context)?, context)?;
                self.compare(&backup, host, context).await
            }
        }
    }

    async fn compare(
        &self,
        backup: &BackupArgs,
        host: Option<&str>,
        context: &CommandContext,
    ) -> CommandResult {
        let select = self.select.typed().map(|_| &self.select);
        let input = backup.compared(select)?;
        let host = host.map_or_else(|| backup.host_name(), str::to_owned);
        let mut options = SpotOptions::new(host, input.typed())
            .with_folder(input.folder())
            .with_max_missing(self.max_missing.unwrap_or_default())
            .with_max_different(self.max_different.unwrap_or_default());
        if let Some(sample) = self.sample {
            options = options.with_sample(sample);
        }
        let repository = context.open().await?;
        let source = input
            .without_streams()
            .open(backup.left_out(context)?, context)?;
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let report = spot(&repository, source, &options, &engine).await;
        drop(guard);
        let report = report.map_err(|error| {
            let is_unknown = error.kind() == ErrorKind::NoBackup;
            let error = CommandError::from(error);
            if is_unknown {
                error.with_hint("name the same paths as for `br backup`, and the machine with --host; `br list` shows both")
            } else {
                error
            }
        })?;
        let output = &context.output;
        if output.is_json() {
            output.document(&Summary::new(SpotJson::from(&report)))?;
        } else {
            print(&report, output)?;
        }
        if !report.is_sound() {
            if report.different.count > 0 {
                output.console.hint(
                    "a file or the backup changed without a trace: compare the file with a restored one before the next full backup stores it; `br pin` keeps the backup",
                );
            }
            if report.missing.count > 0 {
                output.console.hint(
                    "`br backup` stores the missing files, unless an exclusion of the backup leaves them out that this command does not have",
                );
            }
            return Ok(ExitStatus::Damaged);
        }
        let files = report.backup.totals.files;
        if report.files == 0 && files > 0 {
            output.console.warning(&format!(
                "there is no file to compare, and the backup has {}",
                format::counted(files, "file", "files")
            ));
            let hint = "look whether the file system is mounted and the path is right";
            output.console.hint(hint);
            return Ok(ExitStatus::Partial);
        }
        if report.unreadable.count > 0 {
            let hint = "run br as a user with permission to read these files, such as root";
            output.console.hint(hint);
            return Ok(ExitStatus::Partial);
        }
        Ok(ExitStatus::Ok)
    }
}

/// A backup of the paths with the settings of `[backup]`.
fn line(names: &[OsString], context: &CommandContext) -> Result<Vec<String>, CommandError> {
    if names.is_empty() {
        let message = "--spot needs the paths of a backup";
        let hint = "name the same paths as for `br backup`, or a set with --set";
        return Err(CommandError::usage(message, hint));
    }
    let mut line = vec!["backup".to_owned()];
    let settings = context.config.commands.get("backup").into_iter().flatten();
    line.extend(settings.flat_map(words));
    line.push("--".to_owned());
    for name in names {
        let Some(name) = name.to_str() else {
            let message = format!("the name of {} is no text", name.display());
            let hint = "name a folder above it";
            return Err(CommandError::usage(message, hint));
        };
        line.push(name.to_owned());
    }
    Ok(line)
}

#[derive(Serialize)]
struct SpotJson {
    backup: String,
    files: u64,
    sampled: u64,
    same: u64,
    changed_since: u64,
    not_compared: u64,
    missing: FilesJson,
    different: FilesJson,
    unreadable: FilesJson,
    bytes_read: u64,
    sound: bool,
}

#[derive(Serialize)]
struct FilesJson {
    count: u64,
    first: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    path: String,
    reason: String,
}

impl From<&SpotFiles> for FilesJson {
    fn from(files: &SpotFiles) -> Self {
        let file = files.first.iter().map(|file| FileJson {
            path: file.path.to_string(),
            reason: file.reason.clone(),
        });
        Self {
            count: files.count,
            first: file.collect(),
        }
    }
}

impl From<&SpotReport> for SpotJson {
    fn from(report: &SpotReport) -> Self {
        Self {
            backup: report.backup.id.to_string(),
            files: report.files,
            sampled: report.sampled,
            same: report.same,
            changed_since: report.changed_since,
            not_compared: report.not_compared,
            missing: (&report.missing).into(),
            different: (&report.different).into(),
            unreadable: (&report.unreadable).into(),
            bytes_read: report.bytes_read,
            sound: report.is_sound(),
        }
    }
}

fn print(report: &SpotReport, output: &Output) -> Result<(), CommandError> {
    let mut lines = output.lines();
    for (label, files) in [
        ("missing", &report.missing),
        ("different", &report.different),
        ("unreadable", &report.unreadable),
    ] {
        print_files(label, files, output.is_verbose(), &mut lines)?;
    }
    if !(report.is_sound() && output.console.quiet) {
        lines.line(&verdict(report))?;
    }
    lines.finish()
}

fn print_files(
    label: &str,
    files: &SpotFiles,
    all: bool,
    lines: &mut Lines,
) -> Result<(), CommandError> {
    let shown = if all { files.first.len() } else { SHOWN };
    for file in files.first.iter().take(shown) {
        let reason = format::text(&file.reason);
        lines.line(&format!("{label}: {}: {reason}", file.path))?;
    }
    if let Some(more @ 1..) = files.count.checked_sub(shown as u64) {
        let all = if all { "" } else { " (-v shows more)" };
        lines.line(&format!("  and {} more{all}", format::count(more)))?;
    }
    Ok(())
}

fn verdict(report: &SpotReport) -> String {
    let mut parts = vec![format!("{} equal", format::count(report.same))];
    for (count, what) in [
        (report.changed_since, "changed since"),
        (report.not_compared, "not compared"),
        (report.missing.count, "missing"),
        (report.different.count, "different"),
        (report.unreadable.count, "unreadable"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", format::count(count)));
        }
    }
    format!(
        "{} of {} compared with the backup {} of {}: {}; {} read",
        format::count(report.sampled),
        format::counted(report.files, "file", "files"),
        report.backup.id,
        format::local_time(report.backup.started),
        parts.join(", "),
        format::size(report.bytes_read)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_can_be_percentage_or_number() {
        assert_eq!(parse_sample("1%"), Ok(Sample::Fraction(0.01)));
        assert_eq!(parse_sample("500"), Ok(Sample::Files(500)));
        for wrong in ["0", "0%", "many", "", "-1", "120%"] {
            assert!(parse_sample(wrong).is_err(), "{wrong}");
        }
    }
}
