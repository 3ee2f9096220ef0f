//! Reproducible time and random numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use br_core::Context;
use br_core::runtime::{Clock, Random, Runtime};
use jiff::{SignedDuration, Timestamp};

/// A clock that moves only on request, and by a millisecond each time it is read. So ids sort in the order in which they were created.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicU64,
    start: i64,
}

impl ManualClock {
    /// When every such clock starts: 2026-01-02 03:04:05 UTC.
    pub const START: i64 = 1_767_323_045;

    /// A clock that is fast by this number of seconds, or slow by a negative one.
    #[must_use]
    pub fn off_by(seconds: i64) -> Self {
        Self {
            millis: AtomicU64::new(0),
            start: Self::START + seconds,
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::off_by(0)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let millis = self.millis.fetch_add(1, Ordering::Relaxed);
        let since = SignedDuration::from_millis(i64::try_from(millis).unwrap());
        Timestamp::from_second(self.start).unwrap() + since
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// Bytes that look random and are the same for the same seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<Noise>);

impl SeededRandom {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Noise::new(seed)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }
}

/// A stream of bytes that cannot be compressed, made from a seed.
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    /// The next number (splitmix64).
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.next().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }
}

impl std::io::Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.fill(buffer);
        Ok(buffer.len())
    }
}

/// Bytes that cannot be compressed.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Noise::new(seed).fill(&mut bytes);
    bytes
}

/// A context with a clock that is moved by hand and randomness from a seed.
#[must_use]
pub fn context(seed: u64) -> Context {
    let mut context = Context::system();
    context.runtime = Runtime {
        clock: Arc::new(ManualClock::default()),
        random: Arc::new(SeededRandom::new(seed)),
    };
    context
}
