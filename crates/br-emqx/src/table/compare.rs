//! Comparison of two tables: counts what an import would change.

use std::io::{self, Read};

use super::index::{Fate, Index};
use super::item::TableSchema;
use super::problem::TableError;
use super::reader::{Record, TableReader};
use crate::term::AtomText;

/// The table of API keys. Its fourth field was renamed, and EMQX accepts files with the old name.
const API_KEYS: &str = "emqx_app";
const OLD_API_KEY_ATTRIBUTE: &str = "desc";
const NEW_API_KEY_ATTRIBUTE: &str = "extra";

/// The differences between an incoming table and a base table.
///
/// Records are counted by key, in bags by whole record. If the caller requests keys, the lists contain the first ones in Erlang's syntax,
/// cut after 200 characters, without values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableChanges {
    /// Records only in the incoming table.
    pub inserted: u64,
    /// Records in both that differ.
    pub updated: u64,
    /// Records in both that are equal.
    pub unchanged: u64,
    /// Records only in the base: a merge keeps them, a snapshot deletes them.
    pub only_in_base: u64,
    /// Keys of `inserted`, in the order of the incoming table.
    pub inserted_keys: Vec<String>,
    /// Keys of `updated`, in the order of the incoming table.
    pub updated_keys: Vec<String>,
    /// Keys of `only_in_base`, in the order of the base.
    pub only_in_base_keys: Vec<String>,
}

/// Why two tables could not be compared or merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The base could not be read.
    #[error("cannot read the base table")]
    Base(#[source] TableError),
    /// The incoming table could not be read.
    #[error("cannot read the incoming table")]
    Incoming(#[source] TableError),
    /// The tables have different fields. EMQX calls this `different_table_schema`.
    #[error("the table has other fields: {} instead of {}", names(.incoming), names(.base))]
    DifferentSchema {
        /// The attributes of the base.
        base: Vec<String>,
        /// The attributes of the incoming table.
        incoming: Vec<String>,
    },
    /// The merged table could not be written.
    #[error("cannot write the merged table")]
    Write(#[source] io::Error),
}

impl MergeError {
    /// EMQX's message for it, if it has one: see also [`TableProblem::emqx_message`](super::TableProblem::emqx_message).
    #[must_use]
    pub const fn emqx_message(&self) -> Option<&'static str> {
        match self {
            Self::DifferentSchema { .. } => Some("different_table_schema"),
            _ => None,
        }
    }
}

/// Compares the table `name` of two bundles. Both must be valid exports with the same fields.
///
/// Memory is proportional to the number of records, at 100 to 200 bytes each, and does not depend on their size. Lists at most `key_limit`
/// keys of each kind of change; if that is above zero, all incoming keys are also kept in memory.
///
/// # Errors
/// If a table cannot be read, or the incoming one could not be merged into the base.
pub fn compare(
    name: &str,
    base: impl Read,
    incoming: impl Read,
    key_limit: usize,
) -> Result<TableChanges, MergeError> {
    let mut base = TableReader::open(name, base).map_err(MergeError::Base)?;
    let mut incoming = TableReader::open(name, incoming).map_err(MergeError::Incoming)?;
    let mut index = index_incoming(base.schema(), &mut incoming, key_limit)?;
    meet_base(&mut index, &mut base, |_| Ok(()))?;
    Ok(index.changes())
}

/// Checks that the tables have the same fields, and indexes the whole incoming one.
pub(super) fn index_incoming<R: Read>(
    base: &TableSchema,
    incoming: &mut TableReader<R>,
    key_limit: usize,
) -> Result<Index, MergeError> {
    check_attributes(base, incoming.schema())?;
    let mut index = Index::new(base.kind, key_limit);
    while let Some(record) = incoming.next_record().map_err(MergeError::Incoming)? {
        index.add_incoming(&record);
    }
    Ok(index)
}

/// Reads the whole base and passes on the records that stay.
pub(super) fn meet_base<R: Read>(
    index: &mut Index,
    base: &mut TableReader<R>,
    mut keep: impl FnMut(&Record<'_>) -> Result<(), MergeError>,
) -> Result<(), MergeError> {
    while let Some(record) = base.next_record().map_err(MergeError::Base)? {
        if index.meet_base(&record) == Fate::Stays {
            keep(&record)?;
        }
    }
    Ok(())
}

/// The only part of the definition that EMQX compares.
fn check_attributes(base: &TableSchema, incoming: &TableSchema) -> Result<(), MergeError> {
    let is_same = |(base_name, name): (&String, &String)| {
        let was_renamed = base.name == API_KEYS && name == OLD_API_KEY_ATTRIBUTE;
        base_name == name || (was_renamed && base_name == NEW_API_KEY_ATTRIBUTE)
    };
    let mut pairs = base.attributes.iter().zip(&incoming.attributes);
    if base.attributes.len() == incoming.attributes.len() && pairs.all(is_same) {
        return Ok(());
    }
    Err(MergeError::DifferentSchema {
        base: base.attributes.clone(),
        incoming: incoming.attributes.clone(),
    })
}

fn names(attributes: &[String]) -> String {
    let name = |name: &String| AtomText(name).to_string();
    attributes.iter().map(name).collect::<Vec<_>>().join(", ")
}
