//! `br list`.

use super::Session;

#[test]
fn backups_are_listed_oldest_first() {
    let session = Session::with_two_backups();
    session.assert_output("list", &session.run(["list"]).expect(0));
    let list = session.json(["list"]);
    let backups = list["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    assert!(backups[0]["started"].as_str() < backups[1]["started"].as_str());
    assert_eq!(backups[1]["base"], backups[0]["id"]);
    assert_eq!(backups[0]["kind"], "full");
    assert_eq!(backups[1]["kind"], "incremental");
}

#[test]
fn only_some_are_listed_when_asked_for() {
    let session = Session::with_two_backups();
    let count = |arguments: [&str; 3]| session.json(arguments)["backups"].as_array().unwrap().len();
    assert_eq!(count(["list", "--tag", "first"]), 1);
    assert_eq!(count(["list", "--tag", "none"]), 0);
    assert_eq!(count(["list", "--host", "h"]), 2);
    assert_eq!(count(["list", "--host", "other"]), 0);
    assert_eq!(count(["list", "--path", "docs"]), 2);
    assert_eq!(count(["list", "--path", "doc"]), 0);
}

#[test]
fn an_empty_repository_has_an_empty_list() {
    let session = Session::new();
    session.run(["init"]).expect(0);
    session.assert_output("list empty", &session.run(["list"]).expect(0));
    assert_eq!(session.json(["list"]), serde_json::json!({"backups": []}));
}
