//! Everything that br prints: results on stdout, everything else on stderr.
//!
//! [`Output`] writes results, [`Console`] messages, [`ProgressReporter`] what continues. Invariant: nothing outside of this
//! folder writes to stdout or stderr, so that a bar and a message never mix and `--json` holds for all of it.

pub(crate) mod bundle;
pub(crate) mod bundle_json;
pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod matrixone;
mod message;
pub(crate) mod probe;
mod progress;
mod progress_text;
pub(crate) mod report;
mod table;
pub(crate) mod usage;
mod waiting;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use serde::Serialize;

pub(crate) use message::Console;
pub(crate) use progress::{ProgressGuard, ProgressReporter, SHOWN};
pub(crate) use table::Table;
pub(crate) use waiting::tell_what_is_waited_for;

use crate::error::CommandError;

/// Where results go.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Where messages go.
    pub(crate) console: Arc<Console>,
}

impl Output {
    /// True when results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.console.json
    }

    /// True when everything is listed and nothing is cut short.
    pub(crate) fn is_verbose(&self) -> bool {
        self.console.verbose
    }

    /// Opens stdout for many lines; [`Lines::finish`] ends it.
    #[expect(clippy::unused_self, reason = "only code with an `Output` may print")]
    pub(crate) fn lines(&self) -> Lines {
        Lines(BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    /// Prints one JSON document, on a line of its own.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let mut lines = self.lines();
        lines.document(value)?;
        lines.finish()
    }

    /// Prints text as it is.
    pub(crate) fn text(&self, text: &[u8]) -> Result<(), CommandError> {
        let mut lines = self.lines();
        lines.raw(text)?;
        lines.finish()
    }

    /// Prints what came of a command as labels and values, unless it is to be quiet.
    pub(crate) fn summary(&self, fields: &[(&str, String)]) -> Result<(), CommandError> {
        if self.console.quiet {
            Ok(())
        } else {
            self.fields(fields)
        }
    }

    /// Prints labels and values, one pair a line.
    pub(crate) fn fields(&self, fields: &[(&str, String)]) -> Result<(), CommandError> {
        let width = fields
            .iter()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or(0);
        let mut lines = self.lines();
        for (label, value) in fields {
            lines.line(&format!("{label:width$}  {value}"))?;
        }
        lines.finish()
    }

    /// Stdout without a buffer, for raw bytes.
    #[expect(clippy::unused_self, reason = "only code with an `Output` may print")]
    pub(crate) fn raw(&self) -> Result<File, CommandError> {
        let stdout = io::stdout();
        let owned = stdout.as_fd().try_clone_to_owned();
        owned
            .map(File::from)
            .map_err(|error| CommandError::output(&error))
    }

    /// Columns of the terminal that stdout is; `None` when it is none.
    #[expect(clippy::unused_self, reason = "only code with an `Output` may print")]
    pub(crate) fn terminal_width(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    }

    /// True when stdout is a terminal.
    #[expect(clippy::unused_self, reason = "only code with an `Output` may print")]
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

/// Stdout, buffered.
#[derive(Debug)]
pub(crate) struct Lines(BufWriter<Stdout>);

impl Lines {
    /// Prints a line for people, without characters that could change how a terminal shows it.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), CommandError> {
        self.exact_line(&format::visible(text))
    }

    fn exact_line(&mut self, text: &str) -> Result<(), CommandError> {
        writeln!(self.0, "{text}").map_err(|error| CommandError::output(&error))
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.0
            .write_all(bytes)
            .map_err(|error| CommandError::output(&error))
    }

    /// Prints one JSON document, on a line of its own.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), CommandError> {
        self.exact_line(&json::to_line(value))
    }

    /// Makes sure that everything is out.
    pub(crate) fn finish(mut self) -> Result<(), CommandError> {
        self.0.flush().map_err(|error| CommandError::output(&error))
    }
}
