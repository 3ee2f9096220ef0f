//! The list of MatrixOne backups on this host.
//!
//! A [`Catalogue`] consists of two files: `mo_br.meta` of the original tool, which br reads and never writes,
//! and br's own `br-matrixone.json`. A [`Listing`] merges them into [`CatalogueEntry`]s. Invariant: the catalogue
//! holds no key, and the backups can be used without it; it can be rebuilt from them.
//!
//! `--meta_path` may name either file. A file that begins with `{`, or whose name ends in
//! `br-matrixone.json`, is br's own file and is used alone. Any other file is the original tool's; br's own
//! is then `br-matrixone.json` next to `mo_br.meta`, and `X.br-matrixone.json` next to a file `X` of any
//! other name. Changes are made under a lock on the file with `.lock` appended, which is not removed.

mod entry;
mod error;
mod file;
mod import;
mod values;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use self::file::Lock;
use super::BackupKind;
use super::sql::has_user_info;

pub use entry::{BackupLocation, CatalogueEntry, Origin, S3BackupLocation, State};
pub use error::{CatalogueError, Result, Warning};
pub use import::parse_meta_line;

/// The default file: in the current folder, as with the original tool.
pub const DEFAULT_META_PATH: &str = "mo_br.meta";
/// The name of br's own file.
pub const OWN_NAME: &str = "br-matrixone.json";

/// The catalogue in a folder.
#[derive(Debug, Clone)]
pub struct Catalogue {
    own: PathBuf,
    foreign: Option<PathBuf>,
}

/// All backups of a catalogue, oldest first.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The backups that were not deleted.
    pub entries: Vec<CatalogueEntry>,
    /// The deleted backups that the original tool's file still lists.
    pub deleted: Vec<CatalogueEntry>,
    /// Problems in the files.
    pub warnings: Vec<Warning>,
}

/// The backups that depend on another one.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Dependents {
    /// The backups whose chain of bases contains it.
    pub certain: Vec<CatalogueEntry>,
    /// Later incremental backups of the original tool in the same place. The original tool does not record
    /// the base.
    pub possible: Vec<CatalogueEntry>,
}

/// The result of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The number of found backups that the catalogue did not list.
    pub added: usize,
    /// The number of backups whose entries were replaced: they were listed as failed or deleted, or only as a
    /// copy in a repository.
    pub updated: usize,
    /// The number of unchanged entries.
    pub kept: usize,
    /// The new path of a damaged catalogue.
    pub set_aside: Option<PathBuf>,
}

impl Catalogue {
    /// Determines the files that a path given as `--meta_path` names. They need not exist yet.
    ///
    /// # Errors
    /// If the file exists but cannot be read.
    pub fn open(meta_path: &Path) -> Result<Self> {
        let name = meta_path.file_name().unwrap_or_default();
        if name.to_string_lossy().ends_with(OWN_NAME) || begins_as_ours(meta_path)? {
            return Ok(Self {
                own: meta_path.to_owned(),
                foreign: None,
            });
        }
        let own = if name == DEFAULT_META_PATH {
            meta_path.with_file_name(OWN_NAME)
        } else {
            file::with_suffix(meta_path, &format!(".{OWN_NAME}"))
        };
        Ok(Self {
            own,
            foreign: Some(meta_path.to_owned()),
        })
    }

    /// Returns the path of br's own file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.own
    }

    /// Lists all backups. If both files list a backup, br's own entry is used.
    ///
    /// # Errors
    /// If br's own file cannot be read. Problems in the original tool's file become warnings.
    pub fn list(&self) -> Result<Listing> {
        let own = file::read(&self.own)?;
        let (foreign, warnings) = self.read_foreign();
        let known: HashSet<Uuid> = own.iter().map(|entry| entry.id).collect();
        let foreign = foreign
            .into_iter()
            .filter(|entry| !known.contains(&entry.id));
        let mut all: Vec<CatalogueEntry> = own.into_iter().chain(foreign).collect();
        all.sort_by_key(|entry| entry.at_time);
        let (deleted, entries) = all
            .into_iter()
            .partition(|entry| entry.state == State::Deleted);
        Ok(Listing {
            entries,
            deleted,
            warnings,
        })
    }

    /// Finds the backup whose id begins with `prefix`.
    ///
    /// # Errors
    /// If no backup or several backups match, or the catalogue cannot be read.
    pub fn find(&self, prefix: &str) -> Result<CatalogueEntry> {
        self.list()?.find(prefix)
    }

    /// Records a backup.
    ///
    /// # Errors
    /// If the id is taken, the place contains a password, or the catalogue cannot be changed.
    pub fn add(&self, entry: CatalogueEntry) -> Result<()> {
        refuse_secrets(&entry.place)?;
        self.change(|entries| {
            if entries.iter().any(|known| known.id == entry.id) {
                return Err(CatalogueError::Exists(entry.id));
            }
            entries.push(entry);
            Ok(())
        })
    }

    /// Changes the entry of a backup. An entry of the original tool is copied into br's own file, which then
    /// takes precedence.
    ///
    /// # Errors
    /// If the backup is not listed, the place contains a password, or the catalogue cannot be changed.
    pub fn update(
        &self,
        id: Uuid,
        change: impl FnOnce(&mut CatalogueEntry),
    ) -> Result<CatalogueEntry> {
        self.change(|entries| {
            let known = entries.iter().position(|entry| entry.id == id);
            let at = match known {
                Some(at) => at,
                None => {
                    let (foreign, _) = self.read_foreign();
                    let found = foreign.into_iter().find(|entry| entry.id == id);
                    entries.push(found.ok_or_else(|| CatalogueError::NotFound(id.to_string()))?);
                    entries.len() - 1
                }
            };
            let entry = &mut entries[at];
            change(entry);
            // The caller cannot change these.
            (entry.id, entry.origin) = (id, Origin::Own);
            refuse_secrets(&entry.place)?;
            Ok(entry.clone())
        })
    }

    /// Removes the entry of a backup. If the original tool's file lists the backup, records it as deleted
    /// instead, because it would be listed again otherwise.
    ///
    /// # Errors
    /// If the backup is not listed, or the catalogue cannot be changed.
    pub fn remove(&self, id: Uuid) -> Result<()> {
        let (foreign, _) = self.read_foreign();
        if foreign.iter().any(|entry| entry.id == id) {
            let deleted = self.update(id, |entry| entry.state = State::Deleted);
            return deleted.map(|_| ());
        }
        self.change(|entries| {
            let before = entries.len();
            entries.retain(|entry| entry.id != id);
            if entries.len() == before {
                return Err(CatalogueError::NotFound(id.to_string()));
            }
            Ok(())
        })
    }

    /// Adds backups that were found in an archive. An existing entry is kept, unless it is outdated by a
    /// complete backup that was found. A damaged catalogue is renamed.
    ///
    /// # Errors
    /// If a place contains a password, a newer version wrote the catalogue, or the catalogue cannot be
    /// changed.
    pub fn rebuild(&self, found: Vec<CatalogueEntry>) -> Result<Rebuilt> {
        found
            .iter()
            .try_for_each(|entry| refuse_secrets(&entry.place))?;
        let lock = Lock::take(&self.own)?;
        let (mut entries, set_aside) = match file::read(&self.own) {
            Ok(entries) => (entries, None),
            Err(CatalogueError::Damaged { .. }) => (Vec::new(), Some(lock.set_aside(&self.own)?)),
            Err(error) => return Err(error),
        };
        let (mut added, mut updated, mut kept) = (0, 0, 0);
        for mut entry in found {
            entry.origin = Origin::Own;
            match entries.iter_mut().find(|known| known.id == entry.id) {
                None => {
                    entries.push(entry);
                    added += 1;
                }
                Some(known) if known.is_outdated_by(&entry) => {
                    entry.base = known.base.or(entry.base);
                    entry.digests = std::mem::take(&mut known.digests);
                    *known = entry;
                    updated += 1;
                }
                Some(_) => kept += 1,
            }
        }
        lock.write(&self.own, &entries)?;
        Ok(Rebuilt {
            added,
            updated,
            kept,
            set_aside,
        })
    }

    fn read_foreign(&self) -> (Vec<CatalogueEntry>, Vec<Warning>) {
        let Some(path) = &self.foreign else {
            return Default::default();
        };
        import::read(path)
    }

    /// Reads the file again under the lock, so that no change of another process is lost.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<CatalogueEntry>) -> Result<T>) -> Result<T> {
        let lock = Lock::take(&self.own)?;
        let mut entries = file::read(&self.own)?;
        let value = change(&mut entries)?;
        lock.write(&self.own, &entries)?;
        Ok(value)
    }
}

impl Listing {
    /// Finds the backup whose id begins with `prefix`, in any case.
    ///
    /// # Errors
    /// If no backup or several backups match, or the backup was deleted.
    pub fn find(&self, prefix: &str) -> Result<CatalogueEntry> {
        let wanted = prefix.to_ascii_lowercase();
        let matches = |entry: &&CatalogueEntry| entry.id.to_string().starts_with(&wanted);
        let not_found = || CatalogueError::NotFound(prefix.to_owned());
        if wanted.is_empty() {
            return Err(not_found());
        }
        let found: Vec<&CatalogueEntry> = self.entries.iter().filter(matches).collect();
        match found.as_slice() {
            [entry] => Ok((*entry).clone()),
            [] => Err(match self.deleted.iter().find(matches) {
                Some(entry) => CatalogueError::Deleted(entry.id),
                None => not_found(),
            }),
            several => Err(CatalogueError::Several {
                prefix: prefix.to_owned(),
                ids: several.iter().map(|entry| entry.id).collect(),
            }),
        }
    }

    /// Returns the backups that depend on another one. Running backups count, failed ones do not.
    #[must_use]
    pub fn dependents(&self, id: Uuid) -> Dependents {
        let mut needed = HashSet::from([id]);
        let mut dependents = Dependents::default();
        let alive = || {
            self.entries
                .iter()
                .filter(|entry| entry.state != State::Failed)
        };
        // Repeats until it finds no more: clocks can be wrong, so the base need not be listed before its
        // dependents.
        loop {
            let more: Vec<CatalogueEntry> = alive()
                .filter(|entry| entry.base.is_some_and(|base| needed.contains(&base)))
                .filter(|entry| !needed.contains(&entry.id))
                .cloned()
                .collect();
            if more.is_empty() {
                break;
            }
            needed.extend(more.iter().map(|entry| entry.id));
            dependents.certain.extend(more);
        }
        let Some(asked) = self.entries.iter().find(|entry| entry.id == id) else {
            return dependents;
        };
        let may_need = |entry: &&CatalogueEntry| {
            entry.kind == BackupKind::Incremental
                && entry.base.is_none()
                && entry.id != id
                && entry.place.is_same(&asked.place)
                && entry.backup_ts.is_none_or(|ts| Some(ts) > asked.backup_ts)
        };
        dependents.possible = alive().filter(may_need).cloned().collect();
        dependents
    }
}

fn begins_as_ours(path: &Path) -> Result<bool> {
    let mut start = [0; 64];
    let read = match File::open(path) {
        Ok(mut file) => file.read(&mut start),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => Err(error),
    };
    let len = read.map_err(|source| CatalogueError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(start[..len].trim_ascii_start().first() == Some(&b'{'))
}

fn refuse_secrets(place: &BackupLocation) -> Result<()> {
    match place {
        BackupLocation::S3(place) if has_user_info(&place.endpoint) => {
            Err(CatalogueError::SecretInPlace("the endpoint"))
        }
        BackupLocation::Repository { url, .. } if url.contains("://") && has_user_info(url) => {
            Err(CatalogueError::SecretInPlace("the repository"))
        }
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
