//! The manifest of a base backup: which files it has, and which WAL it needs.
//!
//! [`Manifest::parse`] reads it, and [`Manifest::verify`] compares it with what came. Invariant: a manifest that was parsed has the checksum that it says.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Maximum length of a manifest, in bytes: that of about one million files.
pub(super) const MAX_LEN: u64 = 256 << 20;
/// The versions of the format: 1 since PostgreSQL 13, 2 since 17.
const VERSIONS: [u32; 2] = [1, 2];
/// The name of the manifest in a backup.
pub(super) const NAME: &[u8] = b"backup_manifest";
/// The folder of the WAL, whose segments a manifest does not name.
const WAL_FOLDER: &[u8] = b"pg_wal/";
/// The lengths that a segment of the WAL can have.
const SEGMENT_LENS: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);

/// Why a base backup is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("backup_manifest has more than {} MiB, which br does not read", MAX_LEN >> 20)]
    TooLong,
    #[error("backup_manifest cannot be read: {0}")]
    Unreadable(String),
    #[error("backup_manifest has version {0}, which this br does not know; use a newer br")]
    Version(u32),
    #[error("backup_manifest does not have the checksum that it says")]
    Checksum,
    #[error("backup_manifest has no SHA-256 of {0}")]
    NoSha256(String),
    #[error("there is no backup_manifest, so the end is missing")]
    Absent,
    #[error("{0} is missing: backup_manifest names it")]
    Missing(String),
    #[error("{path} has {len} bytes, and backup_manifest says {expected}")]
    Len {
        path: String,
        len: u64,
        expected: u64,
    },
    #[error("{0} does not have the SHA-256 that backup_manifest says")]
    Sha256(String),
    #[error("{0} is not in backup_manifest")]
    Unknown(String),
    #[error("a segment of the WAL is missing or cut off: the backup needs {0}")]
    Wal(WalRange),
}

/// What the backup has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) len: u64,
    pub(super) sha256: [u8; 32],
}

/// The files that came, by path.
pub(super) type Files = HashMap<Box<[u8]>, Came>;

/// The manifest of a base backup.
#[derive(Debug)]
pub(super) struct Manifest {
    files: Vec<Listed>,
    wal: Vec<WalRange>,
}

#[derive(Debug)]
struct Listed {
    path: Box<[u8]>,
    came: Came,
}

/// WAL that a server needs to start from the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalRange {
    timeline: u32,
    start: u64,
    end: u64,
}

impl fmt::Display for WalRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |at: u64| (at >> 32, at & 0xffff_ffff);
        let ((a, b), (c, d)) = (part(self.start), part(self.end));
        let timeline = self.timeline;
        write!(f, "timeline {timeline}, {a:X}/{b:X} to {c:X}/{d:X}")
    }
}

#[derive(Deserialize)]
struct ManifestJson {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    version: u32,
    #[serde(rename = "Files")]
    files: Vec<FileJson>,
    #[serde(rename = "WAL-Ranges")]
    wal: Vec<WalJson>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Deserialize)]
struct FileJson {
    #[serde(rename = "Path")]
    path: Option<String>,
    /// In hexadecimal digits, if it is not UTF-8.
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    len: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct WalJson {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

impl Manifest {
    /// Reads a manifest, and verifies its checksum.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if text.len() as u64 > MAX_LEN {
            return Err(ManifestError::TooLong);
        }
        let json: ManifestJson = serde_json::from_slice(text)
            .map_err(|error| ManifestError::Unreadable(error.to_string()))?;
        if !VERSIONS.contains(&json.version) {
            return Err(ManifestError::Version(json.version));
        }
        // The checksum is of all lines before its own, which is the last one.
        let lines = text.strip_suffix(b"\n").ok_or(ManifestError::Checksum)?;
        let last = lines.iter().rposition(|byte| *byte == b'\n');
        let (before, last) = text.split_at(last.map_or(0, |at| at + 1));
        let is_last = last.starts_with(b"\"Manifest-Checksum\"");
        let expected = sha256_of_hex(&json.checksum);
        if !is_last || expected != Some(Sha256::digest(before).into()) {
            return Err(ManifestError::Checksum);
        }
        if json.wal.is_empty() {
            return Err(unreadable("it names no WAL"));
        }
        let files = json.files.into_iter().map(Listed::try_from);
        let wal = json.wal.into_iter().map(WalRange::try_from);
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            wal: wal.collect::<Result<_, _>>()?,
        })
    }

    /// The WAL that the backup needs, for people.
    pub(super) fn position(&self) -> String {
        let ranges = self.wal.iter().map(ToString::to_string);
        ranges.collect::<Vec<_>>().join("; ")
    }

    /// Compares what came with the manifest: all its files, no others, and all of the WAL.
    pub(super) fn verify(&self, came: &Files) -> Result<(), ManifestError> {
        let mut named = BTreeSet::new();
        for Listed { path, came: listed } in &self.files {
            let shown = || shown(path);
            let came = came
                .get(path)
                .ok_or_else(|| ManifestError::Missing(shown()))?;
            if came.len != listed.len {
                return Err(ManifestError::Len {
                    path: shown(),
                    len: came.len,
                    expected: listed.len,
                });
            }
            if came.sha256 != listed.sha256 {
                return Err(ManifestError::Sha256(shown()));
            }
            named.insert(path);
        }
        let mut others = came.keys().filter(|path| !named.contains(path));
        let unknown = others.find(|path| path.as_ref() != NAME && !path.starts_with(WAL_FOLDER));
        if let Some(unknown) = unknown {
            return Err(ManifestError::Unknown(shown(unknown)));
        }
        self.verify_wal(came)
    }

    /// Looks whether all segments of the WAL are there. The manifest has no checksums of them.
    fn verify_wal(&self, came: &Files) -> Result<(), ManifestError> {
        let segments: Vec<(&str, u64)> = came
            .iter()
            .filter_map(|(path, came)| Some((segment_name(path)?, came.len)))
            .collect();
        let len = segments.iter().map(|(_, len)| *len).max().unwrap_or(0);
        let is_sound = SEGMENT_LENS.contains(&len) && len.is_power_of_two();
        // A server that changed its timeline has a segment under the name of the new one.
        let whole = segments.iter().filter(|(_, own)| *own == len);
        let numbers: BTreeSet<u64> = whole
            .filter_map(|(name, _)| segment_number(name, len))
            .collect();
        for range in &self.wal {
            let is_whole = is_sound && range.start < range.end && {
                let (first, last) = (range.start / len, (range.end - 1) / len);
                // Not one by one: a range may be as long as it says.
                numbers.range(first..=last).count() as u64 == last - first + 1
            };
            if !is_whole {
                return Err(ManifestError::Wal(*range));
            }
        }
        Ok(())
    }
}

/// The name of a segment, such as `000000010000000000000002`.
fn segment_name(path: &[u8]) -> Option<&str> {
    let name = path.strip_prefix(WAL_FOLDER)?;
    let is_segment = name.len() == 24 && name.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(name).ok().filter(|_| is_segment)
}

/// The number of a segment: its name has the timeline, the upper half of its position, and its number in that.
fn segment_number(name: &str, len: u64) -> Option<u64> {
    let per_half = (1_u64 << 32).checked_div(len)?;
    let upper = u64::from_str_radix(name.get(8..16)?, 16).ok()?;
    let lower = u64::from_str_radix(name.get(16..24)?, 16).ok()?;
    upper.checked_mul(per_half)?.checked_add(lower)
}

impl TryFrom<FileJson> for Listed {
    type Error = ManifestError;

    fn try_from(json: FileJson) -> Result<Self, ManifestError> {
        let path = match (json.path, json.encoded_path) {
            (Some(path), _) => Some(path.into_bytes()),
            (None, Some(encoded)) => of_hex(&encoded),
            (None, None) => None,
        };
        let path = path.ok_or_else(|| unreadable("a file has no path"))?;
        let is_sha256 = json.algorithm.as_deref() == Some("SHA256");
        let checksum = json.checksum.filter(|_| is_sha256);
        let Some(sha256) = checksum.as_deref().and_then(sha256_of_hex) else {
            return Err(ManifestError::NoSha256(shown(&path)));
        };
        let len = json.len;
        Ok(Self {
            path: path.into(),
            came: Came { len, sha256 },
        })
    }
}

impl TryFrom<WalJson> for WalRange {
    type Error = ManifestError;

    fn try_from(json: WalJson) -> Result<Self, ManifestError> {
        let position = |text: &str| {
            let (upper, lower) = text.split_once('/')?;
            let [upper, lower] = [upper, lower].map(|half| u32::from_str_radix(half, 16).ok());
            Some((u64::from(upper?) << 32) | u64::from(lower?))
        };
        let [start, end] = [&json.start, &json.end]
            .map(|text| position(text).ok_or_else(|| unreadable("a position is no LSN")));
        Ok(Self {
            timeline: json.timeline,
            start: start?,
            end: end?,
        })
    }
}

fn unreadable(reason: &str) -> ManifestError {
    ManifestError::Unreadable(reason.to_owned())
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[upper, lower]: &[u8; 2]| u8::try_from(digit(*upper)? << 4 | digit(*lower)?).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())
}

fn sha256_of_hex(text: &str) -> Option<[u8; 32]> {
    of_hex(text)?.try_into().ok()
}

/// A path for people.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    fn came(len: u64, content: &str) -> Came {
        Came {
            len,
            sha256: Sha256::digest(content).into(),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A manifest with these lines of files, and the right checksum.
    fn text_of(version: u32, files: &[String], range: (&str, &str)) -> String {
        let head = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": {version},\n\"System-Identifier\": 7,\n\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n\
             {{ \"Timeline\": 1, \"Start-LSN\": \"{}\", \"End-LSN\": \"{}\" }}\n],\n",
            files.join(",\n"),
            range.0,
            range.1
        );
        let checksum = hex(&Sha256::digest(&head));
        format!("{head}\"Manifest-Checksum\": \"{checksum}\"}}\n")
    }

    fn line(path: &str, content: &str) -> String {
        format!(
            "{{ \"Path\": \"{path}\", \"Size\": {}, \"Last-Modified\": \"2026-11-30 13:24:24 GMT\", \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"{}\" }}",
            content.len(),
            hex(&Sha256::digest(content))
        )
    }

    fn of(files: &[(&str, Came)]) -> Files {
        let files = files.iter();
        files
            .map(|(path, came)| (path.as_bytes().into(), *came))
            .collect()
    }

    const RANGE: (&str, &str) = ("0/2000028", "0/2000100");

    #[test]
    fn what_came_is_compared_with_the_manifest() {
        let encoded = line("x", "odd").replace("\"Path\": \"x\"", "\"Encoded-Path\": \"62ff\"");
        let files = [
            line("PG_VERSION", "15\n"),
            line("base/1/2", "a page"),
            encoded,
        ];
        let text = text_of(2, &files, RANGE);
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.position(), "timeline 1, 0/2000028 to 0/2000100");
        let wal = ("pg_wal/000000010000000000000002", came(SEGMENT, ""));
        let mut all = of(&[
            ("PG_VERSION", came(3, "15\n")),
            ("base/1/2", came(6, "a page")),
            ("backup_manifest", came(9, "")),
            ("pg_wal/archive_status/x.done", came(0, "")),
            wal,
        ]);
        all.insert(b"b\xff".as_slice().into(), came(3, "odd"));
        assert_eq!(manifest.verify(&all), Ok(()));
        let with = |path: &str, came: Option<Came>| {
            let mut all = all.clone();
            match came {
                Some(came) => all.insert(path.as_bytes().into(), came),
                None => all.remove(path.as_bytes()),
            };
            manifest.verify(&all).unwrap_err().to_string()
        };
        let page = "base/1/2";
        assert_eq!(
            with(page, None),
            "base/1/2 is missing: backup_manifest names it"
        );
        assert!(with(page, Some(came(7, "a page"))).contains("has 7 bytes"));
        assert!(with(page, Some(came(6, "a pagf"))).contains("base/1/2 does not have the SHA-256"));
        assert!(with("base/1/3", Some(came(0, ""))).contains("base/1/3 is not in"));
        for wrong in [None, Some(came(SEGMENT - 1, "")), Some(came(100, ""))] {
            assert!(with(wal.0, wrong).contains("the backup needs timeline 1, 0/2000028"));
        }
    }

    #[test]
    fn every_segment_of_the_wal_is_needed() {
        let text = text_of(1, &[], ("1/FE000028", "2/1000000"));
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let names = [
            "0000000100000001000000FE",
            "0000000100000001000000FF",
            "000000020000000200000000",
        ];
        let paths = names.map(|name| format!("pg_wal/{name}"));
        let all: Vec<_> = paths
            .iter()
            .map(|path| (&**path, came(SEGMENT, "")))
            .collect();
        assert_eq!(manifest.verify(&of(&all)), Ok(()));
        for without in 0..3 {
            let mut all = all.clone();
            all.remove(without);
            assert!(manifest.verify(&of(&all)).is_err());
        }
        // A range of any length costs no time.
        let text = text_of(1, &[], ("0/0", "FFFFFFFF/FFFFFFFF"));
        let endless = Manifest::parse(text.as_bytes()).unwrap();
        assert!(endless.verify(&of(&all)).is_err());
    }

    #[test]
    fn a_manifest_that_is_not_right_is_refused() {
        let right = text_of(1, &[line("a", "b")], RANGE);
        assert!(Manifest::parse(right.as_bytes()).is_ok());
        let refused = |text: &str| Manifest::parse(text.as_bytes()).unwrap_err();
        for text in ["", "{", "[]", "{}", &right[..right.len() - 2], "\u{0}"] {
            assert!(
                matches!(refused(text), ManifestError::Unreadable(_)),
                "{text}"
            );
        }
        for text in [
            right.replace("\"Size\": 1", "\"Size\": 2"),
            right.replace("Manifest-Checksum\": \"", "Manifest-Checksum\": \"00"),
            right.trim_end().to_owned(),
            right.replace(",\n\"Manifest-Checksum", ", \"Manifest-Checksum"),
        ] {
            assert_eq!(refused(&text), ManifestError::Checksum, "{text}");
        }
        let newer = text_of(3, &[], RANGE);
        assert_eq!(refused(&newer), ManifestError::Version(3));
        let crc = text_of(1, &[line("a", "b").replace("SHA256", "CRC32C")], RANGE);
        assert_eq!(refused(&crc), ManifestError::NoSha256("a".to_owned()));
        for range in [("0/2000028", "x"), ("0/123456789", "0/1"), ("-1/0", "0/1")] {
            let text = text_of(1, &[], range);
            assert!(matches!(refused(&text), ManifestError::Unreadable(_)));
        }
        let huge = vec![b' '; MAX_LEN as usize + 1];
        assert_eq!(Manifest::parse(&huge).unwrap_err(), ManifestError::TooLong);
    }
}
