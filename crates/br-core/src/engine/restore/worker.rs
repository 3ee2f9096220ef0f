//! Workers: open groups, verify chunks and write files.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use tokio::task::JoinHandle;

use super::files::FileJob;
use super::report::Shared;
use crate::error::{Error, Result, in_one_line};
use crate::format::{Group, PackSeal, TAG_LEN};
use crate::model::{ChunkId, ChunkRef, Content, Entry, EntryKind};
use crate::target::Cursor;

/// A task for a worker.
pub(super) struct Task {
    pub(super) kind: TaskKind,
}

pub(super) enum TaskKind {
    /// Entries without chunks.
    Small(Vec<Entry>),
    /// Groups of one pack. `bytes` fetches them, beginning at offset `start` of the pack.
    Groups {
        pack: PackSeal,
        start: u64,
        bytes: JoinHandle<Result<Bytes, br_storage::Error>>,
        groups: Vec<GroupWork>,
    },
    /// Chunks stored as deltas, ordered by their base.
    Deltas(Vec<WritePart>),
}

/// A group and the chunks to write from it.
pub(super) struct GroupWork {
    pub(super) number: u32,
    pub(super) offset: u64,
    pub(super) group: Group,
    pub(super) pieces: Vec<WritePart>,
}

/// A chunk and its destination.
pub(super) struct WritePart {
    pub(super) id: ChunkId,
    /// Offset in the unpacked group.
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) job: Arc<FileJob>,
    /// Offset in the file's content.
    pub(super) position: u64,
}

/// One worker thread.
pub(super) fn run(shared: &Arc<Shared>, mut cursor: Cursor, tasks: &Receiver<Task>) {
    for task in tasks {
        if shared.io.check_cancelled().is_err() {
            // The planner also checks for cancellation and stops. Discard the queued tasks.
            continue;
        }
        match task.kind {
            TaskKind::Small(entries) => write_small(shared, &mut cursor, &entries),
            TaskKind::Groups {
                pack,
                start,
                bytes,
                groups,
            } => {
                let fetched = shared.io.block(async {
                    bytes
                        .await
                        .map_err(|e| Error::internal("a request panicked").with_source(e))?
                        .map_err(Error::from)
                });
                write_groups(shared, &mut cursor, pack, start, &fetched, groups);
            }
            TaskKind::Deltas(pieces) => write_deltas(shared, &mut cursor, &pieces),
        }
    }
}

fn write_small(shared: &Shared, cursor: &mut Cursor, entries: &[Entry]) {
    for entry in entries {
        let written = match &entry.kind {
            EntryKind::File(file) if file.holes.is_empty() => {
                let bytes = match &file.content {
                    Content::Inline(bytes) => &bytes[..],
                    Content::Chunks(_) => &[],
                };
                cursor.write_small(entry, bytes, &shared.metadata)
            }
            EntryKind::File(_) => write_sparse(shared, cursor, entry),
            _ => cursor.make_special(entry, &shared.metadata),
        };
        shared.wrote(entry, written);
        shared.update(|report| report.bytes_restored += data_len(entry));
        shared.advance(entry.size(), 1);
    }
}

/// Writes a sparse file that has at most inline bytes.
fn write_sparse(
    shared: &Shared,
    cursor: &mut Cursor,
    entry: &Entry,
) -> Result<Vec<crate::target::MetadataWarning>, crate::target::TargetError> {
    let EntryKind::File(content) = &entry.kind else {
        return Ok(Vec::new());
    };
    let file = cursor.create_file(&entry.path)?;
    if let Content::Inline(bytes) = &content.content {
        let mut rest = &bytes[..];
        for extent in content.data_extents() {
            let (now, later) = rest.split_at(rest.len().min(extent.len as usize));
            file.write_at(extent.offset, now)?;
            rest = later;
        }
    }
    file.set_len(content.size)?;
    file.finish(entry, &shared.metadata)
}

fn data_len(entry: &Entry) -> u64 {
    if let EntryKind::File(file) = &entry.kind {
        file.data_len()
    } else {
        0
    }
}

fn write_groups(
    shared: &Shared,
    cursor: &mut Cursor,
    pack: PackSeal,
    start: u64,
    fetched: &Result<Bytes>,
    groups: Vec<GroupWork>,
) {
    for work in groups {
        let raw = match fetched {
            Ok(bytes) => {
                let at = (work.offset - start) as usize;
                let sealed = bytes.get(at..at + work.group.stored_len as usize + TAG_LEN);
                let sealed = sealed.unwrap_or_default();
                shared
                    .reader
                    .open_group(pack, work.number, &work.group, sealed)
            }
            Err(error) => Err(Error::new(error.kind(), error.to_string())),
        };
        for piece in work.pieces {
            let chunk = raw.as_ref().ok().and_then(|raw| {
                let end = piece.start as usize + piece.len as usize;
                raw.get(piece.start as usize..end)
            });
            match chunk.filter(|bytes| shared.reader.verify(&piece.id, bytes)) {
                Some(bytes) => write_piece(shared, cursor, &piece, bytes),
                // Another copy of the chunk may exist.
                None => write_read(shared, cursor, &piece, shared.reader.read(&piece.id)),
            }
        }
    }
}

fn write_deltas(shared: &Shared, cursor: &mut Cursor, pieces: &[WritePart]) {
    let chunk = |piece: &WritePart| ChunkRef {
        id: piece.id,
        len: piece.len,
    };
    let chunks: Vec<_> = pieces.iter().map(chunk).collect();
    let read = shared.reader.read_many(&chunks);
    for (piece, bytes) in pieces.iter().zip(read) {
        write_read(shared, cursor, piece, bytes);
    }
}

fn write_read(shared: &Shared, cursor: &mut Cursor, piece: &WritePart, read: Result<Vec<u8>>) {
    match read {
        Ok(bytes) => write_piece(shared, cursor, piece, &bytes),
        Err(error) => {
            let (reason, is_damage) = (in_one_line(&error), error.is_damage());
            piece.job.fail(shared, reason, is_damage);
        }
    }
}

fn write_piece(shared: &Shared, cursor: &mut Cursor, piece: &WritePart, bytes: &[u8]) {
    if piece.job.is_single() {
        let entry = &piece.job.entry;
        shared.wrote(entry, cursor.write_small(entry, bytes, &shared.metadata));
    } else {
        piece.job.write(shared, cursor, piece.position, bytes);
    }
    let entries = u64::from(piece.position == 0);
    shared.advance(bytes.len() as u64, entries);
    shared.update(|report| report.bytes_restored += bytes.len() as u64);
}
