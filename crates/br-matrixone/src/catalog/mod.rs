//! Which backups of MatrixOne there are, as this host remembers it.
//!
//! A [`Catalog`] is two files side by side: `mo_br.meta` of the original tool, read and never written, and our own
//! `br-matrixone.json`; a [`Listing`] merges them into [`Entry`]s. Invariant: the catalogue is a convenience and holds
//! no key: the backups are usable without it, and it can be rebuilt from them.
//!
//! `--meta_path` may name either file. One that begins with `{`, or whose name ends in `br-matrixone.json`, is ours and is used
//! alone. Any other is the original tool's; ours is then `br-matrixone.json` beside `mo_br.meta`, and `X.br-matrixone.json` beside
//! an `X` of any other name. Changes are made under a lock on the file with `.lock` appended, which stays.

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

pub use entry::{Entry, Origin, Place, S3Place, State};
pub use error::{CatalogError, Result, Warning};
pub use import::parse_meta_line;

/// The file that is used when none is named: in the current folder, as the original tool has it.
pub const DEFAULT_META_PATH: &str = "mo_br.meta";
/// The name of our own file.
pub const OWN_NAME: &str = "br-matrixone.json";

/// The catalogue of a folder.
#[derive(Debug, Clone)]
pub struct Catalog {
    own: PathBuf,
    foreign: Option<PathBuf>,
}

/// All backups of a catalogue, oldest first.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Those that are there, or should be.
    pub entries: Vec<Entry>,
    /// Those that were deleted while the original tool's file still names them.
    pub deleted: Vec<Entry>,
    /// What was odd.
    pub warnings: Vec<Warning>,
}

/// What would be of no use without a backup.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Dependents {
    /// Those that were made on it, or on one that was.
    pub certain: Vec<Entry>,
    /// Incremental ones of the original tool, which does not note the base: later ones in the same place.
    pub possible: Vec<Entry>,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// How many backups were found that the catalogue did not know.
    pub added: usize,
    /// How many it knew otherwise: as failed or deleted, or only by a copy in a repository.
    pub updated: usize,
    /// How many it knew.
    pub kept: usize,
    /// Where a damaged catalogue was put.
    pub set_aside: Option<PathBuf>,
}

impl Catalog {
    /// Finds out what a path given as `--meta_path` names. Nothing needs to be there yet.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
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

    /// Returns the path of our own file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.own
    }

    /// Lists all backups. Where both files have one, ours counts.
    ///
    /// # Errors
    /// When our own file cannot be read. What is wrong with the original tool's is among the warnings.
    pub fn list(&self) -> Result<Listing> {
        let own = file::read(&self.own)?;
        let (foreign, warnings) = self.read_foreign();
        let known: HashSet<Uuid> = own.iter().map(|entry| entry.id).collect();
        let foreign = foreign
            .into_iter()
            .filter(|entry| !known.contains(&entry.id));
        let mut all: Vec<Entry> = own.into_iter().chain(foreign).collect();
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

    /// Finds the backup whose id begins so.
    ///
    /// # Errors
    /// When none or several do, or the catalogue cannot be read.
    pub fn find(&self, prefix: &str) -> Result<Entry> {
        self.list()?.find(prefix)
    }

    /// Notes a backup.
    ///
    /// # Errors
    /// When the id is taken, the place has a password in it, or the catalogue cannot be changed.
    pub fn add(&self, entry: Entry) -> Result<()> {
        refuse_secrets(&entry.place)?;
        self.change(|entries| {
            if entries.iter().any(|known| known.id == entry.id) {
                return Err(CatalogError::Exists(entry.id));
            }
            entries.push(entry);
            Ok(())
        })
    }

    /// Changes what is noted of a backup. One of the original tool's is taken over into our own file, whose word then counts.
    ///
    /// # Errors
    /// When there is none, the place has a password in it, or the catalogue cannot be changed.
    pub fn update(&self, id: Uuid, change: impl FnOnce(&mut Entry)) -> Result<Entry> {
        self.change(|entries| {
            let known = entries.iter().position(|entry| entry.id == id);
            let at = match known {
                Some(at) => at,
                None => {
                    let (foreign, _) = self.read_foreign();
                    let found = foreign.into_iter().find(|entry| entry.id == id);
                    entries.push(found.ok_or_else(|| CatalogError::NotFound(id.to_string()))?);
                    entries.len() - 1
                }
            };
            let entry = &mut entries[at];
            change(entry);
            // Neither is up to the caller.
            (entry.id, entry.origin) = (id, Origin::Own);
            refuse_secrets(&entry.place)?;
            Ok(entry.clone())
        })
    }

    /// Forgets a backup. One that the original tool's file names is noted as deleted instead, as it would come back otherwise.
    ///
    /// # Errors
    /// When there is none, or the catalogue cannot be changed.
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
                return Err(CatalogError::NotFound(id.to_string()));
            }
            Ok(())
        })
    }

    /// Adds backups that were found where they are. What a catalogue knows already stays, unless it knew nothing good of what was found whole; a
    /// catalogue that is damaged is put aside.
    ///
    /// # Errors
    /// When a place has a password in it, or the catalogue is a newer version's or cannot be changed.
    pub fn rebuild(&self, found: Vec<Entry>) -> Result<Rebuilt> {
        found
            .iter()
            .try_for_each(|entry| refuse_secrets(&entry.place))?;
        let lock = Lock::take(&self.own)?;
        let (mut entries, set_aside) = match file::read(&self.own) {
            Ok(entries) => (entries, None),
            Err(CatalogError::Damaged { .. }) => (Vec::new(), Some(lock.set_aside(&self.own)?)),
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

    fn read_foreign(&self) -> (Vec<Entry>, Vec<Warning>) {
        let Some(path) = &self.foreign else {
            return Default::default();
        };
        import::read(path)
    }

    /// Reads again under the lock, so that no change of another process is lost.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> Result<T>) -> Result<T> {
        let lock = Lock::take(&self.own)?;
        let mut entries = file::read(&self.own)?;
        let value = change(&mut entries)?;
        lock.write(&self.own, &entries)?;
        Ok(value)
    }
}

impl Listing {
    /// Finds the backup whose id begins so; capitals do not matter.
    ///
    /// # Errors
    /// When none or several do, or it was deleted.
    pub fn find(&self, prefix: &str) -> Result<Entry> {
        let wanted = prefix.to_ascii_lowercase();
        let matches = |entry: &&Entry| entry.id.to_string().starts_with(&wanted);
        let not_found = || CatalogError::NotFound(prefix.to_owned());
        if wanted.is_empty() {
            return Err(not_found());
        }
        let found: Vec<&Entry> = self.entries.iter().filter(matches).collect();
        match found.as_slice() {
            [entry] => Ok((*entry).clone()),
            [] => Err(match self.deleted.iter().find(matches) {
                Some(entry) => CatalogError::Deleted(entry.id),
                None => not_found(),
            }),
            several => Err(CatalogError::Several {
                prefix: prefix.to_owned(),
                ids: several.iter().map(|entry| entry.id).collect(),
            }),
        }
    }

    /// Returns what would be of no use without a backup: what is being made on it counts, what failed does not.
    #[must_use]
    pub fn dependents(&self, id: Uuid) -> Dependents {
        let mut needed = HashSet::from([id]);
        let mut dependents = Dependents::default();
        let alive = || {
            self.entries
                .iter()
                .filter(|entry| entry.state != State::Failed)
        };
        // As often as it finds more: clocks go wrong, so that a base need not come before what is made on it.
        loop {
            let more: Vec<Entry> = alive()
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
        let may_need = |entry: &&Entry| {
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
    let len = read.map_err(|source| CatalogError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(start[..len].trim_ascii_start().first() == Some(&b'{'))
}

fn refuse_secrets(place: &Place) -> Result<()> {
    match place {
        Place::S3(place) if has_user_info(&place.endpoint) => {
            Err(CatalogError::SecretInPlace("the endpoint"))
        }
        Place::Repository { url, .. } if url.contains("://") && has_user_info(url) => {
            Err(CatalogError::SecretInPlace("the repository"))
        }
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
