//! Copies slots of the source's packs: planner, fetchers and workers, each on separate threads.
//!
//! [`copy_slots`] runs them. Invariant: the amount of data in flight depends on the number of threads, not on the size of the source.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::runs::{Kind, Run, plan_runs};
use super::worker::{Shared, Worker};
use crate::error::{Error, Result};
use crate::model::{PackId, References};
use crate::repository::RawGroup;

/// Requests at the same time to a server.
const REMOTE_FETCHERS: usize = 8;
/// Reads at the same time from a disk.
const LOCAL_FETCHERS: usize = 2;

/// A run of groups with its bytes; `None` if they cannot be read.
type Fetched = (Run, Option<Bytes>);

/// Copies the slots that the target lacks.
pub(super) fn copy_slots(
    shared: &Shared<'_>,
    slots: &References,
    kind: Kind,
    threads: Option<usize>,
    groups: &Sender<RawGroup>,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let workers = threads.unwrap_or(cores).clamp(1, 64);
    let fetchers = match shared.source.io.storage().is_remote() {
        // With one thread, every run sends the same requests in the same order.
        _ if threads == Some(1) => 1,
        true => REMOTE_FETCHERS,
        false => LOCAL_FETCHERS,
    };
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let (run_sender, runs) = bounded::<Run>(1);
        let (fetched_sender, fetched) = bounded::<Fetched>(1);
        let plan = scope.spawn(move || plan_all(shared, slots, kind, &run_sender, stop));
        let mut threads = Vec::new();
        for _ in 0..fetchers {
            let (runs, fetched) = (runs.clone(), fetched_sender.clone());
            let work = move || fetch_all(shared, &runs, &fetched);
            threads.push(scope.spawn(move || stopping(stop, work)));
        }
        for _ in 0..workers {
            let (fetched, groups) = (fetched.clone(), groups.clone());
            let work = move || work_all(shared, &fetched, groups, stop);
            threads.push(scope.spawn(move || stopping(stop, work)));
        }
        // Drop these handles so that only the threads hold the channels, which close when the threads end.
        drop((runs, fetched_sender, fetched));
        let mut result = Ok(());
        for thread in threads {
            let done = thread.join().map_err(|_| worker_failed()).flatten();
            result = result.and(done);
        }
        plan.join().map_err(|_| worker_failed())?;
        shared.source.io.check_cancelled()?;
        result
    })
}

/// Makes the other threads stop if this one fails.
fn stopping(stop: &AtomicBool, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let result = work();
    if result.is_err() {
        stop.store(true, Ordering::Relaxed);
    }
    result
}

fn plan_all(
    shared: &Shared<'_>,
    slots: &References,
    kind: Kind,
    runs: &Sender<Run>,
    stop: &AtomicBool,
) {
    let is_wanted = |pack: PackId, slot: u32, id: &_| shared.lacks(shared.ids.at(pack, slot, id));
    plan_runs(&shared.source.index, slots, kind, is_wanted, |run| {
        !stop.load(Ordering::Relaxed) && runs.send(run).is_ok()
    });
}

fn fetch_all(shared: &Shared<'_>, runs: &Receiver<Run>, fetched: &Sender<Fetched>) -> Result<()> {
    let io = &shared.source.io;
    for run in runs {
        let bytes = match io.block(io.pack_range(&run.pack, run.range.clone())) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let len = bytes.as_ref().map_or(0, Bytes::len) as u64;
        shared.counts.bytes_read.fetch_add(len, Ordering::Relaxed);
        if fetched.send((run, bytes)).is_err() {
            break;
        }
    }
    Ok(())
}

fn work_all(
    shared: &Shared<'_>,
    fetched: &Receiver<Fetched>,
    groups: Sender<RawGroup>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut worker = Worker::new(shared, groups);
    for (run, bytes) in fetched {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        worker.take(&run, bytes.as_deref())?;
    }
    worker.flush()
}

/// The error returned when a worker panics.
fn worker_failed() -> Error {
    Error::internal("a worker panicked")
}
