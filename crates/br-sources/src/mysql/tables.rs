//! Which tables of a server are dumped.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use super::probe::{MySqlOptions, quoted};
use crate::server::ServerError;

/// Unsafe tables that are named.
const MAX_NAMED: usize = 10;

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
    /// Tables that were excluded, and that the databases do not have.
    pub(super) unknown: Vec<MySqlTable>,
    /// Whether a database is dumped as a whole, with its routines and events.
    pub(super) has_whole_database: bool,
    /// All tables and views of the databases, if the options name tables.
    existing: BTreeSet<MySqlTable>,
}

/// The statement for the names of all tables and views of these databases.
fn tables_of(databases: &[String]) -> String {
    let names: Vec<String> = databases.iter().map(|name| quoted(name)).collect();
    format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({}) ORDER BY 1, 2",
        names.join(", ")
    )
}

/// The statement for the definitions of all views of these databases.
fn views_of(databases: &[String]) -> String {
    let names: Vec<String> = databases.iter().map(|name| quoted(name)).collect();
    format!(
        "SELECT table_schema, table_name, REPLACE(view_definition, '\\n', ' ') FROM information_schema.views WHERE table_schema IN ({})",
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
        if !names_tables {
            return Self::new(options, databases, Vec::new());
        }
        let chosen = Self::new(options, databases, ask(&tables_of(databases))?)?;
        if !chosen.ignored.is_empty() {
            chosen.check_views(&ask(&views_of(databases))?)?;
        }
        Ok(chosen)
    }

    /// Fails if a view is dumped without a table that it reads: then the dump could not be restored into another server.
    fn check_views(&self, rows: &[Vec<String>]) -> Result<(), ServerError> {
        for row in rows {
            let [database, name, definition @ ..] = &**row else {
                continue;
            };
            let is_ignored =
                |table: &&MySqlTable| table.database == *database && table.name == *name;
            if self.ignored.iter().any(|table| is_ignored(&table)) {
                continue;
            }
            // A definition has its tables as `database`.`table`. Tabs in it divide columns.
            let definition = definition.join("\t");
            let reads = |table: &&MySqlTable| {
                let quote = |name: &str| name.replace('`', "``");
                let (database, name) = (quote(&table.database), quote(&table.name));
                definition.contains(&format!("`{database}`.`{name}`"))
            };
            if let Some(table) = self.ignored.iter().find(reads) {
                return Err(ServerError::BadOption {
                    what: "the selection of tables".to_owned(),
                    reason: format!(
                        "the view `{database}.{name}` reads `{table}`, which is left out, so the dump could not be restored: leave out the view, too, or neither"
                    ),
                });
            }
        }
        Ok(())
    }

    /// Compares the options with the tables that the server has.
    fn new(
        options: &MySqlOptions,
        databases: &[String],
        rows: Vec<Vec<String>>,
    ) -> Result<Self, ServerError> {
        let table = |row: Vec<String>| {
            let [database, name] = <[String; 2]>::try_from(row).map_err(|row| {
                let message = format!(
                    "a name of a table has a tab or a newline, so tables cannot be chosen: {row:?}; name whole databases"
                );
                ServerError::Refused { message }
            })?;
            Ok(MySqlTable { database, name })
        };
        let existing: Result<BTreeSet<MySqlTable>, ServerError> =
            rows.into_iter().map(table).collect();
        let existing = existing?;
        let wanted: BTreeSet<&MySqlTable> = options.tables.iter().collect();
        if let Some(missing) = wanted.iter().find(|table| !existing.contains(**table)) {
            return Err(ServerError::NoTable {
                name: missing.to_string(),
            });
        }
        let mut both = options.tables.iter();
        if let Some(table) = both.find(|table| options.excluded_tables.contains(table)) {
            return Err(ServerError::BadOption {
                what: format!("the table `{table}`"),
                reason: "it is both chosen and left out".to_owned(),
            });
        }
        let is_whole = |database: &str| {
            let is_named = options.databases.iter().any(|name| name == database);
            let mut tables = options.tables.iter();
            is_named || !tables.any(|table| table.database == database)
        };
        let is_ignored = |table: &&MySqlTable| {
            let is_other = !is_whole(&table.database) && !wanted.contains(*table);
            is_other || options.excluded_tables.contains(table)
        };
        let ignored: Vec<_> = existing.iter().filter(is_ignored).cloned().collect();
        let unknown = options.excluded_tables.iter();
        let unknown = unknown.filter(|table| !existing.contains(table));
        check_names(&existing, &ignored)?;
        Ok(Self {
            unknown: unknown.cloned().collect(),
            has_whole_database: databases.iter().any(|name| is_whole(name)),
            ignored,
            existing,
        })
    }

    /// The tables of these rows that are dumped, at most ten.
    pub(super) fn unsafe_among(&self, rows: Vec<Vec<String>>) -> Vec<String> {
        let is_ignored = |name: &String| self.ignored.iter().any(|one| one.to_string() == *name);
        let names = rows.into_iter().flatten();
        names
            .filter(|name| !is_ignored(name))
            .take(MAX_NAMED)
            .collect()
    }

    /// What to ask after the dump: an error if the databases have other tables than before it. Then the dump may lack a chosen table, or have one that was not chosen.
    pub(super) fn check_again(
        self,
        ask: impl Fn(&str) -> Result<Vec<Vec<String>>, ServerError>,
        options: &MySqlOptions,
    ) -> Result<(), String> {
        let now =
            Self::ask(options, &self.databases(), ask).map_err(|error| error.in_one_line())?;
        let of = |chosen: &Self| -> BTreeSet<MySqlTable> {
            let is_partial = |table: &&MySqlTable| {
                let mut tables = options.tables.iter();
                tables.any(|one| one.database == table.database)
            };
            chosen.existing.iter().filter(is_partial).cloned().collect()
        };
        let (before, now) = (of(&self), of(&now));
        match before.symmetric_difference(&now).next() {
            Some(table) => Err(format!(
                "the table {table} was created, deleted or renamed during the dump; run the backup again"
            )),
            None => Ok(()),
        }
    }

    fn databases(&self) -> Vec<String> {
        let names = self.existing.iter().map(|table| table.database.clone());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The dump program compares `DATABASE.TABLE` without regard to case, and does not know which dot divides the two.
fn check_names(existing: &BTreeSet<MySqlTable>, ignored: &[MySqlTable]) -> Result<(), ServerError> {
    let key = |table: &MySqlTable| table.to_string().to_lowercase();
    let keys: HashMap<String, &MySqlTable> =
        ignored.iter().map(|table| (key(table), table)).collect();
    let is_dumped = |table: &&MySqlTable| !ignored.contains(table);
    let same = existing
        .iter()
        .filter(|table| keys.contains_key(&key(table)))
        .find(is_dumped);
    match same {
        Some(table) => Err(ServerError::Refused {
            message: format!(
                "the dump program cannot tell `{table}` from `{}`, which is left out: choose both or neither",
                keys[&key(table)]
            ),
        }),
        None => Ok(()),
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
    fn database_that_is_named_is_whole_although_one_of_its_tables_is_named() {
        let options = MySqlOptions::default()
            .with_databases(vec!["shop".into()])
            .with_tables(vec![table("shop.orders")]);
        let rows = ["shop.items", "shop.orders"];
        let rows = rows.map(|row| row.split('.').map(str::to_owned).collect());
        let chosen = Chosen::new(&options, &["shop".into()], rows.into()).unwrap();
        assert!(chosen.ignored.is_empty() && chosen.has_whole_database);
    }

    #[test]
    fn table_that_is_chosen_and_excluded_is_an_error() {
        let error = choose(&["shop.orders"], &["shop.orders"]).unwrap_err();
        assert!(error.to_string().contains("both"), "{error}");
    }

    #[test]
    fn tables_that_the_dump_program_takes_for_the_same_are_an_error() {
        let choose = |rows: &[[&str; 2]], excluded: &str| {
            let options = MySqlOptions::default().with_excluded_tables(vec![table(excluded)]);
            let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec());
            Chosen::new(&options, &[], rows.collect())
        };
        let cases = [
            ([["shop", "Log"], ["shop", "log"]], "shop.Log"),
            ([["a", "b.c"], ["a.b", "c"]], "a.b.c"),
        ];
        for (rows, excluded) in cases {
            let error = choose(&rows, excluded).unwrap_err().to_string();
            assert!(error.contains("cannot tell"), "{error}");
        }
        choose(&[["shop", "log"], ["shop", "logs"]], "shop.log").unwrap();
        let odd = Chosen::new(&MySqlOptions::default(), &[], vec![vec!["b".to_owned()]]);
        assert!(odd.unwrap_err().to_string().contains("newline"));
    }

    #[test]
    fn tables_that_changed_during_the_dump_are_named() {
        let options = MySqlOptions::default().with_tables(vec![table("shop.orders")]);
        let rows = |names: &[&str]| -> Vec<Vec<String>> {
            let row = |name: &&str| vec!["shop".to_owned(), (*name).to_owned()];
            names.iter().map(row).collect()
        };
        let before =
            || Chosen::new(&options, &["shop".into()], rows(&["items", "orders"])).unwrap();
        let again = |names: &[&str]| {
            let answer = |statement: &str| {
                let is_view = statement.contains("information_schema.views");
                Ok(if is_view { Vec::new() } else { rows(names) })
            };
            before().check_again(answer, &options)
        };
        again(&["items", "orders"]).unwrap();
        for names in [&["items"][..], &["items", "orders", "new"], &["orders"]] {
            assert!(again(names).is_err(), "{names:?}");
        }
    }

    #[test]
    fn view_without_its_table_is_an_error() {
        let view = |name: &str, definition: &str| {
            vec!["shop".to_owned(), name.to_owned(), definition.to_owned()]
        };
        let reads = [view(
            "v",
            "select * from `shop`.`logs` join `shop`.`orders`",
        )];
        let chosen = choose(&[], &["shop.logs"]).unwrap();
        let error = chosen.check_views(&reads).unwrap_err().to_string();
        assert!(error.contains("`shop.v` reads `shop.logs`"), "{error}");
        let other = [view("v", "select * from `shop`.`orders`")];
        chosen.check_views(&other).unwrap();
        let chosen = choose(&["shop.orders"], &[]).unwrap();
        chosen
            .check_views(&[view("logs", "`shop`.`items`")])
            .unwrap();
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
