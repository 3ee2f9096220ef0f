//! Walks over the entries of a snapshot.
//!
//! [`WalkOptions`] select entries, [`walk`] and [`children`] send them. Invariant: entries come in path order, and tree nodes below the
//! depth limit are not read.

use super::super::feed::FeedSender;
use super::super::pattern::PathPattern;
use super::super::view::{BackupView, no_such_path};
use crate::error::Result;
use crate::model::{Entry, EntryPath};

/// The entries that [`Snapshot::walk`](super::Snapshot::walk) yields. The default is all entries.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WalkOptions {
    /// Maximum depth below the start: 0 is only the entry at the start, 1 also the entries directly in it. `None` means no limit.
    pub max_depth: Option<usize>,
    glob: Option<PathPattern>,
}

impl WalkOptions {
    /// Sets the maximum depth below the start.
    #[must_use]
    pub const fn with_max_depth(mut self, depth: Option<usize>) -> Self {
        self.max_depth = depth;
        self
    }

    /// Yields only entries that a pattern matches: `*.rs` matches names in every folder, `src/*.rs` and `**/test/*` match paths
    /// relative to the start. The walk also enters folders that the pattern does not match.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the pattern is invalid.
    pub fn with_glob(mut self, pattern: &str) -> Result<Self> {
        self.glob = Some(PathPattern::parse(pattern, false)?);
        Ok(self)
    }

    /// Whether an entry at or below the start is yielded.
    fn takes(&self, start: &EntryPath, entry: &Entry) -> bool {
        let path = below(start, &entry.path);
        self.glob.as_ref().is_none_or(|glob| glob.matches(path))
    }
}

/// The part of a path after a folder that it is within.
fn below<'a>(folder: &EntryPath, path: &'a EntryPath) -> &'a [u8] {
    let rest = path.as_bytes().get(folder.as_bytes().len()..);
    let rest = rest.unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Sends the entries of a walk.
pub(super) fn walk(
    view: &BackupView,
    start: &EntryPath,
    options: &WalkOptions,
    out: &mut FeedSender<Entry>,
) -> Result<()> {
    let parts = start.parts().count();
    let depth = options.max_depth.map(|depth| parts.saturating_add(depth));
    let entries = view.entries(vec![start.clone()]);
    let mut is_there = false;
    for entry in entries.down_to(depth.unwrap_or(usize::MAX)) {
        let entry = entry.map_err(|gap| gap.error)?;
        if !entry.path.is_within(start) {
            continue;
        }
        is_there = true;
        if options.takes(start, &entry) && !out.put(entry) {
            return Ok(());
        }
    }
    // A path without an entry is valid too, if entries below it are deeper than the walk goes.
    if is_there || start.is_root() || view.has(start).map_err(|gap| gap.error)? {
        return Ok(());
    }
    Err(no_such_path(&view.backup, start))
}

/// Sends the entries directly in a folder.
pub(super) fn children(
    view: &BackupView,
    folder: &EntryPath,
    out: &mut FeedSender<Entry>,
) -> Result<()> {
    let parts = folder.parts().count() + 1;
    let mut is_there = false;
    for entry in view.entries(vec![folder.clone()]).down_to(parts) {
        let entry = entry.map_err(|gap| gap.error)?;
        if !entry.path.is_within(folder) {
            continue;
        }
        is_there = true;
        if entry.path.parts().count() == parts && !out.put(entry) {
            return Ok(());
        }
    }
    if is_there || folder.is_root() || view.has(folder).map_err(|gap| gap.error)? {
        return Ok(());
    }
    Err(no_such_path(&view.backup, folder))
}
