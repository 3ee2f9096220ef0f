//! Names of objects in the store. No other module builds one.

use crate::model::{BackupId, KeyId, PackId, SegmentId};

/// Builds and reads object keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout;

impl Layout {
    pub(crate) const CONFIG: &'static str = "br.json";
    /// Key that `init` uses to test the store's guarantees; nothing is stored there permanently.
    pub(crate) const PROBE: &'static str = "probe";
    pub(crate) const KEYS: &'static str = "keys";
    pub(crate) const PACKS: &'static str = "packs";
    pub(crate) const INDEX: &'static str = "index";
    pub(crate) const MANIFESTS: &'static str = "manifests";
    pub(crate) const LOG: &'static str = "log";
    /// The reserve, which is freed when the disk is full.
    pub(crate) const RESERVE: &'static str = "reserve";

    /// The name of the first key slot. It is fixed, so that finding it needs no listing.
    pub(crate) const FIRST_KEY: KeyId = KeyId([0; 16]);

    pub(crate) fn key_slot(id: KeyId) -> String {
        format!("{}/{id}", Self::KEYS)
    }

    pub(crate) fn pack(id: PackId) -> String {
        let name = id.to_string();
        format!("{}/{}/{name}", Self::PACKS, &name[..2])
    }

    pub(crate) fn segment(id: SegmentId) -> String {
        format!("{}/{id}", Self::INDEX)
    }

    pub(crate) fn manifest(id: BackupId) -> String {
        format!("{}/{id}", Self::MANIFESTS)
    }

    pub(crate) fn log(seq: u64) -> String {
        format!("{}/{seq:016}", Self::LOG)
    }

    /// The id in an object's key; `None` for other keys.
    pub(crate) fn id<T: std::str::FromStr>(key: &str) -> Option<T> {
        key.rsplit('/').next()?.parse().ok()
    }

    /// The number in the key of a log entry.
    pub(crate) fn log_seq(key: &str) -> Option<u64> {
        let name = key.rsplit('/').next()?;
        (name.len() == 16 && name.bytes().all(|b| b.is_ascii_digit()))
            .then(|| name.parse().ok())
            .flatten()
    }
}
