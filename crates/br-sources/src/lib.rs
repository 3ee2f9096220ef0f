//! Adapters for data other than files.
//!
//! Each module has a cargo feature of its name; all are on by default. Invariant: a module only converts; it does not depend on the layout of a
//! repository or of an archive.
//!
//! | module | what it has |
//! |---|---|
//! | [`bundle`] | [`BundleSource`](bundle::BundleSource) and [`BundleSink`](bundle::BundleSink) for the export bundles of `br-archive` |
//! | [`matrixone`] | [`ArchiveSource`](matrixone::ArchiveSource) for the archives of `br-matrixone` |
//! | [`mysql`] | [`MySqlServer`](mysql::MySqlServer), dumped by the programs of MySQL or MariaDB |
//! | [`postgres`] | [`PostgresServer`](postgres::PostgresServer), dumped by the programs of PostgreSQL |
//! | [`redis`] | [`RedisServer`](redis::RedisServer), read as a replica reads it, and [`RedisRestore`](redis::RedisRestore) |
//! | [`rabbitmq`] | [`RabbitMqServer`](rabbitmq::RabbitMqServer): the definitions of RabbitMQ, and their import |
//! | [`tar`] | [`TarSink`](tar::TarSink) for tar archives |
//! | [`zip`] | [`ZipSink`](zip::ZipSink) for zip archives |
//!
//! All servers implement [`Server`](server::Server).
//!
//! A program that backs up only folders does not need this crate.

#[cfg(feature = "bundle")]
pub mod bundle;
#[cfg(feature = "matrixone")]
pub mod matrixone;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "tar")]
pub mod tar;
#[cfg(feature = "zip")]
pub mod zip;

/// The example of the README, as a test.
#[cfg(all(doctest, feature = "bundle"))]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
