//! Check of the structure: does all data that the backups need exist?

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::files::Files;
use super::{DamagedChunks, Finding};
use crate::engine::view::View;
use crate::error::{ErrorKind, Result, in_one_line};
use crate::format::{PackEntry, TAG_LEN};
use crate::model::{Backup, ChunkId, Content, Entry, EntryKind, PackId, References};
use crate::repository::{ChunkLocation, Index, Io, Layout, Resolver, TreeReader, present_packs};

use super::CheckReport;

/// Packs in the store, with their lengths.
pub(super) type Present = BTreeMap<PackId, u64>;

/// Lists the packs and compares them with the index. `all` also reports packs that the index does not describe.
pub(super) fn packs(io: &Io, view: &View, all: bool, report: &mut CheckReport) -> Result<Present> {
    let present = present_packs(io)?;
    report.packs = present.len() as u64;
    if !all {
        return Ok(present);
    }
    let mut unknown = present.clone();
    for pack in view.reader.index().packs() {
        unknown.remove(&pack.id);
        let key = Layout::pack(pack.id);
        match present.get(&pack.id) {
            Some(len) if *len == pack.len => {}
            len => note_cut(io, pack, len.copied().unwrap_or_default()),
        }
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
            "packs that belong to no backup: {}, {:.1} MiB, left by an interrupted or failed backup, replaced by a \
             repair, or being written right now; `prune` removes them",
            unknown.len(),
            bytes as f64 / f64::from(1 << 20)
        );
        report.findings.push(Finding::note(Layout::PACKS, message));
    }
    Ok(present)
}

/// Marks the groups of a pack that are not within its first `len` bytes as damaged.
fn note_cut(io: &Io, pack: &PackEntry, len: u64) {
    for ((number, group), offset) in (0..).zip(&pack.table.groups).zip(pack.table.offsets()) {
        if offset + u64::from(group.stored_len) + TAG_LEN as u64 > len {
            io.damage.note(pack.id, number);
        }
    }
}

/// Data that backups need and that does not exist.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Missing or damaged packs, with the reason.
    packs: BTreeMap<PackId, &'static str>,
    /// Chunks that are in no pack.
    chunks: HashSet<ChunkId>,
    pub(super) files: Files,
    /// Whether groups that earlier runs found damaged count as missing.
    known_count: bool,
}

impl Losses {
    pub(super) fn new(known_count: bool) -> Self {
        Self {
            known_count,
            ..Self::default()
        }
    }

    /// Adds findings for packs and chunks that have no finding yet.
    pub(super) fn report(&self, report: &mut CheckReport) {
        for (pack, message) in &self.packs {
            let key = Layout::pack(*pack);
            if !report.findings.iter().any(|finding| finding.object == key) {
                report.findings.push(Finding::damage(key, *message));
            }
        }
        if !self.chunks.is_empty() {
            let message = format!(
                "{} chunks that backups need are in no pack that the index describes",
                self.chunks.len()
            );
            report
                .findings
                .push(Finding::damage(Layout::PACKS, message));
        }
    }
}

/// Walks a backup's tree; returns the references in its manifest.
pub(super) fn backup(
    io: &Io,
    view: &View,
    backup: &Backup,
    present: &Present,
    resolver: &Resolver<'_>,
    losses: &mut Losses,
    report: &mut CheckReport,
) -> Result<References> {
    let key = Layout::manifest(backup.id);
    let references = match io.read_manifest(backup.id) {
        Ok((described, references)) => {
            if described.tree != backup.tree {
                let message = "it does not describe the backup that the log names";
                report.findings.push(Finding::damage(&key, message));
                losses.files.mark(backup.id);
            }
            references
        }
        Err(error) if error.kind() == ErrorKind::Damaged => {
            losses.files.mark(backup.id);
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
        let message = "its list of packs is older than a repair: `prune` reads its tree instead, which takes longer";
        report.findings.push(Finding::note(&key, message));
    }
    let mut walk = Walk {
        view,
        backup,
        present,
        used: &used,
        losses,
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
                walk.losses.files.mark(backup.id);
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
    losses: &'a mut Losses,
    /// Number of used chunks that the manifest does not list; `None` when this does not matter.
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
        let mut lacks = Lacks::Everything;
        let (mut is_there, mut is_listed) = (false, false);
        for location in index.find_all(id) {
            // A base may be stored twice; one readable copy is enough.
            let bases = location.group.bases.iter();
            let bases: Vec<Vec<_>> = bases.map(|base| whole_locations(&index, base)).collect();
            let used =
                |location: &ChunkLocation<'_>| self.used.contains(&location.pack.id, location.slot);
            is_listed |=
                used(&location) && bases.iter().all(|locations| locations.iter().any(used));
            let look = |location: &ChunkLocation<'_>| self.look_at(&index, location);
            let is_lost =
                |locations: &&Vec<_>| !locations.iter().any(|location| look(location).is_none());
            let lost = bases.iter().find(is_lost);
            let found = match (look(&location), lost.map(|locations| locations.first())) {
                (Some(why), _) => Lacks::Pack(location.pack.id, why),
                (None, Some(Some(base))) => {
                    let why = look(base).unwrap_or("files need it, and it is missing");
                    Lacks::Pack(base.pack.id, why)
                }
                (None, Some(None)) => Lacks::Everything,
                (None, None) => {
                    is_there = true;
                    continue;
                }
            };
            if matches!(lacks, Lacks::Everything) {
                lacks = found;
            }
        }
        if !is_there {
            match lacks {
                Lacks::Pack(pack, why) => drop(self.losses.packs.insert(pack, why)),
                Lacks::Everything => drop(self.losses.chunks.insert(*id)),
            }
            if let Some(entry) = entry {
                let path = entry.path.to_string();
                self.losses.files.add(&path, self.backup.id);
            }
        }
        if !is_listed && index.find(id).is_some() {
            self.unlisted = self.unlisted.map(|count| count + 1);
        }
    }

    /// Returns why the chunk at this location cannot be used; `None` when it can.
    fn look_at(&self, index: &Index, location: &ChunkLocation<'_>) -> Option<&'static str> {
        let end = location.group_offset + u64::from(location.group.stored_len) + TAG_LEN as u64;
        let len = self.present.get(&location.pack.id);
        if len.is_none_or(|len| *len < end) {
            return Some("files need it, and it is missing or incomplete");
        }
        let known = "files need groups of it that an earlier run found damaged";
        (self.losses.known_count && !index.is_sound(location)).then_some(known)
    }

    fn finish(self, key: &str, report: &mut CheckReport) {
        if let Some(unlisted @ 1..) = self.unlisted {
            let message = format!(
                "{unlisted} chunks are in use and not in its reference set: a prune could remove them"
            );
            report.findings.push(Finding::damage(key, message));
        }
    }
}

/// Why a chunk is missing.
enum Lacks {
    /// Its pack is missing or damaged.
    Pack(PackId, &'static str),
    /// It is in no pack.
    Everything,
}

/// The locations where a chunk is stored whole.
fn whole_locations<'a>(index: &'a Index, id: &'a ChunkId) -> Vec<ChunkLocation<'a>> {
    let locations = index.find_all(id);
    locations.filter(|location| !location.is_delta()).collect()
}

/// The damaged chunk that makes this chunk unreadable: the chunk itself or, if no copy is readable, one of its bases.
fn damage_of(index: &Index, damaged: &DamagedChunks, id: &ChunkId) -> Option<ChunkId> {
    if damaged.contains_key(id) {
        return Some(*id);
    }
    let of_bases = |location: ChunkLocation<'_>| {
        let mut bases = location.group.bases.iter();
        bases.find(|base| damaged.contains_key(base)).copied()
    };
    let locations: Option<Vec<_>> = index.find_all(id).map(of_bases).collect();
    locations?.first().copied()
}

/// Adds the files that need damaged chunks to `files`. Returns the damaged chunks that any backup needs.
pub(super) fn name_files(
    view: &View,
    backups: &[Backup],
    damaged: &DamagedChunks,
    files: &mut Files,
) -> HashSet<ChunkId> {
    let index = view.reader.index();
    let mut needed = HashSet::new();
    for backup in backups {
        let mut tree = TreeReader::new(&view.reader, backup).remember_nodes();
        while let Some(next) = tree.next() {
            let nodes = tree.take_nodes().into_iter();
            needed.extend(nodes.filter_map(|node| damage_of(index, damaged, &node.id)));
            let Ok(entry) = next else {
                // The entries below an unreadable node are unknown and may need any chunk: treat all damaged chunks as needed.
                return damaged.keys().copied().collect();
            };
            let EntryKind::File(file) = &entry.kind else {
                continue;
            };
            let Content::Chunks(chunks) = &file.content else {
                continue;
            };
            let bad = chunks.iter();
            let mut bad = bad
                .filter_map(|chunk| damage_of(index, damaged, &chunk.id))
                .peekable();
            if bad.peek().is_some() {
                files.add(&entry.path.to_string(), backup.id);
                needed.extend(bad);
            }
        }
    }
    needed
}
