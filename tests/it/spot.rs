//! Spot checks: which files are compared, and what counts as a difference.

use br_core::Result;
use br_core::engine::check::{Sample, SpotOptions, SpotReport, spot};
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, block_on};

/// The time of files that have none.
const TIME: i64 = 1_500_000_000;

fn tree(files: u64) -> MemorySource {
    let mut source = MemorySource::new();
    for number in 0..files {
        source = source.file(&format!("d/{number:05}"), format!("content {number}"));
    }
    source
}

fn options() -> SpotOptions {
    SpotOptions::new("host", TestRepo::options("host").paths)
}

fn check(repo: &TestRepo, source: &MemorySource, options: &SpotOptions) -> Result<SpotReport> {
    let context = br_testkit::context(7);
    block_on(spot(&repo.repository, source.clone(), options, &context))
}

#[test]
fn sample_has_the_requested_share_and_depends_only_on_the_random_numbers() {
    let repo = TestRepo::new();
    let source = tree(2000);
    let _ = repo.backup(&source).unwrap();
    for (sample, expected) in [
        (Sample::Fraction(0.1), 150..250),
        (Sample::Files(200), 150..250),
        (Sample::Fraction(0.0001), 5..40),
        (Sample::Files(5000), 2000..2001),
        (Sample::Fraction(1.0), 2000..2001),
    ] {
        let options = options().with_sample(sample);
        let report = check(&repo, &source, &options).unwrap();
        assert!(
            expected.contains(&report.sampled),
            "{sample:?}: {}",
            report.sampled
        );
        assert_eq!((report.files, report.same), (2000, report.sampled));
        let again = check(&repo, &source, &options).unwrap();
        assert_eq!(again.sampled, report.sampled);
    }
}

#[test]
fn small_source_is_compared_completely() {
    let repo = TestRepo::encrypted();
    let _ = repo.backup(&tree(12)).unwrap();
    let options = options().with_sample(Sample::Fraction(0.01));
    let report = check(&repo, &tree(12), &options).unwrap();
    assert_eq!((report.sampled, report.same), (12, 12));
}

#[test]
fn old_file_with_other_content_and_old_file_without_backup_are_problems() {
    let repo = TestRepo::new();
    let _ = repo.backup(&tree(12)).unwrap();
    let mut altered = tree(13);
    let content = Thing::File(b"CONTENT 3".as_slice().into());
    altered.insert("d/00003", content, 1_400_000_000, Behaviour::Honest);
    let report = check(&repo, &altered, &options()).unwrap();
    let reasons: Vec<String> = (report.different.first.iter())
        .chain(&report.missing.first)
        .map(|file| format!("{}: {}", file.path, file.reason))
        .collect();
    assert_eq!(
        (report.different.count, report.missing.count),
        (1, 1),
        "{reasons:?}"
    );
    assert!(!report.is_sound());
    let tolerant = options().with_max_different(1).with_max_missing(1);
    assert!(check(&repo, &altered, &tolerant).unwrap().is_sound());
    // The backup of another machine is another one.
    let other = SpotOptions::new("other", TestRepo::options("host").paths);
    let error = check(&repo, &altered, &other).unwrap_err();
    assert_eq!(error.kind(), br_core::ErrorKind::NoBackup);
}

#[test]
fn file_that_cannot_be_read_is_named_and_one_that_changes_is_not() {
    for (behaviour, is_named) in [
        (Behaviour::FailsAfter(2), true),
        (Behaviour::Vanishes, false),
        (Behaviour::Torn, false),
    ] {
        let repo = TestRepo::new();
        let _ = repo.backup(&tree(3)).unwrap();
        let mut source = tree(2);
        let content = Thing::File(b"content 2".as_slice().into());
        source.insert("d/00002", content, TIME, behaviour);
        let report = check(&repo, &source, &options()).unwrap();
        let named = u64::from(is_named);
        assert_eq!(report.unreadable.count, named, "{report:?}");
        assert_eq!(
            (report.same, report.changed_since),
            (2, 1 - named),
            "{report:?}"
        );
        assert!(report.is_sound());
    }
}
