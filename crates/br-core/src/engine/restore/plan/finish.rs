//! The last steps of a restore: deletions, and the metadata of folders.

use super::Planner;
use crate::error::{Result, in_one_line};
use crate::model::{Backup, EntryPath};
use crate::progress::Action;
use crate::target::Cursor;
use crate::warning::Warning;

impl Planner<'_> {
    /// Deletes a folder that is in the way of another kind of entry.
    pub(super) fn clear(&mut self, path: &EntryPath) -> Result<(), String> {
        if let Some(cursor) = self.cursor.as_mut().filter(|_| !self.options.dry_run) {
            cursor
                .remove_tree(path)
                .map_err(|error| in_one_line(&error))?;
        }
        self.cleared.push(path.clone());
        Ok(())
    }

    /// Deletes entries that restored folders contain and the backup does not.
    pub(in crate::engine::restore) fn delete_surplus(&mut self, backup: &Backup) -> Result<()> {
        let mut deleted = std::mem::take(&mut self.cleared);
        let result = self.delete_found(backup, &mut deleted);
        self.shared.update(|report| report.deleted = deleted);
        result
    }

    fn delete_found(&mut self, backup: &Backup, deleted: &mut Vec<EntryPath>) -> Result<()> {
        let (Some(surplus), Some(target)) = (self.surplus.take(), self.target) else {
            return Ok(());
        };
        if self.gaps > 0 {
            self.shared.io.warn(&Warning::NothingDeletedUnlisted);
            return Ok(());
        }
        // Read the manifest: the backup list only has the number of unread entries, not their paths.
        let (backup, _) = self.shared.io.read_manifest(backup.id)?;
        if backup.unread_count > backup.unread.len() as u64 {
            let unread = backup.unread_count;
            let warning = Warning::NothingDeletedUnread { unread };
            self.shared.io.warn(&warning);
            return Ok(());
        }
        let mut cursor = target.cursor();
        let surplus = surplus.finish(&mut cursor, &backup, self.scope);
        for (folder, error) in &surplus.unlisted {
            // A folder that could not be created or entered was already reported.
            if !self.is_unseen(folder) && self.shared.failure(folder).is_none() {
                self.shared.target_failed(folder, error);
            }
        }
        for path in surplus.mounted {
            self.shared.io.warn(&Warning::MountPointKept { path });
        }
        for path in surplus.found {
            self.shared.io.check_cancelled()?;
            if self.scope.must_stay(target.real_path(&path)) {
                self.shared.io.warn(&Warning::OwnDataKept { path });
                continue;
            }
            if !self.options.dry_run
                && let Err(error) = cursor.remove_tree(&path)
            {
                self.shared.target_failed(&path, &error);
                continue;
            }
            self.tell(&path, Action::Remove);
            deleted.push(path);
        }
        Ok(())
    }

    /// Sets the metadata of folders, children before parents.
    pub(in crate::engine::restore) fn finish_folders(&mut self, cursor: &mut Cursor) {
        for entry in std::mem::take(&mut self.folders).iter().rev() {
            match cursor.set_metadata(entry, &self.shared.metadata) {
                Ok(warnings) => {
                    self.shared.warn(warnings);
                    self.shared.note_left_out(entry);
                }
                Err(error) => self.shared.target_failed(&entry.path, &error),
            }
        }
    }
}
