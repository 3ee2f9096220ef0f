//! Packets of a connection.
//!
//! [`Wire`] reads and writes them, [`Reader`] parses one. Invariant: the client is not trusted; a packet that is too long or too short is
//! an error of the connection.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

/// The longest statement, in bytes.
const MAX_PACKET: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    sequence: u8,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let sequence = 0;
        Self { socket, sequence }
    }

    /// The next packet; `None` if the client has disconnected.
    pub(crate) fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; 4];
        match self.socket.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let length =
            usize::from(head[0]) | (usize::from(head[1]) << 8) | (usize::from(head[2]) << 16);
        if length > MAX_PACKET {
            return Err(ErrorKind::InvalidData.into());
        }
        self.sequence = head[3].wrapping_add(1);
        let mut packet = vec![0; length];
        self.socket.read_exact(&mut packet)?;
        Ok(Some(packet))
    }

    pub(crate) fn write(&mut self, packet: &[u8]) -> io::Result<()> {
        self.write_all(&[packet.to_owned()])
    }

    /// Writes packets at once.
    pub(crate) fn write_all(&mut self, packets: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for packet in packets {
            let length = u32::try_from(packet.len()).expect("answers are short");
            bytes.extend_from_slice(&length.to_le_bytes()[..3]);
            bytes.push(self.sequence);
            bytes.extend_from_slice(packet);
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.socket.write_all(&bytes)
    }

    /// Whether the client has closed the connection.
    pub(crate) fn is_gone(&self) -> bool {
        if self.socket.set_nonblocking(true).is_err() {
            return true;
        }
        let gone = match self.socket.peek(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        self.socket.set_nonblocking(false).is_err() || gone
    }

    /// Ends the connection for both sides.
    pub(crate) fn close(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// The unread rest of a packet.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn number(&mut self, bytes: usize) -> io::Result<u64> {
        let taken = self.take(bytes)?.iter().rev();
        Ok(taken.fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// Bytes up to a zero, or to the end.
    pub(crate) fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let taken = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = &self.0[(taken.len() + 1).min(self.0.len())..];
        taken
    }

    /// Bytes after their length, which has a variable number of bytes.
    pub(crate) fn counted(&mut self) -> io::Result<&'a [u8]> {
        let length = match self.number(1)? {
            0xfc => self.number(2)?,
            0xfd => self.number(3)?,
            0xfe => self.number(8)?,
            short => short,
        };
        let length = usize::try_from(length).map_err(|_| ErrorKind::InvalidData)?;
        self.take(length)
    }
}

/// Writes a length in a variable number of bytes.
pub(crate) fn put_length(into: &mut Vec<u8>, length: usize) {
    let bytes = (length as u64).to_le_bytes();
    match length {
        0..=250 => into.push(bytes[0]),
        251..=0xffff => {
            into.push(0xfc);
            into.extend_from_slice(&bytes[..2]);
        }
        _ => {
            into.push(0xfd);
            into.extend_from_slice(&bytes[..3]);
        }
    }
}

/// Writes a text after its length.
pub(crate) fn put_text(into: &mut Vec<u8>, text: &str) {
    put_length(into, text.len());
    into.extend_from_slice(text.as_bytes());
}
