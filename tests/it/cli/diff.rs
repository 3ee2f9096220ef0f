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

#[test]
fn differences_are_limited_to_paths() {
    let session = Session::with_two_backups();
    session.write("docs/one/x", "1");
    session.write("docs/two/x", "2");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    session.write("docs/one/x", "changed");
    session.write("docs/two/x", "changed");
    std::fs::remove_dir_all(session.at("docs/sub")).unwrap();
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    let paths = |arguments: &[&str]| {
        let diff = ["diff", "latest~1", "latest", "--json"];
        let lines = session
            .br
            .run(diff.iter().chain(arguments))
            .expect(0)
            .stdout;
        let paths = json_lines(&lines).into_iter();
        let paths = paths.filter_map(|line| Some(line["path"].as_str()?.to_owned()));
        paths.collect::<Vec<_>>()
    };
    assert_eq!(paths(&["docs/one"]), ["docs/one/x"]);
    assert_eq!(
        paths(&["docs/two/x", "/docs/one"]),
        ["docs/one/x", "docs/two/x"]
    );
    let removed = paths(&["docs/sub"]);
    assert_eq!(removed[0], "docs/sub", "{removed:?}");
    assert!(paths(&[]).len() > 3);
    session
        .run(["diff", "latest~1", "latest", "docs/none"])
        .expect(2);
}
