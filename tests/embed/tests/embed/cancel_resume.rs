//! Cancels a backup half-way and makes it again: what was stored is not stored twice.

use std::io::Cursor;
use std::time::Duration;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{Entry, EntryPath};
use br_core::source::{Source, SourceItem};
use br_core::{CancellationToken, Context, ErrorKind, Repository};

use crate::TestResult;

const FILES: u64 = 100;
const LEN: u64 = 1 << 20;

/// Files whose bytes do not compress and do not repeat. The last one waits for the token, if there is one.
struct Files {
    next: u64,
    wait_for: Option<CancellationToken>,
}

fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..LEN / 8).flat_map(|_| next().to_le_bytes()).collect()
}

impl Source for Files {
    fn next(&mut self) -> Option<SourceItem> {
        let number = self.next;
        self.next += 1;
        let path = EntryPath::try_from(format!("file-{number:03}")).ok()?;
        let is_last = number + 1 == FILES;
        let wait_for = self.wait_for.clone().filter(|_| is_last);
        let open = move || {
            while wait_for.as_ref().is_some_and(|token| !token.is_cancelled()) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(Cursor::new(noise(number)))
        };
        (number < FILES).then(|| SourceItem::with_content(Entry::file(path, LEN), open))
    }
}

/// Cancels when the store has a pack.
async fn cancel_when_stored(repository: &Repository, cancel: CancellationToken) {
    let is_empty = async || {
        let packs = repository.storage().list("packs").await;
        packs.is_ok_and(|packs| packs.is_empty())
    };
    for _ in 0..6000 {
        if !is_empty().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_is_resumed() -> TestResult {
    let folder = tempfile::tempdir()?;
    let plain = Context::system();
    let repository = br_embed::repository(folder.path(), &plain).await?;
    let options = BackupOptions::new("host", "me", vec![b"files".to_vec()])
        .with_journal(Some(folder.path().join("journal")));

    let cancel = CancellationToken::new();
    let context = Context::system().with_cancel(cancel.clone());
    let source = Files {
        next: 0,
        wait_for: Some(cancel.clone()),
    };
    let (stopped, ()) = tokio::join!(
        backup(&repository, source, &options, &context),
        cancel_when_stored(&repository, cancel)
    );
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(repository.backups(&plain).await?.is_empty());

    let source = Files {
        next: 0,
        wait_for: None,
    };
    let report = backup(&repository, source, &options, &plain).await?;
    let report = report.into_complete()?;
    assert_eq!(report.backup.totals.files, FILES);
    assert!(report.packs_resumed > 0);
    let added = report.backup.changes.bytes_added;
    assert!(added < FILES * LEN, "{added} bytes were stored again");
    Ok(())
}
