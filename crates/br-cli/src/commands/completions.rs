//! `br completions`: prints a completion script for a shell.

use clap::Args;
use clap_complete::Shell;

use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};

const EXAMPLES: &str = "\
  br completions bash > ~/.local/share/bash-completion/completions/br
  br completions zsh > \"${fpath[1]}/_br\"
  br completions fish > ~/.config/fish/completions/br.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::PLAIN),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::PLAIN))
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, context: &CommandContext) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut (context.grammar)(), "br", &mut script);
    context.output.text(&script)?;
    Ok(ExitStatus::Ok)
}
