//! Is everything there that backups need?

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{DamagedChunks, Finding};
use crate::engine::references::Resolver;
use crate::engine::view::View;
use crate::error::{ErrorKind, Result, in_one_line};
use crate::model::{Backup, ChunkId, Content, Entry, EntryKind, PackId, References};
use crate::repository::{Index, Io, Layout, Place, TreeReader};

use super::CheckReport;

/// At most so many files are named for one finding.
const MAX_FILES: usize = 1_000;

/// Packs that are in the store, with their lengths.
pub(super) type Present = HashMap<PackId, u64>;

/// Lists the packs and compares them with the index.
pub(super) fn packs(io: &Io, view: &View, all: bool, report: &mut CheckReport) -> Result<Present> {
    let mut present = Present::new();
    for object in io.list(Layout::PACKS)? {
        if let Some(id) = Layout::id(&object.key) {
            present.insert(id, object.size);
        }
    }
    report.packs = present.len() as u64;
    if !all {
        return Ok(present);
    }
    let mut unknown: BTreeMap<_, _> = present.iter().map(|(id, len)| (*id, *len)).collect();
    for pack in view.reader.index().packs() {
        unknown.remove(&pack.id);
        let key = Layout::pack(pack.id);
        match present.get(&pack.id) {
            None => report.findings.push(Finding::damage(key, "it is missing")),
            Some(len) if *len != pack.len => {
                let message = format!("it has {len} bytes instead of {}", pack.len);
                report.findings.push(Finding::damage(key, message));
            }
            Some(_) => {}
        }
    }
    if !unknown.is_empty() {
        let bytes: u64 = unknown.values().sum();
        let message = format!(
            "{} packs with {:.1} MiB belong to no backup: left by an interrupted one, or being \
             written right now; `prune` removes them once they are a day old",
            unknown.len(),
            bytes as f64 / f64::from(1 << 20)
        );
        report.findings.push(Finding::note(Layout::PACKS, message));
    }
    Ok(present)
}

/// Walks a backup's tree; returns what its manifest says it uses.
pub(super) fn backup(
    io: &Io,
    view: &View,
    backup: &Backup,
    present: &Present,
    resolver: &Resolver<'_>,
    report: &mut CheckReport,
) -> Result<References> {
    let key = Layout::manifest(backup.id);
    let references = match io.read_manifest(backup.id) {
        Ok((described, references)) => {
            if described.tree != backup.tree {
                let message = "it does not describe the backup that the log names";
                report.findings.push(Finding::damage(&key, message));
            }
            references
        }
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report
                .findings
                .push(Finding::damage(&key, in_one_line(&error)));
            References::default()
        }
        Err(error) => return Err(error),
    };
    let mut used = references.clone();
    let resolved = resolver.resolve(&mut used);
    if !resolved {
        let message = "its reference set names packs that are not there any more: `prune` walks its tree instead";
        report.findings.push(Finding::note(&key, message));
    }
    let mut walk = Walk {
        view,
        backup,
        present,
        used: &used,
        missing: BTreeMap::new(),
        unlisted: resolved.then_some(0),
    };
    let mut tree = TreeReader::new(&view.reader, backup).remember_nodes();
    loop {
        let next = tree.next();
        for node in tree.take_nodes() {
            walk.chunk(&node.id, None);
        }
        match next {
            None => break,
            Some(Ok(entry)) => {
                report.entries += 1;
                walk.entry(&entry);
            }
            Some(Err(gap)) => {
                if !gap.error.is_damage() {
                    return Err(gap.error);
                }
                let message = format!(
                    "{}; {} entries from {} on cannot be listed",
                    in_one_line(&gap.error),
                    gap.entries,
                    gap.first
                );
                report
                    .findings
                    .push(Finding::damage(format!("backup {}", backup.id), message));
            }
        }
        io.check_cancelled()?;
    }
    walk.finish(&key, report);
    Ok(used)
}

struct Walk<'a> {
    view: &'a View,
    backup: &'a Backup,
    present: &'a Present,
    used: &'a References,
    /// Files that need what is missing, by the object that lacks it.
    missing: BTreeMap<String, Vec<String>>,
    /// Chunks in use that the manifest does not list, if that matters.
    unlisted: Option<u64>,
}

impl Walk<'_> {
    fn entry(&mut self, entry: &Entry) {
        let EntryKind::File(file) = &entry.kind else {
            return;
        };
        if let Content::Chunks(chunks) = &file.content {
            for chunk in chunks {
                self.chunk(&chunk.id, Some(entry));
            }
        }
    }

    fn chunk(&mut self, id: &ChunkId, entry: Option<&Entry>) {
        let index = Arc::clone(self.view.reader.index());
        let mut missing = None;
        let (mut is_there, mut is_listed) = (false, false);
        for place in index.find_all(id) {
            // A base may be stored twice: either will do.
            let bases = place.group.bases.iter();
            let bases: Vec<Vec<_>> = bases.map(|base| whole_places(&index, base)).collect();
            let used = |place: &Place<'_>| self.used.contains(&place.pack.id, place.slot);
            is_listed |= used(&place) && bases.iter().all(|places| places.iter().any(used));
            let present =
                |place: &Place<'_>| self.present.get(&place.pack.id) == Some(&place.pack.len);
            let lost = bases.iter().position(|places| !places.iter().any(present));
            let lacks = match lost {
                _ if !present(&place) => Layout::pack(place.pack.id),
                Some(at) => match bases[at].first() {
                    Some(base) => Layout::pack(base.pack.id),
                    None => format!("chunk {}", place.group.bases[at]),
                },
                None => {
                    is_there = true;
                    continue;
                }
            };
            missing.get_or_insert(lacks);
        }
        if !is_there {
            self.lacks(missing.unwrap_or_else(|| format!("chunk {id}")), entry);
        }
        if !is_listed && index.find(id).is_some() {
            self.unlisted = self.unlisted.map(|count| count + 1);
        }
    }

    fn lacks(&mut self, object: String, entry: Option<&Entry>) {
        let files = self.missing.entry(object).or_default();
        if let Some(entry) = entry
            && files.len() < MAX_FILES
        {
            let path = entry.path.to_string();
            if files.last() != Some(&path) {
                files.push(path);
            }
        }
    }

    fn finish(self, key: &str, report: &mut CheckReport) {
        for (object, files) in self.missing {
            let message = match object.starts_with("chunk") {
                true => "it is in no pack that the index describes",
                false => "files need it, and it is missing or incomplete",
            };
            let mut finding = Finding::damage(object, message);
            finding.files = files
                .into_iter()
                .map(|path| (self.backup.id, path))
                .collect();
            report.findings.push(finding);
        }
        if let Some(unlisted @ 1..) = self.unlisted {
            let message = format!(
                "{unlisted} chunks are in use and not in its reference set: a prune could remove them"
            );
            report.findings.push(Finding::damage(key, message));
        }
    }
}

/// Where a chunk is stored whole.
fn whole_places<'a>(index: &'a Index, id: &'a ChunkId) -> Vec<Place<'a>> {
    let places = index.find_all(id);
    places.filter(|place| !place.is_delta()).collect()
}

/// The pack whose damage a chunk suffers from: its own, or that of what it rests on wherever it is.
fn damage_of<'a>(index: &Index, damaged: &'a DamagedChunks, id: &ChunkId) -> Option<&'a PackId> {
    if let Some(pack) = damaged.get(id) {
        return Some(pack);
    }
    let of_bases = |place: Place<'_>| {
        let mut bases = place.group.bases.iter();
        bases.find_map(|base| damaged.get(base))
    };
    let places: Option<Vec<_>> = index.find_all(id).map(of_bases).collect();
    places?.first().copied()
}

/// Finds the files that need damaged chunks.
pub(super) fn name_files(
    view: &View,
    backups: &[Backup],
    damaged: &DamagedChunks,
    report: &mut CheckReport,
) -> Result<()> {
    let mut files: HashMap<PackId, Vec<_>> = HashMap::new();
    for backup in backups {
        for entry in TreeReader::new(&view.reader, backup).flatten() {
            let EntryKind::File(file) = &entry.kind else {
                continue;
            };
            let Content::Chunks(chunks) = &file.content else {
                continue;
            };
            let bad = chunks
                .iter()
                .find_map(|chunk| damage_of(view.reader.index(), damaged, &chunk.id));
            let Some(pack) = bad else { continue };
            let files = files.entry(*pack).or_default();
            if files.len() < MAX_FILES {
                files.push((backup.id, entry.path.to_string()));
            }
        }
    }
    for (pack, files) in files {
        let key = Layout::pack(pack);
        if let Some(finding) = report.findings.iter_mut().find(|f| f.object == key) {
            finding.files.extend(files);
        }
    }
    Ok(())
}
