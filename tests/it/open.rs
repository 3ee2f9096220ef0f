//! Opening a repository: refused cases and their errors.

use std::collections::BTreeMap;

use br_core::engine::check::{CheckOptions, check};
use br_core::{ErrorKind, ObjectKind, Repository, Storage};
use br_testkit::{StoreKind, TestRepo, block_on};
use futures::FutureExt as _;

use crate::damage::{chain, source, whole};

/// `br.json` with another version, and with the right checksum.
fn config_with_version(repo: &TestRepo, major: u64, minor: u64) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(&repo.object("br.json")).unwrap();
    json["version"] = serde_json::json!({"major": major, "minor": minor});
    let object = json.as_object_mut().unwrap();
    object.remove("checksum");
    let sorted: BTreeMap<_, _> = object.clone().into_iter().collect();
    let text = serde_json::to_string(&sorted).unwrap();
    object.insert(
        "checksum".to_owned(),
        blake3::hash(text.as_bytes()).to_hex().to_string().into(),
    );
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn newer_format_is_refused_with_specific_error() {
    let repo = whole(false).repo;
    repo.set_object("br.json", Some(config_with_version(&repo, 2, 0)));
    let error = repo.try_reopen(2).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::UnsupportedFormat,
        "{}",
        chain(&error)
    );
    assert!(
        chain(&error).contains('2'),
        "the version is named: {}",
        chain(&error)
    );
}

/// A program that prompts for a password must not prompt again and again for one that is not needed.
#[test]
fn password_for_unencrypted_repository_is_specific_error() {
    let context = br_testkit::context(1);
    let dir = tempfile::tempdir().unwrap();
    let place = br_core::Location::Local(dir.path().join("repository"));
    let options = br_core::InitOptions::default();
    block_on(Repository::init(&place, &options, &context)).unwrap();
    let storage = br_core::StorageOptions::default();
    let opened = block_on(Repository::open(&place, &storage, Some(b"secret")));
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotEncrypted);
    let sealed = br_core::Location::Local(dir.path().join("sealed"));
    let empty = options.clone().with_password("");
    let made = block_on(Repository::init(&sealed, &empty, &context));
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(!dir.path().join("sealed").exists());
    let weak = options.with_password("x").with_weak_key_derivation();
    block_on(Repository::init(&sealed, &weak, &context)).unwrap();
    for password in [None, Some(&b"y"[..])] {
        let opened = block_on(Repository::open(&sealed, &storage, password));
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Password);
    }
}

#[test]
fn a_newer_minor_version_can_be_read_and_not_written() {
    let whole = whole(false);
    let repo = &whole.repo;
    repo.set_object("br.json", Some(config_with_version(repo, 1, 7)));
    let repo = repo.reopen(2);
    let keys = repo.keys();
    for (id, files) in &whole.backups {
        assert_eq!(
            repo.files(*id).unwrap(),
            *files,
            "the repository can be read"
        );
    }
    assert!(repo.check().unwrap().is_sound());
    let repair = CheckOptions::default().with_repair_index(true);
    let results = [
        repo.backup(&source()).map(drop),
        repo.delete(&[whole.backups[0].0]),
        repo.prune().map(drop),
        block_on(check(&repo.repository, &repair, &repo.context)).map(drop),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::UnsupportedFormat,
            "{}",
            chain(&error)
        );
    }
    assert_eq!(repo.keys(), keys, "nothing was written");
}

#[test]
fn configuration_replaced_by_unencrypted_one_is_detected() {
    let encrypted = whole(true).repo;
    let clear = whole(false).repo;
    encrypted.set_object("br.json", Some(clear.object("br.json").to_vec()));
    let error = encrypted.try_reopen(2).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotEncrypted | ErrorKind::Damaged),
        "{}",
        chain(&error)
    );
    // Without a password the repository opens as an unencrypted one, and nothing in it can be read.
    let opened = TestRepo::open(encrypted.store.clone(), None, 3).unwrap();
    let error = opened.backups().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{}", chain(&error));
}

#[test]
fn wrong_or_unneeded_password_is_refused() {
    let encrypted = whole(true).repo;
    for wrong in [
        None,
        Some(&b""[..]),
        Some(b"open sesam"),
        Some(b"open sesame "),
    ] {
        let error = TestRepo::open(encrypted.store.clone(), wrong, 2).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Password,
            "{wrong:?}: {}",
            chain(&error)
        );
    }
    let clear = whole(false).repo;
    let error = TestRepo::open(clear.store.clone(), Some(b"any"), 2).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::NotEncrypted,
        "a password for an unencrypted repository is an error"
    );
}

/// Symptom: if `br.json` was lost, the hint was to run `br init`, which then failed because the folder was not empty. Cause: a missing
/// `br.json` always counted as "no repository". Fix: br looks at the other objects.
#[test]
fn repository_without_configuration_is_damaged_not_missing() {
    for encrypted in [false, true] {
        let repo = whole(encrypted).repo;
        repo.set_object("br.json", None);
        let error = repo.try_reopen(2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{}", chain(&error));
        assert_eq!(error.object(), Some(ObjectKind::Config));
        let text = error.to_string();
        assert!(text.contains("br.json is missing"), "{text}");
        // One known name is sufficient if the folder contains no unknown files.
        for key in repo.keys().iter().filter(|key| !key.starts_with("log/")) {
            repo.set_object(key, None);
        }
        assert_eq!(repo.try_reopen(2).unwrap_err().kind(), ErrorKind::Damaged);
        if StoreKind::chosen() == Some(StoreKind::Local) {
            // The folders of the removed objects are still there, and show that it was a repository.
            continue;
        }
        repo.set_object("src/main.rs", Some(Vec::new()));
        let error = repo.try_reopen(2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RepositoryNotFound, "foreign");
    }
    let unfinished = TestRepo::encrypted();
    unfinished.set_object("br.json", None);
    let error = unfinished.try_reopen(2).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::RepositoryNotFound,
        "`init` continues"
    );
}

/// Symptom: a runtime with one thread was blocked while a key was derived. Fix: another thread derives it.
#[test]
fn key_derivation_does_not_block_runtime() {
    let context = br_testkit::context(3);
    let storage = Storage::memory();
    let options = br_core::InitOptions::default().with_password("secret");
    block_on(Repository::init_storage(
        storage.clone(),
        &options,
        &context,
    ))
    .unwrap();
    block_on(async {
        let mut opened = std::pin::pin!(Repository::open_storage(storage, Some(b"secret")));
        // Memory answers immediately: the first poll would last until the key is derived.
        assert!(opened.as_mut().now_or_never().is_none());
        opened.await.unwrap();
    });
}
