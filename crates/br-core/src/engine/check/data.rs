//! Reads packs in full and verifies every authentication tag and every chunk id.

use std::collections::HashSet;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{DamagedChunks, ReadData, due};
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::format::{
    Group, HEADER_LEN, ObjectKind, PackEntry, PackSeal, PackTable, SealedObject, TAG_LEN,
    TRAILER_LEN,
};
use crate::model::{ChunkId, PackId, References};
use crate::progress::Event;
use crate::repository::{Index, IndexSegment, Io, Layout};

/// Threads that read packs from a server: more than there may be cores, because they mostly wait.
const REMOTE_READERS: usize = 4;

/// The packs of the backups to check, or all packs.
pub(super) fn packs<'a>(index: &'a Index, scope: Option<&References>) -> Vec<&'a PackEntry> {
    let in_scope = |pack: &&PackEntry| scope.is_none_or(|scope| scope.get(&pack.id).is_some());
    let mut packs: Vec<_> = index.packs().filter(in_scope).collect();
    packs.sort_by_key(|pack| pack.id);
    packs.dedup_by_key(|pack| pack.id);
    packs
}

/// Chooses the packs to read: all of them, a random sample, or those that are due.
pub(super) fn choose<'a>(
    io: &Io,
    mut packs: Vec<&'a PackEntry>,
    data: ReadData,
) -> Result<Vec<&'a PackEntry>> {
    let most = match data {
        ReadData::None => return Ok(Vec::new()),
        ReadData::All => return Ok(packs),
        ReadData::Due {
            max_age, max_bytes, ..
        } => return due::choose(io, packs, max_age, max_bytes),
        ReadData::Fraction(fraction) => {
            let total: u64 = packs.iter().map(|pack| pack.len).sum();
            (total as f64 * fraction.clamp(0.0, 1.0)) as u64
        }
        ReadData::Bytes(bytes) => bytes,
    };
    packs.sort_by_cached_key(|_| io.context.runtime.bytes::<8>());
    let mut sum = 0;
    packs.retain(|pack| {
        let wanted = sum < most;
        sum += pack.len;
        wanted
    });
    Ok(packs)
}

/// Result of reading packs.
#[derive(Default)]
pub(super) struct Found {
    /// Packs with at least one damaged part.
    pub(super) bad: Vec<BadPack>,
    /// Chunks that have no readable copy, with the pack that should contain them.
    pub(super) damaged: DamagedChunks,
    /// Packs that were read in full and are intact.
    pub(super) sound: Vec<PackId>,
    pub(super) packs_read: u64,
    pub(super) bytes_read: u64,
    failed: Option<Error>,
}

/// A pack with at least one damaged part.
pub(super) struct BadPack {
    pub(super) id: PackId,
    /// The first reason, and the number of further ones.
    pub(super) reason: String,
    /// True when the header or the footer is damaged.
    pub(super) frame: bool,
    /// Number of groups whose own bytes are damaged.
    pub(super) groups: usize,
    /// The disk could not read a part, so the pack may be whole.
    pub(super) is_bad_medium: bool,
}

/// Calls `work` for each pack, on all cores. Stops early when `work` returns false.
pub(super) fn on_all_cores(
    io: &Io,
    packs: &[&PackEntry],
    work: impl Fn(&PackEntry) -> bool + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let readers = cores.max(REMOTE_READERS.min(io.storage().connections()));
    let run = || {
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !work(pack) {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let more = readers.min(packs.len()).saturating_sub(1);
        let threads: Vec<_> = (0..more)
            // If a thread cannot be started, continue with fewer threads.
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok())
            .collect();
        run();
        threads
            .into_iter()
            .try_for_each(thread::ScopedJoinHandle::join)
    })
    .map_err(|_| Error::internal("a check thread panicked"))
}

/// Reads packs in full, and remembers which ones are intact. Begins no further pack after `max_time`,
/// except those in `always`.
pub(super) fn read(
    io: &Io,
    view: &View,
    packs: &[&PackEntry],
    always: &HashSet<PackId>,
    max_time: Option<Duration>,
) -> Result<Found> {
    let found = Mutex::new(Found::default());
    let clock = &io.context.runtime.clock;
    let end = max_time.map(|time| clock.elapsed().saturating_add(time));
    on_all_cores(io, packs, |pack| {
        let is_late = end.is_some_and(|end| clock.elapsed() >= end);
        if is_late && !always.contains(&pack.id) {
            return false;
        }
        let result = read_pack(io, view, pack);
        found
            .lock()
            .is_ok_and(|mut found| found.take(io, view, pack, result))
    })?;
    let mut found = found
        .into_inner()
        .map_err(|_| Error::internal("a check thread panicked"))?;
    due::remember(io, view.reader.index(), &found);
    if let Some(error) = found.failed.take() {
        return Err(error);
    }
    found.bad.sort_by_key(|pack| pack.id);
    // A chunk is not lost if another copy is stored elsewhere.
    found.damaged.retain(|id, _| view.reader.read(id).is_err());
    Ok(found)
}

impl Found {
    /// Records the result of reading a pack. False when the check must stop.
    fn take(&mut self, io: &Io, view: &View, pack: &PackEntry, read: Result<Vec<BadPart>>) -> bool {
        match read {
            Ok(bad) => {
                self.packs_read += 1;
                self.bytes_read += pack.len;
                if bad.is_empty() {
                    self.sound.push(pack.id);
                }
                match bad.first() {
                    Some(first) => {
                        let more = match bad.len() - 1 {
                            0 => String::new(),
                            1 => " (and one more group)".to_owned(),
                            more => format!(" (and {more} more groups)"),
                        };
                        self.bad.push(BadPack {
                            id: pack.id,
                            reason: format!("{}{more}", first.reason),
                            frame: bad.iter().any(|bad| bad.group.is_none()),
                            is_bad_medium: bad.iter().any(|bad| bad.is_bad_medium),
                            groups: io.damage.count(pack.id),
                        });
                    }
                    None if view.reader.index().bad_groups().contains_key(&pack.id) => {
                        io.damage.note_sound(pack.id);
                    }
                    None => {}
                }
                let chunks = bad.into_iter().flat_map(|bad| bad.chunks);
                self.damaged.extend(chunks.map(|id| (id, pack.id)));
                true
            }
            // The structure check reports missing packs, with the files that need them.
            Err(error) if error.kind() == ErrorKind::Damaged => true,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}

/// A damaged part of a pack.
struct BadPart {
    reason: String,
    /// `None` for the header, the footer, or a contradiction with the index.
    group: Option<u32>,
    chunks: Vec<ChunkId>,
    /// The disk could not read it, so it may be whole.
    is_bad_medium: bool,
}

impl BadPart {
    fn frame(error: &Error) -> Self {
        Self {
            reason: in_one_line(error),
            group: None,
            chunks: Vec::new(),
            is_bad_medium: error.is_bad_medium(),
        }
    }

    fn group(number: u32, error: &Error, chunks: &[ChunkId]) -> Self {
        Self {
            reason: in_one_line(error),
            group: Some(number),
            chunks: chunks.to_vec(),
            is_bad_medium: error.is_bad_medium(),
        }
    }
}

fn read_pack(io: &Io, view: &View, pack: &PackEntry) -> Result<Vec<BadPart>> {
    let ids = chunk_ids(view.reader.index(), pack.id)?;
    let key = Layout::pack(pack.id);
    let mut bad = Vec::new();
    if ids.len() != pack.table.chunk_count() || pack.table.groups_end() > pack.len {
        let message = format!("index segments contradict each other about {key}");
        bad.push(BadPart::frame(&Error::damaged(message)));
        return Ok(bad);
    }
    let mut rest = ids.as_slice();
    for piece in cut(pack, piece_len(io)) {
        io.check_cancelled()?;
        let groups = &pack.table.groups[piece.groups.clone()];
        let chunks = groups.iter().map(|group| group.lengths.len()).sum();
        let (here, later) = rest.split_at(chunks);
        rest = later;
        match io.block(io.storage().get_range(&key, piece.bytes.clone())) {
            Ok(bytes) => {
                let frame = check_frame(io, pack, &ids, &piece, &bytes);
                bad.extend(frame.err().map(|error| BadPart::frame(&error)));
                check_groups(view, pack, &piece, &bytes, here, &mut bad)?;
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                read_groups(io, view, pack, piece.groups.clone(), here, &error, &mut bad)?;
            }
            Err(error) => return Err(error),
        }
        let bytes = piece.bytes.end - piece.bytes.start;
        io.context
            .progress
            .event(Event::Advance { bytes, entries: 0 });
    }
    Ok(bad)
}

/// Reads the groups of a piece that cannot be read as a whole one by one: the end of the pack may be missing.
fn read_groups(
    io: &Io,
    view: &View,
    pack: &PackEntry,
    groups: Range<usize>,
    mut ids: &[ChunkId],
    error: &Error,
    bad: &mut Vec<BadPart>,
) -> Result<()> {
    let key = Layout::pack(pack.id);
    bad.push(BadPart::frame(error));
    let size = match io.block(io.storage().size(&key)) {
        Ok(size) => size,
        Err(error) if error.kind() == ErrorKind::Damaged => 0,
        Err(error) => return Err(error),
    };
    for (number, start) in pack
        .table
        .offsets()
        .enumerate()
        .skip(groups.start)
        .take(groups.len())
    {
        let group = &pack.table.groups[number];
        let (here, rest) = ids.split_at(group.lengths.len());
        ids = rest;
        let part = GroupPart {
            groups: number..number + 1,
            bytes: start..start + u64::from(group.stored_len) + TAG_LEN as u64,
        };
        let read = if part.bytes.end <= size {
            io.block(io.storage().get_range(&key, part.bytes.clone()))
        } else {
            Err(Error::damaged(in_one_line(error)))
        };
        match read {
            Ok(bytes) => check_groups(view, pack, &part, &bytes, here, bad)?,
            Err(error) if error.kind() == ErrorKind::Damaged => {
                io.damage.note(pack.id, number as u32);
                bad.push(BadPart::group(number as u32, &error, here));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A part of a pack that is read with one request.
struct GroupPart {
    groups: Range<usize>,
    bytes: Range<u64>,
}

/// Bytes to read at once. On a server, long requests reduce latency; on a disk, short ones keep the data in the processor's cache.
fn piece_len(io: &Io) -> u64 {
    if io.storage().is_remote() {
        32 << 20
    } else {
        4 << 20
    }
}

/// Cuts a pack at group boundaries. The first piece includes the header, the last one the footer.
fn cut(pack: &PackEntry, len: u64) -> Vec<GroupPart> {
    let mut pieces = Vec::new();
    let (mut start, mut first) = (0, 0);
    for (number, offset) in pack.table.offsets().enumerate() {
        let end = offset + u64::from(pack.table.groups[number].stored_len) + TAG_LEN as u64;
        if end - start > len && number > first {
            pieces.push(GroupPart {
                groups: first..number,
                bytes: start..offset,
            });
            (start, first) = (offset, number);
        }
    }
    pieces.push(GroupPart {
        groups: first..pack.table.groups.len(),
        bytes: start..pack.len,
    });
    pieces
}

/// Checks the groups of a piece, which contain the chunks `ids`.
fn check_groups(
    view: &View,
    pack: &PackEntry,
    piece: &GroupPart,
    bytes: &[u8],
    mut ids: &[ChunkId],
    bad: &mut Vec<BadPart>,
) -> Result<()> {
    let offsets = pack.table.offsets().enumerate();
    for (number, offset) in offsets.skip(piece.groups.start).take(piece.groups.len()) {
        let group = &pack.table.groups[number];
        let (here, rest) = ids.split_at(group.lengths.len());
        ids = rest;
        let start = (offset - piece.bytes.start) as usize;
        let sealed = &bytes[start..start + group.stored_len as usize + TAG_LEN];
        let raw = view
            .reader
            .open_group(pack.seal(), number as u32, group, sealed);
        match raw {
            Ok(raw) => {
                for id in wrong_chunks(view, &raw, group, here) {
                    let message = format!("group {number} does not hold chunk {id}");
                    view.reader.io().damage.note(pack.id, number as u32);
                    let error = Error::damaged(message);
                    bad.push(BadPart::group(number as u32, &error, &[id]));
                }
            }
            Err(error) if error.is_damage() => {
                bad.push(BadPart::group(number as u32, &error, here));
            }
            // The bases of a delta could not be fetched.
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Chunks that an unpacked group should contain but does not.
fn wrong_chunks(view: &View, raw: &[u8], group: &Group, ids: &[ChunkId]) -> Vec<ChunkId> {
    let mut start = 0;
    let mut wrong = Vec::new();
    for (id, len) in ids.iter().zip(&group.lengths) {
        let end = start + *len as usize;
        let bytes = raw.get(start..end);
        if !bytes.is_some_and(|bytes| view.reader.verify(id, bytes)) {
            wrong.push(*id);
        }
        start = end;
    }
    wrong
}

/// The chunks of a pack in slot order.
fn chunk_ids(index: &Index, pack: PackId) -> Result<Vec<ChunkId>> {
    let describes = |segment: &&std::sync::Arc<IndexSegment>| {
        segment.packs().iter().any(|entry| entry.id == pack)
    };
    let segment = index.segments().iter().find(describes);
    let ids = segment.and_then(|segment| segment.chunk_ids(pack));
    ids.ok_or_else(|| Error::internal(format!("pack {pack} vanished from the index")))
}

/// Reads the header and footer of packs; returns the packs in which one of them is damaged.
pub(super) fn look_at_frames<'a>(
    io: &Io,
    view: &View,
    packs: &[&'a PackEntry],
) -> Result<Vec<&'a PackEntry>> {
    let bad = Mutex::new((Vec::new(), None));
    on_all_cores(io, packs, |pack| {
        let result = look_at_frame(io, view, pack);
        let Ok(mut bad) = bad.lock() else {
            return false;
        };
        match result {
            Ok(()) => {}
            Err(error) if error.is_damage() => bad.0.push(pack.id),
            Err(error) => bad.1 = Some(error),
        }
        bad.1.is_none()
    })?;
    let (bad, failed) = bad
        .into_inner()
        .map_err(|_| Error::internal("a check thread panicked"))?;
    match failed {
        Some(error) => Err(error),
        None => {
            let is_bad = |pack: &&&PackEntry| bad.contains(&pack.id);
            Ok(packs.iter().filter(is_bad).copied().collect())
        }
    }
}

fn look_at_frame(io: &Io, view: &View, pack: &PackEntry) -> Result<()> {
    io.check_cancelled()?;
    let key = Layout::pack(pack.id);
    let head = io.block(io.storage().get_range(&key, 0..HEADER_LEN as u64))?;
    let start = GroupPart {
        groups: 0..0,
        bytes: 0..HEADER_LEN as u64,
    };
    check_frame(io, pack, &[], &start, &head)?;
    let footer = pack.table.groups_end().min(pack.len)..pack.len;
    let bytes = io.block(io.storage().get_range(&key, footer.clone()))?;
    let ids = chunk_ids(view.reader.index(), pack.id)?;
    let end = GroupPart {
        groups: 0..0,
        bytes: footer,
    };
    check_frame(io, pack, &ids, &end, &bytes)
}

/// Checks the pack's header in the first piece; in the last piece, checks that the footer matches the index.
fn check_frame(
    io: &Io,
    pack: &PackEntry,
    ids: &[ChunkId],
    piece: &GroupPart,
    bytes: &[u8],
) -> Result<()> {
    let key = Layout::pack(pack.id);
    let named = |error| Error::format(&key, error);
    if piece.bytes.start == 0 {
        let header = &bytes[..HEADER_LEN.min(bytes.len())];
        let object = SealedObject::read(io.keyring(), io.cipher(), ObjectKind::Pack, header);
        let object = object.map_err(named)?;
        if PackId::from(object.id()) != pack.id {
            let message = format!("{key} is another pack, {}", object.id());
            return Err(Error::damaged(message));
        }
    }
    if piece.bytes.end < pack.len {
        return Ok(());
    }
    let footer = pack.table.groups_end().checked_sub(piece.bytes.start);
    let end = footer.and_then(|at| bytes.get(at as usize..));
    let end = end.ok_or_else(|| named(crate::format::FormatError::Length))?;
    let footer_len = PackTable::read_trailer(end).map_err(named)?;
    if footer_len + TRAILER_LEN as u64 != end.len() as u64 {
        return Err(named(crate::format::FormatError::Length));
    }
    let read = |object: &SealedObject| PackTable::read_footer(object, end, pack.len);
    let (table, footer_ids) = io
        .open_in_pack(PackSeal::of_footer(pack.id), read)
        .map_err(named)?;
    if table == pack.table && footer_ids == ids {
        Ok(())
    } else {
        Err(Error::damaged(format!("{key} does not match the index")))
    }
}
