//! Command lines of scripts around `mo_br`, and the messages for unclear ones.

use super::Mo;
use super::s3::{BUCKET, Cloud, KEY};

const ID: &str = "1614f462-126c-11ef-9af3-26dd28356ef3";

#[test]
fn empty_values_are_ignored() {
    let mo = Mo::new();
    let output = mo.run(
        r#"backup SERVER --password "" --backup_dir filesystem --path backups --region "" --compression "" --base_id "" """#,
    );
    let id = super::id_of(&output.expect(0));
    mo.run(&format!(r#"check {id} "" --backup_dir """#))
        .expect(0);
    let listed = mo.run(r#"list "" --meta_path="#).expect(0);
    assert!(listed.stdout.contains(&id), "{listed}");
    // In a command line of br, an empty value is an error.
    let output = mo.run(r#"br backup docs -r repo --region """#).expect(2);
    assert!(output.stderr.contains("--region"), "{output}");
}

#[test]
fn flags_with_value_are_accepted() {
    let cloud = Cloud::with_password();
    let id = cloud.backup("");
    let endpoint = cloud.s3.endpoint();
    let output = cloud
        .run(&format!(
            "restore {id} KEYS --restore_dir s3 --restore_endpoint {endpoint} --restore_bucket {BUCKET} --restore_filepath /there \
             --restore_is_minio true --checksum true"
        ))
        .expect(0);
    let to = format!("    Endpoint: {endpoint} Bucket: {BUCKET} FilePath: there");
    assert!(output.stdout.contains(&to), "{output}");
    assert!(
        cloud
            .s3
            .keys(BUCKET)
            .iter()
            .any(|key| key.starts_with("there/data/"))
    );
    cloud
        .run(&format!("delete {id} KEYS --not_delete_data true"))
        .expect(0);
    assert!(
        cloud
            .s3
            .keys(BUCKET)
            .iter()
            .any(|key| key.starts_with("backup1/"))
    );
}

#[test]
fn a_missing_catalogue_is_named() {
    let mo = Mo::new();
    for line in [
        format!("list {ID}"),
        "list 1614f462".to_owned(),
        format!("check {ID}"),
        format!("delete {ID}"),
        format!("restore {ID} --restore_dir filesystem --restore_path mo"),
        "list".to_owned(),
        "list --meta_path elsewhere/mo_br.meta".to_owned(),
    ] {
        let output = mo.run(&line).expect(10);
        assert!(
            output
                .stderr
                .contains("there is no catalogue of MatrixOne backups")
                && output.stderr.contains("mo_br.meta"),
            "{line}: {output}"
        );
    }
}

#[test]
fn a_long_option_with_one_dash_is_refused() {
    let mo = Mo::new();
    let output = mo
        .run("backup -host 127.0.0.1 -port 6001 --user dump")
        .expect(2);
    assert!(
        output.stderr.contains("-host has one dash") && output.stderr.contains("write --host"),
        "{output}"
    );
    assert_eq!(output.stdout, "");
    mo.run("backup -h").expect(0);
}

#[test]
fn hint_names_only_backups_in_catalogue() {
    let mo = Mo::new();
    let full = mo.backup();
    let increment = mo.backup_since(&full);
    let output = mo.run(&format!("delete {full}")).expect(2);
    assert!(output.stderr.contains("delete them first"), "{output}");
    mo.run(&format!("delete {increment} --not_delete_data"))
        .expect(0);
    let output = mo.run(&format!("delete {full}")).expect(2);
    assert!(
        !output.stderr.contains("delete them first") && output.stderr.contains("--cascade"),
        "{output}"
    );
    mo.run(&format!("delete {full} --cascade")).expect(0);
    assert_eq!(std::fs::read_dir(mo.at("backups")).unwrap().count(), 0);
}

/// A folder with a catalogue of MatrixOne's backups changes nothing about the commands of br.
#[test]
fn commands_of_br_do_not_depend_on_a_catalogue() {
    let mo = Mo::new();
    let id = mo.backup();
    let objects = mo.objects();
    let named = mo.br.clone().env("BR_REPOSITORY", "repo");
    mo.run_with(&named, "br init").expect(0);
    for br in [&mo.br, &named] {
        for verb in ["list", "check", "delete"] {
            let line = format!("br {verb} {id}");
            let output = mo.run_with(br, &line);
            assert!(output.code == Some(2), "{line}: {output}");
        }
    }
    mo.assert_restores(&id, "mo", &objects);
    mo.run_with(&named, &format!("matrixone delete {id}"))
        .expect(0);
}

#[test]
fn mo_br_command_line_for_br_is_refused_with_hint() {
    let mo = Mo::new();
    for line in [
        "br backup SERVER --backup_dir filesystem --path backups",
        "br check --backup_dir filesystem --backup_path backups",
        "br list --meta_path mo_br.meta",
        "br restore 25536ff0 --restore_dir filesystem --restore_path mo",
        "br delete 25536ff0 --not_delete_data",
    ] {
        let output = mo.run(line).expect(2);
        assert!(
            output.stderr.contains("br mo-br") && output.stderr.contains("is an option of mo_br"),
            "{line}: {output}"
        );
    }
}

#[test]
fn link_named_mo_br_runs_mo_br_command_lines() {
    let mo = Mo::new();
    let id = mo.backup();
    std::fs::create_dir(mo.at("bin")).unwrap();
    for _ in 0..2 {
        let output = mo.run("br link mo_br bin").expect(0);
        assert_eq!(output.stdout, "bin/mo_br now runs br\n");
    }
    let program = mo.br.clone().program(mo.at("bin/mo_br"));
    let output = program.run(["list"]).expect(0);
    assert!(output.stdout.contains(&id), "{output}");
    let help = program.run(["--help"]).expect(0);
    assert!(help.stdout.contains("Usage: mo_br"), "{help}");
    let help = program.run(["restore", "--help"]).expect(0);
    assert!(help.stdout.contains("--restore_path"), "{help}");
    program.run(["forget"]).expect(2);
    // Another program is not replaced.
    std::fs::remove_file(mo.at("bin/mo_br")).unwrap();
    std::fs::write(mo.at("bin/mo_br"), "MatrixOne's own").unwrap();
    mo.run("br link mo_br bin").expect(1);
    let kept = std::fs::read_to_string(mo.at("bin/mo_br")).unwrap();
    assert_eq!(kept, "MatrixOne's own");
}

#[test]
fn bucket_errors_have_clear_messages() {
    let cloud = Cloud::with_password();
    let endpoint = cloud.s3.endpoint();
    let place = |filepath: &str| {
        format!(
            "--backup_dir s3 --endpoint {endpoint} --bucket {BUCKET} --filepath {filepath} --is_minio KEYS"
        )
    };
    let output = cloud
        .run(&format!("check {}", place("/nothing")))
        .expect(10);
    let expected = format!("there is no backup of MatrixOne in s3://{BUCKET}/nothing");
    assert!(output.stderr.contains(&expected), "{output}");

    let id = cloud.backup("");
    let target = format!(
        "restore {id} KEYS --restore_dir s3 --restore_endpoint {endpoint} --restore_bucket {BUCKET} --restore_filepath /there \
         --restore_is_minio"
    );
    let output = cloud
        .run(&format!(
            "{target} --restore_access_key_id {KEY} --restore_secret_access_key wrong"
        ))
        .expect(12);
    assert!(
        output.stderr.contains(&format!("s3://{BUCKET}/there"))
            && output.stderr.contains("the secret access key is wrong"),
        "{output}"
    );
    assert!(
        !output.stderr.contains("<?xml") && !output.stderr.contains("<Code>"),
        "{output}"
    );

    let half = cloud.mo.br.clone().env("AWS_ACCESS_KEY_ID", "only-this");
    let line = format!("check --backup_dir s3 --endpoint {endpoint} --bucket {BUCKET}");
    let output = cloud.mo.run_with(&half, &line).expect(2);
    assert!(
        output.stderr.contains("AWS_SECRET_ACCESS_KEY is not") && output.stderr.contains(BUCKET),
        "{output}"
    );
}

#[test]
fn folder_in_bucket_can_have_spaces_and_any_letters() {
    let cloud = Cloud::with_password();
    let objects = cloud.mo.objects();
    let id = cloud.backup("");
    let endpoint = cloud.s3.endpoint();
    let there = "/mein Ordner/über 100%/données";
    cloud
        .run(&format!(
            r#"restore {id} KEYS --restore_dir s3 --restore_endpoint {endpoint} --restore_bucket {BUCKET} --restore_filepath "{there}" --restore_is_minio"#
        ))
        .expect(0);
    let keys = cloud.s3.keys(BUCKET);
    let below = format!("{}/data/", there.trim_matches('/'));
    for object in &objects {
        let key = format!("{below}{}", object.name);
        assert!(keys.contains(&key), "{key}");
    }
}
