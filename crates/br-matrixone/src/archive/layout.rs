//! The backups below a root.
//!
//! [`Archive`] is a root and the [`ArchiveBackup`]s in it: either the root itself is a backup, or its folders `full-<id>` and
//! `incremental-<id>` are, with a line `<id>.meta` next to each. Invariant: a backup without `mo_meta.sha256`, which the server writes
//! last, counts as unfinished.

use std::collections::BTreeMap;

use br_storage::{Folder, FolderContents};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::error::{Error, ErrorKind, Result};
use super::files;
use super::frame::{Framing, unframe};
use super::limits::Limits;
use super::path::join;
use super::sha256::{Digest, SUFFIX};
use super::tae_sum::TaeSum;
use crate::catalogue::{CatalogueEntry, parse_meta_line};
use crate::{BackupKind, BackupTs};

/// The file the server writes last.
pub(crate) const MO_META: &str = "mo_meta";
pub(crate) const BACKUP_META: &str = "backup_meta";
pub(crate) const HK_DATA: &str = "hakeeper/hk_data";
pub(crate) const TAE_LIST: &str = "tae/tae_list";
pub(crate) const TAE_SUM: &str = "tae/tae_sum";
pub(crate) const TAE: &str = "tae";

/// True for `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_id(meta: &CatalogueEntry, id: &str) -> bool {
    Uuid::try_parse(id).is_ok_and(|id| id == meta.id)
}

/// Splits `full-<id>` and `incremental-<id>`.
#[must_use]
pub fn split_dir(name: &str) -> Option<(BackupKind, &str)> {
    let (kind, id) = name.split_once('-')?;
    Some((
        BackupKind::of_word(kind)?,
        Some(id).filter(|id| is_uuid(id))?,
    ))
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveBackup {
    /// Its id, a UUID. A backup that is itself the root may have none.
    pub id: Option<String>,
    /// Its folder below the root; empty when it is the root.
    pub dir: String,
    /// Whether it depends on earlier ones, if that is recorded.
    pub kind: Option<BackupKind>,
    /// The point in time that it holds; none before MatrixOne 1.2.
    pub backup_ts: Option<BackupTs>,
    /// When the server made it: `YYYY-MM-DD HH:MM:SS`, UTC.
    pub time: Option<String>,
    /// The bytes of all its files, including those in earlier backups.
    pub bytes: Option<u64>,
    /// The catalogue line next to it.
    pub meta: Option<CatalogueEntry>,
    /// Why it cannot be restored; `None` for a complete backup.
    pub unfinished: Option<String>,
}

impl ArchiveBackup {
    /// The path below the root of a file of this backup.
    #[must_use]
    pub fn path(&self, file: &str) -> String {
        join(&self.dir, file)
    }

    /// When the server made it.
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", self.time.as_ref()?).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }

    /// A name for it: its id, or its folder, or `.`.
    #[must_use]
    pub fn name(&self) -> &str {
        match (&self.id, self.dir.as_str()) {
            (Some(id), _) => id,
            (None, "") => ".",
            (None, dir) => dir,
        }
    }
}

/// A root with backups.
#[derive(Debug)]
pub struct Archive {
    folder: Folder,
    limits: Limits,
    backups: Vec<ArchiveBackup>,
    unfinished: Vec<ArchiveBackup>,
    deleted: Vec<CatalogueEntry>,
    indexes: Vec<String>,
    chosen: Option<String>,
    noted: BTreeMap<String, Digest>,
}

impl Archive {
    /// Looks for backups in a folder: a root, a backup that is a root, or the folder of one backup below a root.
    ///
    /// # Errors
    /// If the storage does not answer, or there is neither a backup nor the rest of one.
    pub fn open(folder: &Folder, limits: &Limits) -> Result<Self> {
        // A backup has at most a folder, a line and its digest; the rest is for a backup that is the root.
        let most = limits.backups.saturating_mul(3).saturating_add(10_000);
        let top = files::contents(folder, "", most)?;
        if let Some(out) = Self::open_parent(folder, &top, limits, most) {
            return Ok(out);
        }
        Self::read(folder.clone(), &top, limits)
    }

    /// Opens the root that contains this folder of one backup: an incremental backup needs the others.
    fn open_parent(
        folder: &Folder,
        top: &FolderContents,
        limits: &Limits,
        most: usize,
    ) -> Option<Self> {
        if !is_backup(top) {
            return None;
        }
        let (root, name) = folder.parent()?;
        split_dir(&name)?;
        // A user who can read only this folder gets only its content.
        let siblings = files::contents(&root, "", most).ok()?;
        let mut out = Self::read(root, &siblings, limits).ok()?;
        out.chosen = Some(name);
        Some(out)
    }

    fn read(folder: Folder, top: &FolderContents, limits: &Limits) -> Result<Self> {
        let mut out = Self {
            folder,
            limits: *limits,
            backups: Vec::new(),
            unfinished: Vec::new(),
            deleted: Vec::new(),
            indexes: Vec::new(),
            chosen: None,
            noted: BTreeMap::new(),
        };
        let metas = out.read_metas(top)?;
        if is_backup(top) {
            let name = out
                .folder
                .parent()
                .map(|(_, name)| name)
                .unwrap_or_default();
            let named = split_dir(&name);
            out.add("", named, None, top)?;
        }
        for dir in &top.folders {
            let Some((kind, id)) = split_dir(dir) else {
                continue;
            };
            let meta = metas.iter().find(|meta| is_id(meta, id));
            let inside = files::contents(&out.folder, dir, 10_000)?;
            out.add(dir, Some((kind, id)), meta, &inside)?;
        }
        let is_there = |meta: &CatalogueEntry| {
            let mut all = out.backups.iter().chain(&out.unfinished);
            all.any(|backup| backup.id.as_ref().is_some_and(|id| is_id(meta, id)))
        };
        out.deleted = metas
            .iter()
            .filter(|meta| !is_there(meta))
            .cloned()
            .collect();
        out.backups.sort_by(|a, b| {
            let order = |backup: &ArchiveBackup| (backup.backup_ts, backup.time.clone());
            order(a).cmp(&order(b))
        });
        if out.backups.is_empty() && out.unfinished.is_empty() {
            let text = format!("there is no backup of MatrixOne in {}", out.folder);
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        Ok(out)
    }

    /// Reads the lines `<id>.meta`. Ignores malformed ones: their information is also elsewhere.
    fn read_metas(&mut self, top: &FolderContents) -> Result<Vec<CatalogueEntry>> {
        let mut out = Vec::new();
        for file in &top.files {
            let name = file.path.as_str();
            if super::file_index::index_ts(name).is_some() {
                self.indexes.push(name.to_owned());
            }
            if !name.strip_suffix(".meta").is_some_and(is_uuid) || !file.is_regular {
                continue;
            }
            let bytes = files::read(&self.folder, name, Limits::LINE_BYTES as u64);
            let bytes = match bytes {
                Err(error) if error.kind() == ErrorKind::Refused => continue,
                bytes => bytes?.unwrap_or_default(),
            };
            let line = std::str::from_utf8(&bytes).ok().map(parse_meta_line);
            out.extend(line.and_then(Result::ok));
        }
        Ok(out)
    }

    fn add(
        &mut self,
        dir: &str,
        named: Option<(BackupKind, &str)>,
        meta: Option<&CatalogueEntry>,
        inside: &FolderContents,
    ) -> Result<()> {
        if self.backups.len() + self.unfinished.len() >= self.limits.backups {
            let text = format!("there are more than {} backups", self.limits.backups);
            return Err(Error::refused(text));
        }
        let has = |name: &str| inside.files.iter().any(|file| file.path == name);
        let unfinished = match (has(MO_META), has(&format!("{MO_META}{SUFFIX}"))) {
            (true, true) => None,
            (false, _) => Some("it has no mo_meta: the server did not finish it"),
            (true, false) => Some("it has no mo_meta.sha256, which the server writes last"),
        };
        let sum = self.read_sum(dir)?;
        let sum = sum.as_ref();
        let backup = ArchiveBackup {
            id: named.map(|(_, id)| id.to_owned()),
            dir: dir.to_owned(),
            kind: named.map(|(kind, _)| kind).or_else(|| sum?.kind),
            backup_ts: sum
                .and_then(|sum| sum.backup_ts)
                .or_else(|| meta?.backup_ts),
            time: sum.map(|sum| sum.time.clone()),
            bytes: sum.map(|sum| sum.bytes).or_else(|| meta?.logical_size),
            meta: meta.cloned(),
            unfinished: unfinished.map(str::to_owned),
        };
        match backup.unfinished {
            None => self.backups.push(backup),
            Some(_) => self.unfinished.push(backup),
        }
        Ok(())
    }

    /// Reads a `tae_sum`. A damaged one is ignored here: a check reports it, and a list of backups does not need it.
    fn read_sum(&self, dir: &str) -> Result<Option<TaeSum>> {
        match read_small(&self.folder, &join(dir, TAE_SUM), None) {
            Ok(Some((bytes, _))) => Ok(TaeSum::parse(&bytes).ok()),
            Ok(None) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Refused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds digests of files that have none in the archive, by path below the root. They come from an earlier read of the files.
    #[must_use]
    pub fn with_digests(mut self, noted: BTreeMap<String, Digest>) -> Self {
        self.noted = noted;
        self
    }

    pub(crate) fn has_noted(&self) -> bool {
        !self.noted.is_empty()
    }

    /// The digest of a file that was added with `with_digests`.
    pub(crate) fn noted(&self, path: &str) -> Option<Digest> {
        self.noted.get(path).copied()
    }

    /// The folder that contains it.
    #[must_use]
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The limits of reading.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The complete backups, in the order of their points in time.
    #[must_use]
    pub fn backups(&self) -> &[ArchiveBackup] {
        &self.backups
    }

    /// Unfinished backups. They cannot be restored, and no backup depends on them.
    #[must_use]
    pub fn unfinished(&self) -> &[ArchiveBackup] {
        &self.unfinished
    }

    /// Catalogue lines of backups whose folders no longer exist.
    #[must_use]
    pub fn deleted(&self) -> &[CatalogueEntry] {
        &self.deleted
    }

    /// The folder of one backup below the root, if the user named that instead of the root.
    #[must_use]
    pub fn chosen(&self) -> Option<&str> {
        self.chosen.as_deref()
    }

    /// The names of the file indexes in the root.
    pub(crate) fn indexes(&self) -> &[String] {
        &self.indexes
    }

    /// The backup of that id, or of that folder.
    ///
    /// # Errors
    /// If it does not exist, or it is unfinished, with the reason.
    pub fn find(&self, id: &str) -> Result<&ArchiveBackup> {
        let is = |backup: &&ArchiveBackup| {
            let same = backup
                .id
                .as_ref()
                .is_some_and(|own| own.eq_ignore_ascii_case(id));
            same || (!id.is_empty() && backup.dir == id)
        };
        if let Some(backup) = self.backups.iter().find(is) {
            return Ok(backup);
        }
        if let Some(unfinished) = self.unfinished.iter().find(is) {
            return Err(unusable(unfinished));
        }
        let text = format!("there is no backup {id} in {}", self.folder);
        Err(Error::new(ErrorKind::NotFound, text))
    }

    /// The default backup if the user gives no id: that of the opened folder, or the only one.
    ///
    /// # Errors
    /// If there are more, or it is unfinished.
    pub fn only(&self) -> Result<&ArchiveBackup> {
        if let Some(dir) = &self.chosen {
            return self.find(dir);
        }
        match (self.backups.as_slice(), self.unfinished.as_slice()) {
            ([backup], _) => Ok(backup),
            ([], [unfinished, ..]) => Err(unusable(unfinished)),
            (backups, _) => Err(Error::invalid(format!(
                "there are {} backups in {}: say which by its id, or name the folder of one",
                backups.len(),
                self.folder
            ))),
        }
    }
}

fn unusable(backup: &ArchiveBackup) -> Error {
    let reason = backup.unfinished.as_deref().unwrap_or_default();
    let text = format!("the backup {} is unfinished: {reason}", backup.name());
    Error::new(ErrorKind::Damaged, text)
}

/// True if a folder looks like that of a backup, even an incomplete one.
fn is_backup(inside: &FolderContents) -> bool {
    let has_meta = inside
        .files
        .iter()
        .any(|file| file.path == MO_META || file.path == BACKUP_META);
    has_meta || inside.folders.iter().any(|dir| dir == TAE)
}

/// Reads a small file, and removes its frames, as `framing` says or as detected.
pub(crate) fn read_small(
    folder: &Folder,
    path: &str,
    framing: Option<Framing>,
) -> Result<Option<(Vec<u8>, Framing)>> {
    let Some(bytes) = files::read(folder, path, Limits::SMALL_BYTES)? else {
        return Ok(None);
    };
    let framing = framing.unwrap_or_else(|| Framing::sniff(&bytes));
    let bytes = match framing {
        Framing::Raw => bytes,
        Framing::Framed => unframe(&bytes).map_err(|error| error.at(path))?,
    };
    Ok(Some((bytes, framing)))
}
