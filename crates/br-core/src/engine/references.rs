//! Which slots of which packs backups use.
//!
//! [`ReferenceFinder`] reads it from manifests. Invariant: a set of references that it returns names only packs that the index describes.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::backup::add_live_references;
use super::needed::refuse_if_readable;
use crate::error::{Error, Result};
use crate::model::{
    Backup, BackupId, ChunkRef, Content, EntryKind, FileContent, PackId, References,
};
use crate::repository::{
    ChunkReader, Index, Io, Layout, PackTables, Resolver, State, TreeReader, read_manifests,
};
use crate::warning::Warning;

/// Finds the packs and slots that backups use. It knows all packs and moves, so create it once and use it for many backups.
pub(crate) struct ReferenceFinder<'a> {
    io: &'a Io,
    resolver: Resolver<'a>,
    /// Reads trees, for backups whose references lead nowhere. Needs the whole index.
    reader: OnceCell<Arc<ChunkReader>>,
    /// The state to read the index from, if there is no reader yet.
    state: Option<&'a State>,
}

impl<'a> ReferenceFinder<'a> {
    /// With the whole index.
    pub(crate) fn new(reader: &'a Arc<ChunkReader>) -> Self {
        Self {
            io: reader.io(),
            resolver: reader.index().resolver(),
            reader: Arc::clone(reader).into(),
            state: None,
        }
    }

    /// With the pack tables only. Reads the whole index when a backup needs it.
    pub(crate) fn with_tables(io: &'a Io, tables: &'a PackTables, state: &'a State) -> Self {
        Self {
            io,
            resolver: tables.resolver(),
            reader: OnceCell::new(),
            state: Some(state),
        }
    }

    /// The union of the references of backups, with moves resolved, and the packs that their manifests name.
    ///
    /// # Errors
    /// When a backup needs readable data that the log or the index does not count as used: see [`needed`](super::needed).
    pub(crate) fn of_all<'b>(
        &self,
        backups: impl Iterator<Item = &'b Backup>,
    ) -> Result<(References, BTreeSet<PackId>)> {
        let mut all = References::default();
        let mut named = BTreeSet::new();
        let backups: Vec<&Backup> = backups.collect();
        let ids: Vec<BackupId> = backups.iter().map(|backup| backup.id).collect();
        read_manifests(self.io, &ids, |at, own| {
            named.extend(own.iter().map(|(pack, _)| *pack));
            let (own, is_complete) = self.resolved(backups[at], own)?;
            if !is_complete {
                self.refuse_if_readable(ids[at])?;
            }
            all.union(&own);
            Ok(())
        })?;
        Ok((all, named))
    }

    /// The references of a backup, with moves resolved.
    pub(super) fn of_backup(&self, backup: &Backup) -> Result<References> {
        self.io.check_cancelled()?;
        let own = self.io.read_references(backup.id)?;
        self.resolved(backup, own).map(|(own, _)| own)
    }

    /// The references that the manifest of a backup names, with moves resolved, and whether that found all data in the index.
    fn resolved(&self, backup: &Backup, mut own: References) -> Result<(References, bool)> {
        if self.resolver.resolve(&mut own) {
            return Ok((own, true));
        }
        let (references, is_complete) = by_tree(self.reader()?, backup)?;
        // After a repair the data is elsewhere: then only the way to find it is longer.
        if !is_complete {
            self.io.warn(&Warning::PacksMissing { backup: backup.id });
        }
        Ok((references, false))
    }

    /// Whether all data of a backup can be found: by the references of its manifest and the moves or, if they were lost, by its tree.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if neither leads to the whole tree.
    pub(super) fn has_all_data(&self, backup: &Backup, mut own: References) -> Result<bool> {
        Ok(self.resolver.resolve(&mut own) || by_tree(self.reader()?, backup)?.1)
    }

    /// Refuses if some data of a backup can be read, is nowhere else, and counts as unused: see [`needed`](super::needed).
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if there is such data.
    pub(super) fn refuse_if_readable(&self, id: BackupId) -> Result<()> {
        refuse_if_readable(self.io, self.reader()?.index(), &self.resolver, id)
    }

    fn reader(&self) -> Result<&Arc<ChunkReader>> {
        if self.reader.get().is_none()
            && let Some(state) = self.state
        {
            let index = Index::read(self.io, state)?;
            // Another writer replaced and deleted a segment since the pack tables were read.
            if let Some((id, reason)) = index.damaged.first() {
                let key = Layout::segment(*id);
                return Err(Error::damaged(format!("{key}: {reason}")));
            }
            let _ = self
                .reader
                .set(Arc::new(ChunkReader::new(self.io, Arc::new(index))));
        }
        let reader = self.reader.get();
        reader.ok_or_else(|| Error::internal("there is no index to find references with"))
    }
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
