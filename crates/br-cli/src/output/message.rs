//! Messages for the terminal or the log.
//!
//! [`Console`] writes to stderr. Invariant: with `--json` every line is a JSON object; without it, no message contains
//! characters that could change how a terminal shows it.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use br_core::{Note, Warning};
use indicatif::ProgressBar;
use serde::Serialize;

use super::format;
use super::json::{self, Message};
use crate::environment::variable;
use crate::error::CommandError;

/// Writes to stderr.
pub(crate) struct Console {
    /// Lines are JSON.
    pub(crate) json: bool,
    /// Print no notes, progress or summaries.
    pub(crate) quiet: bool,
    /// Print full lists.
    pub(crate) verbose: bool,
    color: bool,
    bar: Mutex<Option<ProgressBar>>,
    /// Another task prints progress lines.
    progress: AtomicBool,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

/// The style of a label on a terminal.
#[derive(Debug, Clone, Copy)]
enum Style {
    Red,
    Yellow,
    Cyan,
}

impl Console {
    /// Creates a console. Colours are only for terminals, and not when `NO_COLOR` is set.
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let dumb = variable("TERM").is_none_or(|term| term == "dumb");
        let color = io::stderr().is_terminal() && variable("NO_COLOR").is_none() && !dumb;
        Self {
            json,
            quiet,
            verbose,
            color,
            bar: Mutex::default(),
            progress: AtomicBool::new(false),
        }
    }

    /// True when stderr is a terminal, so that br can ask questions.
    pub(crate) fn is_terminal() -> bool {
        io::stderr().is_terminal()
    }

    /// True when br can ask for a confirmation and read the answer.
    pub(crate) fn can_confirm() -> bool {
        io::stdin().is_terminal() && Self::is_terminal()
    }

    /// True when labels have colours.
    pub(super) fn has_color(&self) -> bool {
        self.color
    }

    /// Prints a note.
    pub(crate) fn note(&self, message: &str) {
        self.print_note(None, message);
    }

    /// Prints a note of an operation.
    pub(super) fn note_of(&self, note: &Note) {
        self.print_note(Some(note.kind()), &note.to_string());
    }

    fn print_note(&self, kind: Option<&str>, message: &str) {
        if self.quiet {
            return;
        }
        if self.json {
            self.document(&Message::Note { message, kind });
        } else {
            self.labelled(Style::Cyan, "note", message);
        }
    }

    /// Prints a warning.
    pub(crate) fn warning(&self, message: &str) {
        self.print_warning(None, message);
    }

    /// Prints a warning of an operation.
    pub(super) fn warning_of(&self, warning: &Warning) {
        self.print_warning(Some(warning.kind()), &warning.to_string());
    }

    fn print_warning(&self, kind: Option<&str>, message: &str) {
        if self.json {
            self.document(&Message::Warning { message, kind });
        } else {
            self.labelled(Style::Yellow, "warning", message);
        }
    }

    /// Reports an entry that failed.
    pub(crate) fn failed(&self, label: &str, path: &str, reason: &str) {
        if self.json {
            self.document(&Message::Failed { path, reason });
        } else {
            self.labelled(Style::Yellow, label, &format!("{path}: {reason}"));
        }
    }

    /// Lists an entry with what happens to it. This is a result, so it goes to stdout.
    pub(crate) fn entry(&self, action: &str, path: &str, reason: Option<&str>) {
        if self.json {
            let action = action.replace(' ', "-");
            let action = &action;
            return self.document(&Message::Entry {
                path,
                action,
                reason,
            });
        }
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let text = format!("{action:<9}  {path}{reason}");
        // If the reader has closed the pipe, the end of the command reports it.
        let print = || drop(writeln!(io::stdout(), "{}", format::visible(&text)));
        match self.bar.lock().as_deref() {
            Ok(Some(bar)) => bar.suspend(print),
            _ => print(),
        }
    }

    /// Prints a hint.
    pub(crate) fn hint(&self, message: &str) {
        if self.json {
            self.document(&Message::Hint { message });
        } else {
            self.labelled(Style::Cyan, "hint", message);
        }
    }

    /// Prints an error with its causes and its hint.
    pub(crate) fn error(&self, error: &CommandError) {
        if self.json {
            return self.document(&Message::from(error));
        }
        self.labelled(Style::Red, "error", &error.message);
        for cause in &error.causes {
            self.labelled(Style::Red, "caused by", cause);
        }
        self.labelled(Style::Cyan, "hint", &error.hint);
    }

    /// Prints a complete line.
    pub(crate) fn line(&self, text: &str) {
        // If stderr is closed, there is nowhere to report it.
        let print = || drop(writeln!(io::stderr(), "{text}"));
        match self.bar.lock().as_deref() {
            Ok(Some(bar)) => bar.suspend(print),
            _ => print(),
        }
    }

    /// Asks a yes-or-no question on the terminal.
    pub(crate) fn confirm(question: &str) -> io::Result<bool> {
        let mut stderr = io::stderr();
        write!(stderr, "{} [y/N] ", format::visible(question))?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }

    /// Prints a JSON object.
    pub(super) fn document(&self, value: &impl Serialize) {
        self.line(&json::to_line(value));
    }

    /// Shows a progress bar below the messages, or removes it.
    pub(super) fn set_bar(&self, bar: Option<ProgressBar>) {
        if let Ok(mut place) = self.bar.lock()
            && let Some(old) = std::mem::replace(&mut *place, bar)
        {
            old.finish_and_clear();
        }
    }

    /// True while another task prints progress lines.
    pub(super) fn shows_progress(&self) -> bool {
        self.progress.load(Ordering::Relaxed)
    }

    pub(super) fn set_shows_progress(&self, on: bool) {
        self.progress.store(on, Ordering::Relaxed);
    }

    fn labelled(&self, style: Style, label: &str, text: &str) {
        let text = format::visible(text);
        if !self.color {
            return self.line(&format!("{label}: {text}"));
        }
        let code = match style {
            Style::Red => "1;31",
            Style::Yellow => "1;33",
            Style::Cyan => "1;36",
        };
        self.line(&format!("\u{1b}[{code}m{label}:\u{1b}[0m {text}"));
    }
}
