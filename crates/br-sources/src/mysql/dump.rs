//! The programs that dump a server.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use tokio_util::sync::CancellationToken;

use super::probe::{MySqlOptions, MySqlServer, ask_until, is_mariadb};
use crate::server::{Dump, Launcher, ServerError};

/// The file with the databases.
const DUMP: &str = "dump.sql";
/// How the last line of a dump begins.
const END_MARK: &str = "-- Dump completed";
/// Options that make a dump incomplete.
const LIMITS: [&str; 10] = [
    "--no-data",
    "--no-data-med",
    "--no-create-info",
    "--no-create-db",
    "--where",
    "--ignore-table",
    "--ignore-table-data",
    "--ignore-database",
    "--ignore-error",
    "--force",
];
/// The file with users and rights.
const USERS: &str = "users.sql";

pub(super) fn all(
    server: &MySqlServer,
    options: &MySqlOptions,
    cancel: &CancellationToken,
) -> Result<Vec<Dump>, ServerError> {
    let program = DumpProgram::for_kind(server.is_mariadb(), &options.launcher)?;
    refuse_limits(program.name, options)?;
    let dump = |name, own: Vec<OsString>| {
        let mut command = options.launcher.command(program.name);
        command.args(options.first_arguments()).args(own);
        Dump::of_program(name, command).with_end_mark(END_MARK)
    };
    let mut own = words(&[
        "--single-transaction",
        "--quick",
        "--triggers",
        "--hex-blob",
        "--default-character-set=utf8mb4",
        "--skip-dump-date",
    ]);
    if server.chosen.has_whole_database {
        own.extend(words(&["--routines", "--events"]));
    } else {
        // An option file may turn them on.
        own.extend(words(&["--skip-routines", "--skip-events"]));
    }
    let ignored = server.chosen.ignored.iter();
    own.extend(ignored.map(|table| format!("--ignore-table={table}").into()));
    if program.has("--dump-history") {
        // System-versioned tables have earlier versions of their rows.
        own.push("--dump-history".into());
    }
    own.extend(words(program.options_for(server)));
    if server.has_binary_log {
        own.push(program.position().into());
    }
    own.push("--databases".into());
    own.extend(server.databases.iter().map(OsString::from));
    let mut whole = dump(DUMP, own);
    if !options.tables.is_empty() {
        let (chosen, options, cancel) = (server.chosen.clone(), options.clone(), cancel.clone());
        whole = whole.with_last_check(move |_| {
            let ask = |statement: &str| ask_until(&options, statement, &cancel);
            chosen.check_again(ask, &options)
        });
    }
    let mut dumps = vec![whole];
    if server.is_mariadb() && program.has("--system") {
        let own = words(&["--system=users", "--insert-ignore", "--skip-dump-date"]);
        dumps.push(dump(USERS, own));
    }
    Ok(dumps)
}

/// Refuses an option file that makes the dump program leave something out silently.
fn refuse_limits(program: &str, options: &MySqlOptions) -> Result<(), ServerError> {
    let mut command = options.launcher.command(program);
    command
        .args(options.first_arguments())
        .arg("--print-defaults");
    let output = command.stdin(Stdio::null()).output();
    // The dump itself reports an option file that cannot be read.
    let Ok(output) = output else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&output.stdout);
    // Option files may write `_` for `-`.
    let is_limit = |word: &&str| {
        let name = word.split('=').next().unwrap_or_default().replace('_', "-");
        LIMITS.contains(&&*name)
    };
    match text.split_whitespace().find(is_limit) {
        Some(limit) => Err(ServerError::BadOption {
            what: format!("the option `{limit}` of an option file of MySQL"),
            reason: format!(
                "{program} would leave something out; delete it from the section of {program}, or use --mysql-exclude for tables"
            ),
        }),
        None => Ok(()),
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A dump program, and the options that it knows.
pub(super) struct DumpProgram {
    pub(super) name: &'static str,
    is_mariadb: bool,
    /// What it prints with `--version`.
    version: String,
    help: String,
}

impl DumpProgram {
    /// Finds the dump program of MariaDB or MySQL. That of the other one cannot read the system tables of the server.
    pub(super) fn for_kind(is_mariadb: bool, launcher: &Launcher) -> Result<Self, ServerError> {
        let (kind, names) = if is_mariadb {
            ("MariaDB", &["mariadb-dump", "mysqldump"][..])
        } else {
            ("MySQL", &["mysqldump"][..])
        };
        let program = names.first().copied().unwrap_or_default();
        let programs = names.iter().filter_map(|name| Self::find(name, launcher));
        let mut fitting = programs.filter(|program| program.is_mariadb == is_mariadb);
        fitting.next().ok_or_else(|| ServerError::NoDumpProgram {
            server: kind.to_owned(),
            program: program.to_owned(),
            found: "none of this kind".to_owned(),
            package: format!("the client of {kind}"),
        })
    }

    fn find(name: &'static str, launcher: &Launcher) -> Option<Self> {
        let version = text_of(launcher, name, "--version")?;
        Some(Self {
            name,
            is_mariadb: is_mariadb(&version),
            version,
            help: text_of(launcher, name, "--help")?,
        })
    }

    /// Its version, such as `10.11.19`; `None` if the text is not understood.
    pub(super) fn version(&self) -> Option<&str> {
        version_in(&self.version)
    }

    /// True if the program knows an option. Versions differ.
    fn has(&self, option: &str) -> bool {
        self.help.contains(option)
    }

    /// The option that writes the position in the binary log as a comment.
    fn position(&self) -> &'static str {
        if self.has("--source-data") {
            "--source-data=2"
        } else {
            "--master-data=2"
        }
    }

    /// The options that only this program has, as far as it has them.
    fn options_for(&self, server: &MySqlServer) -> &'static [&'static str] {
        if server.is_mariadb() {
            // Only with a position there is a global transaction id to write.
            return if server.has_binary_log {
                &["--gtid"]
            } else {
                &[]
            };
        }
        if self.has("--set-gtid-purged") {
            &["--no-tablespaces", "--set-gtid-purged=OFF"]
        } else {
            &["--no-tablespaces"]
        }
    }
}

/// The version in `mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, …`, in `mariadb-dump from 11.4.2-MariaDB, …` and in `mysqldump  Ver 8.0.36 for …`.
fn version_in(text: &str) -> Option<&str> {
    let after = |word| text.split_once(word).map(|(_, rest)| rest);
    let rest = after("Distrib ")
        .or_else(|| after(" from "))
        .or_else(|| after("Ver "))?;
    rest.split(|c: char| c != '.' && !c.is_ascii_digit())
        .next()
        .filter(|version| version.contains('.'))
}

/// What a program prints with this option.
fn text_of(launcher: &Launcher, program: &str, option: impl AsRef<OsStr>) -> Option<String> {
    // Without the option files of this user: a broken one is reported by the dump itself.
    let output = launcher
        .command(program)
        .arg("--no-defaults")
        .arg(option)
        .stdin(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_of_a_dump_program_is_that_of_its_server() {
        for (text, version) in [
            (
                "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                Some("10.11.19"),
            ),
            (
                "mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)",
                Some("11.4.2"),
            ),
            (
                "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                Some("8.0.36"),
            ),
            ("something else", None),
        ] {
            assert_eq!(version_in(text), version, "{text}");
        }
    }
}
