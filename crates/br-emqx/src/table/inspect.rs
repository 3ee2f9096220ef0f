//! Reporting on a table, whatever state it is in.

use std::io::{self, Read};

use super::item::{AtomStyle, TableHeader, TableItem, TableSchema, parse_header, parse_item};
use super::problem::TableProblem;
use super::reader::check_arity;
use crate::disk_log::{Item, LogError, LogReader};

/// How many problems a report lists; it counts them all.
pub const MAX_PROBLEMS: usize = 20;

/// What a table file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableReport {
    /// The name of the file.
    pub name: String,
    /// The header, if it could be read.
    pub header: Option<TableHeader>,
    /// The definition of the table, if it could be read.
    pub schema: Option<TableSchema>,
    /// How many sound records there are.
    pub rows: u64,
    /// Whether the table was written to its end.
    pub is_closed: bool,
    /// How atoms are written, if the header tells.
    pub atoms: Option<AtomStyle>,
    /// The first [`MAX_PROBLEMS`] problems, in the order of the file.
    pub problems: Vec<TableProblem>,
    /// How many problems there are, warnings included.
    pub problem_count: u64,
    /// How many of them are warnings.
    pub warning_count: u64,
}

impl TableReport {
    /// Whether nothing but warnings was found.
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

    /// The first item should be the header. Anything else is looked at as what may follow a header.
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

/// Reads a table to its end, or as far as that is possible. `name` is the name of the file.
///
/// # Errors
/// When the input fails. Whatever is wrong with what it says is part of the report.
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
