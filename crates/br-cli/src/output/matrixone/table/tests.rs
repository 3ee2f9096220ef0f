//! The tables of the manual, character by character.

use std::time::Duration;

use br_matrixone::BackupKind;
use br_matrixone::catalogue::{
    BackupLocation, CatalogueEntry, S3BackupLocation, State, parse_meta_line,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{TableOptions, table};

/// Two lines in the original's format, as far as it is known.
const META: &str = "\
2289638c-1284-11ef-85e4-26dd28356ef3,70123456,filesystem,,,,,,,false,/Users/admin/soft/backuppath/syncback2,2024-05-15 14:26:59 +0800,9.927034917s,2024-05-15 14:27:09 +0800,1715754419668571000-1,full,full-2289638c-1284-11ef-85e4-26dd28356ef3
81531c5a-1284-11ef-9ba3-26dd28356ef3,72123456,filesystem,,,,,,,false,/Users/admin/soft/backuppath/syncback2,2024-05-15 14:29:38 +0800,2.536263666s,2024-05-15 14:29:41 +0800,1715754578690660000-1,incremental,incremental-81531c5a-1284-11ef-9ba3-26dd28356ef3
";

fn folder(path: &str) -> BackupLocation {
    BackupLocation::FileSystem {
        path: path.to_owned(),
    }
}

fn options(with_type: bool) -> TableOptions {
    TableOptions {
        zone: TimeZone::fixed(jiff::tz::offset(8)),
        with_type,
        with_stored: false,
    }
}

fn time(text: &str) -> Timestamp {
    Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text).unwrap()
}

fn complete(
    number: &str,
    size: u64,
    place: BackupLocation,
    from: &str,
    nanos: u64,
    until: &str,
) -> CatalogueEntry {
    let mut entry =
        CatalogueEntry::new(number.parse().unwrap(), BackupKind::Full, place, time(from));
    entry.logical_size = Some(size);
    entry.duration = Some(Duration::from_nanos(nanos));
    entry.complete_time = Some(time(until));
    entry.state = State::Complete;
    entry
}

#[test]
fn list_has_six_columns_as_in_manual() {
    let path = || folder("/Users/admin/soft/backup");
    let entries = [
        complete(
            "4d21b228-10dd-11ef-9497-26dd28356ef2",
            586_012,
            path(),
            "2024-05-13 12:00:12 +0800",
            1_700_945_333,
            "2024-05-13 12:00:13 +0800",
        ),
        complete(
            "01108122-10f9-11ef-9359-26dd28356ef2",
            8_312_345,
            path(),
            "2024-05-13 15:18:28 +0800",
            3_394_437_375,
            "2024-05-13 15:18:32 +0800",
        ),
    ];
    assert_eq!(
        table(&entries, &options(false)),
        "\
+--------------------------------------+--------+--------------------------------+---------------------------+--------------+---------------------------+
|                  ID                  |  SIZE  |              PATH              |          AT TIME          |   DURATION   |       COMPLETE TIME       |
+--------------------------------------+--------+--------------------------------+---------------------------+--------------+---------------------------+
| 4d21b228-10dd-11ef-9497-26dd28356ef2 | 586 kB |  BackupDir: filesystem  Path:  | 2024-05-13 12:00:12 +0800 | 1.700945333s | 2024-05-13 12:00:13 +0800 |
|                                      |        |    /Users/admin/soft/backup    |                           |              |                           |
| 01108122-10f9-11ef-9359-26dd28356ef2 | 8.3 MB |  BackupDir: filesystem  Path:  | 2024-05-13 15:18:28 +0800 | 3.394437375s | 2024-05-13 15:18:32 +0800 |
|                                      |        |    /Users/admin/soft/backup    |                           |              |                           |
+--------------------------------------+--------+--------------------------------+---------------------------+--------------+---------------------------+
"
    );
}

#[test]
fn table_of_one_backup_wraps_long_path_as_in_manual() {
    let entry = complete(
        "1614f462-126c-11ef-9af3-26dd28356ef3",
        126_000_000,
        folder("/Users/admin/soft/incbackup/back2"),
        "2024-05-15 11:34:28 +0800",
        22_455_633_916,
        "2024-05-15 11:34:50 +0800",
    );
    assert_eq!(
        table(&[entry], &options(false)),
        "\
+--------------------------------------+--------+-----------------------------------+---------------------------+---------------+---------------------------+
|                  ID                  |  SIZE  |               PATH                |          AT TIME          |   DURATION    |       COMPLETE TIME       |
+--------------------------------------+--------+-----------------------------------+---------------------------+---------------+---------------------------+
| 1614f462-126c-11ef-9af3-26dd28356ef3 | 126 MB |   BackupDir: filesystem  Path:    | 2024-05-15 11:34:28 +0800 | 22.455633916s | 2024-05-15 11:34:50 +0800 |
|                                      |        | /Users/admin/soft/incbackup/back2 |                           |               |                           |
+--------------------------------------+--------+-----------------------------------+---------------------------+---------------+---------------------------+
"
    );
}

#[test]
fn list_of_original_catalogue_has_eight_columns_as_in_manual() {
    let entries: Vec<CatalogueEntry> = META
        .lines()
        .map(|line| parse_meta_line(line).unwrap())
        .collect();
    assert_eq!(
        table(&entries, &options(true)),
        "\
+--------------------------------------+-------+----------------------------------------+---------------------------+--------------+---------------------------+-----------------------+-------------+
|                  ID                  | SIZE  |                  PATH                  |          AT TIME          |   DURATION   |       COMPLETE TIME       |       BACKUPTS        | BACKUPTYPE  |
+--------------------------------------+-------+----------------------------------------+---------------------------+--------------+---------------------------+-----------------------+-------------+
| 2289638c-1284-11ef-85e4-26dd28356ef3 | 70 MB |      BackupDir: filesystem  Path:      | 2024-05-15 14:26:59 +0800 | 9.927034917s | 2024-05-15 14:27:09 +0800 | 1715754419668571000-1 |    full     |
|                                      |       | /Users/admin/soft/backuppath/syncback2 |                           |              |                           |                       |             |
| 81531c5a-1284-11ef-9ba3-26dd28356ef3 | 72 MB |      BackupDir: filesystem  Path:      | 2024-05-15 14:29:38 +0800 | 2.536263666s | 2024-05-15 14:29:41 +0800 | 1715754578690660000-1 | incremental |
|                                      |       | /Users/admin/soft/backuppath/syncback2 |                           |              |                           |                       |             |
+--------------------------------------+-------+----------------------------------------+---------------------------+--------------+---------------------------+-----------------------+-------------+
"
    );
}

#[test]
fn list_shows_bucket_and_running_backup_with_stored_size() {
    let place = BackupLocation::S3(S3BackupLocation {
        endpoint: "http://127.0.0.1:9000".to_owned(),
        bucket: "bucket1".to_owned(),
        filepath: "/backup1".to_owned(),
        is_minio: true,
        ..S3BackupLocation::default()
    });
    let mut entry = CatalogueEntry::new(
        "2289638c-1284-11ef-85e4-26dd28356ef2".parse().unwrap(),
        BackupKind::Full,
        place,
        time("2024-05-15 14:26:59 +0800"),
    );
    entry.stored_size = Some(1_234);
    let with_stored = TableOptions {
        with_stored: true,
        ..options(false)
    };
    assert_eq!(
        table(&[entry], &with_stored),
        "\
+--------------------------------------+------+--------------------------------+---------------------------+----------+---------------+--------+
|                  ID                  | SIZE |              PATH              |          AT TIME          | DURATION | COMPLETE TIME | STORED |
+--------------------------------------+------+--------------------------------+---------------------------+----------+---------------+--------+
| 2289638c-1284-11ef-85e4-26dd28356ef2 |  -   |    BackupDir: s3  Endpoint:    | 2024-05-15 14:26:59 +0800 |    -     |    running    | 1.2 kB |
|                                      |      | http://127.0.0.1:9000 Bucket:  |                           |          |               |        |
|                                      |      |   bucket1 FilePath: /backup1   |                           |          |               |        |
+--------------------------------------+------+--------------------------------+---------------------------+----------+---------------+--------+
"
    );
}

#[test]
fn empty_list_is_empty_table() {
    assert_eq!(table(&[], &options(false)).lines().count(), 4);
}
