//! Dumps of MySQL and MariaDB servers, by the dump program of the server.
//!
//! [`MySqlServer::probe`] asks the server what it is, and its [dumps](crate::server::Server::dumps) are programs to run: `dump.sql` with the
//! databases and, from MariaDB, `users.sql` with the users and their rights. Invariant: all tables of a dump are of one moment, if they are InnoDB tables; the others are
//! named by [`MySqlServer::unsafe_tables`].
//!
//! A password comes from an option file of MySQL, such as `~/.my.cnf`: it is never an argument.

mod dump;
mod examine;
mod grants;
mod probe;
mod tables;

pub use probe::{MySqlOptions, MySqlServer};
pub use tables::MySqlTable;
