//! The references of all backups together.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::backup::add_live_references;
use super::needed::refuse_if_readable;
use crate::error::Result;
use crate::model::{
    Backup, BackupId, ChunkRef, Content, EntryKind, FileContent, PackId, References,
};
pub(crate) use crate::repository::Resolver;
use crate::repository::{ChunkReader, Index, Io, TreeReader, read_manifests};
use crate::warning::Warning;

/// The union of the references of backups, with moves resolved, and the packs that their manifests name.
///
/// # Errors
/// When a backup needs readable data that the log or the index does not count as used: see [`needed`](super::needed).
pub(crate) fn all_references<'a>(
    io: &Io,
    backups: impl Iterator<Item = &'a Backup>,
    index: &Index,
) -> Result<(References, BTreeSet<PackId>)> {
    let reader = Arc::new(ChunkReader::new(io, Arc::new(index.clone())));
    let resolver = Resolver::new(index);
    let mut all = References::default();
    let mut named = BTreeSet::new();
    let backups: Vec<&Backup> = backups.collect();
    let ids: Vec<BackupId> = backups.iter().map(|backup| backup.id).collect();
    read_manifests(io, &ids, |at, own| {
        named.extend(own.iter().map(|(pack, _)| *pack));
        let (own, is_complete) = resolved(&reader, &resolver, backups[at], own)?;
        if !is_complete {
            refuse_if_readable(io, index, &resolver, ids[at])?;
        }
        all.union(&own);
        Ok(())
    })?;
    Ok((all, named))
}

/// The references of a backup, with moves resolved.
pub(super) fn of_backup(
    io: &Io,
    reader: &Arc<ChunkReader>,
    resolver: &Resolver<'_>,
    backup: &Backup,
) -> Result<References> {
    io.check_cancelled()?;
    let (_, own) = io.read_manifest(backup.id)?;
    resolved(reader, resolver, backup, own).map(|(own, _)| own)
}

/// The references that the manifest of a backup names, with moves resolved, and whether that found all data in the index.
fn resolved(
    reader: &Arc<ChunkReader>,
    resolver: &Resolver<'_>,
    backup: &Backup,
    mut own: References,
) -> Result<(References, bool)> {
    if resolver.resolve(&mut own) {
        return Ok((own, true));
    }
    let io = reader.io();
    io.warn(&Warning::PacksMissing { backup: backup.id });
    Ok((by_tree(reader, backup)?.0, false))
}

/// Whether all data of a backup can be found: by the references of its manifest and the moves or, if they were lost, by its tree.
///
/// # Errors
/// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if neither leads to the whole tree.
pub(super) fn has_all_data(
    reader: &Arc<ChunkReader>,
    resolver: &Resolver<'_>,
    backup: &Backup,
    mut own: References,
) -> Result<bool> {
    Ok(resolver.resolve(&mut own) || by_tree(reader, backup)?.1)
}

/// A backup's references, found by walking its tree, and whether every chunk has a copy. Chunks without any copy are lost already and are
/// skipped.
fn by_tree(reader: &Arc<ChunkReader>, backup: &Backup) -> Result<(References, bool)> {
    let index = reader.index();
    let mut references = References::default();
    let mut is_complete = true;
    let mut note = |chunk: &ChunkRef| {
        is_complete &= index.find(&chunk.id).is_some();
        for location in index.find_all(&chunk.id) {
            // One of its bases may be lost, and stored again later.
            add_live_references(index, &location, &mut references);
        }
    };
    let mut tree = TreeReader::new(reader, backup).remember_nodes();
    while let Some(entry) = tree.next() {
        reader.io().check_cancelled()?;
        // Without its complete tree, a backup's references are unknown.
        let entry = entry.map_err(|gap| gap.error)?;
        if let EntryKind::File(FileContent {
            content: Content::Chunks(chunks),
            ..
        }) = &entry.kind
        {
            chunks.iter().for_each(&mut note);
        }
        tree.take_nodes().iter().for_each(&mut note);
    }
    tree.take_nodes().iter().for_each(&mut note);
    Ok((references, is_complete))
}
