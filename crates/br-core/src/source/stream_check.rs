//! Whether a stream is what it should be: not empty, and not cut off.
//!
//! [`StreamCheck`] looks at the bytes of a stream as they pass. Invariant: it keeps only a few kilobytes of them.

use std::io;

use crate::process::{ProgramError, after_colon};

/// What a stream must be like so that it becomes a backup.
///
/// By default a stream must have at least one byte. If it begins like a dump of `mysqldump`, `mariadb-dump`, `pg_dump`, `pg_dumpall` or
/// `sqlite3`, it must also end like one: these programs write a last line that a dump lacks if it was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamRules {
    /// Accept a stream without any byte.
    pub allow_empty: bool,
    /// The last line must begin with this text. Replaces the end mark of a known format.
    pub end_mark: Option<String>,
}

impl StreamRules {
    /// Accepts a stream without any byte.
    #[must_use]
    pub fn with_allow_empty(mut self, allow: bool) -> Self {
        self.allow_empty = allow;
        self
    }

    /// Sets the text with which the last line must begin. Empty lines, lines with only `--`, and `\unrestrict` of PostgreSQL may follow it.
    #[must_use]
    pub fn with_end_mark(mut self, end_mark: Option<String>) -> Self {
        self.end_mark = end_mark;
        self
    }
}

/// Why a stream did not become a backup. The cause of an error of [`backup`](crate::engine::backup::backup) is an
/// [`io::Error`] that has this inside: `io::Error::get_ref` and `downcast_ref` find it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It has no byte.
    #[error("it is empty")]
    Empty,
    /// Its last line is another one. It was probably cut off.
    #[error("its last line does not begin with `{mark}`, so it is incomplete")]
    NoEndMark {
        /// The text with which the last line should begin.
        mark: String,
    },
    /// The program that writes it failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The program wrote its output, and the output is not what it should be.
    #[error("the output of {program} is not accepted: {reason}{}", after_colon(.messages))]
    BadOutput {
        /// The program, without its folder and its arguments.
        program: String,
        /// Why.
        reason: Box<Self>,
        /// The last lines of its standard error.
        messages: String,
    },
    /// Its content is not what it should be.
    #[error("{0}")]
    Content(String),
    /// The program succeeded, and its output is not what it should be all the same: see [`CommandStream::with_last_check`](super::CommandStream::with_last_check).
    #[error("the output of {program} is not accepted: {reason}")]
    Refused {
        /// The program, without its folder and its arguments.
        program: String,
        /// Why.
        reason: String,
    },
    /// Another program of the same backup failed.
    #[error("it was ended because another one failed: {0}")]
    OtherFailed(String),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::other(error)
    }
}

/// A format of dumps: how they begin and how they end.
struct DumpFormat {
    beginnings: &'static [&'static str],
    end_marks: &'static [&'static str],
}

const POSTGRES_END: &str = "-- PostgreSQL database dump complete";
const POSTGRES_CLUSTER_END: &str = "-- PostgreSQL database cluster dump complete";

/// Formats whose end is known. A script may write dumps of several programs into one stream. A dump of a whole PostgreSQL cluster contains
/// complete dumps of its databases, so only its own mark ends it.
const FORMATS: [DumpFormat; 4] = [
    DumpFormat {
        beginnings: &["-- MySQL dump ", "-- MariaDB dump "],
        end_marks: &["-- Dump completed", POSTGRES_END, POSTGRES_CLUSTER_END],
    },
    DumpFormat {
        beginnings: &["--\n-- PostgreSQL database dump\n"],
        end_marks: &[POSTGRES_END, POSTGRES_CLUSTER_END, "-- Dump completed"],
    },
    DumpFormat {
        beginnings: &["--\n-- PostgreSQL database cluster dump\n"],
        end_marks: &[POSTGRES_CLUSTER_END],
    },
    DumpFormat {
        beginnings: &["PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"],
        end_marks: &["COMMIT;"],
    },
];

/// First lines that protect old clients of MariaDB; the dump follows them.
const SANDBOX_LINES: [&str; 2] = ["/*!999999\\- ", "/*M!999999\\- "];

/// First bytes of compressed data.
const COMPRESSED: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
];

/// Looks at the bytes of a stream.
#[derive(Debug)]
pub(super) struct StreamCheck {
    rules: StreamRules,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Whether bytes before the tail were dropped.
    is_long: bool,
}

/// What is known of a complete stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// The end mark that it has.
    pub(super) end_mark: Option<String>,
    /// The position of the database that it says it is of.
    pub(super) position: Option<String>,
    /// The format in which it is compressed.
    pub(super) compression: Option<&'static str>,
}

impl StreamCheck {
    /// Bytes of the beginning that are kept.
    const HEAD: usize = 4 << 10;
    /// Bytes of the end that are kept, at least. The last lines must not be longer.
    const TAIL: usize = 64 << 10;

    pub(super) const fn new(rules: StreamRules) -> Self {
        Self {
            rules,
            head: Vec::new(),
            tail: Vec::new(),
            is_long: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let missing = Self::HEAD - self.head.len();
        self.head.extend(&bytes[..bytes.len().min(missing)]);
        let bytes = match bytes.len().checked_sub(Self::TAIL) {
            Some(surplus) => {
                self.is_long |= surplus > 0 || !self.tail.is_empty();
                self.tail.clear();
                &bytes[surplus..]
            }
            None => bytes,
        };
        self.tail.extend(bytes);
        // Programs write a few kilobytes at a time: moving the whole tail each time would take longer than reading.
        if self.tail.len() > 2 * Self::TAIL {
            self.is_long = true;
            self.tail.drain(..self.tail.len() - Self::TAIL);
        }
    }

    /// Judges the stream, which has ended.
    pub(super) fn finish(&self) -> Result<Checked, StreamError> {
        let compression = compression(&self.head);
        let unmarked = Checked {
            end_mark: None,
            position: None,
            compression,
        };
        let marks: Vec<&str> = match self.rules.end_mark.as_deref() {
            Some(own) => vec![own],
            None if self.head.is_empty() && self.rules.allow_empty => return Ok(unmarked),
            None if self.head.is_empty() => return Err(StreamError::Empty),
            None => end_marks(&self.head).to_vec(),
        };
        let Some(first) = marks.first() else {
            return Ok(unmarked);
        };
        let last = last_line(&self.tail, self.is_long);
        let found = marks.iter().find(|mark| last.starts_with(mark.as_bytes()));
        let Some(found) = found else {
            let mark = (*first).to_owned();
            return Err(StreamError::NoEndMark { mark });
        };
        Ok(Checked {
            end_mark: Some((*found).to_owned()),
            position: position(&self.head),
            compression,
        })
    }
}

/// The end marks of a dump that begins so; none if it is no dump. Also of a dump that was cut off in its first line.
fn end_marks(head: &[u8]) -> &'static [&'static str] {
    // Terminals, as of `ssh -t`, add carriage returns, and editors byte order marks.
    let head: Vec<u8> = head.iter().copied().filter(|byte| *byte != b'\r').collect();
    let head = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&head)
        .trim_ascii_start();
    let mut sandbox = SANDBOX_LINES.iter();
    let head = if sandbox.any(|line| head.starts_with(line.as_bytes())) {
        let end = head.iter().position(|byte| *byte == b'\n');
        let rest = end.map_or(&[][..], |end| &head[end + 1..]);
        // Only MariaDB writes this line.
        if rest.is_empty() {
            b"-- MariaDB dump "
        } else {
            rest
        }
    } else {
        head
    };
    let mut all = FORMATS.iter();
    let found = all.find(|format| format.beginnings.iter().any(|one| begins(head, one)));
    found.map_or(&[], |format| format.end_marks)
}

/// The position that a dump of MySQL or MariaDB has in a comment.
fn position(head: &[u8]) -> Option<String> {
    const POSITIONS: [&[u8]; 3] = [
        b"-- SET GLOBAL gtid_slave_pos=",
        b"-- CHANGE MASTER TO ",
        b"-- CHANGE REPLICATION SOURCE TO ",
    ];
    let lines = head.split(|byte| *byte == b'\n');
    let found = lines.filter(|line| POSITIONS.iter().any(|start| line.starts_with(start)));
    let text = |line: &[u8]| {
        String::from_utf8_lossy(&line[3..])
            .trim_end_matches([';', '\r'])
            .to_owned()
    };
    let found: Vec<String> = found.map(text).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// True if the stream begins with this text, or is only the beginning of it. A few bytes say nothing.
fn begins(head: &[u8], text: &str) -> bool {
    const FEW: usize = 8;
    let len = head.len().min(text.len());
    len >= FEW && head[..len] == text.as_bytes()[..len]
}

/// The last line that says something. If the beginning of the stream is missing, the first line of `tail` may be a part of a longer one.
fn last_line(tail: &[u8], is_part: bool) -> &[u8] {
    let mut lines = tail.rsplit(|byte| *byte == b'\n');
    let says_something = |line: &[u8]| {
        let line = line.trim_ascii_end();
        !line.is_empty() && line != b"--" && !line.starts_with(b"\\unrestrict ")
    };
    let found = lines.find(|line| says_something(line)).unwrap_or_default();
    let is_first = std::ptr::eq(found.as_ptr(), tail.as_ptr());
    if is_part && is_first { &[] } else { found }
}

/// The format of compressed data that begins so.
fn compression(head: &[u8]) -> Option<&'static str> {
    let mut known = COMPRESSED.iter();
    let found = known.find(|(magic, _)| head.starts_with(magic));
    found
        .map(|(_, name)| *name)
        .or_else(|| archive_compression(head))
}

/// The compression of an archive of `pg_dump -Fc`, from its header: `PGDMP`, three bytes of version, the sizes of integers and offsets, the
/// format, and then the algorithm, or before version 1.15 the level.
fn archive_compression(head: &[u8]) -> Option<&'static str> {
    const ALGORITHMS: [&str; 3] = ["gzip", "lz4", "zstd"];
    let rest = head.strip_prefix(b"PGDMP")?;
    let version = rest.get(..2)?;
    let value = rest.get(6..)?;
    if version >= &[1, 15][..] {
        let algorithm = usize::from(*value.first()?).checked_sub(1)?;
        return ALGORITHMS.get(algorithm).copied();
    }
    // A sign byte, and the level; a level of -1 is that of the library.
    let len = usize::from(rest[3]);
    let level = value.get(1..=len)?;
    level.iter().any(|byte| *byte != 0).then_some("gzip")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[&[u8]], rules: StreamRules) -> Result<Checked, StreamError> {
        let mut check = StreamCheck::new(rules);
        for part in parts {
            check.update(part);
        }
        check.finish()
    }

    fn end_of(text: &str) -> Result<Option<String>, StreamError> {
        check(&[text.as_bytes()], StreamRules::default()).map(|checked| checked.end_mark)
    }

    const MYSQL: &str = "-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n";
    const MARIADB: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB\n";
    const POSTGRES: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n";

    #[test]
    fn complete_dumps_have_their_end_mark() {
        for (text, mark) in [
            (
                format!("{MYSQL}data\n-- Dump completed on 2026-11-29  1:02:03\n"),
                "-- Dump completed",
            ),
            (
                format!("{MARIADB}data\n-- Dump completed\n"),
                "-- Dump completed",
            ),
            (
                format!("{MARIADB}data\r\n-- Dump completed\r\n\r\n"),
                "-- Dump completed",
            ),
            (
                format!("{POSTGRES}data\n--\n{POSTGRES_END}\n--\n\n\\unrestrict abc\n\n"),
                POSTGRES_END,
            ),
            (
                format!(
                    "--\n-- PostgreSQL database cluster dump\n--\ndata\n--\n{POSTGRES_CLUSTER_END}\n--\n\n"
                ),
                POSTGRES_CLUSTER_END,
            ),
            (
                format!("\u{feff}\n{MYSQL}data\n-- Dump completed\n"),
                "-- Dump completed",
            ),
            (
                format!("{POSTGRES}data\n{POSTGRES_END}\n").replace('\n', "\r\n"),
                POSTGRES_END,
            ),
            (
                "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCOMMIT;\n".to_owned(),
                "COMMIT;",
            ),
        ] {
            assert_eq!(end_of(&text), Ok(Some(mark.to_owned())), "{text}");
        }
    }

    #[test]
    fn dumps_that_are_cut_off_are_refused() {
        let rows = "INSERT INTO t VALUES (1),(2);\n".repeat(1_000);
        for text in [
            MYSQL.to_owned(),
            format!("{MYSQL}{rows}"),
            format!("{MARIADB}{rows}"),
            format!("{MARIADB}-- Dump completed\n{rows}"),
            format!("{MARIADB}{rows}-- Dump comp"),
            format!("{MARIADB}{rows}('-- Dump completed"),
            format!("{POSTGRES}{rows}--\n-- PostgreSQL database dump com"),
            "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nROLLBACK; -- due to errors\n".to_owned(),
            // In the first line, with the line ends of a terminal, between two databases of a cluster, and in a long line.
            "-- MySQL dum".to_owned(),
            "/*M!999999\\- enable the sandbox mode */ \n".to_owned(),
            "--\n-- PostgreSQL data".to_owned(),
            POSTGRES.replace('\n', "\r\n"),
            format!(
                "--\n-- PostgreSQL database cluster dump\n--\n{POSTGRES}{POSTGRES_END}\n--\n\n"
            ),
            format!(
                "{MYSQL}{}-- Dump completed{}",
                "x".repeat(100_000),
                "y".repeat((64 << 10) - 17)
            ),
        ] {
            let error = end_of(&text).unwrap_err();
            assert!(matches!(error, StreamError::NoEndMark { .. }), "{text}");
        }
    }

    #[test]
    fn an_empty_stream_has_no_end_mark() {
        let rules = StreamRules::default()
            .with_allow_empty(true)
            .with_end_mark(Some("END".to_owned()));
        assert!(matches!(
            check(&[], rules),
            Err(StreamError::NoEndMark { .. })
        ));
    }

    #[test]
    fn a_stream_of_another_format_needs_a_byte_and_the_given_end_mark() {
        assert_eq!(end_of(""), Err(StreamError::Empty));
        for text in ["\n", "-", "--\n", "-- MySQL", "PRAGMA"] {
            let is_dump = text.len() >= 8;
            assert_eq!(end_of(text).is_err(), is_dump, "{text:?}");
        }
        assert_eq!(end_of("x"), Ok(None));
        let empty = StreamRules::default().with_allow_empty(true);
        assert!(check(&[], empty).is_ok());
        let rules = StreamRules::default().with_end_mark(Some("# end".to_owned()));
        assert!(check(&[b"a\n# e", b"nd 1\n\n"], rules.clone()).is_ok());
        assert!(check(&[b"a\n# end\nb\n"], rules.clone()).is_err());
        // It replaces the end mark of a known format.
        assert!(check(&[MYSQL.as_bytes(), b"# end\n"], rules).is_ok());
    }

    #[test]
    fn the_end_is_found_however_the_stream_is_cut() {
        let text = format!(
            "{POSTGRES}{}--\n{POSTGRES_END}\n--\n\n",
            "row\n".repeat(50_000)
        );
        for len in [1, 7, 100, 511, 512, 513, 65_535, 65_536, 65_537, 1 << 20] {
            let parts: Vec<&[u8]> = text.as_bytes().chunks(len).collect();
            assert!(check(&parts, StreamRules::default()).is_ok(), "{len}");
        }
    }

    #[test]
    fn compressed_streams_are_recognised() {
        let of = |head: &[u8]| check(&[head], StreamRules::default()).unwrap().compression;
        assert_eq!(of(b"\x1f\x8b\x08"), Some("gzip"));
        assert_eq!(of(b"\x28\xb5\x2f\xfd\0"), Some("zstd"));
        assert_eq!(of(b"PGDMP\x01\x10\0\x04\x08\x01\x01"), Some("gzip"));
        assert_eq!(of(b"PGDMP\x01\x10\0\x04\x08\x01\x03"), Some("zstd"));
        assert_eq!(of(b"PGDMP\x01\x10\0\x04\x08\x01\0"), None);
        assert_eq!(
            of(b"PGDMP\x01\x0e\0\x04\x08\x01\x01\x01\0\0\0"),
            Some("gzip")
        );
        assert_eq!(of(b"PGDMP\x01\x0e\0\x04\x08\x01\0\0\0\0\0"), None);
        assert_eq!(of(b"PGDMP\x01"), None);
        assert_eq!(of(b"-- text"), None);
    }
}
