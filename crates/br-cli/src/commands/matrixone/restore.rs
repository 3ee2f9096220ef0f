//! `br matrixone restore`: restores a MatrixOne backup.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use br_core::{Location, S3Location, Secret};
use br_matrixone::archive::{
    self, Folder, RestoreOptions, RestorePlan, RestoreReport, RestoreTarget, TnConfig,
};
use br_matrixone::catalogue::State;
use clap::{Args, ValueEnum};

use super::place::{LocationArgs, Source};
use super::progress::ArchiveReporter;
use super::{CODES, CatalogueArgs, blocking};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::Summary;
use crate::output::matrixone::human;
use crate::storage::{BucketKeys, parse_location, parse_secret};
use crate::values;

const EXAMPLES: &str = "\
  br matrixone restore 25536ff0 --target /srv/matrixone
  br matrixone restore 25536ff0 --target /srv/matrixone --tn-config /srv/matrixone/etc/tn.toml
  br matrixone restore --location /backup/full-25536ff0-… --target /srv/matrixone";

/// Restore a backup to an empty MatrixOne
///
/// First stop MatrixOne and move its mo-data away. br writes nothing until it knows that no file is missing. It verifies each file
/// while copying, and a file appears only when it is complete. If a restore is interrupted, run it again: it continues where it
/// stopped.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct RestoreArgs {
    /// Backup in the catalogue: its id or the start of it [default: the backup at --location]
    #[arg(value_name = "ID")]
    id: Option<String>,

    #[command(flatten)]
    location: LocationArgs,

    /// Target: the folder in which MatrixOne runs, or s3://BUCKET/FOLDER
    ///
    /// In a folder, br creates mo-data. For a bucket, br uses the keys of the backup unless it has separate keys.
    #[arg(long, value_name = "URL|PATH")]
    target: OsString,

    /// tn.toml of that MatrixOne, which defines the location and the format of its data
    #[arg(long, value_name = "FILE")]
    tn_config: Option<PathBuf>,

    /// Access key for the target bucket [default: as for the backup]
    #[arg(long, value_name = "ID", hide_short_help = true)]
    target_access_key_id: Option<String>,

    /// Secret access key for the target bucket; other users of this machine can see it
    #[arg(long, value_name = "SECRET", requires = "target_access_key_id", hide_short_help = true, value_parser = parse_secret)]
    target_secret_access_key: Option<Secret>,

    /// Role to assume for the target bucket
    #[arg(long, value_name = "ARN", hide_short_help = true)]
    target_role_arn: Option<String>,

    /// Where requests name the target bucket: auto or path [default: auto]
    #[arg(
        long,
        value_name = "STYLE",
        value_enum,
        hide_possible_values = true,
        hide_short_help = true
    )]
    target_addressing: Option<TargetAddressing>,

    /// Maximum files copied concurrently, up to 512 [default, and with 0: number of cores]
    #[arg(long, value_name = "N", value_parser = values::number(0_u16..=512, "the number of concurrent files", "--parallelism 8"))]
    parallelism: Option<u16>,

    #[command(flatten)]
    catalogue: CatalogueArgs,
}

/// Where requests name the target bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TargetAddressing {
    /// As the provider requires
    Auto,
    /// https://host/bucket/key
    Path,
}

pub(super) async fn run(args: RestoreArgs, context: &CommandContext) -> CommandResult {
    let (target, to) = args.target(context)?;
    let source = Source::find(args.id.as_deref(), &args.location, &args.catalogue, context)?;
    refuse_unusable(&source)?;
    if args.target_secret_access_key.is_some() {
        let better = "use a profile, or AWS_SECRET_ACCESS_KEY";
        context.warn_exposed("--target-secret-access-key", better);
    }
    let tae_path = target.shared_label().to_owned();
    say_where(&source.shown, &to, &tae_path, context)?;
    let mut options = RestoreOptions::default();
    if let Some(threads) = args.parallelism.and_then(|n| NonZeroUsize::new(n.into())) {
        options = options.with_threads(threads);
    }
    let reporter = Arc::new(context.reporter());
    let progress = Arc::new(ArchiveReporter::new(&reporter, context));
    let (_, guard) = context.engine_with(&reporter);
    let teller = Arc::clone(&progress);
    let done = blocking(move || {
        let archive = source.archive()?;
        let backup = source.wanted.pick(&archive)?;
        let plan = RestorePlan::new(&archive, backup, target, &*teller)?;
        let warnings = plan.warnings().to_vec();
        Ok((plan.execute(&options, &*teller)?, warnings))
    })
    .await;
    drop(guard);
    let (report, warnings) = done?;
    for warning in &warnings {
        context.output.console.warning(&format::text(warning));
    }
    let done = Done {
        report,
        tae_path,
        threads: options.threads,
        files: progress.take_restored(),
        duration: reporter.elapsed(),
    };
    print(&done, context)?;
    Ok(ExitStatus::Ok)
}

/// A finished restore.
struct Done {
    report: RestoreReport,
    tae_path: String,
    threads: NonZeroUsize,
    files: Vec<String>,
    duration: std::time::Duration,
}

/// Refuses a backup that is not complete.
fn refuse_unusable(source: &Source) -> Result<(), CommandError> {
    match &source.entry {
        Some(entry) if entry.state != State::Complete => Err(CommandError::new(
            ExitStatus::Damaged,
            format!(
                "the backup {} is {}: it is not complete",
                entry.id, entry.state
            ),
            "restore another one; `br matrixone check` shows what is missing from this one",
        )),
        _ => Ok(()),
    }
}

impl RestoreArgs {
    /// The target, and its description for output.
    fn target(&self, context: &CommandContext) -> Result<(RestoreTarget, String), CommandError> {
        let location = match self.target.to_str() {
            Some(text) => parse_location(text, "--target")?,
            None => Location::Local(PathBuf::from(&self.target)),
        };
        match location {
            Location::Local(path) => {
                self.refuse_bucket_options()?;
                let shown = format!("BackupDir: filesystem\n    Path: {}", format::path(&path));
                Ok((self.folder(&path)?, shown))
            }
            Location::S3(bucket) => self.bucket(&bucket, context),
            other => Err(CommandError::usage(
                format!("MatrixOne cannot keep data in {other}"),
                "name a folder, or s3://BUCKET/FOLDER?endpoint=https://HOST",
            )),
        }
    }

    fn bucket(
        &self,
        bucket: &S3Location,
        context: &CommandContext,
    ) -> Result<(RestoreTarget, String), CommandError> {
        if self.tn_config.is_some() {
            return Err(CommandError::usage(
                "--tn-config is for a folder, but a bucket is named",
                "leave it out",
            ));
        }
        let shown = format!(
            "BackupDir: s3\nEndpoint: {} Bucket: {} FilePath: {}",
            bucket.endpoint().unwrap_or_default(),
            bucket.bucket(),
            bucket.prefix()
        );
        let keys = BucketKeys {
            role_arn: self.target_role_arn.clone(),
            is_path_style: self.target_addressing == Some(TargetAddressing::Path),
            access_key_id: self.target_access_key_id.clone(),
            secret_access_key: self.target_secret_access_key.clone(),
        };
        let storage = context.open_bucket(bucket, &keys)?;
        let handle = tokio::runtime::Handle::current();
        let folder = Folder::in_storage(&storage, "", handle).map_err(archive::Error::from)?;
        Ok((RestoreTarget::object(&folder)?, shown))
    }

    fn refuse_bucket_options(&self) -> Result<(), CommandError> {
        let typed = [
            (
                "--target-access-key-id",
                self.target_access_key_id.is_some(),
            ),
            ("--target-role-arn", self.target_role_arn.is_some()),
            ("--target-addressing", self.target_addressing.is_some()),
        ];
        match typed.into_iter().find(|(_, typed)| *typed) {
            None => Ok(()),
            Some((option, _)) => Err(CommandError::usage(
                format!("{option} is for a bucket, but a folder is named"),
                "leave it out, or name the bucket as s3://BUCKET/FOLDER",
            )),
        }
    }

    fn folder(&self, path: &std::path::Path) -> Result<RestoreTarget, CommandError> {
        let Some(config) = &self.tn_config else {
            return Ok(RestoreTarget::local(path)?);
        };
        let text = std::fs::read_to_string(config).map_err(|error| {
            let message = format!("cannot read the configuration {}", config.display());
            CommandError::usage(message, "check --tn-config").because(&error)
        })?;
        Ok(RestoreTarget::local_with(path, &TnConfig::parse(&text)?)?)
    }
}

/// The first lines of the manual.
fn say_where(
    from: &str,
    to: &str,
    tae_path: &str,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() || output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    lines.line("From:")?;
    for line in from.split("  ") {
        lines.line(&format!("    {}", format::text(line.trim())))?;
    }
    lines.line("")?;
    lines.line("To")?;
    for line in to.lines() {
        lines.line(&format!("    {}", line.trim()))?;
    }
    lines.line("")?;
    lines.line("TaePath")?;
    lines.line(&format!("    ./{tae_path}"))?;
    lines.finish()
}

fn print(done: &Done, context: &CommandContext) -> Result<(), CommandError> {
    let (output, report) = (&context.output, &done.report);
    if output.is_json() {
        return output.document(&Summary::new(serde_json::json!({
            "files": report.files,
            "bytes": report.bytes,
            "kept": report.kept,
            "reframed": report.reframed,
            "bytes_written": report.written_bytes,
            "unproven": report.unproven,
            "duration_seconds": format::round_seconds(done.duration.as_secs_f64()),
        })));
    }
    if output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    // Two spaces, as the manual has it.
    lines.line(&format!(
        "restore tae file path ./{}, parallelism {threads},  parallel count num: {threads}",
        done.tae_path,
        threads = done.threads
    ))?;
    for line in &done.files {
        lines.line(line)?;
    }
    lines.line(&format!(
        "restore file num: {}, total file num: {}, cost : {}",
        report.files - report.kept,
        report.files,
        human::duration(done.duration)
    ))?;
    if report.kept > 0 {
        let kept = format::counted(report.kept, "file was", "files were");
        lines.line(&format!("{kept} already restored by an interrupted run"))?;
    }
    if report.unproven > 0 {
        let files = format::counted(report.unproven, "file has", "files have");
        lines.line(&format!(
            "{files} no digest; sizes, frames and headers are correct"
        ))?;
    }
    lines.finish()
}
