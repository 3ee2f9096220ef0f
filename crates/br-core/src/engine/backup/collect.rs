//! Puts what the workers did into path order and builds the entry tree.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::block::Block;
use super::compare::{Compare, FileOutcome, Window};
use super::dedup::{Dedup, Prover};
use super::delta::Deltas;
use super::mend::{Mender, forget_change_time};
use super::worker::{Finished, Gone, Outcome, Outputs, Shared, Worker};
use super::{BackupOptions, Start, Tally, worker_failed};
use crate::chunker::Chunker;
use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::format::{Compressor, PackContent};
use crate::model::{ChunkRef, Entry, EntryKind, EntryPath, References, Totals, TreeRoot};
use crate::progress::Event;
use crate::repository::{
    ChunkReader, Io, Journal, Packer, RawGroup, StoredPack, TreeWriter, target_pack_len,
};
use crate::source::Source;

/// Finished jobs that wait for the collector.
const FINISHED_QUEUE: usize = 16;
/// Blocks of large files that wait for a free worker, each about 1 MiB.
const BLOCK_QUEUE: usize = 4;

/// Everything is stored, nothing is committed.
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
    let packer = match options.dry_run {
        true => None,
        false => Some(start_packer(io, start, &journal)?),
    };
    let prover = options
        .verify_known
        .then(|| Prover::new(ChunkReader::new(io, Arc::clone(&start.index))));
    let dedup =
        Dedup::new(Arc::clone(&start.index), io.master().chunk_id_key()).with_prover(prover);
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
    // A failed packer makes everyone else stop without a reason of their own: its error comes first.
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

/// A journal that cannot be written costs the chance to resume, not the backup.
fn open_journal(folder: &std::path::Path, io: &Io) -> Option<Journal> {
    Journal::create(folder, io)
        .map_err(|error| {
            let reason = in_one_line(&error);
            let message = format!("if this backup is interrupted, it cannot be resumed: {reason}");
            io.context
                .progress
                .event(Event::Warning { message: &message });
        })
        .ok()
}

fn start_packer(io: &Io, start: &Start, journal: &Arc<Mutex<Option<Journal>>>) -> Result<Packer> {
    let stored: u64 = start.index.packs().map(|pack| pack.len).sum();
    let journal = Arc::clone(journal);
    let on_stored = Box::new(move |pack| {
        if let Ok(mut journal) = journal.lock() {
            // As above: a journal that fails is given up.
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

/// Runs walk, workers and collector to the end.
fn pipe(
    io: &Io,
    source: Box<dyn Source>,
    start: &Start,
    options: &BackupOptions,
    dedup: &Dedup,
    groups: Option<&Sender<RawGroup>>,
    journal: &Mutex<Option<Journal>>,
) -> Result<Piped> {
    let chunker = Chunker::new(io.master(), &io.repository.config().chunker);
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
        cancelled: &cancelled,
        bytes_read: AtomicU64::new(0),
        bytes_added: AtomicU64::new(0),
    };
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let workers = options.threads.unwrap_or(cores).clamp(1, 64);
    let window = Window::open();
    let (job_sender, jobs) = bounded(workers);
    let (finished_sender, finished) = bounded(FINISHED_QUEUE);
    let (block_sender, blocks) = bounded::<Block>(BLOCK_QUEUE);
    thread::scope(|scope| {
        let compare = Compare::new(io, source, start, dedup);
        let window = &window;
        let walk = scope.spawn(move || compare.run(&job_sender, window));
        let mut threads = Vec::new();
        for _ in 0..workers {
            let outputs = Outputs {
                finished: finished_sender.clone(),
                groups: groups.cloned(),
            };
            let worker = Worker::new(&shared, outputs, block_sender.clone());
            let (jobs, blocks) = (jobs.clone(), blocks.clone());
            threads.push(scope.spawn(move || {
                let guard = window.guard();
                let result = worker.run(&jobs, &blocks);
                if result.is_ok() {
                    guard.disarm();
                }
                result
            }));
        }
        // Only the threads hold these now: the channels end when the threads do.
        drop((finished_sender, block_sender, jobs, blocks));
        let mut collector = Collector::new(io, dedup, groups, journal);
        collector.needs_everything = start.needs_everything;
        let guard = window.guard();
        let collected = collector.run(&finished, window);
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

/// Builds the tree from finished jobs.
struct Collector<'a> {
    io: &'a Io,
    journal: &'a Mutex<Option<Journal>>,
    nodes: NodeStore<'a>,
    tree: TreeWriter,
    tally: Tally,
    references: References,
    mender: Mender,
    /// The last entry that nothing can lie below.
    last_end: Option<EntryPath>,
    /// Whether an entry that cannot be read fails the backup.
    needs_everything: bool,
}

impl<'a> Collector<'a> {
    fn new(
        io: &'a Io,
        dedup: &'a Dedup,
        groups: Option<&'a Sender<RawGroup>>,
        journal: &'a Mutex<Option<Journal>>,
    ) -> Self {
        let nodes = NodeStore {
            dedup,
            groups,
            compressor: Compressor::new(3),
            bytes_added: 0,
        };
        let (tree, tally) = (TreeWriter::default(), Tally::default());
        Self {
            io,
            journal,
            nodes,
            tree,
            tally,
            references: References::default(),
            mender: Mender::default(),
            last_end: None,
            needs_everything: false,
        }
    }

    /// Takes jobs in order until the workers are done; returns how many there were.
    fn run(&mut self, finished: &Receiver<Finished>, window: &Window) -> Result<u64> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for job in finished {
            waiting.insert(job.number, job.results);
            while let Some(results) = waiting.remove(&next) {
                next += 1;
                window.advance(next);
                for outcome in results {
                    self.take(outcome)?;
                }
            }
        }
        Ok(next)
    }

    fn take(&mut self, outcome: Outcome) -> Result<()> {
        let (mut entry, file, missing) = match outcome {
            Outcome::Entry {
                entry,
                file,
                missing,
            } => (entry, file, missing),
            Outcome::Failed { path, reason } => return self.leave_out(&path, reason),
            Outcome::LeftOut { path, reason } => {
                let (path, reason) = (&path, &reason);
                let event = Event::LeftOut { path, reason };
                self.io.context.progress.event(event);
                return Ok(());
            }
            Outcome::Told {
                message,
                is_warning,
            } => {
                let message = &message;
                let event = match is_warning {
                    true => Event::Warning { message },
                    false => Event::Note { message },
                };
                self.io.context.progress.event(event);
                return Ok(());
            }
        };
        self.check_place(&entry)?;
        let mended = self.mender.mend(&mut entry);
        if let Err(error) = entry.check() {
            return self.leave_out(&entry.path, error.to_string());
        }
        let missing: Vec<_> = missing.into_iter().chain(mended).collect();
        if !missing.is_empty() {
            forget_change_time(&mut entry);
            self.name(&entry.path, missing.join("; "));
        }
        self.count(&entry, file);
        if let Ok(mut journal) = self.journal.lock()
            && journal
                .as_mut()
                .is_some_and(|journal| journal.push_entry(&entry).is_err())
        {
            *journal = None;
        }
        let (nodes, references) = (&mut self.nodes, &mut self.references);
        self.tree
            .push(&entry, &mut |node| nodes.store(node, references))
    }

    /// Refuses what lies below something that is no folder. Only a link may lead to more: it is followed on the way to a path
    /// that was typed.
    fn check_place(&mut self, entry: &Entry) -> Result<()> {
        let below = self.last_end.as_ref();
        if let Some(end) = below.filter(|end| entry.path.is_within(end) && entry.path != **end) {
            return Err(Error::invalid(format!(
                "the source gave {} below {end}, which is no folder",
                entry.path
            )));
        }
        if !matches!(entry.kind, EntryKind::Directory | EntryKind::Symlink(_)) {
            self.last_end = Some(entry.path.clone());
        }
        Ok(())
    }

    /// An entry that could not be read.
    fn leave_out(&mut self, path: &EntryPath, reason: String) -> Result<()> {
        if self.needs_everything {
            let message = format!("cannot read {path}: nothing was backed up");
            return Err(Error::new(ErrorKind::Io, message).with_source(reason));
        }
        self.name(path, reason);
        Ok(())
    }

    /// Tells of an entry that is not in the backup, or not with everything.
    fn name(&mut self, path: &EntryPath, reason: String) {
        let progress = &self.io.context.progress;
        progress.event(Event::Failed {
            path,
            reason: &reason,
        });
        self.tally.unread(path, reason);
    }

    fn count(&mut self, entry: &Entry, file: FileOutcome) {
        let progress = &self.io.context.progress;
        let changes = &mut self.tally.changes;
        match file {
            FileOutcome::NotAFile(_) => {}
            FileOutcome::Unchanged | FileOutcome::Same => changes.files_unchanged += 1,
            FileOutcome::New => changes.files_new += 1,
            FileOutcome::Changed => changes.files_changed += 1,
        }
        let bytes = if file == FileOutcome::Unchanged {
            entry.size()
        } else {
            0
        };
        progress.event(Event::Advance { bytes, entries: 1 });
        let (path, action) = (&entry.path, file.action());
        progress.event(Event::Entry { path, action });
        if let (EntryKind::File(content), true) = (&entry.kind, file != FileOutcome::Unchanged)
            && content.torn
        {
            self.tally.torn += 1;
            let message = format!("{} changed while it was read", entry.path);
            progress.event(Event::Warning { message: &message });
        }
    }

    fn finish(&mut self, references: &mut References) -> Result<(Option<TreeRoot>, Totals)> {
        let tree = std::mem::take(&mut self.tree);
        let totals = tree.totals();
        let nodes = &mut self.nodes;
        let root = tree.finish(&mut |node| nodes.store(node, references))?;
        self.tally.changes.bytes_added += self.nodes.bytes_added;
        Ok((root, totals))
    }
}

/// Stores tree nodes that the repository does not have.
struct NodeStore<'a> {
    dedup: &'a Dedup,
    groups: Option<&'a Sender<RawGroup>>,
    compressor: Compressor,
    bytes_added: u64,
}

impl NodeStore<'_> {
    fn store(&mut self, node: &[u8], references: &mut References) -> Result<ChunkRef> {
        let chunk = ChunkRef {
            id: self.dedup.id(node),
            len: node.len() as u32,
        };
        if !self.dedup.claim(chunk.id, references) {
            return Ok(chunk);
        }
        self.bytes_added += node.len() as u64;
        if let Some(groups) = self.groups {
            let (codec, stored) = self.compressor.compress(node);
            let content = PackContent::Tree;
            let group = RawGroup {
                content,
                codec,
                stored,
                chunks: vec![chunk],
                bases: Vec::new(),
            };
            groups
                .send(group)
                .map_err(|_| Error::internal("the packer ended too early"))?;
        }
        Ok(chunk)
    }
}

impl std::fmt::Debug for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gone")
    }
}
