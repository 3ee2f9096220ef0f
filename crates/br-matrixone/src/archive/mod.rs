//! MatrixOne's own physical backups, as `BACKUP` and `mo_br` write them to a folder or an object storage.
//!
//! An [`Archive`] in a [`Folder`] has backups; [`check()`] checks whether one can be restored, a [`RestorePlan`] restores it,
//! [`dependents()`] lists the backups that need it, and [`delete()`] deletes it. Incremental backups have part of their files in earlier
//! ones: a [`Resolution`] says where each is. Invariant: only [`delete()`] changes an archive, and no hostile bytes in it lead out of the
//! folders that the user named.
//!
//! All calls block. None of them prints; they report to a [`ArchiveProgress`] from many threads, which can cancel them.

mod chain;
mod check;
mod delete;
mod error;
mod file_index;
mod files;
mod frame;
mod hk_data;
mod layout;
mod limits;
mod lines;
mod lists;
mod mo_meta;
mod object;
mod parallel;
mod path;
mod problem;
mod progress;
mod restore;
mod scan;
mod sha256;
mod tae_list;
mod tae_sum;

pub use br_storage::{FileInfo, FileReader, Folder, FolderContents};

pub use chain::{Dependent, Holder, Missing, Resolution, ResolvedFile, Use, dependents};
pub use check::{CheckLevel, CheckOptions, CheckReport, check};
pub use delete::delete;
pub use error::{Error, ErrorKind, Result};
pub use file_index::{FileIndexReader, IndexRow, index_ts};
pub use frame::{BLOCK_BYTES, BadFrame, FrameReader, FrameWriter, Framing, PAYLOAD_BYTES};
pub use hk_data::HkData;
pub use layout::{Archive, ArchiveBackup, split_dir};
pub use limits::Limits;
pub use mo_meta::{ConfigFile, MoMeta};
pub use object::{BadHeader, HEADER_BYTES, ObjectHeader};
pub use problem::{Problem, ProblemKind};
pub use progress::{ArchiveProgress, Event, NoArchiveProgress};
pub use restore::{
    Backend, FileService, PlannedFile, RestoreOptions, RestorePlan, RestoreReport, RestoreTarget,
    TnConfig,
};
pub use sha256::Digest;
pub use tae_list::{Row, TaeList, TaeListReader};
pub use tae_sum::TaeSum;
