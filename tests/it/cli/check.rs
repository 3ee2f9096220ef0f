//! `br check`.

use std::fs;

use super::{Session, json};

#[test]
fn a_sound_repository_has_no_findings() {
    let session = Session::with_two_backups();
    session.assert_output("check", &session.run(["check"]).expect(0));
    session.assert_output(
        "check data",
        &session.run(["check", "--read-data"]).expect(0),
    );
    session
        .run(["check", "--read-data-subset", "10%"])
        .expect(0);
    session
        .run(["check", "--read-data-subset", "1KiB"])
        .expect(0);
    session
        .run(["check", "--read-data-subset", "some"])
        .expect(2);
    let one = session.json(["check", "latest", "--read-data"]);
    assert_eq!((&one["backups"], &one["sound"]), (&1.into(), &true.into()));
}

#[test]
fn damage_is_found_and_its_files_are_named() {
    let session = Session::with_backup();
    let pack = session.objects("packs")[0].clone();
    session.damage(&pack);
    session.run(["check"]).expect(0);
    session.assert_output(
        "check damaged",
        &session.run(["check", "--read-data"]).expect(14),
    );
    let output = session.run(["check", "--read-data", "--json"]).expect(14);
    let report = json(&output.stdout);
    let finding = &report["findings"][0];
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert!(
        finding["object"].as_str().unwrap().ends_with(name),
        "{finding}"
    );
    assert_eq!(finding["files"][0]["path"], "docs/sub/b.bin");
}

#[test]
fn an_index_is_repaired() {
    let session = Session::with_backup();
    session.damage(&session.objects("index")[0]);
    session.run(["check"]).expect(14);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    session.run(["prune"]).expect(14);
    session.assert_output(
        "check repair index",
        &session.run(["check", "--repair-index"]).expect(0),
    );
    session.run(["check", "--read-data"]).expect(0);
    session.run(["prune"]).expect(0);
}

#[test]
fn a_log_is_repaired() {
    let session = Session::with_two_backups();
    session.damage(&session.at("repository/log/0000000000000001"));
    session.assert_output("list damaged", &session.run(["list"]).expect(14));
    session.assert_output(
        "check repair log",
        &session.run(["check", "--repair-log"]).expect(0),
    );
    assert_eq!(session.ids().len(), 2);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert_eq!(
        fs::read(session.at("out/docs/a.txt")).unwrap(),
        b"hello again\n"
    );
}
