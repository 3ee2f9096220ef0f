//! `br undelete`.

use std::fs;

use super::{Session, files_below};

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
        none.stderr.contains("no deleted backup can come back"),
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

/// The time at which the storage got the deletion decides, not the clock of the process that deleted.
#[test]
#[expect(clippy::disallowed_methods, reason = "sets the time of a file")]
fn prune_keeps_backups_that_were_deleted_recently() {
    let session = Session::with_two_backups();
    session.write("docs/a.txt", "third\n");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    let ids = session.ids();
    let newest_entry = || {
        let mut entries = files_below(&session.at("repository/log"));
        entries.sort();
        entries.pop().unwrap()
    };
    session.run(["delete", &ids[0], "--yes"]).expect(0);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(40 * 24 * 3600);
    let entry = fs::File::open(newest_entry()).unwrap();
    entry.set_modified(long_ago).unwrap();
    session.run(["delete", &ids[1], "--yes"]).expect(0);
    let output = session.run(["prune", "--keep-deleted", "30d"]).expect(0);
    assert!(output.stdout.contains("1 deleted backup"), "{output}");
    session.run(["undelete", &ids[0]]).expect(2);
    session.run(["undelete", &ids[1]]).expect(0);
    session.run(["check", "--read-data"]).expect(0);
    assert_eq!(session.ids(), ids[1..]);
    session.run(["delete", &ids[1], "--yes"]).expect(0);
    session.run(["prune"]).expect(0);
    session.run(["undelete", &ids[1]]).expect(2);
}
