//! All output of br: results on stdout, everything else on stderr.
//!
//! [`Output`] writes results, [`Console`] messages, [`ProgressReporter`] progress. Invariant: only this folder writes to stdout or
//! stderr, so that the progress bar and messages never mix and `--json` applies to all output.

pub(crate) mod bundle;
pub(crate) mod bundle_json;
pub(crate) mod doctor;
pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod matrixone;
mod message;
pub(crate) mod probe;
mod progress;
mod progress_text;
pub(crate) mod report;
pub(crate) mod retention;
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
pub(crate) use waiting::report_waits;

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

    /// True with `--verbose`.
    pub(crate) fn is_verbose(&self) -> bool {
        self.console.verbose
    }

    /// Opens stdout for several lines; [`Lines::finish`] flushes it.
    #[expect(clippy::unused_self, reason = "only code with an `Output` may print")]
    pub(crate) fn lines(&self) -> Lines {
        Lines(BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    /// Prints a JSON document on one line.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let mut lines = self.lines();
        lines.document(value)?;
        lines.finish()
    }

    /// Prints text unchanged.
    pub(crate) fn text(&self, text: &[u8]) -> Result<(), CommandError> {
        let mut lines = self.lines();
        lines.raw(text)?;
        lines.finish()
    }

    /// Prints the result of a command as labels and values, unless `--quiet` is given.
    pub(crate) fn summary(&self, fields: &[(&str, String)]) -> Result<(), CommandError> {
        if self.console.quiet {
            Ok(())
        } else {
            self.fields(fields)
        }
    }

    /// Prints labels and values, one pair per line.
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

    /// Unbuffered stdout for raw bytes.
    #[expect(clippy::unused_self, reason = "only code with an `Output` may print")]
    pub(crate) fn raw(&self) -> Result<File, CommandError> {
        let stdout = io::stdout();
        let owned = stdout.as_fd().try_clone_to_owned();
        owned
            .map(File::from)
            .map_err(|error| CommandError::output(&error))
    }

    /// The width of the terminal on stdout; `None` if stdout is not a terminal.
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
    /// Prints a line, without characters that could change how a terminal shows it.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), CommandError> {
        self.exact_line(&format::visible(text))
    }

    fn exact_line(&mut self, text: &str) -> Result<(), CommandError> {
        writeln!(self.0, "{text}").map_err(|error| CommandError::output(&error))
    }

    /// Prints a table. With the width of a terminal, the table fits it: `shrink` as for [`Table::fit`].
    pub(crate) fn table(
        &mut self,
        mut table: Table,
        width: Option<usize>,
        shrink: &[(&str, usize)],
    ) -> Result<(), CommandError> {
        let Some(width) = width else {
            return table.lines().iter().try_for_each(|line| self.line(line));
        };
        table.fit(width, shrink);
        let mut lines = table.lines().into_iter();
        lines.try_for_each(|line| self.line(&format::cut(&line, width)))
    }

    /// Prints raw bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.0
            .write_all(bytes)
            .map_err(|error| CommandError::output(&error))
    }

    /// Prints a JSON document on one line.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), CommandError> {
        self.exact_line(&json::to_line(value))
    }

    /// Flushes the output.
    pub(crate) fn finish(mut self) -> Result<(), CommandError> {
        self.0.flush().map_err(|error| CommandError::output(&error))
    }
}
