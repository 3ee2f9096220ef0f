//! The TCP connection to a server: read its greeting, then let `mysql_async` use the connection.
//!
//! [`Link::open`] reads the [`Greeting`]. [`Link::offer`] then opens a port on the loopback address for `mysql_async`, and an
//! [`OfferedLink`] copies bytes between that port and the server. Invariant: the server receives no byte before `offer`.
//!
//! This file exists because `mysql_async` 0.37 opens its connections itself and has no hook before the login. Measured:
//!
//! - It sends the user and the proof of the password to a server whose greeting is `8.0.30`, and shows a version as three numbers.
//! - Its error is the same before and after a statement was sent: `UnexpectedEof` if the server closed the connection,
//!   `ConnectionReset` if it reset it. [`OfferedLink::sent`] counts what reached the server.
//! - On an unencrypted connection, a server that requests the full login of `caching_sha2_password` and sends its own RSA key
//!   gets the password itself. [`pass_login`] stops such a login.
//! - It sets the idle time before keepalive probes, but neither their interval nor their number. The caller sets all three.
//!
//! A Unix socket in place of the port is no option: `mysql_async` does not encrypt it and sends a password over it in clear.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::error::ServerError;
use super::session::SessionError;
use crate::server_version::shown_to;

/// Longest packet during the login, in bytes.
const MAX_PACKET: usize = 1 << 16;
/// Longest error text that is kept, in characters.
pub(super) const MAX_MESSAGE: usize = 2_000;
const HEADER: usize = 4;
const BUFFER: usize = 1 << 14;

const PROTOCOL_VERSION: u8 = 10;
const OK: u8 = 0;
const ERR: u8 = 0xff;
/// `caching_sha2_password` requests the password itself.
const FULL_LOGIN: [u8; 2] = [1, 4];
const SSL: u16 = 1 << 11;

/// The parsed first packet of a server.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) connection_id: u32,
    pub(super) offers_tls: bool,
}

/// A connection whose greeting was read.
#[derive(Debug)]
pub(super) struct Link {
    server: TcpStream,
    greeting: Vec<u8>,
}

/// A connection that waits for `mysql_async` on a port, or that `mysql_async` uses. Dropping it closes the
/// connection.
#[derive(Debug)]
pub(super) struct OfferedLink {
    pub(super) port: u16,
    traffic: Arc<Traffic>,
    relay: AbortOnDropHandle<io::Result<()>>,
}

#[derive(Debug, Default)]
struct Traffic {
    sent: AtomicU64,
    was_refused: AtomicBool,
}

impl Link {
    /// Reads the greeting from a new connection.
    pub(super) async fn open(mut server: TcpStream) -> Result<(Self, Greeting), SessionError> {
        let packet = read_packet(&mut server).await;
        let packet = packet.map_err(SessionError::Receive)?;
        let payload = &packet[HEADER..];
        if payload.first() == Some(&ERR) {
            return Err(SessionError::Server(server_error(payload)));
        }
        let greeting = Greeting::read(payload).ok_or_else(|| SessionError::Receive(malformed()))?;
        let link = Self {
            server,
            greeting: packet,
        };
        Ok((link, greeting))
    }

    /// Offers the connection on a port. If `is_plain`, stops a login that would send the password
    /// unencrypted.
    pub(super) async fn offer(self, is_plain: bool) -> io::Result<OfferedLink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let traffic = Arc::<Traffic>::default();
        let relay = tokio::spawn(self.relay(listener, is_plain, Arc::clone(&traffic)));
        Ok(OfferedLink {
            port,
            traffic,
            relay: AbortOnDropHandle::new(relay),
        })
    }

    /// Copies bytes until one side closes its connection. Keeps the listener, so that no other process can take the port.
    async fn relay(
        self,
        listener: TcpListener,
        is_plain: bool,
        traffic: Arc<Traffic>,
    ) -> io::Result<()> {
        let (local, _) = listener.accept().await?;
        local.set_nodelay(true)?;
        let (mut from_local, mut to_local) = local.into_split();
        let (mut from_server, to_server) = self.server.into_split();
        to_local.write_all(&self.greeting).await?;
        let down = async {
            if is_plain {
                pass_login(&mut from_server, &mut to_local, &traffic).await?;
            }
            tokio::io::copy(&mut from_server, &mut to_local).await
        };
        tokio::select! {
            // If the server has closed the connection, a statement must not count as sent.
            biased;
            result = down => result.map(|_| ())?,
            result = pass_up(&mut from_local, to_server, &traffic) => return result,
        }
        // Closing immediately would reset the connection and could lose the server's last response.
        to_local.shutdown().await?;
        tokio::io::copy(&mut from_local, &mut tokio::io::sink()).await?;
        Ok(())
    }
}

impl OfferedLink {
    /// Returns the number of bytes that were passed to the server's connection.
    pub(super) fn sent(&self) -> u64 {
        self.traffic.sent.load(Ordering::SeqCst)
    }

    /// Returns whether the login was stopped because it would have shown the password.
    pub(super) fn was_refused(&self) -> bool {
        self.traffic.was_refused.load(Ordering::SeqCst)
    }

    /// Waits until everything that `mysql_async` wrote was passed on. Its connection must be closed.
    pub(super) async fn finish(self) {
        let _ = self.relay.await;
    }
}

async fn pass_up(
    from: &mut OwnedReadHalf,
    mut to: OwnedWriteHalf,
    traffic: &Traffic,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..len]).await?;
        traffic.sent.fetch_add(len as u64, Ordering::SeqCst);
    }
}

/// Passes on the server's packets until the login has ended.
async fn pass_login(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    traffic: &Traffic,
) -> io::Result<()> {
    loop {
        let packet = read_packet(from).await?;
        let payload = &packet[HEADER..];
        if payload.starts_with(&FULL_LOGIN) {
            traffic.was_refused.store(true, Ordering::SeqCst);
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        to.write_all(&packet).await?;
        // Only success ends the login. After an error the server closes the connection.
        if payload.first() == Some(&OK) {
            return Ok(());
        }
    }
}

/// Reads a packet with its header.
async fn read_packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; HEADER];
    from.read_exact(&mut packet).await?;
    let len = packet.as_slice().get_uint_le(3);
    let len = usize::try_from(len).map_err(|_| malformed())?;
    if len > MAX_PACKET {
        return Err(malformed());
    }
    packet.resize(HEADER + len, 0);
    from.read_exact(&mut packet[HEADER..]).await?;
    Ok(packet)
}

impl Greeting {
    fn read(mut packet: &[u8]) -> Option<Self> {
        if packet.try_get_u8().ok()? != PROTOCOL_VERSION {
            return None;
        }
        let end = packet.iter().position(|&byte| byte == 0)?;
        let version = String::from_utf8_lossy(&packet[..end]).into_owned();
        packet.advance(end + 1);
        let connection_id = packet.try_get_u32_le().ok()?;
        // The start of the salt.
        packet = packet.get(9..)?;
        let capabilities = packet.try_get_u16_le().ok()?;
        // The character set, the status and the rest of the capabilities.
        packet = packet.get(5..)?;
        let salt_len = packet.try_get_u8().ok()?;
        // Longer ones overflow in `mysql_common`.
        (salt_len < 0x80).then_some(Self {
            version,
            connection_id,
            offers_tls: capabilities & SSL != 0,
        })
    }
}

/// Reads an error that a server sends in place of its greeting.
fn server_error(mut packet: &[u8]) -> ServerError {
    packet = packet.get(1..).unwrap_or_default();
    let code = packet.try_get_u16_le().unwrap_or_default();
    let (state, message) = match packet.split_at_checked(6) {
        Some(([b'#', state @ ..], message)) => (state, message),
        _ => (&[][..], packet),
    };
    ServerError {
        code,
        state: shown_to(&String::from_utf8_lossy(state), MAX_MESSAGE),
        message: shown_to(&String::from_utf8_lossy(message), MAX_MESSAGE),
    }
}

fn malformed() -> io::Error {
    let text = "the server sent a malformed packet during the login";
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_packets_do_not_panic() {
        let mut packet = vec![10];
        packet.extend_from_slice(b"8.0.30-MatrixOne-v3.0.11\0");
        packet.extend_from_slice(&[7, 0, 0, 0]);
        packet.extend_from_slice(&[b's'; 9]);
        packet.extend_from_slice(&[0xff; 7]);
        packet.push(21);
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"123456789012\0mysql_native_password\0");
        for len in 0..=packet.len() {
            let greeting = Greeting::read(&packet[..len]);
            let _ = server_error(&packet[..len]);
            assert_eq!(greeting.is_some(), len >= 47, "{len}");
        }
        let greeting = Greeting::read(&packet).unwrap();
        assert_eq!((greeting.connection_id, greeting.offers_tls), (7, true));
        packet[46] = 0x80;
        assert!(Greeting::read(&packet).is_none());
    }

    #[test]
    fn error_in_place_of_greeting_is_read() {
        let error = server_error(b"\xff\x10\x04#08004Too many connections");
        assert_eq!((error.code, error.state.as_str()), (1040, "08004"));
        assert_eq!(error.message, "Too many connections");
        let error = server_error(b"\xff\x69\x04Host is blocked");
        assert_eq!((error.code, error.state.as_str()), (1129, ""));
        assert_eq!(error.message, "Host is blocked");
    }
}
