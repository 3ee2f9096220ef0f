//! The command line: the commands, and the options that all of them accept.
//!
//! [`Cli`] is the root; the arguments of each command are in the module of the command. Invariant: every secret can be given
//! without an argument, because other users can see arguments in the list of processes; br warns of the few arguments that hold one.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    backup, bundle, check, completions, delete, diff, dump, export, forget, import, init, label,
    link, list, ls, man, matrixone, prune, restore, show, stats, storage, undelete,
};
use crate::compat::mo_br;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::storage::StorageArgs;
use crate::values;

const LONG_ABOUT: &str = "\
Back up files to local disk and object storage, and restore them

A repository is a folder that holds backups. Each backup is complete: data that several backups \
share is stored once, but no backup depends on another. br does not read files again that have not \
changed since the last backup.";

const EXAMPLES: &str = "\
  br -r /mnt/disk/backup backup --init ~/documents   # create the repository and the first backup
  br -r /mnt/disk/backup backup ~/documents          # back up
  br -r /mnt/disk/backup list                        # list the backups
  br -r /mnt/disk/backup restore latest --target /tmp/restored

  export BR_REPOSITORY=/mnt/disk/backup              # name the repository once and leave out -r

  br -r s3://bucket/folder init                      # create a repository in S3, with the keys of the aws tools
  br -r s3://bucket/folder storage probe             # test a store";

const NAMING: &str = "\
Name a backup by its id, by the short id that `br list` shows, by `latest`, or by `latest~1` (the one before the latest).
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

/// Options that every command accepts.
///
/// clap does not read the environment variables of these options: it would show them in every usage line as if they had been
/// typed, and br could not distinguish typed values from the environment. [`GlobalOptions::check`] refuses options that
/// contradict each other: clap checks only one level of commands, but these options can be before or after the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Location of the repository: a path or a URL [env: BR_REPOSITORY]
    #[arg(short = 'r', long, global = true, value_name = "URL|PATH")]
    pub(crate) repo: Option<String>,

    /// Read the repository's password from a file [env: BR_PASSWORD_FILE]
    ///
    /// With `-`, br reads the first line of standard input. The password is one line and must not be empty. br ignores a line
    /// break at the end and a byte order mark at the start. You can also set BR_PASSWORD to the password. Options take precedence
    /// over the environment, and a file over a command over BR_PASSWORD. On a terminal br prompts for the password if it needs one
    /// and none is given.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Take the password from the output of a command [env: BR_PASSWORD_COMMAND]
    ///
    /// br runs the command with `sh -c`. It must print one line, for example `--password-command 'pass show backup | head -n 1'`.
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) password_command: Option<String>,

    /// Folder for caches and the backup journal [env: BR_CACHE_DIR]
    ///
    /// The default is $XDG_CACHE_HOME/br or ~/.cache/br. The journal records what a running backup has stored: if the backup is
    /// interrupted, the next one continues from there. A restore needs nothing from this folder.
    #[arg(long, global = true, value_name = "DIR", value_parser = values::folder())]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Use no cache folder
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,

    /// Print results as JSON, and messages on stderr as JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no progress, notes or summaries
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Show full lists
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    // Must be the last field: its heading applies to all options that follow.
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

    /// The password option on the command line, if there is one.
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
    Undelete(undelete::UndeleteArgs),
    Forget(Box<forget::ForgetArgs>),
    Prune(prune::PruneArgs),
    Pin(label::PinArgs),
    Unpin(label::UnpinArgs),
    Tag(label::TagCommand),
    Annotate(label::AnnotateArgs),
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

/// The end of a command's short help, for commands with additional exit codes.
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

/// Indents every line that is not empty.
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
    fn the_clap_command_line_is_valid() {
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
