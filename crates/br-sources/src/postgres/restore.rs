//! The programs that restore a dump into a running server.

use std::ffi::OsString;

use tokio_util::sync::CancellationToken;

use super::dump::program_for;
use super::probe::{FIRST_DATABASE, PostgresServer, ask_until};
use super::rights::identifier;
use crate::server::ServerError;

/// A database that every server has, besides the first one.
const OTHER_DATABASE: &str = "template1";
/// The code of PostgreSQL for something that exists already.
const EXISTS: &str = "42710";
/// Length of a code.
const CODE_LEN: usize = 5;

/// A program that takes a dump on its standard input.
///
/// Before it starts, call [`PostgresRestore::set_aside`], which gives a database that it replaces another name. Afterwards call
/// [`PostgresRestore::keep`] or [`PostgresRestore::give_up`].
#[derive(Debug)]
#[non_exhaustive]
pub struct PostgresRestore {
    /// The program, in a version that fits the server.
    pub program: OsString,
    /// Its arguments. None of them is a secret.
    pub arguments: Vec<OsString>,
    replaced: Option<Replaced>,
}

/// A database that is replaced.
#[derive(Debug)]
struct Replaced {
    server: PostgresServer,
    name: String,
    /// Its name during the restore.
    aside: String,
    is_aside: bool,
}

impl PostgresRestore {
    /// The restore of `globals.sql`: roles and tablespaces. The program goes on after an error: [`PostgresRestore::is_failure`] tells which of its messages
    /// are failures.
    ///
    /// # Errors
    /// When no program on this machine fits the server.
    pub fn of_globals(server: &PostgresServer) -> Result<Self, ServerError> {
        let connection = server.options.connection(FIRST_DATABASE);
        let psql = program_for(server, "psql")?;
        let (program, mut arguments) = server.options.launcher.start(psql);
        let words = ["--no-psqlrc", "--quiet", "--no-password"];
        arguments.extend(words.iter().map(OsString::from));
        // With the code of each error.
        arguments.extend(["--set=VERBOSITY=verbose".into(), "--dbname".into()]);
        arguments.push(connection.into());
        Ok(Self {
            program,
            arguments,
            replaced: None,
        })
    }

    /// The restore of a database from its `NAME.dump`, under the name that it had. Blocks for some hundredths of a second.
    ///
    /// `replace` allows that a database of this name exists. It needs space for both, because the old one stays until the new one is complete.
    ///
    /// # Errors
    /// When the database exists and is not to be replaced, others are connected to it, an interrupted restore has left one aside, no program on this
    /// machine fits the server, or the server does not answer.
    pub fn of_database(
        server: &PostgresServer,
        name: &str,
        replace: bool,
    ) -> Result<Self, ServerError> {
        let mut replaced = None;
        let aside = aside(name);
        if server.has_database(&aside)? {
            let message = format!(
                "`{aside}` is the database from before an interrupted restore of `{name}`: delete one of them, and give the other its name"
            );
            return Err(ServerError::Refused { message });
        }
        if server.has_database(name)? {
            if !replace {
                let name = name.to_owned();
                return Err(ServerError::HasDatabase { name });
            }
            let by = server.connected_to(name)?;
            if !by.is_empty() {
                let name = name.to_owned();
                return Err(ServerError::InUse { name, by });
            }
            replaced = Some(Replaced {
                server: server.clone(),
                name: name.to_owned(),
                aside,
                is_aside: false,
            });
        }
        let from = database_besides(name);
        let pg_restore = program_for(server, "pg_restore")?;
        let (program, mut arguments) = server.options.launcher.start(pg_restore);
        let words = ["--exit-on-error", "--create", "--no-password"];
        arguments.extend(words.iter().map(OsString::from));
        arguments.extend(["--dbname".into(), server.options.connection(from).into()]);
        Ok(Self {
            program,
            arguments,
            replaced,
        })
    }

    /// Gives the database that is replaced another name, if there is one. Blocks for some hundredths of a second.
    ///
    /// # Errors
    /// When the server does not answer or refuses, for example because someone has connected to the database.
    pub fn set_aside(&mut self) -> Result<(), ServerError> {
        let Some(old) = &mut self.replaced else {
            return Ok(());
        };
        old.rename(&old.name, &old.aside)?;
        old.is_aside = true;
        Ok(())
    }

    /// Deletes the old database, after the program has succeeded. Blocks until that is done.
    ///
    /// # Errors
    /// When the server does not answer or refuses. The new database is complete.
    pub fn keep(self) -> Result<(), ServerError> {
        match self.replaced {
            Some(old) if old.is_aside => old.delete(&old.aside),
            _ => Ok(()),
        }
    }

    /// Deletes what the program has restored of the database, and gives the old one its name again. Does nothing if there was none.
    ///
    /// # Errors
    /// When the server does not answer or refuses: then the old database still has its other name.
    pub fn give_up(self) -> Result<(), ServerError> {
        let Some(old) = self.replaced.filter(|old| old.is_aside) else {
            return Ok(());
        };
        old.delete(&old.name)
            .and_then(|()| old.rename(&old.aside, &old.name))
            .map_err(|error| ServerError::StillAside {
                name: old.name.clone(),
                aside: old.aside.clone(),
                source: Box::new(error),
            })
    }

    /// True if this line of the program for `globals.sql` says that something exists already, or where in the server that was found out.
    #[must_use]
    pub fn is_noise(line: &str) -> bool {
        line.starts_with("LOCATION:  ") || code_in(line) == Some(EXISTS)
    }

    /// True if this line of the program for `globals.sql` says that a statement failed. That a role exists already is no failure: the dump also has a statement
    /// that gives it its properties.
    #[must_use]
    pub fn is_failure(line: &str) -> bool {
        let is_harmless =
            |code: &str| code.starts_with("00") || code.starts_with("01") || code == EXISTS;
        code_in(line).is_some_and(|code| !is_harmless(code))
    }
}

impl Replaced {
    fn rename(&self, from: &str, to: &str) -> Result<(), ServerError> {
        let (from, to) = (identifier(from), identifier(to));
        self.run(&format!("ALTER DATABASE {from} RENAME TO {to}"))
    }

    fn delete(&self, name: &str) -> Result<(), ServerError> {
        let name = identifier(name);
        // A program that was ended may still be connected for a moment.
        let force = if self.server.major >= FORCE_SINCE {
            " WITH (FORCE)"
        } else {
            ""
        };
        self.run(&format!("DROP DATABASE IF EXISTS {name}{force}"))
    }

    fn run(&self, statement: &str) -> Result<(), ServerError> {
        // No connection can change its own database.
        let from = database_besides(&self.name);
        let cancel = CancellationToken::new();
        ask_until(&self.server.options, from, statement, &cancel).map(drop)
    }
}

/// The name of a database while it is replaced.
fn aside(name: &str) -> String {
    let end = name.floor_char_boundary(MAX_NAME - ASIDE.len());
    format!("{}{ASIDE}", &name[..end])
}

const fn database_besides(name: &str) -> &'static str {
    if matches!(name.as_bytes(), b"postgres") {
        OTHER_DATABASE
    } else {
        FIRST_DATABASE
    }
}

/// The end of the name of a database while it is replaced.
const ASIDE: &str = " (before br restore)";
/// Maximum length of a name, in bytes.
const MAX_NAME: usize = 63;
/// The first version that ends the connections to a database that it deletes.
const FORCE_SINCE: u32 = 13;

/// The code in `psql:<stdin>:14: ERROR:  42710: role "postgres" already exists`, in any language.
fn code_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(":  ")?;
    let code = rest.split(':').next()?;
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (code.len() == CODE_LEN && code.bytes().all(is_part)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_other_than_existing_objects_are_failures() {
        for (line, is_failure) in [
            (
                r#"psql:<stdin>:14: ERROR:  42710: role "postgres" already exists"#,
                false,
            ),
            (
                r#"psql:<stdin>:20: FEHLER:  42501: keine Berechtigung"#,
                true,
            ),
            ("psql:<stdin>:3: NOTICE:  00000: nothing", false),
            ("psql:<stdin>:3: WARNING:  01000: something", false),
            ("LOCATION:  CreateRole, user.c:327", false),
            ("psql:<stdin>:9: ERROR:  22023: invalid value: \"x\"", true),
            ("", false),
        ] {
            assert_eq!(PostgresRestore::is_failure(line), is_failure, "{line}");
        }
    }
}
