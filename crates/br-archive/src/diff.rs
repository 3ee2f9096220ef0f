//! Comparison of two bundles.
//!
//! [`diff`] returns a [`BundleDiff`]. Invariant: it names the records and keys that differ, never their values, which may be secrets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use br_emqx::config::{self, ConfigDiff};
use br_emqx::hocon;
use br_emqx::table::{self, TableChanges};

use crate::error::{Error, Result};
use crate::inspect::{Inspection, inspect};
use crate::limits::Limits;
use crate::manifest::MANIFEST_PATH;
use crate::path::MemberPath;
use crate::progress::BundleProgress;
use crate::reader::BundleReader;
use crate::select::{is_config, table_name};

/// How two bundles differ.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BundleDiff {
    /// The content of the first bundle.
    pub first: Inspection,
    /// The content of the second bundle.
    pub second: Inspection,
    /// Members that are in only one of the bundles or differ, by path. Manifests are not compared.
    pub members: Vec<MemberDifference>,
}

/// How a member differs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemberDifference {
    /// Its path.
    pub path: MemberPath,
    /// How it differs.
    pub kind: DifferenceKind,
    /// Which records differ, if it is a table in both bundles: `only_in_base` counts the records that only the first has.
    pub table: Option<TableChanges>,
    /// Which keys differ, if it is a configuration in both bundles.
    pub config: Option<ConfigDiff>,
    /// Why records or keys could not be compared.
    pub note: Option<String>,
}

/// How a member differs between the first and the second bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, with other content.
    Changed,
}

impl DifferenceKind {
    /// One word, for text and JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// Compares two bundles member by member, tables record by record, configurations key by key. Up to `keys` keys of records are listed for
/// each table and kind of change.
///
/// # Errors
/// If one of them cannot be read.
pub fn diff(
    first: &Path,
    second: &Path,
    limits: &Limits,
    keys: usize,
    progress: &mut dyn BundleProgress,
) -> Result<BundleDiff> {
    let a = inspect(first, limits, None, progress)?;
    let b = inspect(second, limits, None, progress)?;
    let mut members = compare(&a, &b);
    if a.is_emqx && b.is_emqx {
        let wanted = members.iter().filter(|member| {
            member.kind == DifferenceKind::Changed
                && (is_config(&member.path) || table_name(&member.path).is_some())
        });
        let wanted: HashSet<_> = wanted.map(|member| member.path.clone()).collect();
        let mut old = collect(first, limits, &wanted)?;
        let mut new = collect(second, limits, &wanted)?;
        for member in &mut members {
            if let (Some(old), Some(new)) = (old.remove(&member.path), new.remove(&member.path)) {
                look_inside(member, old, new, keys)?;
            }
        }
    }
    Ok(BundleDiff {
        first: a,
        second: b,
        members,
    })
}

fn compare(a: &Inspection, b: &Inspection) -> Vec<MemberDifference> {
    let sums = |bundle: &Inspection| {
        let members = bundle.members.iter();
        let members = members.filter(|member| member.path.as_str() != MANIFEST_PATH);
        let sums = members.map(|member| (member.path.clone(), member.sha256));
        sums.collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (sums(a), sums(b));
    let difference = |path: &MemberPath, kind| MemberDifference {
        path: path.clone(),
        kind,
        table: None,
        config: None,
        note: None,
    };
    let mut out = Vec::new();
    for (path, sum) in &old {
        match new.get(path) {
            None => out.push(difference(path, DifferenceKind::Removed)),
            Some(other) if other != sum => out.push(difference(path, DifferenceKind::Changed)),
            Some(_) => {}
        }
    }
    let added = new.keys().filter(|path| !old.contains_key(*path));
    out.extend(added.map(|path| difference(path, DifferenceKind::Added)));
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

/// Copies the tables and configurations that are compared in detail to temporary files.
fn collect(
    bundle: &Path,
    limits: &Limits,
    wanted: &HashSet<MemberPath>,
) -> Result<HashMap<MemberPath, File>> {
    let failed = |error| Error::io("cannot write a temporary file", error);
    let mut out = HashMap::new();
    if wanted.is_empty() {
        return Ok(out);
    }
    let mut reader = BundleReader::open(bundle, limits)?;
    while let Some(mut member) = reader.next()? {
        if wanted.contains(member.path()) && !member.is_directory() {
            let mut file = tempfile::tempfile().map_err(failed)?;
            io::copy(&mut member, &mut file).map_err(Error::read)?;
            file.rewind().map_err(failed)?;
            out.insert(member.path().clone(), file);
        }
    }
    Ok(out)
}

fn look_inside(member: &mut MemberDifference, old: File, new: File, keys: usize) -> Result<()> {
    if let Some(name) = table_name(&member.path) {
        match table::compare(name, old, new, keys) {
            Ok(changes) => member.table = Some(changes),
            Err(error) => member.note = Some(error.to_string()),
        }
        return Ok(());
    }
    match (parse(old)?, parse(new)?) {
        (Ok(old), Ok(new)) => member.config = Some(config::diff(&old, &new)),
        (Err(error), _) | (_, Err(error)) => member.note = Some(error.to_string()),
    }
    Ok(())
}

fn parse(mut file: File) -> Result<std::result::Result<hocon::Object, hocon::HoconError>> {
    let mut text = Vec::new();
    let read = file.read_to_end(&mut text);
    read.map_err(|error| Error::io("cannot read a temporary file", error))?;
    Ok(hocon::parse(&text))
}
