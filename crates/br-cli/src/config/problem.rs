//! What is wrong with a configuration file, and where.

use std::fmt;
use std::path::PathBuf;

use crate::error::CommandError;
use crate::output::format;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// Counts from 1; 0 means the whole file.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = format::path(&self.file);
        match self.line {
            0 => write!(f, "{file}"),
            line => write!(f, "{file}, line {line}"),
        }
    }
}

/// A mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// What is wrong, a lower-case fragment.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

impl Problem {
    pub(super) fn new(place: &Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Fails if there are problems, and names the first of them.
    pub(crate) fn refuse(problems: &[Self]) -> Result<(), CommandError> {
        let Some(first) = problems.first() else {
            return Ok(());
        };
        let message = format!("{}: {}", first.place, first.message);
        let more = match problems.len() {
            1 => String::new(),
            many => format!("; `br config check` lists all {many} mistakes"),
        };
        let hint = format!(
            "{}{more}; with `--config /dev/null` br reads no file",
            first.hint
        );
        Err(CommandError::usage(message, hint))
    }
}
