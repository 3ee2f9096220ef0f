//! The pipeline of a backup: walk, workers, collector and packer, each on separate threads.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Sender, bounded};

use super::block::Block;
use super::collect::Collector;
use super::compare::Compare;
use super::dedup::{Dedup, Prover};
use super::delta::Deltas;
use super::options::BackupOptions;
use super::shared::Shared;
use super::start::Start;
use super::tally::Tally;
use super::walk_limit::WalkLimit;
use super::worker::{Outputs, Worker};
use crate::chunker::Chunker;
use crate::error::{Error, Result};
use crate::model::{References, Totals, TreeRoot};
use crate::repository::{ChunkReader, Io, Journal, Packer, RawGroup, StoredPack, target_pack_len};
use crate::source::Source;
use crate::warning::Warning;

/// Finished jobs that may wait for the collector.
const FINISHED_QUEUE: usize = 16;
/// Blocks of large files that may wait for a free worker; each has about 1 MiB.
const BLOCK_QUEUE: usize = 4;

/// Result of the pipeline: everything is stored, but nothing is committed yet.
pub(super) struct Collected {
    pub(super) tally: Tally,
    pub(super) tree: Option<TreeRoot>,
    pub(super) totals: Totals,
    pub(super) packs: Vec<StoredPack>,
    pub(super) references: References,
    pub(super) journal: Option<Journal>,
}

pub(super) fn run(
    io: &Io,
    source: Box<dyn Source>,
    start: &Start,
    options: &BackupOptions,
) -> Result<Collected> {
    let journal = match (&options.journal, options.dry_run) {
        (Some(folder), false) => open_journal(folder, io),
        _ => None,
    };
    let journal = Arc::new(Mutex::new(journal));
    let packer = if options.dry_run {
        None
    } else {
        Some(start_packer(io, start, &journal)?)
    };
    let prover = options
        .verify_known
        .then(|| Arc::new(Prover::new(ChunkReader::new(io, Arc::clone(&start.index)))));
    let dedup = Dedup::new(
        Arc::clone(&start.index),
        io.keyring().first().chunk_id_key(),
    )
    .with_prover(prover);
    let groups = packer.as_ref().map(Packer::sender);
    let piped = pipe(
        io,
        source,
        start,
        options,
        &dedup,
        groups.as_ref(),
        &journal,
    );
    drop(groups);
    // If the packer fails, all other stages stop without a specific reason, so report the packer's error first.
    let packs = packer.map(Packer::finish).transpose()?.unwrap_or_default();
    let (tally, tree, totals, mut references) = piped?;
    for pack in &packs {
        references.insert_all(pack.entry.id, pack.ids.len() as u32);
    }
    let journal = Arc::into_inner(journal).and_then(|journal| journal.into_inner().ok().flatten());
    let mut collected = Collected {
        tally,
        tree,
        totals,
        packs,
        references,
        journal,
    };
    collected.tally.changes.bytes_stored = collected.packs.iter().map(|p| p.entry.len).sum();
    Ok(collected)
}

/// If the journal cannot be written, an interrupted backup cannot be resumed, but the backup itself continues.
fn open_journal(folder: &std::path::Path, io: &Io) -> Option<Journal> {
    Journal::create(folder, io)
        .map_err(|error| io.warn(&Warning::NoJournal { error }))
        .ok()
}

fn start_packer(io: &Io, start: &Start, journal: &Arc<Mutex<Option<Journal>>>) -> Result<Packer> {
    let stored: u64 = start.index.packs().map(|pack| pack.len).sum();
    let journal = Arc::clone(journal);
    let on_stored = Box::new(move |pack| {
        if let Ok(mut journal) = journal.lock() {
            // As in `open_journal`: without the journal, the backup continues.
            let failed = journal
                .as_mut()
                .is_some_and(|j| j.push_packs(&[pack]).is_err());
            if failed {
                *journal = None;
            }
        }
    });
    Packer::start(io, target_pack_len(stored), on_stored)
}

type Piped = (Tally, Option<TreeRoot>, Totals, References);

/// Runs the walk, the workers and the collector to the end.
fn pipe(
    io: &Io,
    source: Box<dyn Source>,
    start: &Start,
    options: &BackupOptions,
    dedup: &Dedup,
    groups: Option<&Sender<RawGroup>>,
    journal: &Mutex<Option<Journal>>,
) -> Result<Piped> {
    let chunker = Chunker::new(io.keyring().first(), &io.repository.config().chunker);
    let deltas = start.deltas.then(|| {
        let reader = ChunkReader::new(io, Arc::clone(&start.index));
        Deltas::new(reader, options.level)
    });
    let cancelled = || io.context.cancel.is_cancelled();
    let shared = Shared {
        dedup,
        chunker: &chunker,
        config: io.repository.config().chunker,
        level: options.level,
        deltas: deltas.as_ref(),
        progress: &*io.context.progress,
        clock: &*io.context.runtime.clock,
        cancelled: &cancelled,
        bytes_read: AtomicU64::new(0),
        bytes_added: AtomicU64::new(0),
    };
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let workers = options.threads.unwrap_or(cores).clamp(1, 64);
    let walk_limit = WalkLimit::open();
    let (job_sender, jobs) = bounded(workers);
    let (finished_sender, finished) = bounded(FINISHED_QUEUE);
    let (block_sender, blocks) = bounded::<Block>(BLOCK_QUEUE);
    thread::scope(|scope| {
        let compare = Compare::new(io, source, start, dedup);
        let walk_limit = &walk_limit;
        let walk = scope.spawn(move || compare.run(&job_sender, walk_limit));
        let mut threads = Vec::new();
        for _ in 0..workers {
            let outputs = Outputs {
                finished: finished_sender.clone(),
                groups: groups.cloned(),
            };
            let worker = Worker::new(&shared, outputs, block_sender.clone());
            let (jobs, blocks) = (jobs.clone(), blocks.clone());
            threads.push(scope.spawn(move || {
                let guard = walk_limit.guard();
                let result = worker.run(&jobs, &blocks);
                if result.is_ok() {
                    guard.disarm();
                }
                result
            }));
        }
        // Drop these handles so that only the threads hold the channels, which close when the threads end.
        drop((finished_sender, block_sender, jobs, blocks));
        let mut collector = Collector::new(io, dedup, groups, journal);
        collector.needs_everything = start.needs_everything;
        let guard = walk_limit.guard();
        let collected = collector.run(&finished, walk_limit);
        drop(finished);
        drop(guard);
        let walked = walk.join().map_err(|_| worker_failed())?;
        let mut references = std::mem::take(&mut collector.references);
        for thread in threads {
            if let Ok(more) = thread.join().map_err(|_| worker_failed())? {
                references.union(&more);
            }
        }
        io.check_cancelled()?;
        let done = collected?;
        match walked {
            Some((more, number)) if number == done => references.union(&more),
            _ => return Err(Error::internal("the backup's workers ended too early")),
        }
        let (tree, totals) = collector.finish(&mut references)?;
        let mut tally = collector.tally;
        tally.changes.bytes_read = shared.bytes_read.load(Ordering::Relaxed);
        tally.changes.bytes_added += shared.bytes_added.load(Ordering::Relaxed);
        Ok((tally, tree, totals, references))
    })
}

/// The error returned when a worker panics.
fn worker_failed() -> Error {
    Error::internal("a worker panicked")
}
