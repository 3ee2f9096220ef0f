//! A prune removes unused data, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use br_core::ErrorKind;
use br_core::engine::prune::{PruneOptions, plan, prune};
use br_core::engine::stats::stats;
use br_core::model::BackupId;
use br_testkit::{MemorySource, TestRepo, block_on, noise};

type Expected = BTreeMap<BackupId, MemorySource>;

fn files(seeds: std::ops::Range<u64>, len: usize) -> MemorySource {
    let file = |source: MemorySource, seed| source.file(&format!("f{seed:03}"), noise(seed, len));
    seeds.fold(MemorySource::new(), file)
}

fn back_up(repo: &TestRepo, source: &MemorySource, host: &str) -> BackupId {
    repo.backup_with(source, &TestRepo::options(host))
        .unwrap()
        .backup
        .id
}

#[test]
fn prune_removes_nothing_if_all_data_is_used() {
    let repo = TestRepo::new();
    let source = files(0..20, 10_000);
    let all = Expected::from([
        (back_up(&repo, &source, "a"), source.clone()),
        (back_up(&repo, &source, "b"), source),
    ]);
    let before = repo.keys();
    let options = TestRepo::thorough();
    let planned = block_on(plan(&repo.repository, &options, &repo.context)).unwrap();
    assert!(planned.is_empty(), "{planned:?}");
    let report = block_on(prune(&repo.repository, &planned, &repo.context)).unwrap();
    assert_eq!(report, Default::default());
    assert_eq!(
        repo.keys(),
        before,
        "no object is touched, and none written"
    );
    repo.assert_holds("after", &all);
}

#[test]
fn prune_executes_its_plan() {
    let repo = TestRepo::new();
    let (big, small) = (files(0..40, 50_000), files(0..4, 50_000));
    let deleted = back_up(&repo, &big, "deleted");
    let kept = back_up(&repo, &small, "kept");
    let alone = back_up(&repo, &files(100..110, 20_000), "alone");
    repo.delete(&[deleted, alone]).unwrap();
    let before = repo.sizes();
    let options = TestRepo::thorough();
    let planned = block_on(plan(&repo.repository, &options, &repo.context)).unwrap();
    assert_eq!(repo.sizes(), before, "planning changes nothing");
    // Some data of `deleted` is still used. The data of `alone` is not used at all.
    assert_eq!(planned.packs_rewritten, 1, "{planned:?}");
    assert!(planned.packs_unused >= 2, "{planned:?}");
    assert_eq!(
        planned.bytes_copied, 200_000,
        "only used chunks are copied: {planned:?}"
    );
    let report = block_on(prune(&repo.repository, &planned, &repo.context)).unwrap();
    assert_eq!(
        report.packs_deleted,
        planned.packs_unused + planned.packs_rewritten
    );
    assert_eq!(report.bytes_deleted, planned.bytes_removed);
    assert_eq!(report.failed, 0);
    let after = repo.sizes();
    let size = |sizes: &BTreeMap<String, u64>| {
        sizes
            .iter()
            .filter(|(key, _)| key.starts_with("packs/"))
            .map(|(_, size)| size)
            .sum::<u64>()
    };
    assert_eq!(
        size(&after),
        size(&before) - report.bytes_deleted + report.bytes_written,
        "the plan matches the report"
    );
    assert!(
        size(&after) < 250_000,
        "almost no unused data is left: {}",
        size(&after)
    );
    repo.assert_holds("after", &Expected::from([(kept, small)]));
    let stats = block_on(stats(&repo.repository, &repo.context)).unwrap();
    assert_eq!((stats.backups, stats.packs_condemned), (1, 0), "{stats:?}");
    assert_eq!(stats.bytes_stored, size(&after), "{stats:?}");
}

#[test]
fn small_amount_of_unused_data_is_kept() {
    let repo = TestRepo::new();
    let whole = files(0..50, 20_000);
    let mut most = whole.clone();
    most.remove("f007");
    let deleted = back_up(&repo, &whole, "deleted");
    let kept = back_up(&repo, &most, "kept");
    repo.delete(&[deleted]).unwrap();
    let lenient = PruneOptions::default()
        .with_max_unused(0.10)
        .with_grace(Duration::ZERO);
    let planned = block_on(plan(&repo.repository, &lenient, &repo.context)).unwrap();
    assert_eq!(
        planned.packs_rewritten, 0,
        "two percent of unused data are kept: {planned:?}"
    );
    let planned = block_on(plan(&repo.repository, &TestRepo::thorough(), &repo.context)).unwrap();
    assert!(
        planned.packs_rewritten >= 1,
        "with the option, unused data is removed: {planned:?}"
    );
    let _ = block_on(prune(&repo.repository, &planned, &repo.context)).unwrap();
    repo.assert_holds("after", &Expected::from([(kept, most)]));
}

#[test]
fn chunks_that_moved_again_and_again_are_found() {
    let repo = TestRepo::new();
    let mut hosts = Vec::new();
    // Each backup uses half of the files of the backup before.
    for n in 0..6 {
        let source = files(0..(1 << (6 - n)), 3_000);
        hosts.push((back_up(&repo, &source, &format!("host{n}")), source));
    }
    for n in 0..5 {
        repo.delete(&[hosts[n].0]).unwrap();
        let report = repo.prune().unwrap();
        assert!(report.packs_deleted > 0, "round {n}: {report:?}");
        let left: Expected = hosts[n + 1..].iter().cloned().collect();
        repo.reopen(10 + n as u64)
            .assert_holds(&format!("after prune {n}"), &left);
        let again = repo.prune().unwrap();
        assert_eq!(
            again.packs_deleted, 0,
            "round {n}: a second prune finds nothing: {again:?}"
        );
    }
    let next = files(0..64, 3_000);
    let report = repo.backup(&next).unwrap().backup;
    let added = report.changes.bytes_added;
    assert!(
        (186_000..195_000).contains(&added),
        "moved chunks are not stored again: {added}"
    );
    let last = hosts.pop().unwrap();
    repo.assert_holds("and a backup", &Expected::from([last, (report.id, next)]));
}

#[test]
fn a_prune_of_everything_leaves_an_empty_repository() {
    let repo = TestRepo::encrypted();
    let ids = [
        back_up(&repo, &files(0..20, 5_000), "a"),
        back_up(&repo, &files(10..30, 5_000), "b"),
    ];
    repo.delete(&ids).unwrap();
    let _ = repo.prune().unwrap();
    let left = repo.keys();
    let folders = ["packs/", "index/", "manifests/"];
    let left: Vec<_> = left
        .iter()
        .filter(|key| folders.iter().any(|folder| key.starts_with(folder)))
        .collect();
    assert!(
        left.is_empty(),
        "only configuration, key and log are left: {left:?}"
    );
    let source = files(0..5, 5_000);
    let id = back_up(&repo, &source, "c");
    repo.assert_holds("it can be used again", &Expected::from([(id, source)]));
}

#[test]
fn young_unknown_packs_are_kept() {
    let repo = TestRepo::new();
    let source = files(0..5, 5_000);
    let operations = {
        let probe = repo.fork(9);
        back_up(&probe, &source, "a");
        probe.faults.count()
    };
    repo.faults
        .stop_at(operations - 1, br_testkit::When::Before);
    repo.backup(&source).unwrap_err();
    let repo = repo.reopen(2);
    let packs = |repo: &TestRepo| {
        repo.keys()
            .iter()
            .filter(|key| key.starts_with("packs/"))
            .count()
    };
    assert_eq!(packs(&repo), 2, "the killed backup left packs");
    let planned = block_on(plan(
        &repo.repository,
        &PruneOptions::default(),
        &repo.context,
    ))
    .unwrap();
    assert_eq!(
        planned.packs_leftover, 0,
        "a running backup may need them: {planned:?}"
    );
    let planned = block_on(plan(&repo.repository, &TestRepo::thorough(), &repo.context)).unwrap();
    assert_eq!(planned.packs_leftover, 2, "{planned:?}");
    let _ = repo.prune().unwrap();
    assert_eq!(packs(&repo), 0);
    repo.assert_holds("after", &Expected::new());
}

#[test]
fn nothing_is_pruned_from_a_damaged_repository() {
    let repo = TestRepo::new();
    let deleted = back_up(&repo, &files(0..20, 5_000), "a");
    back_up(&repo, &files(10..30, 5_000), "b");
    repo.delete(&[deleted]).unwrap();
    for key in repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("index/") || key.starts_with("manifests/"))
    {
        if key.contains(&deleted.to_string()) {
            continue;
        }
        let fork = repo.fork(3);
        fork.set_object(&key, Some(noise(1, 1000)));
        let before = fork.keys();
        let error = fork.prune().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{key}: {error}");
        assert_eq!(fork.keys(), before, "{key}: nothing is removed");
    }
}

#[test]
fn a_pack_that_cannot_be_copied_stops_the_prune_before_it_removes_anything() {
    let repo = TestRepo::new();
    let deleted = back_up(&repo, &files(0..20, 5_000), "a");
    let kept = back_up(&repo, &files(10..15, 5_000), "b");
    repo.delete(&[deleted]).unwrap();
    let packs: Vec<_> = repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    let before = repo.sizes();
    for pack in &packs {
        let fork = repo.fork(4);
        fork.set_object(pack, Some(noise(1, usize::try_from(before[pack]).unwrap())));
        if let Err(error) = fork.prune() {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{pack}: {error}");
            let there = fork.keys();
            assert!(
                before.keys().all(|key| there.contains(key)),
                "{pack}: everything is still there"
            );
        }
    }
    assert_eq!(repo.files(kept).unwrap().len(), 5);
}

/// Symptom: if another writer committed during each attempt, a prune copied all used chunks again, and left every copy but the last one in
/// the store.
#[test]
fn a_prune_that_loses_races_copies_once() {
    let repo = TestRepo::new();
    let (whole, kept) = (files(0..60, 40_000), files(0..20, 40_000));
    let deleted = back_up(&repo, &whole, "deleted");
    let kept_id = back_up(&repo, &kept, "kept");
    repo.delete(&[deleted]).unwrap();
    let condemn = {
        let probe = repo.fork(9);
        let _ = probe.prune().unwrap();
        let operations = probe.faults.operations();
        let is_condemn = |o: &br_testkit::Operation| o.verb == "put" && o.key.starts_with("log/");
        operations.iter().position(is_condemn).unwrap() as u64
    };
    let one = repo.fork(2);
    let other = one.reopen(3);
    // Another writer commits before each of these operations: every attempt within them loses.
    for n in condemn..condemn + 60 {
        let other = other.clone();
        one.faults.before(n, move || {
            Box::pin(async move {
                let options = TestRepo::options("other");
                let source = MemorySource::new().file("inline", "x");
                let made = br_core::engine::backup::backup(
                    &other.repository,
                    source,
                    &options,
                    &other.context,
                );
                let _ = made.await.unwrap();
            })
        });
    }
    let report = one.prune().unwrap();
    let operations = one.faults.operations();
    let puts = |folder: &str| {
        let is_put = |o: &&br_testkit::Operation| o.verb == "put" && o.key.starts_with(folder);
        operations.iter().filter(is_put).count()
    };
    assert!(puts("log/") > 3, "several attempts lost: {}", puts("log/"));
    assert_eq!(puts("packs/"), 1, "used chunks are copied once");
    assert!(report.bytes_written < 1_000_000, "{report:?}");
    let planned = block_on(plan(&one.repository, &TestRepo::thorough(), &one.context)).unwrap();
    assert!(
        planned.is_empty(),
        "no leftover packs are found: {planned:?}"
    );
    assert_eq!(one.files(kept_id).unwrap(), kept.files());
    assert!(one.check().unwrap().findings.is_empty());
}

#[test]
fn partial_writes_of_killed_writers_are_removed_by_empty_plan() {
    let dir = tempfile::tempdir().unwrap();
    let context = br_core::Context::system();
    let location = br_core::Location::Local(dir.path().join("repository"));
    let options = br_core::InitOptions::default();
    let repository = block_on(br_core::Repository::init(&location, &options, &context)).unwrap();
    let options = TestRepo::options("host");
    let made = br_core::engine::backup::backup(&repository, files(0..3, 5_000), &options, &context);
    let _ = block_on(made).unwrap();
    let folder = dir.path().join("repository/packs/ab");
    std::fs::create_dir_all(&folder).unwrap();
    let (old, young) = (folder.join("abcd#1"), folder.join("abce#1"));
    for path in [&old, &young] {
        std::fs::write(path, noise(1, 5_000)).unwrap();
    }
    br_testkit::set_time(&old, 1_600_000_000, 0);
    let planned = block_on(plan(&repository, &PruneOptions::default(), &context)).unwrap();
    assert!(planned.is_empty(), "{planned:?}");
    let report = block_on(prune(&repository, &planned, &context)).unwrap();
    assert_eq!(report.unfinished_removed, 1, "{report:?}");
    assert!(
        !old.exists() && young.exists(),
        "a writer may still use the file"
    );
}

#[test]
fn unreferenced_segments_and_manifests_have_same_grace_as_packs() {
    let repo = TestRepo::new();
    let kept = back_up(&repo, &files(0..5, 5_000), "kept");
    let lost = back_up(&repo, &files(5..9, 5_000), "lost");
    let last = repo.keys().into_iter().rfind(|key| key.starts_with("log/"));
    // The log entry of the second backup is lost, so this machine does not know the backup.
    repo.set_object(&last.unwrap(), None);
    let before = repo.keys();
    let planned = block_on(plan(
        &repo.repository,
        &PruneOptions::default(),
        &repo.context,
    ))
    .unwrap();
    let _ = block_on(prune(&repo.repository, &planned, &repo.context)).unwrap();
    assert_eq!(repo.keys(), before, "nothing is deleted within a day");
    let options = br_core::engine::check::CheckOptions::default().with_repair_log(true);
    let checked = br_core::engine::check::check(&repo.repository, &options, &repo.context);
    assert!(block_on(checked).unwrap().is_sound());
    let all = Expected::from([(kept, files(0..5, 5_000)), (lost, files(5..9, 5_000))]);
    repo.assert_holds("brought back", &all);
}

/// Symptom: a panic. Cause: the age was subtracted from the time without a check for underflow. Fix: times do not go below 1970.
#[test]
fn grace_longer_than_time_since_1970_is_accepted() {
    let repo = TestRepo::new();
    back_up(&repo, &files(0..3, 5_000), "kept");
    let options = PruneOptions::default().with_grace(Duration::MAX);
    let planned = block_on(plan(&repo.repository, &options, &repo.context)).unwrap();
    let report = block_on(prune(&repo.repository, &planned, &repo.context)).unwrap();
    assert_eq!(report.unfinished_removed, 0);
}
