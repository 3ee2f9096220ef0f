//! Passes entries with their content, one after the other, to a function.
//!
//! [`hand_over`] starts one thread that plans requests, and several threads that decrypt, unpack and verify chunks. The calling thread
//! takes their results in order. Invariant: all these threads end before [`hand_over`] returns, also after an error.

use std::io::Read;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded, unbounded};

use super::ahead::{FilePart, FileSender, Opened, Planner, QUEUE, Step, Task};
use super::content::ContentStream;
use crate::error::{Error, Result};
use crate::model::Entry;
use crate::repository::ChunkReader;

/// With more threads, chunks would be opened faster than one thread can hash the files.
const MAX_OPENERS: usize = 3;

/// Calls `take` with every entry and its content.
pub(in crate::engine) fn hand_over(
    reader: &Arc<ChunkReader>,
    entries: impl Iterator<Item = Result<Entry>> + Send,
    take: impl FnMut(&Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let skipped = AtomicU64::new(0);
    let (tasks, to_open) = unbounded();
    let (order, opened) = bounded(QUEUE);
    let planner = Planner::new(reader, &skipped, FileSender { tasks, order });
    thread::scope(|scope| {
        let planner = scope.spawn(|| planner.run(entries));
        for _ in 0..cores.min(MAX_OPENERS) {
            scope.spawn(|| open_all(reader, &skipped, &to_open));
        }
        let taken = take_all(reader, &skipped, Steps::new(opened), take);
        // A planner that ended too early looks like the end of the backup.
        let planned = planner.join();
        taken.and(planned.map_err(|_| Error::internal("the planner panicked")))
    })
}

fn take_all(
    reader: &ChunkReader,
    skipped: &AtomicU64,
    mut steps: Steps,
    mut take: impl FnMut(&Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut number = 0;
    while let Some(step) = steps.next()? {
        // A chunk here belongs to content that was not read to the end.
        let Step::Entry(entry) = step else { continue };
        reader.io().check_cancelled()?;
        number += 1;
        let mut content = ContentStream::new(reader.io(), &entry, &mut steps);
        let taken = take(&entry, &mut content);
        if !content.finish(taken)? {
            skipped.store(number, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The steps in order, with opened chunks.
pub(super) struct Steps {
    batches: Receiver<Receiver<Opened>>,
    batch: std::vec::IntoIter<Step<Result<Bytes>>>,
}

impl Steps {
    fn new(batches: Receiver<Receiver<Opened>>) -> Self {
        let batch = Vec::new().into_iter();
        Self { batches, batch }
    }

    /// Returns the next step; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Step<Result<Bytes>>>> {
        loop {
            match self.batch.next() {
                Some(Step::Failed(error)) => return Err(error),
                Some(step) => return Ok(Some(step)),
                None => {}
            }
            let Ok(batch) = self.batches.recv() else {
                return Ok(None);
            };
            let batch = batch.recv();
            self.batch = batch
                .map_err(|_| Error::internal("a thread that opens chunks panicked"))?
                .into_iter();
        }
    }
}

/// Opens the chunks of tasks, on one thread.
fn open_all(reader: &ChunkReader, skipped: &AtomicU64, tasks: &Receiver<Task>) {
    for task in tasks {
        let mut opened = Vec::with_capacity(task.steps.len());
        for step in task.steps {
            opened.push(match step {
                Step::Entry(entry) => Step::Entry(entry),
                Step::Failed(error) => Step::Failed(error),
                Step::Chunk(piece) if skipped.load(Ordering::Relaxed) >= piece.entry => continue,
                Step::Chunk(piece) => match open(reader, &piece) {
                    // If the store does not answer, requests for the rest would fail too.
                    Err(error) if !error.is_damage() => Step::Failed(error),
                    result => Step::Chunk(result),
                },
            });
            if let Some(Step::Failed(_)) = opened.last() {
                break;
            }
        }
        // Without a receiver, the steps are not needed.
        let _ = task.done.send(opened);
    }
}

/// Returns the bytes of a chunk, verified.
fn open(reader: &ChunkReader, piece: &FilePart) -> Result<Bytes> {
    reader.io().check_cancelled()?;
    let chunk = piece.chunk;
    let found = piece.location.as_ref().and_then(|(group, start)| {
        let raw = group.raw(reader)?;
        let range = *start as usize..*start as usize + chunk.len as usize;
        let is_right = |bytes: &&[u8]| reader.verify(&chunk.id, bytes);
        raw.get(range.clone()).filter(is_right)?;
        Some(raw.slice(range))
    });
    let bytes = match found {
        Some(bytes) => bytes,
        // Read another copy, or return an error that names the reason.
        None => reader.read(&chunk.id)?.into(),
    };
    if bytes.len() == chunk.len as usize {
        Ok(bytes)
    } else {
        let message = format!("chunk {} is not as long as it should be", chunk.id);
        Err(Error::damaged_pack(message))
    }
}
