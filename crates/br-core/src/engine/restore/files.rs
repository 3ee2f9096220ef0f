//! State of files during their restore.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::report::Shared;
use crate::model::{Content, Entry, EntryKind, Extent, FileContent};
use crate::target::{Cursor, SharedFile, TargetError};

/// A file with chunks that is being restored.
pub(super) struct FileJob {
    pub(super) entry: Entry,
    /// Data extents, each with the position of its first byte in the content.
    extents: Vec<(u64, Extent)>,
    /// Number of chunks that are not written yet.
    left: AtomicU64,
    failed: AtomicBool,
    file: Mutex<Option<Arc<SharedFile>>>,
}

impl FileJob {
    pub(super) fn new(entry: Entry) -> Self {
        let (mut extents, mut left) = (Vec::new(), 0);
        if let EntryKind::File(file) = &entry.kind {
            let mut position = 0;
            for extent in file.data_extents() {
                extents.push((position, extent));
                position += extent.len;
            }
            if let Content::Chunks(chunks) = &file.content {
                left = chunks.len() as u64;
            }
        }
        Self {
            entry,
            extents,
            left: AtomicU64::new(left),
            failed: AtomicBool::new(false),
            file: Mutex::new(None),
        }
    }

    fn content(&self) -> Option<&FileContent> {
        if let EntryKind::File(file) = &self.entry.kind {
            Some(file)
        } else {
            None
        }
    }

    /// True when the whole file is one chunk without holes.
    pub(super) fn is_single(&self) -> bool {
        self.content().is_some_and(|file| {
            file.holes.is_empty()
                && matches!(&file.content, Content::Chunks(chunks) if chunks.len() == 1)
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Writes a chunk that starts at `position` of the content.
    pub(super) fn write(&self, shared: &Shared, cursor: &mut Cursor, position: u64, bytes: &[u8]) {
        let result = self
            .open(cursor)
            .and_then(|file| self.write_at(&file, position, bytes));
        match result {
            Ok(()) => self.chunk_done(shared),
            Err(error) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    shared.target_failed(&self.entry.path, &error);
                }
                self.chunk_done(shared);
            }
        }
    }

    /// Records that a chunk cannot be read.
    pub(super) fn fail(&self, shared: &Shared, reason: String, damaged: bool) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            shared.failed(&self.entry.path, reason, damaged);
        }
        self.chunk_done(shared);
    }

    fn open(&self, cursor: &mut Cursor) -> Result<Arc<SharedFile>, TargetError> {
        let mut slot = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(cursor.create_shared(&self.entry.path)?);
        *slot = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Writes bytes of the content to the extents between the holes.
    fn write_at(
        &self,
        file: &SharedFile,
        mut position: u64,
        mut bytes: &[u8],
    ) -> Result<(), TargetError> {
        let mut at = self
            .extents
            .partition_point(|(start, _)| *start <= position)
            - 1;
        while let Some((start, extent)) = self.extents.get(at).filter(|_| !bytes.is_empty()) {
            let inside = position - start;
            let len = (extent.len - inside).min(bytes.len() as u64);
            let (now, later) = bytes.split_at(len as usize);
            file.write_at(extent.offset + inside, now)?;
            position += len;
            bytes = later;
            at += 1;
        }
        Ok(())
    }

    /// Counts a finished chunk; the last one finishes the file.
    fn chunk_done(&self, shared: &Shared) {
        if self.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut slot = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Dropping an unfinished file removes it.
        let Some(file) = slot.take().filter(|_| !self.has_failed()) else {
            return;
        };
        let size = self.entry.size();
        let ends_in_hole = self.content().and_then(|file| file.holes.last());
        let ends_in_hole = ends_in_hole.is_some_and(|hole| hole.offset + hole.len == size);
        let finished = if ends_in_hole {
            file.set_len(size)
                .and_then(|()| file.finish(&self.entry, &shared.metadata))
        } else {
            file.finish(&self.entry, &shared.metadata)
        };
        shared.wrote(&self.entry, finished);
    }
}
