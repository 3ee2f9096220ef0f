//! The client against a scripted server, and against MariaDB if it is installed.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use br_matrixone::client::{Client, ClientError, ConnectOptions, ServerReason};
use br_matrixone::server_version::{Product, ServerVersion};
use br_matrixone::sql::{BackupRequest, BackupStatement, BackupTarget, Extent, S3Keys, S3Target};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "111";
const SALT: &[u8; 20] = b"abcdefgh0123456789ab";

/// What the server does with a backup.
#[derive(Clone)]
enum Backup {
    Finish,
    Fail(u16, &'static str),
    /// Closes the connection.
    Vanish,
    /// Runs until it is killed, and then reports that.
    Run,
    /// Runs until it is killed, and then reports success.
    Hurry,
    /// Runs on and ignores the kill.
    Ignore,
}

struct Server {
    port: u16,
    /// Every statement with the number of its connection.
    log: Arc<Mutex<Vec<(u32, String)>>>,
}

#[derive(Clone)]
struct Behaviour {
    greeting: &'static str,
    backup: Backup,
    switches_method: bool,
    log: Arc<Mutex<Vec<(u32, String)>>>,
    killed: Arc<Notify>,
}

async fn serve(greeting: &'static str, backup: Backup) -> Server {
    serve_with(greeting, backup, false).await
}

async fn serve_with(greeting: &'static str, backup: Backup, switches_method: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Arc::default();
    let behaviour = Behaviour {
        greeting,
        backup,
        switches_method,
        log: Arc::clone(&log),
        killed: Arc::default(),
    };
    tokio::spawn(async move {
        for id in 1.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(talk(stream, id, behaviour.clone()));
        }
    });
    Server { port, log }
}

async fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let packet = [&[len[0], len[1], len[2], sequence], payload].concat();
    let _ = stream.write_all(&packet).await;
}

async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    stream.read_exact(&mut payload).await.ok()?;
    Some(payload)
}

fn error(code: u16, message: &str) -> Vec<u8> {
    let code = code.to_le_bytes();
    [&[0xff], &code[..], b"#HY000", message.as_bytes()].concat()
}

const DONE: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

fn knows_password(proof: &[u8]) -> bool {
    let once = Sha1::digest(PASSWORD);
    let mask = Sha1::new()
        .chain_update(SALT)
        .chain_update(Sha1::digest(once))
        .finalize();
    let expected: Vec<u8> = once.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    proof == expected
}

/// Greets and accepts the login; returns whether it did.
async fn let_in(stream: &mut TcpStream, id: u32, behaviour: &Behaviour) -> Option<bool> {
    let method: &[u8] = if behaviour.switches_method {
        b"caching_sha2_password\0"
    } else {
        b"mysql_native_password\0"
    };
    let mut greeting = [&[10], behaviour.greeting.as_bytes(), &[0]].concat();
    greeting.extend_from_slice(&id.to_le_bytes());
    greeting.extend_from_slice(&SALT[..8]);
    greeting.extend_from_slice(&[0, 0xff, 0xf7, 45, 2, 0, 0x08, 0, 21]);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(&[&SALT[8..], &[0], method].concat());
    send(stream, 0, &greeting).await;
    let response = receive(stream).await?;
    let rest = &response[32..];
    let end = rest.iter().position(|&byte| byte == 0)?;
    let len = usize::from(rest[end + 1]);
    let mut proof = rest[end + 2..end + 2 + len].to_vec();
    let mut sequence = 2;
    if behaviour.switches_method {
        let switch = [b"\xfemysql_native_password\0", &SALT[..], &[0]].concat();
        send(stream, 2, &switch).await;
        proof = receive(stream).await?;
        sequence = 4;
    }
    let answer = if knows_password(&proof) {
        DONE.to_vec()
    } else {
        error(
            1045,
            "Access denied for user dump. internal error: check password failed",
        )
    };
    send(stream, sequence, &answer).await;
    Some(answer == DONE)
}

async fn talk(mut stream: TcpStream, id: u32, behaviour: Behaviour) {
    if let_in(&mut stream, id, &behaviour).await != Some(true) {
        return;
    }
    while let Some(packet) = receive(&mut stream).await {
        if packet[0] != 3 {
            return;
        }
        let sql = String::from_utf8_lossy(&packet[1..]).into_owned();
        behaviour.log.lock().unwrap().push((id, sql.clone()));
        let answer = if sql.starts_with("BACKUP") {
            match behaviour.backup {
                Backup::Finish => DONE.to_vec(),
                Backup::Fail(code, message) => error(code, message),
                Backup::Vanish => return,
                Backup::Ignore => std::future::pending().await,
                Backup::Run => {
                    behaviour.killed.notified().await;
                    error(1317, "query interrupted")
                }
                Backup::Hurry => {
                    behaviour.killed.notified().await;
                    DONE.to_vec()
                }
            }
        } else if sql.starts_with("select") {
            for (sequence, packet) in [
                &b"\x01"[..],
                b"\x03def\0\0\0\x01r\0\x0c\x2d\0\0\x04\0\0\xfd\0\0\0\0\0",
                b"\xfe\0\0\x02\0",
                b"\x02OK",
                b"\xfe\0\0\x02\0",
            ]
            .into_iter()
            .enumerate()
            {
                send(&mut stream, u8::try_from(sequence + 1).unwrap(), packet).await;
            }
            continue;
        } else {
            behaviour.killed.notify_one();
            DONE.to_vec()
        };
        send(&mut stream, 1, &answer).await;
    }
}

const V3: &str = "8.0.30-MatrixOne-v3.0.11";

fn options(port: u16) -> ConnectOptions {
    ConnectOptions::new("127.0.0.1", port, "sys:dump", PASSWORD)
        .with_timeout(Duration::from_secs(5))
        .with_grace(Duration::from_millis(200))
}

fn statement() -> BackupStatement {
    let request = BackupRequest {
        label: "id".to_owned(),
        target: BackupTarget::S3(S3Target {
            bucket: "b".to_owned(),
            keys: Some(S3Keys {
                access_key_id: "AKID".into(),
                secret_access_key: "SECRET".into(),
            }),
            ..S3Target::default()
        }),
        parallelism: None,
        extent: Extent::Full,
    };
    let version = ServerVersion::parse(V3).unwrap();
    request.statement(&version).unwrap()
}

async fn run(backup: Backup) -> (Result<(), ClientError>, Client) {
    let server = serve(V3, backup).await;
    let mut client = Client::connect(&options(server.port)).await.unwrap();
    let outcome = client.backup(&statement(), &CancellationToken::new()).await;
    (outcome, client)
}

/// Cancels a backup as soon as the server has it.
async fn cancel(backup: Backup) -> (Result<(), ClientError>, Vec<(u32, String)>) {
    let server = serve(V3, backup).await;
    let mut client = Client::connect(&options(server.port)).await.unwrap();
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let log = Arc::clone(&server.log);
    tokio::spawn(async move {
        while log.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        canceller.cancel();
    });
    let outcome = client.backup(&statement(), &cancel).await;
    let log = server.log.lock().unwrap().clone();
    (outcome, log)
}

#[tokio::test]
async fn connection_stays_open_after_a_backup() {
    let server = serve(V3, Backup::Finish).await;
    let mut client = Client::connect(&options(server.port)).await.unwrap();
    assert_eq!(client.version().to_string(), "MatrixOne v3.0.11");
    assert_eq!(client.connection_id(), 1);
    let cancel = CancellationToken::new();
    client.backup(&statement(), &cancel).await.unwrap();
    client.protect_gc("5-1".parse().unwrap()).await.unwrap();
    client.unprotect_gc().await.unwrap();
    client.close().await;
    let log = server.log.lock().unwrap().clone();
    let sent: Vec<&str> = log.iter().map(|(_, sql)| sql.as_str()).collect();
    assert_eq!(
        sent,
        [
            statement().reveal(),
            "select mo_ctl('dn','DiskCleaner','add_checker.backup.5-1')",
            "select mo_ctl('dn','DiskCleaner','remove_checker.backup.')",
        ]
    );
}

#[tokio::test]
async fn the_login_method_can_be_switched() {
    let server = serve_with(V3, Backup::Finish, true).await;
    Client::connect(&options(server.port)).await.unwrap();
}

#[tokio::test]
async fn refused_login_reports_the_reason() {
    let server = serve(V3, Backup::Finish).await;
    let mut wrong = options(server.port);
    wrong.password = "112".into();
    let error = Client::connect(&wrong).await.unwrap_err();
    assert!(
        matches!(error, ClientError::WrongPassword { .. }),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("112"));
    wrong.user = "acc1:admin".to_owned();
    let error = Client::connect(&wrong).await.unwrap_err();
    assert!(
        matches!(error, ClientError::NotSysAccount { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn closed_port_and_other_database_give_different_errors() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let error = Client::connect(&options(port)).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");

    let error = Client::connect(&ConnectOptions::new(
        "no.such.host.invalid",
        6001,
        "dump",
        "",
    ))
    .await
    .unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let hurried = options(port).with_timeout(Duration::from_millis(50));
    let error = Client::connect(&hurried).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");

    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = web.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = web.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let error = Client::connect(&options(port)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotMySql { .. }), "{error}");

    let server = serve("8.0.30", Backup::Finish).await;
    let error = Client::connect(&options(server.port)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotMatrixOne { .. }), "{error}");
}

/// Reports that a test cannot run here. In CI no test may be skipped.
#[expect(
    clippy::print_stderr,
    reason = "the user who runs the tests must see what was skipped"
)]
fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI_NO_SKIP").is_none(),
        "this test must not be skipped here: {reason}"
    );
    eprintln!("skipped: {reason}");
}

#[tokio::test]
async fn mariadb_is_not_matrixone() {
    let error = match Client::connect(&ConnectOptions::new("127.0.0.1", 3306, "root", "")).await {
        Err(ClientError::Refused { .. }) => return skip("there is no MariaDB here"),
        Err(error) => error,
        Ok(_) => panic!("MariaDB was accepted as MatrixOne"),
    };
    let ClientError::NotMatrixOne { found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(found.product, Product::MariaDb);
}

#[tokio::test]
async fn refusal_gives_advice_and_hides_keys() {
    let said = "SQL parser error: near \"'secret_access_key'='SECRET'\" of AKID";
    let (outcome, client) = run(Backup::Fail(1064, said)).await;
    let error = outcome.unwrap_err();
    let ClientError::Server(answer) = &error else {
        panic!("{error}");
    };
    assert_eq!(answer.reason(), ServerReason::Syntax);
    assert!(!format!("{error} {error:?} {client:?}").contains("SECRET"));

    let (outcome, mut client) = run(Backup::Fail(20405, "file x is not found")).await;
    assert!(outcome.unwrap_err().to_string().contains("try again"));
    client.unprotect_gc().await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_ambiguous_and_then_closed() {
    let (outcome, mut client) = run(Backup::Vanish).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, ClientError::Ambiguous(_)), "{error}");
    let again = client.backup(&statement(), &CancellationToken::new()).await;
    assert!(matches!(again, Err(ClientError::Lost(_))));
}

#[tokio::test]
async fn a_cancelled_backup_is_killed_from_a_second_connection() {
    let (outcome, log) = cancel(Backup::Run).await;
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, ClientError::Cancelled { stopped: true, .. }),
        "{error}"
    );
    assert_eq!(log[1], (2, "KILL QUERY 1".to_owned()));
}

#[tokio::test]
async fn a_server_that_ignores_the_kill_may_still_be_writing() {
    let (outcome, log) = cancel(Backup::Ignore).await;
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, ClientError::Cancelled { stopped: false, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("may still be writing"));
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn a_backup_that_finishes_while_being_cancelled_is_finished() {
    cancel(Backup::Hurry).await.0.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_after_a_cancel() {
    let server = serve(V3, Backup::Finish).await;
    let mut client = Client::connect(&options(server.port)).await.unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = client.backup(&statement(), &cancel).await;
    assert!(matches!(
        outcome,
        Err(ClientError::Cancelled { stopped: true, .. })
    ));
    assert!(server.log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn old_servers_cannot_protect_objects_from_garbage_collection() {
    let server = serve("8.0.30-MatrixOne-v3.0.4", Backup::Finish).await;
    let mut client = Client::connect(&options(server.port)).await.unwrap();
    let error = client.unprotect_gc().await.unwrap_err();
    assert!(matches!(error, ClientError::Unsupported { .. }), "{error}");
}
