//! What a backup is: pure values, without I/O, clock, randomness or bytes on disk.
//!
//! [`Backup`] describes one backup, [`Entry`] one thing inside it, [`ChunkRef`] one piece of content, [`References`] what a
//! backup uses of the repository. Invariant: an [`EntryPath`] that exists cannot leave the folder it is joined to, whatever
//! its source. [`Entry::check`] has the rules for everything else that a source can say, and nothing that breaks one is ever stored.

mod backup;
mod entry;
mod id;
mod origin;
mod path;
mod references;
pub mod retention;
mod text;

pub use backup::{
    Backup, BackupKind, Changes, Proof, ProofMethod, Reason, Totals, TreeRoot, Unread,
};
pub use entry::{
    Content, Device, Entry, EntryError, EntryKind, Extent, FileContent, FileTime, Owner, Xattr,
};
pub use id::{
    BackupId, ChunkId, ChunkRef, IdPrefixError, ObjectId, PackId, RepositoryId, SegmentId,
};
pub(crate) use id::{hex, unhex};
pub use origin::{Origin, OriginKind};
pub(crate) use path::normal_path;
pub use path::{EntryPath, PathError};
pub use references::References;
pub use text::{escape, is_hidden, unescape};
