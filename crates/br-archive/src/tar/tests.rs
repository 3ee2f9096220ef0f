use std::io::{Read as _, Write as _};

use super::*;
use crate::error::ErrorKind;

fn header(name: &str, size: u64) -> TarHeader {
    TarHeader {
        name: name.into(),
        kind: MemberKind::File,
        size,
        mode: 0o640,
        mtime: 1_700_000_000,
        uid: 1000,
        gid: 100,
        user: String::new(),
        group: String::new(),
    }
}

fn archive(members: &[(TarHeader, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (header, content) in members {
        writer.begin(header).unwrap();
        writer.content().write_all(content).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn written_archive_is_read_back() {
    let long = format!("base/{}/{}", "é".repeat(100), "x".repeat(200));
    let split = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    let members: Vec<(TarHeader, &[u8])> = vec![
        (header("base/a", 3), b"abc"),
        (header("base/empty", 0), b""),
        (header(&long, 512), &[7; 512]),
        (header(&split, 513), &[8; 513]),
    ];
    let bytes = archive(&members);
    assert_eq!(bytes.len() % 512, 0);
    let mut reader = TarReader::new(bytes.as_slice());
    for (header, content) in &members {
        assert_eq!(reader.next().unwrap().as_ref(), Some(header));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(&read, content);
    }
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(reader.next().unwrap(), None);
}

/// Eleven octal digits reach 8 GiB; a PAX header holds larger sizes.
#[test]
fn sizes_beyond_octal_limit_round_trip() {
    let mut writer = TarWriter::new(Vec::new());
    writer.begin(&header("base/huge", 1 << 40)).unwrap();
    let bytes = std::mem::take(writer.content());
    let mut reader = TarReader::new(bytes.as_slice());
    assert_eq!(reader.next().unwrap().unwrap().size, 1 << 40);
}

/// An archive may be truncated anywhere; only the end marker shows that it is complete.
#[test]
fn every_truncation_is_detected() {
    let bytes = archive(&[(header("base/a", 600), &[1; 600])]);
    for len in 0..bytes.len() - 512 {
        let mut reader = TarReader::new(&bytes[..len]);
        let mut read = || -> crate::Result<()> {
            while reader.next()?.is_some() {}
            Ok(())
        };
        let error = read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{len}");
    }
}

#[test]
fn members_except_files_and_directories_are_refused() {
    use ::tar::{EntryType, Header};
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::new(b'V'),
    ] {
        let mut header = Header::new_gnu();
        header.set_path("base/x").unwrap();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 1024]);
        let error = TarReader::new(bytes.as_slice()).next().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{kind:?}");
        assert_eq!(error.member(), Some("base/x"));
    }
}
