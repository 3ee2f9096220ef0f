//! The programs that dump a server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::probe::{PostgresOptions, PostgresServer};
use crate::server::{Dump, ServerError};

/// Where Debian has the programs of each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

pub(super) fn all(
    server: &PostgresServer,
    options: &PostgresOptions,
) -> Result<Vec<Dump>, ServerError> {
    let folder = folder_for(server.major)?;
    let program = |name: &str| match &folder {
        Some(folder) => folder.join(name).into(),
        None => OsString::from(name),
    };
    let mut arguments = vec![
        "--globals-only".into(),
        "--no-password".into(),
        format!("--dbname={}", options.connection("postgres")).into(),
    ];
    if !server.is_superuser {
        arguments.push("--no-role-passwords".into());
    }
    let globals = Dump::of_program("globals.sql", program("pg_dumpall"), arguments);
    // An uncompressed archive: br compresses it, and `pg_restore` can choose what to restore from it.
    let database = |name: &String| {
        let arguments = vec![
            "--format=custom".into(),
            "--compress=0".into(),
            "--no-password".into(),
            format!("--dbname={}", options.connection(name)).into(),
        ];
        Dump::of_program(format!("{name}.dump"), program("pg_dump"), arguments)
    };
    let databases = server.databases.iter().map(database);
    Ok(std::iter::once(globals).chain(databases).collect())
}

/// The folder with a `pg_dump` that is not older than the server, and of these the oldest; `None` for the one in PATH.
fn folder_for(server: u32) -> Result<Option<PathBuf>, ServerError> {
    let in_path = version_of(Path::new("pg_dump"));
    if in_path.is_some_and(|version| version >= server) {
        return Ok(None);
    }
    let folders = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let folders = folders.map(|item| item.path().join("bin"));
    let known = folders.filter_map(|folder| Some((version_of(&folder.join("pg_dump"))?, folder)));
    let fitting = known.filter(|(version, _)| *version >= server);
    match fitting.min() {
        Some((_, folder)) => Ok(Some(folder)),
        None => Err(ServerError::NoDumpProgram {
            server: format!("PostgreSQL {server}"),
            program: "a pg_dump that is not older",
            found: in_path.map_or_else(
                || "none in PATH".to_owned(),
                |version| format!("version {version} in PATH"),
            ),
            package: format!("postgresql-client-{server}"),
        }),
    }
}

/// The major version of a program: `pg_dump (PostgreSQL) 15.20 (Debian …)`.
fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
