//! `br tag`, `br annotate`, `br pin`, `br unpin`.

use super::Session;

#[test]
fn tags_are_added_and_removed() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session
        .run(["tag", "add", "a,b", &ids[0], &ids[1]])
        .expect(0);
    session.run(["tag", "remove", "first,b", &ids[0]]).expect(0);
    let list = session.json(["list"]);
    assert_eq!(list["backups"][0]["tags"], serde_json::json!(["a"]));
    assert_eq!(list["backups"][1]["tags"], serde_json::json!(["a", "b"]));
    let shown = session.json(["show", &ids[0]]);
    assert_eq!(shown["backup"]["tags"], serde_json::json!(["a"]));
    let found = session.json(["list", "--tag", "b"]);
    assert_eq!(found["backups"].as_array().unwrap().len(), 1);
    session.run(["tag", "add", "a"]).expect(2);
    session.run(["tag", "add", "a,,b", "latest"]).expect(2);
    session.run(["tag", "add", "", "latest"]).expect(2);
    session.run(["tag", "add", "a\tb", "latest"]).expect(2);
    session.run(["tag", "add", "a", "ffffffff"]).expect(2);
}

#[test]
fn note_is_set_shown_and_removed() {
    let session = Session::with_two_backups();
    let changed = session.json(["annotate", "latest", "before the upgrade"]);
    assert_eq!(changed["backups"][0]["note"], "before the upgrade");
    let shown = session.run(["show", "latest"]).expect(0);
    assert!(
        shown.stdout.contains("before the upgrade"),
        "{}",
        shown.stdout
    );
    session.run(["annotate", "latest", ""]).expect(0);
    assert!(session.json(["show", "latest"])["backup"]["note"].is_null());
}

#[test]
fn pinned_backup_is_not_deleted() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.run(["pin", &ids[0]]).expect(0);
    let list = session.run(["list"]).expect(0);
    assert!(list.stdout.contains("complete,pinned"), "{}", list.stdout);
    let output = session.run(["delete", &ids[0], &ids[1], "--yes"]).expect(2);
    assert!(
        output.stderr.contains(&format!("br unpin {}", ids[0])),
        "{}",
        output.stderr
    );
    assert_eq!(session.ids(), ids);
    session.run(["unpin", &ids[0]]).expect(0);
    session.run(["delete", &ids[0], "--yes"]).expect(0);
    assert_eq!(session.ids(), ids[1..]);
}
