//! `br undelete`.

use super::Session;

#[test]
fn deleted_backup_is_listed_and_comes_back() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.run(["delete", &ids[0], "--yes"]).expect(0);
    let list = session.json(["undelete"]);
    assert_eq!(list["deleted"][0]["backup"]["id"], *ids[0]);
    let short = &ids[0][ids[0].len() - 8..];
    let table = session.run(["undelete"]).expect(0);
    assert!(table.stdout.contains(short), "{}", table.stdout);
    session.run(["undelete", short]).expect(0);
    assert_eq!(session.ids(), ids, "at its old place");
    let none = session.run(["undelete"]).expect(0);
    assert!(
        none.stderr.contains("no backup was deleted"),
        "{}",
        none.stderr
    );
    session
        .run(["restore", &ids[0], "--target", "out"])
        .expect(0);
}

#[test]
fn pruned_backup_does_not_come_back() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.run(["delete", &ids[0], "--yes"]).expect(0);
    session.run(["prune"]).expect(0);
    let output = session.run(["undelete", &ids[0]]).expect(2);
    assert!(
        output.stderr.contains("a prune has removed it"),
        "{}",
        output.stderr
    );
    assert_eq!(session.ids(), ids[1..]);
}
