//! Deletion by a policy, on a real repository.

use br_core::engine::check::{CheckOptions, CheckReport, ReadData, check};
use br_core::engine::copy::{CopyOptions, CopyReport, copy, repair};
use br_core::engine::forget::{self, ForgetOptions, ForgetPlan};
use br_core::engine::label::{self, LabelChange};
use br_core::jiff::tz::TimeZone;
use br_core::model::BackupId;
use br_core::model::retention::{KeepCount, KeepReason, RetentionPolicy, RetentionRule};
use br_core::{BackupFilter, ErrorKind};
use br_testkit::{Behaviour, Corruption, MemorySource, TestRepo, Thing, When, block_on, noise};

/// A repository with this number of backups of one host, and their ids.
fn repo_with(count: u64) -> (TestRepo, Vec<BackupId>) {
    let repo = TestRepo::new();
    let ids = (0..count).map(|n| backup(&repo, n)).collect();
    (repo, ids)
}

fn backup(repo: &TestRepo, n: u64) -> BackupId {
    let source = MemorySource::new().file("f", noise(n, 2_000 + n as usize));
    let made = repo.backup_with(&source, &TestRepo::options("host"));
    made.unwrap().backup.id
}

fn last(number: u32) -> RetentionPolicy {
    let rule = RetentionRule::Last(KeepCount::Number(number));
    RetentionPolicy::new(TimeZone::UTC).keep(rule)
}

fn plan(repo: &TestRepo, policy: RetentionPolicy) -> ForgetPlan {
    let options = ForgetOptions::new(policy);
    block_on(forget::plan(&repo.repository, &options, &repo.context)).unwrap()
}

fn forget(repo: &TestRepo, plan: &ForgetPlan) -> Vec<BackupId> {
    block_on(forget::forget(&repo.repository, plan, &repo.context)).unwrap()
}

fn ids(repo: &TestRepo) -> Vec<BackupId> {
    let backups = repo.reopen(77).backups().unwrap();
    backups.iter().map(|backup| backup.id).collect()
}

#[test]
fn forget_deletes_what_its_plan_removes() {
    let (repo, all) = repo_with(5);
    let plan = plan(&repo, last(2));
    assert_eq!(ids(&repo), all, "a plan deletes nothing");
    let removed: Vec<_> = plan.retention.removed().map(|backup| backup.id).collect();
    assert_eq!(removed, all[..3]);
    assert_eq!(forget(&repo, &plan), removed);
    assert_eq!(ids(&repo), all[3..]);
    let _ = repo.prune().unwrap();
    assert!(repo.check().unwrap().findings.is_empty());
    assert!(forget(&repo, &plan).is_empty(), "done already");
}

#[test]
fn forget_without_rule_is_refused() {
    let (repo, all) = repo_with(2);
    let options = ForgetOptions::new(RetentionPolicy::new(TimeZone::UTC));
    let error = block_on(forget::plan(&repo.repository, &options, &repo.context)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(ids(&repo), all);
}

#[test]
fn forget_keeps_backup_that_another_deletion_made_the_last_one() {
    let (repo, all) = repo_with(3);
    let plan = plan(&repo, last(1));
    // Another process deletes what the plan keeps.
    repo.reopen(9).delete(&all[2..]).unwrap();
    assert_eq!(forget(&repo, &plan), all[..1]);
    assert_eq!(ids(&repo), all[1..2]);
}

#[test]
fn forget_keeps_backup_that_was_pinned_after_the_plan() {
    let (repo, all) = repo_with(3);
    let plan = plan(&repo, last(1));
    let pin = LabelChange::default().with_pinned(true);
    let _ = block_on(label::label(
        &repo.repository,
        [all[0]],
        &pin,
        &repo.context,
    ))
    .unwrap();
    assert_eq!(forget(&repo, &plan), all[1..2]);
}

#[test]
fn forget_deletes_no_more_than_planned_when_backups_are_added() {
    let (repo, mut all) = repo_with(3);
    let plan = plan(&repo, last(2));
    all.extend((10..14).map(|n| backup(&repo.reopen(20 + n), n)));
    assert_eq!(forget(&repo, &plan), all[..1]);
    assert_eq!(ids(&repo), all[1..]);
}

#[test]
fn two_forgets_at_every_step_keep_the_last_backup() {
    let (repo, all) = repo_with(4);
    let probe = repo.fork(5);
    let plan_of = |repo: &TestRepo| plan(repo, last(1));
    let _ = forget(&probe, &plan_of(&probe));
    let operations = probe.faults.count();
    for n in 0..operations {
        let one = repo.fork(30 + n);
        let other = one.reopen(60 + n);
        one.faults.before(n, move || {
            Box::pin(async move {
                let options = ForgetOptions::new(last(1));
                let plan = forget::plan(&other.repository, &options, &other.context);
                let plan = plan.await.unwrap();
                let _ = forget::forget(&other.repository, &plan, &other.context)
                    .await
                    .unwrap();
            })
        });
        let _ = forget(&one, &plan_of(&one));
        assert_eq!(ids(&one), all[3..], "operation {n}");
    }
}

#[test]
fn filter_limits_what_is_counted_and_deleted() {
    let (repo, mut all) = repo_with(3);
    let source = MemorySource::new().file("f", noise(99, 2_000));
    for _ in 0..2 {
        let made = repo
            .backup_with(&source, &TestRepo::options("other"))
            .unwrap();
        all.push(made.backup.id);
    }
    let filter = BackupFilter::default().with_host(Some("other".to_owned()));
    let options = ForgetOptions::new(last(1)).with_filter(filter);
    let plan = block_on(forget::plan(&repo.repository, &options, &repo.context)).unwrap();
    assert_eq!(forget(&repo, &plan), all[3..4]);
}

#[test]
fn incomplete_backups_do_not_push_out_complete_ones() {
    let (repo, mut all) = repo_with(2);
    let bytes = noise(7, 2_000);
    let mut unreadable = MemorySource::new().file("f", bytes.clone());
    unreadable.insert("g", Thing::File(bytes.into()), 1, Behaviour::Vanishes);
    for _ in 0..3 {
        let made = repo
            .backup_with(&unreadable, &TestRepo::options("host"))
            .unwrap();
        assert!(!made.backup.is_complete());
        all.push(made.backup.id);
    }
    let plan = plan(&repo, last(1));
    assert_eq!(forget(&repo, &plan), [all[0], all[2], all[3]]);
    assert_eq!(ids(&repo), [all[1], all[4]]);
}

#[test]
fn checked_backup_stays_as_the_last_proven_one() {
    let (repo, mut all) = repo_with(1);
    let checked = repo.prove().unwrap();
    assert!(checked.findings.is_empty());
    all.extend((10..13).map(|n| backup(&repo.reopen(20 + n), n)));
    let proven = &repo.reopen(3).backups().unwrap()[0];
    let by = proven
        .proven
        .as_ref()
        .map(|proof| proof.by.name().to_owned());
    assert_eq!(by.as_deref(), Some("check"));
    let plan = plan(&repo, last(1));
    let first = plan.retention.decisions().next().unwrap();
    assert_eq!(first.reasons, [KeepReason::LastProven]);
    assert_eq!(forget(&repo, &plan), all[1..3]);
    // Checkpoints keep the proof.
    for n in 0..40 {
        let _ = backup(&repo, 100 + n);
    }
    assert!(repo.reopen(5).backups().unwrap()[0].proven.is_some());
}

#[test]
fn damaged_backup_loses_its_proof_and_deletion_waits_for_repair() {
    let (repo, mut all) = repo_with(2);
    let before = repo.keys();
    all.push(backup(&repo, 5));
    assert!(repo.prove().unwrap().is_sound());
    // The data that only the last backup needs.
    let added = repo.keys().into_iter().filter(|key| !before.contains(key));
    for key in added.filter(|key| key.starts_with("packs/")) {
        repo.faults.corrupt(key, Corruption::Flip(40));
    }
    let checked = repo.prove().unwrap();
    assert_eq!(checked.damaged_backups, all[2..]);
    let proven = |repo: &TestRepo| -> Vec<bool> {
        let backups = repo.backups().unwrap();
        backups.iter().map(|one| one.proven.is_some()).collect()
    };
    assert_eq!(proven(&repo), [true, true, false]);
    let held = plan(&repo, last(1));
    assert!(held.is_held_by_damage);
    assert!(forget(&repo, &held).is_empty());
    let forced = plan(&repo, last(1).with_ignore_anomalies(true));
    let second = forced.retention.decisions().nth(1).unwrap();
    let reasons = [
        KeepReason::Last,
        KeepReason::LastComplete,
        KeepReason::LastProven,
    ];
    assert_eq!(second.reasons, reasons, "the damaged one does not count");
}

/// Three backups, and the pack of data that only the newest needs.
fn three_backups() -> (TestRepo, Vec<BackupId>, String) {
    let (repo, mut all) = repo_with(2);
    let before = repo.keys();
    all.push(backup(&repo, 5));
    let added = repo.keys().into_iter().filter(|key| !before.contains(key));
    let packs = added.filter(|key| key.starts_with("packs/"));
    // The largest pack has the data, the other one the tree.
    let data = packs.max_by_key(|key| repo.object(key).len());
    (repo, all, data.unwrap())
}

fn copy_all(repo: &TestRepo) -> (TestRepo, CopyReport) {
    let copies = TestRepo::init(None, 50);
    let options = CopyOptions::default();
    let copied = copy(
        &repo.repository,
        &copies.repository,
        &options,
        &repo.context,
    );
    let report = block_on(copied).unwrap();
    (copies, report)
}

/// Three backups; the data that only the newest needs is lost or altered. Returns a repository with copies of all, too.
fn with_damaged_newest(is_lost: bool) -> (TestRepo, TestRepo, Vec<BackupId>) {
    let (repo, all, data) = three_backups();
    let (copies, copied) = copy_all(&repo);
    assert_eq!(copied.copied.len(), 3);
    let mut bytes = repo.object(&data).to_vec();
    bytes[1000] ^= 1;
    repo.set_object(&data, (!is_lost).then_some(bytes));
    (repo, copies, all)
}

fn repair_index(repo: &TestRepo) -> br_core::Result<CheckReport> {
    let options = CheckOptions::default().with_data(ReadData::All);
    let options = options.with_repair_index(true);
    block_on(check(&repo.repository, &options, &repo.context))
}

fn kept(repo: &TestRepo) -> Vec<BackupId> {
    let plan = plan(repo, last(1));
    let kept = plan.retention.decisions().filter(|one| one.is_kept());
    kept.map(|one| one.backup.id).collect()
}

/// Symptom: after the repair nothing held the deletion, and the only backup that stayed was the damaged one.
#[test]
fn damaged_backup_takes_the_place_of_no_good_one_after_the_index_was_repaired() {
    for is_lost in [false, true] {
        let (repo, copies, all) = with_damaged_newest(is_lost);
        assert_eq!(repo.check().unwrap().damaged_backups, all[2..]);
        assert_eq!(repair_index(&repo).unwrap().damaged_backups, all[2..]);
        for _ in 0..2 {
            assert_eq!(kept(&repo), all[1..], "the last good one stays");
            let marks = repo.reopen(7).backups().unwrap();
            let marks: Vec<_> = marks.iter().map(|one| one.damaged.is_some()).collect();
            assert_eq!(marks, [false, false, true]);
            // A check of the structure sees the same.
            let structure = CheckOptions::default();
            let found = block_on(check(&repo.repository, &structure, &repo.context));
            assert_eq!(found.unwrap().damaged_backups, all[2..]);
        }
        let repaired = block_on(repair(&repo.repository, &copies.repository, &repo.context));
        assert_eq!(repaired.unwrap().damaged.len(), 0);
        assert!(repo.check().unwrap().is_sound());
        assert!(repo.reopen(8).backups().unwrap()[2].damaged.is_none());
        assert_eq!(kept(&repo), all[2..], "its data is back");
    }
}

#[test]
fn last_good_backup_stays_when_the_repair_of_the_index_stops_at_any_step() {
    for is_lost in [false, true] {
        let (repo, _copies, all) = with_damaged_newest(is_lost);
        // The damage is known: from here on, there is no moment at which the good backup can go.
        assert_eq!(repo.check().unwrap().damaged_backups, all[2..]);
        for when in [When::Before, When::After] {
            for step in 0.. {
                let victim = repo.fork(60);
                victim.faults.stop_at(step, when);
                let repaired = repair_index(&victim);
                if victim.faults.count() <= step {
                    assert_eq!(repaired.unwrap().damaged_backups, all[2..]);
                    break;
                }
                let after = victim.fork(61);
                assert!(kept(&after).contains(&all[1]), "step {step} {when:?}");
            }
        }
    }
}

/// Symptom: the marks were older than the backup that had stored the lost data again, and `--min` did not protect the backups.
#[test]
fn damaged_backups_stay_until_a_check_looks_at_them_again() {
    let (repo, all) = repo_with(4);
    let data = |repo: &TestRepo| -> Vec<String> {
        let packs = repo.keys().into_iter();
        packs.filter(|key| key.starts_with("packs/")).collect()
    };
    for key in data(&repo) {
        repo.set_object(&key, None);
    }
    assert_eq!(repair_index(&repo).unwrap().damaged_backups, all);
    let newest = backup(&repo, 3);
    let policy = last(1).with_minimum(2);
    let held = plan(&repo, policy.clone());
    assert_eq!(held.retention.removed().count(), 0);
    let reasons = &held.retention.decisions().next().unwrap().reasons;
    assert_eq!(*reasons, [KeepReason::Damage]);
    let forced = plan(&repo, policy.with_ignore_anomalies(true));
    let kept = forced.retention.decisions().filter(|one| one.is_kept());
    let kept: Vec<_> = kept.map(|one| one.backup.id).collect();
    assert_eq!(kept, [newest]);
}

/// Symptom: the check and the copy stopped at the pack, no backup was marked, and the last good one was deleted.
#[test]
fn data_that_the_disk_cannot_read_is_damaged_and_no_repair_drops_it() {
    let (repo, all, data) = three_backups();
    repo.faults.corrupt(data, Corruption::BadSector);
    let found = repo.check().unwrap();
    assert_eq!(found.damaged_backups, all[2..], "{:?}", found.findings);
    assert_eq!(plan(&repo, last(1)).retention.removed().count(), 0);
    assert_eq!(repair_index(&repo).unwrap().damaged_backups, all[2..]);
    assert!(kept(&repo).contains(&all[1]));
    // A copy has the backups that can be read.
    let (_copies, copied) = copy_all(&repo);
    assert_eq!(copied.copied.len(), 2);
    assert_eq!(copied.damaged[0].backup.id, all[2]);
    // On another disk, the data can be read.
    repo.faults.reset();
    assert!(repo.check().unwrap().is_sound());
    let marks = repo.reopen(9).backups().unwrap();
    assert!(marks.iter().all(|one| one.damaged.is_none()));
    assert_eq!(kept(&repo), all[2..]);
}

#[test]
fn marks_of_damaged_backups_survive_checkpoints() {
    let (repo, _copies, all) = with_damaged_newest(true);
    assert_eq!(repair_index(&repo).unwrap().damaged_backups, all[2..]);
    for n in 0..40 {
        let source = MemorySource::new().file("g", noise(n, 100));
        let made = repo.backup_with(&source, &TestRepo::options("other"));
        let _ = made.unwrap();
    }
    let backups = repo.reopen(9).backups().unwrap();
    assert!(backups[2].damaged.is_some() && backups[3].damaged.is_none());
    assert!(kept(&repo).contains(&all[1]));
}
