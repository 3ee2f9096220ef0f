//! `br matrixone check`: br reads every byte and names the errors.

use std::fs;
use std::path::Path;

use br_test_matrixone::{Backend, ClusterOptions, MoServerOptions, MoVersion};

use super::{Mo, change, object_in};

/// A way to damage an object, its name in the output of check and restore, and whether the list of files already shows it.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGES: [Damage; 4] = [
    (
        "a bit",
        |path| change(path, |bytes| bytes[70] ^= 4),
        "CRC32C",
    ),
    (
        "an end",
        |path| change(path, |bytes| bytes.truncate(bytes.len() - 9)),
        "bytes",
    ),
    (
        "all of it",
        |path| fs::remove_file(path).unwrap(),
        "missing",
    ),
    // The checksum of the block is correct again: only the digest detects the change.
    (
        "a bit and its checksum",
        |path| {
            change(path, |bytes| {
                let mut content = super::unframe(bytes);
                content[70] ^= 4;
                *bytes = br_test_matrixone::format::frame(&content);
            });
        },
        "SHA-256",
    ),
];

#[test]
fn intact_backup_passes_check() {
    let mo = Mo::new();
    let id = mo.backup();
    mo.assert_output("check", &mo.run(&format!("check {id}")).expect(0));
    mo.assert_output(
        "check json",
        &mo.run(&format!("check {id} --json")).expect(0),
    );
    let quiet = mo.run(&format!("check {id} -q")).expect(0);
    assert!(
        !quiet.stdout.contains("check:") && quiet.stderr.is_empty(),
        "{quiet}"
    );
}

#[test]
fn damage_is_reported_and_restore_is_refused() {
    for (what, damage, word) in DAMAGES {
        let mo = Mo::new();
        let id = mo.backup();
        let object = object_in(&mo.at(&format!("backups/full-{id}/tae")));
        let name = object.file_name().unwrap().to_str().unwrap();
        damage(&object);
        let output = mo.run(&format!("check {id}")).expect(14);
        let problem = output
            .stdout
            .lines()
            .find(|line| line.starts_with("problem: "));
        let problem = problem.unwrap_or_else(|| panic!("{what}: {output}"));
        assert!(
            problem.contains(name) && problem.contains(word),
            "{what}: {output}"
        );
        assert!(
            output.stderr.contains("is damaged: 1 problem"),
            "{what}: {output}"
        );
        let report = super::json(&mo.run(&format!("check {id} --json")).expect(14).stdout);
        assert_eq!(
            (&report["sound"], &report["checks"][0]["problem_count"]),
            (&false.into(), &1.into())
        );
        let output = mo.run(&format!(
            "restore {id} --restore_dir filesystem --restore_path mo"
        ));
        assert!(output.stderr.contains(name), "{what}: {output}");
        output.expect(14);
        let shared = mo.at("mo/mo-data/shared");
        assert!(
            !shared.join(name).exists(),
            "{what}: no damaged file appears"
        );
        assert!(
            !mo.at("mo/mo-data/local/hk_data").exists(),
            "{what}: no cluster starts from it"
        );
    }
}

#[test]
fn damage_of_small_files_is_found() {
    for file in ["mo_meta", "hakeeper/hk_data", "tae/tae_list", "tae/tae_sum"] {
        let mo = Mo::new();
        let id = mo.backup();
        let path = mo.at(&format!("backups/full-{id}/{file}"));
        change(&path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        let output = mo.run(&format!("check {id}")).expect(14);
        assert!(
            output.stdout.contains(&format!("/{file}: ")),
            "{file}: {output}"
        );
    }
}

#[test]
fn location_works_without_catalogue() {
    let mo = Mo::new();
    let full = mo.backup();
    mo.server.cluster().insert(3);
    let increment = mo.backup_since(&full);
    mo.server.inject(br_test_matrixone::Fault::NotFound(20));
    mo.run("matrixone backup SERVER --location backups")
        .expect(1);
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    let root = "check --backup_dir filesystem --backup_path backups";
    mo.assert_output("check place", &mo.run(root).expect(0));
    let all = super::json(&mo.run(&format!("{root} --json")).expect(0).stdout);
    assert_eq!(all["checks"].as_array().unwrap().len(), 2);
    assert_eq!(all["unfinished"].as_array().unwrap().len(), 1);
    // One of them, by its folder or by its id.
    let one = mo.run(&format!("{root}/incremental-{increment}")).expect(0);
    assert!(one.stdout.starts_with("check: /mo_meta\n"), "{one}");
    let one = mo.run(&format!("{root} {increment}")).expect(0);
    assert!(one.stdout.starts_with("check: /mo_meta\n"), "{one}");
    let several = mo.run(&format!("{root} 0")).expect(2);
    assert!(several.stderr.contains("several backups"), "{several}");
    // The files that the incremental backup shares are missing for both.
    let object = object_in(&mo.at(&format!("backups/full-{full}/tae")));
    fs::remove_file(&object).unwrap();
    let output = mo.run(root).expect(14);
    assert_eq!(
        output.stdout.matches("it is missing").count(),
        2,
        "{output}"
    );
    // Where there is neither a repository nor a backup.
    let nothing = mo
        .run("check --backup_dir filesystem --backup_path docs")
        .expect(10);
    assert!(
        nothing.stderr.contains("no backup of MatrixOne in"),
        "{nothing}"
    );
    // A repository is no place that MatrixOne wrote to.
    mo.run("br init -r repository").expect(0);
    mo.run("check --backup_dir filesystem --backup_path repository")
        .expect(10);
}

#[test]
fn unfinished_backup_fails_check() {
    let mo = Mo::new();
    let id = mo.backup();
    fs::remove_file(mo.at(&format!("backups/full-{id}/mo_meta.sha256"))).unwrap();
    for line in [
        format!("check {id}"),
        format!("list {id}"),
        "check --backup_dir filesystem --backup_path backups".to_owned(),
        format!("restore {id} --restore_dir filesystem --restore_path mo"),
    ] {
        let output = mo.run(&line).expect(14);
        assert!(
            output.stderr.contains("which the server writes last"),
            "{line}: {output}"
        );
    }
}

/// The server writes no digest for some files. Without checksums, such a file does not show that a bit was flipped. br detects it with the
/// digest that it recorded during the backup.
#[test]
fn files_without_digest_are_verified_with_digest_from_backup_run() {
    let cluster = ClusterOptions {
        backend: Backend::DiskV2,
        ..ClusterOptions::default()
    };
    let options = MoServerOptions::default().with_version(MoVersion::V4_2);
    let options = options.with_password(super::PASSWORD);
    let mo = Mo::with(options.with_cluster(cluster));
    let id = mo.backup();
    let place = "--backup_dir filesystem --backup_path backups";
    let without = mo.json(&format!("check {id} {place}"));
    let without = &without["checks"][0];
    let path = without["unproven"][0].as_str().unwrap().to_owned();
    let with = mo.json(&format!("matrixone check {id}"));
    let with = &with["checks"][0];
    assert_eq!(with["unproven_count"], 0, "{with}");
    let sum = |value: &serde_json::Value| {
        value["proven"].as_u64().unwrap() + value["unproven_count"].as_u64().unwrap()
    };
    assert_eq!(sum(with), sum(without));

    let file = mo.at(&format!("backups/{path}"));
    change(&file, |bytes| {
        let last = bytes.len() - 1;
        bytes[last / 2] ^= 1;
    });
    let output = mo.run(&format!("check {id}")).expect(14);
    assert!(output.stdout.contains(&path), "{output}");
    let output = mo
        .run(&format!(
            "restore {id} --restore_dir filesystem --restore_path mo"
        ))
        .expect(14);
    assert!(output.stderr.contains(&path), "{output}");
    // Nothing in the file itself is wrong.
    mo.run(&format!("check {id} {place}")).expect(0);
}
