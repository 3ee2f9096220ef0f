//! The store fails for a moment: br does not report damage, and never returns a wrong result.

use br_core::engine::diff::diff;
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::engine::stats::stats;
use br_core::{BackupSelector, ErrorKind};
use br_testkit::{MemorySource, TestRepo, When, block_on, noise, steps};

fn source() -> MemorySource {
    MemorySource::new()
        .folder("d")
        .file("d/a", noise(1, 5_000))
        .file("d/b", "inline")
        .file("large", noise(2, 1_000_000))
}

/// Lets every operation fail once, and checks the result.
fn at_every_operation(work: impl Fn(&TestRepo) -> br_core::Result<()>) {
    let repo = TestRepo::encrypted();
    let _ = repo.backup(&source()).unwrap();
    for n in steps(0..) {
        let one = repo.fork(100 + n);
        let keys = one.keys();
        one.faults.fail_once(n, When::Before);
        let result = work(&one);
        if one.faults.count() <= n {
            result.unwrap();
            assert!(n > 3, "at least one operation failed");
            return;
        }
        let operation = one.faults.operations()[usize::try_from(n).unwrap()].clone();
        if let Err(error) = result {
            let kind = error.kind();
            assert_eq!(
                kind,
                ErrorKind::Unavailable,
                "{operation:?} failed: {error}"
            );
        }
        // Only a log entry with the result of a check may be new.
        let mut left = one.keys();
        left.retain(|key| !key.starts_with("log/") || keys.contains(key));
        assert_eq!(left, keys, "{operation:?} failed: reading changes nothing");
    }
}

#[test]
fn restore_with_store_errors_reports_missing_files_but_not_damage() {
    at_every_operation(|repo| {
        let out = tempfile::tempdir().unwrap();
        let target = out.path().join("out");
        let options = RestoreOptions::default().with_owner(false);
        let selector = BackupSelector::Latest;
        let done = restore(
            &repo.repository,
            &selector,
            target.clone(),
            &options,
            &repo.context,
        );
        let report = block_on(done)?;
        assert!(
            !report.damaged,
            "no damage is reported: {:?}",
            report.failed
        );
        for (path, content) in source().files() {
            let there = std::fs::read(target.join(&path));
            if report
                .failed
                .iter()
                .any(|(failed, _)| failed.to_string() == path)
            {
                assert!(there.is_err(), "no part of {path} was restored");
            } else {
                assert_eq!(there.unwrap(), content, "{path} is complete");
            }
        }
        Ok(())
    });
}

#[test]
fn check_with_store_errors_reports_no_damage() {
    at_every_operation(|repo| {
        let report = repo.check()?;
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        Ok(())
    });
}

#[test]
fn listing_with_store_errors_is_complete_or_error() {
    at_every_operation(|repo| {
        let backup = repo.backups()?.remove(0);
        assert_eq!(repo.entries(backup.id)?.len(), 4);
        assert_eq!(repo.files(backup.id)?, source().files());
        let figures = block_on(stats(&repo.repository, &repo.context))?;
        assert_eq!((figures.backups, figures.packs), (1, 2));
        block_on(async {
            let id = backup.id;
            let mut feed = diff(&repo.repository, id, id, Vec::new(), &repo.context);
            match feed.next().await {
                None => Ok(()),
                Some(Err(error)) => Err(error),
                Some(Ok(difference)) => panic!("{difference:?}"),
            }
        })
    });
}
