//! Backups of Redis and Valkey servers, read as a replica reads them.
//!
//! [`RedisServer::probe`] asks the server what it is. Its [dumps](crate::server::Server::dumps) are `dump.rdb` with all keys and functions, `users.acl` with
//! the users, and `redis.conf` with the settings. [`RedisRestore`] gives a `dump.rdb` back to a running server: br acts as the server that it
//! replicates. [`RedisServer::set_users`] gives back the users.
//!
//! Invariant: the server makes `dump.rdb` from one moment, and a reader that reaches its end has checked its checksum. No program of Redis is needed.

mod acl;
mod address;
mod connection;
mod examine;
mod probe;
mod rdb;
mod restore;
mod takeover;
mod users;

pub use address::RedisAddress;
pub use probe::{RedisOptions, RedisServer};
pub use rdb::RdbCheck;
pub use restore::{RedisRestore, RedisRestoreOptions, Restored};
pub use users::UsersSet;
