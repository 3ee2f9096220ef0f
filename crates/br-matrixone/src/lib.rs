//! Physical backups of MatrixOne, taken with the statement `BACKUP`.
//!
//! The server writes the files of a backup. This crate starts a backup, and checks, lists, restores and
//! deletes backups. A [`Client`](client::Client) is a connection to a server and runs a
//! [`BackupStatement`](sql::BackupStatement). An [`Archive`](archive::Archive) is a folder or a bucket with
//! backups. A [`Catalogue`](catalogue::Catalogue) is the local list of backups. [`backup()`](backup::backup) uses
//! all three: it takes a backup, checks its files and records it. [`find`] finds backups that the catalogue
//! does not list, and [`delete`] finds the backups that depend on another one.
//!
//! Invariant: a backup counts as complete only after its files were checked; the response of the server is
//! not enough. The files of the original tool `mo_br` are read and never written.

pub mod archive;
pub mod backup;
mod backup_kind;
mod backup_ts;
pub mod catalogue;
pub mod client;
pub mod delete;
pub mod find;
pub mod server_version;
pub mod sql;

pub use backup_kind::BackupKind;
pub use backup_ts::{BackupTs, BadBackupTs};

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
