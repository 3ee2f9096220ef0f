//! The archives, checked by a program that shares no code with the generator, `verify_archive.py`.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};

use br_test_matrixone::{
    Backend, Backup, BackupError, Callback, Cluster, ClusterOptions, Folder, MoBr, MoVersion,
    Phase, Verdict,
};

use crate::support::{ID_1, ID_2, ID_3, assert_bad, assert_good, files, full};

#[test]
fn archives_of_every_release_pass_verification() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (MoVersion::V1_0, Backend::DiskV2, "framed=True columns=3"),
        (MoVersion::V1_1_3, Backend::Disk, "framed=True columns=3"),
        (MoVersion::V1_2, Backend::S3, "framed=True columns=5"),
        (MoVersion::V2_1, Backend::Disk, "framed=True columns=5"),
        (MoVersion::V3_0_11, Backend::DiskV2, "framed=True columns=5"),
        (MoVersion::V4_1, Backend::DiskV2, "framed=True columns=5"),
        (MoVersion::V4_2, Backend::Disk, "framed=True columns=5"),
        (MoVersion::V4_2, Backend::DiskV2, "framed=False columns=5"),
        (MoVersion::V4_2, Backend::S3, "framed=False columns=5"),
    ];
    for (number, (version, backend, shows)) in cases.into_iter().enumerate() {
        let options = ClusterOptions {
            seed: number as u64,
            objects: 60,
            backend,
            ..ClusterOptions::default()
        };
        let path = folder.path().join(number.to_string());
        full(&mut options.build(), version, &path);
        assert_good(&path, shows);
    }
}

#[test]
fn incremental_backups_need_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mobr = MoBr::new(folder.path(), folder.path());
    let mut cluster = Cluster::of(5, 60);
    let version = MoVersion::V3_0_18;
    let first = mobr.run(&mut cluster, &Backup::full(version), ID_1);
    cluster.pass(60);
    cluster.delete(3);
    cluster.rewrite(4);
    cluster.insert(7);
    let base = first.summary.backup_ts;
    // New objects, replaced ones, and their replacements.
    assert_eq!(cluster.to_copy(Some(base)).len(), 7 + 4 + 3 + 4);
    let second = mobr.run(&mut cluster, &Backup::incremental(version, base), ID_2);
    assert_eq!(second.folder, format!("incremental-{ID_2}"));
    cluster.collect_garbage();
    let base = second.summary.backup_ts;
    assert_eq!(cluster.to_copy(Some(base)).len(), 0);
    let third = mobr.run(&mut cluster, &Backup::incremental(version, base), ID_3);
    assert_good(folder.path(), "type=incremental");
    assert!(third.summary.written < second.summary.written);
    // Without the base, the others are not complete.
    std::fs::remove_dir_all(folder.path().join(first.folder)).unwrap();
    assert_bad(folder.path(), "is in no earlier backup");
}

#[test]
fn cloned_object_has_two_times() {
    let folder = tempfile::tempdir().unwrap();
    let mobr = MoBr::new(folder.path(), folder.path());
    let mut cluster = Cluster::of(12, 40);
    let version = MoVersion::V3_0_11;
    let mut base = mobr
        .run(&mut cluster, &Backup::full(version), ID_1)
        .summary
        .backup_ts;
    cluster.clone_tables(30);
    let mut stored = Vec::new();
    for id in [ID_2, ID_3] {
        let made = mobr.run(&mut cluster, &Backup::incremental(version, base), id);
        base = made.summary.backup_ts;
        let list = std::fs::read_dir(folder.path().join(made.folder).join("tae")).unwrap();
        stored.push(list.count());
    }
    // The first incremental backup has some of them, the second none, whichever time it lists.
    assert!(
        stored[0] > stored[1] + 5 && stored[0] < stored[1] + 25,
        "{stored:?}"
    );
    assert_good(folder.path(), "type=incremental");
}

#[test]
fn verifier_detects_damage() {
    let folder = tempfile::tempdir().unwrap();
    let summary = full(&mut Cluster::of(6, 20), MoVersion::V3_0_11, folder.path());
    assert!(summary.listed > 20 && summary.skipped.is_empty());
    let whole = files(folder.path());
    // A file of several frames: a file with a single wrong frame cannot be recognised as framed.
    let objects = whole.iter().filter(|(name, _)| name.starts_with("tae/0"));
    let (object, content) = objects.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    assert!(content.len() > 2048);
    let cases = [
        (object.as_str(), "wrong checksum"),
        ("tae/tae_list.sha256", "tae_list: its digest differs"),
        ("hakeeper/hk_data.sha256", "hk_data: its digest differs"),
        ("mo_meta.sha256", "mo_meta: its digest differs"),
    ];
    for (name, shows) in cases {
        let path = folder.path().join(name);
        let mut bytes = whole[name].clone();
        *bytes.last_mut().unwrap() ^= 1;
        if bytes.len() == 36 {
            // The frame is right, but the digest is wrong.
            bytes = br_test_matrixone::format::frame(&bytes[4..]);
        }
        std::fs::write(&path, bytes).unwrap();
        assert_bad(folder.path(), shows);
        std::fs::write(&path, &whole[name]).unwrap();
    }
    std::fs::remove_file(folder.path().join(object)).unwrap();
    assert_bad(folder.path(), "1 files are listed and not there");
}

#[test]
fn existing_files_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::of(7, 5);
    full(&mut cluster, MoVersion::V3_0_11, folder.path());
    let before = files(folder.path());
    let mut target = Folder::new(folder.path());
    let again = Backup::full(MoVersion::V3_0_11).run(&mut cluster, &mut target);
    let Err(BackupError::Refused { code, text }) = again else {
        unreachable!("it is refused: {again:?}");
    };
    assert_eq!(code, 20406);
    assert!(text.ends_with("already exists"), "{text}");
    for (name, bytes) in before {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), bytes);
    }
}

#[test]
fn crash_leaves_incomplete_archive() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Cluster::of(8, 20).moment();
    let mut target = Folder::new(folder.path());
    let result = Backup::full(MoVersion::V4_2).run_with(&moment, &mut target, &mut |event| {
        if event.phase == Phase::Objects && event.written == 15 {
            Verdict::Crash
        } else {
            Verdict::Go
        }
    });
    assert!(matches!(result, Err(BackupError::Crashed)));
    let names = files(folder.path());
    let litter = names.keys().filter(|name| name.starts_with(".tmp."));
    assert_eq!(litter.count(), 1);
    assert!(!names.contains_key("mo_meta.sha256"));
    assert_eq!(names.len(), 16);
}

#[test]
fn a_lost_object_is_left_out_by_old_releases_and_refused_by_new_ones() {
    let mut cluster = Cluster::of(9, 20);
    let name = cluster.objects()[4].name.clone();
    assert!(cluster.lose(&name) && !cluster.lose("another"));
    let folder = tempfile::tempdir().unwrap();
    let summary = full(&mut cluster, MoVersion::V4_1, folder.path());
    assert_eq!(summary.skipped, [name.as_str()]);
    // The archive looks complete.
    assert_good(folder.path(), "holes=0");
    let folder = tempfile::tempdir().unwrap();
    let mut target = Folder::new(folder.path());
    let result = Backup::full(MoVersion::V4_2).run(&mut cluster, &mut target);
    let text = format!("error 20405: file {name} is not found");
    assert_eq!(result.unwrap_err().to_string(), text);
}

#[test]
fn archives_in_s3_are_raw_with_the_same_names() {
    let (mut one, mut other) = (Cluster::of(10, 20), Cluster::of(10, 20));
    let folder = tempfile::tempdir().unwrap();
    full(&mut one, MoVersion::V3_0_11, folder.path());
    let mut bucket = BTreeMap::new();
    let mut target = Callback(|name: &str, bytes: &[u8]| {
        let old = bucket.insert(name.to_owned(), bytes.to_owned());
        old.map_or(Ok(()), |_| Err(Error::from(ErrorKind::AlreadyExists)))
    });
    let backup = Backup::full(MoVersion::V3_0_11);
    backup.run(&mut other, &mut target).unwrap();
    let local = files(folder.path());
    assert!(local.keys().eq(bucket.keys()));
    for (name, bytes) in &bucket {
        let framed = name.starts_with("tae/") || name.starts_with("hakeeper/");
        let expected = if framed {
            br_test_matrixone::format::frame(bytes)
        } else {
            bytes.clone()
        };
        assert_eq!(local[name], expected, "{name}");
    }
}

#[test]
fn many_objects_are_made_quickly() {
    let mut cluster = Cluster::of(11, 20_000);
    let mut bytes = 0;
    let mut target = Callback(|_: &str, content: &[u8]| {
        bytes += content.len();
        Ok(())
    });
    let backup = Backup::full(MoVersion::V3_0_11);
    let summary = backup.run(&mut cluster, &mut target).unwrap();
    assert!(summary.listed > 20_000);
    assert!(bytes > 10 << 20 && bytes < 64 << 20, "{bytes}");
}
