//! The whole command line: the options that all commands accept, and a command.
//!
//! [`Cli`] is the root. Invariant: commands do not use this module; the few that print the command line get it from the context.

use clap::Parser;

use crate::commands::Command;
use crate::global_options::GlobalOptions;
use crate::help::indent;

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
