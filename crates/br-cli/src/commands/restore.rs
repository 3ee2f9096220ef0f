//! `br restore`: restores a backup or a part of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use br_core::engine::restore::{Overwrite, RestoreOptions, RestoreReport};
use br_core::{BackupSelector, Location, Repository};
use clap::{Args, ValueEnum};

use super::paths::{bad_pattern, find_paths, paths_in_backup};
use super::restore_base;
use super::restore_check::Moment;
use super::restore_plan::PlanArgs;
use super::restore_print::print;
use super::restore_to_command::{OF_FOLDERS, ToCommandArgs};
use super::restore_to_postgres::ToPostgresArgs;
use super::restore_to_rabbitmq::ToRabbitMqArgs;
use super::restore_to_redis::ToRedisArgs;
use super::restore_verify;
use super::which::{BackupAndPath, FilterArgs};
use crate::context::CommandContext;
use crate::environment::variable;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::Summary;
use crate::output::report::RestoreSummary;
use crate::output::{Output, format};
use crate::values;

const EXAMPLES: &str = "\
  br restore latest --target /tmp/restored
  br restore latest home/anna/photos --target /tmp/restored
  br restore latest:home/anna/photos --target /tmp/photos   # without the folders home/anna/photos
  br restore latest --target /tmp/restored --include '*.jpg' --exclude thumbnails
  br restore latest~1 --host web1 --path /etc --target /tmp/etc-before
  br restore 8c90d327 --target / --overwrite if-changed
  br restore latest --target /srv/www --delete --dry-run
  br restore latest shop.sql --to-command -- mysql shop
  br restore latest postgres/shop.dump --to-postgres
  br restore latest redis/dump.rdb --to-redis 127.0.0.1:6379
  br restore latest rabbitmq/definitions.json --to-rabbitmq http://127.0.0.1:15672
  br restore latest --verify-only                     # read everything, and restore nothing
  br restore latest --tag shop --plan                 # the steps for everything in a backup of `br run`
  br restore latest --tag shop --execute --yes";

/// Restore a backup, or a part of it, into a folder, a program or a server
///
/// br verifies each chunk, and a file appears under its name only when it is complete. br names damaged files, leaves them out
/// and restores the rest. It restores owners if root runs it. Existing parent folders of restored entries keep their permissions,
/// owner and times. br follows existing links to folders if they lead to a folder in DIR.
///
/// Data that another user could have written does not get privileges. This applies to an unencrypted repository in a local
/// folder that another user owns or may write to: br leaves out devices, set-user-ID and set-group-ID bits and the attributes
/// `security.*` and `trusted.*`, and exits with 3 if there were any.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Partial]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Partial]))
)]
pub(crate) struct RestoreArgs {
    /// Backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before; or a folder in it: `ID:FOLDER`
    ///
    /// With a folder, such as `latest:home/anna`, br restores what is in the folder directly into the target. A target that exists
    /// keeps its own mode, owner and times. With --delete, br also deletes entries in the target that are not in the folder.
    #[arg(value_name = "ID", value_parser = BackupAndPath::parser())]
    id: BackupAndPath,

    /// Restore only these paths and everything below them, as `br ls` shows them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    /// Folder to restore into; created if it is missing
    #[arg(short, long, value_name = "DIR", value_parser = values::folder(), required_unless_present_any = ["to_command", "to_postgres", "to_redis", "to_rabbitmq", "plan", "execute", "only", "verify_only"])]
    target: Option<PathBuf>,

    /// Leave out the first N parts of each path, like tar
    ///
    /// br leaves out entries with fewer parts, and counts them. Folders that get the same path become one folder. If files or
    /// other entries get the same path, br restores nothing. With --delete, br deletes nothing directly in the target.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = values::number(0..=32_768_usize, "the number of parts", "--strip-components 2")
    )]
    strip_components: Option<usize>,

    /// What to do with existing files
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = OverwriteArg::IfChanged)]
    overwrite: OverwriteArg,

    /// Restore only entries that match a pattern, and everything below them (can be repeated)
    ///
    /// `*.jpg` matches names in every folder, `photos/*.jpg` the end of a path, and `/home/*/photos` a whole path in the backup.
    #[arg(long, value_name = "PATTERN", conflicts_with = "delete")]
    include: Vec<String>,

    /// Do not restore entries that match a pattern, nor anything below them (can be repeated)
    #[arg(long, value_name = "PATTERN", conflicts_with = "delete")]
    exclude: Vec<String>,

    /// Ignore the case of letters in --include and --exclude
    #[arg(long)]
    ignore_case: bool,

    /// Delete entries in restored folders that are not in the backup
    ///
    /// This also deletes files that were excluded from the backup. br keeps files that the backup could not read, the repository
    /// and the cache folder. Try it with --dry-run first.
    #[arg(long)]
    delete: bool,

    /// Do not restore owners
    #[arg(long)]
    no_owner: bool,

    /// Do not create devices
    #[arg(long)]
    no_devices: bool,

    /// Do not set the set-user-ID and set-group-ID bits
    ///
    /// br never sets them, or file capabilities, on a file whose owner or group is different from the one in the backup.
    #[arg(long)]
    no_setid: bool,

    /// Do not set extended attributes with these names; `*` matches any text
    #[arg(long, value_name = "PATTERN")]
    no_xattrs: Vec<OsString>,

    /// Restore devices, set-user-ID bits and similar even if another user may write to the repository
    #[arg(long)]
    trust_repository: bool,

    /// Write nothing and read no stored data; with --verbose, list every entry and what would happen to it
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Read and verify what would be restored, and restore nothing
    #[arg(long, conflicts_with_all = OF_FOLDERS, conflicts_with_all = ["to_command", "to_postgres", "to_redis", "to_rabbitmq", "plan", "execute"])]
    verify_only: bool,

    /// Worker threads [default: number of cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::threads)]
    threads: Option<usize>,

    // Must be the last fields: their headings apply to all options that follow.
    #[command(flatten)]
    to_command: ToCommandArgs,

    #[command(flatten)]
    to_postgres: ToPostgresArgs,

    #[command(flatten)]
    to_redis: ToRedisArgs,

    #[command(flatten)]
    to_rabbitmq: ToRabbitMqArgs,

    #[command(flatten)]
    plan: PlanArgs,

    #[command(flatten)]
    filter: FilterArgs,
}

/// What to do with existing files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OverwriteArg {
    /// Replace them
    Always,
    /// Replace them unless their size and time are the same as in the backup
    IfChanged,
    /// Keep them
    Never,
}

impl From<OverwriteArg> for Overwrite {
    fn from(arg: OverwriteArg) -> Self {
        match arg {
            OverwriteArg::Always => Self::Always,
            OverwriteArg::IfChanged => Self::IfChanged,
            OverwriteArg::Never => Self::Never,
        }
    }
}

pub(crate) async fn run(args: &RestoreArgs, context: &CommandContext) -> CommandResult {
    let id = args.filter.apply(&args.id.id)?;
    let paths = args.to_command.paths(&args.paths);
    args.to_redis.check()?;
    args.to_rabbitmq.check()?;
    args.plan.check()?;
    let Some(target) = &args.target else {
        return into_servers_or_program(args, &id, &paths, context).await;
    };
    let mut options = RestoreOptions::default()
        .with_overwrite(args.overwrite.into())
        .with_delete(args.delete)
        .with_protected(context.own_folders()?)
        .with_dry_run(args.dry_run)
        .with_threads(args.threads);
    if args.no_owner {
        options = options.with_owner(false);
    }
    options = with_patterns(options, args)?;
    let folder = args.id.path(&paths)?;
    let typed = paths_in_backup(&paths)?;
    let repository = context.open().await?;
    let backup = context.find(&repository, &id).await?;
    options = options
        .with_paths(find_paths(&typed, &repository, &backup, context).await?)
        .with_stripped_parts(args.strip_components.unwrap_or(0));
    if let Some(folder) = folder {
        options = options.with_folder(folder.find(&repository, &backup, context).await?);
    }
    restore_base::check_target(target, &options, &repository, &backup, context).await?;
    let is_foreign = !args.trust_repository && is_foreign(&repository, context)?;
    options = without_privileges(options, args, is_foreign);
    let lists = args.dry_run && context.output.is_verbose();
    let reporter = context.reporter().with_failures("not restored");
    let reporter = Arc::new(reporter.with_entries(lists));
    let id = BackupSelector::from(backup.id);
    let (engine, guard) = context.engine_with(&reporter);
    let restored =
        br_core::engine::restore::restore(&repository, &id, target.clone(), &options, &engine)
            .await;
    drop(guard);
    let report = restored?;
    let seconds = reporter.elapsed().as_secs_f64();
    let output = &context.output;
    if output.is_json() {
        let target = format::path(target);
        let seconds = format::round_seconds(seconds);
        output.document(&Summary::new(RestoreSummary::new(
            &report,
            target,
            args.dry_run,
            seconds,
        )))?;
    } else {
        print(
            (args.dry_run, args.delete),
            target,
            &report,
            seconds,
            output,
        )?;
    }
    if report.stripped > 0 {
        let entries = format::counted(report.stripped, "entry", "entries");
        output.console.note(&format!(
            "--strip-components left out {entries} with too few parts in the path"
        ));
    }
    Ok(way_on(&report, is_foreign, output))
}

/// Says what to do next, and returns the exit code.
fn way_on(report: &RestoreReport, is_foreign: bool, output: &Output) -> ExitStatus {
    let is_reduced = is_foreign && report.left_out > 0;
    if is_reduced {
        output.console.hint("devices, set-user-ID bits and similar were left out, because another user may write to the repository: --trust-repository restores them");
    }
    if report.failed_count == 0 && !report.damaged {
        return if is_reduced {
            ExitStatus::Partial
        } else {
            ExitStatus::Ok
        };
    }
    output.console.hint(if report.damaged {
        "stored data is damaged: `br check --read-data` lists the affected files and how to repair them"
    } else {
        "fix the problems named above and run the command again: it skips files that are already restored"
    });
    ExitStatus::Partial
}

impl RestoreArgs {
    /// Looks at the server that this line restores into, and changes nothing.
    pub(super) async fn look_at_server(
        &self,
        moment: Moment,
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        self.to_redis.look(context).await?;
        self.to_rabbitmq.look(context).await?;
        self.to_postgres.look(&self.paths, moment, context).await
    }
}

/// A restore that does not only write files.
async fn into_servers_or_program(
    args: &RestoreArgs,
    id: &BackupSelector,
    paths: &[OsString],
    context: &CommandContext,
) -> CommandResult {
    if args.plan.is_chosen() {
        return args.plan.run(id, &args.filter, context).await;
    }
    if args.verify_only {
        return restore_verify::run(&args.id, id, paths, context).await;
    }
    if let Some(address) = args.to_rabbitmq.address() {
        let to = &args.to_rabbitmq;
        return to.run(address, &args.id, id, paths, context).await;
    }
    if args.to_postgres.is_chosen() {
        return args.to_postgres.run(&args.id, id, paths, context).await;
    }
    if let Some(address) = &args.to_redis.to_redis {
        let to = &args.to_redis;
        return to.run(address, &args.id, id, paths, context).await;
    }
    let to = &args.to_command;
    to.run(&args.id, id, &args.paths, context).await
}

fn with_patterns(
    mut options: RestoreOptions,
    args: &RestoreArgs,
) -> Result<RestoreOptions, CommandError> {
    if args.ignore_case && args.include.is_empty() && args.exclude.is_empty() {
        let message = "--ignore-case has no effect without --include or --exclude";
        return Err(CommandError::usage(message, "leave it out"));
    }
    for pattern in &args.include {
        let added = options.with_include(pattern, args.ignore_case);
        options = added.map_err(bad_pattern)?;
    }
    for pattern in &args.exclude {
        let added = options.with_exclude(pattern, args.ignore_case);
        options = added.map_err(bad_pattern)?;
    }
    Ok(options)
}

/// Adds the exclusions of the options, and those for a repository that another user may write to.
fn without_privileges(
    options: RestoreOptions,
    args: &RestoreArgs,
    is_foreign: bool,
) -> RestoreOptions {
    let mut patterns: Vec<_> = args
        .no_xattrs
        .iter()
        .map(|pattern| pattern.as_bytes().to_vec())
        .collect();
    if is_foreign {
        patterns.extend([b"security.*".to_vec(), b"trusted.*".to_vec()]);
    }
    options
        .with_devices(!args.no_devices && !is_foreign)
        .with_set_id(!args.no_setid && !is_foreign)
        .with_skipped_attributes(patterns)
}

/// True when a user other than this one and root may have written to the repository: in an unencrypted repository nothing proves
/// who wrote the data. For a server, br knows only that it got keys for it.
pub(super) fn is_foreign(
    repository: &Repository,
    context: &CommandContext,
) -> Result<bool, CommandError> {
    let Location::Local(folder) = context.location()? else {
        return Ok(false);
    };
    if repository.is_encrypted() {
        return Ok(false);
    }
    let number = |name| variable(name)?.to_str()?.parse::<u32>().ok();
    let users = [
        Some(0),
        Some(rustix::process::geteuid().as_raw()),
        number("SUDO_UID"),
    ];
    let groups = [
        Some(0),
        Some(rustix::process::getegid().as_raw()),
        number("SUDO_GID"),
    ];
    let is_foreign = |path: PathBuf| {
        let Ok(found) = path.metadata() else {
            return false;
        };
        let mode = found.mode();
        !users.contains(&Some(found.uid()))
            || mode & 0o002 != 0
            || (mode & 0o020 != 0 && !groups.contains(&Some(found.gid())))
    };
    let parts = ["", "br.json", "packs", "index", "manifests", "log"];
    Ok(parts.into_iter().any(|part| is_foreign(folder.join(part))))
}
