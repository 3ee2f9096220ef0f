//! `br find`.

use super::{Session, json};

fn paths(session: &Session, arguments: &[&str]) -> Vec<String> {
    let found = session.br.run(["find", "--json"].iter().chain(arguments));
    let lines = found.expect(0).stdout;
    let path = |line: &str| json(line)["path"].as_str().unwrap().to_owned();
    let mut paths: Vec<String> = lines.lines().map(path).collect();
    // One line for each version.
    paths.dedup();
    paths
}

#[test]
fn versions_of_a_file_are_found_in_all_backups() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.write("docs/sub/Notes.TXT", "one");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    let all = session.ids();
    let found = session.br.run(["find", "--json", "a.txt"]).expect(0);
    let found: Vec<_> = found.stdout.lines().map(json).collect();
    let backups: Vec<&str> = found
        .iter()
        .flat_map(|one| one["backups"].as_array().unwrap())
        .map(|id| id.as_str().unwrap())
        .collect();
    let newest_first: Vec<&str> = all.iter().rev().map(String::as_str).collect();
    assert_eq!(backups, newest_first, "{found:?}");
    let text = session.run(["find", "a.txt"]).expect(0).stdout;
    assert!(text.starts_with("docs/a.txt\n  "), "{text}");
    let one = session.json(["show", &ids[0]]);
    assert_eq!(one["backup"]["id"], ids[0].as_str());
}

#[test]
fn patterns_match_names_ends_of_paths_and_whole_paths() {
    let session = Session::with_two_backups();
    session.write("docs/sub/Notes.TXT", "one");
    session.write("docs/sub/deep/notes.txt", "two");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    for (pattern, expected) in [
        ("Notes.TXT", &["docs/sub/Notes.TXT"][..]),
        (
            "[Nn]otes.*",
            &["docs/sub/Notes.TXT", "docs/sub/deep/notes.txt"],
        ),
        ("sub/*.TXT", &["docs/sub/Notes.TXT"]),
        ("sub/**/*.txt", &["docs/sub/deep/notes.txt"]),
        ("/docs/sub/*e*", &["docs/sub/Notes.TXT", "docs/sub/deep"]),
        ("/docs", &["docs"]),
        ("/sub/*", &[]),
        ("deep/", &["docs/sub/deep"]),
        ("*.zip", &[]),
    ] {
        assert_eq!(paths(&session, &[pattern]), expected, "{pattern}");
    }
    let both = ["docs/sub/Notes.TXT", "docs/sub/deep/notes.txt"];
    assert_eq!(paths(&session, &["-i", "notes.txt"]), both);
    assert_eq!(paths(&session, &["Notes.TXT", "notes.txt"]), both);
    assert!(paths(&session, &["-i", "notes.txt", "--host", "other"]).is_empty());
    let none = session.run(["find", "*.zip"]).expect(0);
    assert!(none.stderr.contains("nothing matches"), "{none}");
    for pattern in ["[", "", "/"] {
        session.run(["find", pattern]).expect(2);
    }
}
