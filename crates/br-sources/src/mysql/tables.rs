//! Which tables of a server are dumped.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::probe::{MySqlOptions, quoted};
use crate::server::ServerError;

/// The name of a table and of its database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MySqlTable {
    /// The database, which has no dot in its name.
    database: String,
    name: String,
}

impl MySqlTable {
    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The name of the table in its database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for MySqlTable {
    type Err = ServerError;

    /// Reads `DATABASE.TABLE`. The first dot separates the two.
    fn from_str(text: &str) -> Result<Self, ServerError> {
        let refuse = |reason: &str| ServerError::BadOption {
            what: format!("the table `{text}`"),
            reason: reason.to_owned(),
        };
        let (database, name) = text
            .split_once('.')
            .filter(|(database, name)| !database.is_empty() && !name.is_empty())
            .ok_or_else(|| refuse("write DATABASE.TABLE"))?;
        if text.starts_with('-') || text.contains(['\0', '\n', '\t']) {
            return Err(refuse("the dump program would take it for something else"));
        }
        Ok(Self {
            database: database.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for MySqlTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// What a dump has of its databases.
#[derive(Debug, Clone, Default)]
pub(super) struct Chosen {
    /// The tables and views that the dump program is to leave out.
    pub(super) ignored: Vec<MySqlTable>,
    /// Tables that were excluded, and that the server does not have.
    pub(super) unknown: Vec<MySqlTable>,
    /// Whether a database is dumped as a whole, with its routines and events.
    pub(super) has_whole_database: bool,
}

/// The statement for the names of all tables and views of these databases.
fn tables_of(databases: &[String]) -> String {
    let names: Vec<String> = databases.iter().map(|name| quoted(name)).collect();
    format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({}) ORDER BY 1, 2",
        names.join(", ")
    )
}

impl Chosen {
    /// Asks the server for its tables, if the options name some.
    ///
    /// # Errors
    /// When the server does not answer, or lacks a table that was chosen.
    pub(super) fn ask(
        options: &MySqlOptions,
        databases: &[String],
        ask: impl Fn(&str) -> Result<Vec<Vec<String>>, ServerError>,
    ) -> Result<Self, ServerError> {
        let names_tables = !options.tables.is_empty() || !options.excluded_tables.is_empty();
        let rows = if names_tables {
            ask(&tables_of(databases))?
        } else {
            Vec::new()
        };
        Self::new(options, databases, rows)
    }

    /// Compares the options with the tables that the server has.
    fn new(
        options: &MySqlOptions,
        databases: &[String],
        rows: Vec<Vec<String>>,
    ) -> Result<Self, ServerError> {
        let table = |row: Vec<String>| {
            let [database, name] = <[String; 2]>::try_from(row).ok()?;
            Some(MySqlTable { database, name })
        };
        let existing: BTreeSet<MySqlTable> = rows.into_iter().filter_map(table).collect();
        let wanted: BTreeSet<&MySqlTable> = options.tables.iter().collect();
        if let Some(missing) = wanted.iter().find(|table| !existing.contains(**table)) {
            return Err(ServerError::NoTable {
                name: missing.to_string(),
            });
        }
        let is_whole = |database: &str| {
            !options
                .tables
                .iter()
                .any(|table| table.database == database)
        };
        let is_ignored = |table: &&MySqlTable| {
            let is_other = !is_whole(&table.database) && !wanted.contains(*table);
            is_other || options.excluded_tables.contains(table)
        };
        let unknown = options.excluded_tables.iter();
        Ok(Self {
            ignored: existing.iter().filter(is_ignored).cloned().collect(),
            unknown: unknown
                .filter(|table| !existing.contains(table))
                .cloned()
                .collect(),
            has_whole_database: databases.iter().any(|name| is_whole(name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> MySqlTable {
        text.parse().unwrap()
    }

    fn texts(tables: &[MySqlTable]) -> Vec<String> {
        tables.iter().map(MySqlTable::to_string).collect()
    }

    fn choose(tables: &[&str], excluded: &[&str]) -> Result<Chosen, ServerError> {
        let options = MySqlOptions::default()
            .with_tables(tables.iter().map(|text| table(text)).collect())
            .with_excluded_tables(excluded.iter().map(|text| table(text)).collect());
        let rows = ["crm.notes", "shop.items", "shop.logs", "shop.orders"];
        let rows = rows.map(|row| row.split('.').map(str::to_owned).collect());
        Chosen::new(&options, &["crm".into(), "shop".into()], rows.into())
    }

    #[test]
    fn the_name_of_a_table_has_a_database() {
        assert_eq!(table("shop.a.b").name(), "a.b");
        for text in ["", "shop", "shop.", ".orders", "-x.y", "a.b\nc"] {
            assert!(text.parse::<MySqlTable>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn tables_of_a_database_without_chosen_tables_are_all_dumped() {
        let chosen = choose(&[], &[]).unwrap();
        assert!(chosen.ignored.is_empty() && chosen.has_whole_database);
    }

    #[test]
    fn tables_that_are_not_chosen_are_ignored_in_their_database() {
        let chosen = choose(&["shop.orders"], &[]).unwrap();
        assert_eq!(texts(&chosen.ignored), ["shop.items", "shop.logs"]);
        assert!(chosen.has_whole_database);
        let chosen = choose(&["shop.orders", "crm.notes"], &[]).unwrap();
        assert!(!chosen.has_whole_database);
    }

    #[test]
    fn excluded_tables_are_ignored_and_unknown_ones_named() {
        let chosen = choose(&[], &["shop.logs", "shop.log"]).unwrap();
        assert_eq!(texts(&chosen.ignored), ["shop.logs"]);
        assert_eq!(texts(&chosen.unknown), ["shop.log"]);
    }

    #[test]
    fn chosen_table_that_the_server_lacks_is_an_error() {
        let error = choose(&["shop.order"], &[]).unwrap_err();
        assert!(error.to_string().contains("`shop.order`"), "{error}");
    }
}
