//! Stored bytes are altered, truncated, lost or swapped: br detects the damage, names it, and loses only the data that it affects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::restore::{RestoreOptions, RestoreReport, restore};
use br_core::model::{BackupId, Content, Entry, EntryKind};
use br_core::{BackupSelector, Error, ErrorKind};
use br_testkit::{Corruption, MemorySource, Noise, TestRepo, Thing, block_on, noise, steps};
use bytes::Bytes;

pub(crate) fn source() -> MemorySource {
    MemorySource::new()
        .folder("d")
        .file("d/inline", "in the entry itself")
        .file("d/small", noise(1, 5_000))
        .file("large", noise(2, 1_500_000))
        .file("text", "some text ".repeat(1000))
        .with("link", Thing::Link(b"text".to_vec()))
}

/// A repository with two backups, and its content.
pub(crate) struct Whole {
    pub(crate) repo: TestRepo,
    pub(crate) backups: Vec<(BackupId, BTreeMap<String, Bytes>)>,
}

pub(crate) fn whole(encrypted: bool) -> Whole {
    let repo = if encrypted {
        TestRepo::encrypted()
    } else {
        TestRepo::new()
    };
    let second = source().file("only in the second", noise(3, 20_000));
    let mut backups = Vec::new();
    for source in [source(), second] {
        backups.push((repo.backup(&source).unwrap().backup.id, source.files()));
    }
    Whole { repo, backups }
}

/// An error with all its causes.
pub(crate) fn chain(error: &Error) -> String {
    [vec![error.to_string()], error.causes()]
        .concat()
        .join(": ")
}

/// The possible results of reading a damaged repository.
fn assert_is_about_damage(what: &str, error: &Error) {
    use ErrorKind::{Damaged, Password, RepositoryNotFound, UnsupportedFormat};
    let kinds = [Damaged, Password, RepositoryNotFound, UnsupportedFormat];
    assert!(
        kinds.contains(&error.kind()),
        "{what}: {:?}: {}",
        error.kind(),
        chain(error)
    );
}

/// The result after `key` was altered.
struct Noticed {
    /// Texts of errors and findings.
    texts: String,
    /// Files that could not be read, by the number of their backup.
    lost: BTreeSet<(usize, String)>,
    /// A backup is missing from the list.
    unlisted: bool,
    /// The check found it, or the repository did not even open.
    found: bool,
}

/// Opens, lists, checks and reads everything. Each read must return the right content or an error.
fn look(what: &str, whole: &Whole, key: &str, bytes: Option<Vec<u8>>, seed: u64) -> Noticed {
    let copy = whole.repo.fork(seed);
    copy.set_object(key, bytes);
    let mut seen = Noticed {
        texts: String::new(),
        lost: BTreeSet::new(),
        unlisted: false,
        found: false,
    };
    let repo = match copy.try_reopen(seed) {
        Ok(repo) => repo,
        Err(error) => {
            assert_is_about_damage(what, &error);
            return Noticed {
                texts: chain(&error),
                found: true,
                ..seen
            };
        }
    };
    let listed = match repo.backups() {
        Ok(listed) => listed,
        Err(error) => {
            assert_is_about_damage(what, &error);
            return Noticed {
                texts: chain(&error),
                found: true,
                ..seen
            };
        }
    };
    match repo.check() {
        Ok(report) => {
            seen.found = !report.is_sound();
            seen.texts += &format!("{:?}\n", report.files);
            for finding in report.findings {
                seen.texts += &format!("{}: {}\n", finding.object, finding.message);
            }
        }
        Err(error) => {
            assert_is_about_damage(what, &error);
            seen.found = true;
            seen.texts += &chain(&error);
        }
    }
    for (number, (id, files)) in whole.backups.iter().enumerate() {
        if !listed.iter().any(|backup| backup.id == *id) {
            seen.unlisted = true;
            continue;
        }
        for (path, content) in files {
            let path = br_core::model::EntryPath::new(path.as_bytes()).unwrap();
            match repo.dump(*id, &path) {
                Ok(bytes) => assert!(bytes == content[..], "{what}: {path} is right or an error"),
                Err(error) => {
                    assert_is_about_damage(what, &error);
                    seen.lost.insert((number, path.to_string()));
                }
            }
        }
    }
    seen
}

/// Every way in which an object is damaged here.
pub(crate) fn damages(whole: &Whole, key: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let bytes = whole.repo.object(key);
    let mut all = vec![
        ("removed".to_owned(), None),
        ("emptied".to_owned(), Some(Vec::new())),
        (
            "cut in half".to_owned(),
            Some(bytes[..bytes.len() / 2].to_vec()),
        ),
        (
            "cut by a byte".to_owned(),
            Some(bytes[..bytes.len() - 1].to_vec()),
        ),
        ("replaced by noise".to_owned(), Some(noise(4, bytes.len()))),
        ("replaced by zeros".to_owned(), Some(vec![0; bytes.len()])),
        ("longer".to_owned(), Some([&bytes[..], b"x"].concat())),
    ];
    let folder = key.split('/').next().unwrap();
    let other = whole
        .repo
        .keys()
        .into_iter()
        .find(|other| other != key && other.starts_with(folder));
    if let Some(other) = other {
        all.push((
            format!("swapped with {other}"),
            Some(whole.repo.object(&other).to_vec()),
        ));
    }
    let header = 0..32.min(bytes.len());
    let spread = (0..40).map(|part| bytes.len() * part / 40);
    let end = bytes.len().saturating_sub(24)..bytes.len();
    let places: BTreeSet<_> = header.chain(spread).chain(end).collect();
    let mut random = Noise::new(7);
    for at in places {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << random.below(8);
        all.push((format!("flipped at {at}"), Some(flipped)));
    }
    steps(all).collect()
}

fn every_damage_is_noticed(encrypted: bool) {
    let whole = whole(encrypted);
    let keys = whole.repo.keys();
    let last_log = keys
        .iter()
        .rfind(|key| key.starts_with("log/"))
        .unwrap()
        .clone();
    for key in &keys {
        for (number, (how, bytes)) in damages(&whole, key).into_iter().enumerate() {
            let what = format!("{key} {how}");
            let seen = look(&what, &whole, key, bytes.clone(), 1000 + number as u64);
            // No later entry shows that the newest log entry is lost. So one backup less is listed, unless this machine remembers the
            // entry. `check` has a separate finding for the manifest of that backup.
            if *key == last_log && bytes.is_none() {
                assert!(
                    seen.unlisted && seen.lost.is_empty(),
                    "{what}: the backup is not listed"
                );
                assert!(
                    seen.texts.contains("that no log entry names"),
                    "{what}: {}",
                    seen.texts
                );
                continue;
            }
            assert!(
                !seen.unlisted,
                "{what}: every backup is listed, or there is an error"
            );
            if (key == "br.json" || key.starts_with("keys/")) && !seen.found {
                let white = |bytes: &[u8]| bytes.trim_ascii().to_vec();
                let same =
                    bytes.is_some_and(|bytes| white(&bytes) == white(&whole.repo.object(key)));
                assert!(same, "{what}: only a change of white space has no effect");
                continue;
            }
            assert!(
                seen.found,
                "{what}: check finds the damage; lost {:?}; {}",
                seen.lost, seen.texts
            );
            let name = key.rsplit('/').next().unwrap();
            // A lost key slot cannot be named: no other object refers to it.
            let name = match (key.split('/').next(), &bytes) {
                (Some("keys"), None) => "no key slot",
                _ => name,
            };
            assert!(
                seen.texts.contains(name),
                "{what}: the object is named: {}",
                seen.texts
            );
            if key.starts_with("index/") || key.starts_with("manifests/") {
                assert!(
                    seen.lost.is_empty(),
                    "{what}: everything restores without it: {:?}",
                    seen.lost
                );
            }
        }
    }
}

#[test]
fn every_damage_is_detected_and_named() {
    every_damage_is_noticed(false);
}

#[test]
fn every_damage_is_detected_and_named_in_encrypted_repository() {
    every_damage_is_noticed(true);
}

/// The files of the second backup that use a pack of data: those that cannot be restored without the pack.
fn lost_without(whole: &Whole, key: &str) -> BTreeSet<String> {
    let lost = look("probe", whole, key, None, 5).lost.into_iter();
    let of_second = lost.filter(|(number, _)| *number == 1);
    let of_second: BTreeSet<_> = of_second.map(|(_, path)| path).collect();
    // Without tree nodes, br knows no entries, and so no inline content either.
    if of_second.contains("d/inline") {
        BTreeSet::new()
    } else {
        of_second
    }
}

/// The files that failed, all of them for the same pack.
fn assert_names(report: &RestoreReport, pack: &str) -> BTreeSet<String> {
    let failed = report.failed.iter().map(|(path, _)| path.to_string());
    let failed: BTreeSet<_> = failed.collect();
    assert_eq!(
        report.damaged,
        !failed.is_empty(),
        "the cause is damage, not the target"
    );
    assert_eq!(report.failed_count, failed.len() as u64);
    for (_, reason) in &report.failed {
        assert!(reason.contains(pack), "the pack is named: {reason}");
    }
    failed
}

fn assert_restored(
    what: &str,
    target: &Path,
    files: &BTreeMap<String, Bytes>,
    failed: &BTreeSet<String>,
) {
    for (path, content) in files {
        let there = fs::read(target.join(path));
        if failed.contains(path) {
            assert!(there.is_err(), "{what}: no part of {path} is left");
        } else {
            assert!(there.unwrap() == content[..], "{what}: {path} is complete");
        }
    }
    let link = fs::read_link(target.join("link")).unwrap();
    assert_eq!(link.to_str(), Some("text"));
    for item in fs::read_dir(target).unwrap() {
        let name = item.unwrap().file_name();
        assert!(
            !name.to_string_lossy().starts_with(".br-"),
            "{what}: no unfinished file is left"
        );
    }
}

#[test]
fn damaged_pack_loses_only_its_files() {
    let whole = whole(false);
    let (id, files) = &whole.backups[1];
    let packs: Vec<_> = whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    let mut losses = Vec::new();
    for pack in &packs {
        let lost = lost_without(&whole, pack);
        if lost.is_empty() {
            continue;
        }
        losses.push(lost.clone());
        for how in [Corruption::Hide, Corruption::Truncate(128)] {
            let repo = whole.repo.reopen(8);
            repo.faults.corrupt(pack.clone(), how);
            let out = tempfile::tempdir().unwrap();
            let selector = BackupSelector::Prefix(id.to_string());
            let options = RestoreOptions::default().with_owner(false);
            let target = out.path().join("out");
            let report = restore(
                &repo.repository,
                &selector,
                target.clone(),
                &options,
                &repo.context,
            );
            let report = block_on(report).unwrap();
            let failed = assert_names(&report, pack);
            let what = format!("{how:?} of {pack}");
            assert!(
                failed.is_subset(&lost),
                "{what}: only files of the pack fail: {failed:?}"
            );
            let hidden = how == Corruption::Hide;
            assert!(
                !hidden || failed == lost,
                "{what}: {failed:?} but not {lost:?}"
            );
            assert_restored(&what, &target, files, &failed);
        }
    }
    assert!(
        losses.iter().any(|lost| lost.contains("large")),
        "{losses:?}"
    );
    assert!(
        losses
            .iter()
            .any(|lost| lost.contains("only in the second")),
        "{losses:?}"
    );
}

#[test]
fn a_check_names_the_files_that_are_lost() {
    let whole = whole(false);
    let (id, _) = &whole.backups[1];
    let packs: Vec<_> = whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    for pack in packs {
        let lost = lost_without(&whole, &pack);
        if lost.is_empty() {
            continue;
        }
        let repo = whole.repo.fork(3);
        repo.set_object(&pack, None);
        for data in [ReadData::None, ReadData::All] {
            let options = CheckOptions::default().with_data(data);
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            let named: BTreeSet<_> = report
                .files
                .iter()
                .filter(|file| file.backups.contains(id))
                .map(|file| file.path.clone())
                .collect();
            assert_eq!(named, lost, "{data:?}: {:?}", report.findings);
        }
    }
}

#[test]
fn chunk_stored_twice_survives_loss_of_one_copy() {
    let (one, all) = (TestRepo::new(), source());
    let other = one.reopen(2);
    // Both begin with an empty repository and store the same data.
    let operations = {
        let probe = one.fork(9);
        let _ = probe.backup(&all).unwrap();
        probe.faults.count()
    };
    one.faults.before(operations - 2, {
        let (other, all) = (other.clone(), all.clone());
        move || {
            Box::pin(async move {
                // With a separate journal it does not look for packs that no commit names.
                let journal = tempfile::tempdir().unwrap();
                let folder = Some(journal.path().to_owned());
                let options = TestRepo::options("other").with_journal(folder);
                let _ = br_core::engine::backup::backup(
                    &other.repository,
                    all,
                    &options,
                    &other.context,
                )
                .await
                .unwrap();
            })
        }
    });
    let id = one.backup(&all).unwrap().backup.id;
    let packs: Vec<_> = one
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    assert_eq!(packs.len(), 4, "everything is stored twice");
    for pack in packs {
        let fork = one.fork(4);
        let bytes = fork.object(&pack);
        fork.set_object(&pack, Corruption::Flip(100).apply(&bytes));
        assert_eq!(
            fork.files(id).unwrap(),
            all.files(),
            "the other copy is read"
        );
        let report = fork.check().unwrap();
        assert!(
            report.findings.iter().any(|finding| finding.object == pack),
            "check finds the damage"
        );
    }
}

/// Entries of a backup whose content is in packs.
fn in_packs(entries: &[Entry]) -> usize {
    let chunked = |entry: &&Entry| matches!(&entry.kind, EntryKind::File(file) if matches!(file.content, Content::Chunks(_)));
    entries.iter().filter(chunked).count()
}

#[test]
fn damaged_tree_node_loses_only_entries_below_it() {
    let mut source = MemorySource::new();
    for number in 0..20_000 {
        let path = format!("file {number:05}");
        let content = Thing::File(noise(number, 20).into());
        source.insert(&path, content, 1_000_000_000, br_testkit::Behaviour::Honest);
    }
    let repo = TestRepo::new();
    let id = repo.backup(&source).unwrap().backup.id;
    assert_eq!(
        in_packs(&repo.entries(id).unwrap()),
        0,
        "everything is in the tree"
    );
    let pack = repo
        .keys()
        .into_iter()
        .find(|key| key.starts_with("packs/"))
        .unwrap();
    let bytes = repo.object(&pack);
    repo.set_object(&pack, Corruption::Flip(100).apply(&bytes));
    let out = tempfile::tempdir().unwrap();
    let selector = BackupSelector::Latest;
    let options = RestoreOptions::default()
        .with_owner(false)
        .with_delete(true);
    let report = restore(
        &repo.repository,
        &selector,
        out.path().to_owned(),
        &options,
        &repo.context,
    );
    let report = block_on(report).unwrap();
    assert!(
        report.damaged && report.failed_count == 1,
        "the gap is reported: {:?}",
        report.failed
    );
    assert!(
        report.failed[0].1.contains("entries"),
        "the number of missing entries is reported: {:?}",
        report.failed
    );
    let restored = fs::read_dir(out.path()).unwrap().count();
    assert!(
        (15_000..20_000).contains(&restored),
        "the other nodes are read: {restored}"
    );
    for (path, content) in source.files().into_iter().step_by(97) {
        if let Ok(bytes) = fs::read(out.path().join(&path)) {
            assert_eq!(bytes, content, "{path}");
        }
    }
}

/// The packs of a repository with file content, the largest first.
fn data_packs(repo: &TestRepo) -> Vec<(String, Vec<u8>)> {
    let keys = repo.keys().into_iter();
    let packs = keys.filter(|key| key.starts_with("packs/"));
    let mut packs: Vec<_> = packs
        .map(|key| {
            let bytes = repo.object(&key);
            (key, bytes.to_vec())
        })
        .collect();
    packs.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
    packs
}

/// The report of a check lists every file once, with each of its backups.
#[test]
fn a_check_names_each_damaged_file_once_with_its_backups() {
    let repo = TestRepo::new();
    let source = source();
    let ids: Vec<_> = (0..3)
        .map(|_| repo.backup(&source).unwrap().backup.id)
        .collect();
    let (pack, _) = data_packs(&repo).remove(0);
    repo.set_object(&pack, None);
    for data in [ReadData::None, ReadData::All] {
        let options = CheckOptions::default().with_data(data);
        let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
        assert!(!report.is_sound());
        let about = report
            .findings
            .iter()
            .filter(|finding| finding.object == pack);
        assert_eq!(about.count(), 1, "{data:?}: {:?}", report.findings);
        assert!(
            report.findings.len() <= 3,
            "{data:?}: {:?}",
            report.findings
        );
        let large: Vec<_> = report
            .files
            .iter()
            .filter(|file| file.path == "large")
            .collect();
        assert_eq!(large.len(), 1, "{:?}", report.files);
        assert_eq!(large[0].backups, ids, "{data:?}");
        assert_eq!(report.files_count, report.files.len() as u64);
    }
}

/// A pack that was overwritten with zeros has the right length, but no valid header or footer.
#[test]
fn a_check_without_data_reads_headers_and_footers_on_a_disk() {
    let whole = whole(false);
    for (pack, bytes) in data_packs(&whole.repo) {
        for (what, from, to) in [
            ("all", 0, bytes.len()),
            ("header", 0, 32),
            ("footer", bytes.len() - 40, bytes.len()),
        ] {
            let repo = whole.repo.fork(5);
            let mut zeroed = bytes.clone();
            zeroed[from..to].fill(0);
            repo.set_object(&pack, Some(zeroed));
            let options = CheckOptions::default();
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            assert!(!report.is_sound(), "{pack} {what}");
            assert!(
                report.findings.iter().any(|finding| finding.object == pack),
                "{pack} {what}: {:?}",
                report.findings
            );
            let lost = if what == "all" {
                lost_without(&whole, &pack)
            } else {
                BTreeSet::new()
            };
            let named: BTreeSet<_> = report.files.iter().map(|file| file.path.clone()).collect();
            assert!(
                named.is_superset(&lost),
                "{pack} {what}: {named:?}, {lost:?}"
            );
        }
    }
}

/// Symptom: the error about a chunk that is in no pack named no kind of object. A program needs that kind to choose its advice.
#[test]
fn error_about_lost_chunk_names_pack_as_object_kind() {
    let whole = whole(false);
    let repo = &whole.repo;
    for key in repo.keys().iter().filter(|key| key.starts_with("packs/")) {
        repo.set_object(key, None);
    }
    let (id, files) = &whole.backups[0];
    let look = |what: &str| {
        let mut lost = 0;
        for path in files.keys() {
            let path = br_core::model::EntryPath::new(path.as_bytes()).unwrap();
            if let Err(error) = repo.dump(*id, &path) {
                assert_eq!(error.site(), br_core::Site::Repository, "{what}: {error}");
                let object = error.object();
                assert_eq!(object, Some(br_core::ObjectKind::Pack), "{what}: {error}");
                lost += 1;
            }
        }
        assert!(lost > 0, "{what}");
    };
    look("with an index");
    let options = CheckOptions::default().with_repair_index(true);
    let _ = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
    look("given up");
}
