//! An S3 server in memory for tests and benchmarks, which lies and breaks as it is told to.
//!
//! [`S3Server`] listens on a port of this machine, checks signatures and checksums, and writes conditionally as Amazon's
//! does. [`Fault`], [`Rule`] and the server's modes make it behave like a worse one; [`RequestInfo`] and the counts tell
//! what it was asked for. Invariant: without faults and modes it does what S3 documents, and of several conditional writes
//! of one key at once exactly one succeeds.

mod access;
mod answer;
mod backend;
mod content;
mod fault;
mod headers;
mod list;
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
