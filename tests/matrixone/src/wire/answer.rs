//! Answers to a client.
//!
//! [`ok`], [`error`] and [`rows`] build packets. Invariant: a statement is answered with exactly one of them.

use super::{put_length, put_text};

/// The status of a session: statements commit by themselves.
const STATUS: [u8; 2] = [2, 0];
const TYPE_NUMBER: u8 = 0x08;
const TYPE_TEXT: u8 = 0xfd;

/// The packet that reports success without rows.
pub(crate) fn ok() -> Vec<u8> {
    vec![0, 0, 0, STATUS[0], STATUS[1], 0, 0]
}

pub(crate) fn error(code: u16, text: &str) -> Vec<u8> {
    let state = if code == 1045 { "28000" } else { "HY000" };
    let mut packet = vec![0xff];
    packet.extend_from_slice(&code.to_le_bytes());
    packet.push(b'#');
    packet.extend_from_slice(state.as_bytes());
    packet.extend_from_slice(text.as_bytes());
    packet
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(String),
    Text(String),
}

/// One row, with the names of its columns.
pub(crate) fn rows(columns: &[(String, Value)], deprecate_eof: bool) -> Vec<Vec<u8>> {
    let mut count = Vec::new();
    put_length(&mut count, columns.len());
    let mut packets = vec![count];
    packets.extend(columns.iter().map(|(name, value)| column(name, value)));
    if !deprecate_eof {
        packets.push(end(false));
    }
    let mut row = Vec::new();
    for (_, value) in columns {
        match value {
            Value::Null => row.push(0xfb),
            Value::Number(text) | Value::Text(text) => put_text(&mut row, text),
        }
    }
    packets.push(row);
    packets.push(end(deprecate_eof));
    packets
}

fn column(name: &str, value: &Value) -> Vec<u8> {
    let (charset, kind) = match value {
        Value::Number(_) => (63, TYPE_NUMBER),
        Value::Null | Value::Text(_) => (45, TYPE_TEXT),
    };
    let mut packet = Vec::new();
    for text in ["def", "", "", "", name, ""] {
        put_text(&mut packet, text);
    }
    packet.push(0x0c);
    packet.extend_from_slice(&[charset, 0]);
    packet.extend_from_slice(&1024_u32.to_le_bytes());
    packet.push(kind);
    packet.extend_from_slice(&[0; 5]);
    packet
}

/// The end of columns or rows, in the old format or as an OK.
fn end(deprecate_eof: bool) -> Vec<u8> {
    let mut packet = vec![0xfe, 0, 0];
    packet.extend_from_slice(&STATUS);
    if deprecate_eof {
        packet.extend_from_slice(&[0, 0]);
    }
    packet
}
