//! `br key`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use br_testkit::BrOutput;

use super::Session;

/// A session with an encrypted repository and a backup; the password is in the file `first`.
fn encrypted() -> Session {
    let session = Session::new();
    session.write_secret("first", "open sesame\n");
    with(&session, "first", &["init"]).expect(0);
    with(&session, "first", &["backup", "docs", "--host", "h"]).expect(0);
    session
}

/// Runs br with the password in a file.
fn with(session: &Session, file: &str, arguments: &[&str]) -> BrOutput {
    let password = ["--password-file", file];
    session.br.run(arguments.iter().chain(&password))
}

fn labels(session: &Session) -> Vec<String> {
    let list = session.json(["key", "list"]);
    let keys = list["keys"].as_array().unwrap().iter();
    keys.map(|key| key["label"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn added_password_opens_the_repository_until_it_is_removed() {
    let session = encrypted();
    with(
        &session,
        "first",
        &["key", "add", "server", "--generate", "second"],
    )
    .expect(0);
    let mode = fs::metadata(session.at("second"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(labels(&session), ["first", "server"]);
    with(&session, "second", &["check"]).expect(0);
    let again = with(
        &session,
        "first",
        &["key", "add", "server", "--generate", "third"],
    )
    .expect(2);
    assert!(again.stderr.contains("`server`"), "{again}");
    assert!(!session.at("third").exists(), "its password opens nothing");
    let exists = with(
        &session,
        "first",
        &["key", "add", "x", "--generate", "second"],
    )
    .expect(2);
    assert!(exists.stderr.contains("--generate"), "{exists}");
    let own = with(&session, "second", &["key", "remove", "server"]).expect(2);
    assert!(own.stderr.contains("key that opened"), "{own}");
    with(&session, "first", &["key", "remove", "server"]).expect(0);
    let gone = with(&session, "second", &["list"]).expect(12);
    assert!(gone.stderr.contains("password is wrong"), "{gone}");
    assert_eq!(labels(&session), ["first"]);
}

#[test]
fn several_keys_are_removed_and_an_ambiguous_name_is_refused() {
    let session = encrypted();
    for (label, file) in [("a", "a"), ("b", "b"), ("c", "c")] {
        let add = ["key", "add", label, "--generate", file];
        with(&session, "first", &add).expect(0);
    }
    let list = session.json(["key", "list"]);
    let id = list["keys"][3]["id"].as_str().unwrap()[..6].to_owned();
    let add = ["key", "add", &id, "--generate", "d"];
    with(&session, "first", &add).expect(0);
    let ambiguous = with(&session, "first", &["key", "remove", &id]).expect(2);
    assert!(ambiguous.stderr.contains("several keys"), "{ambiguous}");
    let partly = with(&session, "first", &["key", "remove", "a", "zzz", "b"]).expect(2);
    assert!(partly.stderr.contains("`zzz`"), "{partly}");
    assert!(partly.stderr.contains("the key a was removed"), "{partly}");
    with(&session, "first", &["key", "remove", "b", "c"]).expect(0);
    assert_eq!(labels(&session), ["first".to_owned(), id]);
}

#[test]
fn unused_password_file_is_removed_when_the_key_cannot_be_stored() {
    let session = encrypted();
    let keys = session.at("repository/keys");
    let (read_only, writable) = (
        fs::Permissions::from_mode(0o500),
        fs::Permissions::from_mode(0o700),
    );
    fs::set_permissions(&keys, read_only).unwrap();
    let add = ["key", "add", "server", "--generate", "second"];
    let refused = with(&session, "first", &add);
    fs::set_permissions(&keys, writable).unwrap();
    // Root may write in spite of the permissions.
    if refused.code == Some(0) {
        return;
    }
    assert!(!session.at("second").exists(), "{refused}");
}

#[test]
fn list_needs_no_password_and_shows_which_key_is_in_use() {
    let session = encrypted();
    with(
        &session,
        "first",
        &["key", "add", "server", "--generate", "second"],
    )
    .expect(0);
    let without = session.run(["key", "list"]).expect(0);
    assert!(without.stdout.contains("server"), "{without}");
    assert!(!without.stdout.contains("in use"), "{without}");
    let list = with(&session, "second", &["key", "list"]).expect(0);
    let line = list.stdout.lines().find(|line| line.contains("in use"));
    assert!(line.unwrap().contains("server"), "{list}");
    let wrong = session.br.clone().env("BR_PASSWORD", "wrong");
    let wrong = wrong.run(["key", "list"]).expect(12);
    assert!(wrong.stderr.contains("`first`, `server`"), "{wrong}");
}

#[test]
fn password_is_replaced() {
    let session = encrypted();
    session.write_secret("new", "sesame, open\n");
    let passwd = ["key", "passwd", "--new-password-file", "new"];
    with(&session, "first", &passwd).expect(0);
    with(&session, "first", &["list"]).expect(12);
    with(&session, "new", &["list"]).expect(0);
    let passwd = ["key", "passwd", "--new-password-command", "cat first"];
    with(&session, "new", &passwd).expect(0);
    with(&session, "first", &["list"]).expect(0);
    let none = with(&session, "first", &["key", "passwd"]).expect(2);
    assert!(none.stderr.contains("--new-password-file"), "{none}");
    session.write_secret("new", "\n");
    let empty = ["key", "passwd", "--new-password-file", "new"];
    let empty = with(&session, "first", &empty).expect(12);
    assert!(empty.stderr.contains("is empty"), "{empty}");
}

#[test]
fn new_master_key_removes_other_keys_and_old_backups_stay() {
    let session = encrypted();
    with(
        &session,
        "first",
        &["key", "add", "alice", "--generate", "second"],
    )
    .expect(0);
    // Without a terminal, br cannot ask whether to remove the other keys.
    let refused = with(&session, "first", &["key", "rotate"]).expect(2);
    assert!(refused.stderr.contains("--yes"), "{refused}");
    let rotated = with(&session, "first", &["key", "rotate", "--yes"]).expect(0);
    assert!(rotated.stderr.contains("alice"), "{rotated}");
    assert_eq!(labels(&session), ["first"]);
    with(&session, "second", &["list"]).expect(12);
    with(&session, "first", &["backup", "docs", "--host", "h"]).expect(0);
    with(&session, "first", &["check", "--read-data"]).expect(0);
    let restored = ["restore", "latest~1", "--target", "out"];
    with(&session, "first", &restored).expect(0);
    let rotated = with(&session, "first", &["key", "rotate", "--json"]).expect(0);
    let rotated = super::json(&rotated.stdout);
    assert_eq!(rotated["master_keys"], 3);
}

#[test]
fn unencrypted_repository_has_no_keys() {
    let session = Session::with_backup();
    let list = session.run(["key", "list"]).expect(12);
    assert!(list.stderr.contains("not encrypted"), "{list}");
    session
        .run(["key", "add", "x", "--generate", "f"])
        .expect(12);
    assert!(!session.at("f").exists());
    session.run(["key", "rotate", "--yes"]).expect(12);
}

#[test]
fn label_with_control_characters_is_escaped() {
    let session = encrypted();
    let label = "a\u{1b}[31mb";
    with(
        &session,
        "first",
        &["key", "add", label, "--generate", "second"],
    )
    .expect(0);
    let list = session.run(["key", "list"]).expect(0);
    assert!(!list.stdout.contains('\u{1b}'), "{list}");
    let wrong = session.br.clone().env("BR_PASSWORD", "wrong");
    let wrong = wrong.run(["list"]).expect(12);
    assert!(!wrong.stderr.contains('\u{1b}'), "{wrong}");
    with(&session, "first", &["key", "remove", label]).expect(0);
}
