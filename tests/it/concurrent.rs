//! Several processes use one repository at the same time, without locks and without relying on clocks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use br_core::engine::backup::backup;
use br_core::engine::delete;
use br_core::model::BackupId;
use br_core::{
    BackupSelector, Context, ErrorKind, InitOptions, Location, Repository, StorageOptions,
};
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, block_on, noise, steps};

type Expected = BTreeMap<BackupId, MemorySource>;

fn source(seed: u64) -> MemorySource {
    let mut source = MemorySource::new()
        .file("shared", noise(1, 40_000))
        .file("inline", "inline");
    let own = Thing::File(noise(seed, 20_000).into());
    source.insert(
        "own",
        own,
        1_400_000_000 + seed.cast_signed(),
        Behaviour::Honest,
    );
    source
}

/// How many operations a piece of work takes.
fn count(repo: &TestRepo, work: impl Fn(&TestRepo)) -> u64 {
    let probe = repo.fork(9);
    work(&probe);
    probe.faults.count()
}

async fn delete_async(repo: &TestRepo, id: BackupId) {
    let selectors = vec![BackupSelector::Prefix(id.to_string())];
    let plan = delete::plan(&repo.repository, selectors, &repo.context)
        .await
        .unwrap();
    delete::delete(&repo.repository, &plan, &repo.context)
        .await
        .unwrap();
}

async fn prune(repo: &TestRepo) {
    let _ = repo.prune_async().await.unwrap();
}

async fn backup_async(repo: &TestRepo, source: MemorySource, host: &str) -> BackupId {
    let options = TestRepo::options(host);
    let made = backup(&repo.repository, source, &options, &repo.context).await;
    made.unwrap().backup.id
}

#[test]
fn two_concurrent_backups_are_both_listed() {
    let repo = TestRepo::new();
    let first = source(1);
    let first_id = repo.backup(&first).unwrap().backup.id;
    let operations = count(&repo, |probe| drop(probe.backup(&source(2)).unwrap()));
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || {
                Box::pin(async move {
                    backup_async(&other, source(3), "other").await;
                })
            }
        });
        let id = one.backup(&source(2)).unwrap().backup.id;
        let other_id = other
            .backups()
            .unwrap()
            .iter()
            .find(|backup| backup.host == "other")
            .unwrap()
            .id;
        let all = Expected::from([
            (first_id, first.clone()),
            (id, source(2)),
            (other_id, source(3)),
        ]);
        one.reopen(300 + n)
            .assert_holds(&format!("another backup before operation {n}"), &all);
    }
}

#[test]
fn two_concurrent_backups_can_both_merge_segments() {
    let repo = TestRepo::new();
    let mut all = Expected::new();
    for seed in 10..26 {
        let source = source(seed);
        all.insert(repo.backup(&source).unwrap().backup.id, source);
    }
    let operations = count(&repo, |probe| drop(probe.backup(&source(2)).unwrap()));
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        let slot = std::sync::Arc::new(std::sync::Mutex::new(None));
        one.faults.before(n, {
            let (other, slot) = (other.clone(), slot.clone());
            move || {
                Box::pin(async move {
                    let id = backup_async(&other, source(3), "other").await;
                    let _ = other.prune_async().await.unwrap();
                    *slot.lock().unwrap() = Some(id);
                })
            }
        });
        let what = format!("a backup and a prune before operation {n}");
        let mut all = all.clone();
        all.insert(with_retry(&one, &source(2), &what), source(2));
        all.insert(slot.lock().unwrap().unwrap(), source(3));
        one.reopen(300 + n).assert_holds(&what, &all);
    }
}

/// Runs a backup. If it gives up because other writers were faster, a second attempt must succeed.
fn with_retry(repo: &TestRepo, source: &MemorySource, what: &str) -> BackupId {
    match repo.backup(source) {
        Ok(report) => report.backup.id,
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::Conflict,
                "{what}: the only error is a lost race: {error}: {:?}",
                std::error::Error::source(&error)
            );
            repo.backup(source)
                .unwrap_or_else(|error| panic!("{what}: the next run: {error}"))
                .backup
                .id
        }
    }
}

/// A backup relies on data that only one other backup uses. During the backup, that one is deleted and its data is pruned.
fn a_prune_inside_a_backup(base: bool, sleeps: bool) {
    let repo = TestRepo::new();
    let kept = repo
        .backup_with(&source(1), &TestRepo::options("kept"))
        .unwrap()
        .backup
        .id;
    let host = if base { "host" } else { "another" };
    let deleted = repo
        .backup_with(&source(2), &TestRepo::options(host))
        .unwrap()
        .backup
        .id;
    let operations = count(&repo, |probe| drop(probe.backup(&source(2)).unwrap()));
    let conflicts = AtomicU64::new(0);
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || {
                Box::pin(async move {
                    delete_async(&other, deleted).await;
                    let _ = other.prune_async().await.unwrap();
                    if sleeps {
                        // While the backup sleeps, other backups store and use its data again, and are then deleted and pruned.
                        let again = backup_async(&other, source(2), "other").await;
                        let more = backup_async(&other, source(4), "other").await;
                        delete_async(&other, again).await;
                        let _ = other.prune_async().await.unwrap();
                        delete_async(&other, more).await;
                        let _ = other.prune_async().await.unwrap();
                    }
                })
            }
        });
        let what = format!("a prune before operation {n}");
        let id = match one.backup(&source(2)) {
            Ok(report) => report.backup.id,
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Conflict,
                    "{what}: {error}: {:?}",
                    std::error::Error::source(&error)
                );
                conflicts.fetch_add(1, Ordering::Relaxed);
                one.backup(&source(2)).unwrap().backup.id
            }
        };
        let all = Expected::from([(kept, source(1)), (id, source(2))]);
        let after = one.reopen(300 + n);
        after.assert_holds(&what, &all);
        let _ = after
            .prune()
            .unwrap_or_else(|error| panic!("{what}: the next prune: {error}"));
        after.assert_holds(&format!("{what}, and another one"), &all);
    }
    let conflicts = conflicts.into_inner();
    assert!(
        conflicts < operations / 2,
        "most backups succeed: {conflicts} of {operations} fail"
    );
}

#[test]
fn prune_during_backup_removes_nothing_backup_needs() {
    a_prune_inside_a_backup(false, false);
}

#[test]
fn prune_during_backup_removes_nothing_of_its_base() {
    a_prune_inside_a_backup(true, false);
}

#[test]
fn backup_that_pauses_during_several_prunes_stays_restorable() {
    a_prune_inside_a_backup(true, true);
}

#[test]
fn prune_during_backup_keeps_new_data() {
    let repo = TestRepo::new();
    let kept = repo
        .backup_with(&source(1), &TestRepo::options("kept"))
        .unwrap()
        .backup
        .id;
    let operations = count(&repo, |probe| drop(probe.backup(&source(2)).unwrap()));
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || Box::pin(async move { prune(&other).await })
        });
        let what =
            format!("a prune before operation {n} took the backup's own packs for leftovers");
        let id = with_retry(&one, &source(2), &what);
        let all = Expected::from([(kept, source(1)), (id, source(2))]);
        one.reopen(300 + n).assert_holds(&what, &all);
    }
}

#[test]
fn prune_that_moves_chunks_does_not_stop_backup() {
    let repo = TestRepo::new();
    let kept = source(2).file("more", noise(5, 30_000));
    let whole = kept.clone().file("surplus", noise(6, 200_000));
    let deleted = repo
        .backup_with(&whole, &TestRepo::options("deleted"))
        .unwrap()
        .backup
        .id;
    let kept_id = repo.backup(&kept).unwrap().backup.id;
    let operations = count(&repo, |probe| drop(probe.backup(&kept).unwrap()));
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || {
                Box::pin(async move {
                    delete_async(&other, deleted).await;
                    prune(&other).await;
                })
            }
        });
        let what = format!("a prune moved everything before operation {n}");
        let id = one
            .backup(&kept)
            .unwrap_or_else(|error| panic!("{what}: {error}"))
            .backup
            .id;
        let all = Expected::from([(kept_id, kept.clone()), (id, kept.clone())]);
        let after = one.reopen(300 + n);
        after.assert_holds(&what, &all);
        after.delete(&[kept_id]).unwrap();
        let _ = after.prune().unwrap();
        after.assert_holds(&what, &Expected::from([(id, kept.clone())]));
    }
}

/// A repository in which a prune has every kind of work to do.
fn prunable() -> (TestRepo, Expected) {
    let repo = TestRepo::new();
    let mut all = Expected::new();
    for seed in 1..6 {
        let source = source(seed).file("more", noise(50 + seed, 5_000));
        let id = repo
            .backup_with(&source, &TestRepo::options(&format!("host{seed}")))
            .unwrap()
            .backup
            .id;
        all.insert(id, source);
    }
    let deleted: Vec<_> = all.keys().copied().step_by(2).collect();
    repo.delete(&deleted).unwrap();
    all.retain(|id, _| !deleted.contains(id));
    (repo, all)
}

#[test]
fn two_concurrent_prunes_remove_no_used_data() {
    let (repo, all) = prunable();
    let operations = count(&repo, |probe| {
        let _ = probe.prune().unwrap();
    });
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || Box::pin(async move { prune(&other).await })
        });
        let what = format!("another prune before operation {n}");
        let _ = one.prune().unwrap_or_else(|error| {
            panic!("{what}: {error}: {:?}", std::error::Error::source(&error))
        });
        one.reopen(300 + n).assert_holds(&what, &all);
    }
}

#[test]
fn backup_during_prune_stays_restorable() {
    let (repo, all) = prunable();
    let operations = count(&repo, |probe| {
        let _ = probe.prune().unwrap();
    });
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        // The backup uses data again that the prune is about to remove.
        one.faults.before(n, {
            let other = other.clone();
            move || {
                Box::pin(async move {
                    backup_async(&other, source(1), "late").await;
                })
            }
        });
        let what = format!("a backup before operation {n} of a prune");
        let _ = one
            .prune()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let late = other
            .backups()
            .unwrap()
            .into_iter()
            .find(|backup| backup.host == "late")
            .unwrap()
            .id;
        let mut all = all.clone();
        all.insert(late, source(1));
        one.reopen(300 + n).assert_holds(&what, &all);
    }
}

#[test]
fn reading_during_prune_gives_correct_data_or_error() {
    let (repo, all) = prunable();
    let (id, wanted) = all.first_key_value().unwrap();
    let operations = count(&repo, |probe| drop(probe.files(*id).unwrap()));
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || Box::pin(async move { prune(&other).await })
        });
        if let Ok(files) = one.files(*id) {
            assert_eq!(files, wanted.files(), "a prune before operation {n}");
        }
        assert_eq!(
            one.files(*id).unwrap(),
            wanted.files(),
            "the next read works"
        );
    }
}

#[test]
fn check_during_prune_reports_no_damage() {
    let (repo, _) = prunable();
    let operations = count(&repo, |probe| drop(probe.check().unwrap()));
    let mut alarms = Vec::new();
    for n in steps(0..operations) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let other = other.clone();
            move || Box::pin(async move { prune(&other).await })
        });
        match one.check() {
            Ok(report) if report.is_sound() => {}
            Ok(report) => alarms.push((n, format!("{:?}", report.findings[0]))),
            Err(error) => alarms.push((n, error.to_string())),
        }
    }
    assert!(
        alarms.is_empty(),
        "{} of {operations}: {alarms:#?}",
        alarms.len()
    );
}

#[test]
fn seventy_backups_by_two_writers_cross_checkpoints() {
    let repo = TestRepo::new();
    let other = repo.reopen(2);
    let mut all = Expected::new();
    for seed in 0..70 {
        let (writer, host) = if seed % 2 == 0 {
            (&repo, "host")
        } else {
            (&other, "other")
        };
        let mut source = MemorySource::new();
        let content = Thing::File(format!("content {}", seed / 4).repeat(100).into());
        source.insert("f", content, 1_000_000_000 + seed, Behaviour::Honest);
        all.insert(
            writer
                .backup_with(&source, &TestRepo::options(host))
                .unwrap()
                .backup
                .id,
            source,
        );
    }
    let fresh = repo.reopen(3);
    fresh.assert_holds("after seventy backups", &all);
    let reads = |verb: &str| {
        fresh
            .faults
            .operations()
            .iter()
            .filter(|operation| operation.verb == verb && operation.key.starts_with("log/"))
            .count()
    };
    fresh.faults.reset();
    assert_eq!(fresh.backups().unwrap().len(), 70);
    assert!(
        reads("get") <= 32,
        "a reader skips the entries before a checkpoint: {} reads",
        reads("get")
    );
    let deleted: Vec<_> = all.keys().copied().take(60).collect();
    fresh.delete(&deleted).unwrap();
    all.retain(|id, _| !deleted.contains(id));
    let _ = fresh.prune().unwrap();
    fresh.reopen(4).assert_holds("after deleting sixty", &all);
}

#[test]
fn many_writers_on_one_disk_lose_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::Local(dir.path().join("repository"));
    let storage = StorageOptions::default().with_fsync(false);
    let options = InitOptions::default().with_storage(storage.clone());
    drop(block_on(Repository::init(&location, &options, &Context::system())).unwrap());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (location, storage) = (&location, &storage);
            scope.spawn(move || {
                let context = Context::system();
                let repository = block_on(Repository::open(location, storage, None)).unwrap();
                for round in 0..8 {
                    let options = TestRepo::options(&format!("host{writer}"));
                    let source = source(writer * 100 + round);
                    let _ = block_on(backup(&repository, source, &options, &context)).unwrap();
                }
            });
        }
    });
    let repository = block_on(Repository::open(&location, &storage, None)).unwrap();
    let context = Context::system();
    assert_eq!(
        block_on(repository.backups(&context)).unwrap().len(),
        32,
        "every backup is there"
    );
    let options = br_core::engine::check::CheckOptions::default()
        .with_data(br_core::engine::check::ReadData::All);
    let report = block_on(br_core::engine::check::check(
        &repository,
        &options,
        &context,
    ))
    .unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Symptom: br listed the log while other writers committed. The listing had an entry but not the one before it, so br reported damage.
#[test]
fn incomplete_log_listing_is_not_reported_as_damage() {
    let repo = TestRepo::new();
    let mut made = Vec::new();
    for seed in 0..3 {
        made.push(block_on(backup_async(&repo, source(seed), "host")));
    }
    let entries: Vec<_> = repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("log/"))
        .collect();
    let (_, but_last) = entries.split_last().unwrap();
    assert!(but_last.len() > 2, "{entries:?}");
    for entry in but_last {
        let reader = repo.reopen(7);
        reader.faults.overlook_once(entry);
        let found: Vec<_> = reader
            .backups()
            .unwrap()
            .iter()
            .map(|backup| backup.id)
            .collect();
        assert_eq!(found, made, "{entry}");
        reader.faults.overlook_once(entry);
        assert!(reader.check().unwrap().findings.is_empty(), "{entry}");
    }
    // A writer that lost a race reads the entries that other writers added.
    let fork = repo.fork(8);
    let operations = count(&fork, |repo| {
        block_on(backup_async(repo, source(9), "a"));
    });
    for n in 0..operations {
        let one = fork.fork(2);
        let other = one.reopen(3);
        let faults = std::sync::Arc::clone(&one.faults);
        let next = entries.len();
        one.faults.before(n, move || {
            Box::pin(async move {
                backup_async(&other, source(5), "b").await;
                backup_async(&other, source(6), "b").await;
                faults.overlook_once(format!("log/{next:016}"));
            })
        });
        block_on(backup_async(&one, source(9), "a"));
        assert_eq!(
            one.reopen(4).backups().unwrap().len(),
            6,
            "{n} of {operations}"
        );
    }
}

/// Symptom: `list` during a backup on the same machine reported that the repository was rolled back.
#[test]
fn entry_recorded_by_concurrent_process_is_not_reported_as_loss() {
    let repo = TestRepo::new();
    block_on(backup_async(&repo, source(1), "host"));
    let operations = count(&repo, |repo| drop(repo.backups().unwrap()));
    for n in 0..=operations {
        let folder = tempfile::tempdir().unwrap();
        let one = repo.fork(2);
        let other = one.reopen(3);
        for repo in [&one, &other] {
            let remembers = repo.repository.remember_log(folder.path(), &repo.context);
            remembers.unwrap();
        }
        assert_eq!(other.backups().unwrap().len(), 1);
        one.faults.before(n, move || {
            Box::pin(async move {
                backup_async(&other, source(2), "host").await;
            })
        });
        let found = one
            .backups()
            .unwrap_or_else(|error| panic!("{n} of {operations}: {error}"));
        assert!(matches!(found.len(), 1 | 2), "{n}: {}", found.len());
    }
}
