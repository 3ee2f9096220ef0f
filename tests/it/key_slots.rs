//! Key slots that an interruption, damage or a person with write access left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use br_core::engine::check::{self, CheckOptions, CheckReport, Severity};
use br_core::model::BackupId;
use br_core::{ErrorKind, Key, Repository};
use br_testkit::{MemorySource, TestRepo, When, block_on, noise, steps};

use super::keys::{FIRST, SECOND, THIRD, add, change_password, new_key};

fn rotate(repo: &TestRepo) -> Repository {
    let new = new_key(FIRST, "first");
    let changed = block_on(repo.repository.change_master_key(&new, &repo.context));
    changed.unwrap().0
}

fn open(repo: &TestRepo, password: &'static [u8]) -> br_core::Result<TestRepo> {
    // Every handle has other random names.
    static SEED: AtomicU64 = AtomicU64::new(100);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    TestRepo::open(repo.store.clone(), Some(password), seed)
}

fn check(repo: &TestRepo) -> CheckReport {
    let options = CheckOptions::default();
    block_on(check::check(&repo.repository, &options, &repo.context)).unwrap()
}

fn keys(repo: &TestRepo) -> Vec<Key> {
    block_on(repo.repository.keys()).unwrap()
}

fn slots(repo: &TestRepo) -> BTreeMap<String, Vec<u8>> {
    let keys = repo.keys().into_iter();
    keys.filter(|key| key.starts_with("keys/"))
        .map(|key| (key.clone(), repo.object(&key).to_vec()))
        .collect()
}

fn filled() -> (TestRepo, BTreeMap<BackupId, MemorySource>) {
    let repo = TestRepo::encrypted();
    let source = MemorySource::new().file("f", noise(1, 60_000));
    let made = repo
        .backup_with(&source, &TestRepo::options("host"))
        .unwrap();
    (repo, [(made.backup.id, source)].into())
}

/// Asserts that all data can be read, whatever a check says about the keys.
fn assert_readable(repo: &TestRepo, sources: &BTreeMap<BackupId, MemorySource>) {
    for id in sources.keys() {
        assert_eq!(repo.files(*id).unwrap().len(), 1);
    }
}

/// Puts objects with new names, as a person who may only create objects can.
fn plant(repo: &TestRepo, slots: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
    let planted = slots.into_iter().enumerate().map(|(n, bytes)| {
        let key = format!("keys/{:032x}", 0x1234_0000 + n);
        repo.set_object(&key, Some(bytes));
        key
    });
    planted.collect()
}

fn findings<'a>(report: &'a CheckReport, key: &str) -> Vec<(Severity, &'a str)> {
    let findings = report.findings.iter();
    findings
        .filter(|finding| finding.object == key)
        .map(|finding| (finding.severity, &*finding.message))
        .collect()
}

#[test]
fn current_slot_opens_when_removed_ones_are_put_back() {
    let (repo, sources) = filled();
    let mut old = slots(&repo);
    let mut last = repo;
    for _ in 0..3 {
        let _ = rotate(&last);
        last = open(&last, FIRST).unwrap();
        // All removed slots, the one of 32 zeros among them, are newer than the current one.
        for (key, bytes) in &old {
            last.set_object(key, Some(bytes.clone()));
        }
        open(&last, FIRST)
            .unwrap()
            .assert_holds("with old slots", &sources);
        let report = check(&last);
        for key in old.keys() {
            let found = findings(&report, key);
            assert_eq!(found.len(), 1, "{key}");
            assert!(found[0].1.contains("was removed"), "{found:?}");
        }
        let _ = add(&last, SECOND, "second").unwrap();
        let left = slots(&last);
        assert!(
            old.keys().all(|key| !left.contains_key(key)),
            "removed again"
        );
        old.extend(left);
    }
}

/// Symptom: a removed slot that was put back with its old time opened with an old master key, and every command was refused.
#[test]
fn removed_slot_that_is_older_than_the_current_one_does_not_lock_the_repository() {
    let (repo, sources) = filled();
    let first = slots(&repo);
    let _ = rotate(&repo);
    let new = slots(&repo);
    // The current slot is stored again after the removed one, so the removed one is older.
    for (key, bytes) in first.iter().chain(&new) {
        if repo.keys().contains(key) {
            repo.set_object(key, None);
        }
        repo.set_object(key, Some(bytes.clone()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let own = open(&repo, FIRST).unwrap();
    own.assert_holds("with the removed slot", &sources);
    let report = check(&own);
    let removed = first.keys().next().unwrap();
    assert_eq!(findings(&report, removed).len(), 1);
    let _ = add(&own, SECOND, "second").unwrap();
    assert!(!slots(&own).contains_key(removed));
}

#[test]
fn removed_key_that_is_put_back_under_another_name_is_reported() {
    let (repo, sources) = filled();
    // Removes the slot of 32 zeros.
    let first = slots(&repo);
    let _ = change_password(&repo, SECOND).unwrap();
    let own = open(&repo, SECOND).unwrap();
    let _ = add(&own, THIRD, "third").unwrap();
    let before = slots(&own);
    let _ = block_on(own.repository.remove_key("third", &own.context)).unwrap();
    let after = slots(&own);
    let removed = before
        .into_iter()
        .filter(|(key, _)| !after.contains_key(key));
    let removed: Vec<Vec<u8>> = first
        .into_iter()
        .chain(removed)
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(removed.len(), 2);
    for key in plant(&own, removed) {
        let found = check(&own);
        let found = findings(&found, &key);
        assert_eq!(found.len(), 1, "{key}");
        assert!(found[0].1.contains("under another name"), "{found:?}");
        let name = &key["keys/".len()..];
        let _ = block_on(own.repository.remove_key(name, &own.context)).unwrap();
    }
    assert_eq!(slots(&own), after);
    assert_readable(&open(&own, SECOND).unwrap(), &sources);
}

#[test]
fn password_that_an_interruption_left_twice_is_replaced() {
    let (base, sources) = filled();
    let probe = base.fork(5);
    let _ = change_password(&probe, SECOND).unwrap();
    for n in 0..probe.faults.count() {
        for when in [When::Before, When::After] {
            let place = format!("stopped {when:?} operation {n}");
            let victim = base.fork(5);
            victim.faults.stop_at(n, when);
            let _ = change_password(&victim, SECOND);
            // As a user would: the old password first.
            let again = open(&victim, FIRST).and_then(|old| change_password(&old, SECOND));
            let repaired = open(&victim, SECOND).expect(&place);
            assert!(again.is_ok() || open(&victim, FIRST).is_err(), "{place}");
            let _ = change_password(&repaired, THIRD).expect(&place);
            for password in [FIRST, SECOND] {
                assert!(open(&victim, password).is_err(), "{place}");
            }
            let last = open(&victim, THIRD).expect(&place);
            assert_eq!(keys(&last).len(), 1, "{place}");
            last.assert_holds(&place, &sources);
        }
    }
}

#[test]
fn useless_objects_do_not_stop_changes_of_keys() {
    let (repo, sources) = filled();
    let junk = (0..100).map(|n| noise(n, 300));
    let planted = plant(&repo, junk);
    repo.set_object("keys/readme.txt", Some(b"hello".to_vec()));
    let _ = add(&repo, SECOND, "second").unwrap();
    assert_readable(&open(&repo, SECOND).unwrap(), &sources);
    let report = check(&repo);
    for key in &planted {
        assert_eq!(findings(&report, key)[0].0, Severity::Damage, "{key}");
    }
    assert_eq!(findings(&report, "keys/readme.txt")[0].0, Severity::Note);
    let id = planted[0]["keys/".len()..].to_owned();
    let _ = block_on(repo.repository.remove_key(&id, &repo.context)).unwrap();
    assert_eq!(keys(&repo).len(), 2 + 99);
    let error = open(&repo, THIRD).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Password, "{error}");
    let _ = rotate(&repo);
    assert_eq!(
        slots(&repo).len(),
        2,
        "the current key, and the foreign file"
    );
    assert_readable(&open(&repo, FIRST).unwrap(), &sources);
}

#[test]
fn readable_slots_of_others_leave_the_owner_in_control() {
    let (repo, sources) = filled();
    // Slots with many master keys, from another repository.
    let mut other = TestRepo::encrypted();
    for _ in 0..8 {
        let _ = rotate(&other);
        other = open(&other, FIRST).unwrap();
    }
    let before = slots(&other);
    let _ = add(&other, b"foreign", "foreign").unwrap();
    let mut added = slots(&other).into_iter();
    let foreign = added.find(|(key, _)| !before.contains_key(key)).unwrap().1;
    let planted = plant(&repo, vec![foreign; 54]);
    assert_readable(&open(&repo, FIRST).unwrap(), &sources);
    let error = add(&repo, SECOND, "second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let _ = change_password(&repo, SECOND).unwrap();
    let own = open(&repo, SECOND).unwrap();
    assert_readable(&own, &sources);
    for key in &planted[..30] {
        let id = key["keys/".len()..].to_owned();
        let _ = block_on(own.repository.remove_key(&id, &own.context)).unwrap();
    }
    let _ = add(&own, THIRD, "third").unwrap();
    assert_readable(&open(&repo, THIRD).unwrap(), &sources);
}

#[test]
fn new_password_is_refused_where_too_many_keys_come_before_it() {
    let (repo, sources) = filled();
    let foreign = slots(&TestRepo::encrypted()).into_values().next().unwrap();
    let _ = plant(&repo, vec![foreign; 80]);
    let error = change_password(&repo, SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_readable(&open(&repo, FIRST).unwrap(), &sources);
}

#[test]
fn object_that_is_too_large_for_a_key_does_not_lock_the_repository() {
    let (repo, sources) = filled();
    let _ = change_password(&repo, SECOND).unwrap();
    let large = vec![0; (1 << 20) + 1];
    // Also in the place of the first key, which readers fetch before they list the others.
    for name in ["5".repeat(32), "0".repeat(32)] {
        repo.set_object(&format!("keys/{name}"), Some(large.clone()));
        let own = open(&repo, SECOND).unwrap();
        assert_readable(&own, &sources);
        let key = format!("keys/{name}");
        assert_eq!(findings(&check(&own), &key)[0].0, Severity::Damage);
        let removed = block_on(own.repository.remove_key(&name, &own.context));
        // The log says that the first key was removed, so every change of keys deletes it.
        let is_deleted_before = name.starts_with('0');
        assert_eq!(removed.is_err(), is_deleted_before, "{removed:?}");
        assert!(!slots(&repo).contains_key(&key));
    }
}

#[test]
fn keys_stay_as_they_are_where_readers_would_not_reach_a_new_one() {
    let (repo, sources) = filled();
    let _ = plant(&repo, (0..1_100).map(|_| b"junk".to_vec()));
    let before = slots(&repo);
    let new = new_key(FIRST, "first");
    for error in [
        add(&repo, SECOND, "second").unwrap_err(),
        change_password(&repo, SECOND).unwrap_err(),
        block_on(repo.repository.change_master_key(&new, &repo.context)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(slots(&repo), before);
    assert_readable(&open(&repo, FIRST).unwrap(), &sources);
}

/// Each change makes a master key of its own. The one that the log has in use must be found among those that were never used.
#[test]
fn two_interrupted_changes_of_the_master_key_leave_a_password_that_works() {
    let (base, sources) = filled();
    let mut tried = 0;
    for first in steps(8..30) {
        for second in steps(8..30) {
            let repo = base.fork(31);
            for at in [first, second] {
                let dying = open(&repo, FIRST).unwrap();
                dying.faults.stop_at(at, When::After);
                let new = new_key(FIRST, "first");
                let change = dying.repository.change_master_key(&new, &dying.context);
                let _ = block_on(change);
            }
            let what = format!("died after {first}, then after {second}");
            let repo = open(&repo, FIRST).unwrap();
            repo.assert_holds(&what, &sources);
            // The first command that changes keys may fail because its own key was removed.
            let _ = block_on(repo.repository.remove_key("none", &repo.context));
            let repo = open(&repo, FIRST).unwrap();
            let _ = rotate(&repo);
            open(&repo, FIRST).unwrap().assert_holds(&what, &sources);
            tried += 1;
        }
    }
    assert!(tried > 0);
}
