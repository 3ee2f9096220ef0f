//! Archives built byte by byte, valid or not.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{BASE, META};

/// A tar header.
#[derive(Clone)]
pub(crate) struct Head(pub(crate) [u8; 512]);

impl Head {
    /// A ustar header for a file.
    pub(crate) fn new(name: impl AsRef<[u8]>, size: u64) -> Self {
        let mut head = Self([0; 512]);
        let name = name.as_ref();
        head.0[..name.len()].copy_from_slice(name);
        head.set(100, b"0000644\0");
        head.set(108, b"0000000\0");
        head.set(116, b"0000000\0");
        head.set(124, format!("{size:011o}\0").as_bytes());
        head.set(136, b"14371573645\0");
        head.set(156, b"0");
        head.set(257, b"ustar\x0000");
        head
    }

    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.set(at, bytes);
        self
    }

    pub(crate) fn kind(self, kind: u8) -> Self {
        self.with(156, &[kind])
    }

    /// The header with its checksum.
    pub(crate) fn sum(mut self) -> [u8; 512] {
        self.set(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.set(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// The bytes of a tar archive, one member after the other.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Begins like a bundle of EMQX.
    pub(crate) fn with_meta() -> Self {
        Self::new().file("META.hocon", META)
    }

    /// A header and what follows it, padded.
    pub(crate) fn raw(mut self, head: Head, content: impl AsRef<[u8]>) -> Self {
        self.0.extend(head.sum());
        self.0.extend(content.as_ref());
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A file below the top directory.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.named(format!("{BASE}/{path}"), content)
    }

    /// A file with exactly this name, in a PAX header if necessary.
    pub(crate) fn named(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let (name, content) = (name.as_ref(), content.as_ref());
        let size = content.len() as u64;
        if name.len() <= 100 {
            return self.raw(Head::new(name, size), content);
        }
        self.pax(&[(b"path", name)])
            .raw(Head::new("short", size), content)
    }

    /// A PAX header for the next member.
    pub(crate) fn pax(self, records: &[(&[u8], &[u8])]) -> Self {
        let records: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        let head = Head::new("PaxHeaders/x", records.len() as u64).kind(b'x');
        self.raw(head, records)
    }

    /// A GNU header with the long name of the next member.
    pub(crate) fn long_name(self, name: &[u8]) -> Self {
        let name = [name, b"\0"].concat();
        let head = Head::new("././@LongLink", name.len() as u64);
        self.raw(head.kind(b'L').with(257, b"ustar  \0"), name)
    }

    /// The archive, with its two blocks of zeros.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    /// Stores the archive in a file with the base name.
    pub(crate) fn store(self, dir: &Path) -> PathBuf {
        store(dir, &gzip(&self.end()))
    }
}

/// A record of a PAX header.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let mut len = rest.len();
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn store(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join(format!("{BASE}.tar.gz"));
    std::fs::write(&path, bytes).unwrap();
    path
}
