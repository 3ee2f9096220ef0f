//! Time and randomness: the library gets both from here only.
//!
//! [`Runtime`] has a [`Clock`] and a [`Random`]. Invariant: with a fixed clock and a seeded random source, every operation with one worker
//! thread is repeatable; with several, threads take random numbers in any order. A seed must not repeat in one repository: ids would. The
//! times of stored objects come from the store.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::model::{BackupId, ObjectId, RepositoryId};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns the time since a fixed moment; never decreases.
    fn elapsed(&self) -> Duration;
}

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes` with unpredictable bytes, which become keys and object ids.
    fn fill(&self, bytes: &mut [u8]);
}

/// The clock and the random source of an operation.
#[derive(Clone)]
pub struct Runtime {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub random: Arc<dyn Random>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::system()
    }
}

impl Runtime {
    /// The system's clock and its random source.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        }
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }

    /// Returns the time `age` ago, but not before 1970.
    pub(crate) fn before(&self, age: Duration) -> SystemTime {
        let since = SystemTime::from(self.clock.now()).duration_since(SystemTime::UNIX_EPOCH);
        SystemTime::UNIX_EPOCH + since.unwrap_or_default().saturating_sub(age)
    }

    /// A new name for a temporary file, which listings do not show.
    pub(crate) fn hidden_name(&self) -> String {
        format!(".{}", crate::model::hex(&self.bytes::<8>()))
    }

    pub(crate) fn object_id(&self) -> ObjectId {
        ObjectId(self.bytes())
    }

    pub(crate) fn repository_id(&self) -> RepositoryId {
        RepositoryId(uuid::Builder::from_random_bytes(self.bytes()).into_uuid())
    }

    pub(crate) fn backup_id(&self) -> BackupId {
        let millis = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        BackupId(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid())
    }
}

/// The system's clock.
#[derive(Debug)]
struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn new() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The system's random source.
#[derive(Debug)]
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness, br can create neither keys nor ids.
        getrandom::fill(bytes).expect("the system has a random source");
    }
}
