//! The threads behind operations: how they end, and what they wait for.

use br_core::engine::ls::ls;
use br_core::{Error, ErrorKind};
use br_testkit::{TestRepo, block_on};

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

/// Symptom: a listing was cut short and looked complete. Cause: the feed ended when its channel closed, which a panic does as
/// well. Fix: the result of the worker says how the feed ends.
#[test]
fn a_feed_whose_worker_panicked_does_not_end_like_a_complete_one() {
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
    panic!("the listing never came to its end");
}
