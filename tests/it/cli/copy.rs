//! `br copy`.

use super::{Session, files_below, json};

impl Session {
    /// Runs br for the repository `copy`.
    fn on_copy<const N: usize>(&self, arguments: [&str; N]) -> br_testkit::BrOutput {
        self.br.clone().env("BR_REPOSITORY", "copy").run(arguments)
    }
}

#[test]
fn backups_are_copied_and_restored() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    let from = ["copy", "--from", "repository", "--init"];
    let output = session.on_copy(from).expect(0);
    assert!(
        output.stdout.contains(&format!("copied {}", ids[0])),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("2 backups"), "{}", output.stdout);
    let list = json(&session.on_copy(["list", "--json"]).expect(0).stdout);
    let backups = list["backups"].as_array().unwrap();
    let originals: Vec<_> = backups
        .iter()
        .map(|one| one["copy_of"].as_str().unwrap())
        .collect();
    assert_eq!(originals, ids);
    assert_eq!(backups[0]["tags"][0], "first");
    session
        .on_copy(["restore", &ids[0], "--target", "out"])
        .expect(0);
    let restored = std::fs::read_to_string(session.at("out/docs/a.txt")).unwrap();
    assert_eq!(restored, "hello\n");
    let show = session.on_copy(["show", &ids[1]]).expect(0);
    assert!(show.stdout.contains(&ids[1]), "{}", show.stdout);
    session.on_copy(["check", "--read-data"]).expect(0);
    let again = session.on_copy(["copy", "--from", "repository"]).expect(0);
    assert!(
        again.stdout.contains("2 backups already"),
        "{}",
        again.stdout
    );
}

#[test]
fn dry_run_shows_what_would_be_copied() {
    let session = Session::with_two_backups();
    let run = [
        "copy",
        "--from",
        "repository",
        "--init",
        "--dry-run",
        "--json",
    ];
    let plan = json(&session.on_copy(run).expect(0).stdout);
    assert_eq!(plan["copied"].as_array().unwrap().len(), 2);
    assert!(plan["copied"][0]["bytes_new"].as_u64().unwrap() >= 50_000);
    assert_eq!(plan["bytes_stored"], 0);
    assert!(!session.at("copy").exists());
    let text = session
        .on_copy(["copy", "--from", "repository", "--init", "-n", "latest"])
        .expect(0);
    assert!(text.stdout.contains("would copy"), "{}", text.stdout);
    assert!(text.stdout.contains("1 backup"), "{}", text.stdout);
}

#[test]
fn each_repository_has_its_own_password() {
    let session = Session::new();
    session.write_secret("one", "first password\n");
    session.write_secret("two", "second password\n");
    let backup = ["backup", "--init", "docs", "--password-file", "one"];
    session.run(backup).expect(0);
    let copy = |source: &str, target: &str| {
        session.run([
            "copy",
            "--from",
            "repository",
            "--to",
            "copy",
            "--init",
            "--from-password-file",
            source,
            "--password-file",
            target,
        ])
    };
    let wrong = copy("two", "two").expect(12);
    assert!(
        wrong.stderr.contains("--from-password-file"),
        "{}",
        wrong.stderr
    );
    copy("one", "two").expect(0);
    let list = ["list", "--password-file", "two", "--json"];
    let list = json(&session.on_copy(list).expect(0).stdout);
    assert_eq!(list["backups"].as_array().unwrap().len(), 1);
    let missing = session.run([
        "copy",
        "--from",
        "repository",
        "--to",
        "copy",
        "--password-file",
        "two",
    ]);
    let missing = missing.expect(12);
    assert!(
        missing.stderr.contains("BR_FROM_PASSWORD"),
        "{}",
        missing.stderr
    );
    let by_variable = session.br.clone().env("BR_FROM_PASSWORD", "first password");
    by_variable
        .run([
            "copy",
            "--from",
            "repository",
            "--to",
            "copy",
            "--password-file",
            "two",
        ])
        .expect(0);
    let by_command = [
        "copy",
        "--from",
        "repository",
        "--to",
        "copy",
        "--password-file",
        "two",
        "--from-password-command",
        "cat one",
    ];
    session.run(by_command).expect(0);
}

#[test]
fn encrypted_source_needs_a_password_for_a_new_repository() {
    let session = Session::new();
    session.write_secret("first", "open sesame\n");
    for arguments in [&["init"][..], &["backup", "docs", "--host", "h"]] {
        session
            .br
            .run(arguments.iter().chain(&["--password-file", "first"]))
            .expect(0);
    }
    let from = ["copy", "--from", "repository", "--init"];
    let from_password = ["--from-password-file", "first"];
    let copy = session.br.clone().env("BR_REPOSITORY", "copy");
    let refused = copy.run(from.iter().chain(&from_password)).expect(2);
    assert!(refused.stderr.contains("would not be"), "{refused}");
    assert!(!session.at("copy").exists());
    let to_password = ["--password-file", "first"];
    let with_both = from.iter().chain(&from_password).chain(&to_password);
    copy.run(with_both).expect(0);
    // A repository without encryption must be created on purpose.
    let plain = session.br.clone().env("BR_REPOSITORY", "plain");
    plain.run(["init"]).expect(0);
    plain.run(from.iter().chain(&from_password)).expect(0);
}

#[test]
fn mistakes_are_explained() {
    let session = Session::with_backup();
    let same = session.run(["copy", "--from", "repository"]).expect(2);
    assert!(
        same.stderr.contains("the same repository"),
        "{}",
        same.stderr
    );
    session.run(["copy", "--from", "nowhere"]).expect(10);
    let both = session.run(["-r", "a", "copy", "--from", "repository", "--to", "b"]);
    assert!(both.expect(2).stderr.contains("--to"));
    let lost = session.on_copy(["copy", "--from", "repository"]).expect(10);
    assert!(
        lost.stderr.contains("--init") || lost.stderr.contains("init"),
        "{}",
        lost.stderr
    );
}

#[test]
fn damaged_backup_ends_with_partial_success() {
    let session = Session::with_backup();
    let packs = session.at("repository/packs");
    let mut packs: Vec<_> = files_below(&packs);
    packs.sort_by_key(|pack| std::fs::metadata(pack).unwrap().len());
    let data = packs.pop().unwrap();
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[30_000] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    session.write("docs/a.txt", "other\n");
    std::fs::remove_file(session.at("docs/sub/b.bin")).unwrap();
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    let output = session
        .on_copy(["copy", "--from", "repository", "--init", "--json"])
        .expect(3);
    let report = json(&output.stdout);
    assert_eq!(report["copied"].as_array().unwrap().len(), 1);
    assert_eq!(report["damaged"][0]["first"][0]["path"], "docs/sub/b.bin");
    let text = session.on_copy(["copy", "--from", "repository"]).expect(3);
    assert!(text.stderr.contains("was not copied"), "{}", text.stderr);
}

#[test]
fn deleted_backup_is_copied_only_by_its_id() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session
        .on_copy(["copy", "--from", "repository", "--init"])
        .expect(0);
    session.on_copy(["delete", &ids[0], "--yes"]).expect(0);
    let skipped = session.on_copy(["copy", "--from", "repository"]).expect(0);
    assert!(skipped.stderr.contains("name its id"), "{}", skipped.stderr);
    let named = session
        .on_copy(["copy", "--from", "repository", &ids[0]])
        .expect(0);
    assert!(named.stdout.contains("1 backup"), "{}", named.stdout);
}
