//! Restoring entries to other paths than those in the backup.
//!
//! [`Places`] says where the target gets an entry: it leaves out the first parts of the path. [`placed`] yields the entries with their paths
//! in the target, in path order. Invariant: no two entries get the same path, except folders; such a restore ends before anything is
//! written.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::RestoreOptions;
use super::scope::Scope;
use super::select::Selected;
use crate::engine::view::BackupView;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Entry, EntryKind, EntryPath};
use crate::repository::{Gap, Io};

/// Maximum number of folders whose contents are restored into the same folder: each needs memory for a part of its tree.
const MAX_MERGED: usize = 256;
/// How many clashes an error names.
const MAX_NAMED: usize = 5;

/// The paths of restored entries in the target.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// Only entries below this folder are restored.
    folder: EntryPath,
    /// Number of first parts that are left out of each path, those of the folder included.
    parts: usize,
    /// The folder above all restored entries: the target is restored from it.
    base: EntryPath,
    /// The target takes the place of a folder of the backup, and existed before: it keeps its metadata.
    pub(super) keeps_target: bool,
}

impl Places {
    pub(super) fn new(options: &RestoreOptions) -> Self {
        let folder = options.folder.clone();
        Self {
            parts: folder.parts().count() + options.stripped_parts,
            base: folder.clone(),
            folder,
            keeps_target: false,
        }
    }

    /// True when all entries keep their path.
    pub(super) const fn are_unchanged(&self) -> bool {
        self.parts == 0
    }

    /// The path in the target; `None` when the entry has no path there.
    pub(super) fn of(&self, path: &EntryPath) -> Option<EntryPath> {
        if !path.is_within(&self.base) {
            return None;
        }
        match tail(path, self.parts) {
            // The target takes the place of the folder, and of no other one.
            Some(b"") => (*path == self.folder).then(EntryPath::root),
            Some(tail) => EntryPath::new(tail).ok(),
            None => None,
        }
    }

    /// The path in the backup of a path in the target.
    pub(super) fn in_backup(&self, path: &EntryPath) -> EntryPath {
        let (base, path) = (self.base.as_bytes(), path.as_bytes());
        let joined = match (base, path) {
            ([], path) => path.to_vec(),
            (base, []) => base.to_vec(),
            (base, path) => [base, b"/", path].concat(),
        };
        // A path that is too long is not in the backup.
        EntryPath::new(joined).unwrap_or_default()
    }
}

/// The bytes after the first `parts` parts of a path; `None` when it has fewer parts.
fn tail(path: &EntryPath, parts: usize) -> Option<&[u8]> {
    let mut rest = path.as_bytes();
    for _ in 0..parts {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| *byte == b'/');
        rest = end.map_or(&[], |end| &rest[end + 1..]);
    }
    Some(rest)
}

/// The first `parts` parts of a path.
fn head(path: &EntryPath, parts: usize) -> Option<EntryPath> {
    let rest = tail(path, parts)?;
    let all = path.as_bytes();
    let end = all.len() - rest.len();
    EntryPath::new(all[..end].strip_suffix(b"/").unwrap_or(&all[..end])).ok()
}

/// An entry to restore.
pub(super) struct Placed {
    /// With its path in the target.
    pub(super) entry: Entry,
    /// True for a folder that only leads to restored entries.
    pub(super) leads: bool,
}

type Items<'a> = Box<dyn Iterator<Item = Result<Placed, Gap>> + 'a>;

/// The entries to restore, in path order.
pub(super) fn placed<'a>(
    source: &BackupView,
    options: &'a RestoreOptions,
    scope: &'a Scope,
    sources: &[EntryPath],
) -> Items<'a> {
    match sources {
        [_, _, ..] => {
            let merged = Merged::new(source, options, scope, sources);
            let mut last_folder = None;
            Box::new(merged.filter_map(move |(_, item)| {
                let Ok(item) = item else { return Some(item) };
                let path = &item.entry.path;
                if matches!(item.entry.kind, EntryKind::Directory) {
                    if last_folder.as_ref() == Some(path) {
                        // The same folder of another source.
                        return None;
                    }
                    last_folder = Some(path.clone());
                }
                Some(Ok(item))
            }))
        }
        _ => of_source(source, options, scope, options.wanted()),
    }
}

/// The entries at and below these paths of the backup.
fn of_source<'a>(
    source: &BackupView,
    options: &'a RestoreOptions,
    scope: &'a Scope,
    paths: Vec<EntryPath>,
) -> Items<'a> {
    let place = move |item: Result<Entry, Gap>| match item {
        Ok(mut entry) => {
            let places = scope.places();
            let is_folder = matches!(entry.kind, EntryKind::Directory);
            let mut leads = is_folder && scope.leads(&entry.path);
            if !places.are_unchanged() {
                entry.path = places.of(&entry.path)?;
                leads |= places.keeps_target && entry.path.is_root();
            }
            Some(Ok(Placed { entry, leads }))
        }
        Err(mut gap) => {
            gap.first = scope.places().of(&gap.first).unwrap_or(gap.first);
            Some(Err(gap))
        }
    };
    Box::new(selected(source, options, paths).filter_map(place))
}

/// All selected entries, with their paths in the backup.
fn selected<'a>(
    source: &BackupView,
    options: &'a RestoreOptions,
    paths: Vec<EntryPath>,
) -> Box<dyn Iterator<Item = Result<Entry, Gap>> + 'a> {
    let entries = source.entries(paths);
    if options.selection.is_everything() {
        Box::new(entries)
    } else {
        Box::new(Selected::new(entries, &options.selection))
    }
}

/// What a restore to other paths found in the backup before it starts.
#[derive(Default)]
pub(super) struct Sources {
    /// The folders whose contents the target gets; empty when all entries keep their paths.
    pub(super) folders: Vec<EntryPath>,
    /// Number of entries that have no path in the target, except folders that contain others.
    pub(super) left_out: u64,
}

/// Finds the folders whose contents the target gets, and sets the folder that the target is restored from.
pub(super) fn find_sources(
    io: &Io,
    source: &BackupView,
    options: &RestoreOptions,
    places: &mut Places,
) -> Result<Sources> {
    if places.are_unchanged() {
        return Ok(Sources::default());
    }
    refuse_other_kinds(source, &places.folder)?;
    if options.stripped_parts == 0 {
        let folders = vec![places.folder.clone()];
        return Ok(Sources {
            folders,
            left_out: 0,
        });
    }
    let sources = walk(io, source, options, places)?;
    match sources.folders.as_slice() {
        [one] => places.base = one.clone(),
        [first, second, ..] if options.delete => {
            return Err(Error::invalid(format!(
                "`{first}` and `{second}` would be restored into one folder: surplus entries can only be deleted if there is a single one"
            )));
        }
        _ => {}
    }
    Ok(sources)
}

/// Refuses a folder that is none.
fn refuse_other_kinds(source: &BackupView, folder: &EntryPath) -> Result<()> {
    if folder.is_root() {
        return Ok(());
    }
    match source.stat(folder) {
        Ok(entry) if !matches!(entry.kind, EntryKind::Directory) => {
            let what = entry.kind.name();
            let message = format!("`{folder}` is a {what}, not a folder");
            Err(Error::invalid(message))
        }
        // A stream stored as `db/dump.sql` has no entry `db`, and a damaged part of the tree may have it.
        Err(error) if error.kind() != ErrorKind::PathNotFound && !error.is_damage() => Err(error),
        _ => Ok(()),
    }
}

fn walk(
    io: &Io,
    source: &BackupView,
    options: &RestoreOptions,
    places: &Places,
) -> Result<Sources> {
    let mut sources = Sources::default();
    // A folder without a path in the target. It counts unless the next entry is in it.
    let mut open: Option<EntryPath> = None;
    for entry in selected(source, options, options.wanted()) {
        io.check_cancelled()?;
        // The restore reports what cannot be read.
        let Ok(entry) = entry else {
            open = None;
            continue;
        };
        let path = entry.path;
        if let Some(folder) = open.take() {
            sources.left_out += u64::from(!path.is_within(&folder));
        }
        if !path.is_within(&places.folder) || path == places.folder {
            continue;
        }
        let folders = &mut sources.folders;
        match places.of(&path).and(head(&path, places.parts)) {
            Some(folder) if folders.last() == Some(&folder) => {}
            Some(_) if folders.len() == MAX_MERGED => {
                let message = format!(
                    "more than {MAX_MERGED} folders would be restored into one: restore them in several parts"
                );
                return Err(Error::invalid(message));
            }
            Some(folder) => folders.push(folder),
            None if matches!(entry.kind, EntryKind::Directory) => open = Some(path),
            None => sources.left_out += 1,
        }
    }
    sources.left_out += u64::from(open.is_some());
    Ok(sources)
}

/// Fails if entries of several folders would get the same path, except folders.
pub(super) fn refuse_clashes(
    io: &Io,
    source: &BackupView,
    options: &RestoreOptions,
    scope: &Scope,
    sources: &[EntryPath],
) -> Result<()> {
    if sources.len() < 2 {
        return Ok(());
    }
    let (mut named, mut count) = (Vec::new(), 0_usize);
    // The last entry, and the last one that is not a folder, with their sources.
    let mut last: Option<(EntryPath, usize, bool)> = None;
    let mut end: Option<(EntryPath, usize)> = None;
    for (from, item) in Merged::new(source, options, scope, sources) {
        io.check_cancelled()?;
        let Ok(Placed { entry, .. }) = item else {
            continue;
        };
        let is_folder = matches!(entry.kind, EntryKind::Directory);
        let same = last
            .as_ref()
            .filter(|(path, _, was_folder)| *path == entry.path && !(is_folder && *was_folder));
        let above = end
            .as_ref()
            .filter(|(path, other)| *other != from && entry.path.is_within(path));
        let other = same.map(|(_, other, _)| *other);
        if let Some(other) = other.or(above.map(|(_, other)| *other)) {
            count += 1;
            if named.len() < MAX_NAMED {
                let (first, second) = (&sources[other], &sources[from]);
                named.push(format!("`{}` from `{first}` and `{second}`", entry.path));
            }
        }
        if !is_folder {
            end = Some((entry.path.clone(), from));
        }
        last = Some((entry.path, from, is_folder));
    }
    if count == 0 {
        return Ok(());
    }
    let more = match count - named.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let named = named.join(", ");
    Err(Error::invalid(format!(
        "entries would get the same path, so nothing was restored: {named}{more}"
    )))
}

/// The entries of several folders, with their sources, merged into path order.
struct Merged<'a> {
    sources: Vec<Items<'a>>,
    /// The next entry of each source.
    heads: BinaryHeap<Reverse<Head>>,
    gaps: Vec<(usize, Gap)>,
}

struct Head {
    item: Placed,
    from: usize,
}

impl<'a> Merged<'a> {
    fn new(
        source: &BackupView,
        options: &'a RestoreOptions,
        scope: &'a Scope,
        folders: &[EntryPath],
    ) -> Self {
        let wanted = options.wanted();
        let sources = folders.iter().map(|folder| {
            let within = wanted.iter().filter(|path| path.is_within(folder));
            let mut paths: Vec<EntryPath> = within.cloned().collect();
            if paths.is_empty() || wanted.iter().any(|path| folder.is_within(path)) {
                paths = vec![folder.clone()];
            }
            of_source(source, options, scope, paths)
        });
        let mut merged = Self {
            sources: sources.collect(),
            heads: BinaryHeap::new(),
            gaps: Vec::new(),
        };
        for from in 0..merged.sources.len() {
            merged.advance(from);
        }
        merged
    }

    fn advance(&mut self, from: usize) {
        for item in self.sources[from].by_ref() {
            match item {
                Ok(item) => {
                    self.heads.push(Reverse(Head { item, from }));
                    return;
                }
                Err(gap) => self.gaps.push((from, gap)),
            }
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = (usize, Result<Placed, Gap>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((from, gap)) = self.gaps.pop() {
            return Some((from, Err(gap)));
        }
        let Reverse(Head { item, from }) = self.heads.pop()?;
        self.advance(from);
        Some((from, Ok(item)))
    }
}

impl Head {
    /// Folders that were requested come before the same folders that only lead to others: the target gets the metadata of the first one.
    fn key(&self) -> (&EntryPath, bool, usize) {
        (&self.item.entry.path, self.item.leads, self.from)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        text.parse().unwrap()
    }

    fn places(folder: &str, stripped: usize) -> Places {
        let options = RestoreOptions::default();
        Places::new(
            &options
                .with_folder(path(folder))
                .with_stripped_parts(stripped),
        )
    }

    #[test]
    fn first_parts_of_a_path_are_left_out() {
        for (folder, stripped, of, expected) in [
            ("", 0, "a/b", Some("a/b")),
            ("", 1, "a/b", Some("b")),
            ("", 1, "a", None),
            ("", 3, "a/b", None),
            ("a/b", 0, "a/b", Some("")),
            ("a/b", 0, "a/b/c/d", Some("c/d")),
            ("a/b", 0, "a/bc", None),
            ("a/b", 0, "a", None),
            ("a", 1, "a", None),
            ("a", 1, "a/b", None),
            ("a", 1, "a/b/c", Some("c")),
        ] {
            let placed = places(folder, stripped).of(&path(of));
            assert_eq!(placed, expected.map(path), "{folder} {stripped} {of}");
        }
    }

    #[test]
    fn path_in_backup_is_found_again() {
        let places = places("a/b", 0);
        for of in ["a/b", "a/b/c", "a/b/c/d"] {
            let placed = places.of(&path(of)).unwrap();
            assert_eq!(places.in_backup(&placed), path(of));
        }
        assert_eq!(head(&path("a/b/c"), 2), Some(path("a/b")));
    }
}
