//! What scripts around `mo_br` do, and what they are told when it is not clear what is meant.

use super::Mo;
use super::s3::{BUCKET, Cloud, KEY};

const ID: &str = "1614f462-126c-11ef-9af3-26dd28356ef3";

#[test]
fn empty_values_are_not_given() {
    let mo = Mo::new();
    let output = mo.run(
        r#"backup SERVER --password "" --backup_dir filesystem --path backups --region "" --compression "" --base_id "" """#,
    );
    let id = super::id_of(&output.expect(0));
    mo.run(&format!(r#"check {id} "" --backup_dir """#))
        .expect(0);
    let listed = mo.run(r#"list "" --meta_path="#).expect(0);
    assert!(listed.stdout.contains(&id), "{listed}");
    // Not in the manner of mo_br an empty value is a mistake.
    let output = mo.run(r#"backup docs -r repo --region """#).expect(2);
    assert!(output.stderr.contains("--region"), "{output}");
}

#[test]
fn flags_may_have_a_value() {
    let cloud = Cloud::with_password();
    let id = cloud.backup("");
    let endpoint = cloud.s3.endpoint();
    let output = cloud
        .run(&format!(
            "restore {id} KEYS --restore_dir s3 --restore_endpoint {endpoint} --restore_bucket {BUCKET} --restore_filepath /there \
             --restore_is_minio true --checksum true"
        ))
        .expect(0);
    let to = format!("    Endpoint: {endpoint} Bucket: {BUCKET} FilePath: /there");
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
        "list --meta_path elsewhere/mo_br.meta".to_owned(),
    ] {
        let output = mo.run(&line).expect(10);
        assert!(
            output
                .stderr
                .contains("there is no catalogue of MatrixOne's backups")
                && output.stderr.contains("mo_br.meta"),
            "{line}: {output}"
        );
    }
    let output = mo.run("list").expect(2);
    assert!(
        output.stderr.contains("no repository was named") && output.stderr.contains("mo_br.meta"),
        "{output}"
    );
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
fn a_hint_names_no_backup_that_the_catalogue_has_forgotten() {
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

#[test]
fn a_deletion_that_may_mean_catalogue_or_repository_is_refused() {
    let mo = Mo::new();
    let id = mo.backup();
    let objects = mo.objects();
    let br = mo.br.clone().env("BR_REPOSITORY", "repo");
    let output = mo.run_with(&br, &format!("delete {id}")).expect(2);
    assert!(
        output.stderr.contains("BR_REPOSITORY")
            && output.stderr.contains(&format!("br matrixone delete {id}")),
        "{output}"
    );
    mo.assert_restores(&id, "mo", &objects);
    mo.run_with(&br, &format!("matrixone delete {id}"))
        .expect(0);
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_in_words() {
    let cloud = Cloud::with_password();
    let endpoint = cloud.s3.endpoint();
    let place = |filepath: &str| {
        format!(
            "--backup_dir s3 --endpoint {endpoint} --bucket {BUCKET} --filepath {filepath} --is_minio KEYS"
        )
    };
    let output = cloud
        .run(&format!("matrixone check {}", place("/nothing")))
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
fn a_folder_in_a_bucket_may_have_spaces_and_any_letters() {
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
