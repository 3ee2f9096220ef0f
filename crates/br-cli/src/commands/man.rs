//! `br man`: prints the manual.

use std::path::PathBuf;

use clap::Args;

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{self, examples, exit_codes};
use crate::values;

const EXAMPLES: &str = "\
  br man | man -l -
  br man --dir ~/.local/share/man/man1";

/// Print the manual page, or write all manual pages
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::PLAIN),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::PLAIN))
)]
pub(crate) struct ManArgs {
    /// Folder for the manual pages of all commands; created if it is missing
    #[arg(long, value_name = "DIR", value_parser = values::folder())]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, context: &CommandContext) -> CommandResult {
    let command = help::for_manual((context.grammar)().disable_help_subcommand(true));
    match &args.dir {
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|error| CommandError::output(&error))?;
            context.output.text(&page)?;
        }
        Some(dir) => {
            let write = || {
                std::fs::create_dir_all(dir)?;
                clap_mangen::generate_to(command, dir)
            };
            write().map_err(|error| {
                let message = format!("cannot write the manual into {}", dir.display());
                CommandError::new(ExitStatus::Failure, message, "check --dir").because(&error)
            })?;
        }
    }
    Ok(ExitStatus::Ok)
}
