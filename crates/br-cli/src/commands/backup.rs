//! `br backup`: creates a backup.

use std::path::PathBuf;
use std::sync::Arc;

use br_core::engine::backup::{BackupOptions, BackupReport, Base, backup, backup_with_retry};
use br_core::model::Origin;
use br_core::{BackupSelector, Repository};
use clap::{Args, ValueEnum};

use super::copy_to::{self, CopyMode, CopyToArgs, Targets};
use super::files_from::FilesFromArgs;
use super::show;
use super::sources::{self, Input, SelectArgs};
use super::stream::StreamArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::{BackupJson, BackupSummary, CopyJson, Summary};
use crate::output::{ProgressReporter, format};
use crate::values;

const EXAMPLES: &str = "\
  br -r /mnt/disk/backup backup --init ~/documents   # also create the repository: only once, by hand
  br backup ~/documents ~/photos
  br backup / --one-file-system --exclude-caches --exclude /tmp --tag daily
  br backup . --exclude '*.o' --exclude node_modules/ --dry-run
  br backup ~/documents --copy-to s3://bucket/backups --init
  find home -name '*.jpg' -print0 | br backup --files-from-raw -
  br backup --stdin-from-command --stdin-name shop.sql -- pg_dump shop
  br backup /etc/nginx --stream 'db/shop.sql=pg_dump shop' --stream 'db/roles.sql=pg_dumpall --globals-only'";

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Partial, ExitStatus::Conflict];

/// Back up files and folders
///
/// The repository must exist: create it with `br init` or --init. br does not read files again that have not changed since the
/// last backup of the same paths on this host, and does not store data again that the repository already has. If a backup is
/// interrupted, run it again: it continues where it stopped.
///
/// Paths are stored as typed, absolute paths without the leading slash. Files named .brignore have the syntax and meaning of
/// .gitignore files. br leaves out the repository itself and the cache folder.
///
/// A backup keeps content, raw names, permissions, owners, modification times, links, devices, holes, extended attributes and
/// ACLs. It does not keep access and creation times or the attributes of chattr; a note says if there are any of the latter.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct BackupArgs {
    /// Files and folders to back up (can be repeated)
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "stdin_from_command", "stream", "mysql", "postgres", "postgres_base", "redis", "rabbitmq", "files_from", "files_from_raw", "program"])]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    lists: FilesFromArgs,

    /// Create the repository if it does not exist
    ///
    /// br encrypts it if a password is given, like `br init`. Do not use this in scheduled jobs: if the disk of the repository
    /// is not mounted, or its name is mistyped, br would create a new repository.
    #[arg(long)]
    init: bool,

    /// Read every file (full) or only changed files (incremental) [default: incremental]
    #[arg(long, value_name = "TYPE")]
    backup_type: Option<BackupType>,

    /// Compare with this backup instead of the last one of the same host and paths
    #[arg(long, value_name = "ID")]
    base_id: Option<BackupSelector>,

    /// Tag to find the backup by (can be repeated, or separated by commas)
    #[arg(long, value_name = "TAG", value_delimiter = ',', value_parser = values::word("--tag daily"))]
    tag: Vec<String>,

    /// Name of this machine [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = values::word("--host web1"))]
    host: Option<String>,

    /// Compression level, from 1 (fast) to 19 (small)
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t = 3,
        allow_negative_numbers = true,
        value_parser = values::number(1..=19, "the compression level", "--compression 3")
    )]
    compression: i32,

    /// Store small changes in large files as differences to the base
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_short_help = true
    )]
    deltas: Deltas,

    /// Read existing data in the repositories before relying on it
    ///
    /// If br cannot read some of the data, it stores it again and records the damage. This takes as long as reading the data
    /// from the repository.
    #[arg(long, hide_short_help = true)]
    verify_known: bool,

    /// Worker threads [default: number of cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::threads)]
    threads: Option<usize>,

    /// Store nothing; with --verbose, list every entry and the reason for every exclusion
    #[arg(short = 'n', long)]
    dry_run: bool,

    // Must be the last fields: their headings apply to all options that follow.
    #[command(flatten)]
    stream: StreamArgs,

    #[command(flatten)]
    copies: CopyToArgs,

    #[command(flatten)]
    select: SelectArgs,
}

/// Which files a backup reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackupType {
    /// Read every file
    Full,
    /// Read only changed files
    Incremental,
}

/// When br stores differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deltas {
    /// If the repository is on local disk, because br must read the data that it compares
    Auto,
    /// For every repository
    Always,
    /// Never
    Never,
}

pub(crate) async fn run(args: BackupArgs, context: &CommandContext) -> CommandResult {
    args.check()?;
    let mut targets = args.targets(context)?;
    let lists = args.dry_run && context.output.is_verbose();
    let input = args.input(lists, context)?;
    let mut repository = targets.open(args.init, args.dry_run, context).await?;
    let options = options(&args, &input, context);
    if let (Some(journal), false) = (&options.journal, args.dry_run) {
        // The folder must exist before it can be recognised and excluded; if it cannot be created, the engine reports that.
        let _ = std::fs::create_dir_all(journal);
    }
    let reporter = Arc::new(context.reporter().with_entries(lists));
    let report = loop {
        let folders = targets.folders();
        match back_up(&repository, &input, &options, folders, context, &reporter).await {
            Ok(report) => break report,
            // Standard input cannot be read again.
            Err(error) if input.is_stdin() => return Err(error),
            Err(error) => targets.failed(error, context)?,
        }
        repository = targets.open(args.init, args.dry_run, context).await?;
    };
    let seconds = reporter.elapsed().as_secs_f64();
    let mode = CopyMode {
        init: args.init,
        verify_known: args.verify_known,
        dry_run: args.dry_run,
    };
    let folders = targets.folders();
    let again = async |target: &Repository| {
        if input.is_stdin() {
            let message = "standard input cannot be read again";
            let hint = "`br check --read-data` of the first repository names its damage";
            return Err(CommandError::new(ExitStatus::Damaged, message, hint));
        }
        let reporter = Arc::new(context.reporter());
        back_up(
            target,
            &input,
            &options,
            folders.clone(),
            context,
            &reporter,
        )
        .await
    };
    let copies = targets
        .copy(&repository, &report.backup, mode, again, context)
        .await?;
    let status = copies.status(&repository, args.dry_run, context);
    print(&args, &report, copies.outcomes, seconds, context)?;
    if report.backup.is_complete() {
        return Ok(status);
    }
    let what = if input.has_only_lost_streams(&report.backup) {
        "a dump is missing from this backup: correct what is named above, and run the command again"
    } else {
        "some entries are missing from this backup or incomplete: make them readable, or leave them out with --exclude"
    };
    let where_to_look = if args.dry_run {
        String::new()
    } else {
        format!("; `br show {}` lists them", report.backup.id)
    };
    let console = &context.output.console;
    console.hint(&format!("{what}{where_to_look}"));
    Ok(ExitStatus::Partial)
}

impl BackupArgs {
    /// What the backup reads.
    fn input(&self, lists: bool, context: &CommandContext) -> Result<Input, CommandError> {
        let streams = self.stream.streams(Some(context))?;
        let paths = self.lists.add_to(&self.paths(), context)?;
        let input = Input::new(&paths, streams, &self.select, lists)?;
        self.lists.warn(&paths, &context.output.console);
        Ok(input)
    }

    /// The same for a command that compares it. `select` replaces the exclusions.
    pub(super) fn compared(&self, select: Option<&SelectArgs>) -> Result<Input, CommandError> {
        let streams = self.stream.streams(None)?;
        let paths = self.stream.paths(&self.paths);
        Input::new(&paths, streams, select.unwrap_or(&self.select), false)
    }

    /// The paths of files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.stream.paths(&self.paths)
    }

    /// The options about streams.
    pub(super) const fn streams(&self) -> &StreamArgs {
        &self.stream
    }

    /// The repositories of the backup.
    pub(super) fn targets(&self, context: &CommandContext) -> Result<Targets, CommandError> {
        Targets::find(&self.copies, context)
    }

    /// The name of this machine in the backup.
    pub(super) fn host_name(&self) -> String {
        self.host.clone().unwrap_or_else(sources::host_name)
    }

    /// The folders of repositories and caches, which the backup leaves out.
    pub(super) fn left_out(&self, context: &CommandContext) -> Result<Vec<PathBuf>, CommandError> {
        let mut folders = context.own_folders()?;
        folders.extend(self.copies.folders(context)?);
        Ok(folders)
    }

    /// Refuses options that would have no effect.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let is_full = self.backup_type == Some(BackupType::Full);
        if is_full && self.base_id.is_some() {
            let hint = "leave out --base-id, or use --backup-type incremental";
            return Err(CommandError::usage("a full backup has no base", hint));
        }
        if is_full && self.deltas == Deltas::Always {
            let message = "a full backup has no base, so it stores no differences";
            let hint = "leave out --deltas, or use --backup-type incremental";
            return Err(CommandError::usage(message, hint));
        }
        self.stream.check(&self.paths)?;
        self.lists.check()
    }
}

impl From<Deltas> for Option<bool> {
    fn from(deltas: Deltas) -> Self {
        match deltas {
            Deltas::Auto => None,
            Deltas::Always => Some(true),
            Deltas::Never => Some(false),
        }
    }
}

/// Runs the backup. After a conflict, br reads paths again and starts a program again; standard input cannot be read again.
async fn back_up(
    repository: &Repository,
    input: &Input,
    options: &BackupOptions,
    folders: Vec<PathBuf>,
    context: &CommandContext,
    reporter: &Arc<ProgressReporter>,
) -> Result<BackupReport, CommandError> {
    let (engine, _guard) = context.engine_with(reporter);
    let open = async || {
        let own = context.own_folders()?.into_iter().chain(folders.clone());
        input.open(own.collect(), context)
    };
    if input.is_stdin() {
        return Ok(backup(repository, open().await?, options, &engine).await?);
    }
    backup_with_retry(repository, open, options, &engine).await
}

fn options(args: &BackupArgs, input: &Input, context: &CommandContext) -> BackupOptions {
    let base = match (&args.base_id, args.backup_type) {
        (Some(id), _) => Base::Backup(id.clone()),
        (None, Some(BackupType::Full)) => Base::None,
        (None, _) => Base::Auto,
    };
    let mut tags: Vec<_> = args.tag.iter().map(|tag| tag.trim().to_owned()).collect();
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| !tag.is_empty() && seen.insert(tag.clone()));
    BackupOptions::new(args.host_name(), sources::user_name(), input.typed())
        .with_folder(input.folder())
        .with_origin(Origin::new(input.kind()))
        .with_configuration(context.portable_config())
        .with_tags(tags)
        .with_base(base)
        .with_level(args.compression)
        .with_deltas(args.deltas.into())
        .with_threads(args.threads)
        .with_verify_known(args.verify_known)
        .with_journal(context.cache_dir().map(|dir| dir.join("journal")))
        .with_dry_run(args.dry_run)
}

fn print(
    args: &BackupArgs,
    report: &BackupReport,
    copies: Vec<CopyJson>,
    seconds: f64,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let (output, backup) = (&context.output, &report.backup);
    let no_base = args.backup_type == Some(BackupType::Incremental) && backup.base.is_none();
    if no_base {
        output
            .console
            .note("there is no earlier backup of these paths on this host: this one is full");
    }
    if output.is_json() {
        let mut backup = backup.clone();
        // The files are long, and the user has them.
        backup.configuration = backup.as_listed().configuration;
        return output.document(&Summary::new(BackupSummary {
            backup: BackupJson::from(&backup),
            torn: report.torn,
            packs_resumed: report.packs_resumed,
            dry_run: report.dry_run,
            duration_seconds: format::round_seconds(seconds),
            copies,
        }));
    }
    let id = if report.dry_run {
        "none: dry run, nothing was stored".to_owned()
    } else {
        backup.id.to_string()
    };
    let mut fields = vec![("backup", id), ("type", show::kind(backup))];
    fields.extend(show::change_fields(&backup.changes));
    fields.push(("size", show::contents(&backup.totals)));
    fields.push((
        "duration",
        format::speed(backup.changes.bytes_read, seconds),
    ));
    fields.extend(copy_to::fields(&copies));
    if report.packs_resumed > 0 {
        let packs = format::counted(report.packs_resumed, "pack", "packs");
        fields.push((
            "resumed",
            format!("{packs} of an interrupted backup were reused"),
        ));
    }
    if report.torn > 0 {
        let files = format::counted(report.torn, "file", "files");
        fields.push((
            "torn",
            format!("{files} changed while br read them: they may mix two states"),
        ));
    }
    if !backup.is_complete() {
        let entries = format::counted(backup.unread_count, "entry", "entries");
        fields.push((
            "unreadable",
            format!("{entries}, missing from this backup or incomplete"),
        ));
    }
    output.summary(&fields)
}
