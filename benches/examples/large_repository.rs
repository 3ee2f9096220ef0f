//! Makes a repository with many backups and chunks, for `benches/large.py`.
//!
//! `large_repository FOLDER BACKUPS CHUNKS`: a hundred hosts, one backup an hour for each. Every backup has a few files of the host and one new file. The last
//! backup of each host has in addition its share of the chunks.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::copy::{CopyOptions, copy};
use br_core::jiff::Timestamp;
use br_core::model::{Entry, EntryPath, FileTime};
use br_core::runtime::{Clock, Runtime};
use br_core::source::{Source, SourceItem};
use br_core::{Context, InitOptions, Location, Repository};

const HOSTS: u64 = 100;
/// Size of every file: one chunk.
const FILE: usize = 4096;
/// Files that all backups of a host have.
const KEPT: u64 = 20;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap();
    let backups: u64 = arguments.next().unwrap().parse().unwrap();
    let chunks: u64 = arguments.next().unwrap().parse().unwrap();

    let clock = Arc::new(Hourly(AtomicI64::new(1_577_836_800)));
    let mut context = Context::system();
    context.runtime = Runtime {
        clock: Arc::<Hourly>::clone(&clock),
        ..Runtime::system()
    };
    let target = init(&folder, &context).await;
    let each = chunks.saturating_sub(backups) / HOSTS;
    for host in 0..HOSTS {
        // A backup reads the whole list of backups. So make the backups of a host apart, and copy them.
        let apart = format!("{folder}.host");
        let source = init(&apart, &context).await;
        let count = backups / HOSTS;
        for number in 0..count {
            let files = if number + 1 == count { each } else { KEPT };
            let first = host * each;
            let files = Files::new(first..first + files, chunks + host * count + number);
            let paths = vec![b"/srv".to_vec()];
            let options = BackupOptions::new(format!("host-{host}"), "root", paths);
            let _ = backup(&source, files, &options, &context).await.unwrap();
            clock.0.fetch_add(3600, Ordering::Relaxed);
        }
        clock
            .0
            .fetch_sub(3600 * count.cast_signed(), Ordering::Relaxed);
        let copied = copy(&source, &target, &CopyOptions::default(), &context).await;
        println!("host {host}: {} backups", copied.unwrap().copied.len());
        std::fs::remove_dir_all(&apart).unwrap();
    }
}

async fn init(folder: &str, context: &Context) -> Repository {
    let location: Location = folder.parse().unwrap();
    let options = InitOptions::default();
    Repository::init(&location, &options, context)
        .await
        .unwrap()
}

/// A clock that the program sets.
struct Hourly(AtomicI64);

impl Clock for Hourly {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Files with numbers; a number decides the content.
struct Files {
    root: bool,
    numbers: std::iter::Chain<Range<u64>, std::iter::Once<u64>>,
}

impl Files {
    fn new(numbers: Range<u64>, last: u64) -> Self {
        let numbers = numbers.chain(std::iter::once(last));
        Self {
            root: true,
            numbers,
        }
    }
}

impl Source for Files {
    fn next(&mut self) -> Option<SourceItem> {
        if std::mem::take(&mut self.root) {
            let root = Entry::directory(EntryPath::default());
            return Some(SourceItem::without_content(root));
        }
        let number = self.numbers.next()?;
        let path = EntryPath::new(format!("{number:012}").into_bytes()).unwrap();
        let mut entry = Entry::file(path, FILE as u64);
        entry.mtime = FileTime::default();
        Some(SourceItem::with_content(entry, move || {
            let mut content = vec![0; FILE];
            content[..8].copy_from_slice(&number.to_le_bytes());
            Ok(Cursor::new(content))
        }))
    }
}
