//! `br bootstrap`: writes the configuration files that a backup keeps, on a new machine.
//!
//! [`Plan`] says which files br would write. Invariant: br writes nothing before it knows that it may write all files, and every path is
//! shown.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use br_core::model::{Backup, Configuration};
use br_core::{Repository, ShortIds};
use clap::Args;
use serde::Serialize;

use super::bootstrap_steps::{self, Step};
use super::restore::is_foreign;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::json::Summary;
use crate::output::{Output, Table, format};
use crate::values;

const EXAMPLES: &str = "\
  br -r /mnt/disk/backup bootstrap --list      # the machines whose configuration is in the repository
  br -r /mnt/disk/backup bootstrap --dry-run   # show what br would write
  br -r /mnt/disk/backup bootstrap --host web1";

/// Write the configuration files of a lost machine on a new one
///
/// Each backup that `br run` makes keeps a copy of the configuration files. br takes the files from the newest backup that has them, writes them to their own paths, and says what is
/// left to do: which secrets are missing on this machine, and the commands that restore the files and continue the backups. The files have only references to
/// secrets, so keep the password of the repository elsewhere.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct BootstrapArgs {
    /// Take the files of this machine [default: the one with the newest backup]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Show the machines whose files the repository has, and write nothing
    #[arg(long, conflicts_with_all = ["host", "to", "force", "dry_run"])]
    list: bool,

    /// Write the files below this folder, instead of to their own paths
    #[arg(long, value_name = "DIR", value_parser = values::folder())]
    to: Option<PathBuf>,

    /// Replace existing files that differ
    #[arg(long)]
    force: bool,

    /// Show what br would write, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) async fn run(args: &BootstrapArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let backups = repository.backups(&context.engine()).await?;
    let short = ShortIds::new(backups.iter().map(|backup| backup.id));
    let with_files: Vec<&Backup> = (backups.iter())
        .filter(|backup| backup.configuration.is_some())
        .collect();
    if args.list {
        list(&newest_by_host(&with_files), &short, &context.output)?;
        return Ok(ExitStatus::Ok);
    }
    let newest = choose(args, &with_files)?;
    let backup = repository.describe(newest.id, &context.engine()).await?;
    let configuration = backup.configuration.clone().unwrap_or_default();
    warn(args, &repository, &with_files, &backup, context)?;
    let plan = Plan::make(&configuration, args)?;
    let steps = bootstrap_steps::find(&configuration, &backup, &backups, context)?;
    if !context.output.is_json() {
        print_backup(&backup, &configuration, &context.output)?;
    }
    if !args.dry_run {
        plan.write()?;
    }
    if context.output.is_json() {
        context.output.document(&Summary::new(BootstrapSummary {
            backup: backup.id.to_string(),
            host: backup.host.clone(),
            set: configuration.set.clone(),
            system: configuration.system.clone(),
            program: backup.program.clone(),
            files: plan.files,
            steps,
            dry_run: args.dry_run,
        }))?;
    } else {
        print(args, &plan, &steps, &context.output)?;
    }
    Ok(ExitStatus::Ok)
}

#[derive(Serialize)]
struct BootstrapSummary {
    backup: String,
    host: String,
    set: String,
    system: String,
    program: String,
    files: Vec<PlannedFile>,
    steps: Vec<Step>,
    dry_run: bool,
}

/// The newest backup of each host, the newest last.
fn newest_by_host<'b>(backups: &[&'b Backup]) -> Vec<&'b Backup> {
    let mut newest: Vec<&Backup> = Vec::new();
    for backup in backups.iter().rev() {
        if !newest.iter().any(|other| other.host == backup.host) {
            newest.push(backup);
        }
    }
    newest.reverse();
    newest
}

fn choose<'b>(args: &BootstrapArgs, backups: &[&'b Backup]) -> Result<&'b Backup, CommandError> {
    let fits = |backup: &&&Backup| args.host.as_ref().is_none_or(|host| *host == backup.host);
    if let Some(newest) = backups.iter().rfind(fits) {
        return Ok(newest);
    }
    let hosts = newest_by_host(backups);
    let hosts: Vec<String> = hosts.iter().map(|one| format::text(&one.host)).collect();
    let (message, hint) = match (&args.host, hosts.is_empty()) {
        (Some(host), false) => (
            format!("no backup has the configuration of {}", format::text(host)),
            format!("the repository has that of {}", hosts.join(", ")),
        ),
        _ => (
            "no backup of the repository has configuration files".to_owned(),
            "only backups that `br run` made have them: write br.toml by hand (`br help config`), and restore with `br restore`".to_owned(),
        ),
    };
    Err(CommandError::usage(message, hint))
}

/// Warns if the files could be those of another machine or of another user.
fn warn(
    args: &BootstrapArgs,
    repository: &Repository,
    backups: &[&Backup],
    chosen: &Backup,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let console = &context.output.console;
    let others = newest_by_host(backups);
    let others: Vec<String> = (others.iter())
        .filter(|other| other.host != chosen.host)
        .map(|other| format::text(&other.host))
        .collect();
    if args.host.is_none() && !others.is_empty() {
        let others = others.join(", ");
        console.note(&format!(
            "the repository also has the files of {others}: --host selects a machine"
        ));
    }
    if is_foreign(repository, context)? {
        console.warning(
            "another user could have written this repository: read the files before you run br with them, because they say which commands br runs",
        );
    }
    Ok(())
}

/// The files to write.
#[derive(Debug)]
struct Plan {
    files: Vec<PlannedFile>,
}

#[derive(Debug, Serialize)]
struct PlannedFile {
    /// Where br writes it.
    path: String,
    state: FileState,
    #[serde(skip)]
    at: PathBuf,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum FileState {
    New,
    /// A file with the same content exists.
    Unchanged,
    /// A file with another content exists.
    Replaced,
}

impl Plan {
    fn make(configuration: &Configuration, args: &BootstrapArgs) -> Result<Self, CommandError> {
        let mut files = Vec::new();
        for file in &configuration.files {
            let own = Path::new(&file.path);
            check_path(own, args.to.is_some())?;
            let at = match &args.to {
                Some(folder) => folder.join(own.strip_prefix("/").unwrap_or(own)),
                None => own.to_owned(),
            };
            check_no_other(&at, &files)?;
            let state = state_of(&at, &file.text).map_err(|error| failed("read", &at, &error))?;
            files.push(PlannedFile {
                path: format::path(&at),
                state,
                at,
                text: file.text.clone(),
            });
        }
        let differs = |file: &&PlannedFile| file.state == FileState::Replaced;
        if let (Some(file), false) = (files.iter().find(differs), args.force || args.dry_run) {
            let message = format!("{} exists and differs", file.path);
            let hint = "--force replaces it; --to DIR writes the files elsewhere, to compare them";
            return Err(CommandError::usage(message, hint));
        }
        Ok(Self { files })
    }

    fn write(&self) -> Result<(), CommandError> {
        let new = |file: &&PlannedFile| file.state != FileState::Unchanged;
        for file in self.files.iter().filter(new) {
            write(&file.at, &file.text).map_err(|error| failed("write", &file.at, &error))?;
        }
        Ok(())
    }
}

/// Refuses a path that is that of another file, or above or below it.
fn check_no_other(at: &Path, others: &[PlannedFile]) -> Result<(), CommandError> {
    let collides = |other: &&PlannedFile| at.starts_with(&other.at) || other.at.starts_with(at);
    match others.iter().find(collides) {
        None => Ok(()),
        Some(other) => Err(CommandError::usage(
            format!(
                "the backup has two configuration files at one place: {} and {}",
                other.path,
                format::path(at)
            ),
            "use the configuration of another backup or machine: --list shows them",
        )),
    }
}

/// What is at a path. Reads only regular files: reading a pipe waits for ever.
fn state_of(at: &Path, text: &str) -> io::Result<FileState> {
    match fs::metadata(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FileState::New),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Err(io::Error::other("it is not a regular file")),
        Ok(_) => {}
    }
    if fs::read(at)? == text.as_bytes() {
        Ok(FileState::Unchanged)
    } else {
        Ok(FileState::Replaced)
    }
}

/// Refuses paths that are no configuration files: the repository could have been written by another user.
fn check_path(path: &Path, is_elsewhere: bool) -> Result<(), CommandError> {
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let is_toml = path.extension().is_some_and(|end| end == "toml");
    if path.is_absolute() && path.components().all(is_plain) && (is_toml || is_elsewhere) {
        return Ok(());
    }
    let message = format!(
        "br does not write to {}: the name of a configuration file ends with `.toml`",
        format::path(path)
    );
    let hint = "--to DIR writes the files below another folder";
    Err(CommandError::usage(message, hint))
}

/// Writes a file completely or not at all. Other users cannot change it.
fn write(at: &Path, text: &str) -> io::Result<()> {
    let folder = at.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)?;
    let name = at.file_name().unwrap_or_default();
    let part = at.with_file_name(format!(".{}.br-part", name.display()));
    // A br that was killed may have left it.
    let _ = fs::remove_file(&part);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&part)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, at));
    if written.is_err() {
        // The error says what failed.
        let _ = fs::remove_file(&part);
    }
    written
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CommandError {
    let message = format!("cannot {what} {}", format::path(path));
    let hint = "run br as a user with permission for it, such as root, or write the files elsewhere with --to DIR";
    let status = if error.kind() == io::ErrorKind::PermissionDenied {
        ExitStatus::AccessDenied
    } else {
        ExitStatus::Failure
    };
    CommandError::new(status, message, hint).because(error)
}

fn list(backups: &[&Backup], short: &ShortIds, output: &Output) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Machine {
        host: String,
        backup: String,
        finished: String,
        set: String,
        system: String,
        program: String,
    }
    #[derive(Serialize)]
    struct Machines {
        machines: Vec<Machine>,
    }
    if output.is_json() {
        let machine = |backup: &&Backup| {
            let configuration = backup.configuration.clone().unwrap_or_default();
            Machine {
                host: backup.host.clone(),
                backup: backup.id.to_string(),
                finished: backup.finished.to_string(),
                set: configuration.set,
                system: configuration.system,
                program: backup.program.clone(),
            }
        };
        let machines = backups.iter().map(machine).collect();
        return output.document(&Summary::new(Machines { machines }));
    }
    if backups.is_empty() {
        output
            .console
            .note("no backup has configuration files: only backups that `br run` made have them");
        return Ok(());
    }
    let mut table = Table::new(&["HOST", "ID", "TIME", "SET", "SYSTEM", "PROGRAM"], &[]);
    for backup in backups {
        let configuration = backup.configuration.clone().unwrap_or_default();
        table.row(vec![
            format::text(&backup.host),
            short.get(backup.id),
            format::local_time(backup.finished),
            format::text(&configuration.set),
            format::text(&configuration.system),
            format::text(&backup.program),
        ]);
    }
    let mut lines = output.lines();
    lines.table(
        table,
        output.terminal_width(),
        &[("SYSTEM", 10), ("HOST", 10)],
    )?;
    lines.finish()
}

fn print_backup(
    backup: &Backup,
    configuration: &Configuration,
    output: &Output,
) -> Result<(), CommandError> {
    output.summary(&[
        ("machine", format::text(&backup.host)),
        ("system", format::text(&configuration.system)),
        ("program", format::text(&backup.program)),
        ("backup", backup.id.to_string()),
        ("made", format::local_time(backup.finished)),
        ("set", format::text(&configuration.set)),
    ])
}

fn print(
    args: &BootstrapArgs,
    plan: &Plan,
    steps: &[Step],
    output: &Output,
) -> Result<(), CommandError> {
    let mut lines = output.lines();
    for file in &plan.files {
        let what = match (file.state, args.dry_run) {
            (FileState::Unchanged, _) => "unchanged:",
            (FileState::New, true) => "would write:",
            (FileState::Replaced, true) if args.force => "would replace:",
            (FileState::Replaced, true) => "exists and differs, only --force replaces it:",
            (FileState::New, false) => "written:",
            (FileState::Replaced, false) => "replaced:",
        };
        lines.line(&format!("{what} {}", file.path))?;
    }
    lines.line("\nleft to do:")?;
    for step in steps {
        lines.line(&format!("- {}", step.text))?;
        if let Some(command) = &step.command {
            lines.line(&format!("    {command}"))?;
        }
    }
    lines.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configuration_files_are_written_to_their_own_paths() {
        for path in ["/etc/br/br.toml", "/root/.config/br/br.toml", "/srv/x.toml"] {
            assert!(check_path(Path::new(path), false).is_ok(), "{path}");
        }
        for path in [
            "/etc/cron.d/x",
            "/root/.ssh/authorized_keys",
            "/srv/x.toml/y",
        ] {
            assert!(check_path(Path::new(path), false).is_err(), "{path}");
            assert!(check_path(Path::new(path), true).is_ok(), "{path}");
        }
        for path in ["br.toml", "/etc/../x.toml", "../x.toml", ""] {
            assert!(check_path(Path::new(path), false).is_err(), "{path}");
            assert!(check_path(Path::new(path), true).is_err(), "{path}");
        }
    }
}
