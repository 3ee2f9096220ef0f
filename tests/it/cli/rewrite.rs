//! `br rewrite`.

use super::{Session, json, json_lines};

fn listed(session: &Session, id: &str) -> Vec<String> {
    let listed = session.run(["ls", id]).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

const WITHOUT_SUB: [&str; 3] = ["docs", "docs/a.txt", "docs/link"];

#[test]
fn new_backup_is_restored_without_the_excluded_files() {
    let session = Session::with_backup();
    let original = session.ids().remove(0);
    let output = session
        .run(["rewrite", "latest", "--exclude", "sub/"])
        .expect(0);
    let ids = session.ids();
    assert_eq!((ids.len(), &ids[0]), (2, &original), "the original stays");
    for named in [&ids[0], &ids[1], "2 entries"] {
        assert!(output.stdout.contains(named), "{output}");
    }
    assert_eq!(listed(&session, "latest"), WITHOUT_SUB);
    assert_eq!(listed(&session, "latest~1").len(), 5);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert_eq!(
        std::fs::read(session.at("out/docs/a.txt")).unwrap(),
        b"hello\n"
    );
    assert!(!session.at("out/docs/sub").exists());
    let shown = session.json(["show", "latest"]);
    assert_eq!(shown["backup"]["rewrite_of"], original, "{shown}");
    let text = session.run(["show", "latest"]).expect(0).stdout;
    assert!(text.contains("rewrite of"), "{text}");
    let [old, new] = ["latest~1", "latest"].map(|id| session.json(["show", id]));
    for same in [
        "host", "tags", "paths", "folder", "started", "finished", "origin",
    ] {
        assert_eq!(old["backup"][same], new["backup"][same], "{same}");
    }
    session.run(["check", "--read-data"]).expect(0);
    // The next backup of the same paths is based on it.
    let next = session.json(["backup", "docs", "--host", "h"]);
    assert_eq!(next["backup"]["base"], ids[1].as_str());
}

#[test]
fn dry_run_lists_what_would_go() {
    let session = Session::with_backup();
    let output = session
        .run([
            "rewrite",
            "latest",
            "--exclude",
            "sub",
            "--iexclude",
            "A.TXT",
            "-n",
            "--delete",
        ])
        .expect(0);
    for line in ["docs/a.txt", "docs/sub\n", "3 entries", "dry run"] {
        assert!(output.stdout.contains(line), "{line}: {output}");
    }
    // What is below a folder goes with it.
    assert!(!output.stdout.contains("b.bin"), "{output}");
    assert_eq!(session.ids().len(), 1);
}

#[test]
fn originals_are_deleted_only_if_they_have_a_new_backup() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    // Only the second backup has `new`.
    session.write("patterns", "# comment\n/docs/new\n");
    let line = [
        "rewrite",
        &ids[0],
        &ids[1],
        "--exclude-file",
        "patterns",
        "--delete",
        "--json",
    ];
    let output = session.run(line).expect(0);
    let summary = json(&output.stdout);
    assert_eq!(summary["rewritten"][0]["backup"], serde_json::Value::Null);
    assert_eq!(summary["rewritten"][1]["entries_removed"], 1);
    assert_eq!(summary["deleted"][0]["id"], ids[1].as_str());
    assert_eq!(summary["deleted"].as_array().unwrap().len(), 1);
    json_lines(&output.stderr);
    let left = session.ids();
    assert_eq!((left.len(), &left[0]), (2, &ids[0]));
    assert!(!listed(&session, "latest").contains(&"docs/new".to_owned()));
    session.run(["prune", "--max-unused", "0%"]).expect(0);
    session.run(["check", "--read-data"]).expect(0);
}

#[test]
fn pinned_original_is_not_deleted_and_nothing_is_stored() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.run(["pin", &ids[0]]).expect(0);
    let line = ["rewrite", &ids[1], &ids[0], "--exclude", "a.txt"];
    let output = session
        .br
        .run(line.iter().chain(&["--delete", "--yes"]))
        .expect(2);
    assert!(output.stderr.contains("is pinned"), "{output}");
    assert_eq!(session.ids(), ids, "nothing changed");
    session.br.run(line).expect(0);
    assert_eq!(session.ids().len(), 4);
}

#[test]
fn pattern_without_match_makes_no_backup_and_is_named() {
    let session = Session::with_backup();
    let output = session
        .run([
            "rewrite",
            "latest",
            "--exclude",
            "*.iso",
            "--delete",
            "--yes",
        ])
        .expect(0);
    assert!(output.stderr.contains("there is no new backup"), "{output}");
    assert!(
        output.stderr.contains("*.iso"),
        "the pattern is named: {output}"
    );
    assert_eq!(session.ids().len(), 1);
    for (arguments, message) in [
        (&["latest"][..], "there is no pattern"),
        (&["latest", "--exclude", "*"], "match every entry"),
        (&["latest", "--exclude", "./docs"], "current folder"),
        (&["latest", "--exclude", "a[b"], "a[b"),
        (&["latest", "--exclude", "x", "--yes"], "--delete"),
        (&["--exclude", "x"], "ID"),
    ] {
        let output = session
            .br
            .run(["rewrite"].iter().chain(arguments))
            .expect(2);
        assert!(output.stderr.contains(message), "{arguments:?}: {output}");
    }
    assert_eq!(session.ids().len(), 1);
}

#[test]
fn filter_selects_the_latest_backup() {
    let session = Session::with_backup();
    session.run(["backup", "docs", "--host", "other"]).expect(0);
    session
        .run([
            "rewrite",
            "latest",
            "--host",
            "h",
            "--tag",
            "first",
            "--exclude",
            "sub",
        ])
        .expect(0);
    let ids = session.ids();
    assert_eq!(listed(&session, &ids[1]), WITHOUT_SUB);
    assert_eq!(listed(&session, "latest").len(), 5, "the order stays");
    session
        .run(["rewrite", &ids[0], "--host", "h", "--exclude", "sub"])
        .expect(2);
}
