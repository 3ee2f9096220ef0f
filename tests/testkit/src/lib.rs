//! Shared code of the tests of br.
//!
//! [`FaultyStore`] fails on purpose at any operation, [`TestRepo`] is a repository in it with a clock and randomness that
//! repeat, [`MemorySource`] is a source without a disk, [`TreeFixture`] makes real trees, [`Snapshot`] describes them so
//! that two can be compared, [`EmqxNode`] has the files that EMQX exports, and [`BrCmd`] runs the real program. [`MariaDb`],
//! [`Postgres`] and [`RabbitMq`] are real servers, [`s3`] is an S3 server
//! in memory.
//! Invariant: a test with the same seed does the same.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure of the kit is a failure of the test"
)]

mod cmd;
mod emqx;
mod faulty;
mod fixture;
mod handle;
mod look;
mod repo;
mod runtime;
pub mod s3;
mod servers;
mod skip;
mod snapshot;
mod source;
mod store;

pub use cmd::{BrCmd, BrOutput};
pub use emqx::{EmqxNode, pack};
pub use faulty::{Corruption, FaultyStore, Operation, When};
pub use fixture::{TreeFixture, set_time};
pub use repo::{TestRepo, block_on};
pub use runtime::{ManualClock, Noise, SeededRandom, context, noise};
pub use servers::{MariaDb, Postgres, RabbitMq, Redis};
pub use skip::{is_root, skip, skip_slow};
pub use snapshot::{Item, Snapshot};
pub use source::{Behaviour, MemorySource, Thing};
pub use store::{Endpoint, StoreKind, TestStore, every_nth, steps, tries_all_steps};
