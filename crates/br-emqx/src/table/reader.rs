//! Strict reader of the records of a table.

use std::io::Read;

use super::item::{TableHeader, TableItem, TableSchema, parse_header, parse_item};
use super::problem::{TableError, TableProblem};
use crate::disk_log::LogReader;
use crate::term::Term;

/// Reads a table: its header and definition, and then its records in order.
///
/// Every item that an export does not contain is an error. After an error about a single item, the caller may continue to read.
#[derive(Debug)]
pub struct TableReader<R> {
    log: LogReader<R>,
    header: TableHeader,
    schema: TableSchema,
    definition: [Vec<u8>; 2],
}

/// A record of a table.
#[derive(Debug)]
pub struct Record<'a> {
    /// Where the record starts in the file, in bytes.
    pub offset: u64,
    /// The bytes of the record in the file: one encoded term.
    pub bytes: &'a [u8],
    /// The key of the record.
    pub key: Term,
    /// The other fields, at least one.
    pub values: Vec<Term>,
}

impl<R: Read> TableReader<R> {
    /// Reads the header and the definition. `name` is the name of the file, which must be that of the table.
    ///
    /// # Errors
    /// If the input fails or does not start like an export of that table.
    pub fn open(name: &str, input: R) -> Result<Self, TableError> {
        let mut log = LogReader::new(input)?;
        let item = log.next_item()?.ok_or(TableProblem::MissingHeader)?;
        let header = parse_header(&item)?;
        let header_bytes = item.bytes.to_vec();
        let item = log.next_item()?.ok_or(TableProblem::NoSchema)?;
        let TableItem::Schema(schema) = parse_item(name, &item)? else {
            return Err(TableProblem::NoSchema.into());
        };
        let definition = [header_bytes, item.bytes.to_vec()];
        Ok(Self {
            log,
            header,
            schema,
            definition,
        })
    }

    /// When and by which node the table was written.
    #[must_use]
    pub const fn header(&self) -> &TableHeader {
        &self.header
    }

    /// The definition of the table.
    #[must_use]
    pub const fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// True if the table was written completely; see [`TableProblem::NotClosed`].
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.log.is_closed()
    }

    /// The bytes of the items before the records: the header and the definition.
    #[must_use]
    pub const fn definition(&self) -> &[Vec<u8>; 2] {
        &self.definition
    }

    /// The next record, or `None` at the end and after an error that leaves nothing to read.
    ///
    /// # Errors
    /// If the input fails or the next item is not a record of this table.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, TableError> {
        let Some(item) = self.log.next_item()? else {
            return Ok(None);
        };
        let offset = item.offset;
        let (key, values) = match parse_item(&self.schema.name, &item)? {
            TableItem::Record { key, values } => (key, values),
            TableItem::Schema(_) => return Err(TableProblem::SeveralSchemas { offset }.into()),
        };
        check_arity(&self.schema, offset, values.len() + 2)?;
        Ok(Some(Record {
            offset,
            bytes: item.bytes,
            key,
            values,
        }))
    }
}

pub(super) const fn check_arity(
    schema: &TableSchema,
    offset: u64,
    arity: usize,
) -> Result<(), TableProblem> {
    let expected = schema.arity();
    if arity == expected {
        return Ok(());
    }
    Err(TableProblem::Arity {
        offset,
        arity,
        expected,
    })
}
