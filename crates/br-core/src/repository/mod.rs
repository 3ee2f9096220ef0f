//! The objects of a repository: reading, adding and listing them in the store.
//!
//! [`Repository`] is a handle that is cheap to clone. Invariant: the commit log defines the content of the repository. Nothing belongs to
//! the repository until a log entry adds it, and log entries never change.

mod backups;
mod cache;
mod damage;
mod group_cache;
mod head;
mod history;
mod index;
mod init_options;
mod io;
mod journal;
mod keys;
mod known;
mod layout;
mod local;
mod lock_memory;
mod log;
mod manifests;
mod open;
mod pack_tables;
mod packer;
mod pages;
mod prefix_table;
mod races;
mod reader;
mod record_file;
mod reserve;
mod resolver;
mod salvage;
mod segments;
mod selector;
mod state;
#[cfg(test)]
mod testing;
mod tree_reader;
mod tree_writer;
mod verified;
pub(crate) mod worker;

pub(crate) use backups::Backups;
pub(crate) use cache::Cache;
pub use cache::CacheOptions;
pub(crate) use damage::remember as remember_damage;
pub use head::{LogHead, LogHeadError};
pub(crate) use history::{DeletedBackup, History};
pub(crate) use index::{ChunkLocation, Index, IndexSegment, find_packs, read_footer, read_segment};
pub use init_options::InitOptions;
pub(crate) use io::Io;
pub(crate) use journal::{Journal, Leftover};
pub(crate) use keys::slots::read as read_key_slots;
pub use keys::{Key, MasterKeyChange, NewKey};
pub(crate) use known::{KnownEntry, LogMemory};
pub(crate) use layout::Layout;
pub(crate) use lock_memory::LockMemory;
pub(crate) use log::{Append, LogPosition, conflict};
pub(crate) use manifests::read_manifests;
pub use open::Repository;
pub(crate) use pack_tables::PackTables;
pub(crate) use packer::{GROUP_LEN, Packer, RawGroup, StoredPack, target_pack_len};
pub(crate) use races::{MAX_COMMIT_RACES, MAX_RACES};
pub(crate) use reader::{ChunkReader, MAX_GAP, MAX_REQUEST};
pub(crate) use reserve::{give_up_reserve, keep_reserve};
pub(crate) use resolver::Resolver;
pub(crate) use salvage::{Salvage, present_packs};
pub(crate) use segments::{SegmentPlan, WrittenSegments};
pub use selector::{BackupFilter, BackupSelector, ShortIds};
pub(crate) use state::{DamagedGroups, State};
pub(crate) use tree_reader::{Gap, TreeReader};
pub(crate) use tree_writer::TreeWriter;
pub(crate) use verified::VerifiedPacks;
