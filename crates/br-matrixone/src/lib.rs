//! MatrixOne: physical backups taken with the statement `BACKUP`, which the server writes and this program drives, checks, lists
//! and restores.
//!
//! [`client`] speaks to the server, in the words of [`sql`] and with what [`server_version`] knows of its releases; [`archive`]
//! reads, checks and restores what the server wrote; [`catalog`] remembers locally which backups there are, and [`find`] finds them again. Invariant: the
//! server's word that a backup is finished is never enough, it is the files that count; and what belongs to the original tool
//! `mo_br` is read and never written.

pub mod archive;
pub mod backup;
mod backup_kind;
mod backup_ts;
pub mod catalog;
pub mod client;
pub mod delete;
pub mod find;
pub mod server_version;
pub mod sql;

pub use backup_kind::BackupKind;
pub use backup_ts::{BackupTs, BadBackupTs};
