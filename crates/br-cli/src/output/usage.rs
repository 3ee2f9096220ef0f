//! Arguments that are wrong, and help that was asked for.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::Console;
use crate::cli::Cli;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

const HELP: &str = "`--help` explains the command";

/// Prints what clap has to say: help and version to stdout when they were asked for, mistakes to stderr
/// with a hint, as everything that fails.
pub(crate) fn print(error: &clap::Error) -> ExitStatus {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever asked for help and went away does not miss it.
            let _ = error.print();
            return ExitStatus::Ok;
        }
        ErrorKind::MissingSubcommand => {
            let _ = write!(io::stderr(), "{}", Cli::command().render_help());
            return ExitStatus::Usage;
        }
        _ => {}
    }
    let plain = error.render().to_string();
    if std::env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
    {
        let message = message(&plain);
        Console::new(true, false, false).error(&CommandError::usage(message, HELP));
        return ExitStatus::Usage;
    }
    let console = Console::new(false, false, false);
    let text = if console.has_color() {
        error.render().ansi().to_string()
    } else {
        plain
    };
    // clap ends with an invitation to `--help`, which is our hint.
    let end = text.rfind("For more information").unwrap_or(text.len());
    let mut stderr = io::stderr();
    let _ = writeln!(stderr, "{}\n", text[..end].trim_end());
    console.hint(HELP);
    ExitStatus::Usage
}

/// The first paragraph, in one line, without its label.
fn message(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_one_line() {
        let text =
            "error: the following were not provided:\n  --target <DIR>\n\nUsage: br restore\n";
        assert_eq!(
            message(text),
            "the following were not provided: --target <DIR>"
        );
    }
}
