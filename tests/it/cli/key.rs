//! `br key`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

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

#[test]
fn machine_with_a_write_only_key_backs_up_and_cannot_restore() {
    let session = Session::new();
    session.write_secret("first", "open sesame\n");
    with(&session, "first", &["init", "--write-only-keys"]).expect(0);
    let add = ["key", "add", "web1", "--write-only", "--generate", "web1"];
    with(&session, "first", &add).expect(0);
    let backup = ["backup", "docs", "--host", "h", "--json"];
    with(&session, "web1", &backup).expect(0);
    with(&session, "web1", &backup).expect(0);
    for allowed in [
        vec!["list"],
        vec!["ls", "latest"],
        vec!["check"],
        vec!["stats"],
        vec!["find", "*"],
    ] {
        with(&session, "web1", &allowed).expect(0);
    }
    for refused in [
        vec!["restore", "latest", "--target", "out"],
        vec!["dump", "latest", "docs/a.txt"],
        vec!["check", "--read-data"],
        vec!["prune", "--dry-run"],
        vec!["forget", "--keep-last", "1", "--prune"],
        vec![
            "copy",
            "--to",
            "copy",
            "--init",
            "--from",
            "repository",
            "--from-password-file",
            "web1",
        ],
        vec!["prune"],
        vec!["key", "add", "full", "--generate", "full"],
        vec!["key", "remove", "first"],
        vec!["key", "rotate", "--yes"],
    ] {
        let error = with(&session, "web1", &refused).expect(12);
        assert!(error.stderr.contains("only writes"), "{error}");
        assert!(error.stderr.contains("br key list"), "{error}");
    }
    for nothing in ["full", "out", "copy"] {
        assert!(!session.at(nothing).exists(), "{nothing}");
    }
    let listed = with(&session, "web1", &["list", "--json"]).expect(0);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        listed["backups"].as_array().unwrap().len(),
        2,
        "nothing is deleted"
    );
    let list = with(&session, "web1", &["key", "list"]).expect(0);
    assert!(list.stdout.contains("in use, write-only"), "{list}");
    with(&session, "first", &["restore", "latest", "--target", "out"]).expect(0);
    with(&session, "first", &["check", "--read-data"]).expect(0);
    let plain = Session::new();
    let refused = plain.br.run(["init", "--write-only-keys"]).expect(2);
    assert!(refused.stderr.contains("--encrypt"), "{refused}");
}

#[test]
fn keys_of_the_age_programs_open_the_repository() {
    let session = encrypted();
    let made = Command::new("age-keygen")
        .arg("-o")
        .arg(session.at("safe"))
        .output();
    let Ok(made) = made else {
        return br_testkit::skip("there is no age-keygen");
    };
    assert!(made.status.success());
    let printed = Command::new("age-keygen")
        .arg("-y")
        .arg(session.at("safe"))
        .output();
    let recipient = String::from_utf8(printed.unwrap().stdout).unwrap();
    let add = ["key", "add", "safe", "--recipient", recipient.trim()];
    with(&session, "first", &add).expect(0);
    with(&session, "safe", &["restore", "latest", "--target", "out"]).expect(0);
    // A secret key that is itself encrypted, here for a second one.
    let home = session.at("");
    let encrypt = "age-keygen -o second 2>/dev/null && age -e -i second -o safe.age safe";
    let encrypted = Command::new("sh")
        .args(["-c", encrypt])
        .current_dir(&home)
        .status();
    assert!(encrypted.unwrap().success());
    let command = "age --decrypt -i second safe.age";
    let list = session.br.run(["list", "--password-command", command]);
    list.expect(0);
    // The program of the format reads what the slot wraps.
    let keys = session.json(["key", "list"]);
    let id = keys["keys"][1]["id"].as_str().unwrap().to_owned();
    let slot = fs::read(session.at("repository").join("keys").join(id)).unwrap();
    let slot: serde_json::Value = serde_json::from_slice(&slot).unwrap();
    let wrapped = slot["wrapped"].as_str().unwrap().as_bytes();
    let bytes = wrapped
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    fs::write(session.at("wrapped"), bytes.collect::<Vec<u8>>()).unwrap();
    let opened = Command::new("age")
        .args(["-d", "-i", "safe", "wrapped"])
        .current_dir(&home)
        .output();
    assert_eq!(
        opened.unwrap().stdout.len(),
        32 + 32 + 32,
        "a master key and two digests"
    );
}

#[test]
fn file_of_age_keygen_opens_the_repository_in_place_of_a_password() {
    let session = encrypted();
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let add = ["key", "add", "safe", "--recipient", recipient];
    with(&session, "first", &add).expect(0);
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let file = format!("# created: 2026-01-01T00:00:00Z\n# public key: {recipient}\n{secret}\n");
    session.write_secret("safe", &file);
    session.write_secret("bare", format!("{secret}\n"));
    for file in ["safe", "bare"] {
        let to = format!("out-{file}");
        with(&session, file, &["restore", "latest", "--target", &to]).expect(0);
        let list = with(&session, file, &["key", "list"]).expect(0);
        assert!(
            list.stdout.contains(&format!("in use, for {recipient}")),
            "{list}"
        );
        assert!(!list.stdout.contains("SECRET"), "{list}");
    }
    let refused = with(&session, "safe", &["backup", "docs", "--host", "h"]).expect(12);
    assert!(refused.stderr.contains("only reads"), "{refused}");
    let refused = with(&session, "safe", &["key", "rotate", "--yes"]).expect(12);
    assert!(refused.stderr.contains("only reads"), "{refused}");
    session.write_secret("both", format!("{secret}\n{secret}\n"));
    let refused = with(&session, "both", &["list"]).expect(12);
    assert!(refused.stderr.contains("more than one line"), "{refused}");
    session.write_secret("wrong", secret.replace("AEX", "AEY"));
    with(&session, "wrong", &["list"]).expect(12);
    for contradiction in [
        ["key", "add", "x", "--recipient", recipient, "--write-only"].to_vec(),
        [
            "key",
            "add",
            "x",
            "--recipient",
            recipient,
            "--generate",
            "f",
        ]
        .to_vec(),
        ["key", "add", "x", "--recipient", secret].to_vec(),
        ["key", "add", "x", "--recipient", recipient].to_vec(),
    ] {
        with(&session, "first", &contradiction).expect(2);
    }
    let refused = with(
        &session,
        "safe",
        &["key", "add", "new", "--generate", "new"],
    )
    .expect(12);
    assert!(refused.stderr.contains("only reads"), "{refused}");
    assert!(!session.at("new").exists());
    // After the loss of the password.
    session.write_secret("new", "a new password\n");
    let copy = [
        "copy",
        "--from",
        "repository",
        "--from-password-file",
        "safe",
        "--to",
        "rescued",
        "--init",
    ];
    with(&session, "new", &copy).expect(0);
    let restore = [
        "-r",
        "rescued",
        "restore",
        "latest",
        "--target",
        "out-rescued",
    ];
    with(&session, "new", &restore).expect(0);
}
