//! The threads behind operations: how they end, and what they wait for.

use std::time::Duration;

use br_core::engine::backup::backup;
use br_core::engine::ls::ls;
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::{BackupSelector, Context, Error, ErrorKind, InitOptions, Location, Repository};
use br_testkit::{MemorySource, TestRepo, block_on};
use futures::FutureExt as _;
use tempfile::TempDir;

use crate::damage::whole;

/// Lists a backup. The store panics with a message before it answers request `at`. Returns how many entries came, and how the
/// listing ended.
fn list(repo: &TestRepo, at: u64, message: &'static str) -> (usize, Option<Error>) {
    let id = repo.backups().unwrap()[0].id;
    repo.faults.reset();
    repo.faults
        .before(at, move || Box::pin(async move { panic!("{message}") }));
    let listed = block_on(async {
        let mut feed = ls(&repo.repository, id, Vec::new(), &repo.context);
        let mut count = 0;
        let error = loop {
            match feed.next().await {
                Some(Ok(_)) => count += 1,
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(feed.next().await.is_none(), "nothing follows the end");
        (count, error)
    });
    repo.faults.reset();
    listed
}

/// Symptom: an incomplete listing looked complete. Cause: the feed ended when its channel closed, and a panic of the worker closes it, too.
/// Fix: the result of the worker says how the feed ends.
#[test]
fn feed_with_panicked_worker_ends_with_error() {
    let repo = whole(false).repo;
    let (all, end) = list(&repo, u64::MAX, "");
    assert!(all > 0 && end.is_none(), "{end:?}");
    for at in 0..100 {
        match list(&repo, at, "on purpose") {
            (_, Some(error)) => assert_eq!(error.kind(), ErrorKind::Internal, "{error}"),
            (count, None) => {
                assert_eq!(count, all, "after {at} requests");
                assert!(at > 1, "some requests were made");
                return;
            }
        }
        let (_, lack) = list(&repo, at, "can't spawn worker thread");
        assert_eq!(lack.unwrap().kind(), ErrorKind::Io);
    }
    panic!("the listing did not end");
}

/// Runs a future on a runtime that has one thread for blocking work, and gives up after a while.
fn on_one_blocking_thread<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let done =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await });
    // What hangs would hold up the end of the runtime as well.
    runtime.shutdown_background();
    done.expect("the operation ends in time")
}

/// A new repository on local disk with one backup.
async fn on_disk(folder: &TempDir, context: &Context) -> Repository {
    let place = Location::Local(folder.path().join("repository"));
    let options = InitOptions::default();
    let repository = Repository::init(&place, &options, context).await.unwrap();
    let source = MemorySource::new().file("a", "content").file("b", "");
    let options = TestRepo::options("host");
    let _ = backup(&repository, source, &options, context)
        .await
        .unwrap();
    repository
}

/// Symptom: with few blocking threads every operation on local disk hung. Cause: an operation held a thread of the pool while
/// it waited for disk access, which needs one as well. Fix: operations run on separate threads.
#[test]
fn one_blocking_thread_is_enough_for_every_operation() {
    let folder = tempfile::tempdir().unwrap();
    let context = br_testkit::context(3);
    on_one_blocking_thread(async {
        let repository = on_disk(&folder, &context).await;
        let backups = repository.backups(&context).await.unwrap();
        let mut feed = ls(&repository, backups[0].id, Vec::new(), &context);
        let mut entries = 0;
        while let Some(entry) = feed.next().await {
            entry.unwrap();
            entries += 1;
        }
        assert_eq!(entries, 2);
        let selector = BackupSelector::Prefix(backups[0].id.to_string());
        let (target, options) = (folder.path().join("target"), RestoreOptions::default());
        let report = restore(&repository, &selector, target, &options, &context).await;
        assert_eq!(report.unwrap().failed, []);
    });
    let restored = std::fs::read(folder.path().join("target/a")).unwrap();
    assert_eq!(restored, b"content");
}

#[test]
fn unread_feeds_do_not_block_other_operations() {
    let folder = tempfile::tempdir().unwrap();
    let context = br_testkit::context(3);
    on_one_blocking_thread(async {
        let repository = on_disk(&folder, &context).await;
        let mut source = MemorySource::new();
        for number in 0..4_000 {
            source = source.file(&format!("{number:04}"), "");
        }
        let options = TestRepo::options("host");
        let made = backup(&repository, source, &options, &context).await;
        let id = made.unwrap().backup.id;
        // Each has more entries than its queue, so its worker waits for the reader.
        let mut feeds: Vec<_> = (0..600)
            .map(|_| ls(&repository, id, Vec::new(), &context))
            .collect();
        for feed in &mut feeds {
            feed.next().await.unwrap().unwrap();
        }
        assert_eq!(repository.backups(&context).await.unwrap().len(), 2);
    });
}

/// Symptom: a panic. Fix: an error that names the missing runtime.
#[test]
fn operation_outside_of_runtime_is_clear_error() {
    let repo = whole(false).repo;
    let asked = repo.repository.backups(&repo.context);
    let error = asked.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("br_core::blocking"), "{error}");
    let id = repo.backups().unwrap()[0].id;
    let mut feed = ls(&repo.repository, id, Vec::new(), &repo.context);
    let item = feed.next().now_or_never().unwrap().unwrap();
    assert_eq!(item.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(feed.next().now_or_never().unwrap().is_none());
}

/// Symptom: `blocking` panicked. Cause: tokio does when a runtime starts another one and waits for it.
#[test]
fn blocking_inside_of_runtime_is_clear_error() {
    let result = block_on(async { br_core::blocking(async { 1 }) });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("await"), "{error}");
    assert_eq!(br_core::blocking(async { 1 }).unwrap(), 1);
}
