//! Base backups of a whole PostgreSQL cluster: its files, as `pg_basebackup` copies them from the running server.
//!
//! [`PostgresBaseServer::probe`] asks the server whether it can be copied. Its one dump is the data folder, from which a server of the same major version
//! starts. Invariant: the folder is complete only if `pg_basebackup` exited with code 0, and each file has the size and the SHA-256 that the manifest of
//! the backup says; no file is missing, and none is too many. Of the WAL, which has checksums of its own, br checks that no segment is missing.

mod examine;
mod manifest;
mod probe;
mod unpack;

pub use probe::{PostgresBaseOptions, PostgresBaseServer};
