//! Workers: read files, cut, hash, deduplicate and compress them.

use std::io::{self, Read};
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, TrySendError, select_biased};

use super::block::{Block, Storer};
use super::delta::PreviousVersion;
use super::digest::{FileDigest, sha256_of};
use super::folder::Pass;
use super::job::{FileOutcome, Finished, Item, Job, Outcome, Place};
use super::shared::{Disconnected, Shared};
use super::window::{READ_LEN, Window};
use crate::model::{ChunkRef, Content, Entry, EntryKind, FileContent, References, StreamRecord};
use crate::progress::{Action, Event};
use crate::repository::{GROUP_LEN, RawGroup};
use crate::source::Details;

/// Bytes that are read first if the length is unknown.
const PROBE_LEN: u64 = 4095;
/// Smaller files are not stored as deltas: that would take longer than it saves.
const MIN_DELTA: usize = 32 << 10;

/// Which metadata of a file could not be read, and how the stream ended if it is one.
type ReadEnd = (Option<String>, Option<Box<StreamRecord>>);

/// The output channels of a worker. In a dry run there is none for groups.
pub(super) struct Outputs {
    pub(super) finished: Sender<Finished>,
    pub(super) groups: Option<Sender<RawGroup>>,
}

/// One worker thread.
pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared<'a>,
    finished: Sender<Finished>,
    storer: Storer<'a>,
    /// Blocks of large files, for any worker that is free.
    blocks: Sender<Block>,
    /// Chunks of small files that wait to be stored together.
    block: Block,
    window: Window,
    references: References,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, outputs: Outputs, blocks: Sender<Block>) -> Self {
        Self {
            shared,
            finished: outputs.finished,
            storer: Storer::new(shared, outputs.groups),
            blocks,
            block: Block::default(),
            window: Window::default(),
            references: References::default(),
        }
    }

    /// Processes jobs and blocks until both channels are closed. Returns the references of the files that this worker read.
    pub(super) fn run(
        mut self,
        jobs: &Receiver<Job>,
        blocks: &Receiver<Block>,
    ) -> Result<References, Disconnected> {
        loop {
            select_biased! {
                recv(blocks) -> block => if let Ok(block) = block { self.store(block)? },
                recv(jobs) -> job => match job {
                    Ok(job) => self.work(job)?,
                    Err(_) => break,
                },
            }
        }
        let rest = std::mem::take(&mut self.block);
        self.store(rest)?;
        let Self {
            blocks: sender,
            mut storer,
            mut references,
            ..
        } = self;
        drop(sender);
        for block in blocks {
            storer.store(block, &mut references)?;
        }
        Ok(references)
    }

    fn work(&mut self, job: Job) -> Result<(), Disconnected> {
        let mut results = Vec::with_capacity(job.items.len());
        for item in job.items {
            if (self.shared.cancelled)() {
                return Err(Disconnected);
            }
            results.push(match item {
                Item::Folder {
                    folder,
                    reader,
                    known,
                } => {
                    results.extend(Pass::new(self, folder, known).run(reader)?);
                    continue;
                }
                Item::Done {
                    entry,
                    unchanged_file,
                } => {
                    let file = if unchanged_file {
                        FileOutcome::Unchanged
                    } else {
                        FileOutcome::NotAFile(Action::Unchanged)
                    };
                    Outcome::Entry {
                        entry,
                        file,
                        missing: None,
                        stream: None,
                    }
                }
                Item::Ready(outcomes) => {
                    results.extend(outcomes);
                    continue;
                }
                Item::Fetch {
                    entry,
                    details,
                    known,
                    action,
                } => self.fetch(entry, details, known.as_deref(), action)?,
            });
        }
        match job.place {
            Place::Number(number) => {
                let finished = Finished { number, results };
                self.finished.send(finished).map_err(|_| Disconnected)
            }
            Place::First(path, sender) => sender.send((path, results)).map_err(|_| Disconnected),
        }
    }

    fn fetch(
        &mut self,
        mut entry: Entry,
        mut details: Box<dyn Details>,
        known: Option<&FileContent>,
        action: Action,
    ) -> Result<Outcome, Disconnected> {
        let result = if matches!(entry.kind, EntryKind::File(_)) {
            self.read(&mut entry, details, known)?
        } else {
            complete(&mut entry, &mut *details).map(|missing| (missing, None))
        };
        Ok(match result {
            Ok((missing, stream)) => {
                let file = match &entry.kind {
                    EntryKind::File(now) => outcome_of(now, known),
                    _ => FileOutcome::NotAFile(action),
                };
                Outcome::Entry {
                    entry,
                    file,
                    missing,
                    stream,
                }
            }
            Err(error) => Outcome::Failed {
                path: entry.path,
                error,
            },
        })
    }

    /// Reads a file's content. Returns which metadata could not be read, and how the stream ended if it is one.
    fn read(
        &mut self,
        entry: &mut Entry,
        details: Box<dyn Details>,
        known: Option<&FileContent>,
    ) -> Result<io::Result<ReadEnd>, Disconnected> {
        let began = self.shared.clock.now();
        let mut reader = match details.open(entry) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        let EntryKind::File(file) = &mut entry.kind else {
            return Ok(Err(io::Error::other("is no longer a regular file")));
        };
        // Ignore content and hash from the source: they are computed here.
        (file.content, file.sha256) = (Content::default(), None);
        let holes = match file.hole_bytes() {
            Ok(holes) => holes,
            Err(error) => return Ok(Err(io::Error::other(error))),
        };
        let expected = file.size - holes;
        // A stream does not know its length in advance.
        let is_announced = file.size > 0;
        let data_len = match self.read_content(file, expected, &mut *reader, known)? {
            Ok(len) => len,
            Err(error) => return Ok(Err(error)),
        };
        let is_consistent = match reader.finish() {
            Ok(is_consistent) => is_consistent,
            Err(error) => return Ok(Err(error)),
        };
        let is_other_length = data_len != expected && is_announced && reader.is_size_reliable();
        file.torn |= !is_consistent || is_other_length;
        if data_len != expected {
            set_data_len(file, data_len);
        }
        let record = reader.record().map(|record| {
            let ended = self.shared.clock.now();
            Box::new(record.with_times(Some(began), Some(ended)))
        });
        Ok(Ok((reader.incomplete(), record)))
    }

    /// Reads the bytes outside of holes, and returns their number. There should be `expected` of them.
    pub(super) fn read_content(
        &mut self,
        file: &mut FileContent,
        expected: u64,
        reader: &mut dyn Read,
        known: Option<&FileContent>,
    ) -> Result<io::Result<u64>, Disconnected> {
        let known = known.filter(|_| self.shared.deltas.is_some());
        let previous = PreviousVersion::of(known);
        self.window.clear();
        if expected > u64::from(self.shared.config.small_file) {
            return self.read_large(file, reader, previous);
        }
        // Most files of length 0 are really empty.
        let probe = PROBE_LEN.min(self.shared.config.small_file.into());
        let expected = if file.size > 0 { expected } else { probe };
        self.read_small(file, expected, reader, previous)
    }

    fn advance(&self, bytes: u64) {
        self.shared.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        self.shared
            .progress
            .event(Event::Advance { bytes, entries: 0 });
    }

    /// Reads a file that has at most one chunk.
    fn read_small(
        &mut self,
        file: &mut FileContent,
        expected: u64,
        reader: &mut dyn Read,
        mut previous: Option<PreviousVersion<'_>>,
    ) -> Result<io::Result<u64>, Disconnected> {
        // Try to read one byte more than expected, to detect a file that has grown.
        let most = expected as usize + 1;
        while self.window.data().len() < most {
            match self.window.read(reader, most - self.window.data().len()) {
                Ok([]) => break,
                Ok(_) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        let len = self.window.data().len();
        if len as u64 > expected {
            return self.read_large(file, reader, previous);
        }
        self.advance(len as u64);
        let data = self.window.data();
        if len <= self.shared.config.inline as usize {
            file.content = Content::Inline(data.into());
            return Ok(Ok(len as u64));
        }
        file.sha256 = sha256_of(file, data);
        let shared = self.shared;
        let id = shared.dedup.id(data);
        let chunk = ChunkRef {
            id,
            len: len as u32,
        };
        file.content = Content::Chunks(vec![chunk]);
        if shared.dedup.claim(id, &mut self.references) {
            let previous = previous.as_mut().filter(|_| len >= MIN_DELTA);
            if let Some(previous) = previous {
                let mut block = Block::default();
                block.push(chunk, data);
                self.keep(block.with_bases(previous.rest()))?;
                return Ok(Ok(len as u64));
            }
            self.block.push(chunk, data);
            if self.block.len() >= GROUP_LEN {
                let block = std::mem::take(&mut self.block);
                self.store(block)?;
            }
        }
        Ok(Ok(len as u64))
    }

    /// Reads a file of any length and cuts it by content. The window has the bytes that were already read.
    fn read_large(
        &mut self,
        file: &mut FileContent,
        reader: &mut dyn Read,
        mut previous: Option<PreviousVersion<'_>>,
    ) -> Result<io::Result<u64>, Disconnected> {
        let shared = self.shared;
        let mut digest = FileDigest::if_short(file);
        let mut window = std::mem::take(&mut self.window);
        let mut chunks = Vec::new();
        let mut block = Block::default();
        let (mut total, mut ended) = (window.data().len() as u64, false);
        if let Some(digest) = &mut digest {
            digest.update(window.data());
        }
        self.advance(total);
        loop {
            while !ended && window.data().len() < shared.chunker.max_len() {
                match window.read(reader, READ_LEN) {
                    Ok([]) => ended = true,
                    Ok(new) => {
                        if let Some(digest) = &mut digest {
                            digest.update(new);
                        }
                        total += new.len() as u64;
                        self.advance(new.len() as u64);
                    }
                    Err(error) => {
                        // Store these chunks: they are claimed, so another file may rely on them.
                        self.keep(block)?;
                        return Ok(Err(error));
                    }
                }
                if (shared.cancelled)() {
                    return Err(Disconnected);
                }
            }
            if window.data().is_empty() {
                break;
            }
            if ended && chunks.is_empty() && total <= u64::from(shared.config.inline) {
                file.content = Content::Inline(window.data().into());
                self.window = window;
                return Ok(Ok(total));
            }
            let data = window.data();
            let data = &data[..shared.chunker.cut(data)];
            let chunk = ChunkRef {
                id: shared.dedup.id(data),
                len: data.len() as u32,
            };
            chunks.push(chunk);
            if shared.dedup.claim(chunk.id, &mut self.references) {
                block.push(chunk, data);
                if block.len() >= GROUP_LEN {
                    let like = previous
                        .as_mut()
                        .map(|previous| previous.pass(block.chunks()));
                    let full = std::mem::take(&mut block);
                    self.offer(full.with_bases(like.unwrap_or_default()))?;
                }
            } else if let Some(previous) = &mut previous {
                let like = previous.meet(&chunk.id);
                if block.len() > 0 && !like.is_none() {
                    self.offer(std::mem::take(&mut block).with_bases(like))?;
                }
            }
            let passed = data.len();
            window.pass(passed);
        }
        // The last chunks of the file share a group with the next file's chunks.
        let like = previous
            .as_mut()
            .map(PreviousVersion::rest)
            .unwrap_or_default();
        self.keep(block.with_bases(like))?;
        self.window = window;
        if total > 0 {
            file.content = Content::Chunks(chunks);
            file.sha256 = digest.map(FileDigest::finish);
        }
        Ok(Ok(total))
    }

    /// Lets another worker compress the block if the queue has room; otherwise compresses it here.
    fn offer(&mut self, block: Block) -> Result<(), Disconnected> {
        match self.blocks.try_send(block) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(block) | TrySendError::Disconnected(block)) => self.store(block),
        }
    }

    fn keep(&mut self, block: Block) -> Result<(), Disconnected> {
        if block.is_own_group() || self.block.len() + block.len() >= 2 * GROUP_LEN {
            return self.store(block);
        }
        self.block.append(block);
        Ok(())
    }

    fn store(&mut self, block: Block) -> Result<(), Disconnected> {
        self.storer.store(block, &mut self.references)
    }
}

/// Completes an entry that is not a regular file. Returns which metadata could not be read.
fn complete(entry: &mut Entry, details: &mut dyn Details) -> io::Result<Option<String>> {
    details.complete(entry)?;
    match entry.kind {
        EntryKind::File(_) => Err(io::Error::other("became a regular file")),
        _ => Ok(details.incomplete()),
    }
}

/// How a file that was read compares with the base.
pub(super) fn outcome_of(now: &FileContent, before: Option<&FileContent>) -> FileOutcome {
    match before {
        Some(before) if is_same(now, before) => FileOutcome::Same,
        Some(_) => FileOutcome::Changed,
        None => FileOutcome::New,
    }
}

/// True when both have the same content.
fn is_same(now: &FileContent, before: &FileContent) -> bool {
    now.size == before.size && now.content == before.content && now.holes == before.holes
}

/// Corrects the length of a file that had more or fewer bytes than expected.
fn set_data_len(file: &mut FileContent, data_len: u64) {
    if file.holes.is_empty() {
        file.size = data_len;
        return;
    }
    // The sparse file shrank: remove everything after the last byte read, including trailing holes.
    let mut left = data_len;
    let mut end = 0;
    for extent in file.data_extents() {
        let here = extent.len.min(left);
        left -= here;
        if here > 0 {
            end = extent.offset + here;
        }
    }
    if left > 0 {
        // The file grew: the additional bytes follow the old end.
        file.size = file.size.saturating_add(left);
    } else {
        file.holes.retain(|hole| hole.offset + hole.len <= end);
        file.size = end;
    }
    file.torn = true;
    // The hash was computed for the old length.
    file.sha256 = None;
}
