//! `br export`: writes a bundle.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use br_archive::{
    BundleName, BundleOptions, BundleTime, BundleWriter, ErrorKind, Format, META_PATH, MemberPath,
    Selection, WriteReport,
};
use br_core::BackupSelector;
use br_core::engine::export::ExportOptions;
use br_core::model::{Backup, EntryPath};
use br_emqx::meta::Meta;
use br_emqx::rules::Version;
use br_sources::bundle::{self, BundleSink};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::paths::{PathInBackup, find_paths};
use super::which::FilterArgs;
use crate::bundles::{self, BundleReporter, LimitArgs, SelectionArgs};
use crate::context::CommandContext;
use crate::environment::variable;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::bundle::exported_lines;
use crate::output::bundle_json::ExportJson;
use crate::output::format;
use crate::output::json::Summary;
use crate::values;

const EXAMPLES: &str = "\
  br export /etc/app                                # br-export-2026-11-20-08-13-00.250.tar.gz
  br export /etc/app /var/lib/apps --dir /backup    # one folder in the bundle for each
  br -r /mnt/disk/backup export latest --path etc/nginx --format tar.zst
  br -r /mnt/disk/backup export 8c90d327            # the original bundle of an import
  br export unpacked --edition ee --version 5.8.1   # emqx-export-….tar.gz, which EMQX imports";

const CODES: &[ExitStatus] = &[ExitStatus::Partial, ExitStatus::Refused];

/// Write files, folders or a backup as one portable bundle
///
/// A bundle is a tar.gz that every tar program can read. It contains one folder with the name of the bundle: do not rename the
/// file. `META.hocon` comes first, and a list of all members with their SHA-256 comes last. A bundle contains only regular
/// files, no links, devices or empty folders. A backup made by `br import` is written as the original bundle.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, CODES),
    // `--path` selects content of a bundle.
    mut_arg("of_path", |path| path.long("of-path")),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, CODES))
)]
pub(crate) struct ExportArgs {
    /// Files and folders, or a backup: an id, a short id from `br list`, `latest`, or `latest~1`
    ///
    /// If a repository is named, br treats a word that can be an id as an id; write `./NAME` for a file with such a name.
    #[arg(value_name = "ID|PATH", required = true)]
    what: Vec<OsString>,

    /// Folder for the bundle; created if it is missing
    #[arg(long, value_name = "DIR", default_value = ".", value_parser = values::folder())]
    dir: PathBuf,

    /// Start of the bundle's name [default: emqx-export for EMQX content, otherwise br-export]
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,

    /// Edition in META.hocon [default: from the existing META.hocon, or br]
    #[arg(long, value_name = "EDITION", value_parser = NonEmptyStringValueParser::new())]
    edition: Option<String>,

    /// Version in META.hocon [default: from the existing META.hocon, or the version of br]
    #[arg(long = "version", value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    bundle_version: Option<String>,

    /// Archive format [default: tar.gz, or the format of an imported bundle]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatArg>,

    /// Compression level: 0 to 9 for tar.gz [default: 6], 1 to 19 for tar.zst [default: 3]
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, value_parser = values::number(0_u32..=19, "the compression level", "--level 6"))]
    level: Option<u32>,

    /// Compression threads [default: number of cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::threads)]
    threads: Option<usize>,

    /// Time in the bundle's name, in RFC 3339 [default: now, in local time]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,

    /// Always write the same bundle for the same content: needs --at or SOURCE_DATE_EPOCH
    #[arg(long)]
    reproducible: bool,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    limits: LimitArgs,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

/// Archive formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// Readable by all tools, and by EMQX
    #[value(name = "tar.gz")]
    TarGz,
    /// Smaller and faster
    #[value(name = "tar.zst")]
    TarZst,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::TarGz => Self::TarGz,
            FormatArg::TarZst => Self::TarZst,
        }
    }
}

pub(crate) async fn run(args: ExportArgs, context: &CommandContext) -> CommandResult {
    let start = context.runtime.clock.elapsed();
    let exported = match args.backup(context) {
        Some(id) => export_backup(&args, &args.filter.apply(&id)?, context).await?,
        None => {
            args.filter.apply_list(&[])?;
            export_paths(&args, context).await?
        }
    };
    let seconds = context.runtime.clock.elapsed().saturating_sub(start);
    print(&exported, seconds.as_secs_f64(), context)?;
    let is_whole = exported.left_out == 0 && exported.report.changed.is_empty();
    Ok(if is_whole {
        ExitStatus::Ok
    } else {
        ExitStatus::Partial
    })
}

/// The result of an export.
struct Exported {
    report: WriteReport,
    left_out: u64,
}

impl ExportArgs {
    /// The backup to export; `None` for paths.
    fn backup(&self, context: &CommandContext) -> Option<BackupSelector> {
        let [only] = self.what.as_slice() else {
            return None;
        };
        let text = only.to_str()?;
        let is_path = text.contains('/') || text.starts_with('.');
        let id = text.parse().ok().filter(|_| !is_path)?;
        context.place().is_ok().then_some(id)
    }

    /// The folder to write to. The current folder has an empty path, so that paths in it are shown without a prefix.
    fn folder(&self) -> PathBuf {
        if self.dir == Path::new(".") {
            PathBuf::new()
        } else {
            self.dir.clone()
        }
    }

    /// True when the original bundle of an import is written again.
    fn is_verbatim(&self) -> bool {
        let changed = self.prefix.is_some()
            || self.edition.is_some()
            || self.bundle_version.is_some()
            || self.format.is_some()
            || self.at.is_some()
            || self.reproducible;
        !changed && self.selection.selection().is_all()
    }

    fn options(
        &self,
        meta: Option<Meta>,
        source: String,
        context: &CommandContext,
    ) -> Result<BundleOptions, CommandError> {
        let is_given = self.bundle_version.is_some() || meta.is_some();
        let given = meta.unwrap_or_else(|| Meta::new("br", env!("CARGO_PKG_VERSION")));
        let meta = Meta {
            edition: self.edition.clone().unwrap_or(given.edition),
            version: self.bundle_version.clone().unwrap_or(given.version),
            extra: given.extra,
        };
        let is_emqx = meta.is_emqx();
        let prefix = self.prefix.clone().unwrap_or_else(|| {
            let prefix = if is_emqx {
                BundleName::EMQX_PREFIX
            } else {
                BundleName::PREFIX
            };
            prefix.to_owned()
        });
        let is_right = is_emqx && is_given && Version::parse(&meta.version).is_ok();
        if (is_emqx || prefix == BundleName::EMQX_PREFIX) && !is_right {
            return Err(CommandError::usage(
                "a bundle for EMQX needs the edition and the version of EMQX",
                "give --edition ee (or ce) and --version, such as 5.8.1",
            ));
        }
        let format = self.format.map_or_else(Format::default, Format::from);
        // The location of the source is not part of the content.
        let source = if self.reproducible {
            String::new()
        } else {
            source
        };
        Ok(BundleOptions::new(self.time(context)?, meta)
            .with_prefix(prefix)
            .with_format(format, self.level)
            .with_threads(self.threads)
            .with_origin(br_core::PROGRAM, source)
            .with_selection(self.selection.selection())
            .with_next_free(self.at.is_none())
            .with_reproducible(self.reproducible)
            .with_limits(self.limits.limits()))
    }

    /// The time in the name: the given time, or the current local time of this machine.
    fn time(&self, context: &CommandContext) -> Result<BundleTime, CommandError> {
        let epoch = match self.at {
            None if self.reproducible => source_date()?,
            _ => None,
        };
        let (time, zone) = match (self.at.or(epoch), self.reproducible) {
            (Some(time), true) => (time, TimeZone::UTC),
            (Some(time), false) => (time, TimeZone::system()),
            (None, false) => (context.runtime.clock.now(), TimeZone::system()),
            (None, true) => {
                return Err(CommandError::usage(
                    "a reproducible bundle needs a fixed time",
                    "give --at TIME, or set SOURCE_DATE_EPOCH",
                ));
            }
        };
        let offset = zone.to_offset(time).seconds();
        BundleTime::new(time.as_millisecond(), offset).map_err(|error| {
            CommandError::usage(error.to_string(), "give a time in the years 1 to 9999")
        })
    }
}

/// The time in SOURCE_DATE_EPOCH, which reproducible builds set.
fn source_date() -> Result<Option<Timestamp>, CommandError> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let message = "SOURCE_DATE_EPOCH is not a number of seconds since 1970";
    time.map(Some)
        .ok_or_else(|| CommandError::usage(message, "give --at TIME, or correct the variable"))
}

async fn export_paths(
    args: &ExportArgs,
    context: &CommandContext,
) -> Result<Exported, CommandError> {
    context.refuse_repository_options("this command exports files")?;
    let paths: Vec<PathBuf> = args.what.iter().map(PathBuf::from).collect();
    for path in &paths {
        if let Err(error) = path.symlink_metadata() {
            let message = format!("there is no file or folder `{}`", format::path(path));
            let hint = "name files and folders, or one backup and its repository with --repo";
            return Err(CommandError::usage(message, hint).because(&error));
        }
    }
    let tops = tops(&paths)?;
    let selection = args.selection.selection();
    check_paths(&paths, &tops, &selection)?;
    let meta = match paths.as_slice() {
        [only] if only.is_dir() => read_meta(&only.join(META_PATH))?,
        _ => None,
    };
    let source = paths.iter().map(|path| format::path(path));
    let options = args.options(meta, source.collect::<Vec<_>>().join(", "), context)?;
    let (dir, output) = (args.folder(), context.output.clone());
    bundles::write(context, move |progress| {
        let is_emqx = options.prefix == BundleName::EMQX_PREFIX;
        let mut writer = BundleWriter::create(&dir, options)?;
        progress.narrate(writer.target(), is_emqx, &output);
        let mut left_out = 0;
        for (path, into) in paths.iter().zip(&tops) {
            let done = br_archive::export(&mut writer, path, into.as_ref(), &selection, progress)?;
            left_out += done.left_out_count;
        }
        let report = writer.finish()?;
        Ok(Exported { report, left_out })
    })
    .await
}

/// The folder in the bundle for each path: if there are several folders, each keeps its name; files always do.
fn tops(paths: &[PathBuf]) -> Result<Vec<Option<MemberPath>>, CommandError> {
    if paths.len() < 2 {
        return Ok(vec![None]);
    }
    let mut seen = std::collections::HashSet::new();
    let mut tops = Vec::new();
    for path in paths {
        let whole = path.canonicalize().ok().filter(|path| path.is_dir());
        let is_folder = whole.is_some();
        let whole = whole.unwrap_or_else(|| path.clone());
        let name = whole.file_name().unwrap_or_default();
        if !seen.insert(name.to_owned()) {
            let message = format!(
                "two of these paths have the name `{}`",
                format::path(Path::new(name))
            );
            let hint =
                "export them separately, or export the folder that contains them with --path";
            return Err(CommandError::usage(message, hint));
        }
        let top = name.to_str().and_then(|name| MemberPath::new(name).ok());
        tops.push(top.filter(|_| is_folder));
    }
    Ok(tops)
}

/// Selected paths must exist, as for a backup.
fn check_paths(
    paths: &[PathBuf],
    tops: &[Option<MemberPath>],
    selection: &Selection,
) -> Result<(), CommandError> {
    for wanted in &selection.paths {
        let lies_in = |path: &PathBuf, top: &Option<MemberPath>| {
            let wanted = Path::new(wanted.as_str());
            let rest = match top {
                Some(top) => wanted.strip_prefix(top.as_str()).ok(),
                None => Some(wanted),
            };
            path.file_name() == Some(wanted.as_os_str())
                || rest.is_some_and(|rest| path.join(rest).symlink_metadata().is_ok())
        };
        if !paths.iter().zip(tops).any(|(path, top)| lies_in(path, top)) {
            let message = format!("the source has no path `{}`", format::text(wanted.as_str()));
            let hint = "paths are relative to the exported folder; with several folders, they start with the folder's name";
            return Err(CommandError::usage(message, hint));
        }
    }
    Ok(())
}

/// An existing `META.hocon` in a folder.
fn read_meta(path: &Path) -> Result<Option<Meta>, CommandError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("cannot read {}", path.display());
            let hint = "make it readable, or move it away: it describes the bundle";
            return Err(CommandError::usage(message, hint).because(&error));
        }
    };
    let meta = Meta::parse(&text).map_err(|error| {
        let message = format!("{} is not the META.hocon of a bundle", path.display());
        CommandError::usage(message, "move it away: a bundle needs this name").because(&error)
    })?;
    Ok(Some(meta))
}

async fn export_backup(
    args: &ExportArgs,
    id: &BackupSelector,
    context: &CommandContext,
) -> Result<Exported, CommandError> {
    let repository = context.open().await?;
    let backup = context.find(&repository, id).await?;
    if !backup.is_complete() {
        let entries = format::counted(backup.unread_count, "entry", "entries");
        context.output.console.warning(&format!(
            "the backup itself is incomplete: it could not completely read {entries}"
        ));
    }
    let name = bundle::name_of(&backup);
    let meta_text = match &name {
        Some(_) => Some(read_member(&repository, &backup, META_PATH, context).await?),
        None => None,
    };
    let meta = meta_text
        .as_ref()
        .and_then(|(text, _)| Meta::parse(text).ok());
    let source = format!("backup {} of {}", backup.id, backup.host);
    let mut options = args.options(meta, source, context)?;
    let verbatim = args.is_verbatim() && name.is_some();
    if let (Some(name), Some((text, mtime)), true) = (name, meta_text, verbatim) {
        options = options.with_name(name, text, mtime);
    }
    let (selection, paths) = find_selected(args, &repository, &backup, context).await?;
    let dir = args.folder();
    let (mut progress, guard) = bundles::progress(context);
    let is_emqx = options.prefix == BundleName::EMQX_PREFIX;
    let writer =
        BundleWriter::create(&dir, options).map_err(|error| bundles::explain_writing(&error))?;
    progress.narrate(writer.target(), is_emqx, &context.output);
    let sink = BundleSink::new(writer, selection, progress).with_whole_bundle(verbatim);
    let (engine, export_guard) = (context.engine(), guard);
    let options = ExportOptions::default().with_paths(paths);
    let selector = BackupSelector::from(backup.id);
    let exported =
        br_core::engine::export::export(&repository, &selector, sink, &options, &engine).await;
    let (sink, _) = exported.map_err(bundles::explain_export)?;
    let finish = move |_: &mut BundleReporter| {
        let (writer, left_out) = sink.finish()?;
        Ok((writer.finish()?, left_out.len() as u64))
    };
    let (report, left_out) = bundles::write(context, finish).await?;
    drop(export_guard);
    Ok(Exported { report, left_out })
}

/// The selection, for the bundle and as paths in the backup. A user may type names as `br ls` shows them. Without a table set or
/// a root key, the result selects everything.
async fn find_selected(
    args: &ExportArgs,
    repository: &br_core::Repository,
    backup: &Backup,
    context: &CommandContext,
) -> Result<(Selection, Vec<EntryPath>), CommandError> {
    let selection = args.selection.selection();
    let typed = selection.paths.iter();
    let typed = typed.map(|path| PathInBackup::parse(path.as_str().as_ref()));
    let typed = typed.collect::<Result<Vec<_>, _>>()?;
    let paths = find_paths(&typed, repository, backup, context).await?;
    let member = |(path, typed): (&EntryPath, &MemberPath)| {
        let text = std::str::from_utf8(path.as_bytes()).ok();
        let member = text.and_then(|text| MemberPath::new(text).ok());
        member.unwrap_or_else(|| typed.clone())
    };
    let members = paths.iter().zip(&selection.paths).map(member).collect();
    Ok((selection.with_paths(members), paths))
}

/// Returns the content of a small file in a backup and its modification time.
async fn read_member(
    repository: &br_core::Repository,
    backup: &Backup,
    path: &str,
    context: &CommandContext,
) -> Result<(Vec<u8>, u64), CommandError> {
    let path = super::paths::entry_path(path.as_ref())?;
    let (to, mut from) = std::io::pipe()
        .map(|(from, to)| (to, from))
        .map_err(|error| {
            CommandError::from(br_archive::Error::new(ErrorKind::Io, error.to_string()))
        })?;
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut from, &mut text).map(|_| text)
    });
    let entry =
        br_core::engine::dump::dump(repository, backup.id, path, to, &context.engine()).await?;
    let mtime = u64::try_from(entry.mtime.secs).unwrap_or(0);
    let text = read.await.map_err(std::io::Error::other).flatten();
    let text = text.map_err(|error| br_archive::Error::new(ErrorKind::Io, error.to_string()))?;
    Ok((text, mtime))
}

fn print(exported: &Exported, seconds: f64, context: &CommandContext) -> Result<(), CommandError> {
    let (output, report) = (&context.output, &exported.report);
    for path in &report.changed {
        let path = format::text(path.as_str());
        output.console.warning(&format!(
            "{path} changed while br read it: it may mix two states"
        ));
    }
    if output.is_json() {
        return output.document(&Summary::new(ExportJson::new(
            report,
            exported.left_out,
            seconds,
        )));
    }
    if output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    for line in exported_lines(report) {
        lines.line(&line)?;
    }
    lines.finish()
}
