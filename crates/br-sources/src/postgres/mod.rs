//! Dumps of PostgreSQL servers, by `pg_dump`.
//!
//! [`PostgresServer::probe`] asks the server what it is, and [`PostgresServer::dumps`] has the programs to run, for a
//! [`CommandSource`](br_core::source::CommandSource). Invariant: the dump program is not older than the server, which it would refuse. Each database
//! is dumped as of one moment; databases of one server are not of the same moment.
//!
//! Address, user and password come from the variables and files of PostgreSQL, such as `PGHOST` and `~/.pgpass`.

mod dump;
mod error;
mod probe;

pub use dump::PostgresDump;
pub use error::PostgresError;
pub use probe::{PostgresOptions, PostgresServer};
