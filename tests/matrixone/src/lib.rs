//! A simulated MatrixOne server, and a generator of its backup archives.
//!
//! [`Cluster`] has the data, [`Backup`] writes its archive to a [`Target`] byte for byte like a server of a [`MoVersion`], [`MoBr`]
//! arranges archives like `mo_br`, and [`MoServer`] does all that when a client sends `BACKUP`, unless a [`Fault`] strikes. Invariant: the
//! same seed and the same calls give the same bytes.

#![expect(
    clippy::unwrap_used,
    reason = "a failure of the simulated server is a failure of the test"
)]

mod archive;
mod cluster;
mod config;
mod fault;
pub mod format;
mod handle;
mod job;
mod mobr;
mod random;
mod record;
mod server;
mod session;
pub mod sql;
mod state;
mod step;
mod target;
mod ts;
mod version;
mod wire;

pub use archive::Backup;
pub use cluster::{Cluster, ClusterOptions, Moment, Object};
pub use config::{Backend, CLUSTER_SECRET};
pub use fault::{Fault, Point};
pub use handle::{MoServer, MoServerOptions};
pub use mobr::{Made, MoBr};
pub use record::{BackupRecord, KillRecord, LoggedStatement, LoginRecord, Outcome};
pub use sql::S3Target;
pub use state::S3Writer;
pub use step::{BackupError, Event, Observer, Phase, Summary, Verdict};
pub use target::{Callback, Folder, Target};
pub use ts::{Ts, utc, with_zone};
pub use version::{MoVersion, NotAVersion};
