//! Keys of an encrypted repository: passwords, and changes of the master key.

use std::collections::BTreeMap;

use br_core::engine::check::{CheckOptions, check};
use br_core::model::BackupId;
use br_core::{ErrorKind, Key, MasterKeyChange, NewKey, Repository};
use br_testkit::{MemorySource, TestRepo, When, block_on, noise, steps};

/// The password that `TestRepo::encrypted` uses.
pub(super) const FIRST: &[u8] = b"open sesame";
pub(super) const SECOND: &[u8] = b"second";
pub(super) const THIRD: &[u8] = b"third";

pub(super) fn new_key(password: &[u8], label: &str) -> NewKey {
    NewKey::new(password, label).with_weak_key_derivation()
}

pub(super) fn add(repo: &TestRepo, password: &[u8], label: &str) -> br_core::Result<Key> {
    let new = new_key(password, label);
    block_on(repo.repository.add_key(&new, &repo.context))
}

fn remove(repo: &TestRepo, which: &str) -> br_core::Result<Key> {
    block_on(repo.repository.remove_key(which, &repo.context))
}

pub(super) fn change_password(repo: &TestRepo, password: &[u8]) -> br_core::Result<Key> {
    let new = new_key(password, "first");
    let changed = block_on(repo.repository.change_password(&new, &repo.context));
    changed.map(|(_, key)| key)
}

fn rotate(repo: &TestRepo, password: &[u8]) -> br_core::Result<(Repository, MasterKeyChange)> {
    let new = new_key(password, "first");
    block_on(repo.repository.change_master_key(&new, &repo.context))
}

fn labels(repo: &TestRepo) -> Vec<String> {
    let keys = block_on(repo.repository.keys()).unwrap();
    keys.into_iter().map(|key| key.label).collect()
}

fn open(repo: &TestRepo, password: &'static [u8], seed: u64) -> br_core::Result<TestRepo> {
    TestRepo::open(repo.store.clone(), Some(password), seed)
}

fn source(n: u64) -> MemorySource {
    MemorySource::new()
        .file("f", noise(n, 60_000 + n as usize))
        .file("shared", noise(1_000, 90_000))
}

fn backup(repo: &TestRepo, n: u64) -> br_core::Result<BackupId> {
    let made = repo.backup_with(&source(n), &TestRepo::options("host"))?;
    Ok(made.backup.id)
}

/// An encrypted repository with two backups, and what they hold.
fn filled() -> (TestRepo, BTreeMap<BackupId, MemorySource>) {
    let repo = TestRepo::encrypted();
    let mut sources = BTreeMap::new();
    for n in 0..2 {
        sources.insert(backup(&repo, n).unwrap(), source(n));
    }
    (repo, sources)
}

#[test]
fn every_password_opens_the_repository_until_it_is_removed() {
    let (repo, sources) = filled();
    let key = add(&repo, SECOND, "second").unwrap();
    assert_eq!(labels(&repo), ["first", "second"]);
    open(&repo, SECOND, 2)
        .unwrap()
        .assert_holds("second", &sources);
    let error = add(&repo, THIRD, "second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "the label is used");
    let error = open(&repo, THIRD, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Password);
    assert!(error.to_string().contains("`first`, `second`"), "{error}");
    let error = remove(&repo, "first").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "the key in use");
    assert_eq!(
        remove(&repo, "third").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let other = open(&repo, SECOND, 4).unwrap();
    let _ = remove(&other, "first").unwrap();
    let error = open(&repo, FIRST, 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Password);
    open(&repo, SECOND, 6)
        .unwrap()
        .assert_holds("one is left", &sources);
    let id = key.id.to_string();
    let error = remove(&other, &id[..8]).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalid,
        "the key in use, by its id"
    );
    assert!(other.check().unwrap().findings.is_empty());
}

#[test]
fn handle_whose_key_was_removed_changes_no_keys() {
    let (repo, _) = filled();
    let _ = add(&repo, SECOND, "second").unwrap();
    let second = open(&repo, SECOND, 2).unwrap();
    let _ = remove(&second, "first").unwrap();
    // Enough entries that a reader sees the removal only in a checkpoint.
    for _ in 0..40 {
        let _ = backup(&second, 0).unwrap();
    }
    for error in [
        remove(&repo, "second").unwrap_err(),
        add(&repo, THIRD, "third").unwrap_err(),
        change_password(&repo, THIRD).unwrap_err(),
        rotate(&repo, FIRST).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Password, "{error}");
    }
    assert_eq!(labels(&second), ["second"]);
}

#[test]
fn returned_repository_changes_keys_after_a_changed_password() {
    let (repo, _) = filled();
    let context = &repo.context;
    let new = new_key(SECOND, "first");
    let changed = block_on(repo.repository.change_password(&new, context));
    let (changed, key) = changed.unwrap();
    assert!(key.current);
    let keys = block_on(changed.keys()).unwrap();
    assert_eq!(keys, [key]);
    block_on(changed.add_key(&new_key(THIRD, "third"), context)).unwrap();
    let error = block_on(repo.repository.add_key(&new_key(b"4", "4"), context));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Password);
    let third = new_key(SECOND, "first");
    let (rotated, change) = block_on(changed.change_master_key(&third, context)).unwrap();
    assert_eq!(block_on(rotated.keys()).unwrap(), [change.key]);
}

#[test]
fn changed_password_replaces_the_old_one() {
    let (repo, sources) = filled();
    let key = change_password(&repo, SECOND).unwrap();
    assert_eq!(key.label, "first");
    assert_eq!(
        open(&repo, FIRST, 2).unwrap_err().kind(),
        ErrorKind::Password
    );
    open(&repo, SECOND, 3)
        .unwrap()
        .assert_holds("changed", &sources);
}

#[test]
fn password_opens_the_repository_in_every_unicode_form() {
    let repo = TestRepo::encrypted();
    let _ = add(&repo, "Käse".as_bytes(), "composed").unwrap();
    assert!(open(&repo, "Ka\u{308}se".as_bytes(), 2).is_ok());
}

#[test]
fn new_objects_have_the_new_master_key_and_old_backups_stay_readable() {
    let (repo, mut sources) = filled();
    let _ = add(&repo, SECOND, "second").unwrap();
    let kept: BTreeMap<String, _> = repo
        .keys()
        .into_iter()
        .map(|key| (key.clone(), repo.object(&key)))
        .collect();
    let (_, change) = rotate(&repo, FIRST).unwrap();
    assert_eq!(change.master_keys, 2);
    let removed: Vec<_> = change.removed.iter().map(|key| &*key.label).collect();
    assert_eq!(removed, ["second"]);
    assert_eq!(
        open(&repo, SECOND, 2).unwrap_err().kind(),
        ErrorKind::Password
    );
    let changed = open(&repo, FIRST, 3).unwrap();
    assert_eq!(labels(&changed), ["first"]);
    let size = changed.size();
    sources.insert(backup(&changed, 7).unwrap(), source(7));
    let added = changed.size() - size;
    assert!(
        added < 80_000,
        "the shared file is stored once: {added} bytes"
    );
    changed.assert_holds("after the change", &sources);
    assert!(changed.prove().unwrap().findings.is_empty());
    // What is written from now on has the number of the new key.
    let new = changed
        .keys()
        .into_iter()
        .filter(|key| !kept.contains_key(key));
    let sealed = new.filter(|key| !key.starts_with("keys/") && key != "br.json");
    for key in sealed {
        // This entry gave the first key another name, before the change.
        let number = u8::from(key != log_key(3));
        assert_eq!(changed.object(&key)[24], number, "{key}");
    }
    // The handle that was opened before the change cannot write.
    assert_eq!(backup(&repo, 8).unwrap_err().kind(), ErrorKind::Password);
    // If the old key slots are restored, the old password opens the repository, but br cannot read its log.
    for (key, bytes) in kept.iter().filter(|(key, _)| key.starts_with("keys/")) {
        changed.set_object(key, Some(bytes.to_vec()));
    }
    let outdated = open(&repo, SECOND, 4).unwrap();
    let error = outdated.backups().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Password, "{error}");
    assert_eq!(
        backup(&outdated, 9).unwrap_err().kind(),
        ErrorKind::Password
    );
}

#[test]
fn data_moves_and_is_repaired_across_master_keys() {
    let (repo, mut sources) = filled();
    let mut repo = repo;
    for n in 2..5 {
        let _ = rotate(&repo, FIRST).unwrap();
        repo = open(&repo, FIRST, n).unwrap();
        sources.insert(backup(&repo, n).unwrap(), source(n));
    }
    let oldest = *sources.keys().next().unwrap();
    repo.delete(&[oldest]).unwrap();
    let _ = sources.remove(&oldest);
    let _ = repo.prune().unwrap();
    repo.assert_holds("after a prune", &sources);
    assert!(repo.prove().unwrap().findings.is_empty());
    let index: Vec<_> = repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("index/"))
        .collect();
    for key in index {
        repo.set_object(&key, None);
    }
    let repair = CheckOptions::default().with_repair_index(true);
    let _ = block_on(check(&repo.repository, &repair, &repo.context)).unwrap();
    repo.assert_holds("with a rebuilt index", &sources);
}

#[test]
fn log_that_continues_with_an_old_master_key_is_refused() {
    let (repo, _) = filled();
    let fork = repo.fork(9);
    let (_, _) = rotate(&repo, FIRST).unwrap();
    let changed = open(&repo, FIRST, 2).unwrap();
    let next = last_log(&changed) + 1;
    // A process that has only the old master key writes all entries up to this number, including a checkpoint.
    while last_log(&fork) < 32 {
        let _ = backup(&fork, 5).unwrap();
    }
    for seq in (next..=32).chain([next]) {
        let bytes = fork.object(&log_key(seq));
        changed.set_object(&log_key(seq), Some(bytes.to_vec()));
        let error = backup(&open(&repo, FIRST, 3).unwrap(), 9);
        let error = error.expect_err(&format!("entry {seq} of {next}"));
        assert_eq!(error.kind(), ErrorKind::Damaged, "entry {seq}: {error}");
    }
    // The whole log of the old process.
    for seq in 0..=32 {
        changed.set_object(&log_key(seq), Some(fork.object(&log_key(seq)).to_vec()));
    }
    let error = backup(&open(&repo, FIRST, 4).unwrap(), 9).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

fn log_key(seq: u64) -> String {
    format!("log/{seq:016}")
}

fn last_log(repo: &TestRepo) -> u64 {
    let keys = repo.keys();
    let numbers = keys.iter().filter_map(|key| key.strip_prefix("log/"));
    numbers.filter_map(|text| text.parse().ok()).max().unwrap()
}

#[test]
fn master_key_can_be_changed_until_the_limit() {
    let repo = TestRepo::encrypted();
    let mut sources = BTreeMap::new();
    let mut repo = repo;
    for n in 1..16 {
        let (_, change) = rotate(&repo, FIRST).unwrap();
        assert_eq!(change.master_keys, n + 1);
        repo = open(&repo, FIRST, n as u64).unwrap();
        sources.insert(backup(&repo, n as u64).unwrap(), source(n as u64));
    }
    let error = rotate(&repo, FIRST).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    repo.assert_holds("16 master keys", &sources);
}

#[test]
fn wrong_password_does_not_change_the_master_key() {
    let (repo, sources) = filled();
    let error = rotate(&repo, SECOND).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Password);
    repo.reopen(2).assert_holds("unchanged", &sources);
}

#[test]
fn unencrypted_repository_has_no_keys() {
    let repo = TestRepo::new();
    for error in [
        add(&repo, SECOND, "second").unwrap_err(),
        remove(&repo, "first").unwrap_err(),
        change_password(&repo, SECOND).unwrap_err(),
        rotate(&repo, SECOND).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotEncrypted);
    }
}

#[test]
fn empty_or_too_long_values_are_refused() {
    let repo = TestRepo::encrypted();
    for (password, label) in [(&b""[..], "a"), (b"p", ""), (b"p", &"x".repeat(257))] {
        assert_eq!(
            add(&repo, password, label).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

/// A change of the keys, with the password that opens the repository before.
type Change = fn(&TestRepo) -> br_core::Result<()>;

const CHANGES: [(&str, Change); 4] = [
    ("add", |repo| add(repo, THIRD, "third").map(drop)),
    ("remove", |repo| remove(repo, "second").map(drop)),
    ("passwd", |repo| change_password(repo, THIRD).map(drop)),
    ("rotate", |repo| rotate(repo, FIRST).map(drop)),
];

/// Opens the repository with the first of these passwords that opens it.
fn open_any(
    repo: &TestRepo,
    passwords: &[&'static [u8]],
    seed: u64,
) -> Option<(&'static [u8], TestRepo)> {
    let mut opened = passwords
        .iter()
        .filter_map(|password| Some((*password, open(repo, password, seed).ok()?)));
    opened.next()
}

#[test]
fn interrupted_change_of_keys_leaves_a_password_that_can_repeat_it() {
    let (base, sources) = filled();
    let _ = add(&base, SECOND, "second").unwrap();
    for (name, change) in CHANGES {
        let probe = base.fork(5);
        change(&probe).unwrap();
        for n in steps(0..probe.faults.count()) {
            for when in [When::Before, When::After] {
                let place = format!("{name}, stopped {when:?} operation {n}");
                let victim = base.fork(5);
                victim.faults.stop_at(n, when);
                let _ = change(&victim);
                // The new password first: if it was stored, the old one may be removed already.
                let (password, opened) = open_any(&victim, &[THIRD, FIRST], 6).expect(&place);
                opened.assert_holds(&place, &sources);
                let mut all = sources.clone();
                all.insert(backup(&opened, 3).unwrap(), source(3));
                let again = match name {
                    // As a user would: with the old password, and with the new one if that was removed.
                    "passwd" => open(&victim, FIRST, 9)
                        .and_then(|old| change_password(&old, THIRD))
                        .or_else(|_| change_password(&opened, THIRD))
                        .map(drop),
                    "rotate" => rotate(&opened, password)
                        .or_else(|_| rotate(&open(&victim, FIRST, 9)?, FIRST))
                        .map(drop),
                    _ => change(&opened),
                };
                match again {
                    // The command already added or removed the key before it was interrupted.
                    Err(error) => {
                        assert!(["add", "remove"].contains(&name), "{place}: {error}");
                        assert_eq!(error.kind(), ErrorKind::Invalid, "{place}: {error}");
                    }
                    Ok(()) => {
                        let removed: &[&[u8]] = match name {
                            "passwd" => &[FIRST],
                            "remove" | "rotate" => &[SECOND],
                            _ => &[],
                        };
                        for password in removed {
                            assert!(open(&victim, password, 8).is_err(), "{place}");
                        }
                    }
                }
                let (_, last) = open_any(&victim, &[THIRD, FIRST], 7).expect(&place);
                last.assert_holds(&place, &all);
                assert!(last.check().unwrap().findings.is_empty(), "{place}");
            }
        }
    }
}

/// As when a response is lost: the store executed the request, the command sees an error and continues.
#[test]
fn failed_request_during_a_change_of_keys_leaves_a_usable_key() {
    let (base, sources) = filled();
    let _ = add(&base, SECOND, "second").unwrap();
    // The next log entry, or the one after it, is a checkpoint: also under a new master key.
    let late = base.fork(4);
    while last_log(&late) < 30 {
        let _ = backup(&late, 0).unwrap();
    }
    for base in [base, late] {
        let sources: BTreeMap<_, _> = sources.clone();
        for (name, change) in CHANGES {
            let probe = base.fork(5);
            change(&probe).unwrap();
            for n in steps(0..probe.faults.count()) {
                for when in [When::Before, When::After] {
                    let place = format!("{name}, {when:?} operation {n} failed");
                    let victim = base.fork(5);
                    victim.faults.fail_once(n, when);
                    let _ = change(&victim);
                    let (_, opened) = open_any(&victim, &[THIRD, FIRST], 6).expect(&place);
                    let ids: Vec<BackupId> = sources.keys().copied().collect();
                    for id in ids {
                        let files = opened.files(id);
                        assert!(files.is_ok(), "{place}: {:?}", files.err());
                    }
                    let made = backup(&opened, 3);
                    assert!(made.is_ok(), "{place}: {:?}", made.err());
                }
            }
        }
    }
}

#[test]
fn two_changes_of_keys_at_once_leave_a_usable_key() {
    let (base, sources) = filled();
    let _ = add(&base, SECOND, "second").unwrap();
    let others: [(&str, Change); 3] = [
        ("remove", |repo| remove(repo, "first").map(drop)),
        ("passwd", |repo| change_password(repo, THIRD).map(drop)),
        ("rotate", |repo| rotate(repo, SECOND).map(drop)),
    ];
    for (name, change) in CHANGES {
        let probe = base.fork(5);
        change(&probe).unwrap();
        for n in steps(0..probe.faults.count()) {
            for (other_name, other) in others {
                let one = base.fork(5);
                let two = TestRepo::open(one.store.clone(), Some(SECOND), 6).unwrap();
                one.faults.before(n, {
                    let two = two.clone();
                    move || {
                        Box::pin(async move {
                            let _ = tokio::task::spawn_blocking(move || other(&two)).await;
                        })
                    }
                });
                let _ = change(&one);
                let place = format!("{name}, and {other_name} before operation {n}");
                let usable = [FIRST, SECOND, THIRD].iter().any(|password| {
                    open(&one, password, 7).is_ok_and(|repo| {
                        if repo.backups().is_err() {
                            return false;
                        }
                        repo.assert_holds(&place, &sources);
                        true
                    })
                });
                assert!(usable, "{place}: no password opens the repository");
            }
        }
    }
}

#[test]
fn change_of_the_master_key_during_a_backup_loses_nothing() {
    let (base, sources) = filled();
    let probe = base.fork(5);
    let _ = backup(&probe, 4).unwrap();
    for n in steps(0..probe.faults.count()) {
        let writer = base.fork(5);
        let other = TestRepo::open(writer.store.clone(), Some(FIRST), 6).unwrap();
        writer.faults.before(n, move || {
            Box::pin(async move {
                let _ = tokio::task::spawn_blocking(move || rotate(&other, FIRST).map(drop)).await;
            })
        });
        let made = backup(&writer, 4);
        let mut expected = sources.clone();
        match made {
            Ok(id) => drop(expected.insert(id, source(4))),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Password, "operation {n}: {error}"),
        }
        let opened = open(&writer, FIRST, 7).unwrap();
        opened.assert_holds(&format!("operation {n}"), &expected);
        let id = backup(&opened, 4).unwrap();
        expected.insert(id, source(4));
        let _ = opened.prune().unwrap();
        opened.assert_holds(&format!("operation {n}, after the next backup"), &expected);
        assert!(opened.prove().unwrap().findings.is_empty());
    }
}

/// Symptom: after a change of the password, the old one still opened the repository by another key.
#[test]
fn password_of_another_key_is_refused() {
    let (repo, _) = filled();
    let error = add(&repo, FIRST, "second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("`first`"), "{error}");
    assert_eq!(labels(&repo), ["first"]);
    add(&repo, SECOND, "second").unwrap();
    let error = change_password(&repo, SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("`second`"), "{error}");
    assert!(open(&repo, FIRST, 5).is_ok());
    // The same password again is no change.
    change_password(&repo, FIRST).unwrap();
}
