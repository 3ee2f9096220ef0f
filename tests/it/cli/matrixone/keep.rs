//! A copy of the server's backup in a repository.

use std::fs;

use br_test_matrixone::{ClusterOptions, MoServerOptions};

use super::{Mo, PASSWORD, contents, id_of, json};

/// Objects of the cluster, and how many of them change.
const OBJECTS: usize = 2000;
const CHANGED: usize = OBJECTS / 100;
/// Small for a cluster, whose objects have megabytes, and large enough that names and digests do not count for most.
const OBJECT_BYTES: usize = 20_000;
/// The maximum size of the second copy, as a share of the first.
const SHARE: f64 = 0.05;

/// A full backup copies everything again into its own folder; the repository stores only new data.
#[test]
fn copy_of_second_full_backup_stores_only_changes() {
    let cluster = ClusterOptions {
        objects: OBJECTS,
        larger: OBJECT_BYTES,
        ..ClusterOptions::default()
    };
    let options = MoServerOptions::default().with_password(PASSWORD);
    let mo = Mo::with(options.with_cluster(cluster));
    let br = mo.br.clone().env("BR_REPOSITORY", "repository");
    mo.run_with(&br, "br init --quiet").expect(0);
    let stored = |folder: &str| -> u64 {
        let files = contents(&mo.at(folder)).into_values();
        files.map(|bytes| bytes.len() as u64).sum()
    };
    let mut sizes = vec![0];
    for _ in 0..2 {
        mo.run_with(&br, "backup SERVER --backup_dir filesystem --path backups")
            .expect(0);
        sizes.push(stored("repository"));
        mo.server.cluster().rewrite(CHANGED);
        mo.server.cluster().collect_garbage();
    }
    let (first, second) = (sizes[1], sizes[2] - sizes[1]);
    let share = second as f64 / first as f64;
    assert!(share < SHARE, "{second} bytes after {first}: {share:.4}");
}

#[test]
fn copy_is_restored_as_archive() {
    let mo = Mo::new();
    let br = mo.br.clone().env("BR_REPOSITORY", "repository");
    mo.run_with(&br, "br init --quiet").expect(0);
    let full = mo.run_with(&br, "backup SERVER --backup_dir filesystem --path backups");
    mo.assert_output("backup kept", &full.clone().expect(0));
    let full = id_of(&full);
    mo.server.cluster().insert(5);
    let objects = mo.objects();
    let line = format!("matrixone backup SERVER --location backups --base-id {full} --json");
    let report = json(&mo.run_with(&br, &line).expect(0).stdout);
    assert!(report["repository_backup"].is_string(), "{report}");
    let before = contents(&mo.at("backups"));
    // The place is lost, and the catalogue with it.
    fs::remove_dir_all(mo.at("backups")).unwrap();
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    let list = json(
        &mo.run_with(&br, "br list --tag matrixone --json")
            .expect(0)
            .stdout,
    );
    for backup in list["backups"].as_array().unwrap() {
        let id = backup["id"].as_str().unwrap();
        mo.run_with(&br, &format!("br restore {id} --target back"))
            .expect(0);
    }
    assert_eq!(contents(&mo.at("back")), before);
    let increment = report["backup"]["id"].as_str().unwrap();
    let line = format!("matrixone restore {increment} --location back --target mo");
    mo.run(&line).expect(0);
    super::assert_holds(&super::unframed(&mo.at("mo/mo-data/shared")), &objects);
}

#[test]
fn repository_error_is_found_before_backup_starts() {
    let mo = Mo::new();
    let locked = mo
        .br
        .clone()
        .env("BR_REPOSITORY", "repository")
        .env("BR_PASSWORD", "sesame");
    mo.run_with(&locked, "br init").expect(0);
    let closed = mo.br.clone().env("BR_REPOSITORY", "repository");
    let line = "matrixone backup SERVER --location backups";
    mo.run_with(&closed, line).expect(12);
    assert!(mo.server.statements().is_empty());
    mo.run_with(&closed, &format!("{line} --in-place"))
        .expect(0);
    mo.run(&format!("br -r repository {line}")).expect(12);
    mo.run_with(&locked, line).expect(0);
}
