//! The catalogue: entries of backups, import of the original tool's file, and errors.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use br_matrixone::BackupKind;
use br_matrixone::catalogue::{
    BackupLocation, Catalogue, CatalogueEntry, CatalogueError, OWN_NAME, Origin, S3BackupLocation,
    State, Warning, parse_meta_line,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

const FULL: &str = "2289638c-1284-11ef-85e4-26dd28356ef2";
const INCREMENT: &str = "81531c5a-1284-11ef-9ba3-26dd28356ef3";

/// Two lines as the original tool writes them, as far as known.
const META: &str = "\
2289638c-1284-11ef-85e4-26dd28356ef2,70123456,filesystem,,,,,,,false,/Users/admin/soft/backuppath/syncback2,2024-05-15 14:26:59 +0800,9.927034917s,2024-05-15 14:27:09 +0800,1715754419668571000-1,full,full-2289638c-1284-11ef-85e4-26dd28356ef2
81531c5a-1284-11ef-9ba3-26dd28356ef3,72123456,filesystem,,,,,,,false,/Users/admin/soft/backuppath/syncback2,2024-05-15 14:29:38 +0800,2.536263666s,2024-05-15 14:29:41 +0800,1715754578690660000-1,incremental,incremental-81531c5a-1284-11ef-9ba3-26dd28356ef3
";

fn id(text: &str) -> Uuid {
    text.parse().unwrap()
}

fn folder(path: &str) -> BackupLocation {
    BackupLocation::FileSystem {
        path: path.to_owned(),
    }
}

fn in_folder() -> (TempDir, Catalogue) {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&folder.path().join("mo_br.meta")).unwrap();
    (folder, catalogue)
}

fn some(number: u128) -> CatalogueEntry {
    let at = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
    CatalogueEntry::new(Uuid::from_u128(number), BackupKind::Full, folder("/b"), at)
}

#[test]
fn lines_are_read_by_shape() {
    let line = META.lines().nth(1).unwrap();
    let entry = parse_meta_line(line).unwrap();
    assert_eq!(
        (entry.id, entry.kind),
        (id(INCREMENT), BackupKind::Incremental)
    );
    assert_eq!((entry.state, entry.origin), (State::Complete, Origin::MoBr));
    assert_eq!(
        entry.backup_ts.unwrap().to_string(),
        "1715754578690660000-1"
    );
    assert_eq!(
        entry.sub_directory.unwrap(),
        format!("incremental-{INCREMENT}")
    );
    assert_eq!(entry.logical_size, Some(72_123_456));
    assert_eq!(entry.duration, Some(Duration::from_nanos(2_536_263_666)));

    // The same fields in another order, and the six of old versions.
    let mut fields: Vec<&str> = line.split(',').collect();
    fields[1..].reverse();
    fields[1..].swap(3, 4);
    let turned = parse_meta_line(&fields.join(",")).unwrap();
    assert_eq!(turned.place, entry.place);
    assert_eq!(turned.backup_ts, entry.backup_ts);
    let old = format!(
        "{FULL},586 kB,BackupDir: filesystem  Path: /b c,2024-05-13 12:00:12 +0800,1.7s,2024-05-13 12:00:13 +0800"
    );
    let old = parse_meta_line(&old).unwrap();
    assert_eq!(old.place, folder("/b c"));
    assert_eq!(
        (old.logical_size, old.kind),
        (Some(586_000), BackupKind::Full)
    );

    let bucket = format!(
        "{FULL},12345678,s3,http://127.0.0.1:9000,full,\"a,\"\"b\",,,arn:aws:iam::1:role/r,true,,2024-05-13 12:00:12 +0800,1.7s,2024-05-13 12:00:13 +0800,1715754578690660000-1,incremental,incremental-{FULL}"
    );
    let bucket = parse_meta_line(&bucket).unwrap();
    assert_eq!(bucket.kind, BackupKind::Incremental);
    assert_eq!(
        bucket.place,
        BackupLocation::S3(S3BackupLocation {
            endpoint: "http://127.0.0.1:9000".to_owned(),
            bucket: "full".to_owned(),
            filepath: "a,\"b".to_owned(),
            region: String::new(),
            is_minio: true,
            role_arn: Some("arn:aws:iam::1:role/r".to_owned()),
        })
    );
}

#[test]
fn unreadable_line_gives_warning() {
    let (folder, catalogue) = in_folder();
    let meta = folder.path().join("mo_br.meta");
    let good = META.lines().next().unwrap();
    for bad in [
        "x",
        "\"",
        FULL,
        "\u{0}\u{ff}",
        &good[..60],
        &good.replace("/Users", "")[..80],
    ] {
        fs::write(&meta, format!("{good}\n\n{bad}\n{good}x\n")).unwrap();
        let listing = catalogue.list().unwrap();
        assert!(!listing.entries.is_empty(), "{bad}");
        assert!(
            matches!(
                listing.warnings.as_slice(),
                [Warning::Line { line: 3, .. }, ..]
            ),
            "{bad}: {:?}",
            listing.warnings
        );
    }
    fs::write(&meta, META).unwrap();
    let digest: String = Sha256::digest(META)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    fs::write(folder.path().join("mo_br.meta.sha256"), &digest).unwrap();
    assert!(catalogue.list().unwrap().warnings.is_empty());
    fs::write(folder.path().join("mo_br.meta.sha256"), "0".repeat(64)).unwrap();
    let warnings = catalogue.list().unwrap().warnings;
    assert!(matches!(warnings.as_slice(), [Warning::Checksum(_)]));
}

#[test]
fn backup_is_added_changed_found_and_removed() {
    let (folder, catalogue) = in_folder();
    assert!(catalogue.list().unwrap().entries.is_empty());
    assert!(!folder.path().join(OWN_NAME).exists());
    let mut entry = some(1);
    entry.id = Uuid::from_u128(0xabcd << 64);
    catalogue.add(entry.clone()).unwrap();
    assert!(matches!(
        catalogue.add(entry.clone()),
        Err(CatalogueError::Exists(_))
    ));
    let changed = catalogue
        .update(entry.id, |entry| {
            entry.state = State::Complete;
            entry.duration = Some(Duration::from_nanos(1));
            entry.backup_ts = Some("5-1".parse().unwrap());
            entry.server_version = Some("8.0.30-MatrixOne-v3.0.11".to_owned());
            entry.base = Some(Uuid::from_u128(9));
        })
        .unwrap();
    assert_eq!(catalogue.find("00000000-0000-ABCD").unwrap(), changed);
    assert!(matches!(
        catalogue.find("1"),
        Err(CatalogueError::NotFound(_))
    ));
    catalogue.add(some(1)).unwrap();
    assert!(matches!(
        catalogue.find("0000"),
        Err(CatalogueError::Several { .. })
    ));
    catalogue.remove(entry.id).unwrap();
    assert!(matches!(
        catalogue.remove(entry.id),
        Err(CatalogueError::NotFound(_))
    ));
    assert_eq!(catalogue.list().unwrap().entries, [some(1)]);
}

#[test]
fn the_original_tools_file_is_never_written() {
    let (folder, catalogue) = in_folder();
    let meta = folder.path().join("mo_br.meta");
    fs::write(&meta, META).unwrap();
    let taken_over = catalogue.update(id(INCREMENT), |entry| entry.base = Some(id(FULL)));
    assert_eq!(taken_over.unwrap().origin, Origin::Own);
    catalogue.remove(id(FULL)).unwrap();
    let listing = catalogue.list().unwrap();
    assert_eq!((listing.entries.len(), listing.deleted.len()), (1, 1));
    assert!(matches!(
        catalogue.find("2289"),
        Err(CatalogueError::Deleted(_))
    ));
    assert_eq!(fs::read_to_string(&meta).unwrap(), META);
}

#[test]
fn dependents_of_a_backup_are_listed() {
    let (folder, catalogue) = in_folder();
    fs::write(folder.path().join("mo_br.meta"), META).unwrap();
    for (number, base, state) in [
        (1, None, State::Complete),
        (2, Some(1), State::Complete),
        (3, Some(2), State::Running),
        (4, Some(2), State::Failed),
        (5, None, State::Complete),
    ] {
        let mut entry = some(number);
        entry.base = base.map(Uuid::from_u128);
        entry.state = state;
        catalogue.add(entry).unwrap();
    }
    let listing = catalogue.list().unwrap();
    let dependents = listing.dependents(Uuid::from_u128(1));
    assert_eq!(
        dependents.certain,
        [
            {
                let mut entry = some(2);
                entry.base = Some(Uuid::from_u128(1));
                entry.state = State::Complete;
                entry
            },
            {
                let mut entry = some(3);
                entry.base = Some(Uuid::from_u128(2));
                entry
            }
        ]
    );
    assert!(dependents.possible.is_empty());
    let possible = listing.dependents(id(FULL)).possible;
    assert_eq!(possible.len(), 1);
    assert_eq!(possible[0].id, id(INCREMENT));
    assert!(listing.dependents(id(INCREMENT)).possible.is_empty());
}

#[test]
fn a_path_names_either_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = |name: &str| Catalogue::open(&at(name)).unwrap().path().to_owned();
    assert_eq!(own("mo_br.meta"), at(OWN_NAME));
    assert_eq!(own("prod.meta"), at("prod.meta.br-matrixone.json"));
    assert_eq!(own(OWN_NAME), at(OWN_NAME));
    assert_eq!(
        own("prod.meta.br-matrixone.json"),
        at("prod.meta.br-matrixone.json")
    );
    fs::write(at("list"), " {").unwrap();
    assert_eq!(own("list"), at("list"));
    fs::write(at("list"), META).unwrap();
    assert_eq!(own("list"), at("list.br-matrixone.json"));
    assert_eq!(
        Catalogue::open(Path::new("mo_br.meta")).unwrap().path(),
        Path::new(OWN_NAME)
    );
}

#[test]
fn every_alteration_is_detected_and_repairable() {
    let (_folder, catalogue) = in_folder();
    catalogue.add(some(1)).unwrap();
    catalogue.add(some(2)).unwrap();
    let whole = fs::read(catalogue.path()).unwrap();
    for len in 0..whole.len() - 1 {
        // Without its last line break the file is still complete.
        fs::write(catalogue.path(), &whole[..len]).unwrap();
        let error = catalogue.list().unwrap_err();
        assert!(
            matches!(error, CatalogueError::Damaged { .. }),
            "{len}: {error}"
        );
    }
    let text = String::from_utf8(whole).unwrap().replace("/b", "/c");
    fs::write(catalogue.path(), &text).unwrap();
    let error = catalogue.add(some(3)).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    let rebuilt = catalogue.rebuild(vec![some(1), some(3)]).unwrap();
    assert_eq!((rebuilt.added, rebuilt.kept), (2, 0));
    assert_eq!(
        fs::read_to_string(rebuilt.set_aside.unwrap()).unwrap(),
        text
    );
    let again = catalogue.rebuild(vec![some(1), some(2)]).unwrap();
    assert_eq!((again.added, again.kept, again.set_aside), (1, 1, None));
    assert_eq!(
        catalogue.list().unwrap().entries,
        [some(1), some(2), some(3)]
    );
}

#[test]
fn newer_catalogue_is_not_changed() {
    let (_folder, catalogue) = in_folder();
    let newer = r#"{"format":"br-matrixone","version":2,"backups":{}}"#;
    fs::write(catalogue.path(), newer).unwrap();
    assert!(matches!(
        catalogue.list(),
        Err(CatalogueError::Newer { version: 2, .. })
    ));
    assert!(catalogue.rebuild(vec![some(1)]).is_err());
    assert_eq!(fs::read_to_string(catalogue.path()).unwrap(), newer);
}

#[test]
fn concurrent_changes_are_all_kept() {
    let (_folder, catalogue) = in_folder();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let catalogue = &catalogue;
            scope.spawn(move || catalogue.add(some(number)).unwrap());
        }
    });
    assert_eq!(catalogue.list().unwrap().entries.len(), 16);
}

#[test]
fn passwords_are_not_stored() {
    let (_folder, catalogue) = in_folder();
    let mut entry = some(1);
    entry.place = BackupLocation::Repository {
        url: "s3://key:secret@host/bucket".to_owned(),
        backup: "1".to_owned(),
    };
    let error = catalogue.add(entry.clone()).unwrap_err();
    assert!(matches!(error, CatalogueError::SecretInPlace(_)));
    entry.place = BackupLocation::Repository {
        url: "/backups/user@host".to_owned(),
        backup: "1".to_owned(),
    };
    catalogue.add(entry.clone()).unwrap();
    assert_eq!(catalogue.list().unwrap().entries, [entry]);
}

/// The format, byte by byte: a change here is a change of the format.
#[test]
fn format_is_unchanged() {
    let (_folder, catalogue) = in_folder();
    let mut entry = some(1);
    entry.sub_directory = Some("full-1".to_owned());
    entry.place = BackupLocation::S3(S3BackupLocation {
        endpoint: "http://h".to_owned(),
        bucket: "b".to_owned(),
        ..S3BackupLocation::default()
    });
    entry.backup_ts = Some("5-1".parse().unwrap());
    catalogue.add(entry.clone()).unwrap();
    let text = fs::read_to_string(catalogue.path()).unwrap();
    assert_eq!(text, GOLDEN);
    assert_eq!(catalogue.list().unwrap().entries, [entry]);
}

const GOLDEN: &str = r#"{
  "format": "br-matrixone",
  "version": 1,
  "sha256": "9cc11d41687655208708e1e5c31662cc951e3e73709ad7da2a1e039b1ca4a350",
  "backups": [
    {
      "id": "00000000-0000-0000-0000-000000000001",
      "kind": "full",
      "place": {
        "type": "s3",
        "endpoint": "http://h",
        "bucket": "b",
        "filepath": "",
        "region": "",
        "is_minio": false,
        "role_arn": null
      },
      "sub_directory": "full-1",
      "at_time": "1970-01-01T00:00:01Z",
      "backup_ts": "5-1",
      "state": "running"
    }
  ]
}
"#;
