//! `br list`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::Session;

#[test]
fn backups_are_listed_oldest_first() {
    let session = Session::with_two_backups();
    session.assert_output("list", &session.run(["list"]).expect(0));
    session.assert_output("list long", &session.run(["list", "-v"]).expect(0));
    let list = session.json(["list"]);
    let backups = list["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    assert!(backups[0]["started"].as_str() < backups[1]["started"].as_str());
    assert_eq!(backups[1]["base"], backups[0]["id"]);
    assert_eq!(backups[0]["kind"], "full");
    assert_eq!(backups[1]["kind"], "incremental");
    assert_eq!(backups[1]["complete"], true);
}

/// The start of an id is the time, which the backups of one night share.
#[test]
fn every_command_accepts_the_ids_that_are_listed() {
    let session = Session::with_two_backups();
    for _ in 0..4 {
        session.run(["backup", "docs", "--host", "h"]).expect(0);
    }
    let listed = session.run(["list"]).expect(0).stdout;
    let short: Vec<_> = listed
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let ids = session.ids();
    let json = session.json(["list"]);
    assert_eq!(short.len(), 6);
    for (at, short) in short.iter().enumerate() {
        assert_eq!(short.len(), 8, "{listed}");
        assert_eq!(json["backups"][at]["short_id"], **short);
        let shown = session.json(["show", short]);
        assert_eq!(shown["backup"]["id"], *ids[at]);
    }
    let id = short[0];
    session.run(["ls", id]).expect(0);
    session.run(["dump", id, "docs/a.txt"]).expect(0);
    session.run(["diff", id, short[1]]).expect(0);
    session.run(["check", id]).expect(0);
    // A bundle cannot hold a link.
    session.run(["export", id, "--dir", "bundle"]).expect(3);
    session
        .run(["restore", id, "--target", "out", "--dry-run"])
        .expect(0);
    session
        .run(["backup", "docs", "--base-id", id, "--host", "h"])
        .expect(0);
    session.run(["delete", id, "--yes"]).expect(0);
    assert_eq!(session.ids()[0], ids[1]);
}

#[test]
fn filter_options_limit_list() {
    let session = Session::with_two_backups();
    let count = |arguments: &[&str]| {
        let output = session.br.run(["list", "--json"].iter().chain(arguments));
        super::json(&output.expect(0).stdout)["backups"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count(&["--tag", "first"]), 1);
    assert_eq!(count(&["--tag", "none"]), 0);
    assert_eq!(count(&["--host", "h"]), 2);
    assert_eq!(count(&["--host", "other"]), 0);
    let full = session.at("docs");
    let full = full.to_str().unwrap();
    for path in ["docs", "./docs/", "docs//.", full, &format!("{full}/./")] {
        assert_eq!(count(&["--path", path]), 2, "{path}");
    }
    assert_eq!(count(&["--path", "doc"]), 0);
    assert_eq!(count(&["--path", "docs", "--path", full]), 2);
    assert_eq!(count(&["--path", "docs", "--path", "other"]), 0);
    assert_eq!(count(&["--complete"]), 2);
}

#[test]
fn an_incomplete_backup_is_marked() {
    let session = Session::new();
    // The user who may not read it must own the repository.
    for folder in [session.br.home(), &session.at("docs")] {
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    }
    if session.run_as_nobody(&["init"]).is_none() {
        return;
    }
    let nobody = |arguments: &[&str], code| session.run_as_nobody(arguments).unwrap().expect(code);
    nobody(&["backup", "docs", "--host", "h"], 0);
    session.write("docs/secret", "s");
    let closed = Permissions::from_mode(0o600);
    fs::set_permissions(session.at("docs/secret"), closed).unwrap();
    nobody(&["backup", "docs", "--host", "h", "--tag", "partial"], 3);
    session.assert_output("list incomplete", &nobody(&["list"], 0));
    let complete = nobody(&["list", "--complete"], 0).stdout;
    assert_eq!(complete.lines().count(), 2, "{complete}");
    assert!(
        !complete.contains("STATE"),
        "all backups are complete: {complete}"
    );
    let shown = nobody(&["show", "latest"], 0).stdout;
    assert!(shown.contains("incomplete"), "{shown}");
    let flag = |arguments: &[&str]| {
        let shown = super::json(&nobody(arguments, 0).stdout);
        shown["backup"]["complete"].clone()
    };
    assert_eq!(flag(&["show", "latest", "--json"]), false);
    assert_eq!(flag(&["show", "latest", "--complete", "--json"]), true);
    let deleted = nobody(&["delete", "latest", "--complete", "-n"], 0).stderr;
    assert!(deleted.contains("is the last complete backup"), "{deleted}");
    let none = ["show", "latest", "--complete", "--tag", "partial"];
    let output = nobody(&none, 2);
    assert!(
        output.stderr.contains("tag `partial`, complete"),
        "{output}"
    );
}

/// Symptom: the list was 150 columns wide, and the terminal wrapped its lines.
#[test]
fn list_is_shortened_on_terminal_and_full_in_pipe() {
    let session = Session::with_repository();
    let long = "a folder with a rather long name/and another one below it";
    session.write(&format!("{long}/f"), "x");
    let tags = "nightly,the backup before the great move,日本語";
    let host = "a.machine.with.a.long.name.example";
    session
        .run(["backup", long, "--host", host, "--tag", tags])
        .expect(0);
    let piped = session.run(["list"]).expect(0).stdout;
    for whole in [host, tags, long] {
        assert!(piped.contains(whole), "{piped}");
    }
    for (width, options) in [(100, ""), (72, ""), (40, ""), (72, " -v")] {
        let Some(shown) = session.on_terminal(width, &format!("list{options}")) else {
            return;
        };
        let widest = |text: &str| {
            let wide = |c: char| if c > '\u{2e80}' { 2 } else { 1 };
            let lines = text.lines();
            lines
                .map(|l| l.chars().map(wide).sum::<usize>())
                .max()
                .unwrap()
        };
        assert!(shown.starts_with("ID "), "{shown}");
        if options.is_empty() {
            assert!(widest(&shown) <= width, "{width}: {shown}");
            assert!(shown.contains('…'), "{shown}");
        } else {
            assert!(shown.contains(tags) && shown.contains(long), "{shown}");
        }
    }
}

#[test]
fn an_empty_repository_has_an_empty_list() {
    let session = Session::new();
    session.run(["init"]).expect(0);
    session.assert_output("list empty", &session.run(["list"]).expect(0));
    assert_eq!(session.json(["list"]), serde_json::json!({"backups": []}));
}

/// Tags and host names can contain invisible characters, as file names can.
#[test]
fn invisible_characters_are_escaped() {
    let session = Session::with_repository();
    let odd = "txt.\u{202e}gpj\u{200b}";
    session
        .run(["backup", "docs", "--host", odd, "--tag", odd])
        .expect(0);
    let seen = "txt.\\xe2\\x80\\xaegpj\\xe2\\x80\\x8b";
    for arguments in [
        &["list"][..],
        &["show", "latest"],
        &["delete", "latest", "-n"],
    ] {
        let output = session.br.run(arguments).expect(0).to_string();
        assert!(!output.contains(['\u{202e}', '\u{200b}']), "{output:?}");
        assert!(
            arguments[0] == "delete" || output.contains(seen),
            "{output}"
        );
    }
    let output = session.run(["list", "--json"]).expect(0).stdout;
    assert!(output.is_ascii(), "{output:?}");
    assert_eq!(super::json(&output)["backups"][0]["host"], odd);
    let output = session
        .run(["list", "--host", &format!("{odd}x")])
        .expect(0);
    assert!(!output.to_string().contains('\u{202e}'));
    let output = session
        .run(["show", "latest", "--host", &format!("{odd}x")])
        .expect(2);
    assert!(!output.stderr.contains('\u{202e}'), "{output:?}");
}
