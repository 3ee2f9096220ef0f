//! Report on a table, sound or damaged.

use std::io::{self, Read};

use super::item::{AtomStyle, TableHeader, TableItem, TableSchema, parse_header, parse_item};
use super::problem::TableProblem;
use super::reader::check_arity;
use crate::disk_log::{Item, LogError, LogReader};

/// Most problems that a report lists; it counts all of them.
pub const MAX_PROBLEMS: usize = 20;

/// The content of a table file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableReport {
    /// The name of the file.
    pub name: String,
    /// The header, if it could be read.
    pub header: Option<TableHeader>,
    /// The definition of the table, if it could be read.
    pub schema: Option<TableSchema>,
    /// Number of sound records.
    pub rows: u64,
    /// True if the table was written completely.
    pub is_closed: bool,
    /// The encoding of atoms, if the header shows it.
    pub atoms: Option<AtomStyle>,
    /// The first [`MAX_PROBLEMS`] problems, in the order of the file.
    pub problems: Vec<TableProblem>,
    /// Number of problems, including warnings.
    pub problem_count: u64,
    /// Number of warnings among them.
    pub warning_count: u64,
}

impl TableReport {
    /// True if it has no problems except warnings.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problem_count == self.warning_count
    }

    fn add(&mut self, problem: TableProblem) {
        self.problem_count += 1;
        self.warning_count += u64::from(problem.is_warning());
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// Adds the first item, which should be the header. Any other item is handled like those after a header.
    fn add_first(&mut self, item: &Item<'_>) {
        match parse_header(item) {
            Ok(header) => {
                self.header = Some(header);
                self.atoms = AtomStyle::of_header(item.bytes);
            }
            Err(TableProblem::MissingHeader) => {
                self.add(TableProblem::MissingHeader);
                self.add_item(item);
            }
            Err(problem) => self.add(problem),
        }
    }

    fn add_item(&mut self, item: &Item<'_>) {
        let offset = item.offset;
        let checked = match parse_item(&self.name, item) {
            Ok(TableItem::Schema(_)) if self.schema.is_some() => {
                Err(TableProblem::SeveralSchemas { offset })
            }
            Ok(TableItem::Schema(schema)) => {
                self.schema = Some(schema);
                return;
            }
            Ok(TableItem::Record { values, .. }) => match &self.schema {
                Some(schema) => check_arity(schema, offset, values.len() + 2),
                None => Ok(()),
            },
            Err(problem) => Err(problem),
        };
        match checked {
            Ok(()) => self.rows += 1,
            Err(problem) => self.add(problem),
        }
    }
}

/// Reads a table to the end, or as far as possible. `name` is the name of the file.
///
/// # Errors
/// If the input fails. The report contains all defects of the table.
pub fn inspect(name: &str, input: impl Read) -> io::Result<TableReport> {
    let mut report = TableReport {
        name: name.to_owned(),
        header: None,
        schema: None,
        rows: 0,
        is_closed: false,
        atoms: None,
        problems: Vec::new(),
        problem_count: 0,
        warning_count: 0,
    };
    match read_all(&mut report, input) {
        Ok(()) => {}
        Err(LogError::Io(error)) => return Err(error),
        Err(LogError::Damage(damage)) => report.add(damage.into()),
    }
    Ok(report)
}

fn read_all(report: &mut TableReport, input: impl Read) -> Result<(), LogError> {
    let mut log = LogReader::new(input)?;
    report.is_closed = log.is_closed();
    if !report.is_closed {
        report.add(TableProblem::NotClosed);
    }
    match log.next_item()? {
        Some(item) => report.add_first(&item),
        None => report.add(TableProblem::MissingHeader),
    }
    while let Some(item) = log.next_item()? {
        report.add_item(&item);
    }
    if report.schema.is_none() {
        report.add(TableProblem::NoSchema);
    }
    Ok(())
}
