//! Cancelling ends an operation, even while its threads wait.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use br_core::ErrorKind;
use br_core::engine::backup::backup;
use br_core::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner};
use br_core::source::{ContentReader, Details, Source, SourceItem};
use br_testkit::{TestRepo, block_on};
use tokio_util::sync::CancellationToken;

/// More entries than the walk may find while one slow file is read.
const ENTRIES: u32 = 60_000;

/// One file that does not end until the backup is cancelled, and then many empty files.
struct Endless {
    next: u32,
    cancel: CancellationToken,
}

impl Source for Endless {
    fn next(&mut self) -> Option<SourceItem> {
        let number = self.next;
        self.next += 1;
        if number >= ENTRIES {
            return None;
        }
        let size = if number == 0 { 1 << 40 } else { 0 };
        let content = FileContent {
            size,
            ..FileContent::default()
        };
        let entry = Entry {
            path: EntryPath::new(format!("{number:06}").into_bytes()).unwrap(),
            kind: EntryKind::File(content),
            mode: 0o600,
            owner: Arc::new(Owner::default()),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        let details = Box::new(Slow {
            endless: number == 0,
            cancel: self.cancel.clone(),
        });
        Some(SourceItem::Entry { entry, details })
    }
}

struct Slow {
    endless: bool,
    cancel: CancellationToken,
}

impl Details for Slow {
    fn complete(&mut self, _: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Ok(self)
    }
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.endless {
            return Ok(0);
        }
        while !self.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        buffer.fill(1);
        Ok(buffer.len())
    }
}

impl ContentReader for Slow {
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// The walk may run only a limited distance ahead of a slow file. Symptom: when a backup was cancelled while it read that file, it never
/// ended. Cause: no thread advanced the limit, so the walk waited forever, and the other workers waited for the walk.
#[test]
fn backup_waiting_for_slow_file_can_be_cancelled() {
    let repo = TestRepo::new();
    let mut context = repo.context.clone();
    context.cancel = CancellationToken::new();
    let source = Endless {
        next: 0,
        cancel: context.cancel.clone(),
    };
    let options = TestRepo::options("host").with_threads(Some(2));
    let cancel = context.cancel.clone();
    let result = block_on(async {
        let work = backup(&repo.repository, source, &options, &context);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            cancel.cancel();
        };
        let both = async { tokio::join!(work, stop).0 };
        tokio::time::timeout(Duration::from_secs(30), both).await
    });
    let error = result.expect("the cancelled operation ends").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}
