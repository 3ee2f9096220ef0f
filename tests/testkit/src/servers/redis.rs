//! A Redis server.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;

use super::{PAUSE, Server, TRIES, command_of, has_programs, success};

/// A Redis server, reachable by a socket only.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    options: Vec<String>,
}

impl Redis {
    /// Starts a server without persistence; `None` if it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts a server with these options; `None` if it is not installed.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Option<Self> {
        if !has_programs(&["redis-server", "redis-cli"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(&folder, &options);
        let server = Self {
            server: Server { child, folder },
            options,
        };
        server.wait();
        Some(server)
    }

    /// Stops the server without saving, as a crash does, and starts it in the same folder.
    pub fn restart(&mut self) {
        let _ = self.server.child.kill();
        let _ = self.server.child.wait();
        self.server.child = spawn(&self.server.folder, &self.options);
        self.wait();
    }

    /// The socket of the server.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server.folder().join("socket")
    }

    /// A client of this server.
    #[must_use]
    pub fn client(&self) -> Command {
        let mut client = Command::new("redis-cli");
        client.arg("-s").arg(self.socket());
        client
    }

    /// Runs a command, and returns the answer without its line end.
    ///
    /// # Panics
    /// When the client cannot connect.
    pub fn ask(&self, words: &[&str]) -> String {
        let output = self.client().args(words).output().unwrap();
        success(&output).trim_end().to_owned()
    }

    fn wait(&self) {
        for _ in 0..TRIES {
            let ping = self.client().arg("ping").output().unwrap();
            // A server with a password answers that it needs one.
            let answer = String::from_utf8_lossy(&ping.stdout).into_owned();
            if answer.starts_with("PONG") || answer.starts_with("NOAUTH") {
                return;
            }
            thread::sleep(PAUSE);
        }
        panic!("redis-server does not answer");
    }
}

fn spawn(folder: &tempfile::TempDir, options: &[String]) -> Child {
    command_of("redis-server", None)
        .arg("--dir")
        .arg(folder.path())
        .args(["--port", "0", "--enable-debug-command", "local"])
        .arg("--unixsocket")
        .arg(folder.path().join("socket"))
        .args(options)
        .spawn()
        .unwrap()
}
