//! A PostgreSQL server.

use std::path::Path;
use std::process::Command;
use std::thread;

use crate::skip::skip;

use super::{Ids, PAUSE, Server, TRIES, command_of, folder_of, has_programs, success, user_of};

/// A PostgreSQL server with the superuser `postgres`, who needs no password.
#[derive(Debug)]
pub struct Postgres(Server);

/// A program of the server. Debian has them outside of PATH, in a folder for each version.
fn find(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let versions = versions.map(|item| item.path().join("bin"));
    let mut all = std::env::split_paths(&path)
        .chain(versions)
        .map(|folder| folder.join(program));
    all.find(|path| path.exists())
        .map(|path| path.display().to_string())
}

impl Postgres {
    /// Starts a server; `None` if it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !has_programs(&["psql", "pg_dump", "pg_restore"]) {
            return None;
        }
        let (Some(initdb), Some(postgres)) = (find("initdb"), find("postgres")) else {
            skip("the server of PostgreSQL is not installed");
            return None;
        };
        let user = user_of("postgres");
        let folder = folder_of(user);
        let data = folder.path().join("data");
        let made = command_of(&initdb, user)
            .arg("--pgdata")
            .arg(&data)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .status();
        assert!(made.unwrap().success(), "initdb fails");
        Some(Self::run(&postgres, user, folder))
    }

    /// Starts a server from a data folder, which `fill` makes at the path that it gets. `None` if it is not installed.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn start_from(fill: impl FnOnce(&Path)) -> Option<Self> {
        let Some(postgres) = find("postgres") else {
            skip("the server of PostgreSQL is not installed");
            return None;
        };
        let user = user_of("postgres");
        let folder = folder_of(user);
        fill(&folder.path().join("data"));
        Some(Self::run(&postgres, user, folder))
    }

    /// A program of the server, with its folder; `None` if it is not installed.
    #[must_use]
    pub fn program(name: &str) -> Option<String> {
        find(name)
    }

    fn run(postgres: &str, user: Option<Ids>, folder: tempfile::TempDir) -> Self {
        let data = folder.path().join("data");
        let child = command_of(postgres, user)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "unix_socket_permissions=0777",
                "-c",
                // In the data folder: the server is killed at the end, and would leave it in /dev/shm.
                "dynamic_shared_memory_type=mmap",
            ])
            .spawn()
            .unwrap();
        let server = Self(Server { child, folder });
        for _ in 0..TRIES {
            let mut ready = server.client("psql");
            let ready = ready.args(["-c", "SELECT 1", "postgres"]).output().unwrap();
            if ready.status.success() {
                return server;
            }
            thread::sleep(PAUSE);
        }
        panic!("postgres does not answer");
    }

    /// The folder of its socket, for `PGHOST`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// A program of PostgreSQL that connects to this server, with the words that br needs to run it.
    #[must_use]
    pub fn words(&self, program: &str) -> Vec<String> {
        let host = format!("--host={}", self.0.folder().display());
        vec![program.to_owned(), host, "--username=postgres".to_owned()]
    }

    /// A program of PostgreSQL that connects to this server.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let words = self.words(program);
        let mut command = Command::new(program);
        command.args(&words[1..]);
        command
    }

    /// Runs statements in a database, and returns the rows without a header.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut client = self.client("psql");
        // As a variable, because as an argument a name with `=` is a connection string.
        client.env("PGDATABASE", database);
        let options = [
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statements,
        ];
        success(&client.args(options).output().unwrap())
    }
}
