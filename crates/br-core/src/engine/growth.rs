//! What each backup adds to a repository, and what its deletion would free.
//!
//! [`growth`] reads the manifests twice: first it finds the chunks that only one backup uses, then it adds them up by backup. So its memory does not
//! depend on the number of backups.

use std::collections::HashMap;

use roaring::RoaringBitmap;
use serde::Serialize;

use super::references::ReferenceFinder;
use super::view::View;
use crate::error::Result;
use crate::format::PackEntry;
use crate::model::{Backup, PackId, References};
use crate::progress::Context;
use crate::repository::{Io, Repository};

/// A backup, and the data that no other one uses.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupGrowth {
    /// The backup. Its `changes` say what it added.
    pub backup: Backup,
    /// Bytes of the chunks that no other backup uses, before compression.
    pub bytes_unique: u64,
    /// About how many bytes a prune would free after this backup alone was deleted: the stored bytes of these chunks.
    pub bytes_freed: u64,
}

/// Says for each backup, oldest first, what it shares with no other one.
///
/// Requests: the log, the index, and each manifest that the cache lacks, twice without a cache.
///
/// # Errors
/// When log, index or a manifest cannot be read.
pub async fn growth(repository: &Repository, context: &Context) -> Result<Vec<BackupGrowth>> {
    repository.run(context, run).await
}

fn run(io: &Io) -> Result<Vec<BackupGrowth>> {
    let view = View::open(io)?;
    let index = view.reader.index();
    let finder = ReferenceFinder::new(&view.reader);
    let read = |backup: &Backup| finder.of_backup(backup);
    let backups = &view.position.state.backups;
    let mut uses = Uses::default();
    for backup in backups.values() {
        uses.add(&read(backup)?);
    }
    let packs: HashMap<PackId, &PackEntry> = index.packs().map(|pack| (pack.id, pack)).collect();
    let mut all = Vec::new();
    for backup in backups.values() {
        let (mut bytes_unique, mut bytes_freed) = (0, 0);
        for (pack, slots) in read(backup)?.iter() {
            if let (Some(once), Some(pack)) = (uses.once.get(pack), packs.get(pack)) {
                let (raw, stored) = lengths(pack, &(once & slots));
                bytes_unique += raw;
                bytes_freed += stored;
            }
        }
        all.push(BackupGrowth {
            backup: backup.clone(),
            bytes_unique,
            bytes_freed,
        });
    }
    Ok(all)
}

/// Which slots are used by one backup, and which by several.
#[derive(Default)]
struct Uses {
    once: HashMap<PackId, RoaringBitmap>,
    more: HashMap<PackId, RoaringBitmap>,
}

impl Uses {
    fn add(&mut self, references: &References) {
        for (pack, slots) in references.iter() {
            let once = self.once.entry(*pack).or_default();
            let more = self.more.entry(*pack).or_default();
            *more |= &*once & slots;
            *once |= slots;
            *once -= &*more;
        }
    }
}

/// The bytes of these slots before compression, and about how many of the stored bytes are theirs.
fn lengths(pack: &PackEntry, slots: &RoaringBitmap) -> (u64, u64) {
    let (mut raw, mut stored) = (0, 0);
    for (group, used) in pack.table.used(slots) {
        raw += used;
        stored += used * u64::from(group.stored_len) / u64::from(group.raw_len.max(1));
    }
    (raw, stored)
}
