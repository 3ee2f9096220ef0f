//! What comes after all files: hard links, deletions, the metadata of folders.

use std::path::{Path, PathBuf};

use super::Planner;
use crate::engine::restore::Overwrite;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Backup, EntryPath};
use crate::progress::Event;
use crate::target::Cursor;

impl Planner<'_> {
    /// Makes the further names of files that have several.
    pub(in crate::engine::restore) fn link_hard_links(&mut self, cursor: &mut Cursor) {
        for (first, entry) in std::mem::take(&mut self.links) {
            if self.shared.has_failed(&first) {
                let reason = format!("it is a hard link of {first}, which could not be restored");
                self.shared.failed(&entry.path, reason, false);
                continue;
            }
            let inode = |path, cursor: &mut Cursor| match cursor.inspect(path) {
                Ok(Some(existing)) => Some(existing.inode),
                _ => None,
            };
            let there = inode(&entry.path, cursor);
            let stays = self.options.overwrite == Overwrite::Never
                || (self.options.overwrite == Overwrite::IfChanged
                    && there == inode(&first, cursor));
            if there.is_some() && stays {
                self.shared.update(|report| report.files_unchanged += 1);
            } else {
                let linked = cursor.hard_link(&first, &entry.path).map(|()| Vec::new());
                self.shared.wrote(&entry, linked);
            }
            self.shared.advance(entry.size(), 1);
        }
    }

    /// Deletes what is in restored folders and not in the backup.
    pub(in crate::engine::restore) fn delete_surplus(
        &mut self,
        cursor: &mut Cursor,
        backup: &Backup,
        target: &Path,
    ) -> Result<()> {
        let Some(surplus) = self.surplus.take() else {
            return Ok(());
        };
        let warn = |message: &str| {
            self.shared
                .io
                .context
                .progress
                .event(Event::Warning { message });
        };
        if self.gaps > 0 {
            warn("nothing was deleted, as part of the backup cannot be listed");
            return Ok(());
        }
        // The catalog only counts what could not be read.
        let (backup, _) = self.shared.io.read_manifest(backup.id)?;
        if backup.unread_count > backup.unread.len() as u64 {
            warn("nothing was deleted, as the backup could not read too much of its source");
            return Ok(());
        }
        let protected: Vec<_> = self
            .options
            .protected
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        let mut deleted = Vec::new();
        for path in surplus.finish(cursor, &backup, &self.options.paths) {
            self.shared.io.check_cancelled()?;
            let place = target.join(crate::platform::os_path(path.as_bytes()));
            let holds = |kept: &PathBuf| kept.starts_with(&place) || place.starts_with(kept);
            if protected.iter().any(holds) {
                warn(&format!(
                    "{path} was not deleted: br keeps its own data there"
                ));
                continue;
            }
            if !self.options.dry_run
                && let Err(error) = cursor.remove_tree(&path)
            {
                self.shared.target_failed(&path, &error);
                continue;
            }
            deleted.push(path);
        }
        self.shared.update(|report| report.deleted = deleted);
        Ok(())
    }

    /// Sets the metadata of folders, children before parents.
    pub(in crate::engine::restore) fn finish_folders(&mut self, cursor: &mut Cursor) {
        for entry in std::mem::take(&mut self.folders).iter().rev() {
            match cursor.set_metadata(entry, &self.shared.metadata) {
                Ok(warnings) => self.shared.warn(&warnings),
                Err(error) => self.shared.target_failed(&entry.path, &error),
            }
        }
    }

    /// A path that was asked for and is not in the backup is an error: nobody should think it was restored.
    pub(in crate::engine::restore) fn check_found(&self, paths: &[EntryPath]) -> Result<()> {
        match paths.iter().find(|path| !self.found.contains(path)) {
            Some(path) if self.gaps == 0 => {
                let message = format!("the backup has no `{path}`");
                Err(Error::new(ErrorKind::PathNotFound, message))
            }
            _ => Ok(()),
        }
    }
}
