//! `br diff`.

use super::{Session, json_lines};

#[test]
fn differences_have_signs() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.assert_output("diff", &session.run(["diff", &ids[0], &ids[1]]).expect(0));
    let lines = json_lines(
        &session
            .run(["diff", &ids[0], &ids[1], "--json"])
            .expect(0)
            .stdout,
    );
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["metadata", "content", "removed", "added", "summary"]
    );
    let same = session.run(["diff", "latest", "latest"]).expect(0);
    assert!(!same.stdout.contains("docs"), "{same}");
}
