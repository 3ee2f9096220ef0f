//! The items of a table: the header, the definition of the table, and records.

use super::problem::TableProblem;
use crate::disk_log::Item;
use crate::term::{Term, decode};

/// The versions of backups that Mnesia reads.
const VERSIONS: [&str; 3] = ["0.1", "1.1", "1.2"];

/// Tags of atoms of at most 255 bytes, depending on the release of Erlang.
const LATIN1_ATOM: u8 = 100;
const UTF8_ATOM: u8 = 119;

/// When and by which node a table was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableHeader {
    /// The version of the format: `0.1`, `1.1` or `1.2`.
    pub version: String,
    /// The version of Mnesia.
    pub mnesia_version: String,
    /// The node, such as `emqx@127.0.0.1`.
    pub node: String,
    /// When the backup started, in microseconds since 1970 by the clock of the node.
    pub written_unix_micros: i64,
}

/// Whether a table may hold several records with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// One record for each key.
    Set,
    /// One record for each key, where the key `1.0` is the same as `1`.
    OrderedSet,
    /// Any number of different records for each key.
    Bag,
}

/// The definition of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSchema {
    /// The name of the table.
    pub name: String,
    /// Whether keys are unique.
    pub kind: TableKind,
    /// The names of the fields. The first is the key.
    pub attributes: Vec<String>,
    /// The first field of a record in the running table; in a backup it is the name of the table.
    pub record_name: String,
}

impl TableSchema {
    /// The number of fields of a record, including the name of the table.
    #[must_use]
    pub const fn arity(&self) -> usize {
        self.attributes.len() + 1
    }
}

/// The encoding of atoms, which shows the Erlang release of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtomStyle {
    /// In Latin-1: release 25 or older.
    Latin1,
    /// In UTF-8: release 26 or newer.
    Utf8,
}

impl AtomStyle {
    /// Reads the style from the first atom of a header, `log_header`.
    pub(super) const fn of_header(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [_, _, _, LATIN1_ATOM, ..] => Some(Self::Latin1),
            [_, _, _, UTF8_ATOM, ..] => Some(Self::Utf8),
            _ => None,
        }
    }
}

/// An item after the header.
pub(super) enum TableItem {
    Schema(TableSchema),
    Record { key: Term, values: Vec<Term> },
}

/// Reads `{log_header, backup_log, Version, MnesiaVersion, Node, {Mega, Sec, Micro}}`.
pub(super) fn parse_header(item: &Item<'_>) -> Result<TableHeader, TableProblem> {
    let term = decode_item(item)?;
    let Some([tag, kind, version, mnesia_version, node, written]) = term.as_tuple() else {
        return Err(TableProblem::MissingHeader);
    };
    if tag.as_atom() != Some("log_header") {
        return Err(TableProblem::MissingHeader);
    }
    match kind.as_atom() {
        Some("backup_log") => {}
        Some(kind) => return Err(TableProblem::HeaderKind { kind: kind.into() }),
        None => return Err(TableProblem::MissingHeader),
    }
    let version = version.to_text().ok_or(TableProblem::MissingHeader)?;
    if !VERSIONS.contains(&version.as_str()) {
        return Err(TableProblem::Version { version });
    }
    let parts = (
        mnesia_version.to_text(),
        node.as_atom(),
        unix_micros(written),
    );
    let (Some(mnesia_version), Some(node), Some(written_unix_micros)) = parts else {
        return Err(TableProblem::MissingHeader);
    };
    Ok(TableHeader {
        version,
        mnesia_version,
        node: node.into(),
        written_unix_micros,
    })
}

/// The time as `{Mega, Sec, Micro}`, in which Mega counts millions of seconds.
fn unix_micros(term: &Term) -> Option<i64> {
    const MILLION: i64 = 1_000_000;
    let [mega, seconds, micros] = term.as_tuple()? else {
        return None;
    };
    let seconds = mega
        .as_integer()?
        .checked_mul(MILLION)?
        .checked_add(seconds.as_integer()?)?;
    seconds
        .checked_mul(MILLION)?
        .checked_add(micros.as_integer()?)
}

/// Parses an item of the file for `table`.
pub(super) fn parse_item(table: &str, item: &Item<'_>) -> Result<TableItem, TableProblem> {
    let offset = item.offset;
    let Term::Tuple(fields) = decode_item(item)? else {
        return Err(TableProblem::NotARecord { offset });
    };
    let arity = fields.len();
    let mut fields = fields.into_iter();
    let (Some(Term::Atom(tag)), Some(key)) = (fields.next(), fields.next()) else {
        return Err(TableProblem::NotARecord { offset });
    };
    if &*tag == "schema" && arity <= 3 {
        let Term::Atom(name) = key else {
            return Err(TableProblem::NotARecord { offset });
        };
        return match fields.next() {
            _ if arity == 2 => Err(TableProblem::DeletesTable {
                offset,
                table: name.into(),
            }),
            Some(definition) if &*name == table => {
                parse_schema(table, offset, &definition).map(TableItem::Schema)
            }
            _ => Err(TableProblem::UnexpectedTable { table: name.into() }),
        };
    }
    if &*tag != table {
        return Err(TableProblem::ForeignRecord {
            offset,
            table: tag.into(),
            arity,
        });
    }
    if arity == 2 {
        // Every table of Mnesia has a field in addition to the key.
        return Err(TableProblem::DeletesRecord { offset });
    }
    Ok(TableItem::Record {
        key,
        values: fields.collect(),
    })
}

/// Reads the properties that Mnesia lists in the definition of a table.
fn parse_schema(table: &str, offset: u64, definition: &Term) -> Result<TableSchema, TableProblem> {
    let broken = |property| TableProblem::Schema { offset, property };
    let atom_or = |property, default| match lookup(definition, property) {
        None => Ok(default),
        Some(value) => value.as_atom().ok_or_else(|| broken(property)),
    };
    let kind = match atom_or("type", "set")? {
        "set" => TableKind::Set,
        "ordered_set" => TableKind::OrderedSet,
        "bag" => TableKind::Bag,
        _ => return Err(broken("type")),
    };
    let name = |term: &Term| term.as_atom().map(str::to_owned);
    let attributes = lookup(definition, "attributes")
        .and_then(Term::as_list)
        .and_then(|list| list.iter().map(name).collect::<Option<Vec<_>>>())
        .filter(|names| names.len() >= 2)
        .ok_or_else(|| broken("attributes"))?;
    Ok(TableSchema {
        name: table.into(),
        kind,
        attributes,
        record_name: atom_or("record_name", table)?.into(),
    })
}

/// The value of a property in a list of pairs.
fn lookup<'a>(definition: &'a Term, property: &str) -> Option<&'a Term> {
    let pair = |term: &'a Term| match term.as_tuple()? {
        [name, value] if name.as_atom() == Some(property) => Some(value),
        _ => None,
    };
    definition.as_list()?.iter().find_map(pair)
}

fn decode_item(item: &Item<'_>) -> Result<Term, TableProblem> {
    decode(item.bytes).map_err(|error| TableProblem::Term {
        offset: item.offset,
        error,
    })
}
