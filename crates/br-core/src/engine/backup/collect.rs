//! The collector: puts the workers' results into path order and builds the entry tree.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use crossbeam_channel::{Receiver, Sender};

use super::dedup::Dedup;
use super::job::{FileOutcome, Finished, Outcome};
use super::sanitize::{Sanitizer, forget_change_time};
use super::tally::Tally;
use super::walk_limit::WalkLimit;
use crate::error::{Error, ErrorKind, Result, Site};
use crate::format::{Compressor, PackContent};
use crate::model::{
    ChunkRef, Entry, EntryKind, EntryPath, References, StreamRecord, Totals, TreeRoot,
};
use crate::progress::Event;
use crate::repository::{Io, Journal, RawGroup, TreeWriter};
use crate::warning::Warning;

/// Builds the tree from finished jobs.
pub(super) struct Collector<'a> {
    io: &'a Io,
    journal: &'a Mutex<Option<Journal>>,
    nodes: NodeStore<'a>,
    tree: TreeWriter,
    pub(super) tally: Tally,
    pub(super) references: References,
    sanitizer: Sanitizer,
    /// The last entry that cannot have entries below it.
    last_end: Option<EntryPath>,
    /// Whether an entry that cannot be read fails the backup.
    pub(super) needs_everything: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        io: &'a Io,
        dedup: &'a Dedup,
        groups: Option<&'a Sender<RawGroup>>,
        journal: &'a Mutex<Option<Journal>>,
    ) -> Self {
        let nodes = NodeStore::new(dedup, groups);
        let (tree, tally) = (TreeWriter::default(), Tally::default());
        Self {
            io,
            journal,
            nodes,
            tree,
            tally,
            references: References::default(),
            sanitizer: Sanitizer::default(),
            last_end: None,
            needs_everything: false,
        }
    }

    /// Processes finished jobs in order until the workers end; returns the number of jobs.
    pub(super) fn run(
        &mut self,
        finished: &Receiver<Finished>,
        walk_limit: &WalkLimit,
    ) -> Result<u64> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for job in finished {
            waiting.insert(job.number, job.results);
            while let Some(results) = waiting.remove(&next) {
                next += 1;
                walk_limit.advance(next);
                for outcome in results {
                    self.take(outcome)?;
                }
            }
        }
        Ok(next)
    }

    fn take(&mut self, outcome: Outcome) -> Result<()> {
        let (mut entry, file, missing, stream) = match outcome {
            Outcome::Entry {
                entry,
                file,
                missing,
                stream,
            } => (entry, file, missing, stream),
            Outcome::Failed { path, error } => return self.leave_out(&path, error),
            Outcome::LeftOut { path, reason } => {
                let (path, reason) = (&path, &reason);
                let event = Event::LeftOut { path, reason };
                self.io.context.progress.event(event);
                return Ok(());
            }
            Outcome::Warning(warning) => {
                self.io.warn(&warning);
                return Ok(());
            }
            Outcome::Note(note) => {
                self.io.context.progress.event(Event::Note(&note));
                return Ok(());
            }
        };
        self.check_place(&entry)?;
        let dropped = self.sanitizer.sanitize(&mut entry);
        if let Err(error) = entry.check() {
            return self.leave_out(&entry.path, io::Error::other(error));
        }
        let missing: Vec<_> = missing.into_iter().chain(dropped).collect();
        if !missing.is_empty() {
            forget_change_time(&mut entry);
            self.name(&entry.path, missing.join("; "));
        }
        self.count(&entry, file);
        if let Some(record) = stream {
            self.note_stream(&entry.path, *record);
        }
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

    /// Refuses an entry below an entry that is neither a folder nor a link. Entries below a link are allowed: the walk follows links on
    /// the way to a typed path.
    fn check_place(&mut self, entry: &Entry) -> Result<()> {
        let below = self.last_end.as_ref();
        if let Some(end) = below.filter(|end| entry.path.is_within(end) && entry.path != **end) {
            return Err(Error::invalid(format!(
                "the source returned {} below {end}, which is not a folder",
                entry.path
            )));
        }
        if !matches!(entry.kind, EntryKind::Directory | EntryKind::Symlink(_)) {
            self.last_end = Some(entry.path.clone());
        }
        Ok(())
    }

    /// Reports an entry that could not be read, or fails if the source needs everything.
    fn leave_out(&mut self, path: &EntryPath, error: io::Error) -> Result<()> {
        if self.needs_everything {
            let message = format!("cannot read {path}: nothing was backed up");
            return Err(Error::new(ErrorKind::Io, message)
                .at(Site::Source)
                .with_source(error));
        }
        self.name(path, error.to_string());
        Ok(())
    }

    /// Keeps what is known of a stream, and warns if it was compressed already.
    fn note_stream(&mut self, path: &EntryPath, record: StreamRecord) {
        if let Some(format) = &record.compression {
            let (path, format) = (path.clone(), format.clone());
            self.io.warn(&Warning::CompressedStream { path, format });
        }
        self.tally.stream(record);
    }

    /// Reports an entry that is missing from the backup or lacks metadata.
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
            let path = path.clone();
            self.io.warn(&Warning::ChangedDuringRead { path });
        }
    }

    pub(super) fn finish(
        &mut self,
        references: &mut References,
    ) -> Result<(Option<TreeRoot>, Totals)> {
        let tree = std::mem::take(&mut self.tree);
        let totals = tree.totals();
        let nodes = &mut self.nodes;
        let root = tree.finish(&mut |node| nodes.store(node, references))?;
        self.tally.changes.bytes_added += self.nodes.bytes_added;
        Ok((root, totals))
    }
}

/// Stores tree nodes that the repository does not have yet.
pub(in crate::engine) struct NodeStore<'a> {
    dedup: &'a Dedup,
    groups: Option<&'a Sender<RawGroup>>,
    compressor: Compressor,
    /// Bytes of the nodes that were stored, before compression.
    pub(in crate::engine) bytes_added: u64,
}

impl<'a> NodeStore<'a> {
    /// Stores nodes through `groups`; `None` in a dry run.
    pub(in crate::engine) fn new(dedup: &'a Dedup, groups: Option<&'a Sender<RawGroup>>) -> Self {
        Self {
            dedup,
            groups,
            compressor: Compressor::new(3),
            bytes_added: 0,
        }
    }

    pub(in crate::engine) fn store(
        &mut self,
        node: &[u8],
        references: &mut References,
    ) -> Result<ChunkRef> {
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
