//! Usage errors, and requested help.

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Console;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::help;
use crate::values::BadValue;

const HELP: &str = "`--help` explains the command";

/// The first line of a message of the parser, without its label.
pub(crate) fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches("error: ").to_owned()
}

/// Prints the output of clap for a command line of `grammar`: requested help and version to stdout, errors to stderr with a hint,
/// like all errors.
pub(crate) fn print(
    error: clap::Error,
    arguments: &[OsString],
    grammar: impl FnOnce() -> clap::Command,
) -> ExitStatus {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let error = match grammar().try_get_matches_from(arguments) {
                Err(in_order) if in_order.kind() == ErrorKind::DisplayHelp => in_order,
                _ => error,
            };
            // If the reader has closed the pipe, it does not need the help.
            let _ = error.print();
            return ExitStatus::Ok;
        }
        ErrorKind::MissingSubcommand => {
            let _ = write!(io::stderr(), "{}", grammar().render_help());
            return ExitStatus::Usage;
        }
        _ => {}
    }
    let is_json = arguments
        .iter()
        .skip(1)
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--json");
    let console = Console::new(is_json, false, false);
    if let Some((verb, hint)) = foreign(&error) {
        let message = format!("there is no command `{verb}`");
        console.error(&CommandError::usage(message, hint));
        return ExitStatus::Usage;
    }
    let bad = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    let hint = bad.map_or(HELP, |bad: &BadValue| bad.hint.as_str());
    let plain = error.render().to_string();
    if is_json {
        console.error(&CommandError::usage(message(&plain), hint));
        return ExitStatus::Usage;
    }
    let text = if console.has_color() {
        error.render().ansi().to_string()
    } else {
        plain
    };
    // clap's message ends with a reference to `--help`; br prints that as the hint.
    let end = text.rfind("For more information").unwrap_or(text.len());
    let mut stderr = io::stderr();
    let _ = writeln!(stderr, "{}\n", text[..end].trim_end());
    console.hint(hint);
    ExitStatus::Usage
}

/// The br command that corresponds to a command of another tool.
fn foreign(error: &clap::Error) -> Option<(String, &'static str)> {
    let kinds = [ErrorKind::InvalidSubcommand, ErrorKind::UnknownArgument];
    if !kinds.contains(&error.kind()) {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(verb) => Some((verb.clone(), help::foreign_verb(verb)?)),
        _ => None,
    }
}

/// The first paragraph on one line, without its label.
fn message(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_message_is_one_line() {
        let text =
            "error: the following were not provided:\n  --target <DIR>\n\nUsage: br restore\n";
        assert_eq!(
            message(text),
            "the following were not provided: --target <DIR>"
        );
    }
}
