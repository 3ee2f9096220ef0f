//! The encodings in an archive: frames, digests, tables, object files, protobuf.
//!
//! It has only pure functions. Invariant: digests are always of the bytes before [`frame`].

use sha2::{Digest as _, Sha256};

use crate::random::Random;

/// Bytes of a frame, with its checksum.
const BLOCK: usize = 2048;
/// Bytes of content in a frame.
pub const PAYLOAD: usize = BLOCK - 4;
/// Bytes of the header of an object file, and of its footer.
pub const HEADER: usize = 64;
/// The smallest size of an object file in bytes.
pub const SMALLEST_OBJECT: usize = 2 * HEADER + 32;

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index: usize = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            let mask = (value & 1).wrapping_neg();
            value = (value >> 1) ^ (0x82f6_3b78 & mask);
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

static CRC: [u32; 256] = crc_table();

/// The CRC-32C of bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        CRC[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8)
    })
}

/// Frames the content of a file.
#[must_use]
pub fn frame(content: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(content.len() + 4 * content.len().div_ceil(PAYLOAD));
    for payload in content.chunks(PAYLOAD) {
        framed.extend_from_slice(&crc32c(payload).to_le_bytes());
        framed.extend_from_slice(payload);
    }
    framed
}

/// The SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of a table as Go's `encoding/csv` writes it.
#[must_use]
pub fn csv_line<S: AsRef<str>>(fields: &[S]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| csv_field(field.as_ref()))
        .collect();
    format!("{}\n", fields.join(","))
}

fn csv_field(field: &str) -> String {
    let quoted = field == r"\."
        || field.contains([',', '"', '\r', '\n'])
        || field.starts_with(char::is_whitespace);
    if quoted {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// An object file: header, columns, meta data, footer.
#[must_use]
pub fn object_file(seed: u64, size: usize) -> Vec<u8> {
    let size = size.max(SMALLEST_OBJECT);
    let length = (size / 4).clamp(32, 512);
    let offset = size - HEADER - length;
    let mut file = Vec::with_capacity(size);
    file.extend_from_slice(&0xffff_ffff_u64.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&extent(offset, length));
    file.extend_from_slice(&1_u32.to_le_bytes());
    file.resize(HEADER, 0);
    file.extend_from_slice(&Random::new(seed).bytes(size - 2 * HEADER));
    // The real footer is a memory dump that no program reads.
    let footer = file.len();
    file.extend_from_slice(&extent(offset, length));
    file.resize(footer + HEADER - 8, 0);
    file.extend_from_slice(&0xffff_ffff_u64.to_le_bytes());
    file
}

/// The extent of the metadata: compressed with LZ4, offset, length, length before compression.
fn extent(offset: usize, length: usize) -> [u8; 13] {
    let number = |value: usize| {
        u32::try_from(value)
            .expect("object files are small")
            .to_le_bytes()
    };
    let mut bytes = [1; 13];
    bytes[1..5].copy_from_slice(&number(offset));
    bytes[5..9].copy_from_slice(&number(length));
    bytes[9..13].copy_from_slice(&number(length * 3));
    bytes
}

/// The keeper's data: `{1: next id, 2: next id of each key}` as protobuf.
#[must_use]
pub fn keeper_data(next: u64, by_key: &[(String, u64)]) -> Vec<u8> {
    let mut data = vec![0x08];
    varint(&mut data, next);
    for (key, id) in by_key {
        let mut entry = vec![0x0a];
        varint(&mut entry, key.len() as u64);
        entry.extend_from_slice(key.as_bytes());
        entry.push(0x10);
        varint(&mut entry, *id);
        data.push(0x12);
        varint(&mut data, entry.len() as u64);
        data.extend_from_slice(&entry);
    }
    data
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn frames_end_where_the_content_ends() {
        assert!(frame(b"").is_empty());
        for (content, framed) in [(1, 5), (32, 36), (2044, 2048), (2045, 2053), (4088, 4096)] {
            assert_eq!(frame(&vec![7; content]).len(), framed);
        }
    }

    #[test]
    fn fields_are_quoted_as_go_does() {
        let line = csv_line(&["a", "", "b,c", "d\"e", " f", "g h"]);
        assert_eq!(line, "a,,\"b,c\",\"d\"\"e\",\" f\",g h\n");
    }

    #[test]
    fn object_files_are_as_long_as_their_header_says() {
        for size in [1, 160, 300, 2044, 20_000] {
            let file = object_file(1, size);
            let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            assert_eq!(file.len(), size.max(SMALLEST_OBJECT));
            assert_eq!(
                number(11) + number(15) + 64,
                u32::try_from(file.len()).unwrap()
            );
        }
    }
}
