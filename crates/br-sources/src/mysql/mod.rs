//! Dumps of MySQL and MariaDB servers, by the dump program of the server.
//!
//! [`MySqlServer::probe`] asks the server what it is, and [`MySqlServer::dumps`] has the programs to run, for a
//! [`CommandSource`](br_core::source::CommandSource). Invariant: all tables of a dump are of one moment, if they are InnoDB tables; the others are
//! named by [`MySqlServer::unsafe_tables`].
//!
//! A password comes from an option file of MySQL, such as `~/.my.cnf`: it is never an argument.

mod dump;
mod error;
mod probe;

pub use dump::MySqlDump;
pub use error::MySqlError;
pub use probe::{MySqlOptions, MySqlServer};
