//! Removal of backups from the backup list.

use br_core::engine::delete;
use br_core::model::BackupId;
use br_core::{BackupSelector, ErrorKind};
use br_testkit::{MemorySource, TestRepo, Thing, block_on, noise};

fn repo_with(count: u64) -> (TestRepo, Vec<br_core::model::Backup>) {
    let repo = TestRepo::new();
    for n in 0..count {
        let source = MemorySource::new().file("f", noise(1, 2000));
        let _ = repo
            .backup_with(&source, &TestRepo::options(&format!("host{n}")))
            .unwrap();
    }
    let backups = repo.backups().unwrap();
    (repo, backups)
}

#[test]
fn deleted_backup_is_removed_and_others_stay() {
    let (repo, backups) = repo_with(4);
    let size = repo.size();
    repo.delete(&[backups[1].id, backups[3].id]).unwrap();
    let left = repo.reopen(2).backups().unwrap();
    assert_eq!(
        left,
        [backups[0].clone(), backups[2].clone()],
        "backups are sorted by age, oldest first"
    );
    assert!(repo.size() >= size, "data stays until a prune");
    let error = repo.files(backups[1].id).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::BackupNotFound,
        "a deleted backup cannot be read: {error}"
    );
    assert!(repo.check().unwrap().findings.is_empty());
}

#[test]
fn repeated_delete_succeeds_but_unknown_id_is_error() {
    let (repo, backups) = repo_with(2);
    let selectors = vec![BackupSelector::Prefix(backups[0].id.to_string()); 2];
    let plan = block_on(delete::plan(
        &repo.repository,
        selectors.clone(),
        &repo.context,
    ))
    .unwrap();
    assert_eq!(plan.backups.len(), 1, "each backup is named once");
    for _ in 0..2 {
        // Another process may have deleted it first: the result is the same.
        block_on(delete::delete(&repo.repository, &plan, &repo.context)).unwrap();
    }
    let error = block_on(delete::plan(&repo.repository, selectors, &repo.context)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
    assert_eq!(repo.backups().unwrap().len(), 1);
}

#[test]
fn ambiguous_id_is_refused_with_list_of_matches() {
    let (repo, backups) = repo_with(3);
    // The ids were made within a second and have the same start.
    let prefix: String = backups[0].id.to_string().chars().take(6).collect();
    let error = block_on(
        repo.repository
            .find(prefix.parse::<BackupSelector>().unwrap(), &repo.context),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AmbiguousId);
    let id = backups[2].id.to_string();
    assert!(
        error.to_string().contains(&id[id.len() - 8..]),
        "the error lists the ids that match: {error}"
    );
    let latest = block_on(repo.repository.find(&BackupSelector::Latest, &repo.context)).unwrap();
    assert_eq!(latest.id, backups[2].id);
    for bad in ["", "not an id", "../x", &"0".repeat(37)] {
        assert!(bad.parse::<BackupSelector>().is_err(), "{bad:?}");
    }
    let upper: BackupSelector = backups[1].id.to_string().to_uppercase().parse().unwrap();
    assert_eq!(
        block_on(repo.repository.find(&upper, &repo.context))
            .unwrap()
            .id,
        backups[1].id
    );
}

/// Only incomplete backups would be left, and `latest` would be one of them.
#[test]
fn the_plan_names_the_last_complete_backup_when_incomplete_ones_are_left() {
    let repo = TestRepo::new();
    let partial = MemorySource::new().with("f", Thing::Unreadable);
    let whole = MemorySource::new().file("f", noise(1, 2000));
    let ids: Vec<_> = [&whole, &partial, &whole]
        .map(|source| repo.backup(source).unwrap().backup.id)
        .into();
    let other = TestRepo::options("other");
    let other = repo.backup_with(&whole, &other).unwrap().backup.id;
    let last_complete = |ids: &[BackupId]| {
        let ids = ids.iter().copied();
        let plan = delete::plan(&repo.repository, ids, &repo.context);
        block_on(plan).unwrap().last_complete
    };
    assert_eq!(last_complete(&ids[..1]), [], "the other backup is complete");
    assert_eq!(last_complete(&[ids[0], ids[2]]), [ids[0], ids[2]]);
    assert_eq!(last_complete(&ids), [], "no backup is left");
    assert_eq!(
        last_complete(&[other]),
        [],
        "no backup of that host is left"
    );
    repo.delete(&ids[..1]).unwrap();
    assert_eq!(last_complete(&ids[2..]), [ids[2]]);
}
