//! Changes of tags, notes and pins.

use br_core::engine::delete;
use br_core::engine::label::{self, LabelChange};
use br_core::model::{Backup, BackupId};
use br_core::{BackupSelector, ErrorKind};
use br_testkit::{MemorySource, TestRepo, block_on, noise};

fn repo_with(count: u64) -> (TestRepo, Vec<Backup>) {
    let repo = TestRepo::new();
    for n in 0..count {
        let source = MemorySource::new().file("f", noise(n, 2_000));
        let _ = repo
            .backup_with(&source, &TestRepo::options("host"))
            .unwrap();
    }
    let backups = repo.backups().unwrap();
    (repo, backups)
}

fn label(repo: &TestRepo, ids: &[BackupId], change: &LabelChange) -> br_core::Result<Vec<Backup>> {
    let ids = ids.iter().copied();
    block_on(label::label(&repo.repository, ids, change, &repo.context))
}

fn tags(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn only_the_labels_change() {
    let (repo, all) = repo_with(3);
    let change = LabelChange::default()
        .with_added_tags(tags(&["a", "b"]))
        .with_note("before the upgrade")
        .with_pinned(true);
    let changed = label(&repo, &[all[0].id, all[0].id], &change).unwrap();
    assert_eq!(changed.len(), 1, "named twice");
    let mut expected = all.clone();
    expected[0].tags = tags(&["a", "b"]);
    expected[0].note = Some("before the upgrade".to_owned());
    expected[0].pinned = true;
    assert_eq!(repo.reopen(2).backups().unwrap(), expected);
    let described = block_on(repo.repository.describe(all[0].id, &repo.context)).unwrap();
    assert_eq!(
        described, expected[0],
        "as the log has it, not the manifest"
    );
    let change = LabelChange::default()
        .with_removed_tags(tags(&["a", "c"]))
        .with_note("")
        .with_pinned(false);
    let _ = label(&repo, &[all[0].id], &change).unwrap();
    expected[0].tags = tags(&["b"]);
    expected[0].note = None;
    expected[0].pinned = false;
    assert_eq!(repo.reopen(3).backups().unwrap(), expected);
    assert!(repo.check().unwrap().findings.is_empty());
    let latest = block_on(repo.repository.find(&BackupSelector::Latest, &repo.context));
    assert_eq!(latest.unwrap().id, all[2].id, "the order is the same");
}

#[test]
fn unchanged_labels_write_no_entry() {
    let (repo, all) = repo_with(1);
    let change = LabelChange::default().with_added_tags(tags(&["a"]));
    let _ = label(&repo, &[all[0].id], &change).unwrap();
    let size = repo.size();
    let _ = label(&repo, &[all[0].id], &change).unwrap();
    assert_eq!(repo.size(), size);
}

#[test]
fn labels_survive_checkpoints() {
    let (repo, all) = repo_with(2);
    let change = LabelChange::default().with_note("n").with_pinned(true);
    let _ = label(&repo, &[all[0].id], &change).unwrap();
    let source = MemorySource::new().file("f", noise(9, 100));
    for _ in 0..40 {
        let _ = repo
            .backup_with(&source, &TestRepo::options("late"))
            .unwrap();
    }
    let first = &repo.reopen(3).backups().unwrap()[0];
    assert!(first.pinned && first.note.as_deref() == Some("n"));
}

#[test]
fn pinned_backup_cannot_be_deleted() {
    let (repo, all) = repo_with(2);
    let selectors = [all[0].id, all[1].id];
    let plan = block_on(delete::plan(&repo.repository, selectors, &repo.context)).unwrap();
    let pin = LabelChange::default().with_pinned(true);
    let _ = label(&repo, &[all[1].id], &pin).unwrap();
    let error = block_on(delete::delete(&repo.repository, &plan, &repo.context)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(repo.backups().unwrap().len(), 2, "none is deleted");
    let _ = label(&repo, &[all[1].id], &pin.with_pinned(false)).unwrap();
    block_on(delete::delete(&repo.repository, &plan, &repo.context)).unwrap();
    assert!(repo.backups().unwrap().is_empty());
}

/// A change that loses the race against a deletion must not bring the backup back.
#[test]
fn deletion_at_every_step_of_a_change_wins_or_comes_later() {
    let (repo, all) = repo_with(2);
    let change = LabelChange::default().with_note("n");
    let probe = repo.fork(50);
    let _ = label(&probe, &[all[0].id], &change).unwrap();
    let operations = probe.faults.count();
    for n in 0..operations {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        let id = all[0].id;
        one.faults.before(n, move || {
            Box::pin(async move {
                let plan = delete::plan(&other.repository, [id], &other.context)
                    .await
                    .unwrap();
                delete::delete(&other.repository, &plan, &other.context)
                    .await
                    .unwrap();
            })
        });
        if let Err(error) = label(&one, &[all[0].id], &change) {
            assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
        }
        let left = one.reopen(300 + n).backups().unwrap();
        assert_eq!(left, all[1..], "operation {n}");
    }
}
