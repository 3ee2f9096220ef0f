//! Parallel work on many files.
//!
//! [`for_each`] starts threads that each process one item after the other. Invariant: after the first error or a cancellation no new item
//! starts, and all threads have ended when it returns.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::{Error, Result};
use super::progress::ArchiveProgress;

/// Most threads.
const MOST: usize = 512;

/// The number of threads that the system runs at once: reading, hashing and writing keep them busy.
pub(crate) fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Passes every item to `work`, in order, on `threads` threads.
pub(crate) fn for_each<T: Sync>(
    items: &[T],
    threads: NonZeroUsize,
    progress: &dyn ArchiveProgress,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let first: Mutex<Option<Error>> = Mutex::new(None);
    let fail = |error| {
        stop.store(true, Ordering::Relaxed);
        if let Ok(mut first) = first.lock() {
            first.get_or_insert(error);
        }
    };
    let run = || {
        while !stop.load(Ordering::Relaxed) {
            if progress.is_cancelled() {
                return fail(Error::cancelled());
            }
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            if let Err(error) = work(item) {
                return fail(error);
            }
        }
    };
    let threads = threads.get().min(MOST).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let spawned = std::thread::Builder::new().spawn_scoped(scope, run);
            if let Err(error) = spawned {
                fail(Error::io("cannot start another thread", error));
                break;
            }
        }
    });
    match first.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}
