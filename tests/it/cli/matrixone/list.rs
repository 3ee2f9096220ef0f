//! `br matrixone list`: the backups in the catalogue, including those in `mo_br`'s own catalogue.

use std::fs;

use br_test_matrixone::{Backup, Cluster, MoBr, MoVersion};

use super::{Mo, change, json, object_in};
use crate::cli::Session;

/// An id as `mo_br` gives them.
const ID_1: &str = "01942b54-0000-7000-8000-000000000001";
const ID_2: &str = "01942b54-0000-7000-8000-000000000002";

#[test]
fn list_shows_all_backups_in_table() {
    let mo = Mo::new();
    let full = mo.backup();
    mo.server.cluster().insert(2);
    mo.backup_since(&full);
    mo.server.inject(br_test_matrixone::Fault::NotFound(3));
    mo.run("matrixone backup SERVER --location backups")
        .expect(1);
    mo.assert_output("list", &mo.run("list").expect(0));
    mo.assert_output("list json", &mo.run("list --json").expect(0));
}

#[test]
fn list_of_one_backup_checks_its_files() {
    let mo = Mo::new();
    let id = mo.backup();
    mo.assert_output("list id", &mo.run(&format!("list {id}")).expect(0));
    mo.assert_output(
        "list id json",
        &mo.run(&format!("list {id} --json")).expect(0),
    );
    let all = mo.run(&format!("list {id} -v")).expect(0).stdout;
    // All but the digests next to them.
    assert!(
        all.contains(
            "
37 files, "
        ),
        "{all}"
    );
    assert_eq!(
        all.matches(
            "
check: "
        )
        .count(),
        37,
        "{all}"
    );
    let tae = mo.at(&format!("backups/full-{id}/tae"));
    let object = object_in(&tae);
    // This check compares only sizes.
    change(&object, |bytes| bytes[100] ^= 1);
    mo.run(&format!("list {}", &id[..13])).expect(0);
    fs::remove_file(&object).unwrap();
    let output = mo.run(&format!("list {id}")).expect(14);
    let name = object.file_name().unwrap().to_str().unwrap();
    assert!(
        output
            .stdout
            .contains(&format!("tae/{name}: it is missing")),
        "{output}"
    );
    let output = mo.run(&format!("list {id} --not_check_data")).expect(0);
    assert!(!output.stdout.contains("check"), "{output}");
    mo.run("list ffff").expect(2);
    mo.run("list 0 --backup_dir filesystem --path backups")
        .expect(2);
}

#[test]
fn an_empty_catalogue_is_an_empty_table() {
    let mo = Mo::new();
    // Without a catalogue it is not known whether there are backups.
    mo.run("matrixone list").expect(10);
    let id = mo.backup();
    mo.run(&format!("delete {id}")).expect(0);
    let list = mo.run("matrixone list").expect(0).stdout;
    assert!(list.contains("| ID | SIZE | PATH |"), "{list}");
    assert_eq!(mo.json("matrixone list")["backups"], json("[]"));
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    // `br list` uses a repository, regardless of files in the current folder.
    let output = mo.run("br list").expect(2);
    assert!(output.stderr.contains("no repository is named"), "{output}");
}

#[test]
fn the_catalogue_of_mo_br_is_read_and_never_written() {
    let session = Session::new();
    let br = session.br.clone().env("BR_REPOSITORY", "");
    let run = |line: &str| br.run(super::in_grammar(super::words(line)));
    let mut cluster = Cluster::of(7, 20);
    let tool = MoBr::new(&session.at("backups"), br.home());
    let full = tool.run(&mut cluster, &Backup::full(MoVersion::V3_0_11), ID_1);
    let ts = full.summary.backup_ts;
    let objects = cluster.objects().to_vec();
    cluster.insert(4);
    tool.run(
        &mut cluster,
        &Backup::incremental(MoVersion::V3_0_11, ts),
        ID_2,
    );
    let names = ["mo_br.meta", "mo_br.meta.sha256"];
    let read = || names.map(|name| fs::read(session.at(name)).unwrap());
    let before = read();

    let list = run("list").expect(0).stdout;
    assert!(
        list.contains(ID_1) && list.contains(ID_2) && list.contains(&ts.to_string()),
        "{list}"
    );
    let output = run(&format!("list {ID_1}")).expect(0).stdout;
    let checked: Vec<_> = output
        .lines()
        .filter(|line| line.starts_with("check: "))
        .collect();
    assert_eq!(
        checked[..5],
        [
            "check: /backup_meta",
            "check: /mo_meta",
            "check: hakeeper/hk_data",
            "check: tae/tae_list",
            "check: tae/tae_sum"
        ]
    );
    assert!(checked[5].starts_with("check: config/cn.toml_"), "{output}");
    run(&format!("check {ID_2}")).expect(0);
    run(&format!(
        "restore {ID_1} --restore_dir filesystem --restore_path mo"
    ))
    .expect(0);
    super::assert_holds(&super::unframed(&session.at("mo/mo-data/shared")), &objects);
    // The catalogue does not name the base of the other backup: its own files do.
    let refused = run(&format!("delete {ID_1}")).expect(2);
    assert!(refused.stderr.contains(ID_2), "{refused}");
    run(&format!("delete {ID_2}")).expect(0);
    assert!(!session.at(&format!("backups/incremental-{ID_2}")).exists());
    assert!(!session.at(&format!("backups/{ID_2}.meta")).exists());
    let list = run("list").expect(0).stdout;
    assert!(list.contains(ID_1) && !list.contains(ID_2), "{list}");
    let gone = run(&format!("check {ID_2}")).expect(2);
    assert!(gone.stderr.contains("was deleted"), "{gone}");
    assert_eq!(read(), before, "the files of mo_br are unchanged");

    // By its name in another folder, and damaged.
    fs::create_dir(session.at("elsewhere")).unwrap();
    fs::copy(session.at("mo_br.meta"), session.at("elsewhere/other.meta")).unwrap();
    let list = run("list --meta_path elsewhere/other.meta")
        .expect(0)
        .stdout;
    assert!(list.contains(ID_1) && list.contains(ID_2), "{list}");
    change(&session.at("mo_br.meta"), |bytes| {
        bytes.extend(b"nonsense\n");
    });
    let output = run("list").expect(0);
    assert!(
        output.stderr.contains("does not match its .sha256"),
        "{output}"
    );
    assert!(output.stderr.contains("line 3"), "{output}");
}

#[test]
fn damaged_catalogue_is_distinguished_from_missing_one() {
    let mo = Mo::new();
    let id = mo.backup();
    change(&mo.at("br-matrixone.json"), |bytes| bytes.truncate(100));
    let output = mo.run("list").expect(14);
    assert!(output.stderr.contains("br matrixone rebuild"), "{output}");
    fs::remove_file(mo.at("br-matrixone.json")).unwrap();
    let place = "--backup_dir filesystem --backup_path backups";
    mo.run(&format!("check {place}")).expect(0);
    mo.run(&format!("check {id} {place}")).expect(0);
}
