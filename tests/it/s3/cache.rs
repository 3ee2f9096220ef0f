//! The cache on this machine: it saves requests and never changes a result.

use std::fs;
use std::path::{Path, PathBuf};

use br_core::ErrorKind;
use br_core::engine::check::{CheckOptions, check};
use br_core::engine::{ls, prune};
use br_core::model::BackupId;
use br_testkit::s3::{Fault, Rule};
use br_testkit::{TestRepo, block_on, noise};

use super::{BUCKET, Bucket, source};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

fn entries(bucket: &Bucket, cache: &Path, id: BackupId) -> usize {
    let repository = bucket.open_cached(cache);
    block_on(async {
        let mut feed = ls::ls(&repository, id, Vec::new(), &bucket.context);
        let mut count = 0;
        while let Some(entry) = feed.next().await {
            entry.unwrap();
            count += 1;
        }
        count
    })
}

#[test]
fn objects_read_or_written_locally_are_not_fetched_again() {
    let bucket = Bucket::new();
    let dir = tempfile::tempdir().unwrap();
    bucket.init().unwrap();
    let first = bucket
        .backup(&bucket.open_cached(dir.path()), &source(1))
        .unwrap();
    bucket.requests();
    let _ = bucket
        .backup(&bucket.open_cached(dir.path()), &source(1))
        .unwrap();
    let requests = bucket.requests();
    let fetched = |folder: &str| {
        let get = format!("GET /{BUCKET}/folder/{folder}");
        requests
            .iter()
            .filter(|request| request.starts_with(&get))
            .count()
    };
    assert_eq!(fetched("packs") + fetched("index"), 0, "{requests:#?}");
    assert_eq!(
        fetched("log"),
        1,
        "only the newest log entry is read, to compare it"
    );
    // One of the requests lists packs: without a journal, a backup looks for packs of interrupted runs.
    assert!(requests.len() <= 6, "{requests:#?}");
    assert_eq!(entries(&bucket, dir.path(), first.backup.id), 20);
}

#[test]
fn repeated_reads_fetch_fewer_objects() {
    let bucket = Bucket::new();
    let id = {
        let repository = bucket.init().unwrap();
        bucket.backup(&repository, &source(1)).unwrap().backup.id
    };
    let dir = tempfile::tempdir().unwrap();
    bucket.requests();
    entries(&bucket, dir.path(), id);
    let first = bucket.requests().len();
    entries(&bucket, dir.path(), id);
    entries(&bucket, dir.path(), id);
    bucket.requests();
    entries(&bucket, dir.path(), id);
    let last = bucket.requests();
    assert!(last.len() < first, "{first} requests, then {last:#?}");
    assert!(
        !last.iter().any(|request| request.contains("/packs/")),
        "{last:#?}"
    );
}

#[test]
fn a_damaged_copy_is_fetched_again() {
    let bucket = Bucket::new();
    let dir = tempfile::tempdir().unwrap();
    bucket.init().unwrap();
    let id = bucket
        .backup(&bucket.open_cached(dir.path()), &source(1))
        .unwrap()
        .backup
        .id;
    for (number, path) in files(dir.path()).into_iter().enumerate() {
        let bytes = fs::read(&path).unwrap();
        for damage in 0..4 {
            let mut bad = bytes.clone();
            match damage {
                0 => bad.truncate(bytes.len() / 2),
                1 => bad.clear(),
                2 => bad = noise(3, bytes.len()),
                _ => {
                    let at = number * 37 % bytes.len();
                    bad[at] ^= 4;
                }
            }
            fs::write(&path, bad).unwrap();
            assert_eq!(
                entries(&bucket, dir.path(), id),
                20,
                "{} {damage}",
                path.display()
            );
        }
    }
    fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(
        entries(&bucket, dir.path(), id),
        20,
        "the cache may be deleted"
    );
}

#[test]
fn bucket_set_back_is_not_read_from_stale_cache() {
    let bucket = Bucket::new();
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bucket.init().unwrap();
    let _ = bucket
        .backup(&bucket.open_cached(dir.path()), &source(1))
        .unwrap();
    bucket.server.fork_bucket(BUCKET, "saved");
    let lost = bucket
        .backup(&bucket.open_cached(dir.path()), &source(2))
        .unwrap();
    for key in bucket.server.keys(BUCKET) {
        bucket.server.set_object(BUCKET, &key, None);
    }
    bucket.server.fork_bucket("saved", BUCKET);
    // Another machine continues from there, so that the log has different entries with the same numbers.
    let _ = bucket
        .backup(&bucket.open_cached(other.path()), &source(3))
        .unwrap();
    for _ in 0..2 {
        let repository = bucket.open_cached(dir.path());
        let error = block_on(repository.backups(&bucket.context)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("a different history"), "{error}");
    }
    // It was rolled back on purpose.
    fs::remove_dir_all(dir.path().join("known")).unwrap();
    for _ in 0..2 {
        let repository = bucket.open_cached(dir.path());
        let backups = block_on(repository.backups(&bucket.context)).unwrap();
        assert_eq!(backups.len(), 2);
        assert!(backups.iter().all(|backup| backup.id != lost.backup.id));
    }
    let _ = bucket
        .backup(&bucket.open_cached(dir.path()), &source(4))
        .unwrap();
    bucket.assert_sound(3, "rolled back");
}

#[test]
fn cached_copies_do_not_hide_damage_from_check() {
    let bucket = Bucket::new();
    let dir = tempfile::tempdir().unwrap();
    bucket.init().unwrap();
    let _ = bucket
        .backup(&bucket.open_cached(dir.path()), &source(1))
        .unwrap();
    let keys = bucket.server.keys(BUCKET);
    for key in keys.iter().filter(|key| !key.ends_with("br.json")) {
        let bytes = bucket.server.object(BUCKET, key).unwrap();
        let mut bad = bytes.to_vec();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        bucket.server.set_object(BUCKET, key, Some(bad.into()));
        let repository = bucket.open_cached(dir.path());
        let found = bucket
            .check(&repository)
            .map_or(true, |report| !report.is_sound());
        assert!(found, "damage of {key} is detected");
        bucket.server.set_object(BUCKET, key, Some(bytes));
    }
    bucket.assert_sound(1, "everything is as it was");
    let left = files(dir.path());
    assert!(
        !left.iter().any(|path| path.components().any(|part| {
            let name = part.as_os_str().as_encoded_bytes();
            name.starts_with(b".") && name.len() == 17
        })),
        "the check removed its copies: {left:?}"
    );
}

#[test]
fn prune_by_other_machine_does_not_break_cache() {
    let bucket = Bucket::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bucket.init().unwrap();
    let first = bucket
        .backup(&bucket.open_cached(here.path()), &source(1))
        .unwrap();
    let _ = bucket
        .backup(&bucket.open_cached(here.path()), &source(2))
        .unwrap();
    let other = bucket.open_cached(there.path());
    let _ = block_on(async {
        let backups = [&first.backup];
        let plan = br_core::engine::delete::plan(&other, backups, &bucket.context).await?;
        br_core::engine::delete::delete(&other, &plan, &bucket.context).await?;
        let plan = prune::plan(&other, &TestRepo::thorough(), &bucket.context).await?;
        prune::prune(&other, &plan, &bucket.context).await
    })
    .unwrap();
    let _ = bucket
        .backup(&bucket.open_cached(here.path()), &source(1))
        .unwrap();
    bucket.assert_sound(2, "pruned by others");
}

#[test]
fn copy_damaged_in_transfer_is_not_cached() {
    let bucket = Bucket::new();
    bucket.init().unwrap();
    let id = bucket
        .backup(&bucket.open().unwrap(), &source(1))
        .unwrap()
        .backup
        .id;
    for folder in ["packs", "index", "log"] {
        let dir = tempfile::tempdir().unwrap();
        let flip = Rule::once(Fault::FlipByte(60)).method("GET");
        bucket.server.inject(flip.matching(format!("/{folder}/")));
        let repository = bucket.open_cached(dir.path());
        block_on(async {
            let mut feed = ls::ls(&repository, id, Vec::new(), &bucket.context);
            while let Some(entry) = feed.next().await {
                drop(entry);
            }
        });
        bucket.server.clear_faults();
        assert_eq!(entries(&bucket, dir.path(), id), 20, "{folder}");
    }
}

#[test]
fn log_rebuilt_by_other_machine_is_read() {
    let bucket = Bucket::new();
    let dir = tempfile::tempdir().unwrap();
    bucket.init().unwrap();
    let _ = bucket
        .backup(&bucket.open_cached(dir.path()), &source(1))
        .unwrap();
    let options = CheckOptions::default().with_repair_log(true);
    let _ = block_on(check(&bucket.open().unwrap(), &options, &bucket.context)).unwrap();
    let repository = bucket.open_cached(dir.path());
    let backups = block_on(repository.backups(&bucket.context)).unwrap();
    assert_eq!(backups.len(), 1);
    let _ = bucket.backup(&repository, &source(2)).unwrap();
    bucket.assert_sound(2, "rebuilt");
}
