//! Inspection of a bundle: its content, whether it is sound, and what EMQX would do with it.
//!
//! [`inspect`] reads a bundle once and returns an [`Inspection`]. Invariant: it contains the places of secrets, never their values.

mod examine;
mod tap;

use std::fs;
use std::path::Path;

use br_emqx::config;
use br_emqx::meta::Meta;
use br_emqx::rules::Node;
use br_emqx::table::TableReport;
use br_emqx::table_sets;

pub(crate) use examine::{Examined, Examiner, OWN_EDITION};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::name::BundleName;
use crate::path::MemberPath;
use crate::progress::BundleProgress;
use crate::reader::BundleReader;
use crate::select::{Selection, table_name};
use crate::tar::TarHeader;

/// The content of a bundle, with problems and warnings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// The bundle's name.
    pub name: BundleName,
    /// Bytes of the file; 0 for a stream.
    pub stored_bytes: u64,
    /// Bytes of all members.
    pub bytes: u64,
    /// `META.hocon`.
    pub meta: Meta,
    /// True if its edition is one of EMQX's. Only then are tables and configurations examined.
    pub is_emqx: bool,
    /// Every file, in the order of the archive.
    pub members: Vec<InspectedMember>,
    /// The tables, which are below `mnesia/`.
    pub tables: Vec<TableReport>,
    /// The configurations: the global `cluster.hocon` and those of namespaces.
    pub configs: Vec<ConfigReport>,
    /// `br/manifest.json`, if it exists and is valid.
    pub manifest: Option<Manifest>,
    /// Defects that make the bundle unsound.
    pub problems: Vec<Finding>,
    /// Findings that the user should know.
    pub warnings: Vec<Finding>,
}

impl Inspection {
    /// True if the bundle has no problems.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Fails if the selection names something that the bundle does not have.
    pub(crate) fn require(&self, selection: &Selection) -> Result<()> {
        let is_there = |path: &MemberPath| {
            let mut members = self.members.iter();
            members.any(|member| member.path.is_within(path))
        };
        if let Some(path) = selection.paths.iter().find(|path| !is_there(path)) {
            return Err(Error::invalid(format!("the bundle has no `{path}`")));
        }
        let has_table = |set: &String| {
            let mut tables = self.members.iter().filter_map(|m| table_name(&m.path));
            tables.any(|table| table_sets::set_of(table) == Some(set))
        };
        let mut sets = selection.table_sets.iter().flatten();
        match sets.find(|set| !has_table(set)) {
            Some(set) => Err(Error::invalid(format!(
                "the bundle has no table of the set `{set}`"
            ))),
            None => Ok(()),
        }
    }

    /// The error for an unsound bundle; `None` if it is sound.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let first = self.problems.first()?;
        let text = match self.problems.len() {
            1 => first.text.clone(),
            all => format!("{}, the first of {all} problems", first.text),
        };
        let error = Error::damaged(text);
        Some(match &first.member {
            Some(member) => error.in_member(member.as_str()),
            None => error,
        })
    }
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedMember {
    /// Its path below the top directory.
    pub path: MemberPath,
    /// Its tar header.
    pub header: TarHeader,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// The content of a configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConfigReport {
    /// Its path.
    pub path: MemberPath,
    /// Its namespace; `None` means global.
    pub namespace: Option<String>,
    /// Its root keys.
    pub roots: Vec<String>,
    /// The places of secrets and certificates.
    pub secrets: Vec<config::Secret>,
}

/// A problem or warning about a bundle or one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The member it is about.
    pub member: Option<MemberPath>,
    /// What was found, a lower-case fragment.
    pub text: String,
    /// EMQX's name for it, if it has one.
    pub emqx: Option<String>,
}

impl Finding {
    pub(crate) fn new(member: Option<&MemberPath>, text: impl Into<String>) -> Self {
        Self {
            member: member.cloned(),
            text: text.into(),
            emqx: None,
        }
    }
}

/// Reads a bundle to the end. With a `node`, also checks whether that node would accept it.
///
/// # Errors
/// If the bundle cannot be read to the end or breaks a rule for all bundles. Problems of single members are in the result.
pub fn inspect(
    bundle: &Path,
    limits: &Limits,
    node: Option<&Node>,
    progress: &mut dyn BundleProgress,
) -> Result<Inspection> {
    let reader = BundleReader::open(bundle, limits)?;
    let mut inspection = inspect_reader(reader, node, progress)?;
    inspection.stored_bytes = fs::metadata(bundle).map_or(0, |metadata| metadata.len());
    Ok(inspection)
}

/// As [`inspect`], for a reader that has returned no member yet, such as that of a stream.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_reader(
    mut reader: BundleReader,
    node: Option<&Node>,
    progress: &mut dyn BundleProgress,
) -> Result<Inspection> {
    let mut examiner = Examiner::new();
    while let Some(mut member) = reader.next()? {
        if !member.is_directory() {
            examiner.examine(&mut member, None, true, progress)?;
        }
    }
    examiner.finish(reader.name().clone(), node)
}
