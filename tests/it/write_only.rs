//! Write-only keys: they make backups, and do not decrypt the content of files.

use std::collections::BTreeMap;

use br_core::engine::check::{CheckOptions, CheckReport, check};
use br_core::engine::copy::{CopyOptions, copy};
use br_core::engine::dump::dump;
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::engine::rewrite::{RewriteOptions, rewrite};
use br_core::engine::{delete, prune, undelete};
use br_core::model::{BackupId, Content, Entry, EntryKind, EntryPath};
use br_core::source::Excludes;
use br_core::{Error, ErrorKind, NewKey};
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, block_on, noise};

type Expected = BTreeMap<BackupId, MemorySource>;

/// Short files, one chunk, several chunks, and a few bytes that an entry could hold.
fn source(n: u64) -> MemorySource {
    let mut source = MemorySource::new()
        .folder("d")
        .file("d/empty", "")
        .file("d/several", noise(7, 900_000));
    let text = format!("some text {n} ").repeat(9_000);
    let new = [
        ("d/tiny", format!("secret {n}").into_bytes()),
        ("d/one", noise(n, 30_000)),
        ("d/text", text.into_bytes()),
    ];
    for (path, content) in new {
        let time = 1_000_000_000 + n.cast_signed();
        source.insert(path, Thing::File(content.into()), time, Behaviour::Honest);
    }
    source
}

/// A repository, and the same opened by a write-only key.
fn both() -> (TestRepo, TestRepo) {
    let repo = TestRepo::with_write_only_keys(1);
    let writer = block_on(repo.write_only()).unwrap();
    assert!(writer.repository.is_write_only() && !repo.repository.is_write_only());
    (repo, writer)
}

fn back_up(repo: &TestRepo, n: u64) -> (BackupId, MemorySource) {
    let made = repo.backup(&source(n)).unwrap();
    assert!(made.backup.is_complete());
    (made.backup.id, source(n))
}

fn inline_content(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| match &entry.kind {
        EntryKind::File(file) => {
            matches!(&file.content, Content::Inline(bytes) if !bytes.is_empty())
        }
        _ => false,
    })
}

fn assert_sound(report: Result<CheckReport, Error>) {
    let findings = report.unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
}

fn assert_refused<T>(what: &str, result: Result<T, Error>) {
    match result {
        Ok(_) => panic!("{what} succeeds"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRights, "{what}: {error}"),
    }
}

#[test]
fn what_a_write_only_key_stored_is_restored_with_a_full_key() {
    let (repo, writer) = both();
    let expected: Expected = [
        back_up(&writer, 1),
        back_up(&repo, 2),
        back_up(&writer, 2),
        back_up(&writer, 3),
    ]
    .into();
    repo.assert_holds("full key", &expected);
    assert_sound(repo.check());
    for id in expected.keys() {
        assert!(!inline_content(&repo.entries(*id).unwrap()), "{id}");
    }
}

#[test]
fn a_second_backup_with_a_write_only_key_stores_only_what_is_new() {
    let (_, writer) = both();
    let _ = back_up(&writer, 1);
    let before = writer.size();
    let _ = back_up(&writer, 1);
    let unchanged = writer.size() - before;
    assert!(unchanged < 8_000, "{unchanged} bytes for nothing new");
    let _ = back_up(&writer, 2);
    let changed = writer.size() - before - unchanged;
    assert!(changed < 60_000, "{changed} bytes for 30 kB and some text");
}

#[test]
fn a_write_only_key_reads_no_content_and_calls_nothing_damaged() {
    let (repo, writer) = both();
    let (id, expected) = back_up(&repo, 1);
    let log = repo
        .keys()
        .iter()
        .filter(|key| key.starts_with("log/"))
        .count();
    let context = &writer.context;
    let path = |name: &str| EntryPath::new(name.as_bytes()).unwrap();
    for name in ["d/tiny", "d/one", "d/several"] {
        let written = dump(&writer.repository, id, path(name), std::io::sink(), context);
        assert_refused(name, block_on(written));
        let read = block_on(async {
            let snapshot = writer.repository.snapshot(id, context).await?;
            let file = snapshot.open_file(&path(name)).await?;
            file.read_at(0, 5).await
        });
        assert_refused(name, read);
    }
    let verifying = TestRepo::options("host").with_verify_known(true);
    let verified = writer.backup_with(&source(2), &verifying);
    assert_refused("backup with verify_known", verified);
    let to = tempfile::tempdir().unwrap();
    let options = RestoreOptions::default();
    let restored = restore(&writer.repository, id, to.path(), &options, context);
    assert_refused("restore", block_on(restored));
    assert!(to.path().read_dir().unwrap().next().is_none());
    let other = TestRepo::init(None, 2);
    let copy_options = CopyOptions::default();
    let copied = copy(
        &writer.repository,
        &other.repository,
        &copy_options,
        context,
    );
    assert_refused("copy", block_on(copied));
    assert_refused(
        "prune",
        block_on(prune::plan(
            &writer.repository,
            &TestRepo::thorough(),
            context,
        )),
    );
    assert_refused("check of all data", writer.check());
    for repair in [
        CheckOptions::default().with_repair_index(true),
        CheckOptions::default().with_repair_log(true),
    ] {
        assert_refused(
            "repair",
            block_on(check(&writer.repository, &repair, context)),
        );
    }
    let after = repo
        .keys()
        .iter()
        .filter(|key| key.starts_with("log/"))
        .count();
    assert_eq!(after, log, "nothing is noted as damaged");
    repo.assert_holds("afterwards", &[(id, expected)].into());
}

#[test]
fn a_write_only_key_lists_compares_checks_deletes_and_rewrites() {
    let (repo, writer) = both();
    let (first, content) = back_up(&writer, 1);
    let (second, _) = back_up(&writer, 2);
    let context = &writer.context;
    assert_eq!(writer.backups().unwrap().len(), 2);
    assert_eq!(writer.entries(first).unwrap().len(), 6);
    let options = CheckOptions::default();
    assert_sound(block_on(check(&writer.repository, &options, context)));
    writer.delete(&[second]).unwrap();
    let _ = block_on(undelete::undelete(&writer.repository, [second], context)).unwrap();
    let plan = block_on(delete::plan(&writer.repository, [second], context)).unwrap();
    block_on(delete::delete(&writer.repository, &plan, context)).unwrap();
    let _ = repo.prune().unwrap();
    repo.assert_holds("pruned", &[(first, content)].into());
    let options = RewriteOptions::default().with_excludes(Excludes::parse(["d/one"]).unwrap());
    let rewritten = rewrite(&writer.repository, [first], &options, context);
    let id = block_on(rewritten).unwrap().backups[0]
        .backup
        .as_ref()
        .unwrap()
        .id;
    assert_eq!(repo.files(id).unwrap().len(), 4);
}

#[test]
fn a_prune_moves_content_that_a_write_only_key_cannot_read_afterwards_either() {
    let (repo, writer) = both();
    let (first, _) = back_up(&writer, 1);
    let second = back_up(&writer, 2);
    repo.delete(&[first]).unwrap();
    let report = repo.prune().unwrap();
    assert!(report.packs_deleted > 0);
    let expected: Expected = [second.clone(), back_up(&writer, 3)].into();
    repo.assert_holds("pruned", &expected);
    assert_refused(
        "dump",
        block_on(dump(
            &writer.repository,
            second.0,
            EntryPath::new(b"d/tiny".to_vec()).unwrap(),
            std::io::sink(),
            &writer.context,
        )),
    );
}

#[test]
fn a_copy_into_a_repository_with_write_only_keys_leaves_no_content_in_the_entries() {
    let from = TestRepo::init(None, 5);
    let (original, content) = back_up(&from, 1);
    assert!(inline_content(&from.entries(original).unwrap()));
    let (repo, writer) = both();
    let options = CopyOptions::default();
    let copied = copy(&from.repository, &repo.repository, &options, &repo.context);
    let id = block_on(copied).unwrap().copied[0].backup.id;
    repo.assert_holds("the copy", &[(id, content)].into());
    assert!(!inline_content(&writer.entries(id).unwrap()));
    // A write-only key may receive copies as well.
    let _ = back_up(&from, 2);
    let more = copy(
        &from.repository,
        &writer.repository,
        &options,
        &writer.context,
    );
    assert_eq!(block_on(more).unwrap().copied.len(), 1);
    assert_sound(repo.check());
}

#[test]
fn a_write_only_key_cannot_give_or_take_more_rights_than_it_has() {
    let (repo, writer) = both();
    let (keys, context) = (&writer.repository, &writer.context);
    let new = |label: &str| NewKey::new(label, label).with_weak_key_derivation();
    assert_refused("full key", block_on(keys.add_key(&new("full"), context)));
    assert_refused("removal", block_on(keys.remove_key("first", context)));
    assert_refused(
        "master key",
        block_on(keys.change_master_key(&new("only writes"), context)),
    );
    let second = new("second").with_write_only();
    assert!(block_on(keys.add_key(&second, context)).unwrap().write_only);
    assert!(block_on(keys.remove_key("second", context)).is_ok());
    let changed = block_on(keys.change_password(&new("changed"), context));
    let (changed, key) = changed.unwrap();
    assert!(changed.is_write_only() && key.write_only);
    let described = block_on(repo.repository.keys()).unwrap();
    let rights: Vec<bool> = described.iter().map(|key| key.write_only).collect();
    assert_eq!(rights, [false, true]);
}

#[test]
fn a_repository_without_write_only_keys_refuses_one() {
    let repo = TestRepo::encrypted();
    let new = NewKey::new("w", "w").with_weak_key_derivation();
    let new = new.with_write_only();
    let added = repo.repository.add_key(&new, &repo.context);
    assert_eq!(block_on(added).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn backups_continue_after_the_master_key_was_changed() {
    let (mut repo, writer) = both();
    let mut expected: Expected = [back_up(&writer, 1)].into();
    let new = NewKey::new(TestRepo::PASSWORD, "first").with_weak_key_derivation();
    let changed = block_on(repo.repository.change_master_key(&new, &repo.context));
    let (changed, report) = changed.unwrap();
    assert_eq!(report.removed.len(), 1, "the write-only key");
    repo.repository = changed;
    let error = writer.backup(&source(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Password);
    let writer = block_on(repo.write_only()).unwrap();
    expected.extend([back_up(&writer, 2), back_up(&repo, 3)]);
    repo.assert_holds("both master keys", &expected);
    assert_sound(repo.check());
}

/// A recipient of age, and its secret key.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &[u8] =
    b"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

#[test]
fn the_identity_of_a_recipient_reads_and_takes_no_content() {
    for repo in [TestRepo::encrypted(), TestRepo::with_write_only_keys(1)] {
        let expected: Expected = [back_up(&repo, 1)].into();
        let new = NewKey::for_recipient(RECIPIENT, "safe");
        let key = block_on(repo.repository.add_key(&new, &repo.context)).unwrap();
        assert_eq!(key.recipient.as_deref(), Some(RECIPIENT));
        let again = NewKey::for_recipient(RECIPIENT, "again");
        let again = block_on(repo.repository.add_key(&again, &repo.context)).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Invalid);
        let opened = TestRepo::open(repo.store.clone(), Some(IDENTITY), 9).unwrap();
        opened.assert_holds("recipient", &expected);
        assert_sound(opened.check());
        assert_refused("backup", opened.backup(&source(2)));
        let new = NewKey::new("new", "new").with_weak_key_derivation();
        let (keys, context) = (&opened.repository, &opened.context);
        let entries = repo.keys();
        assert_refused("password", block_on(keys.change_password(&new, context)));
        assert_refused(
            "master key",
            block_on(keys.change_master_key(&new, context)),
        );
        assert_refused("new key", block_on(keys.add_key(&new, context)));
        assert_refused("prune", opened.prune());
        let id = *expected.keys().next().unwrap();
        assert_refused("delete", opened.delete(&[id]));
        assert_sound(opened.prove());
        assert_eq!(repo.keys(), entries, "nothing is written");
        // After the loss of every password, a copy is a repository with a new one.
        let copied = TestRepo::init(Some(b"new"), 40);
        let options = CopyOptions::default();
        let report = copy(keys, &copied.repository, &options, &copied.context);
        let id = block_on(report).unwrap().copied[0].backup.id;
        copied.assert_holds("copy", &[(id, source(1))].into());
    }
}

/// Symptom: the only key that was left was write-only, so no key could read the content of files.
#[test]
fn a_key_with_fewer_rights_replaces_no_full_one() {
    for repo in [TestRepo::encrypted(), TestRepo::with_write_only_keys(1)] {
        let (id, expected) = back_up(&repo, 1);
        let (keys, context) = (&repo.repository, &repo.context);
        let own = String::from_utf8(TestRepo::PASSWORD.to_vec()).unwrap();
        for lesser in [
            NewKey::new(own.clone(), "first")
                .with_weak_key_derivation()
                .with_write_only(),
            NewKey::new("other", "first")
                .with_weak_key_derivation()
                .with_write_only(),
            NewKey::for_recipient(RECIPIENT, "first"),
        ] {
            let refused = block_on(keys.change_password(&lesser, context)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
            let refused = block_on(keys.change_master_key(&lesser, context)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        }
        repo.reopen(3)
            .assert_holds("full key", &[(id, expected)].into());
    }
}

#[test]
fn a_wrong_recipient_is_refused() {
    let repo = TestRepo::encrypted();
    let identity = std::str::from_utf8(IDENTITY).unwrap();
    for wrong in ["", "age1", "ssh-ed25519 AAAA", identity] {
        let new = NewKey::for_recipient(wrong, "safe");
        let added = block_on(repo.repository.add_key(&new, &repo.context));
        assert_eq!(added.unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
    }
    let new = NewKey::new(IDENTITY, "safe").with_weak_key_derivation();
    let added = block_on(repo.repository.add_key(&new, &repo.context));
    assert_eq!(added.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Anyone with a master key can write such an entry, also a write-only key, and nobody can tell who wrote it.
#[test]
fn entry_that_removes_every_full_key_deletes_none_of_the_last_ones() {
    let (repo, writer) = both();
    let expected: Expected = [back_up(&writer, 1)].into();
    let full = block_on(repo.repository.keys()).unwrap().remove(0).id;
    // An owner with another full key removes the first one, and the deletion of its slot fails.
    let new = NewKey::new("second", "second").with_weak_key_derivation();
    let _ = block_on(repo.repository.add_key(&new, &repo.context)).unwrap();
    let second = TestRepo::open(repo.store.clone(), Some(b"second"), 20).unwrap();
    let slot = format!("keys/{full}");
    let bytes = repo.object(&slot).to_vec();
    let removed = second.repository.remove_key("first", &second.context);
    assert!(block_on(removed).is_ok());
    repo.set_object(&slot, Some(bytes.clone()));
    // Neither a write-only key nor the key itself deletes it.
    let new = NewKey::new("third", "third").with_weak_key_derivation();
    let new = new.with_write_only();
    let _ = block_on(writer.repository.add_key(&new, &writer.context)).unwrap();
    let opened = TestRepo::open(repo.store.clone(), Some(TestRepo::PASSWORD), 21).unwrap();
    let refused = block_on(opened.repository.add_key(&new, &opened.context)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Password);
    assert_eq!(repo.object(&slot).to_vec(), bytes);
    opened.assert_holds("removed key", &expected);
    // Another full key does.
    let new = NewKey::new("fourth", "fourth").with_weak_key_derivation();
    let _ = block_on(second.repository.add_key(&new, &second.context)).unwrap();
    assert!(!repo.keys().contains(&slot));
}

#[test]
fn write_only_key_with_the_label_of_a_full_one_does_not_replace_it() {
    let (repo, writer) = both();
    let keys = || block_on(repo.repository.keys()).unwrap();
    let new = NewKey::new("mine", "first").with_weak_key_derivation();
    let taken = block_on(
        writer
            .repository
            .add_key(&new.clone().with_write_only(), &writer.context),
    );
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Invalid);
    // `change_password` takes any label.
    let changed = block_on(writer.repository.change_password(&new, &writer.context));
    let (mine, _) = changed.unwrap();
    let again = NewKey::new("again", "first").with_weak_key_derivation();
    let _ = block_on(mine.change_password(&again, &writer.context)).unwrap();
    let full: Vec<_> = keys().into_iter().filter(|key| !key.write_only).collect();
    assert_eq!((full.len(), &*full[0].label), (1, "first"));
    assert!(TestRepo::open(repo.store.clone(), Some(TestRepo::PASSWORD), 30).is_ok());
}
