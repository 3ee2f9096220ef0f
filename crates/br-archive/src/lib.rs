//! Portable export bundles: named, verifiable `tar.gz` archives. The reader trusts no bundle.
//!
//! It works on plain [`std::io::Read`] and [`std::io::Write`], and needs neither a repository nor an async runtime. [`br_emqx`] reads and
//! checks the content of EMQX's bundles; this crate's interface uses some of its types.

mod compress;
mod diff;
mod error;
mod export;
mod extract;
mod import;
mod inspect;
mod limits;
mod manifest;
mod name;
mod names;
mod path;
mod platform;
mod progress;
mod reader;
mod select;
mod staging;
mod tar;
mod writer;

pub use diff::{BundleDiff, DifferenceKind, MemberDifference, diff};
pub use error::{Error, ErrorKind, Result};
pub use export::{ExportReport, export, select_config};
pub use extract::extract;
pub use import::{Change, ChangeKind, ImportOptions, ImportReport, import};
pub use inspect::{ConfigReport, Finding, InspectedMember, Inspection, inspect, inspect_reader};
pub use limits::Limits;
pub use manifest::{
    MANIFEST_PATH, MANIFEST_VERSION, MAX_MANIFEST_BYTES, Manifest, ManifestMember, to_hex,
};
pub use name::{BundleName, BundleTime, Format, NameError};
pub use path::{MemberPath, PathError};
pub use progress::{BundleProgress, Event, NoBundleProgress};
pub use reader::{BundleReader, Member};
pub use select::{CONFIG_PATH, META_PATH, Selection, is_config, namespace, table_name};
pub use tar::{MemberKind, TarHeader};
pub use writer::{Attributes, BundleOptions, BundleWriter, WriteReport};

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
