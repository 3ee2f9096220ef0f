//! Shared helpers of the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use br_test_matrixone::{Backup, Cluster, Folder, MoServer, MoVersion, Summary};
use mysql_async::{Conn, OptsBuilder};

pub(crate) const ID_1: &str = "01942b54-0000-7000-8000-000000000001";
pub(crate) const ID_2: &str = "01942b54-0000-7000-8000-000000000002";
pub(crate) const ID_3: &str = "01942b54-0000-7000-8000-000000000003";

/// A file of this package.
pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Prints why a test was skipped. With `CI_NO_SKIP=1` in the environment, fails instead.
#[expect(
    clippy::print_stderr,
    reason = "the user who runs the tests must see it"
)]
pub(crate) fn skip(why: &str) {
    let forbidden = std::env::var_os("CI_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!forbidden, "this test must not be skipped here: {why}");
    eprintln!("skipped: {why}");
}

/// Runs the verifier; `None` without Python.
pub(crate) fn verify(folder: &Path) -> Option<(bool, String)> {
    let mut python = Command::new("python3");
    let Ok(output) = python.arg(here("verify_archive.py")).arg(folder).output() else {
        skip("there is no python3");
        return None;
    };
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Some((output.status.success(), text))
}

pub(crate) fn assert_good(folder: &Path, shows: &str) {
    if let Some((good, text)) = verify(folder) {
        assert!(good && text.contains(shows), "{shows}: {text}");
    }
}

pub(crate) fn assert_bad(folder: &Path, shows: &str) {
    if let Some((good, text)) = verify(folder) {
        assert!(!good && text.contains(shows), "{shows}: {text}");
    }
}

/// Makes a full backup.
pub(crate) fn full(cluster: &mut Cluster, version: MoVersion, folder: &Path) -> Summary {
    let mut target = Folder::new(folder);
    Backup::full(version).run(cluster, &mut target).unwrap()
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(root: &Path, folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                collect(root, &path, into);
            } else {
                let name = path.strip_prefix(root).unwrap();
                into.insert(name.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(folder, folder, &mut all);
    all
}

pub(crate) fn options(server: &MoServer, user: &str, password: &str) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(server.port())
        .prefer_socket(false)
        .user(Some(user))
        .pass(Some(password))
}

pub(crate) async fn connect(server: &MoServer) -> Conn {
    Conn::new(options(server, "dump", "111")).await.unwrap()
}

/// The error number in the answer to a statement.
pub(crate) fn code<T>(result: Result<T, mysql_async::Error>) -> u16 {
    match result {
        Err(mysql_async::Error::Server(error)) => error.code,
        Err(error) => unreachable!("no error of the server: {error}"),
        Ok(_) => 0,
    }
}

pub(crate) fn is_lost<T>(result: &Result<T, mysql_async::Error>) -> bool {
    matches!(
        result,
        Err(mysql_async::Error::Io(_) | mysql_async::Error::Driver(_))
    )
}

/// The statement for a full backup.
pub(crate) fn full_sql(folder: &Path) -> String {
    let folder = folder.display();
    format!("BACKUP 'x' FILESYSTEM '{folder}' PARALLELISM '4' TYPE 'full'")
}

pub(crate) fn backup_sql(folder: &tempfile::TempDir) -> String {
    full_sql(&folder.path().join("one"))
}

/// Waits for a condition that another thread causes.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("it does not come");
}
