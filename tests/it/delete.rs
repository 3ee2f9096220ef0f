//! Taking backups out of the catalog.

use br_core::engine::delete;
use br_core::{BackupSelector, ErrorKind};
use br_testkit::{MemorySource, TestRepo, block_on, noise};

fn repo_with(count: u64) -> (TestRepo, Vec<br_core::model::Backup>) {
    let repo = TestRepo::new();
    for n in 0..count {
        let source = MemorySource::new().file("f", noise(1, 2000));
        repo.backup_with(&source, &TestRepo::options(&format!("host{n}")))
            .unwrap();
    }
    let backups = repo.backups().unwrap();
    (repo, backups)
}

#[test]
fn a_deleted_backup_is_gone_and_the_others_stay() {
    let (repo, backups) = repo_with(4);
    let size = repo.size();
    repo.delete(&[backups[1].id, backups[3].id]).unwrap();
    let left = repo.reopen(2).backups().unwrap();
    assert_eq!(
        left,
        [backups[0].clone(), backups[2].clone()],
        "oldest first"
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
fn deleting_twice_is_fine_and_naming_what_is_gone_is_not() {
    let (repo, backups) = repo_with(2);
    let selectors = vec![BackupSelector::Prefix(backups[0].id.to_string()); 2];
    let plan = block_on(delete::plan(
        &repo.repository,
        selectors.clone(),
        &repo.context,
    ))
    .unwrap();
    assert_eq!(plan.backups.len(), 1, "each is named once");
    for _ in 0..2 {
        // Someone else may have been faster: that is what was wanted.
        block_on(delete::delete(&repo.repository, &plan, &repo.context)).unwrap();
    }
    let error = block_on(delete::plan(&repo.repository, selectors, &repo.context)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
    assert_eq!(repo.backups().unwrap().len(), 1);
}

#[test]
fn a_name_that_fits_several_is_refused_and_says_which() {
    let (repo, backups) = repo_with(3);
    // The ids were made within a second and start alike.
    let prefix: String = backups[0].id.to_string().chars().take(6).collect();
    let error = block_on(
        repo.repository
            .find(&prefix.parse().unwrap(), &repo.context),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AmbiguousId);
    let id = backups[2].id.to_string();
    assert!(
        error.to_string().contains(&id[id.len() - 8..]),
        "it gives ids that fit one: {error}"
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
