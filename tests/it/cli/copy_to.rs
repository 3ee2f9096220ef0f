//! `br backup --copy-to`.

use super::{Session, json};

const BACKUP: [&str; 4] = ["backup", "docs", "--host", "h"];

impl Session {
    fn with_docs() -> Self {
        let session = Self::new();
        session.write("docs/a.txt", "hello\n");
        session
    }

    fn copies(&self, repository: &str) -> Vec<serde_json::Value> {
        let list = self
            .br
            .clone()
            .env("BR_REPOSITORY", repository)
            .run(["list", "--json"])
            .expect(0);
        json(&list.stdout)["backups"].as_array().unwrap().clone()
    }

    fn assert_restores(&self, repository: &str) {
        let br = self.br.clone().env("BR_REPOSITORY", repository);
        let target = format!("out-{repository}");
        br.run(["restore", "latest", "--target", &target]).expect(0);
        let restored = std::fs::read_to_string(self.at(&format!("{target}/docs/a.txt"))).unwrap();
        assert_eq!(restored, "hello\n", "{repository}");
        br.run(["check", "--read-data"]).expect(0);
    }
}

#[test]
fn every_repository_gets_the_backup() {
    let session = Session::with_docs();
    let to = ["--init", "--copy-to", "second", "--copy-to", "third"];
    let first = session.br.run(BACKUP.iter().chain(&to)).expect(0);
    assert!(first.stdout.contains("copied to"), "{first}");
    let again = session.br.run(BACKUP.iter().chain(&to).chain(&["--json"]));
    let again = json(&again.expect(0).stdout);
    let copies = again["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 2, "{again}");
    for (copy, repository) in copies.iter().zip(["second", "third"]) {
        let listed = session.copies(repository);
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1]["id"], copy["backup"]);
        assert_eq!(listed[1]["copy_of"], again["backup"]["id"]);
        session.assert_restores(repository);
    }
}

#[test]
fn repository_that_fails_does_not_keep_others_from_the_backup() {
    for broken in ["repository", "second", "third"] {
        let session = Session::with_docs();
        let all = ["repository", "second", "third"];
        for repository in all {
            let br = session.br.clone().env("BR_REPOSITORY", repository);
            br.run(["init"]).expect(0);
        }
        // As a disk that is not mounted.
        std::fs::rename(session.at(broken), session.at("elsewhere")).unwrap();
        let to = ["--copy-to", "second", "--copy-to", "third"];
        let partly = session.br.run(BACKUP.iter().chain(&to)).expect(3);
        assert!(partly.stderr.contains("did not get the backup"), "{partly}");
        assert!(partly.stderr.contains("br copy --from"), "{partly}");
        std::fs::rename(session.at("elsewhere"), session.at(broken)).unwrap();
        for repository in all {
            let expected = usize::from(repository != broken);
            assert_eq!(session.copies(repository).len(), expected, "{broken}");
        }
        // The hint works.
        let from = all.into_iter().find(|one| *one != broken).unwrap();
        session
            .br
            .run(["copy", "--from", from, "--to", broken])
            .expect(0);
        assert_eq!(session.copies(broken).len(), 1, "{broken}");
        session.br.run(BACKUP.iter().chain(&to)).expect(0);
        for repository in all {
            session.assert_restores(repository);
        }
    }
}

#[test]
fn repositories_have_the_same_password_or_their_own() {
    let session = Session::with_docs();
    session.write_secret("one", "first password\n");
    session.write_secret("two", "second password\n");
    let with = ["--init", "--password-file", "one", "--copy-to", "second"];
    session.br.run(BACKUP.iter().chain(&with)).expect(0);
    let second = session.br.clone().env("BR_REPOSITORY", "second");
    second.run(["check", "--password-file", "one"]).expect(0);
    let own = [
        "--init",
        "--password-file",
        "one",
        "--copy-to",
        "third",
        "--copy-to-password-file",
        "two",
    ];
    session.br.run(BACKUP.iter().chain(&own)).expect(0);
    let third = session.br.clone().env("BR_REPOSITORY", "third");
    third.run(["check", "--password-file", "two"]).expect(0);
    third.run(["check", "--password-file", "one"]).expect(12);
}

#[test]
fn repository_that_is_not_encrypted_gets_the_backup_only_on_purpose() {
    let session = Session::with_docs();
    session.write_secret("one", "first password\n");
    session.run(["init", "--password-file", "one"]).expect(0);
    let plain = session.br.clone().env("BR_REPOSITORY", "plain");
    plain.run(["init"]).expect(0);
    let to = ["--password-file", "one", "--copy-to", "plain"];
    let own = ["--copy-to-password-file", "one"];
    for options in [&[][..], &own] {
        let refused = session.br.run(BACKUP.iter().chain(&to).chain(options));
        let refused = refused.expect(3);
        assert!(refused.stderr.contains("not encrypted"), "{refused}");
        assert!(
            refused.stderr.contains("--copy-to-no-password"),
            "{refused}"
        );
        assert!(session.copies("plain").is_empty());
    }
    let on_purpose = ["--copy-to-no-password"];
    let all = BACKUP.iter().chain(&to).chain(&on_purpose);
    session.br.run(all).expect(0);
    // Also the two backups that it missed before.
    assert_eq!(session.copies("plain").len(), 3);
}

fn damage(session: &Session, repository: &str) {
    for pack in super::files_below(&session.at(&format!("{repository}/packs"))) {
        session.damage(&pack);
    }
}

impl Session {
    /// Two repositories with the same backup of a file that is stored in packs.
    fn with_two() -> (Self, Vec<&'static str>) {
        let session = Self::with_docs();
        let large: String = (0..20_000).map(|line| format!("line {line}\n")).collect();
        session.write("docs/large", &large);
        let to = ["--copy-to", "second"];
        let all: Vec<&str> = BACKUP.into_iter().chain(to).collect();
        session.br.run(all.iter().chain(&["--init"])).expect(0);
        (session, all)
    }
}

#[test]
fn existing_data_of_every_repository_is_verified() {
    for damaged in ["repository", "second"] {
        let (session, all) = Session::with_two();
        damage(&session, damaged);
        session
            .br
            .run(all.iter().chain(&["--verify-known"]))
            .expect(0);
        for repository in ["repository", "second"] {
            session.assert_restores(repository);
        }
    }
}

#[test]
fn damage_of_the_first_repository_does_not_keep_others_from_the_backup() {
    let (session, _) = Session::with_two();
    damage(&session, "repository");
    // A repository that has no data yet.
    let to = ["--copy-to", "third", "--init"];
    let backup = session.br.run(BACKUP.iter().chain(&to)).expect(3);
    assert!(backup.stderr.contains("reads the files again"), "{backup}");
    assert!(backup.stderr.contains("repository is damaged"), "{backup}");
    session.assert_restores("third");
    let listed = session.copies("third");
    assert_eq!(listed.len(), 1);
    assert!(listed[0]["copy_of"].is_null(), "{}", listed[0]);
}

#[test]
fn dry_run_opens_every_repository() {
    let session = Session::with_docs();
    session.run(["init"]).expect(0);
    let to = ["--dry-run", "--copy-to", "second"];
    let missing = session.br.run(BACKUP.iter().chain(&to)).expect(3);
    assert!(missing.stderr.contains("did not get"), "{missing}");
    let with_init = BACKUP.iter().chain(&to).chain(&["--init"]);
    let would = session.br.run(with_init).expect(0);
    assert!(would.stdout.contains("would copy to"), "{would}");
    assert!(!session.at("second").exists());
}

#[test]
fn repositories_in_the_backed_up_folder_are_left_out() {
    let session = Session::with_docs();
    let to = ["--init", "--copy-to", "docs/second"];
    session.br.run(BACKUP.iter().chain(&to)).expect(0);
    session.br.run(BACKUP.iter().chain(&to)).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(listed.contains("docs/a.txt"), "{listed}");
    assert!(!listed.contains("second"), "{listed}");
}

#[test]
fn mistakes_are_explained() {
    let session = Session::with_docs();
    session.run(["init"]).expect(0);
    std::os::unix::fs::symlink("repository", session.at("link")).unwrap();
    let url = format!("file://{}", session.at("repository").display());
    for name in ["repository", "./repository", "link", &url] {
        let twice = session.br.run(BACKUP.iter().chain(&["--copy-to", name]));
        assert!(twice.expect(2).stderr.contains("named twice"), "{name}");
    }
    let files = session.at("repository");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(&files)
        .arg(session.at("rsynced"))
        .status();
    assert!(copied.unwrap().success());
    let same = session
        .br
        .run(BACKUP.iter().chain(&["--copy-to", "rsynced"]));
    assert!(same.expect(3).stderr.contains("same repository"));
    let without = ["--copy-to-password-file", "x"];
    session.br.run(BACKUP.iter().chain(&without)).expect(2);
    let dry = ["--dry-run", "--copy-to", "second", "--init"];
    session.br.run(BACKUP.iter().chain(&dry)).expect(0);
    assert!(!session.at("second").exists());
}

#[test]
fn standard_input_goes_into_every_repository() {
    let session = Session::with_docs();
    for repository in ["repository", "second"] {
        let br = session.br.clone().env("BR_REPOSITORY", repository);
        br.run(["init"]).expect(0);
    }
    let backup = [
        "backup",
        "--stdin",
        "--stdin-name",
        "docs/a.txt",
        "--copy-to",
        "second",
    ];
    session.br.run_with_input(backup, b"hello\n").expect(0);
    session.assert_restores("second");
}

#[test]
fn second_repository_option_of_backup_names_a_copy() {
    let session = Session::with_docs();
    for (number, line) in [
        &["-r", "first", "backup", "-r", "second", "docs", "--init"][..],
        &["backup", "-rfirst", "docs", "--repo=second", "--host", "h"],
        &[
            "-r", "first", "--repo", "second", "backup", "docs", "--host", "h",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        session.br.run(line).expect(0);
        for repository in ["first", "second"] {
            assert_eq!(session.copies(repository).len(), number + 1, "{line:?}");
        }
    }
    assert!(
        !session.at("repository").exists(),
        "-r replaces the variable"
    );
    session.assert_restores("second");
    let three = ["-r", "first", "-r", "second", "--copy-to", "third"];
    session
        .br
        .run(BACKUP.iter().chain(&three).chain(&["--init"]))
        .expect(0);
    session.assert_restores("third");
}

#[test]
fn named_repositories_of_backup_have_their_own_passwords() {
    let session = Session::with_docs();
    session.write_secret("one", "first password\n");
    session.write_secret("two", "second password\n");
    session.write(
        "br.toml",
        "[repositories.main]\nlocation = \"first\"\npassword = \"file:one\"\n\
         [repositories.offsite]\nlocation = \"second\"\npassword = \"file:two\"\n\
         [backup]\ncopy-to = [\"third\"]\n[repositories.third]\nlocation = \"third\"\n",
    );
    let config = ["--config", "br.toml"];
    let to = ["-r", "main", "-r", "offsite", "--init"];
    session
        .br
        .run(config.iter().chain(&BACKUP).chain(&to))
        .expect(0);
    for (name, password) in [("first", "one"), ("second", "two")] {
        let br = session.br.clone().env("BR_REPOSITORY", name);
        br.run(["check", "--password-file", password]).expect(0);
    }
    assert!(
        !session.at("third").exists(),
        "typed ones replace the list of the file"
    );
    let given = [
        "-r",
        "main",
        "-r",
        "./fourth",
        "--copy-to-password-file",
        "two",
        "--init",
    ];
    session
        .br
        .run(config.iter().chain(&BACKUP).chain(&given))
        .expect(0);
    let fourth = session.br.clone().env("BR_REPOSITORY", "./fourth");
    fourth.run(["check", "--password-file", "two"]).expect(0);
}

#[test]
fn other_commands_refuse_a_second_repository() {
    let session = Session::with_docs();
    for line in [
        &["list", "-r", "first", "-r", "second"][..],
        &["-r", "first", "list", "-r", "second"],
        &["-r", "first", "init", "-r", "second"],
    ] {
        let refused = session.br.run(line).expect(2);
        assert!(refused.stderr.contains("one repository"), "{refused}");
    }
    session
        .br
        .run(["-r", "first", "init", "-r", "first"])
        .expect(0);
}

#[test]
fn next_backup_copies_what_a_failed_repository_missed() {
    for broken in ["repository", "second"] {
        let session = Session::with_docs();
        let to = ["--copy-to", "second"];
        let all: Vec<&str> = BACKUP.into_iter().chain(to).collect();
        session.br.run(BACKUP).expect(10);
        session.br.run(["init"]).expect(0);
        // Made before the second repository exists: it never gets this one.
        session.br.run(BACKUP).expect(0);
        session.br.run(all.iter().chain(&["--init"])).expect(0);
        std::fs::rename(session.at(broken), session.at("elsewhere")).unwrap();
        for text in ["second\n", "third\n"] {
            session.write("docs/b.txt", text);
            session.br.run(&all).expect(3);
        }
        std::fs::rename(session.at("elsewhere"), session.at(broken)).unwrap();
        session.write("docs/b.txt", "fourth\n");
        let caught_up = session.br.run(&all).expect(0);
        assert!(caught_up.stdout.contains("caught up"), "{caught_up}");
        let sums = |repository: &str| -> Vec<u64> {
            let listed = session.copies(repository);
            listed
                .iter()
                .map(|one| one["bytes"].as_u64().unwrap())
                .collect()
        };
        assert_eq!(sums("second").len(), 4, "{broken}");
        assert_eq!(
            sums("repository")[1..],
            sums("second"),
            "{broken}: the order is the same"
        );
        session.br.run(&all).expect(0);
        assert_eq!(sums("repository")[1..], sums("second"), "{broken}");
        session.assert_restores("repository");
        session.assert_restores("second");
    }
}

#[test]
fn next_backup_copies_what_each_repository_missed_after_both_failed_in_turn() {
    let session = Session::with_docs();
    let to = ["--copy-to", "second", "--init"];
    let all: Vec<&str> = BACKUP.into_iter().chain(to).collect();
    session.br.run(&all).expect(0);
    for (broken, text) in [("second", "second\n"), ("repository", "third run\n")] {
        std::fs::rename(session.at(broken), session.at("elsewhere")).unwrap();
        session.write("docs/b.txt", text);
        session.br.run(&all[..all.len() - 1]).expect(3);
        std::fs::rename(session.at("elsewhere"), session.at(broken)).unwrap();
    }
    let forgotten = ["delete", "latest", "--yes"];
    session.write("docs/b.txt", "the fourth run\n");
    session.br.run(&all).expect(0);
    let sizes = |repository: &str| -> Vec<u64> {
        let listed = session.copies(repository);
        let sizes = listed.iter().map(|one| one["bytes"].as_u64().unwrap());
        sizes.collect()
    };
    let (first, second) = (sizes("repository"), sizes("second"));
    assert_eq!(first.len(), 4, "{first:?} {second:?}");
    assert_eq!(second.len(), 4, "{first:?} {second:?}");
    assert_eq!(first.last(), second.last(), "the newest is the same");
    session.br.run(forgotten).expect(0);
    session.br.run(&all).expect(0);
    assert_eq!(
        sizes("repository").len(),
        4,
        "the deleted one stays deleted"
    );
    session.assert_restores("repository");
    session.assert_restores("second");
}

/// Symptom: the first repository had deleted every backup that both had, and the others were never copied.
#[test]
fn next_backup_copies_what_a_repository_missed_although_retention_left_no_common_backup() {
    let session = Session::with_docs();
    let to = ["--copy-to", "second", "--init"];
    let all: Vec<&str> = BACKUP.into_iter().chain(to).collect();
    session.br.run(&all).expect(0);
    std::fs::rename(session.at("second"), session.at("elsewhere")).unwrap();
    for text in ["second run", "the third run", "the run that is the fourth"] {
        session.write("docs/b.txt", text);
        session.br.run(&all[..all.len() - 1]).expect(3);
    }
    session.br.run(["forget", "--keep-last", "3"]).expect(0);
    assert_eq!(session.copies("repository").len(), 3);
    std::fs::rename(session.at("elsewhere"), session.at("second")).unwrap();
    session.br.run(&all).expect(0);
    assert_eq!(session.copies("second").len(), 5);
    session.assert_restores("second");
    session.br.run(&all).expect(0);
    assert_eq!(
        session.copies("repository").len(),
        5,
        "the deleted one stays deleted"
    );
}

#[test]
fn backup_deleted_in_the_copy_does_not_return() {
    let session = Session::with_docs();
    let to = ["--copy-to", "second"];
    let all: Vec<&str> = BACKUP.into_iter().chain(to).collect();
    session.br.run(all.iter().chain(&["--init"])).expect(0);
    session.br.run(&all).expect(0);
    let second = session.br.clone().env("BR_REPOSITORY", "second");
    second.run(["delete", "latest", "--yes"]).expect(0);
    session.br.run(&all).expect(0);
    assert_eq!(session.copies("second").len(), 2);
    assert_eq!(session.copies("repository").len(), 3);
}

#[test]
fn empty_repository_catches_up_since_it_was_created() {
    let session = Session::with_docs();
    session.br.run(["init"]).expect(0);
    session.br.run(BACKUP).expect(0);
    let second = session.br.clone().env("BR_REPOSITORY", "second");
    second.run(["init"]).expect(0);
    std::fs::rename(session.at("second"), session.at("elsewhere")).unwrap();
    let to = ["--copy-to", "second"];
    session.br.run(BACKUP.iter().chain(&to)).expect(3);
    std::fs::rename(session.at("elsewhere"), session.at("second")).unwrap();
    session.br.run(BACKUP.iter().chain(&to)).expect(0);
    assert_eq!(session.copies("second").len(), 2);
}

#[test]
fn repository_without_its_password_does_not_keep_others_from_the_backup() {
    let session = Session::with_docs();
    for name in ["one", "two"] {
        session.write_secret(&format!("{name}.password"), format!("{name}\n"));
        let init = [
            "-r",
            name,
            "--password-file",
            &format!("{name}.password"),
            "init",
        ];
        session.br.run(init).expect(0);
    }
    let config = "[repositories.one]\nlocation = 'one'\npassword = 'file:one.password'\n\
                  [repositories.two]\nlocation = 'two'\npassword = 'file:two.password'\n\
                  [sets.docs]\nrepository = 'one'\ncopy-to = 'two'\npaths = 'docs'\n";
    session.write("br.toml", config);
    let run = ["--config", "br.toml", "run"];
    let count = |name: &str| {
        let file = format!("{name}.kept");
        let file = if session.at(&file).exists() {
            file
        } else {
            format!("{name}.password")
        };
        let list = ["-r", name, "--password-file", &file, "list", "--json"];
        let list = json(&session.br.run(list).expect(0).stdout);
        list["backups"].as_array().unwrap().len()
    };
    for (missing, other) in [("two", "one"), ("one", "two")] {
        let (file, kept) = (format!("{missing}.password"), format!("{missing}.kept"));
        std::fs::rename(session.at(&file), session.at(&kept)).unwrap();
        let before = (count(missing), count(other));
        let output = session.br.run(run).expect(3);
        assert!(output.stderr.contains("did not get the backup"), "{output}");
        assert!(output.stderr.contains(&file), "{output}");
        assert_eq!(
            (count(missing), count(other)),
            (before.0, before.1 + 1),
            "{missing}"
        );
        std::fs::rename(session.at(&kept), session.at(&file)).unwrap();
        session.br.run(run).expect(0);
        assert_eq!(count(missing), count(other), "the next run catches up");
    }
    let typed = [
        "backup",
        "docs",
        "-r",
        "one",
        "-r",
        "two",
        "--password-file",
        "one.password",
    ];
    let typed = [&typed[..], &["--copy-to-password-file", "none"]].concat();
    let before = count("one");
    session.br.run(typed).expect(3);
    assert_eq!(count("one"), before + 1);
}
