//! `br matrixone restore`: the data of a cluster is restored byte for byte.

use std::fs;

use br_test_matrixone::{Backend, ClusterOptions, MoServerOptions, MoVersion};

use super::{Mo, PASSWORD, assert_holds, change, contents, object_in, unframed};

#[test]
fn full_and_incremental_backups_are_restored() {
    let mo = Mo::of(40);
    let mut made = vec![(mo.backup(), mo.objects())];
    for round in 0..3 {
        {
            let mut cluster = mo.server.cluster();
            cluster.pass(60);
            cluster.insert(5);
            cluster.delete(3);
            cluster.rewrite(4);
            if round > 0 {
                cluster.clone_tables(3);
                cluster.collect_garbage();
            }
            cluster.checkpoint();
        }
        let base = made.last().unwrap().0.clone();
        made.push((mo.backup_since(&base), mo.objects()));
    }
    for (number, (id, objects)) in made.iter().enumerate() {
        mo.assert_restores(id, &format!("mo{number}"), objects);
        let data = mo.at(&format!("mo{number}/mo-data"));
        let kind = if number == 0 { "full" } else { "incremental" };
        let folder = mo.at(&format!("backups/{kind}-{id}"));
        let own = |path: &str| fs::read(folder.join(path)).unwrap();
        assert_eq!(
            fs::read(data.join("local/hk_data")).unwrap(),
            own("hakeeper/hk_data")
        );
        // The backup's own files are not shared.
        for (path, bytes) in contents(&data.join("shared")) {
            let is_object = objects.iter().any(|object| object.name == path);
            assert!(is_object || bytes == own(&format!("tae/{path}")), "{path}");
        }
    }
    // Most files of an increment are in the backups before it.
    let list = mo.json("list");
    for backup in &list["backups"].as_array().unwrap()[1..] {
        let share = backup["bytes_stored"].as_f64().unwrap() / backup["bytes"].as_f64().unwrap();
        assert!(share < 0.6, "{backup}");
    }
}

#[test]
fn restore_prints_lines_of_manual() {
    let mo = Mo::of(3);
    let id = mo.backup();
    let line = format!("restore {id} --restore_dir filesystem --restore_path mo --parallelism 1");
    mo.assert_output("restore", &mo.run(&line).expect(0));
    let again = mo.run(&line).expect(1);
    assert!(again.stderr.contains("stop MatrixOne"), "{again}");
    mo.assert_output(
        "restore verbose",
        &mo.run(&line.replace("path mo", "path mo2 -v")).expect(0),
    );
    mo.assert_output(
        "restore json",
        &mo.run(&line.replace("path mo", "path mo3 --json"))
            .expect(0),
    );
    let quiet = mo.run(&line.replace("path mo", "path mo4 -q")).expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn parallelism_zero_is_accepted() {
    let mo = Mo::of(3);
    let id = mo.backup();
    for (number, given) in ["0", "1", "7", "512"].into_iter().enumerate() {
        let line =
            format!("restore {id} --restore_path mo{number} --checksum --parallelism {given}");
        let output = mo.run(&line).expect(0);
        let shown = format!("parallelism {given},  parallel count num: {given}\n");
        assert!(given == "0" || output.stdout.contains(&shown), "{output}");
    }
    for wrong in ["-1", "513", "many"] {
        mo.run(&format!(
            "matrixone restore {id} --target no --parallelism={wrong}"
        ))
        .expect(2);
    }
}

#[test]
fn missing_base_is_refused_before_anything_is_written() {
    let mo = Mo::new();
    let full = mo.backup();
    let increment = mo.backup_since(&full);
    fs::remove_dir_all(mo.at(&format!("backups/full-{full}"))).unwrap();
    let output = mo
        .run(&format!("matrixone restore {increment} --target mo"))
        .expect(14);
    assert!(output.stderr.contains("files are missing"), "{output}");
    assert!(!mo.at("mo").exists(), "{output}");
}

/// The damaged object is repaired from another place, and the other files need not be copied again.
#[test]
fn interrupted_restore_continues_where_it_stopped() {
    let mo = Mo::new();
    let id = mo.backup();
    let object = object_in(&mo.at(&format!("backups/full-{id}/tae")));
    let sound = fs::read(&object).unwrap();
    change(&object, |bytes| bytes[200] ^= 1);
    let line = format!("matrixone restore {id} --target mo");
    mo.run(&line).expect(14);
    fs::write(&object, sound).unwrap();
    let report = mo.json(&line);
    assert!(report["kept"].as_u64().unwrap() > 20, "{report}");
    assert_holds(&unframed(&mo.at("mo/mo-data/shared")), &mo.objects());
}

#[test]
fn tn_config_sets_location_of_data() {
    let mo = Mo::new();
    let id = mo.backup();
    let config = "[[fileservice]]\nname = 'SHARED'\nbackend = 'DISK-V2'\ndata-dir = 'mo-data/shared2'\n\
                  [[fileservice]]\nname = 'LOCAL'\nbackend = 'DISK-V2'\ndata-dir = 'mo-data/local2'\n";
    mo.session.write("tn.toml", config);
    let line =
        format!("restore {id} --restore_dir filesystem --restore_path mo --dn_config_path tn.toml");
    let output = mo.run(&line).expect(0);
    assert!(
        output.stdout.contains("TaePath\n    ./mo-data/shared2\n"),
        "{output}"
    );
    // That kind of storage has no checksums in its files.
    assert_holds(&contents(&mo.at("mo/mo-data/shared2")), &mo.objects());
    assert!(mo.at("mo/mo-data/local2/hk_data").exists());
    let output = mo.run(&line.replace("tn.toml", "nowhere.toml")).expect(2);
    assert!(output.stderr.contains("check --tn-config"), "{output}");
}

#[test]
fn archive_without_checksums_is_restored_unchanged() {
    let options = MoServerOptions::default().with_version(MoVersion::V4_2);
    let mo = Mo::with(
        options
            .with_password(PASSWORD)
            .with_cluster(ClusterOptions {
                backend: Backend::DiskV2,
                ..ClusterOptions::default()
            }),
    );
    let objects = mo.objects();
    let id = mo.backup();
    mo.run(&format!("check {id}")).expect(0);
    mo.run(&format!("matrixone restore {id} --target mo"))
        .expect(0);
    assert_holds(&contents(&mo.at("mo/mo-data/shared")), &objects);
}

#[test]
fn location_works_without_catalogue() {
    let mo = Mo::new();
    let full = mo.backup();
    let objects = mo.objects();
    mo.backup_since(&full);
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    let to = "--restore_dir filesystem --restore_path";
    let place = "--backup_dir filesystem --backup_path backups";
    let several = mo.run(&format!("restore {place} {to} mo")).expect(2);
    assert!(several.stderr.contains("say which by its id"), "{several}");
    mo.run(&format!("restore {place}/full-{full} {to} mo"))
        .expect(0);
    assert_holds(&unframed(&mo.at("mo/mo-data/shared")), &objects);
    mo.run(&format!("restore {full} {place} {to} mo2"))
        .expect(0);
    assert_holds(&unframed(&mo.at("mo2/mo-data/shared")), &objects);
}

#[test]
fn contradictions_are_refused() {
    let mo = Mo::new();
    let id = mo.backup();
    for (line, expected) in [
        (
            "restore ID --restore_dir filesystem",
            "name the folder, as in --restore_path",
        ),
        ("restore ID", "the folder in which MatrixOne runs"),
        ("restore ID --restore_dir s3", "needs a bucket"),
        (
            "restore ID --restore_dir s3 --restore_path mo",
            "--restore_path is for --restore_dir filesystem",
        ),
        (
            "restore ID --restore_dir filesystem --restore_bucket b",
            "--restore_bucket is for --restore_dir s3",
        ),
        (
            "restore ID --restore_path mo --restore_bucket b",
            "--restore_path is for --restore_dir filesystem",
        ),
        (
            "restore ID --restore_dir tape --restore_path mo",
            "invalid value 'tape'",
        ),
        (
            "restore ID --restore_path mo --restore_filepath x",
            "--restore_filepath is for --restore_dir s3",
        ),
        ("restore ffffffff --restore_path mo", "no backup 'ffffffff'"),
        ("restore --restore_path mo", "no backup is named"),
        (
            "restore --backup_dir s3 --backup_path x --restore_path mo",
            "--path is for --backup_dir filesystem",
        ),
        (
            "restore --backup_dir filesystem --backup_path backups --backup_endpoint http://127.0.0.1:9 --restore_path mo",
            "--endpoint is for --backup_dir s3",
        ),
    ] {
        let output = mo.run(&line.replace("ID", &id)).expect(2);
        assert!(output.stderr.contains(expected), "{line}: {output}");
    }
    assert!(!mo.at("mo").exists());
}

/// As scripts for later releases of `mo_br` have it.
#[test]
fn backup_can_be_named_by_option() {
    let mo = Mo::new();
    let objects = mo.objects();
    let id = mo.backup();
    mo.backup();
    let place = "--backup_dir filesystem --backup_path backups";
    let target = "--restore_dir filesystem --restore_path mo --log_level debug --parallelism 150";
    mo.run(&format!("restore --base_id {id} {place} {target}"))
        .expect(0);
    assert_holds(&unframed(&mo.at("mo/mo-data/shared")), &objects);
    mo.run(&format!("restore {id} --base_id {id} {place} {target}"))
        .expect(2);
}
