//! Dumps of PostgreSQL servers, by `pg_dump`, and their restore.
//!
//! [`PostgresServer::probe`] asks the server what it is, and its [dumps](crate::server::Server::dumps) are programs to run: `globals.sql` with the
//! roles and tablespaces, and `NAME.dump` for each database. Invariant: the dump program is not older than the server, which it would refuse. Each database
//! is dumped as of one moment; databases of one server are not of the same moment.
//!
//! [`PostgresBaseServer`] is the same server backed up as a whole: the files of its data folder, as `pg_basebackup` writes them.
//!
//! [`PostgresRestore`] is the program that takes a dump.
//!
//! Address, user and password come from the variables and files of PostgreSQL, such as `PGHOST` and `~/.pgpass`.

mod base;
mod dump;
mod examine;
mod probe;
mod restore;
mod rights;

pub use base::{PostgresBaseOptions, PostgresBaseServer};
pub use probe::{PostgresOptions, PostgresServer};
pub use restore::PostgresRestore;
