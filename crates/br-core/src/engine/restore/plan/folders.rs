//! Folders: created when their entry is reached; their metadata is set at the end.

use super::Planner;
use super::judge::{Ground, metadata_differs};
use crate::model::{Entry, EntryPath};
use crate::progress::Action;
use crate::target::TargetError;

impl Planner<'_> {
    pub(super) fn plan_folder(&mut self, entry: Entry, leads: bool) {
        self.leave_folders(&entry.path);
        if entry.path.is_root() {
            self.shared.advance(0, 1);
            self.open.push(EntryPath::root());
            if !leads {
                if !self.scope.places().are_unchanged() {
                    // The target is new, and takes the place of a folder that may be private.
                    self.set_at_once(&entry);
                }
                self.folders.push(entry);
            }
            return;
        }
        let ground = self.judge_folder(&entry.path, leads);
        let is_new = matches!(ground, Ground::Missing | Ground::Other);
        let action = self.folder_action(&entry, &ground, leads);
        if !self.take_ground(&entry.path, ground) {
            return;
        }
        self.tell(&entry.path, action);
        self.shared.advance(0, 1);
        self.open.push(entry.path.clone());
        if leads && is_new {
            self.set_at_once(&entry);
        }
        // An existing folder that only leads to restored entries keeps its metadata.
        if is_new || !leads {
            self.folders.push(entry);
        }
    }

    fn folder_action(&mut self, entry: &Entry, ground: &Ground, leads: bool) -> Action {
        match ground {
            Ground::Missing => Action::Create,
            Ground::Other => Action::Replace,
            _ if leads => Action::Keep,
            _ => match self.look(&entry.path) {
                Ok(Some(there))
                    if !metadata_differs(entry, &there, self.options)
                        && !self.attributes_differ(entry) =>
                {
                    Action::Unchanged
                }
                _ => Action::Correct,
            },
        }
    }

    /// Creates the parent folder of an entry when the backup has no entry for it: a stream may be stored as `db/dump.sql`.
    pub(super) fn ensure_parent(&mut self, path: &EntryPath) {
        self.leave_folders(path);
        let parent = path.parent().unwrap_or_default();
        let open = self.open.last().map_or(0, |open| open.as_bytes().len());
        if parent.len() == open {
            return;
        }
        let ends = (open + 1..=parent.len())
            .filter(|end| *end == parent.len() || parent[*end] == b'/')
            .collect::<Vec<_>>();
        for end in ends {
            let Ok(folder) = EntryPath::new(&parent[..end]) else {
                return;
            };
            let ground = self.judge_folder(&folder, true);
            if !self.take_ground(&folder, ground) {
                return;
            }
            self.open.push(folder);
        }
    }

    /// Closes the folders that do not contain `path`.
    fn leave_folders(&mut self, path: &EntryPath) {
        let is_left = |folder: &EntryPath| !path.is_within(folder);
        while self.open.last().is_some_and(is_left) {
            self.open.pop();
        }
    }

    /// Creates a folder, except in a dry run or when it exists. Returns false when the folder cannot be used.
    fn take_ground(&mut self, path: &EntryPath, ground: Ground) -> bool {
        let cursor = self.cursor.as_mut().filter(|_| !self.options.dry_run);
        let fresh = self.fresh.as_ref();
        let is_below_fresh = fresh.is_some_and(|fresh| path.is_within(fresh));
        let made: Result<(), TargetError> = match (ground, cursor) {
            (Ground::Refuse(reason), _) => {
                self.shared.failed(path, reason, false);
                self.blocked = Some(path.clone());
                return false;
            }
            (Ground::ClosedFolder(mode), None) if hides(mode, self.options.delete) => {
                let reason =
                    "its owner has no permission to read it: a dry run cannot see its contents";
                self.shared.failed(path, reason.to_owned(), false);
                self.unseen = Some(path.clone());
                return false;
            }
            (Ground::Folder, _) | (Ground::ClosedFolder(_), None) => Ok(()),
            (Ground::ClosedFolder(mode), Some(cursor)) => cursor.open_up(path, mode),
            (Ground::Missing | Ground::Other, cursor) => {
                if !is_below_fresh {
                    self.fresh = Some(path.clone());
                }
                cursor.map_or(Ok(()), |cursor| {
                    if !cursor.make_dir(path)? {
                        // Another process created it first.
                        self.fresh = None;
                    }
                    Ok(())
                })
            }
        };
        if let Err(error) = made {
            self.shared.target_failed(path, &error);
            self.blocked = Some(path.clone());
            return false;
        }
        true
    }

    /// Gives the owner of the target folder full access until the folder's metadata is set.
    pub(super) fn open_target_folder(&mut self) {
        if let Ground::ClosedFolder(mode) = self.judge_folder(&EntryPath::root(), false) {
            self.take_ground(&EntryPath::root(), Ground::ClosedFolder(mode));
        }
    }

    /// Sets the metadata of a new folder before its entries are restored. If this restore is killed, a later one finds the folder as
    /// an existing one and keeps its metadata, so it must not keep its private initial mode.
    fn set_at_once(&mut self, entry: &Entry) {
        if let Some(cursor) = self.cursor.as_mut().filter(|_| !self.options.dry_run) {
            let usable = Entry {
                mode: entry.mode | 0o700,
                ..entry.clone()
            };
            // Ignore errors: they are reported when the metadata is set at the end.
            cursor.set_metadata(&usable, &self.shared.metadata).ok();
        }
    }
}

/// True when a folder with these permissions keeps its owner from seeing entries that a restore must examine.
fn hides(mode: u32, deletes: bool) -> bool {
    mode & 0o100 == 0 || (deletes && mode & 0o400 == 0)
}
