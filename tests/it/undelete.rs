//! Undeleting backups.

use std::collections::BTreeMap;

use br_core::ErrorKind;
use br_core::engine::check::{CheckOptions, check};
use br_core::engine::undelete;
use br_core::model::{Backup, BackupId};
use br_testkit::{MemorySource, TestRepo, block_on, noise};

/// A repository with this number of backups, and their sources.
fn repo_with(count: u64) -> (TestRepo, Vec<Backup>, BTreeMap<BackupId, MemorySource>) {
    let repo = TestRepo::new();
    let mut sources = BTreeMap::new();
    for n in 0..count {
        let source = MemorySource::new()
            .file("f", noise(n, 50_000 + n as usize))
            .file("g", noise(1, 9_000));
        let made = repo
            .backup_with(&source, &TestRepo::options("host"))
            .unwrap();
        sources.insert(made.backup.id, source);
    }
    let backups = repo.backups().unwrap();
    (repo, backups, sources)
}

fn undelete(repo: &TestRepo, ids: &[BackupId]) -> br_core::Result<Vec<Backup>> {
    block_on(undelete::undelete(
        &repo.repository,
        ids.iter().copied(),
        &repo.context,
    ))
}

fn candidates(repo: &TestRepo) -> Vec<BackupId> {
    let found = block_on(undelete::candidates(&repo.repository, &repo.context)).unwrap();
    found.iter().map(|one| one.backup.id).collect()
}

#[test]
fn deleted_backups_come_back_to_their_places() {
    let (repo, all, sources) = repo_with(6);
    let ids: Vec<_> = all.iter().map(|backup| backup.id).collect();
    repo.delete(&[ids[0], ids[2]]).unwrap();
    repo.delete(&[ids[3], ids[5]]).unwrap();
    let repo = repo.reopen(2);
    assert_eq!(candidates(&repo), [ids[0], ids[2], ids[3], ids[5]]);
    // In an order in which some backups come back before their neighbours.
    for at in [3, 5, 0, 2] {
        let back = undelete(&repo, &[ids[at]]).unwrap();
        assert_eq!(back, [all[at].clone()]);
    }
    assert_eq!(repo.reopen(3).backups().unwrap(), all);
    assert!(candidates(&repo).is_empty());
    repo.reopen(4).assert_holds("all back", &sources);
    let _ = repo.prune().unwrap();
    repo.reopen(5).assert_holds("after a prune", &sources);
}

#[test]
fn backups_deleted_one_after_the_other_come_back_in_order() {
    let (repo, all, _) = repo_with(3);
    repo.delete(&[all[1].id]).unwrap();
    repo.delete(&[all[2].id]).unwrap();
    let _ = undelete(&repo, &[all[1].id]).unwrap();
    let _ = undelete(&repo, &[all[2].id]).unwrap();
    assert_eq!(repo.reopen(2).backups().unwrap(), all);
}

#[test]
fn order_survives_checkpoints() {
    let (repo, all, _) = repo_with(4);
    repo.delete(&[all[1].id]).unwrap();
    let _ = undelete(&repo, &[all[1].id]).unwrap();
    let source = MemorySource::new().file("f", noise(9, 100));
    for _ in 0..40 {
        let _ = repo
            .backup_with(&source, &TestRepo::options("late"))
            .unwrap();
    }
    assert_eq!(repo.reopen(3).backups().unwrap()[..4], all);
    let checked = repo.check().unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}

#[test]
fn backup_cannot_come_back_after_a_prune() {
    let (repo, all, _) = repo_with(3);
    repo.delete(&[all[0].id]).unwrap();
    let _ = repo.prune().unwrap();
    assert!(candidates(&repo).is_empty());
    let error = undelete(&repo, &[all[0].id]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
    assert_eq!(repo.reopen(2).backups().unwrap(), all[1..]);
}

#[test]
fn unknown_backup_changes_nothing() {
    let (repo, all, _) = repo_with(3);
    repo.delete(&[all[0].id]).unwrap();
    let unknown = "01a1f839-0000-7000-8000-0000deadbeef".parse().unwrap();
    let error = undelete(&repo, &[all[0].id, unknown]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
    assert_eq!(repo.reopen(2).backups().unwrap(), all[1..]);
    assert_eq!(undelete(&repo, &[all[0].id, all[0].id]).unwrap().len(), 1);
    assert_eq!(
        undelete(&repo, &[all[0].id]).unwrap().len(),
        1,
        "it is back already"
    );
    assert_eq!(repo.reopen(3).backups().unwrap(), all);
}

/// Either the backup is listed and complete, or the prune came first and the backup stays deleted.
fn prune_at_every_step_of_an_undelete(keeps: bool) {
    let prune = move |repo: TestRepo| async move {
        if keeps {
            repo.prune_keeping_deleted().await
        } else {
            repo.prune_async().await
        }
    };
    let (repo, all, sources) = repo_with(3);
    repo.delete(&[all[1].id]).unwrap();
    let count = |work: &dyn Fn(&TestRepo)| {
        let probe = repo.fork(50);
        work(&probe);
        probe.faults.count()
    };
    let undeleting = count(&|probe| drop(undelete(probe, &[all[1].id]).unwrap()));
    let pruning = count(&|probe| {
        let _ = block_on(prune(probe.clone())).unwrap();
    });
    let verify = |what: &str, repo: &TestRepo| {
        let repo = repo.reopen(900);
        let listed: Vec<_> = repo
            .backups()
            .unwrap()
            .iter()
            .map(|backup| backup.id)
            .collect();
        let expected = sources.iter().filter(|(id, _)| listed.contains(id));
        let expected = expected.map(|(id, source)| (*id, source.clone())).collect();
        repo.assert_holds(what, &expected);
        assert!(
            listed.contains(&all[0].id) && listed.contains(&all[2].id),
            "{what}"
        );
        listed.len()
    };
    let mut results = Vec::new();
    for n in 0..undeleting {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, move || {
            Box::pin(async move {
                let _ = prune(other).await.unwrap();
            })
        });
        let done = undelete(&one, &[all[1].id]);
        let left = verify(
            &format!("a prune before operation {n} of an undelete"),
            &one,
        );
        assert_eq!(done.is_ok(), left == 3, "{done:?}");
        results.push(left);
    }
    for n in 0..pruning {
        let one = repo.fork(300 + n);
        let other = one.reopen(400 + n);
        let id = all[1].id;
        one.faults.before(n, move || {
            Box::pin(async move {
                let done = undelete::undelete(&other.repository, [id], &other.context).await;
                if let Err(error) = done {
                    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
                }
            })
        });
        let _ = block_on(prune(one.clone())).unwrap();
        results.push(verify(
            &format!("an undelete before operation {n} of a prune"),
            &one,
        ));
    }
    assert!(results.contains(&3), "{results:?}");
    assert_eq!(results.contains(&2), !keeps, "{results:?}");
}

#[test]
fn prune_at_every_step_of_an_undelete_loses_no_live_backup() {
    prune_at_every_step_of_an_undelete(false);
}

#[test]
fn prune_that_keeps_deleted_backups_stops_no_undelete() {
    prune_at_every_step_of_an_undelete(true);
}

#[test]
fn deleted_backup_comes_back_after_prunes_that_keep_it() {
    let (repo, all, mut sources) = repo_with(5);
    // Its pack has data of the other backups, so a prune rewrites it.
    repo.delete(&[all[0].id]).unwrap();
    let _ = repo.prune().unwrap();
    sources.remove(&all[0].id);
    repo.delete(&[all[1].id, all[3].id]).unwrap();
    for round in 0..3 {
        let kept = block_on(repo.prune_keeping_deleted()).unwrap();
        assert_eq!(kept.packs_deleted, 0, "round {round}: {kept:?}");
    }
    assert_eq!(candidates(&repo), [all[1].id, all[3].id]);
    let _ = undelete(&repo, &[all[3].id]).unwrap();
    let _ = block_on(repo.prune_keeping_deleted()).unwrap();
    let _ = undelete(&repo, &[all[1].id]).unwrap();
    assert_eq!(repo.reopen(2).backups().unwrap(), all[1..]);
    repo.reopen(3).assert_holds("both are back", &sources);
    let _ = repo.prune().unwrap();
    repo.reopen(4).assert_holds("pruned", &sources);
}

/// A prune moves data that deleted and live backups share; the deleted backup finds it.
#[test]
fn deleted_backup_comes_back_after_its_data_moved() {
    let repo = TestRepo::new();
    let back_up = |names: &[u64]| {
        let files = names.iter().map(|n| (format!("{n}"), noise(*n, 40_000)));
        let source = files.fold(MemorySource::new(), |source, (name, content)| {
            source.file(&name, content)
        });
        let made = repo
            .backup_with(&source, &TestRepo::options("host"))
            .unwrap();
        (made.backup.id, source)
    };
    // One pack with three files, of which two stay in use.
    let (first, _) = back_up(&[1, 2, 3]);
    let (second, source) = back_up(&[1, 2]);
    let (third, other) = back_up(&[2]);
    repo.delete(&[first]).unwrap();
    repo.delete(&[second]).unwrap();
    // The first one cannot come back afterwards: a prune that keeps nothing ran, and then the second one was deleted again.
    let _ = undelete(&repo, &[second]).unwrap();
    let _ = repo.prune().unwrap();
    repo.delete(&[second]).unwrap();
    let _ = block_on(repo.prune_keeping_deleted()).unwrap();
    assert_eq!(candidates(&repo), [second]);
    let _ = undelete(&repo, &[second]).unwrap();
    let sources = BTreeMap::from([(second, source), (third, other)]);
    repo.reopen(3).assert_holds("moved data", &sources);
}

#[test]
fn two_undeletes_at_every_step_bring_the_backup_back_once() {
    let (repo, all, sources) = repo_with(3);
    repo.delete(&[all[1].id]).unwrap();
    let probe = repo.fork(50);
    let _ = undelete(&probe, &[all[1].id]).unwrap();
    let operations = probe.faults.count();
    for n in 0..operations {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        let id = all[1].id;
        one.faults.before(n, move || {
            Box::pin(async move {
                let _ = undelete::undelete(&other.repository, [id], &other.context)
                    .await
                    .unwrap();
            })
        });
        let _ = undelete(&one, &[all[1].id]).unwrap();
        assert_eq!(one.reopen(300 + n).backups().unwrap(), all, "operation {n}");
        one.reopen(400 + n).assert_holds("after two", &sources);
    }
}

/// The data of the deleted backup stays in any case, because another backup has it. Its manifest does not.
#[test]
fn undelete_at_every_step_of_a_prune_leaves_no_backup_without_manifest() {
    let repo = TestRepo::new();
    let shared = MemorySource::new().file("f", noise(1, 50_000));
    let options = TestRepo::options("host");
    let junk = shared.clone().file("junk", noise(2, 50_000));
    let junk = repo.backup_with(&junk, &options).unwrap().backup.id;
    let deleted = repo.backup_with(&shared, &options).unwrap().backup.id;
    let live = repo.backup_with(&shared, &options).unwrap().backup.id;
    repo.delete(&[junk, deleted]).unwrap();
    let probe = repo.fork(50);
    let _ = probe.prune().unwrap();
    for n in 0..probe.faults.count() {
        let one = repo.fork(100 + n);
        let other = one.reopen(400 + n);
        one.faults.before(n, move || {
            Box::pin(async move {
                let done = undelete::undelete(&other.repository, [deleted], &other.context).await;
                if let Err(error) = done {
                    let kinds = [ErrorKind::BackupNotFound, ErrorKind::Conflict];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            })
        });
        let _ = one.prune().unwrap();
        let listed = one.reopen(700 + n).backups().unwrap();
        assert!(listed.iter().any(|backup| backup.id == live));
        let sources = listed.iter().map(|backup| (backup.id, shared.clone()));
        let what = format!("an undelete before operation {n} of a prune");
        one.reopen(800 + n).assert_holds(&what, &sources.collect());
    }
}

/// Without the index segment that says where a prune moved its data, the tree of the backup leads to it.
#[test]
fn deleted_backup_stays_when_the_moves_of_its_data_are_lost() {
    let repo = TestRepo::new();
    let options = TestRepo::options("host");
    let kept = MemorySource::new().file("kept", noise(1, 50_000));
    let junk = kept.clone().file("junk", noise(2, 50_000));
    let junk = repo.backup_with(&junk, &options).unwrap().backup.id;
    let deleted = repo.backup_with(&kept, &options).unwrap().backup.id;
    repo.delete(&[junk]).unwrap();
    let _ = repo.prune().unwrap();
    let other = MemorySource::new().file("other", noise(3, 50_000));
    let other_id = repo.backup_with(&other, &options).unwrap().backup.id;
    repo.delete(&[deleted]).unwrap();
    let _ = block_on(repo.prune_keeping_deleted()).unwrap();
    let segments = block_on(repo.repository.storage().list("index")).unwrap();
    assert!(!segments.is_empty());
    for (n, segment) in (0..).zip(&segments) {
        let repo = repo.fork(100 + n);
        block_on(repo.repository.storage().delete(&segment.key)).unwrap();
        let repair = CheckOptions::default().with_repair_index(true);
        let _ = block_on(check(&repo.repository, &repair, &repo.context)).unwrap();
        let _ = block_on(repo.prune_keeping_deleted()).unwrap();
        let _ = undelete(&repo, &[deleted]).unwrap();
        let sources = BTreeMap::from([(deleted, kept.clone()), (other_id, other.clone())]);
        repo.reopen(200 + n).assert_holds(&segment.key, &sources);
    }
}

/// Its data may be complete, and nothing else would keep it.
#[test]
fn prune_that_keeps_deleted_backups_refuses_when_a_manifest_is_lost() {
    let (repo, all, _) = repo_with(3);
    repo.delete(&[all[1].id]).unwrap();
    let key = format!("manifests/{}", all[1].id);
    block_on(repo.repository.storage().delete(&key)).unwrap();
    let error = block_on(repo.prune_keeping_deleted()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    let _ = repo.prune().unwrap();
    let _ = block_on(repo.prune_keeping_deleted()).unwrap();
}
