//! The tables of EMQX's built-in database in bundles, and the table sets that select them.
//!
//! [`TABLES`] is the list, [`importable`] says what a node does with a table. Invariant: the list is in EMQX's export order; EMQX imports
//! in reverse order.

use super::rules::{Refusal, Version};

/// A release of EMQX.
pub type Release = (u64, u64, u64);

/// A table in bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name, which is the file's name below `mnesia/`.
    pub name: &'static str,
    /// The table set that selects it.
    pub set: &'static str,
    /// The first release that exports it under this name.
    pub since: Release,
    /// Its earlier name, if it was renamed. EMQX does not recognise that name.
    pub formerly: Option<&'static str>,
}

const fn table(name: &'static str, set: &'static str, since: Release) -> Table {
    Table {
        name,
        set,
        since,
        formerly: None,
    }
}

/// All tables, in the order in which EMQX exports them.
pub const TABLES: &[Table] = &[
    table("emqx_admin", "dashboard_users", (5, 1, 0)),
    table("emqx_authn_mnesia", "builtin_authn", (5, 1, 0)),
    table("emqx_authn_mnesia_ns", "builtin_authn", (6, 1, 0)),
    Table {
        formerly: Some(OLD_SCRAM),
        ..table("emqx_authn_scram_mnesia", "builtin_authn", SCRAM_RENAMED)
    },
    table("emqx_authn_scram_mnesia_ns", "builtin_authn", (6, 1, 0)),
    table("emqx_app", "api_keys", (5, 1, 0)),
    table("emqx_acl", "builtin_authz", (5, 1, 0)),
    table("emqx_acl_ns", "builtin_authz", (6, 1, 0)),
    table("emqx_psk", "psk", (5, 1, 0)),
    table("emqx_banned", "banned", (5, 1, 0)),
    table("emqx_banned_rules", "banned", (5, 6, 0)),
    table("emqx_retainer_message", "builtin_retainer", (5, 6, 1)),
    table("emqx_mt_config", "mt", (5, 9, 0)),
];

const OLD_SCRAM: &str = "emqx_enhanced_authn_scram_mnesia";
const SCRAM_RENAMED: Release = (5, 3, 1);

/// What a node does with a table of a bundle. EMQX skips tables without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importable {
    /// It imports it.
    Yes,
    /// It skips it: only later releases have the table.
    NotBefore(Release),
    /// It skips it: it knows no table of this name.
    UnknownTable {
        /// The new name of the table.
        renamed_to: Option<&'static str>,
    },
}

/// Returns what a node of a version does with a table.
#[must_use]
pub fn importable(name: &str, node: &Version) -> Importable {
    if let Some(table) = TABLES.iter().find(|table| table.name == name) {
        return match table.formerly {
            _ if node.is_since(table.since) => Importable::Yes,
            None => Importable::NotBefore(table.since),
            renamed_to => Importable::UnknownTable { renamed_to },
        };
    }
    match TABLES.iter().find(|table| table.formerly == Some(name)) {
        Some(table) if node.is_since(table.since) => Importable::UnknownTable {
            renamed_to: Some(table.name),
        },
        Some(_) => Importable::Yes,
        None => Importable::UnknownTable { renamed_to: None },
    }
}

/// Returns the set of a table with this current or older name.
#[must_use]
pub fn set_of(name: &str) -> Option<&'static str> {
    let table = TABLES
        .iter()
        .find(|table| table.name == name || table.formerly == Some(name))?;
    Some(table.set)
}

/// Returns the names of a set's tables, including older names, in export order.
#[must_use]
pub fn tables_of(set: &str) -> Vec<&'static str> {
    let tables = TABLES.iter().filter(|table| table.set == set);
    tables
        .flat_map(|table| std::iter::once(table.name).chain(table.formerly))
        .collect()
}

/// Returns the names of all sets, sorted.
#[must_use]
pub fn known_sets() -> Vec<&'static str> {
    let mut sets: Vec<_> = TABLES.iter().map(|table| table.set).collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

/// True if a set contains credentials for the dashboard or the API: users or keys.
#[must_use]
pub fn is_sensitive(set: &str) -> bool {
    matches!(set, "dashboard_users" | "api_keys")
}

/// Returns the position of a table in exports; older names have the position of the current one. Imports use the reverse order.
#[must_use]
pub fn export_order(name: &str) -> Option<usize> {
    TABLES
        .iter()
        .position(|table| table.name == name || table.formerly == Some(name))
}

/// Reads a list of sets with commas between them. Returns each once, sorted.
///
/// # Errors
/// [`Refusal::BadTableSets`] with all names that are not sets.
pub fn parse_sets(list: &str) -> Result<Vec<&'static str>, Refusal> {
    let mut names: Vec<_> = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    let known = known_sets();
    let (sets, unknown): (Vec<_>, Vec<_>) = names
        .into_iter()
        .map(|name| known.iter().find(|set| **set == name).copied().ok_or(name))
        .partition(Result::is_ok);
    if unknown.is_empty() {
        return Ok(sets.into_iter().flatten().collect());
    }
    let sets = unknown.into_iter().filter_map(Result::err);
    Err(Refusal::BadTableSets {
        sets: sets.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, node: &str) -> Importable {
        importable(name, &Version::parse(node).unwrap())
    }

    #[test]
    fn sets_have_their_tables() {
        assert_eq!(
            known_sets(),
            [
                "api_keys",
                "banned",
                "builtin_authn",
                "builtin_authz",
                "builtin_retainer",
                "dashboard_users",
                "mt",
                "psk"
            ]
        );
        assert_eq!(tables_of("banned"), ["emqx_banned", "emqx_banned_rules"]);
        assert_eq!(set_of(OLD_SCRAM), Some("builtin_authn"));
        assert_eq!(set_of("emqx_acl~"), None);
        assert!(tables_of("banned_rules").is_empty());
        for set in known_sets() {
            assert!(
                tables_of(set)
                    .into_iter()
                    .all(|table| set_of(table) == Some(set))
            );
            assert_eq!(
                is_sensitive(set),
                ["api_keys", "dashboard_users"].contains(&set)
            );
        }
    }

    /// The order that the operator's manual shows for 5.1, with the SCRAM table under its old name.
    #[test]
    fn tables_are_in_the_order_of_exports() {
        let manual = [
            "emqx_admin",
            "emqx_authn_mnesia",
            OLD_SCRAM,
            "emqx_app",
            "emqx_acl",
            "emqx_psk",
            "emqx_banned",
        ];
        assert!(manual.is_sorted_by_key(|table| export_order(table).unwrap()));
        assert_eq!(export_order("emqx_delayed"), None);
    }

    #[test]
    fn importable_finds_tables_that_a_node_skips() {
        let renamed = |to| Importable::UnknownTable {
            renamed_to: Some(to),
        };
        assert_eq!(at(OLD_SCRAM, "5.1.0"), Importable::Yes);
        assert_eq!(at(OLD_SCRAM, "5.3.0"), Importable::Yes);
        assert_eq!(at(OLD_SCRAM, "5.3.2"), renamed("emqx_authn_scram_mnesia"));
        assert_eq!(at(OLD_SCRAM, "5.3"), renamed("emqx_authn_scram_mnesia"));
        assert_eq!(at("emqx_authn_scram_mnesia", "6.0.0"), Importable::Yes);
        assert_eq!(at("emqx_authn_scram_mnesia", "5.2.1"), renamed(OLD_SCRAM));
        assert_eq!(
            at("emqx_retainer_message", "5.6.0"),
            Importable::NotBefore((5, 6, 1))
        );
        assert_eq!(
            at("emqx_retainer_message", "5.7.0-g830266b4"),
            Importable::Yes
        );
        assert_eq!(at("emqx_acl_ns", "6.0.3"), Importable::NotBefore((6, 1, 0)));
        assert_eq!(
            at("emqx_acl~", "6.1.0"),
            Importable::UnknownTable { renamed_to: None }
        );
    }

    #[test]
    fn lists_of_sets_are_checked_as_a_whole() {
        assert_eq!(parse_sets("psk, banned,psk"), Ok(vec!["banned", "psk"]));
        assert_eq!(parse_sets(""), Ok(vec![]));
        let refusal = parse_sets("foo,banned,bar,foo").unwrap_err();
        assert_eq!(refusal.emqx_message(), "Invalid table sets: bar, foo");
    }
}
