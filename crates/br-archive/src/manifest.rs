//! `br/manifest.json`: lists the members of a bundle, with the SHA-256 of each.
//!
//! [`Manifest`] is its content; `docs/format/bundle.md` describes the format. It is a bundle's last member, and EMQX ignores it. Invariant:
//! a manifest is used only after its own digest was verified.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::name::BundleTime;
use crate::select::Selection;

/// The path of the manifest in a bundle.
pub const MANIFEST_PATH: &str = "br/manifest.json";

/// The newest version that this crate reads, and the one it writes.
pub const MANIFEST_VERSION: u32 = 1;

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// The value of `format`.
const FORMAT: &str = "br-bundle";

/// The members and the origin of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The bundle's base name.
    pub name: String,
    /// When it was made.
    pub time: BundleTime,
    /// The program that made it, with its version.
    pub program: String,
    /// A description of what it was made from; may be empty.
    pub source: String,
    /// The selection that the user requested; empty means everything.
    pub selection: Selection,
    /// Number of files that were left out.
    pub left_out: u64,
    /// Every other member, in the order of the archive.
    pub members: Vec<ManifestMember>,
}

/// One member in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestMember {
    /// Its path below the top directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
    /// The file changed while it was read: the content may mix two states.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// The file ended before its size: the rest is zeros, and the bundle is not sound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub padded: bool,
}

/// The JSON of version 1.
#[derive(Debug, Serialize, Deserialize)]
struct ManifestV1 {
    format: String,
    version: u32,
    name: String,
    time: String,
    unix_millis: i64,
    offset_seconds: i32,
    program: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table_sets: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root_keys: Option<Vec<String>>,
    #[serde(default)]
    left_out: u64,
    digest: String,
    members: Vec<ManifestMember>,
}

/// The fields that show whether this version can read the rest.
#[derive(Debug, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

impl Manifest {
    /// Encodes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let wire = ManifestV1 {
            format: FORMAT.to_owned(),
            version: MANIFEST_VERSION,
            name: self.name.clone(),
            time: self.time.to_rfc3339(),
            unix_millis: self.time.unix_millis(),
            offset_seconds: self.time.offset_seconds(),
            program: self.program.clone(),
            source: self.source.clone(),
            paths: some(self.selection.paths.iter().map(ToString::to_string)),
            table_sets: self.selection.table_sets.clone(),
            root_keys: self.selection.root_keys.clone(),
            left_out: self.left_out,
            digest: digest(&self.members),
            members: self.members.clone(),
        };
        // Encoding a struct of strings and numbers cannot fail.
        let mut out = serde_json::to_vec_pretty(&wire).unwrap_or_default();
        out.push(b'\n');
        out
    }

    /// Decodes it.
    ///
    /// # Errors
    /// If it has a newer version, is malformed, or its digest is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let malformed = |error| Error::damaged("the manifest is malformed").because(error);
        let header: Header = serde_json::from_slice(json).map_err(malformed)?;
        if header.format != FORMAT {
            return Err(Error::damaged("the manifest is malformed"));
        }
        if header.version > MANIFEST_VERSION {
            let version = header.version;
            let text = format!("the manifest has version {version}; use a newer br");
            return Err(Error::refused(text));
        }
        let wire: ManifestV1 = serde_json::from_slice(json).map_err(malformed)?;
        if wire.digest != digest(&wire.members) {
            return Err(Error::damaged("the manifest's digest is wrong"));
        }
        let time = BundleTime::new(wire.unix_millis, wire.offset_seconds);
        let mut selection = Selection {
            table_sets: wire.table_sets,
            root_keys: wire.root_keys,
            ..Selection::default()
        };
        for path in wire.paths.unwrap_or_default() {
            let path = path.parse();
            selection.paths.push(
                path.map_err(|error| Error::damaged("the manifest is malformed").because(error))?,
            );
        }
        Ok(Self {
            name: wire.name,
            time: time
                .map_err(|error| Error::damaged("the manifest is malformed").because(error))?,
            program: wire.program,
            source: wire.source,
            selection,
            left_out: wire.left_out,
            members: wire.members,
        })
    }
}

fn some(items: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let items: Vec<_> = items.collect();
    (!items.is_empty()).then_some(items)
}

/// SHA-256, in hexadecimal, of one line `<sha256>  <path>` for each member, as `sha256sum` prints them.
fn digest(members: &[ManifestMember]) -> String {
    let mut sha = Sha256::new();
    for member in members {
        sha.update(to_hex(&member.sha256));
        sha.update("  ");
        sha.update(&member.path);
        sha.update("\n");
    }
    to_hex(&sha.finalize())
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::to_hex(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        let mut out = [0; 32];
        let wrong = || D::Error::custom("not 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (at, byte) in out.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(D::Error::custom)?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            name: "br-export-2026-11-20-08-13-00.250".into(),
            time: BundleTime::new(1_795_162_380_250, 3600).unwrap(),
            program: "br 0.1.0".into(),
            source: "/etc/app".into(),
            selection: Selection::default().with_root_keys(Some(vec!["mqtt".into()])),
            left_out: 2,
            members: vec![ManifestMember {
                path: "META.hocon".into(),
                size: 31,
                sha256: [7; 32],
                changed: true,
                padded: true,
            }],
        }
    }

    #[test]
    fn manifest_round_trips() {
        assert_eq!(Manifest::parse(&manifest().to_json()).unwrap(), manifest());
    }

    #[test]
    fn parse_refuses_altered_manifest() {
        let json = String::from_utf8(manifest().to_json()).unwrap();
        for (from, to, text) in [
            ("META.hocon", "META.Hocon", "the manifest's digest is wrong"),
            ("0707", "0708", "the manifest's digest is wrong"),
            ("0707", "07", "the manifest is malformed"),
            ("br-bundle", "br-other", "the manifest is malformed"),
            (
                "\"version\": 1",
                "\"version\": 2",
                "the manifest has version 2; use a newer br",
            ),
        ] {
            let altered = json.replacen(from, to, 1);
            let error = Manifest::parse(altered.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
    }
}
