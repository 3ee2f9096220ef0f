//! What a backup is: pure values, without I/O, clock, randomness or bytes on disk.
//!
//! [`Backup`] describes one backup, [`Entry`] one item inside it, [`ChunkRef`] one piece of content, [`References`] the chunks
//! that a backup uses. Invariant: no [`EntryPath`] can lead out of the folder it is joined to. [`Entry::check`] has the rules for
//! the other fields of an entry; br never stores an entry that breaks one.

mod backup;
mod configuration;
mod entry;
mod file_time;
mod id;
mod origin;
mod path;
mod references;
pub mod retention;
mod stream;
mod text;

pub use backup::{
    Backup, BackupKind, Changes, Proof, ProofMethod, Reason, Totals, TreeRoot, Unread,
};
pub use configuration::{Configuration, ConfigurationFile, ConfiguredRepository};
pub use entry::{Content, Device, Entry, EntryError, EntryKind, Extent, FileContent, Owner, Xattr};
pub use file_time::FileTime;
pub use id::{
    BackupId, ChunkId, ChunkRef, IdPrefixError, KeyId, ObjectId, PackId, RepositoryId, SegmentId,
};
pub(crate) use id::{hex, unhex};
pub use origin::{Origin, OriginKind};
pub(crate) use path::normal_path;
pub use path::{EntryPath, PathError};
pub use references::References;
pub use stream::StreamRecord;
pub(crate) use stream::shortened;
pub use text::{escape, is_hidden, unescape};
