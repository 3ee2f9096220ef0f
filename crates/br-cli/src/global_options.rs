//! The options that all commands accept.
//!
//! [`GlobalOptions`] has them; the arguments of each command are in the module of the command. Invariant: every secret can be given
//! without an argument, because other users can see arguments in the list of processes; br warns of the few arguments that hold one.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::error::CommandError;
use crate::storage::StorageArgs;
use crate::values;

/// Options that every command accepts.
///
/// clap does not read the environment variables of these options: it would show them in every usage line as if they had been
/// typed, and br could not distinguish typed values from the environment. [`GlobalOptions::check`] refuses options that
/// contradict each other: clap checks only one level of commands, but these options can be before or after the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Location of the repository: a path, a URL, or a name from a configuration file [env: BR_REPOSITORY]
    ///
    /// Only `br backup` accepts it more than once: it makes the backup in the first repository, and copies it into the others like --copy-to.
    #[arg(
        short = 'r',
        long,
        global = true,
        action = ArgAction::Append,
        value_name = "URL|PATH"
    )]
    pub(crate) repo: Option<String>,

    /// The repositories that --repo names after the first one.
    #[arg(skip)]
    pub(crate) further: Vec<String>,

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

    /// Read this configuration file instead of the usual ones [env: BR_CONFIG]
    ///
    /// The usual ones are /etc/br/br.toml, /etc/br/br.d/*.toml and ~/.config/br/br.toml. `br help config` explains them.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

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
