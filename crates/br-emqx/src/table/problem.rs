//! Problems of a table.

use std::io;

use crate::disk_log::{LogDamage, LogError};
use crate::term::{AtomText, Term, TermError};

/// Most fields of a record whose shape is written in full.
const MAX_SHOWN_FIELDS: usize = 24;

/// A defect of a table: an item that an export does not contain. Offsets count bytes from the start of the file.
///
/// The texts show names of tables and never keys or values, which may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableProblem {
    /// The file is not an intact log. EMQX refuses only files that are not a log; it skips damaged items without an error.
    #[error(transparent)]
    Log(#[from] LogDamage),
    /// The log was never closed: records may be missing at its end. A warning.
    #[error("it was never closed, so records may be missing at its end")]
    NotClosed,
    /// An item is not a term.
    #[error("{error}, at offset {offset}")]
    Term {
        /// Where the item is.
        offset: u64,
        /// What is wrong with it.
        error: TermError,
    },
    /// The first item is not a header.
    #[error("it does not start with the header of a backup")]
    MissingHeader,
    /// The first item is the header of another kind of log.
    #[error("it is a log of the kind {}, not a backup", AtomText(.kind))]
    HeaderKind {
        /// The value in the header.
        kind: String,
    },
    /// A backup of a version other than 0.1, 1.1 and 1.2.
    #[error("backups of version {version:?} are not supported")]
    Version {
        /// The value in the header.
        version: String,
    },
    /// There is no definition of the table before the records.
    #[error("the definition of the table is missing")]
    NoSchema,
    /// The table is defined a second time.
    #[error("the table is defined a second time at offset {offset}")]
    SeveralSchemas {
        /// Where the second definition is.
        offset: u64,
    },
    /// The definition lacks a property.
    #[error("the definition at offset {offset} has no usable `{property}`")]
    Schema {
        /// Where the definition is.
        offset: u64,
        /// The property that is missing or not of its type.
        property: &'static str,
    },
    /// The definition is for another table than the file's name says.
    #[error("it defines the table {}", AtomText(.table))]
    UnexpectedTable {
        /// The table that is defined.
        table: String,
    },
    /// An order to delete a table.
    #[error("the item at offset {offset} would delete the table {}", AtomText(.table))]
    DeletesTable {
        /// Where the item is.
        offset: u64,
        /// The table that would be deleted.
        table: String,
    },
    /// An order to delete a record.
    #[error("the item at offset {offset} would delete a record")]
    DeletesRecord {
        /// Where the item is.
        offset: u64,
    },
    /// A record of another table.
    #[error("the item at offset {offset} is a record of the table {}", AtomText(.table))]
    ForeignRecord {
        /// Where the item is.
        offset: u64,
        /// The table to which the record says it belongs.
        table: String,
        /// Number of its fields, including the name of the table.
        arity: usize,
    },
    /// A record with too many fields or too few.
    #[error("the record at offset {offset} has {arity} fields instead of {expected}")]
    Arity {
        /// Where the record is.
        offset: u64,
        /// Number of its fields, including the name of the table.
        arity: usize,
        /// Number of fields in the definition.
        expected: usize,
    },
    /// A term that is not a record.
    #[error("the item at offset {offset} is not a record")]
    NotARecord {
        /// Where the item is.
        offset: u64,
    },
}

impl TableProblem {
    /// True if the existing records can still be used.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::NotClosed)
    }

    /// The reason that EMQX gives when it imports this file as `table`, without the `{"Backup traversal failed",…}` that some releases put
    /// around it, and with `_` for the values of a record. `None` if EMQX has no message for it.
    #[must_use]
    pub fn emqx_message(&self, table: &str, file: &str) -> Option<String> {
        match self {
            Self::Log(LogDamage::NotALog) => {
                let file = Term::string(file);
                Some(format!("{{not_a_log_file,{file}}}"))
            }
            Self::MissingHeader => Some(header_message("Missing header")),
            Self::HeaderKind { .. } => Some(header_message("Bad kind of header")),
            Self::Version { .. } => Some(header_message("Bad header version")),
            Self::UnexpectedTable { table } => {
                Some(format!("{{unexpected_table,{}}}", AtomText(table)))
            }
            Self::ForeignRecord {
                table: other,
                arity,
                ..
            } => Some(bad_record(table, other, *arity)),
            Self::Arity { arity, .. } => Some(bad_record(table, table, *arity)),
            _ => None,
        }
    }
}

fn header_message(what: &str) -> String {
    format!("\"{what}. Cannot be used as backup.\"")
}

fn bad_record(table: &str, tag: &str, arity: usize) -> String {
    let mut shape = AtomText(tag).to_string();
    for _ in 1..arity.min(MAX_SHOWN_FIELDS) {
        shape.push_str(",_");
    }
    if arity > MAX_SHOWN_FIELDS {
        shape.push_str(",…");
    }
    format!("{{bad_backup_record,{},{{{shape}}}}}", AtomText(table))
}

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The input failed.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// The table is not a valid export.
    #[error(transparent)]
    Problem(#[from] TableProblem),
}

impl From<LogError> for TableError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io(error) => Self::Io(error),
            LogError::Damage(damage) => Self::Problem(damage.into()),
        }
    }
}
