//! An in-memory S3 server for tests and benchmarks, with configurable faults.
//!
//! [`S3Server`] listens on a local port, checks signatures and checksums, and supports conditional writes like Amazon's server.
//! [`Fault`], [`Rule`] and the server's modes make it misbehave; [`RequestInfo`] and the counts show the requests. Invariant:
//! without faults and modes it behaves as S3 documents, and of several concurrent conditional writes of one key exactly one
//! succeeds.

mod access;
mod answer;
mod backend;
mod content;
mod fault;
mod headers;
mod list;
mod lock;
mod log;
mod multipart;
mod server;
mod service;
mod state;
mod sts;

pub use fault::{Fault, Rule};
pub use headers::ObjectAttributes;
pub use log::RequestInfo;
pub use server::{S3Server, S3ServerOptions};
