//! Data that a server receives before and during the login, over plain and encrypted connections.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::io;
use std::time::Duration;

use br_matrixone::client::{Client, ClientError, ConnectOptions, TlsMode};
use br_matrixone::server_version::ServerVersion;
use br_matrixone::sql::{BackupRequest, BackupStatement, BackupTarget, Extent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "secret-of-the-test";
const MATRIXONE: &str = "8.0.30-MatrixOne-v3.0.11";
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
/// Switches to `caching_sha2_password`.
const SWITCH: &[u8] = b"\xfecaching_sha2_password\0abcdefgh0123456789ab\0";
/// Requests the password itself.
const FULL_LOGIN: &[u8] = b"\x01\x04";
/// What `mysql_async` sends to get the server's public key.
const KEY_REQUEST: u8 = 2;
const PLAIN: u8 = 0xf7;
const WITH_TLS: u8 = 0xff;
/// Time for the end of a connection to arrive.
const PAUSE: Duration = Duration::from_millis(100);

fn options(port: u16) -> ConnectOptions {
    ConnectOptions::new("127.0.0.1", port, "dump", PASSWORD).with_timeout(Duration::from_secs(10))
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

fn greeting(version: &str, capabilities: u8) -> Vec<u8> {
    let mut packet = [&[10], version.as_bytes(), b"\0\x07\0\0\0abcdefgh\0"].concat();
    packet.extend_from_slice(&[0xff, capabilities, 45, 2, 0, 0x08, 0, 21]);
    packet.extend_from_slice(&[0; 10]);
    packet.extend_from_slice(b"0123456789ab\0mysql_native_password\0");
    packet
}

async fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let len = u8::try_from(payload.len()).unwrap();
    let packet = [&[len, 0, 0, sequence], payload].concat();
    stream.write_all(&packet).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

/// A server that greets one client, sends `answers` to the packets of the login, and then reads to the end of the connection.
async fn serve(
    version: &'static str,
    capabilities: u8,
    answers: Vec<&'static [u8]>,
) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        send(&mut stream, 0, &greeting(version, capabilities)).await;
        let mut all = Vec::new();
        for (sequence, answer) in (2..).step_by(2).zip(answers) {
            all.extend(receive(&mut stream).await.unwrap());
            send(&mut stream, sequence, answer).await;
        }
        let _ = stream.read_to_end(&mut all).await;
        all
    });
    (port, received)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn another_database_receives_nothing_in_any_mode() {
    let verified = TlsMode::Verified { authorities: None };
    for mode in [
        TlsMode::Disabled,
        TlsMode::Preferred,
        TlsMode::Required,
        verified,
    ] {
        for capabilities in [PLAIN, WITH_TLS] {
            let (port, received) = serve("8.0.30", capabilities, vec![]).await;
            let error = Client::connect(&options(port).with_tls(mode.clone())).await;
            let error = error.unwrap_err();
            assert!(matches!(error, ClientError::NotMatrixOne { .. }), "{error}");
            assert_eq!(received.await.unwrap(), b"", "{mode:?}");
        }
    }
}

#[tokio::test]
async fn server_without_tls_receives_nothing_if_tls_is_required() {
    let (port, received) = serve(MATRIXONE, PLAIN, vec![]).await;
    let error = Client::connect(&options(port).with_tls(TlsMode::Required)).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ClientError::TlsNotOffered { .. }),
        "{error}"
    );
    assert_eq!(received.await.unwrap(), b"");
}

#[tokio::test]
async fn server_that_does_not_encrypt_learns_no_user() {
    // It offers TLS, and answers the request for it with a packet that is not TLS.
    let (port, received) = serve(MATRIXONE, WITH_TLS, vec![OK]).await;
    let error = Client::connect(&options(port).with_tls(TlsMode::Required)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }), "{error}");
    assert!(!contains(&received.await.unwrap(), "dump"));
}

#[tokio::test]
async fn caching_sha2_password_logs_in_with_a_proof() {
    let (port, received) = serve(MATRIXONE, PLAIN, vec![SWITCH, OK]).await;
    let client = Client::connect(&options(port)).await.unwrap();
    assert!(!format!("{client:?}").contains(PASSWORD));
    client.close().await;
    let received = received.await.unwrap();
    assert!(contains(&received, "dump") && !contains(&received, PASSWORD));
}

#[tokio::test]
async fn password_is_not_sent_on_unencrypted_connection() {
    let (port, received) = serve(MATRIXONE, PLAIN, vec![SWITCH, FULL_LOGIN]).await;
    let error = Client::connect(&options(port)).await.unwrap_err();
    assert!(matches!(error, ClientError::PasswordInClear), "{error}");
    assert_ne!(received.await.unwrap().last(), Some(&KEY_REQUEST));
}

#[tokio::test]
async fn statement_to_closed_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        send(&mut stream, 0, &greeting(MATRIXONE, PLAIN)).await;
        receive(&mut stream).await.unwrap();
        send(&mut stream, 2, OK).await;
    });
    let mut client = Client::connect(&options(port)).await.unwrap();
    server.await.unwrap();
    tokio::time::sleep(PAUSE).await;
    let error = client.backup(&statement(), &CancellationToken::new()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Lost(_)), "{error}");
}

#[tokio::test]
async fn statement_that_arrived_is_ambiguous_even_if_the_connection_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        send(&mut stream, 0, &greeting(MATRIXONE, PLAIN)).await;
        receive(&mut stream).await.unwrap();
        send(&mut stream, 2, OK).await;
        let statement = receive(&mut stream).await.unwrap();
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        statement
    });
    let mut client = Client::connect(&options(port)).await.unwrap();
    let error = client.backup(&statement(), &CancellationToken::new()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Ambiguous(_)), "{error}");
    assert!(contains(&server.await.unwrap(), "BACKUP"));
}
