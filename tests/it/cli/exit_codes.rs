//! Every code of the contract in `docs/cli/exit-codes.md` that a test can cause without a network; `kill.rs` tests 130.

use std::collections::BTreeMap;
use std::fs;

use super::{Session, json};

#[test]
fn success_and_usage() {
    let session = Session::with_backup();
    session.run(["list"]).expect(0);
    session.run(["list", "--no-such-option"]).expect(2);
}

#[test]
fn missing_repository_has_code_10() {
    let session = Session::new();
    for command in [
        &["list"][..],
        &["show", "latest"],
        &["ls", "latest"],
        &["check"],
        &["stats"],
        &["prune"],
        &["delete", "01"],
        &["restore", "latest", "--target", "out"],
        &["dump", "latest", "x"],
        &["export", "latest"],
    ] {
        session.br.run(command).expect(10);
    }
    fs::create_dir(session.at("repository")).unwrap();
    session.run(["list"]).expect(10);
    assert!(!session.at("out").exists(), "nothing is made");
}

#[test]
fn damaged_data_has_code_14() {
    let session = Session::with_backup();
    session.damage(&session.objects("log")[0]);
    for command in [
        &["backup", "docs"][..],
        &["check"],
        &["prune"],
        &["delete", "latest"],
    ] {
        session.br.run(command).expect(14);
    }
    // Commands that only read find the backups by their manifests.
    for command in [&["list"][..], &["restore", "latest", "--target", "out"]] {
        session.br.run(command).expect(0);
    }
}

#[test]
fn bundle_that_breaks_a_rule_has_code_16() {
    let session = Session::with_backup();
    session
        .run(["export", "latest", "--dir", "out", "-q"])
        .expect(3);
    let bundle = session.bundle("out");
    let renamed = bundle.with_file_name("renamed.tar.gz");
    fs::rename(bundle, &renamed).unwrap();
    let renamed = renamed.to_str().unwrap();
    for command in [
        &["import", renamed][..],
        &["import", renamed, "--into", "new"],
        &["bundle", "inspect", renamed],
        &["bundle", "verify", renamed],
        &["bundle", "diff", renamed, renamed],
        &["bundle", "extract", renamed, "--into", "new"],
    ] {
        session.br.run(command).expect(16);
    }
}

#[test]
fn newer_format_has_code_15() {
    let session = Session::with_backup();
    let path = session.at("repository/br.json");
    let mut config = json(&fs::read_to_string(&path).unwrap());
    config["version"]["major"] = 2.into();
    let object = config.as_object_mut().unwrap();
    object.remove("checksum");
    let sorted: BTreeMap<_, _> = object.clone().into_iter().collect();
    let sum = blake3::hash(serde_json::to_string(&sorted).unwrap().as_bytes())
        .to_hex()
        .to_string();
    object.insert("checksum".to_owned(), sum.into());
    fs::remove_file(&path).unwrap();
    fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
    session.assert_output("newer format", &session.run(["list"]).expect(15));
    session.run(["backup", "docs"]).expect(15);
}

#[test]
fn path_that_is_not_folder_is_usage_error() {
    let session = Session::new();
    session.write("repository", "a file");
    let output = session.run(["list"]);
    assert!(matches!(output.code, Some(2 | 10)), "{output}");
    let output = session.run(["init"]);
    assert!(matches!(output.code, Some(1 | 2)), "{output}");
    assert_eq!(fs::read(session.at("repository")).unwrap(), b"a file");
}

#[test]
fn refused_access_has_code_12() {
    let session = Session::with_backup();
    for arguments in [&["list"][..], &["check"], &["backup", "docs"]] {
        let Some(output) = session.run_as_nobody(arguments) else {
            return;
        };
        let output = output.expect(12);
        assert!(output.stderr.contains("Permission denied"), "{output}");
    }
}
