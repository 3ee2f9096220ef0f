//! A MariaDB server.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use super::{PAUSE, Server, TRIES, command_of, folder_of, has_programs, success, user_of};

/// A MariaDB server with the user `root`, who needs no password.
#[derive(Debug)]
pub struct MariaDb(Server);

impl MariaDb {
    /// Starts a server; `None` if it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !has_programs(&["mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump"]) {
            return None;
        }
        let user = user_of("mysql");
        let folder = folder_of(user);
        let data = format!("--datadir={}", folder.path().join("data").display());
        let install = || {
            command_of("mariadb-install-db", user)
                .args([
                    "--no-defaults",
                    &data,
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .output()
                .unwrap()
        };
        // It fails now and then when several run at the same time.
        let mut installed = install();
        if !installed.status.success() {
            let _ = std::fs::remove_dir_all(folder.path().join("data"));
            installed = install();
        }
        success(&installed);
        let at = |name: &str| folder.path().join(name).display().to_string();
        let child = command_of("mariadbd", user)
            .args([
                "--no-defaults",
                &data,
                "--skip-networking",
                "--character-set-server=utf8mb4",
            ])
            .arg(format!("--socket={}", at("socket")))
            .arg(format!("--pid-file={}", at("pid")))
            .arg("--log-bin=binlog")
            .spawn()
            .unwrap();
        let server = Self(Server { child, folder });
        for _ in 0..TRIES {
            let ping = server.client("mariadb-admin").arg("ping").output().unwrap();
            if ping.status.success() {
                return Some(server);
            }
            thread::sleep(PAUSE);
        }
        panic!("mariadbd does not answer");
    }

    /// The socket of the server.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.folder().join("socket")
    }

    /// A program of MariaDB that connects to this server, with the words that br needs to run it.
    #[must_use]
    pub fn words(&self, program: &str) -> Vec<String> {
        let socket = format!("--socket={}", self.socket().display());
        vec![
            program.to_owned(),
            "--no-defaults".to_owned(),
            socket,
            "--user=root".to_owned(),
            "--default-character-set=utf8mb4".to_owned(),
        ]
    }

    /// A program of MariaDB that connects to this server.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let words = self.words(program);
        let mut command = Command::new(program);
        command.args(&words[1..]);
        command
    }

    /// Runs one statement that contains semicolons, such as the definition of a routine.
    ///
    /// # Panics
    /// When the statement fails.
    pub fn define(&self, statement: &str) {
        let mut client = self.client("mariadb");
        let output = client.args(["--delimiter=//", "-e", statement]).output();
        success(&output.unwrap());
    }

    /// Runs statements, and returns the rows without a header.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn sql(&self, statements: &str) -> String {
        let mut client = self.client("mariadb");
        success(
            &client
                .args(["-N", "-B", "-e", statements])
                .output()
                .unwrap(),
        )
    }
}
