//! `br matrixone rebuild`: a catalogue that was lost.

use std::fs;

use serde_json::Value;

use super::s3::Cloud;
use super::{Mo, change, json};

const PLACE: &str = "--location backups";

/// The catalogue entries of all backups, without the fields that backups do not contain.
fn known(mo: &Mo) -> Vec<Value> {
    let list = mo.json("matrixone list");
    let mut backups = list["backups"].as_array().unwrap().clone();
    for backup in &mut backups {
        for field in [
            "at_time",
            "complete_time",
            "duration_seconds",
            "server_version",
        ] {
            backup.as_object_mut().unwrap().remove(field);
        }
    }
    backups
}

#[test]
fn rebuild_adds_backups_in_folder() {
    let mo = Mo::new();
    let full = mo.backup();
    mo.server.cluster().insert(3);
    let first = mo.backup_since(&full);
    mo.server.cluster().insert(3);
    let objects = mo.objects();
    let second = mo.backup_since(&first);
    let before = known(&mo);
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    mo.assert_output(
        "rebuild",
        &mo.run(&format!("matrixone rebuild {PLACE}")).expect(0),
    );
    assert_eq!(known(&mo), before);
    // The folder of one backup selects all.
    let line = format!("matrixone rebuild --location backups/full-{full}");
    let again = mo.json(&line);
    assert_eq!((&again["added"], &again["kept"]), (&json("0"), &json("3")));

    let output = mo.run(&format!("delete {first}")).expect(2);
    assert!(output.stderr.contains(&second), "{output}");
    mo.assert_restores(&second, "mo", &objects);
    let third = mo.backup_since(&second);
    mo.run(&format!("check {third}")).expect(0);
}

#[test]
fn rebuild_lists_incomplete_backup_as_incomplete() {
    let mo = Mo::new();
    let full = mo.backup();
    let lone = mo.backup();
    let increment = mo.backup_since(&full);
    let object = super::object_in(&mo.at(&format!("backups/full-{full}/tae")));
    let aside = mo.at("aside");
    fs::rename(&object, &aside).unwrap();
    fs::remove_file(mo.at(&format!("backups/full-{lone}/mo_meta"))).unwrap();
    change(&mo.at("br-matrixone.json"), |bytes| bytes.truncate(100));
    let output = mo.run(&format!("matrixone rebuild {PLACE}")).expect(0);
    assert!(
        output.stderr.contains("br-matrixone.json.damaged"),
        "{output}"
    );
    let mut states = mo.states();
    states.sort();
    let mut expected =
        [full.clone(), lone.clone(), increment.clone()].map(|id| (id, "failed".to_owned()));
    expected.sort();
    assert_eq!(states, expected);
    // The restored files make the backup complete again.
    fs::rename(&aside, &object).unwrap();
    let again = mo.json(&format!("matrixone rebuild {PLACE}"));
    assert_eq!(
        (&again["updated"], &again["kept"]),
        (&json("2"), &json("1"))
    );
    mo.run(&format!("check {increment}")).expect(0);
    mo.run(&format!("delete {lone}")).expect(0);
    assert!(!mo.at(&format!("backups/full-{lone}")).exists());
    mo.run("matrixone rebuild").expect(2);
}

#[test]
fn rebuild_adds_copies_in_repository() {
    let mo = Mo::new();
    let br = mo.br.clone().env("BR_REPOSITORY", "repository");
    mo.run_with(&br, "br init --quiet").expect(0);
    mo.run_with(&br, "backup SERVER --backup_dir filesystem --path backups")
        .expect(0);
    mo.run_with(&br, "br backup docs").expect(0);
    let before = known(&mo).remove(0);
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    mo.run_with(&br, "matrixone rebuild").expect(0);
    let after = known(&mo);
    assert_eq!(after.len(), 1, "{after:?}");
    for field in ["id", "kind", "state", "directory", "backup_ts", "bytes"] {
        assert_eq!(after[0][field], before[field], "{field}");
    }
    assert_eq!(after[0]["place"]["type"], "repository");
    let id = after[0]["id"].as_str().unwrap();
    let output = mo.run(&format!("check {id}")).expect(2);
    assert!(output.stderr.contains("is in the repository"), "{output}");
    let backup = after[0]["place"]["backup"].as_str().unwrap();
    mo.run_with(&br, &format!("br restore {backup} --target back"))
        .expect(0);
    assert_eq!(
        super::contents(&mo.at("back")),
        super::contents(&mo.at("backups"))
    );
}

#[test]
fn rebuild_adds_backups_in_bucket() {
    let cloud = Cloud::with_password();
    let full = cloud.backup("");
    let before = known(&cloud.mo);
    fs::remove_file(cloud.mo.at("br-matrixone.json")).unwrap();
    cloud.run("matrixone rebuild LOCATION").expect(0);
    assert_eq!(known(&cloud.mo), before);
    cloud.run(&format!("check {full} KEYS")).expect(0);
    // The folder of one backup selects all.
    let line = format!(
        "matrixone rebuild --json --location s3:ENDPOINT/bucket1/backup1/full-{full} --addressing path HYPHENS"
    );
    let again = json(&cloud.run(&line).expect(0).stdout);
    assert_eq!((&again["added"], &again["kept"]), (&json("0"), &json("1")));
}
