//! Progress while files are checked or restored.
//!
//! [`ArchiveReporter`] counts, stops when the user cancels, and collects the file names that the manual of `mo_br` shows.
//! Invariant: without `--verbose` it collects only a few small files, whatever the number of objects is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use br_core::{Event, Progress as _};
use br_matrixone::archive;
use tokio_util::sync::CancellationToken;

use crate::context::CommandContext;
use crate::output::{ProgressReporter, format};

/// The small files in the order of the manual; `config/` comes last.
const SMALL: [&str; 5] = [
    "backup_meta",
    "mo_meta",
    "hakeeper/hk_data",
    "tae/tae_list",
    "tae/tae_sum",
];

/// Counts progress, and stops the operation when the user cancels.
pub(super) struct ArchiveReporter {
    reporter: Arc<ProgressReporter>,
    cancel: CancellationToken,
    /// Collect the names of all files.
    verbose: bool,
    kept: Mutex<Kept>,
    /// Some files were not collected.
    more: AtomicBool,
}

#[derive(Default)]
struct Kept {
    /// Rank, folder and path of the checked files.
    checked: Vec<(usize, String, String)>,
    /// The lines for the restored files.
    restored: Vec<String>,
}

impl ArchiveReporter {
    pub(super) fn new(reporter: &Arc<ProgressReporter>, context: &CommandContext) -> Self {
        Self {
            reporter: Arc::clone(reporter),
            cancel: context.cancel.clone(),
            verbose: context.output.is_verbose(),
            kept: Mutex::default(),
            more: AtomicBool::new(false),
        }
    }

    /// The manual's lines for the files of the backup in `own` checked since the last call.
    pub(super) fn take_checked(&self, own: &str) -> Vec<String> {
        let mut checked = self.kept(|kept| std::mem::take(&mut kept.checked));
        checked.sort_unstable();
        let more = self.more.swap(false, Ordering::Relaxed);
        let lines = checked.into_iter().map(|(_, dir, path)| {
            let path = format::text(&path);
            if dir != own {
                format!("check: {}/{path}", format::text(&dir))
            } else if path.contains('/') {
                format!("check: {path}")
            } else {
                format!("check: /{path}")
            }
        });
        lines.chain(more.then(|| "...".to_owned())).collect()
    }

    /// The manual's lines for the files restored since the last call.
    pub(super) fn take_restored(&self) -> Vec<String> {
        self.kept(|kept| std::mem::take(&mut kept.restored))
    }

    fn kept<R>(&self, change: impl FnOnce(&mut Kept) -> R) -> R {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn checked(&self, dir: &str, path: &str) {
        let small = SMALL.iter().position(|small| *small == path);
        let rank = small.or_else(|| path.starts_with("config/").then_some(SMALL.len()));
        if rank.is_none() && !self.verbose {
            self.more.store(true, Ordering::Relaxed);
            return;
        }
        let rank = rank.unwrap_or(SMALL.len() + 1);
        self.kept(|kept| kept.checked.push((rank, dir.to_owned(), path.to_owned())));
    }
}

impl archive::ArchiveProgress for ArchiveReporter {
    fn event(&self, event: archive::Event<'_>) {
        let (bytes, entries) = match event {
            archive::Event::Begun { files, bytes } => {
                let entries = files;
                return self.reporter.event(Event::Expect { bytes, entries });
            }
            archive::Event::Advance { bytes } => (bytes, 0),
            archive::Event::Checked { dir, path, .. } => {
                self.checked(dir, path);
                (0, 1)
            }
            archive::Event::Restored {
                number, from, to, ..
            } => {
                if self.verbose {
                    let name = format::text;
                    let line = format!("    {} => {}", name(from), name(to));
                    let lines = [format!("Copy tae file {number}"), line];
                    self.kept(|kept| kept.restored.extend(lines));
                }
                (0, 1)
            }
            _ => return,
        };
        self.reporter.event(Event::Advance { bytes, entries });
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}
