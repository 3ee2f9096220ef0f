//! Requests: which groups are fetched together, and in which order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::{Planner, Reach};
use crate::engine::restore::files::FileJob;
use crate::engine::restore::worker::{GroupWork, Task, TaskKind, WritePart};
use crate::format::{PackSeal, TAG_LEN};
use crate::model::{Content, EntryKind};
use crate::repository::Layout;

/// Maximum number of base groups for the deltas in one task: not more than the reader keeps unpacked.
const DELTA_BASES: usize = 6;
/// Maximum bytes of the deltas in one task.
const DELTA_BYTES: u64 = 8 << 20;

/// A group: its pack and its offset there.
type GroupPlace = (PackSeal, u64);

/// The chunks that the files of a window need.
#[derive(Default)]
struct Wanted {
    groups: HashMap<GroupPlace, GroupWork>,
    /// Chunks stored as deltas, each with the group of its first base.
    deltas: Vec<(GroupPlace, WritePart)>,
}

impl Planner<'_> {
    /// Plans the files of the window by pack and offset, and sends the requests.
    pub(super) fn send_window(&mut self, tasks: Option<&Sender<Task>>) {
        let window = std::mem::take(&mut self.window);
        self.window_bytes = 0;
        let Some(tasks) = tasks else {
            self.count_dry_run(window.iter().map(|job| &job.entry));
            return;
        };
        let mut wanted = Wanted::default();
        for job in &window {
            self.add_pieces(job, &mut wanted);
        }
        send_deltas(tasks, wanted.deltas);
        let mut groups: Vec<_> = wanted.groups.into_iter().collect();
        groups.sort_unstable_by_key(|(location, _)| *location);
        let mut run: Vec<GroupWork> = Vec::new();
        let mut range: Option<(PackSeal, Range<u64>)> = None;
        let reach = Reach::of(&self.shared.io);
        for ((pack, start), work) in groups {
            let end = start + u64::from(work.group.stored_len) + TAG_LEN as u64;
            let joins = range.as_ref().is_some_and(|(before, range)| {
                *before == pack
                    && start <= range.end + reach.max_gap
                    && end - range.start <= reach.run_len
            });
            if !joins && let Some(range) = range.take() {
                self.send_run(tasks, range, std::mem::take(&mut run));
            }
            match &mut range {
                Some((_, range)) => range.end = end,
                None => range = Some((pack, start..end)),
            }
            run.push(work);
        }
        if let Some(range) = range {
            self.send_run(tasks, range, run);
        }
    }

    /// Records the source and the destination of each chunk of a file.
    fn add_pieces(&self, job: &Arc<FileJob>, wanted: &mut Wanted) {
        let EntryKind::File(file) = &job.entry.kind else {
            return;
        };
        let Content::Chunks(chunks) = &file.content else {
            return;
        };
        let mut position = 0;
        for chunk in chunks {
            let index = self.shared.reader.index();
            let Some(location) = index.find(&chunk.id) else {
                job.fail(
                    self.shared,
                    format!("chunk {} is in no pack", chunk.id),
                    true,
                );
                continue;
            };
            if location.len != chunk.len {
                job.fail(
                    self.shared,
                    format!("chunk {} has another length", chunk.id),
                    true,
                );
                continue;
            }
            let piece = WritePart {
                id: chunk.id,
                start: location.start,
                len: location.len,
                job: Arc::clone(job),
                position,
            };
            position += u64::from(chunk.len);
            let base = location.group.bases.first();
            if let Some(base) = base.and_then(|base| index.find_whole(base)) {
                wanted
                    .deltas
                    .push(((base.pack.seal(), base.group_offset), piece));
                continue;
            }
            let work = wanted
                .groups
                .entry((location.pack.seal(), location.group_offset))
                .or_insert_with(|| GroupWork {
                    number: location.group_number,
                    offset: location.group_offset,
                    group: location.group.clone(),
                    pieces: Vec::new(),
                });
            work.pieces.push(piece);
        }
    }

    /// Starts a request and sends its task to a worker.
    fn send_run(
        &self,
        tasks: &Sender<Task>,
        (pack, range): (PackSeal, Range<u64>),
        groups: Vec<GroupWork>,
    ) {
        let storage = self.shared.io.storage().clone();
        let (key, start) = (Layout::pack(pack.id), range.start);
        let bytes = self
            .shared
            .io
            .handle()
            .spawn(async move { storage.get_range(&key, range).await });
        let _ = tasks.send(Task {
            kind: TaskKind::Groups {
                pack,
                start,
                bytes,
                groups,
            },
        });
    }
}

/// Sends deltas ordered by their base, so that each base is unpacked only once.
fn send_deltas(tasks: &Sender<Task>, mut deltas: Vec<(GroupPlace, WritePart)>) {
    deltas.sort_by_key(|(base, _)| *base);
    let mut batch: Vec<WritePart> = Vec::new();
    let (mut last, mut bases, mut bytes) = (None, 0, 0);
    let send = |pieces: Vec<WritePart>| {
        if !pieces.is_empty() {
            let kind = TaskKind::Deltas(pieces);
            let _ = tasks.send(Task { kind });
        }
    };
    for (base, piece) in deltas {
        bases += usize::from(last.replace(base) != Some(base));
        bytes += u64::from(piece.len);
        if bases > DELTA_BASES || bytes > DELTA_BYTES {
            send(std::mem::take(&mut batch));
            (bases, bytes) = (1, u64::from(piece.len));
        }
        batch.push(piece);
    }
    send(batch);
}
