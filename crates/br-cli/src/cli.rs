//! What can be typed: the commands and the options that all of them take.
//!
//! [`Cli`] is the whole of it; each command's own arguments stand with the command. Invariant: no secret has to be an
//! argument, where a list of processes shows it; the few that may be are warned of.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    backup, bundle, check, completions, delete, diff, dump, export, import, init, link, list, ls,
    man, matrixone, prune, restore, show, stats, storage,
};
use crate::compat::mo_br;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::storage::StorageArgs;
use crate::values;

const LONG_ABOUT: &str = "\
Back up files to local disk and object storage, and restore them

A repository is a folder that holds backups. Each backup is complete by itself: what it has in \
common with others is stored once, and none depends on another. Files that did not change since \
the last backup are not read again.";

const EXAMPLES: &str = "\
  br -r /mnt/disk/backup backup --init ~/documents   # make the repository, and the first backup
  br -r /mnt/disk/backup backup ~/documents          # back up
  br -r /mnt/disk/backup list                        # show the backups there are
  br -r /mnt/disk/backup restore latest --target /tmp/restored

  export BR_REPOSITORY=/mnt/disk/backup              # name the repository once and leave out -r

  br -r s3://bucket/folder init                      # make a repository in S3, with keys as for aws
  br -r s3://bucket/folder storage probe             # try a store out";

const NAMING: &str = "\
A backup is named by its id, by the part of it that `br list` shows, as `latest`, or as `latest~1` (the one before).
`br help COMMAND` explains a command, with examples.";

/// Back up files to local disk and object storage, and restore them
#[derive(Debug, Parser)]
#[command(
    name = "br",
    version,
    long_about = LONG_ABOUT,
    after_help = "`br help COMMAND` explains a command, with examples.",
    after_long_help = format!("Examples:\n{}\n\n{NAMING}", indent(EXAMPLES)),
    max_term_width = 100,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
///
/// Those with a variable in the environment do not leave it to clap, which would name them in every usage line as if they
/// had been typed, and could not tell what was typed from what was set long ago. Nor do those that contradict each other
/// ([`GlobalOptions::check`]): clap looks at one level of commands at a time, and they can be typed before and after the
/// command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Where the repository lies: a path or a URL [env: BR_REPOSITORY]
    #[arg(short = 'r', long, global = true, value_name = "URL|PATH")]
    pub(crate) repo: Option<String>,

    /// Read the repository's password from a file [env: BR_PASSWORD_FILE]
    ///
    /// With `-` it is the first line of standard input. A password is one line that is not empty; a line end and a byte
    /// order mark are not part of it, wherever it comes from. It can also be in the environment as BR_PASSWORD. Options
    /// come before the environment, a file before a command before BR_PASSWORD; on a terminal br asks when it needs a
    /// password and has none.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Take the password from what a command prints [env: BR_PASSWORD_COMMAND]
    ///
    /// The command is run by `sh -c` and prints one line, for example `--password-command 'pass show backup | head -n 1'`.
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) password_command: Option<String>,

    /// Folder for what makes the next run faster [env: BR_CACHE_DIR]
    ///
    /// The default is $XDG_CACHE_HOME/br or ~/.cache/br. It holds a journal of what a running backup has stored: if it is
    /// interrupted, the next one continues from there. Nothing in it is needed to restore.
    #[arg(long, global = true, value_name = "DIR", value_parser = values::folder())]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Use no cache folder
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,

    /// Print results as JSON, and messages on stderr as JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no progress, no notes and no summaries
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Show full lists
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    // Last, as its heading holds for all that follows.
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
}

impl GlobalOptions {
    /// Refuses options that contradict each other.
    pub(crate) fn check(&self) -> Result<(), CommandError> {
        let pairs = [
            (
                ("--password-file", self.password_file.is_some()),
                ("--password-command", self.password_command.is_some()),
            ),
            (
                ("--no-cache", self.no_cache),
                ("--cache-dir", self.cache_dir.is_some()),
            ),
            (("--quiet", self.quiet), ("--verbose", self.verbose)),
        ];
        for ((one, has_one), (other, has_other)) in pairs {
            if has_one && has_other {
                let message = format!("{one} and {other} contradict each other");
                return Err(CommandError::usage(message, "leave one of them out"));
            }
        }
        Ok(())
    }

    /// The option that was typed about the password.
    pub(crate) fn typed_password(&self) -> Option<&'static str> {
        let file = self.password_file.as_ref().map(|_| "--password-file");
        let command = self.password_command.as_ref().map(|_| "--password-command");
        file.or(command)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Backup(Box<backup::BackupArgs>),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Ls(ls::LsArgs),
    Diff(diff::DiffArgs),
    Dump(dump::DumpArgs),
    Restore(restore::RestoreArgs),
    Check(check::CheckArgs),
    Stats(stats::StatsArgs),
    Delete(delete::DeleteArgs),
    Prune(prune::PruneArgs),
    Export(Box<export::ExportArgs>),
    Import(Box<import::ImportArgs>),
    Bundle(bundle::BundleCommand),
    Matrixone(matrixone::MatrixOneCommand),
    #[command(name = "mo-br")]
    MoBr(mo_br::MoBrArgs),
    Link(link::LinkArgs),
    Storage(storage::StorageCommand),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    /// Print the reference of all commands as Markdown
    #[command(hide = true)]
    Reference,
}

/// The end of a command's short help: its exit codes.
pub(crate) fn exit_codes(statuses: &[ExitStatus]) -> String {
    exit_codes_and(statuses, &[])
}

/// The end of a command's short help, with codes that few commands have.
pub(crate) fn exit_codes_and(statuses: &[ExitStatus], more: &[ExitStatus]) -> String {
    let mut all: Vec<_> = statuses.iter().chain(more).collect();
    all.sort_by_key(|status| status.code());
    let rows = all
        .iter()
        .map(|status| format!("  {:>3}  {}", status.code(), status.meaning()));
    format!("Exit codes:\n{}", rows.collect::<Vec<_>>().join("\n"))
}

/// The end of a command's long help: examples and exit codes.
pub(crate) fn examples(examples: &str, codes: &str) -> String {
    format!("Examples:\n{}\n\n{codes}", indent(examples))
}

/// Indents every line alike; an empty one stays empty.
fn indent(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim() {
        "" => String::new(),
        line => format!("  {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_ends_its_help_with_exit_codes() {
        let mut command = Cli::command();
        command.build();
        for command in command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            if command.get_name() == "help" {
                continue;
            }
            let name = command.get_name();
            let about = command
                .get_about()
                .expect("every command says what it does")
                .to_string();
            assert!(
                !about.ends_with('.') && !about.contains('\n'),
                "{name}: {about}"
            );
            for help in [command.get_after_help(), command.get_after_long_help()] {
                let help = help.map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Exit codes:\n"), "{name}");
            }
        }
    }
}
