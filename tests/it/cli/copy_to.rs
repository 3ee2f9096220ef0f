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
    // A repository without encryption needs no password, if it was created so on purpose.
    let plain = session.br.clone().env("BR_REPOSITORY", "plain");
    plain.run(["init"]).expect(0);
    let to = ["--password-file", "one", "--copy-to", "plain"];
    session.br.run(BACKUP.iter().chain(&to)).expect(0);
    assert_eq!(session.copies("plain").len(), 1);
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
    let twice = session
        .br
        .run(BACKUP.iter().chain(&["--copy-to", "repository"]));
    assert!(twice.expect(2).stderr.contains("named twice"));
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
