//! Looking at a bundle: what is in it, whether it is sound, and what EMQX would make of it.
//!
//! [`inspect`] reads a bundle once and returns an [`Inspection`]. Invariant: the values of secrets are never part of it, only where they
//! stand.

mod examine;
mod tap;

use std::fs;
use std::path::Path;

use br_emqx::config;
use br_emqx::meta::Meta;
use br_emqx::rules::Node;
use br_emqx::table::TableReport;
use br_emqx::table_sets;

pub(crate) use examine::{Examined, Examiner};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::name::BundleName;
use crate::path::MemberPath;
use crate::progress::Progress;
use crate::reader::BundleReader;
use crate::select::{Selection, table_name};
use crate::tar::TarHeader;

/// What was found in a bundle.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// The bundle's name.
    pub name: BundleName,
    /// Bytes of the file; 0 when it was a stream.
    pub stored_bytes: u64,
    /// Bytes of all members.
    pub bytes: u64,
    /// `META.hocon`.
    pub meta: Meta,
    /// True when its edition is one of EMQX's: tables and configuration were looked at then.
    pub is_emqx: bool,
    /// Every file, in the order of the archive.
    pub members: Vec<InspectedMember>,
    /// What is below `mnesia/`.
    pub tables: Vec<TableReport>,
    /// `cluster.hocon`, the global one and those of namespaces.
    pub configs: Vec<ConfigReport>,
    /// `br/manifest.json`, if there is one and it is right.
    pub manifest: Option<Manifest>,
    /// What makes the bundle unsound.
    pub problems: Vec<Finding>,
    /// What its user should know.
    pub warnings: Vec<Finding>,
}

impl Inspection {
    /// True when nothing is wrong with the bundle.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Refuses a selection that names something that the bundle does not have.
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

    /// The error that says that the bundle is not sound; `None` when it is.
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
    /// Where it lies below the top directory.
    pub path: MemberPath,
    /// What the archive says of it.
    pub header: TarHeader,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What stands in a configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConfigReport {
    /// Where it lies.
    pub path: MemberPath,
    /// The namespace it belongs to; the global one when `None`.
    pub namespace: Option<String>,
    /// Its keys at the top.
    pub roots: Vec<String>,
    /// Where secrets and certificates stand.
    pub secrets: Vec<config::Secret>,
}

/// Something about a bundle or one of its members, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The member it is about.
    pub member: Option<MemberPath>,
    /// What was found, a lower-case fragment.
    pub text: String,
    /// What EMQX calls it, if it has a name for it.
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

/// Reads a bundle to its end. With a `node` it is also asked whether that one would take it.
///
/// # Errors
/// When the bundle cannot be read to its end or breaks a rule that all bundles have to keep. What is wrong with single members is in the
/// result.
pub fn inspect(
    bundle: &Path,
    limits: &Limits,
    node: Option<&Node>,
    progress: &mut dyn Progress,
) -> Result<Inspection> {
    let mut reader = BundleReader::open(bundle, limits)?;
    let mut examiner = Examiner::new();
    while let Some(mut member) = reader.next()? {
        if !member.is_directory() {
            examiner.examine(&mut member, None, true, progress)?;
        }
    }
    let mut inspection = examiner.finish(reader.name().clone(), node)?;
    inspection.stored_bytes = fs::metadata(bundle).map_or(0, |metadata| metadata.len());
    Ok(inspection)
}
