//! What can be rebuilt: the index from packs, the catalog from manifests.

use br_core::ErrorKind;
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_testkit::{TestRepo, block_on, noise};

use crate::damage::{chain, damages, source, whole};

#[test]
fn a_damaged_index_is_rebuilt() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        for key in whole
            .repo
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("index/"))
        {
            for (how, bytes) in damages(&whole, &key) {
                let what = format!("{key} {how}");
                let repo = whole.repo.fork(3);
                repo.set_object(&key, bytes);
                let error = repo
                    .prune()
                    .err()
                    .unwrap_or_else(|| panic!("{what}: nothing is pruned"));
                assert_eq!(
                    error.kind(),
                    ErrorKind::Damaged,
                    "{what}: {}",
                    chain(&error)
                );
                let options = CheckOptions::default()
                    .with_data(ReadData::All)
                    .with_repair_index(true);
                let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
                assert!(report.is_sound(), "{what}: {:?}", report.findings);
                assert!(
                    report.repaired.iter().any(|text| text.contains(&key)),
                    "{what}: {:?}",
                    report.repaired
                );
                let repo = repo.reopen(4);
                assert!(repo.check().unwrap().is_sound(), "{what}: the repair lasts");
                for (id, files) in &whole.backups {
                    assert_eq!(repo.files(*id).unwrap(), *files, "{what}");
                }
                repo.delete(&[whole.backups[0].0]).unwrap();
                repo.prune().unwrap();
                assert_eq!(
                    repo.files(whole.backups[1].0).unwrap(),
                    whole.backups[1].1,
                    "{what}"
                );
                assert!(
                    repo.check().unwrap().findings.is_empty(),
                    "{what}: and it works on"
                );
            }
        }
    }
}

#[test]
fn a_backup_to_a_repository_with_a_damaged_index_is_whole() {
    let whole = whole(false);
    for key in whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("index/"))
    {
        let repo = whole.repo.fork(3);
        repo.set_object(&key, Some(noise(1, 100)));
        let report = repo.backup(&source()).unwrap();
        assert_eq!(
            report.backup.changes.bytes_added, 0,
            "packs are found by their footers"
        );
        assert_eq!(repo.files(report.backup.id).unwrap(), source().files());
        let options = CheckOptions::default()
            .with_data(ReadData::All)
            .with_repair_index(true);
        let repaired = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
        assert!(repaired.is_sound(), "{:?}", repaired.findings);
    }
}

#[test]
fn a_damaged_log_is_named_and_rebuilt() {
    let whole = whole(false);
    for key in whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("log/"))
    {
        for (how, bytes) in damages(&whole, &key) {
            let what = format!("{key} {how}");
            let repo = whole.repo.fork(3);
            repo.set_object(&key, bytes);
            let before = repo.keys();
            let Err(error) = repo.backups() else { continue };
            assert_eq!(
                error.kind(),
                ErrorKind::Damaged,
                "{what}: {}",
                chain(&error)
            );
            assert!(chain(&error).contains(&key), "{what}: {}", chain(&error));
            let error = repo.backup(&source()).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Damaged,
                "{what}: nothing is added to it"
            );
            assert_eq!(repo.keys(), before, "{what}: nothing is written");
            let options = CheckOptions::default()
                .with_data(ReadData::All)
                .with_repair_log(true);
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            assert!(report.is_sound(), "{what}: {:?}", report.findings);
            let repo = repo.reopen(4);
            assert_eq!(
                repo.backups().unwrap().len(),
                2,
                "{what}: all backups are back"
            );
            for (id, files) in &whole.backups {
                assert_eq!(repo.files(*id).unwrap(), *files, "{what}");
            }
            let next = repo.backup(&source()).unwrap().backup.id;
            assert_eq!(
                repo.files(next).unwrap(),
                source().files(),
                "{what}: it works on"
            );
            repo.delete(&[whole.backups[0].0]).unwrap();
            repo.prune().unwrap();
            assert_eq!(
                repo.files(whole.backups[1].0).unwrap(),
                whole.backups[1].1,
                "{what}"
            );
        }
    }
}

#[test]
fn a_log_damaged_before_a_checkpoint_does_not_matter() {
    let repo = TestRepo::new();
    for _ in 0..40 {
        repo.backup(&source()).unwrap();
    }
    for seq in 0..32 {
        repo.set_object(
            &format!("log/{seq:016}"),
            (seq % 2 == 0).then(|| noise(seq, 50)),
        );
    }
    let repo = repo.reopen(2);
    assert_eq!(repo.backups().unwrap().len(), 40, "a checkpoint has it all");
    repo.backup(&source()).unwrap();
    assert!(repo.check().unwrap().is_sound());
}

#[test]
fn a_repository_whose_log_was_rebuilt_loses_nothing_that_was_moved() {
    let repo = TestRepo::new();
    let doomed = repo
        .backup(&source().file("surplus", noise(9, 300_000)))
        .unwrap()
        .backup
        .id;
    let kept = repo.backup(&source()).unwrap().backup.id;
    repo.delete(&[doomed]).unwrap();
    repo.prune().unwrap();
    let last = repo
        .keys()
        .into_iter()
        .rfind(|key| key.starts_with("log/"))
        .unwrap();
    repo.set_object(&last, Some(noise(1, 300)));
    let options = CheckOptions::default()
        .with_data(ReadData::All)
        .with_repair_log(true);
    let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(repo.files(kept).unwrap(), source().files());
    repo.prune().unwrap();
    assert_eq!(repo.files(kept).unwrap(), source().files());
    assert!(repo.check().unwrap().findings.is_empty());
}

#[test]
fn a_missing_manifest_is_damage_and_stops_a_prune() {
    let whole = whole(false);
    let (id, files) = &whole.backups[0];
    let key = format!("manifests/{id}");
    let repo = whole.repo.fork(2);
    repo.set_object(&key, None);
    let report = repo.check().unwrap();
    assert!(
        report.findings.iter().any(|finding| finding.object == key),
        "{:?}",
        report.findings
    );
    assert_eq!(
        repo.files(*id).unwrap(),
        *files,
        "the files are there all the same"
    );
    let error = repo.prune().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(chain(&error).contains(&key), "{}", chain(&error));
    assert_eq!(repo.files(*id).unwrap(), *files, "nothing was removed");
}

/// A pack was lost. What was in it must be stored again by the next backup, and with that the old backup is whole again.
#[test]
fn a_lost_pack_is_given_up_and_its_content_stored_again() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        for pack in whole
            .repo
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("packs/"))
        {
            let repo = whole.repo.fork(3);
            repo.set_object(&pack, None);
            assert!(
                !repo.check().unwrap().is_sound(),
                "{pack}: the loss is noticed"
            );
            let options = CheckOptions::default().with_repair_index(true);
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            assert!(
                report.repaired.iter().any(|text| text.contains(&pack)),
                "{pack}: {:?}",
                report.repaired
            );
            let repo = repo.reopen(4);
            // The sources of both backups are still there.
            repo.backup(&source()).unwrap();
            let second = source().file("only in the second", noise(3, 20_000));
            repo.backup(&second).unwrap();
            let report = repo.check().unwrap();
            let latest = repo.backups().unwrap().pop().unwrap();
            assert_eq!(
                repo.files(latest.id).unwrap(),
                whole.backups[1].1,
                "{pack}: the new backup is whole"
            );
            let lost_tree = report
                .findings
                .iter()
                .any(|f| f.message.contains("cannot be listed"));
            if !lost_tree {
                repo.prune().unwrap();
                assert!(
                    repo.check().unwrap().is_sound(),
                    "{pack}: {:?}",
                    report.findings
                );
                for (id, files) in &whole.backups {
                    assert_eq!(
                        repo.files(*id).unwrap(),
                        *files,
                        "{pack}: the old ones are, too"
                    );
                }
            }
        }
    }
}
