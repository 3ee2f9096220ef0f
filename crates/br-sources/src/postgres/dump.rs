//! The programs that dump a server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::probe::{PostgresOptions, PostgresServer};
use crate::server::{Dump, Launcher, ServerError};

/// Where Debian has the programs of each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

pub(super) fn all(
    server: &PostgresServer,
    options: &PostgresOptions,
) -> Result<Vec<Dump>, ServerError> {
    let launcher = &options.launcher;
    let folder = folder_for("pg_dump", server.major, launcher)?;
    let dump = |file: String, program: &str, own: Vec<OsString>| {
        let mut command = launcher.command(in_folder(folder.as_deref(), program));
        command.args(own);
        Dump::of_program(file, command)
    };
    let mut arguments = vec![
        "--globals-only".into(),
        "--no-password".into(),
        format!("--dbname={}", options.connection("postgres")).into(),
    ];
    if !server.reads_passwords {
        arguments.push("--no-role-passwords".into());
    }
    let globals = dump("globals.sql".to_owned(), "pg_dumpall", arguments);
    let globals = globals.with_end_mark("-- PostgreSQL database cluster dump complete");
    // An uncompressed archive: br compresses it, and `pg_restore` can choose what to restore from it.
    let database = |name: &String| {
        let arguments = vec![
            "--format=custom".into(),
            "--compress=0".into(),
            "--no-password".into(),
            format!("--dbname={}", options.connection(name)).into(),
        ];
        dump(format!("{name}.dump"), "pg_dump", arguments)
    };
    let databases = server.databases.iter().map(database);
    Ok(std::iter::once(globals).chain(databases).collect())
}

/// The program of this name that is not older than the server.
pub(super) fn program_for(server: &PostgresServer, name: &str) -> Result<OsString, ServerError> {
    let folder = folder_for("pg_dump", server.major, &server.options.launcher)?;
    Ok(in_folder(folder.as_deref(), name))
}

pub(super) fn in_folder(folder: Option<&Path>, name: &str) -> OsString {
    folder.map_or_else(|| name.into(), |folder| folder.join(name).into())
}

/// The folder with a program that is not older than the server, and of these the oldest; `None` for the one in PATH.
pub(super) fn folder_for(
    name: &'static str,
    server: u32,
    launcher: &Launcher,
) -> Result<Option<PathBuf>, ServerError> {
    let version_of = |program: &Path| version_of(program, launcher);
    let in_path = version_of(Path::new(name));
    if in_path.is_some_and(|version| version >= server) {
        return Ok(None);
    }
    // Those of this machine are not in the container.
    let folders = std::fs::read_dir(DEBIAN)
        .ok()
        .filter(|_| launcher.is_local());
    let folders = folders.into_iter().flatten().flatten();
    let folders = folders.map(|item| item.path().join("bin"));
    let known = folders.filter_map(|folder| Some((version_of(&folder.join(name))?, folder)));
    let fitting = known.filter(|(version, _)| *version >= server);
    match fitting.min() {
        Some((_, folder)) => Ok(Some(folder)),
        None => Err(ServerError::NoDumpProgram {
            server: format!("PostgreSQL {server}"),
            program: format!("a {name} that is not older"),
            found: in_path.map_or_else(
                || "none in PATH".to_owned(),
                |version| format!("version {version} in PATH"),
            ),
            package: format!("postgresql-client-{server}"),
        }),
    }
}

/// The major version of a program: `pg_dump (PostgreSQL) 15.20 (Debian …)`.
pub(super) fn version_of(program: &Path, launcher: &Launcher) -> Option<u32> {
    let output = launcher
        .command(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
