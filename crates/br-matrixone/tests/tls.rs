//! Encrypted connections to a real MariaDB that calls itself MatrixOne and requires encryption of its user.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use br_matrixone::client::{Client, ClientError, ConnectOptions, ServerReason, TlsMode};
use br_matrixone::server_version::ServerVersion;
use br_matrixone::sql::{BackupRequest, BackupStatement, BackupTarget, Extent};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "secret-of-the-test";
const MATRIXONE: &str = "8.0.30-MatrixOne-v3.0.11";
const TRIES: usize = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a certificate authority, and its certificate for `localhost`.
const CERTIFICATES: &str = "
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=authority of the test' &&
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost &&
echo 'subjectAltName=DNS:localhost' >extensions &&
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem &&
openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 -subj '/CN=another authority'";

struct MariaDb {
    port: u16,
    process: Child,
    folder: TempDir,
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reports that a test cannot run here. In CI no test may be skipped.
#[expect(clippy::print_stderr, reason = "a user who runs the tests should know")]
fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI_NO_SKIP").is_none(),
        "this test must not be skipped here: {reason}"
    );
    eprintln!("skipped: {reason}");
}

fn shell(folder: &Path, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder);
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

impl MariaDb {
    /// Starts a server; `None` if its programs are missing.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let programs = "command -v openssl && command -v mariadbd && command -v mariadb-install-db";
        if !shell(path, programs) {
            return None;
        }
        assert!(shell(path, CERTIFICATES), "openssl fails");
        let sql = format!("CREATE USER dump@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\n");
        fs::write(path.join("init.sql"), sql).unwrap();
        // Root gives the server an unprivileged user, which must reach the folder.
        let user = if shell(path, "[ $(id -u) -eq 0 ]") {
            "--user=mysql"
        } else {
            "--user="
        };
        let install = format!(
            "mkdir data && chmod 755 . && {{ [ {user} = --user= ] || chown -R mysql . ; }} && mariadb-install-db {user} \
             --datadir=\"$PWD/data\" --skip-test-db --auth-root-authentication-method=normal"
        );
        assert!(shell(path, &install), "mariadb-install-db fails");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let at = |option: &str, name: &str| format!("--{option}={}", path.join(name).display());
        let process = Command::new("mariadbd")
            .args(["--no-defaults", user, "--bind-address=127.0.0.1"])
            .arg("--skip-name-resolve")
            .args([format!("--port={port}"), format!("--version={MATRIXONE}")])
            .args([at("datadir", "data"), at("socket", "data/socket")])
            .args([at("init-file", "init.sql"), at("ssl-ca", "ca.pem")])
            .args([at("ssl-cert", "server.pem"), at("ssl-key", "server.key")])
            .stdin(Stdio::null())
            .stderr(fs::File::create(path.join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self {
            port,
            process,
            folder,
        };
        for _ in 0..TRIES {
            if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(PAUSE);
        }
        let log = fs::read_to_string(server.folder.path().join("log")).unwrap();
        unreachable!("MariaDB does not start: {log}");
    }

    fn options(&self, host: &str, mode: TlsMode) -> ConnectOptions {
        ConnectOptions::new(host, self.port, "dump", PASSWORD).with_tls(mode)
    }

    fn verified_by(&self, authority: &str) -> TlsMode {
        let authorities = fs::read(self.folder.path().join(authority)).unwrap();
        TlsMode::Verified {
            authorities: Some(authorities),
        }
    }
}

fn statement() -> BackupStatement {
    let request = BackupRequest {
        label: "id".to_owned(),
        target: BackupTarget::FileSystem {
            path: "/backup".to_owned(),
        },
        parallelism: None,
        extent: Extent::Full,
    };
    let version = ServerVersion::parse(MATRIXONE).unwrap();
    request.statement(&version).unwrap()
}

#[tokio::test]
async fn modes_hold_against_a_real_server() {
    let Some(server) = MariaDb::start() else {
        return skip("mariadb-server or openssl is missing");
    };
    let own = server.verified_by("ca.pem");
    for mode in [TlsMode::Preferred, TlsMode::Required, own.clone()] {
        let options = server.options("localhost", mode.clone());
        let mut client = Client::connect(&options).await.unwrap();
        let refused = client.backup(&statement(), &CancellationToken::new()).await;
        let Err(ClientError::Server(answer)) = refused else {
            panic!("{mode:?}: {refused:?}");
        };
        assert_eq!(answer.reason(), ServerReason::Syntax, "{mode:?}");
        assert!(!format!("{client:?} {options:?}").contains(PASSWORD));
        client.close().await;
    }

    // The user may log in over an encrypted connection only.
    let error = Client::connect(&server.options("localhost", TlsMode::Disabled)).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ClientError::WrongPassword { .. }),
        "{error}"
    );

    let public = TlsMode::Verified { authorities: None };
    let other = server.verified_by("other.pem");
    // The certificate is for another name than this address.
    for (host, mode) in [
        ("localhost", public),
        ("localhost", other),
        ("127.0.0.1", own),
    ] {
        let error = Client::connect(&server.options(host, mode)).await;
        let error = error.unwrap_err();
        assert!(matches!(error, ClientError::Tls { .. }), "{host}: {error}");
    }
}
