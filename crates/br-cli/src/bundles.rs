//! Shared by the bundle commands: arguments, progress, and explanations of errors.
//!
//! [`SelectionArgs`], [`LimitArgs`] and [`NodeArgs`] are arguments, [`BundleReporter`] reports progress. Invariant: work on a
//! bundle runs on a separate thread and stops soon after the user cancels it.

use std::path::Path;
use std::sync::Arc;

use br_archive::{
    BundleProgress, Error, ErrorKind, Event, Limits, MemberPath, PathError, Selection,
};
use br_core::Progress as _;
use br_core::model::EntryPath;
use br_emqx::rules::{Edition, Node, Refusal, Version};
use br_emqx::table_sets;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::output::bundle::Narration;
use crate::output::format::parse_size;
use crate::output::{Output, ProgressGuard, ProgressReporter};
use crate::thread;
use crate::values::number;

/// Exit codes of commands that read a bundle.
pub(crate) const CODES: &[ExitStatus] = &[
    ExitStatus::Ok,
    ExitStatus::Failure,
    ExitStatus::Usage,
    ExitStatus::AccessDenied,
    ExitStatus::Damaged,
    ExitStatus::Refused,
    ExitStatus::Interrupted,
];

/// Which part of a bundle to use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which part")]
pub(crate) struct SelectionArgs {
    /// Use only this path and everything below it, as `br bundle inspect -v` shows it (can be repeated)
    #[arg(long = "path", value_name = "PATH", value_parser = parse_path)]
    paths: Vec<MemberPath>,

    /// Use only the EMQX tables of these table sets, such as `banned,psk`
    #[arg(long, value_name = "SET,…", value_parser = parse_sets)]
    table_sets: Option<Sets>,

    /// Use only these root keys of EMQX's configuration, such as `mqtt,listeners`
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    root_keys: Option<Vec<String>>,
}

/// Reads a path as users and shells write it, such as `./mnesia/`.
fn parse_path(text: &str) -> Result<MemberPath, PathError> {
    let parts = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    MemberPath::new(&parts.collect::<Vec<_>>().join("/"))
}

/// A list that clap treats as one value.
#[derive(Debug, Clone)]
struct Sets(Vec<String>);

fn parse_sets(text: &str) -> Result<Sets, Refusal> {
    let sets = table_sets::parse_sets(text)?;
    Ok(Sets(sets.into_iter().map(str::to_owned).collect()))
}

impl SelectionArgs {
    /// The selection from the command line.
    pub(crate) fn selection(&self) -> Selection {
        let sets = self.table_sets.clone().map(|sets| sets.0);
        Selection::default()
            .with_paths(self.paths.clone())
            .with_table_sets(sets)
            .with_root_keys(self.root_keys.clone())
    }
}

/// Limits for a bundle.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits of a bundle")]
pub(crate) struct LimitArgs {
    /// Maximum number of members
    #[arg(
        long,
        value_name = "N",
        default_value_t = Limits::default().members,
        value_parser = number(1..=u64::MAX, "the number of members", "--max-members 1000000")
    )]
    max_members: u64,

    /// Maximum size of all members together
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "1TiB")]
    max_bytes: u64,

    /// Maximum compression ratio: bytes per compressed byte
    #[arg(
        long,
        value_name = "N",
        default_value_t = Limits::default().ratio,
        value_parser = number(1..=u64::MAX, "the ratio", "--max-ratio 1000")
    )]
    max_ratio: u64,
}

impl LimitArgs {
    /// The limits from the command line.
    pub(crate) fn limits(&self) -> Limits {
        Limits::default()
            .with_members(self.max_members)
            .with_member_bytes(self.max_bytes)
            .with_total_bytes(self.max_bytes)
            .with_ratio(self.max_ratio)
    }
}

/// The EMQX node that will import the bundle.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For EMQX")]
pub(crate) struct NodeArgs {
    /// Refuse the bundle unless a node of this version can import it, such as 5.8.1
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    target_version: Option<Version>,

    /// Edition of that node
    #[arg(long, value_name = "EDITION", value_enum, default_value_t = EditionArg::Ee, requires = "target_version")]
    target_edition: EditionArg,
}

/// EMQX's editions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EditionArg {
    /// The open source edition, up to 5.8
    Ce,
    /// The enterprise edition, and all EMQX versions since 5.9
    Ee,
}

fn parse_version(text: &str) -> Result<Version, &'static str> {
    Version::parse(text).map_err(|_| "a version consists of numbers and dots, such as 5.8.1")
}

impl NodeArgs {
    /// The node, if one was named.
    pub(crate) fn node(&self) -> Option<Node> {
        let version = self.target_version.clone()?;
        let edition = match self.target_edition {
            EditionArg::Ce => Edition::Ce,
            EditionArg::Ee => Edition::Ee,
        };
        Some(Node::new(edition, version))
    }
}

/// Receives the events of `br-archive`, counts them like those of the engine, and says whether to stop.
#[derive(Clone)]
pub(crate) struct BundleReporter {
    reporter: Arc<ProgressReporter>,
    cancel: CancellationToken,
    /// Prints a line for each member, as EMQX does.
    narration: Option<(Narration, Output)>,
}

impl BundleReporter {
    /// Prints the path of the bundle and, for an EMQX bundle, each member that br adds.
    pub(crate) fn narrate(&mut self, bundle: &Path, is_emqx: bool, output: &Output) {
        if output.is_json() || output.console.quiet {
            return;
        }
        let narration = Narration::exporting();
        say(output, &[narration.begin(bundle)]);
        if is_emqx {
            self.narration = Some((narration, output.clone()));
        }
    }
}

/// Prints lines. If the reader has closed the pipe, the end of the command reports it.
fn say(output: &Output, lines: &[String]) {
    let mut out = output.lines();
    let printed = lines.iter().try_for_each(|line| out.line(line));
    drop(printed.and_then(|()| out.finish()));
}

impl BundleProgress for BundleReporter {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Advance { bytes } => {
                let entries = 0;
                self.reporter
                    .event(br_core::Event::Advance { bytes, entries });
            }
            Event::Member { path, .. } => {
                if let Some((narration, output)) = &mut self.narration {
                    say(output, &narration.member(path));
                }
                let (bytes, entries) = (0, 1);
                self.reporter
                    .event(br_core::Event::Advance { bytes, entries });
            }
            Event::LeftOut { path, reason } => {
                use std::os::unix::ffi::OsStrExt as _;
                let bytes = path.as_os_str().as_bytes().to_vec();
                // An entry never has an absolute path, but both are shown the same way.
                let shown = bytes.strip_prefix(b"/").unwrap_or(&bytes).to_vec();
                if let Ok(path) = EntryPath::new(shown) {
                    let path = &path;
                    self.reporter.event(br_core::Event::Failed { path, reason });
                }
            }
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// Reads a bundle on a separate thread and shows progress.
pub(crate) async fn run<T: Send + 'static>(
    context: &CommandContext,
    work: impl FnOnce(&mut BundleReporter) -> br_archive::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    Ok(on_thread(context, work).await??)
}

/// Writes a bundle, like [`run`].
pub(crate) async fn write<T: Send + 'static>(
    context: &CommandContext,
    work: impl FnOnce(&mut BundleReporter) -> br_archive::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    let written = on_thread(context, work).await?;
    written.map_err(|error| explain_writing(&error))
}

async fn on_thread<T: Send + 'static>(
    context: &CommandContext,
    work: impl FnOnce(&mut BundleReporter) -> br_archive::Result<T> + Send + 'static,
) -> Result<br_archive::Result<T>, CommandError> {
    let (mut progress, guard) = progress(context);
    let done = thread::on_thread(move || work(&mut progress)).await;
    drop(guard);
    done
}

/// A progress reporter; progress is shown until the guard is dropped.
pub(crate) fn progress(context: &CommandContext) -> (BundleReporter, ProgressGuard) {
    let reporter = Arc::new(context.reporter().with_failures("left out"));
    let guard = ProgressGuard::start(&context.output.console, &reporter);
    let cancel = context.cancel.clone();
    let progress = BundleReporter {
        reporter,
        cancel,
        narration: None,
    };
    (progress, guard)
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        explain(&error)
    }
}

/// Explains an error about a bundle.
fn explain(error: &Error) -> CommandError {
    let (status, hint) = advice(error);
    let mut out = CommandError::new(status, error.to_string(), hint);
    if let Some(cause) = std::error::Error::source(error) {
        out = out.because(cause);
    }
    out.causes.dedup();
    out
}

/// Explains an error about a bundle that br was writing.
pub(crate) fn explain_writing(error: &Error) -> CommandError {
    let out = explain(error);
    match (error.kind(), error.refusal()) {
        (_, Some(_)) => out,
        (ErrorKind::Refused, _) => out.with_hint(
            "no bundle was written: leave out the path named above, or raise --max-members, --max-bytes or --max-ratio",
        ),
        (ErrorKind::Damaged, _) => {
            out.with_hint("no bundle was written: repair the file, or leave it out")
        }
        (ErrorKind::Cancelled, _) => out.with_hint("run the command again: no bundle was written"),
        _ => out,
    }
}

/// Explains an export error: a bundle error if that is the cause.
pub(crate) fn explain_export(error: br_core::Error) -> CommandError {
    let source = std::error::Error::source(&error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    let of_bundle = io.and_then(std::io::Error::get_ref);
    match of_bundle.and_then(|source| source.downcast_ref::<Error>()) {
        Some(of_bundle) => explain_writing(of_bundle),
        None => error.into(),
    }
}

/// The exit code and the hint for an error.
fn advice(error: &Error) -> (ExitStatus, String) {
    let (status, hint) = match (error.kind(), error.refusal()) {
        (_, Some(Refusal::NotFound)) => (ExitStatus::Usage, "check the path"),
        (_, Some(Refusal::EarlierFormat)) => (
            ExitStatus::Refused,
            "convert it to a bundle first, with EMQX's tool emqx-data-converter",
        ),
        (_, Some(Refusal::BadBackupName | Refusal::UnsafeBackupName)) => (
            ExitStatus::Refused,
            "give the file its original name, which ends with .tar.gz or .tar.zst",
        ),
        (_, Some(Refusal::BadArchiveDir)) => return (ExitStatus::Refused, renamed(error)),
        (_, Some(Refusal::UnknownRootKeys { .. })) => {
            (ExitStatus::Usage, "`br bundle inspect FILE` shows the keys")
        }
        (_, Some(Refusal::EeToCeBackup | Refusal::UnsupportedVersion { .. })) => (
            ExitStatus::Refused,
            "import it into a node of the same edition, and of the same or a later version",
        ),
        (_, Some(Refusal::DifferentTableSchema)) => (
            ExitStatus::Refused,
            "another release of EMQX wrote this table: leave it out with --table-sets, or import into an empty folder",
        ),
        (ErrorKind::Invalid, _) if error.member().is_some() => (
            ExitStatus::Usage,
            "move the conflicting file away, or choose another folder: nothing was changed",
        ),
        (ErrorKind::Invalid, _) => (ExitStatus::Usage, "`--help` explains the arguments"),
        (ErrorKind::Exists, _) => (
            ExitStatus::Failure,
            "choose another name or folder: br overwrites nothing, and only one import at a time can use a folder",
        ),
        (ErrorKind::Refused, _) => (
            ExitStatus::Refused,
            "br used nothing from the bundle: find out who made it; --max-members, --max-bytes and --max-ratio raise the limits",
        ),
        (ErrorKind::Damaged, _) => (
            ExitStatus::Damaged,
            "br used nothing from the bundle: `br bundle verify` lists all errors; get another copy",
        ),
        (ErrorKind::Cancelled, _) => (
            ExitStatus::Interrupted,
            "run the command again: nothing was changed",
        ),
        (ErrorKind::Io, _) if is_denied(error) => (
            ExitStatus::AccessDenied,
            "check the permissions of the folder",
        ),
        _ => (
            ExitStatus::Failure,
            "fix the cause above and run the command again",
        ),
    };
    (status, hint.to_owned())
}

fn is_denied(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// The folder name that the archive expects.
fn renamed(error: &Error) -> String {
    let directory = error.member().and_then(|member| member.split('/').next());
    match directory.map(crate::output::format::text) {
        Some(name) if !name.is_empty() => format!(
            "a bundle must keep its name: the archive contains the folder `{name}`, so rename the file to {name}.tar.gz"
        ),
        _ => "a bundle must keep the name it was exported with".to_owned(),
    }
}
