//! The newest entry of the log, kept outside of the repository.

use br_core::ErrorKind;
use br_testkit::{MemorySource, TestRepo, block_on, noise};

#[test]
fn expected_head_is_found_unless_the_log_was_rolled_back_or_replaced() {
    let repo = TestRepo::new();
    let backup = |repo: &TestRepo, n: u64| {
        let source = MemorySource::new().file("f", noise(n, 1_000));
        let _ = repo.backup(&source).unwrap();
    };
    let head = |repo: &TestRepo| block_on(repo.repository.head(&repo.context)).unwrap();
    let expect =
        |repo: &TestRepo, head| block_on(repo.repository.expect_head(&head, &repo.context));
    assert_eq!(head(&repo), None);
    backup(&repo, 1);
    let first = head(&repo).unwrap();
    let fork = repo.fork(50);
    // Beyond two checkpoints: reading the log begins long after the expected entry.
    for n in 0..70 {
        backup(&repo, n);
    }
    let last = head(&repo).unwrap();
    assert_eq!(last.to_string().parse(), Ok(last));
    expect(&repo, first).unwrap();
    expect(&repo, last).unwrap();
    let error = expect(&fork, last).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Damaged,
        "the log ends before: {error}"
    );
    // Another history of the same length, and then a log with one entry from that history.
    for n in 100..170 {
        backup(&fork, n);
    }
    expect(&fork, first).unwrap();
    let error = expect(&fork, last).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "another entry: {error}");
    let newest = last.seq();
    for seq in newest - 20..=newest {
        let key = format!("log/{seq:016}");
        repo.set_object(&key, Some(fork.object(&key).to_vec()));
    }
    let error = expect(&repo.reopen(51), first).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "a splice: {error}");
}
