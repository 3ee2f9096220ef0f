//! `br delete`.

use super::Session;

#[test]
fn a_backup_is_deleted() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.run(["delete", &ids[0], "--dry-run"]).expect(0);
    assert_eq!(session.ids(), ids, "a dry run deletes nothing");
    session.assert_output(
        "delete",
        &session.run(["delete", &ids[0], "--yes"]).expect(0),
    );
    assert_eq!(session.ids(), ids[1..]);
    session.run(["delete", &ids[0]]).expect(2);
    session.run(["delete", "01", "ffff"]).expect(2);
    session.run(["delete"]).expect(2);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    let deleted = session.json(["delete", "latest"]);
    assert_eq!(deleted["deleted"][0]["id"], *ids[1]);
    assert_eq!(session.ids(), [""; 0]);
}
