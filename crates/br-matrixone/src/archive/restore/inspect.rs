//! The existing files in a target.
//!
//! [`inspect`] lets a restore start in an empty target, or continue in the target of the same restore. Invariant: if it refuses, nothing
//! was changed.

use br_storage::{ErrorKind as StorageErrorKind, FileInfo, Folder};

use super::super::error::{Error, ErrorKind, Result};
use super::super::files;
use super::super::path::join;
use super::plan::RestorePlan;

/// The marker file of a target that is not complete.
pub(super) const MARK: &str = ".br-restore";
/// The name of `hk_data` in a target.
pub(super) const HK_NAME: &str = "hk_data";
/// Most obstructing files that an error names.
const NAMED: usize = 5;

/// The files from an earlier run of the same restore.
#[derive(Debug)]
pub(super) struct Left {
    /// The sizes of the existing files of the plan, in the plan's order.
    pub(super) sizes: Vec<Option<u64>>,
    /// True if `hk_data` exists.
    pub(super) has_hk_data: bool,
    /// Incomplete files.
    pub(super) temporary: Vec<String>,
    /// True if the marker exists.
    pub(super) is_marked: bool,
}

/// Inspects the target.
pub(super) fn inspect(plan: &RestorePlan<'_>) -> Result<Left> {
    let target = &plan.target;
    let mut in_the_way = Vec::new();
    let mut left = Left {
        sizes: vec![None; plan.resolution.files.len()],
        has_hk_data: false,
        temporary: Vec::new(),
        is_marked: false,
    };
    let mark = read_mark(&target.shared.folder)?;
    left.is_marked = mark.is_some();
    if mark.is_some_and(|mark| mark != plan.mark().as_bytes()) {
        let text = format!(
            "the restore of another backup into {} was interrupted: empty it first",
            target.shared.folder
        );
        return Err(Error::new(ErrorKind::Exists, text));
    }
    files::list(&target.shared.folder, "", &mut |entry| {
        if !left.takes(plan, &entry) && in_the_way.len() < NAMED {
            in_the_way.push(target.shared.label_of(&entry.path));
        }
        Ok(())
    })?;
    look_at_local(plan, &mut left, &mut in_the_way)?;
    if let Some((data, names)) = &target.data {
        let children = files::contents(data, "", 10_000)?;
        let files = children.files.iter().map(|file| &file.path);
        let others = children
            .folders
            .iter()
            .chain(files)
            .filter(|name| !names.contains(name));
        in_the_way.extend(others.map(|name| join("mo-data", name)));
    }
    let is_begun = left.has_hk_data || left.sizes.iter().any(Option::is_some);
    if is_begun && !left.is_marked && in_the_way.is_empty() {
        let first = left.sizes.iter().position(Option::is_some);
        let first = first.map(|at| plan.resolution.files[at].row.path.as_ref());
        in_the_way.push(match first {
            Some(path) => target.shared.label_of(path),
            None => target.local.label_of(HK_NAME),
        });
    }
    if in_the_way.is_empty() {
        Ok(left)
    } else {
        in_the_way.truncate(NAMED);
        let names = in_the_way.join(", ");
        let text = format!(
            "the target is not empty: it has {}; stop MatrixOne and move its data away first",
            names.escape_debug()
        );
        Err(Error::new(ErrorKind::Exists, text))
    }
}

/// Reads the marker of a target; `None` if there is none.
fn read_mark(folder: &Folder) -> Result<Option<Vec<u8>>> {
    match folder.read(MARK, 4096) {
        Ok(mark) => Ok(Some(mark)),
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
        // The markers of br are shorter, so this is not the marker of this restore.
        Err(error) if error.kind() == StorageErrorKind::TooLarge => Ok(Some(Vec::new())),
        Err(error) => Err(Error::of(MARK)(error)),
    }
}

/// Inspects the folder of `hk_data`. In an object storage that is the whole prefix, in which only that name matters.
fn look_at_local(
    plan: &RestorePlan<'_>,
    left: &mut Left,
    in_the_way: &mut Vec<String>,
) -> Result<()> {
    let local = &plan.target.local;
    if !local.folder.is_local() {
        left.has_hk_data = match local.folder.size(HK_NAME) {
            Ok(_) => true,
            Err(error) if error.kind() == StorageErrorKind::NotFound => false,
            Err(error) => return Err(Error::of(HK_NAME)(error)),
        };
        return Ok(());
    }
    if local.label == plan.target.shared.label {
        return Err(Error::invalid("SHARED and LOCAL have the same folder"));
    }
    files::list(&local.folder, "", &mut |entry| {
        match entry.path.as_str() {
            HK_NAME if entry.is_regular => left.has_hk_data = true,
            path if Folder::is_unfinished(path) => {}
            path if in_the_way.len() < NAMED => in_the_way.push(local.label_of(path)),
            _ => {}
        }
        Ok(())
    })
}

impl Left {
    /// Records a file that belongs to the restore; false for any other.
    fn takes(&mut self, plan: &RestorePlan<'_>, entry: &FileInfo) -> bool {
        if !entry.is_regular {
            return false;
        }
        if entry.path == MARK {
            return true;
        }
        if Folder::is_unfinished(&entry.path) {
            self.temporary.push(entry.path.clone());
            return true;
        }
        let files = &plan.resolution.files;
        let at = files.binary_search_by(|file| file.row.path.as_ref().cmp(&entry.path));
        if let Ok(at) = at {
            self.sizes[at] = Some(entry.size);
        }
        at.is_ok()
    }
}
