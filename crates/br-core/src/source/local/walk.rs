//! The walk over local folders.
//!
//! [`Walk`] has one [`Level`] per folder and examines each name once. Invariant: at most [`MAX_OPEN`] levels keep their folder open; the
//! walk opens the others again when it returns to them, and checks their inodes.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::vec;

use super::active_excludes::ActiveExcludes;
use super::control_files::{CACHE_TAG, is_cache, read_ignore_file};
use super::named::{NamedPaths, Naming};
use super::names::{Names, last_part};
use super::not_kept::NotKept;
use super::roots::{Missing, Plan, Stop, Way};
use super::unix::{Describer, Folder, Links, ListBuffer, LocalDetails, Look, Me, folder_id};
use super::{LocalSourceOptions, SourceError};
use crate::model::{EntryPath, escape};
use crate::source::exclude::{BadLine, IgnoreFile};
use crate::source::{Details, Exclusion, SourceItem};
use crate::warning::Warning;

/// Maximum number of levels that keep their folder open.
const MAX_OPEN: usize = 128;

/// Maximum number of bad lines that are reported per ignore file.
const MAX_BAD_LINES: usize = 10;

/// A walk over all stops.
pub(super) struct Walk {
    options: LocalSourceOptions,
    excludes: ActiveExcludes,
    devices: Vec<u64>,
    /// Device and inode of excluded folders.
    skipped: Vec<(u64, u64)>,
    stops: vec::IntoIter<Stop>,
    named: NamedPaths,
    missing: vec::IntoIter<Missing>,
    /// Items to yield before the walk continues.
    queued: VecDeque<SourceItem>,
    has_ended: bool,
    way: Way,
    levels: Vec<Level>,
    /// The folder that was yielded last and is entered next.
    pending: Option<Pending>,
    /// The path that was examined last. It starts with the path of the deepest level.
    path: Vec<u8>,
    describer: Describer,
    /// Metadata found so far that a backup does not keep.
    not_kept: NotKept,
    buffer: ListBuffer,
    me: Me,
}

/// A folder with names that are not examined yet.
struct Level {
    /// `None` when it was closed because too many were open.
    folder: Option<Folder>,
    id: (u64, u64),
    names: Names,
    path_len: usize,
    ignore: Option<IgnoreFile>,
    /// The folder is excluded, except for the typed paths in it.
    only_named: bool,
}

struct Pending {
    parent: Folder,
    links: Links,
    id: (u64, u64),
    is_own: bool,
    /// As in [`Level`].
    only_named: bool,
}

impl Walk {
    pub(super) fn new(plan: Plan, options: LocalSourceOptions) -> Result<Self, SourceError> {
        let skipped = options.skipped_folders.iter();
        Ok(Self {
            skipped: skipped.filter_map(|path| folder_id(path)).collect(),
            excludes: ActiveExcludes::new(&plan.stops, &options)?,
            options,
            devices: plan.devices,
            stops: plan.stops.into_iter(),
            named: plan.named,
            missing: plan.missing.into_iter(),
            queued: VecDeque::new(),
            has_ended: false,
            way: Way::default(),
            levels: Vec::new(),
            pending: None,
            path: Vec::new(),
            describer: Describer::default(),
            not_kept: NotKept::default(),
            buffer: ListBuffer::default(),
            me: Me::get(),
        })
    }

    /// Returns the next item.
    pub(super) fn next(&mut self) -> Option<SourceItem> {
        loop {
            if let Some(Missing { path, error }) = self.missing.next() {
                return Some(SourceItem::Unreadable { path, error });
            }
            if let Some(pending) = self.pending.take()
                && let Err(error) = self.enter(&pending)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Some(self.unreadable(error));
            }
            if let Some(item) = self.queued.pop_front() {
                return Some(item);
            }
            let item = if !self.levels.is_empty() {
                self.step()
            } else if let Some(stop) = self.stops.next() {
                Some(self.begin(&stop))
            } else if self.has_ended {
                return None;
            } else {
                self.has_ended = true;
                let notes = self.options.excludes.notes(&self.excludes.used);
                let notes = notes.into_iter().chain(self.not_kept.summary());
                self.queued.extend(notes.map(SourceItem::Note));
                None
            };
            if item.is_some() {
                return item;
            }
        }
    }

    /// Yields a stop. A missing stop is an error, unlike a missing entry below one.
    fn begin(&mut self, stop: &Stop) -> SourceItem {
        self.path.clear();
        self.path.extend_from_slice(stop.path.as_bytes());
        self.excludes.anchor = stop.base.anchor();
        let found = self
            .way
            .to(&stop.base, &stop.path)
            .and_then(|(folder, name)| {
                let look = folder.look(name, Links::Follow)?;
                let entry = self
                    .describer
                    .describe(&folder, name, stop.path.clone(), &look)?;
                Ok((folder, look, entry))
            });
        let unreadable = |error| SourceItem::Unreadable {
            path: stop.path.clone(),
            error,
        };
        let (folder, look, entry) = match found {
            Ok(found) => found,
            Err(error) => return unreadable(error),
        };
        if stop.walked && self.skipped.contains(&look.id()) {
            return unreadable(io::Error::other("br keeps its own data there"));
        }
        if stop.walked {
            self.not_kept.note(&stop.path, &look);
            if look.is_folder() {
                self.pending = Some(self.pending(&folder, &look, Links::Follow));
            }
        }
        SourceItem::Entry {
            entry,
            details: Box::new(LocalDetails::new(folder, Links::Follow)),
        }
    }

    /// Examines the next name of the deepest level. `None` when it yields no item.
    fn step(&mut self) -> Option<SourceItem> {
        let folder = match self.deepest() {
            Ok(folder) => folder,
            Err(error) => {
                self.leave();
                return Some(self.unreadable(error));
            }
        };
        let level = self.levels.last_mut()?;
        let Some(name) = level.names.next() else {
            self.leave();
            return None;
        };
        self.path.truncate(level.path_len);
        if level.path_len > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let look = match folder.look(name, Links::Keep) {
            Ok(look) => look,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(self.unreadable(error)),
        };
        if look.is_folder() && self.skipped.contains(&look.id()) {
            return self.left_out(Exclusion::OwnFolder);
        }
        let naming = self.named.of(&self.path);
        let is_excluded = is_left_out(&self.excludes, &self.levels, &self.path, look.is_folder());
        if is_excluded {
            let item = self.left_out_by_pattern(look.is_folder());
            match naming {
                Naming::None => return item,
                Naming::Leads => self.queued.extend(item),
                Naming::Named => {}
            }
        }
        let limit = self.options.exclude_larger_than;
        let is_too_large = look.is_file() && limit.is_some_and(|limit| look.size() > limit);
        if is_too_large && naming == Naming::None {
            return self.left_out(Exclusion::TooLarge { size: look.size() });
        }
        let path = match EntryPath::new(self.path.as_slice()) {
            Ok(path) => path,
            Err(error) => return Some(self.unreadable(io::Error::other(error))),
        };
        // Take the name from the path, because the level's names cannot stay borrowed.
        let name = &self.path[self.path.len() - path.name().len()..];
        let entry = match self.describer.describe(&folder, name, path, &look) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(self.unreadable(error)),
        };
        self.not_kept.note(&entry.path, &look);
        if look.is_folder() && self.may_enter(&look) {
            let only_named = is_excluded || self.levels.last().is_some_and(|l| l.only_named);
            self.pending = Some(Pending {
                only_named: only_named && naming == Naming::Leads,
                ..self.pending(&folder, &look, Links::Keep)
            });
        } else if look.is_folder() {
            let item = self.left_out(Exclusion::OtherFileSystem);
            self.queued.extend(item);
        }
        let details: Box<dyn Details> = Box::new(LocalDetails::new(folder, Links::Keep));
        Some(SourceItem::Entry { entry, details })
    }

    /// The item for an excluded entry, if the caller wants these items.
    fn left_out(&self, reason: Exclusion) -> Option<SourceItem> {
        let path = EntryPath::new(self.path.as_slice());
        let path = path.ok().filter(|_| self.options.tells_left_out)?;
        Some(SourceItem::LeftOut { path, reason })
    }

    /// The same for an entry that a pattern excludes: names the pattern and, for an ignore file, its folder.
    fn left_out_by_pattern(&self, is_folder: bool) -> Option<SourceItem> {
        if !self.options.tells_left_out {
            return None;
        }
        if let Some(number) = self.excludes.decided_by(&self.path, is_folder) {
            let pattern = self.options.excludes.shown(number).to_owned();
            return self.left_out(Exclusion::Pattern(pattern));
        }
        let levels = self.levels.iter().rev();
        let (level, line) = levels
            .filter_map(|level| {
                let relative = &self.path[level.path_len..];
                let relative = relative.strip_prefix(b"/").unwrap_or(relative);
                let line = level.ignore.as_ref()?.decided_by(relative, is_folder)?;
                Some((level, line))
            })
            .next()?;
        self.left_out(Exclusion::IgnoreFile {
            pattern: line.to_owned(),
            folder: EntryPath::new(&self.path[..level.path_len]).unwrap_or_default(),
        })
    }

    fn may_enter(&self, look: &Look) -> bool {
        !self.options.one_file_system || self.devices.contains(&look.device())
    }

    fn pending(&self, parent: &Folder, look: &Look, links: Links) -> Pending {
        Pending {
            parent: parent.clone(),
            links,
            id: look.id(),
            is_own: look.is_own(self.me),
            only_named: false,
        }
    }

    /// Opens and lists the folder at `path`.
    fn enter(&mut self, pending: &Pending) -> io::Result<()> {
        let start = self.levels.last().map_or(0, |level| level.path_len);
        let name = match self.path[start..].strip_prefix(b"/") {
            Some(name) => name,
            None if self.levels.is_empty() => last_part(&self.path),
            None => &self.path[start..],
        };
        let folder = pending.parent.open(name, pending.links, pending.is_own)?;
        let mut names = folder.list(&mut self.buffer)?;
        let mut only_named = pending.only_named;
        if let Some((marker, reason)) = self.marker(&folder, &names).filter(|_| !only_named) {
            only_named = true;
            names.retain(|name| name == marker || self.is_named(name));
            let item = self.left_out(reason);
            self.queued.extend(item);
        } else if only_named {
            names.retain(|name| self.is_named(name));
        }
        let ignore = self.read_ignore_files(&folder, &names);
        if let Some(upper) = self.levels.len().checked_sub(MAX_OPEN)
            && upper > 0
        {
            // Keep the first level open, because the others are opened from there.
            self.levels[upper].folder = None;
        }
        let path_len = self.path.len();
        self.levels.push(Level {
            folder: Some(folder),
            id: pending.id,
            names,
            path_len,
            ignore,
            only_named,
        });
        Ok(())
    }

    /// The name that excludes the other contents of a folder, if it has one.
    fn marker(&self, folder: &Folder, names: &Names) -> Option<(Vec<u8>, Exclusion)> {
        if self.options.exclude_caches && is_cache(folder, names) {
            return Some((CACHE_TAG.to_vec(), Exclusion::Cache));
        }
        let mut markers = self.options.exclude_if_present.iter();
        let marker = markers.find(|name| names.contains(name.as_encoded_bytes()))?;
        let marker = marker.as_encoded_bytes();
        Some((marker.to_vec(), Exclusion::Marked(escape(marker))))
    }

    /// True when a name in the folder at `path` is a typed path or leads to one.
    fn is_named(&self, name: &[u8]) -> bool {
        let mut path = self.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        self.named.of(&path) != Naming::None
    }

    /// Reads the ignore files of the folder at `path`. Reports files and lines that cannot be used; a file is never used in part because
    /// of its length.
    fn read_ignore_files(&mut self, folder: &Folder, names: &Names) -> Option<IgnoreFile> {
        let mut contents = Vec::new();
        let mut shown = Vec::new();
        for name in &self.options.ignore_files {
            let name = name.as_bytes();
            if !names.contains(name) {
                continue;
            }
            let mut path = self.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let path = EntryPath::new(path).unwrap_or_default();
            match read_ignore_file(folder, name) {
                Ok(Some(content)) => {
                    contents.push(content);
                    shown.push(path);
                }
                Ok(None) => {
                    let warning = Warning::IgnoreFileNotRegular { path };
                    self.queued.push_back(SourceItem::Warning(warning));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("its patterns are not used: {error}");
                    let error = io::Error::new(error.kind(), text);
                    self.queued
                        .push_back(SourceItem::Unreadable { path, error });
                }
            }
        }
        if contents.is_empty() {
            return None;
        }
        let (file, bad) = IgnoreFile::parse(&contents);
        for (path, bad) in shown.iter().zip(&bad) {
            self.warn_of_bad_lines(path, bad);
        }
        Some(file)
    }

    fn warn_of_bad_lines(&mut self, path: &EntryPath, bad: &[BadLine]) {
        let lines = bad.iter().take(MAX_BAD_LINES).map(|bad| {
            SourceItem::Warning(Warning::IgnoreLine {
                path: path.clone(),
                line: bad.number as u64,
                error: bad.error.clone(),
            })
        });
        self.queued.extend(lines);
        if bad.len() > MAX_BAD_LINES {
            let more = (bad.len() - MAX_BAD_LINES) as u64;
            let path = path.clone();
            let warning = Warning::IgnoreLines { path, more };
            self.queued.push_back(SourceItem::Warning(warning));
        }
    }

    /// Returns to the parent level and shortens the path.
    fn leave(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.path.truncate(level.path_len);
        }
    }

    /// The folder of the deepest level, opened again if it was closed.
    fn deepest(&mut self) -> io::Result<Folder> {
        match self.levels.last() {
            Some(Level {
                folder: Some(folder),
                ..
            }) => Ok(folder.clone()),
            _ => self.reopen(),
        }
    }

    /// Opens the closed levels again, and keeps the deepest of them open for the way back.
    fn reopen(&mut self) -> io::Result<Folder> {
        let moved = || io::Error::other("was moved while it was read");
        let mut folder = self
            .levels
            .first()
            .and_then(|l| l.folder.clone())
            .ok_or_else(moved)?;
        let keep_from = self.levels.len().saturating_sub(MAX_OPEN / 2);
        let mut start = self.levels.first().map_or(0, |level| level.path_len);
        for (depth, level) in self.levels.iter_mut().enumerate().skip(1) {
            let part = &self.path[start..level.path_len];
            folder = folder.open(part.strip_prefix(b"/").unwrap_or(part), Links::Keep, false)?;
            if folder.id()? != level.id {
                return Err(moved());
            }
            if depth >= keep_from {
                level.folder = Some(folder.clone());
            }
            start = level.path_len;
        }
        Ok(folder)
    }

    /// An item for the path that was examined last, or for its folder if the path is invalid.
    fn unreadable(&self, error: io::Error) -> SourceItem {
        let path = EntryPath::new(self.path.as_slice()).or_else(|_| {
            let folder_len = self.levels.last().map_or(0, |level| level.path_len);
            EntryPath::new(&self.path[..folder_len])
        });
        SourceItem::Unreadable {
            path: path.unwrap_or_default(),
            error,
        }
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// True when a pattern excludes a path: those for the whole backup first, then ignore files from the deepest up.
fn is_left_out(excludes: &ActiveExcludes, levels: &[Level], path: &[u8], is_folder: bool) -> bool {
    if let Some(verdict) = excludes.verdict(path, is_folder) {
        return verdict;
    }
    let files = levels
        .iter()
        .rev()
        .filter_map(|level| Some((level, level.ignore.as_ref()?)));
    let mut verdicts = files.filter_map(|(level, file)| {
        let relative = &path[level.path_len..];
        file.verdict(relative.strip_prefix(b"/").unwrap_or(relative), is_folder)
    });
    verdicts.next().unwrap_or(false)
}
