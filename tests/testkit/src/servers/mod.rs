//! Real servers, each in a folder of its own and reachable only by a socket in it, or only from this machine.
//!
//! [`MariaDb`], [`Postgres`], [`RabbitMq`] and [`Redis`] start a server, and stop it when they are dropped. Each test has its own, because a test may do to it what it
//! likes.

mod mariadb;
mod postgres;
mod rabbitmq;
mod redis;

pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::skip::{is_root, skip};

/// How often to ask whether a server is ready, and how long to wait in between.
const TRIES: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// A server that runs.
#[derive(Debug)]
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// True if these programs exist; otherwise says that the test is skipped.
fn has_programs(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let exists =
        |program: &&&str| std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    let missing = programs.iter().find(|program| !exists(program));
    if let Some(missing) = missing {
        skip(&format!("{missing} is not installed"));
    }
    missing.is_none()
}

/// A user id and a group id.
type Ids = (u32, u32);

/// The user that a server runs as; `None` for the user who runs the tests. Servers refuse to run as root.
fn user_of(server: &str) -> Option<Ids> {
    let id = |option: &str| {
        let output = Command::new("id").args([option, server]).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    is_root().then(|| (id("-u"), id("-g")))
}

/// A folder that belongs to the user of a server.
fn folder_of(user: Option<Ids>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid)).unwrap();
    }
    folder
}

/// A command that runs as the user of a server.
fn command_of(program: &str, user: Option<Ids>) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}

/// The output of a command that must succeed.
fn success(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    out
}
