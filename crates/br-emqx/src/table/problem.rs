//! What can be wrong with a table.

use std::io;

use crate::disk_log::{LogDamage, LogError};
use crate::term::{AtomText, Term, TermError};

/// Fields up to which the shape of a record is written out.
const MAX_SHOWN_FIELDS: usize = 24;

/// Something in a table that an export does not contain. Offsets count bytes from the start of the file.
///
/// The texts show names of tables and never keys or values, which may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableProblem {
    /// The file is no intact log. EMQX refuses only what is no log at all; it skips the rest without a word.
    #[error(transparent)]
    Log(#[from] LogDamage),
    /// The log was never closed: records may be missing at its end. A warning.
    #[error("it was never closed, so records may be missing at its end")]
    NotClosed,
    /// An item is no term.
    #[error("{error}, at offset {offset}")]
    Term {
        /// Where the item is.
        offset: u64,
        /// What is wrong with it.
        error: TermError,
    },
    /// The first item is no header.
    #[error("it does not start with the header of a backup")]
    MissingHeader,
    /// The first item is the header of another kind of log.
    #[error("it is a log of the kind {}, not a backup", AtomText(.kind))]
    HeaderKind {
        /// What the header says.
        kind: String,
    },
    /// A backup of a version other than 0.1, 1.1 and 1.2.
    #[error("backups of version {version:?} are not supported")]
    Version {
        /// What the header says.
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
    /// The definition lacks something.
    #[error("the definition at offset {offset} has no usable `{property}`")]
    Schema {
        /// Where the definition is.
        offset: u64,
        /// The property that is missing or not of its type.
        property: &'static str,
    },
    /// The definition of another table than the file's name says.
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
        /// How many fields it has, the name of the table included.
        arity: usize,
    },
    /// A record with too many fields or too few.
    #[error("the record at offset {offset} has {arity} fields instead of {expected}")]
    Arity {
        /// Where the record is.
        offset: u64,
        /// How many fields it has, the name of the table included.
        arity: usize,
        /// How many the definition asks for.
        expected: usize,
    },
    /// A term that is no record at all.
    #[error("the item at offset {offset} is no record")]
    NotARecord {
        /// Where the item is.
        offset: u64,
    },
}

impl TableProblem {
    /// Whether the records that are there can be used nevertheless.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::NotClosed)
    }

    /// The reason that EMQX gives when it takes this file back as `table`, without the `{"Backup traversal failed",…}` that
    /// some releases put around it, and with `_` for the values of a record. `None` where EMQX has no message of its own.
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
pub enum TableError {
    /// The input failed.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// The table is not as an export writes it.
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
