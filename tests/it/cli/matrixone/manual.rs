//! Every example of the manual of `mo_br`, unchanged except for the port, the folders and the ids.

use std::fs;

use br_test_matrixone::MoServerOptions;
use br_testkit::BrOutput;

use super::s3::Cloud;
use super::{Mo, id_of};

/// Where the examples keep their folders.
const HOME: &str = "/Users/admin/soft";
/// Ids in the examples, which are replaced by the id of an earlier backup.
const IDS: [&str; 7] = [
    "\"xxx\"",
    "4d21b228-10dd-11ef-9497-26dd28356ef2",
    "e4cade26-3139-11ee-8631-acde48001122",
    "fb26fd88-41bc-11ee-93f8-acde48001122",
    "1614f462-126c-11ef-9af3-26dd28356ef3",
    "25536ff0-126f-11ef-9902-26dd28356ef3",
    "81531c5a-1284-11ef-9ba3-26dd28356ef3",
];

/// The cluster of the examples: its password is the one of a fresh installation.
fn cluster() -> Mo {
    Mo::with(MoServerOptions::default())
}

/// A line of the manual as it is run.
fn line(mo: &Mo, example: &str, id: &str) -> String {
    let home = mo.at("").display().to_string();
    let mut line = example
        .strip_prefix("./mo_br ")
        .unwrap()
        .replace("6001", &mo.server.port().to_string());
    line = line.replace(HOME, home.trim_end_matches('/'));
    for known in IDS.iter().chain(&["2289638c-1284-11ef-85e4-26dd28356ef3"]) {
        line = line.replace(known, id);
    }
    line
}

#[track_caller]
fn run(mo: &Mo, example: &str, id: &str) -> BrOutput {
    run_line(mo, &line(mo, example, id))
}

/// Runs a line by the program that the manual names.
#[track_caller]
fn run_line(mo: &Mo, line: &str) -> BrOutput {
    mo.run("br link mo_br .").expect(0);
    let program = mo.br.clone().program(mo.at("mo_br"));
    program.run(super::words(line)).expect(0)
}

#[track_caller]
fn assert_lines(output: &BrOutput, expected: &[&str]) {
    let mut lines = output.stdout.lines();
    for wanted in expected {
        assert!(
            lines.any(|line| line.starts_with(wanted)),
            "{wanted}: {output}"
        );
    }
}

#[test]
fn backups_to_a_folder() {
    let mo = cluster();
    let full = run(
        &mo,
        r#"./mo_br backup --host "127.0.0.1" --port 6001 --user "dump" --password "111" --backup_dir "filesystem"  --path "yourpath""#,
        "",
    );
    let full = id_of(&full);
    let increment = run(
        &mo,
        r#"./mo_br backup --host "127.0.0.1" --port 6001 --user "dump" --password "111" --backup_dir "filesystem"  --path "yourpath" --backup_type "incremental" --base_id "xxx""#,
        &full,
    );
    let increment = id_of(&increment);
    assert!(mo.at(&format!("yourpath/full-{full}/mo_meta")).exists());
    assert!(
        mo.at(&format!("yourpath/incremental-{increment}/mo_meta"))
            .exists()
    );
}

#[test]
fn a_backup_to_minio() {
    let cloud = Cloud::new(MoServerOptions::default());
    let to_minio = r#"./mo_br backup --host "127.0.0.1" --port 6001 --user "dump" --password "111" --backup_dir "s3"  --endpoint "http://127.0.0.1:9000" --access_key_id "S0kwLuB4JofVEIAxWTqf" --secret_access_key "X24O7t3hccmqUZqvqvmLN8464E2Nbr0DWOu9Qs5A" --bucket "bucket1" --filepath "/backup1" --is_minio"#;
    let there =
        line(&cloud.mo, to_minio, "").replace("http://127.0.0.1:9000", &cloud.s3.endpoint());
    let id = id_of(&run_line(&cloud.mo, &there));
    let keys = cloud.s3.keys(super::s3::BUCKET);
    assert!(
        keys.contains(&format!("backup1/full-{id}/mo_meta")),
        "{keys:?}"
    );
    run(
        &cloud.mo,
        r#"./mo_br delete e4cade26-3139-11ee-8631-acde48001122 --access_key_id "S0kwLuB4JofVEIAxWTqf" --secret_access_key "X24O7t3hccmqUZqvqvmLN8464E2Nbr0DWOu9Qs5A""#,
        &id,
    );
    assert!(cloud.s3.keys(super::s3::BUCKET).is_empty());
}

#[test]
fn lists_and_a_deletion() {
    let mo = cluster();
    let id = full_backup(&mo, "backup");
    let all = run(&mo, "./mo_br list", "");
    let title = all.stdout.lines().nth(1).unwrap();
    let columns: Vec<_> = title
        .split('|')
        .map(str::trim)
        .filter(|title| !title.is_empty())
        .collect();
    assert_eq!(
        columns[..8],
        [
            "ID",
            "SIZE",
            "PATH",
            "AT TIME",
            "DURATION",
            "COMPLETE TIME",
            "BACKUPTS",
            "BACKUPTYPE"
        ]
    );
    let row = all.stdout.lines().nth(3).unwrap();
    assert!(
        row.starts_with(&format!("| {id} | ")) && row.contains("|    full    |"),
        "{all}"
    );
    let one = run(
        &mo,
        "./mo_br list 4d21b228-10dd-11ef-9497-26dd28356ef2",
        &id,
    );
    assert_lines(
        &one,
        &[
            "| ",
            "Checking the backup data(currently,no checksum)...",
            "",
            "check: /mo_meta",
            "check: hakeeper/hk_data",
            "check: tae/tae_list",
            "check: tae/tae_sum",
            "check: config/log.toml_",
            "check: config/tn.toml_",
            "...",
        ],
    );
    run(
        &mo,
        "./mo_br delete e4cade26-3139-11ee-8631-acde48001122",
        &id,
    );
    assert!(!mo.at(&format!("backup/full-{id}")).exists());
}

#[test]
fn checks() {
    let mo = cluster();
    let id = full_backup(&mo, "incbackup/back2");
    let files = [
        "check: /mo_meta",
        "check: hakeeper/hk_data",
        "check: tae/tae_list",
        "check: tae/tae_sum",
        "check: config/launch.toml_",
        "check: config/log.toml_",
        "...",
    ];
    let by_id = run(
        &mo,
        "./mo_br check  1614f462-126c-11ef-9af3-26dd28356ef3",
        &id,
    );
    assert_lines(
        &by_id,
        &[&["| ", "Checking the backup data...", ""], &files[..]].concat(),
    );
    let by_path = run(
        &mo,
        "./mo_br check --backup_dir filesystem --backup_path /Users/admin/soft/incbackup/back2",
        &id,
    );
    assert_lines(&by_path, &files);
    assert!(by_path.stdout.starts_with("check: "), "{by_path}");
}

#[test]
fn a_restore_to_a_folder() {
    let mo = cluster();
    let id = full_backup(&mo, "backup");
    let objects = mo.objects();
    run(
        &mo,
        r#"./mo_br restore fb26fd88-41bc-11ee-93f8-acde48001122 --restore_dir filesystem --restore_path "your_mopath""#,
        &id,
    );
    super::assert_holds(
        &super::unframed(&mo.at("your_mopath/mo-data/shared")),
        &objects,
    );
}

/// Example 1 of best practice: databases are made, backed up, dropped, and there again.
#[test]
fn best_practice_with_a_full_backup() {
    let mo = cluster();
    // create database db1; create database db2;
    mo.server.cluster().insert(6);
    let databases = mo.objects();
    let backup = run(
        &mo,
        r#"./mo_br backup --host "127.0.0.1" --port 6001 --user "dump" --password "111" --backup_dir "filesystem"  --path "/Users/admin/soft/backuppath/syncback1""#,
        "",
    );
    let id = id_of(&backup);
    assert!(
        backup.stdout.starts_with(&format!("Backup ID\n    {id}\n")),
        "{backup}"
    );
    let list = run(&mo, "./mo_br list", "");
    assert!(list.stdout.contains("/backuppath/syncback1 "), "{list}");
    // drop database db1; create database db3;
    mo.server.cluster().delete(4);
    mo.server.cluster().insert(4);
    mo.server.cluster().collect_garbage();
    // mo_ctl stop; rm -rf /Users/admin/soft/matrixone/mo-data
    fs::create_dir_all(mo.at("matrixone/etc")).unwrap();
    let restore = run(
        &mo,
        r#"./mo_br restore 25536ff0-126f-11ef-9902-26dd28356ef3  --restore_dir filesystem --restore_path "/Users/admin/soft/matrixone""#,
        &id,
    );
    let from = format!("    Path: {}", mo.at("backuppath/syncback1").display());
    let to = format!("    Path: {}", mo.at("matrixone").display());
    assert_lines(
        &restore,
        &[
            "From:",
            "    BackupDir: filesystem",
            &from,
            "",
            "To",
            "    BackupDir: filesystem",
            &to,
            "",
            "TaePath",
            "    ./mo-data/shared",
            "restore tae file path ./mo-data/shared, parallelism ",
            "restore file num: ",
        ],
    );
    super::assert_holds(
        &super::unframed(&mo.at("matrixone/mo-data/shared")),
        &databases,
    );
}

/// Example 2 of best practice: an incremental backup takes less, and brings all back.
#[test]
fn best_practice_with_an_incremental_backup() {
    let mo = cluster();
    mo.server.cluster().insert(6);
    let full = run(
        &mo,
        r#"./mo_br backup --host "127.0.0.1" --port 6001 --user "dump" --password "111" --backup_dir "filesystem"  --path "/Users/admin/soft/backuppath/syncback2""#,
        "",
    );
    let full = id_of(&full);
    let databases = mo.objects();
    let increment = run(
        &mo,
        r#"./mo_br backup --host "127.0.0.1" --port 6001 --user "dump" --password "111" --backup_dir "filesystem"  --path "/Users/admin/soft/backuppath/syncback2" --backup_type "incremental" --base_id "2289638c-1284-11ef-85e4-26dd28356ef3""#,
        &full,
    );
    let increment = id_of(&increment);
    let list = run(&mo, "./mo_br list", "").stdout;
    assert!(list.contains(&format!("| {full} |")) && list.contains(&format!("| {increment} |")));
    assert!(
        list.contains("|    full     |") && list.contains("| incremental |"),
        "{list}"
    );
    mo.server.cluster().delete(4);
    mo.server.cluster().collect_garbage();
    let restore = run(
        &mo,
        r#"./mo_br restore 81531c5a-1284-11ef-9ba3-26dd28356ef3  --restore_dir filesystem --restore_path "/Users/admin/soft/matrixone""#,
        &increment,
    );
    assert_lines(
        &restore,
        &["From:", "To", "TaePath", "    ./mo-data/shared"],
    );
    super::assert_holds(
        &super::unframed(&mo.at("matrixone/mo-data/shared")),
        &databases,
    );
}

fn full_backup(mo: &Mo, folder: &str) -> String {
    let line = format!("backup SERVER --password 111 --backup_dir filesystem --path {folder}");
    id_of(&mo.run(&line).expect(0))
}
