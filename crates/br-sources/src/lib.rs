//! Adapters for data other than files.
//!
//! Each module implements the traits [`Source`](br_core::source::Source) and [`Sink`](br_core::sink::Sink) of
//! `br-core` for one kind of data, and has a cargo feature of its name; all are on by default. [`bundle`]
//! has [`BundleSource`](bundle::BundleSource) and [`BundleSink`](bundle::BundleSink) for the export bundles
//! of `br-archive`. [`matrixone`] has [`ArchiveSource`](matrixone::ArchiveSource) for the archives of
//! `br-matrixone`, [`mysql`] has [`MySqlServer`](mysql::MySqlServer) for the dump programs of MySQL and MariaDB,
//! [`postgres`] has [`PostgresServer`](postgres::PostgresServer) for those of PostgreSQL, [`tar`] has [`TarSink`](tar::TarSink) for tar archives, and [`zip`] has
//! [`ZipSink`](zip::ZipSink) for zip archives. Invariant: a module only converts; it does not depend on the layout of a repository or of
//! an archive.
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
#[cfg(feature = "tar")]
pub mod tar;
#[cfg(feature = "zip")]
pub mod zip;

/// The example of the README, as a test.
#[cfg(all(doctest, feature = "bundle"))]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
