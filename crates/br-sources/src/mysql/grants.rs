//! What a login may do, and what it lacks for a dump.
//!
//! [`Grants`] are the lines of `SHOW GRANTS`. Invariant: an error towards caution. A right that is given in a way that br does not know, for example
//! on single tables, counts as missing.

use crate::server::MissingRights;

/// Where the statements are typed.
const PLACE: &str = "as an administrator of the server, in its client";
/// The schema with the routines and users of MariaDB.
const SYSTEM: &str = "mysql";
/// Rights on the databases of a dump. Without `TRIGGER`, the dump program leaves out the triggers, and reports success.
const ON_DATABASES: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

/// The rights of a login.
#[derive(Debug, Default)]
pub(super) struct Grants(Vec<Grant>);

#[derive(Debug)]
struct Grant {
    rights: Vec<String>,
    scope: Scope,
}

#[derive(Debug)]
enum Scope {
    Everything,
    /// The databases that match a pattern with `%` and `_`.
    Databases(String),
}

/// The server that is dumped, and what of it.
#[derive(Debug)]
pub(super) struct Dumped<'d> {
    /// The login, as `CURRENT_USER()` shows it.
    pub(super) account: &'d str,
    /// The databases that the options name; empty for all.
    pub(super) databases: &'d [String],
    pub(super) is_mariadb: bool,
    pub(super) has_binary_log: bool,
    /// Major and minor version, and patch level.
    pub(super) version: Vec<u32>,
}

impl Grants {
    /// Reads the lines of `SHOW GRANTS`, which include those of the current role.
    pub(super) fn parse<'l>(lines: impl Iterator<Item = &'l str>) -> Self {
        Self(lines.filter_map(Grant::parse).collect())
    }

    /// True if a right is given on everything, or on this database.
    fn has(&self, right: &str, database: Option<&str>) -> bool {
        self.0.iter().any(|grant| {
            let covers = match (&grant.scope, database) {
                (Scope::Everything, _) => true,
                (Scope::Databases(pattern), Some(name)) => matches(pattern, name),
                (Scope::Databases(_), None) => false,
            };
            covers && grant.gives(right)
        })
    }

    /// What the login lacks; `None` if it lacks nothing.
    pub(super) fn missing(&self, dumped: &Dumped<'_>) -> Option<MissingRights> {
        let mut all = Vec::new();
        let mut statements = Vec::new();
        let mut lacks = |wanted: &[&str], database: Option<&str>| {
            let missing = wanted.iter().filter(|right| !self.has(right, database));
            let missing: Vec<&str> = missing.copied().collect();
            if missing.is_empty() {
                return;
            }
            for right in &missing {
                let scope = database.map_or_else(String::new, |name| format!(" on {name}"));
                all.push(format!("{right}{scope}"));
            }
            let on = database.map_or_else(|| "*".to_owned(), pattern_of);
            statements.push(format!(
                "GRANT {} ON {on}.* TO {};",
                missing.join(", "),
                account(dumped.account)
            ));
        };
        let everywhere = dumped.everywhere();
        if dumped.databases.is_empty() {
            lacks(&[&ON_DATABASES[..], &everywhere].concat(), None);
        } else {
            for name in dumped.databases {
                lacks(&ON_DATABASES, Some(name));
            }
            if dumped.is_mariadb {
                // Without it, the dump program leaves out the routines, and reports success; and it cannot read the users.
                lacks(&["SELECT"], Some(SYSTEM));
            }
            lacks(&everywhere, None);
        }
        (!all.is_empty()).then(|| MissingRights::new(all, statements, PLACE))
    }
}

impl Dumped<'_> {
    /// Rights on everything that a dump needs. The dump program of MariaDB needs none for the position in the binary log.
    fn everywhere(&self) -> Vec<&'static str> {
        let mut rights = Vec::new();
        if self.is_mariadb {
            return rights;
        }
        if self.has_binary_log {
            rights.extend(["RELOAD", "REPLICATION CLIENT"]);
        }
        if !self.databases.is_empty() {
            // `SELECT` on one database does not show the routines of other users.
            let has_own_right = self.version.as_slice() >= [8, 0, 20].as_slice();
            rights.push(if has_own_right {
                "SHOW_ROUTINE"
            } else {
                "SELECT"
            });
        }
        rights
    }
}

impl Grant {
    /// Reads ``GRANT SELECT, SHOW VIEW ON `shop`.* TO `br`@`localhost` …``; `None` for roles, and for rights on tables.
    fn parse(line: &str) -> Option<Self> {
        let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
        let scope = if rest.starts_with("*.* ") {
            Scope::Everything
        } else {
            let quote = rest.chars().next().filter(|c| matches!(c, '`' | '"'))?;
            let mut rest = rest.get(1..)?;
            let mut name = String::new();
            loop {
                let (part, after) = rest.split_once(quote)?;
                name.push_str(part);
                match after.strip_prefix(quote) {
                    // A doubled quote is one of the name.
                    Some(more) => {
                        name.push(quote);
                        rest = more;
                    }
                    None if after.starts_with(".* ") => break Scope::Databases(name),
                    None => return None,
                }
            }
        };
        let rights = rights.split(", ").map(str::to_owned).collect();
        Some(Self { rights, scope })
    }

    fn gives(&self, right: &str) -> bool {
        self.rights.iter().any(|one| {
            let is_old_name = right == "BINLOG MONITOR" && one == "REPLICATION CLIENT";
            one == right || is_old_name || one == "ALL PRIVILEGES" || one == "ALL"
        })
    }
}

/// True if a name matches a pattern of `GRANT`: `%` is any text, `_` any character, and a backslash makes the next character plain.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // The places in the name to which the pattern so far can lead.
    let mut places = vec![true];
    places.resize(name.len() + 1, false);
    let mut rest = pattern.iter();
    while let Some(c) = rest.next() {
        if *c == '%' {
            if let Some(first) = places.iter().position(|reached| *reached) {
                places
                    .iter_mut()
                    .skip(first)
                    .for_each(|place| *place = true);
            }
            continue;
        }
        let (wanted, is_any) = match (c, rest.as_slice().first()) {
            ('\\', Some(next)) => {
                rest.next();
                (next, false)
            }
            (c, _) => (c, *c == '_'),
        };
        let steps = places.iter().zip(&name);
        let next = steps.map(|(reached, c)| *reached && (is_any || c == wanted));
        places = std::iter::once(false).chain(next).collect();
    }
    places.last().copied().unwrap_or_default()
}

/// A database in a `GRANT`, which would take `_` and `%` for patterns.
fn pattern_of(database: &str) -> String {
    let plain = database.replace('\\', "\\\\");
    let plain = plain.replace('_', "\\_").replace('%', "\\%");
    format!("`{}`", plain.replace('`', "``"))
}

/// An account in a statement: `'br'@'localhost'`.
pub(super) fn account(account: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    match account.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quoted(user), quoted(host)),
        // A role of MariaDB has no host.
        None => quoted(account),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(lines: &[&str], databases: &[&str], is_mariadb: bool) -> Vec<String> {
        let databases: Vec<String> = databases.iter().map(|&name| name.to_owned()).collect();
        let dumped = Dumped {
            account: "br@localhost",
            databases: &databases,
            is_mariadb,
            has_binary_log: true,
            version: vec![8, 0, 36],
        };
        let grants = Grants::parse(lines.iter().copied());
        let missing = grants.missing(&dumped);
        missing.map_or_else(Vec::new, |missing| missing.statements)
    }

    #[test]
    fn what_a_login_has_is_not_missing() {
        let to = "TO `br`@`localhost` IDENTIFIED BY PASSWORD '*B69027D4'";
        let all = format!("GRANT ALL PRIVILEGES ON *.* {to} WITH GRANT OPTION");
        let read = format!("GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON *.* {to}");
        for lines in [[all.as_str(), ""], [read.as_str(), "GRANT `x` TO `br`@`%`"]] {
            assert!(missing(&lines, &[], true).is_empty());
            assert!(missing(&lines, &["shop", "a_b"], true).is_empty());
        }
        let of_shop = "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `sh%`.* TO `br`@`localhost`";
        let of_system = "GRANT SELECT ON \"mysql\".* TO `br`@`localhost`";
        assert!(missing(&[of_shop, of_system], &["shop"], true).is_empty());
        assert_eq!(
            missing(&[of_shop], &["shop", "a_b"], true),
            [
                "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `a\\_b`.* TO 'br'@'localhost';",
                "GRANT SELECT ON `mysql`.* TO 'br'@'localhost';"
            ]
        );
        assert_eq!(
            missing(&[of_shop], &[], true),
            ["GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO 'br'@'localhost';"]
        );
    }

    #[test]
    fn a_server_of_mysql_needs_more_rights() {
        assert_eq!(
            missing(
                &["GRANT SELECT, TRIGGER ON *.* TO `br`@`localhost`"],
                &[],
                false
            ),
            ["GRANT SHOW VIEW, EVENT, RELOAD, REPLICATION CLIENT ON *.* TO 'br'@'localhost';"]
        );
        assert_eq!(
            missing(
                &["GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO `br`@`localhost`"],
                &["shop"],
                false
            ),
            ["GRANT RELOAD, REPLICATION CLIENT, SHOW_ROUTINE ON *.* TO 'br'@'localhost';"]
        );
    }

    #[test]
    fn rights_on_tables_and_columns_do_not_count() {
        for line in [
            "GRANT SELECT ON `shop`.`t` TO `br`@`localhost`",
            "GRANT SELECT (`a`, `b`) ON `shop`.`t` TO `br`@`localhost`",
            "GRANT EXECUTE ON FUNCTION `shop`.`f` TO `br`@`localhost`",
            "GRANT `reader` TO `br`@`localhost`",
            "SET DEFAULT ROLE `reader` FOR `br`@`localhost`",
        ] {
            assert!(Grant::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn patterns_match_as_in_the_server() {
        for (pattern, name, expected) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("sh%", "shop", true),
            ("%", "", true),
            ("%o%", "shop", true),
            ("a_b", "axb", true),
            ("a\\_b", "axb", false),
            ("a\\_b", "a_b", true),
            ("%p", "shop", true),
            ("%p", "shops", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
