//! The objects that live backups need.

use br_storage::ObjectInfo;

use crate::engine::references::ReferenceFinder;
use crate::engine::view::View;
use crate::error::Result;
use crate::format::Cipher;
use crate::model::KeyId;
use crate::repository::{Io, Layout};

/// Keys of objects, and how many of them are packs.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    pub(crate) keys: Vec<String>,
    pub(crate) packs: u64,
}

impl Needed {
    /// Finds the objects from the log, the index and the manifests. Reads no pack, unless the index lacks data of a backup.
    ///
    /// All log entries are among them, also those before the newest checkpoint: `undelete`, a prune that keeps deleted backups and the
    /// repair of the log read them, and after an attack they say what the backup list was before.
    pub(crate) fn find(io: &Io, view: &View) -> Result<Self> {
        let state = &view.position.state;
        let mut keys = vec![Layout::CONFIG.to_owned()];
        if io.cipher() != Cipher::None {
            let removed = |object: &ObjectInfo| {
                let id = Layout::id::<KeyId>(&object.key);
                id.is_none_or(|id| state.keys_removed.contains(&id))
            };
            let slots = io.list(Layout::KEYS)?.into_iter();
            keys.extend(slots.filter(|slot| !removed(slot)).map(|slot| slot.key));
        }
        let log = io.list(Layout::LOG)?.into_iter().map(|entry| entry.key);
        keys.extend(log.filter(|key| Layout::log_seq(key).is_some()));
        keys.extend(state.segments.iter().map(|id| Layout::segment(*id)));
        let backups = || state.backups.values();
        keys.extend(backups().map(|backup| Layout::manifest(backup.id)));
        let (references, _) = ReferenceFinder::new(&view.reader).of_all(backups())?;
        let packs = references.iter();
        let number = packs.len() as u64;
        keys.extend(packs.map(|(pack, _)| Layout::pack(*pack)));
        Ok(Self {
            keys,
            packs: number,
        })
    }
}
