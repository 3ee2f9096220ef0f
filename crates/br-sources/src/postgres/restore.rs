//! The programs that restore a dump into a running server.

use std::ffi::OsString;

use super::dump::program_for;
use super::probe::{FIRST_DATABASE, PostgresServer};
use crate::server::ServerError;

/// A database that every server has, besides the first one.
const OTHER_DATABASE: &str = "template1";
/// The code of PostgreSQL for something that exists already.
const EXISTS: &str = "42710";
/// Length of a code.
const CODE_LEN: usize = 5;

/// A program that takes a dump on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresRestore {
    /// The program, in a version that fits the server.
    pub program: OsString,
    /// Its arguments. None of them is a secret.
    pub arguments: Vec<OsString>,
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
        Ok(Self { program, arguments })
    }

    /// The restore of a database from its `NAME.dump`, under the name that it had. Blocks for some hundredths of a second.
    ///
    /// `replace` deletes a database of this name first. Give it only a dump that was read and verified: the program deletes the database before it has read all of
    /// the dump.
    ///
    /// # Errors
    /// When the database exists and is not to be replaced, others are connected to it, no program on this machine fits the server, or the server does not answer.
    pub fn of_database(
        server: &PostgresServer,
        name: &str,
        replace: bool,
    ) -> Result<Self, ServerError> {
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
        }
        // No connection can delete its own database.
        let from = if name == FIRST_DATABASE {
            OTHER_DATABASE
        } else {
            FIRST_DATABASE
        };
        let pg_restore = program_for(server, "pg_restore")?;
        let (program, mut arguments) = server.options.launcher.start(pg_restore);
        let words = ["--exit-on-error", "--create", "--no-password"];
        arguments.extend(words.iter().map(OsString::from));
        if replace {
            arguments.extend(["--clean".into(), "--if-exists".into()]);
        }
        arguments.extend(["--dbname".into(), server.options.connection(from).into()]);
        Ok(Self { program, arguments })
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
