//! Merge of one table into another, as an import does it.

use std::io::{Read, Seek, SeekFrom, Write};

use super::compare::{MergeError, TableChanges, index_incoming, meet_base};
use super::problem::TableError;
use super::reader::TableReader;
use crate::disk_log::LogWriter;

/// Writes the base table with the records of the incoming one to `out`.
///
/// A record of the incoming table replaces the one with the same key, records only in the base stay, and the definition is that of the
/// base. Bags get the records that they lack. The output has first the records that stay, in the order of the base, then the others in the
/// order of the incoming table, so merging a table into itself gives the same table. Records are copied byte by byte.
///
/// The incoming table is read twice, from its current position. Memory is as for [`compare`](super::compare()). After an error the output
/// is incomplete, although it may look like a finished table: the caller must remove it.
///
/// # Errors
/// If a table cannot be read, the tables have different fields, or the output fails.
pub fn merge<W: Write>(
    name: &str,
    base: impl Read,
    mut incoming: impl Read + Seek,
    out: W,
) -> Result<TableChanges, MergeError> {
    let start = incoming.stream_position().map_err(failed_incoming)?;
    let mut base = TableReader::open(name, base).map_err(MergeError::Base)?;
    let mut first = TableReader::open(name, &mut incoming).map_err(MergeError::Incoming)?;
    let mut index = index_incoming(base.schema(), &mut first, 0)?;

    let mut log = LogWriter::new(out).map_err(MergeError::Write)?;
    for item in base.definition() {
        log.write_item(item).map_err(MergeError::Write)?;
    }
    meet_base(&mut index, &mut base, |record| {
        log.write_item(record.bytes).map_err(MergeError::Write)
    })?;

    incoming
        .seek(SeekFrom::Start(start))
        .map_err(failed_incoming)?;
    let mut second = TableReader::open(name, incoming).map_err(MergeError::Incoming)?;
    let mut number = 0;
    while let Some(record) = second.next_record().map_err(MergeError::Incoming)? {
        if index.is_to_add(number, &record) {
            log.write_item(record.bytes).map_err(MergeError::Write)?;
        }
        number += 1;
    }
    log.finish().map_err(MergeError::Write)?;
    Ok(index.changes())
}

fn failed_incoming(error: std::io::Error) -> MergeError {
    MergeError::Incoming(TableError::Io(error))
}
