//! Reads the manifests of many backups, several at a time.
//!
//! [`read_manifests`] hands them over in any order. Invariant: a few manifests are read one after the other, in the given order, so that small
//! repositories send the same requests on every run.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::bounded;

use super::Io;
use crate::error::{Error, Result};
use crate::model::{BackupId, References};

/// From this number on, several manifests are read at a time.
const MANY: usize = 64;
/// Requests at a time to a server, where most of the time is waiting.
const REMOTE_READERS: usize = 16;

/// Reads the reference set of each backup.
///
/// # Errors
/// The first error of a request, of a manifest, or of `each`.
pub(crate) fn read_manifests(
    io: &Io,
    ids: &[BackupId],
    mut each: impl FnMut(usize, References) -> Result<()>,
) -> Result<()> {
    let read = |at: usize| {
        io.check_cancelled()?;
        io.read_references(ids[at])
    };
    if ids.len() < MANY {
        return (0..ids.len()).try_for_each(|at| each(at, read(at)?));
    }
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let readers = if io.storage().is_remote() {
        REMOTE_READERS.max(cores)
    } else {
        cores
    };
    let next = AtomicUsize::new(0);
    let (sender, read_ones) = bounded(4 * readers);
    thread::scope(|scope| {
        for _ in 0..readers {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    // If the receiver is gone, there was an error.
                    if at >= ids.len() || sender.send((at, read(at))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut count = 0;
        for (at, references) in read_ones {
            each(at, references?)?;
            count += 1;
        }
        if count == ids.len() {
            Ok(())
        } else {
            Err(Error::internal("a thread that reads manifests panicked"))
        }
    })
}
