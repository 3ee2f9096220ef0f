//! `br config`, `br run`, and the effect of configuration files on other commands.

use std::os::unix::fs::PermissionsExt as _;

use super::{Session, json};

const MAIN: &str = r#"
[repositories.main]
location = "repository"
password = "file:one"

[repositories.offsite]
location = "second"
password = "command:echo two words"

[defaults]
repository = "main"

[backup]
exclude = ["*.tmp"]
compression = 7

[policies.standard]
keep-last = 2

[sets.docs]
paths = ["docs"]
copy-to = ["offsite"]
policy = "standard"
prune = true
host = "h"
"#;

/// A session whose repository is named by configuration files only.
fn session(text: &str) -> Session {
    let mut session = Session::new();
    session.br = session.br.clone().env("BR_REPOSITORY", "");
    session.write(".config/br/br.toml", text);
    session.write_secret("one", "first password\n");
    session.write("docs/x.tmp", "x");
    session
}

fn filled() -> Session {
    let session = session(MAIN);
    for name in ["main", "offsite"] {
        session.run(["-r", name, "init"]).expect(0);
    }
    session
}

fn paths(session: &Session, arguments: &[&str]) -> Vec<String> {
    let listed = session.br.run(arguments).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn names_select_repositories_with_their_passwords() {
    let session = filled();
    let encrypted = session.run(["list", "--json"]).expect(0);
    assert!(session.at("repository/br.json").exists(), "{encrypted}");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    assert!(!paths(&session, &["ls", "latest"]).contains(&"docs/x.tmp".to_owned()));
    session.run(["-r", "main", "check"]).expect(0);
    // The other repository has no backup yet.
    session.run(["-r", "offsite", "show", "latest"]).expect(2);
    session
        .run(["copy", "--from", "main", "--to", "offsite"])
        .expect(0);
    session.run(["-r", "offsite", "show", "latest"]).expect(0);
    let both = ["backup", "docs", "--host", "h", "--copy-to", "offsite"];
    session.run(both).expect(0);
    let listed = session.run(["-r", "offsite", "list", "--json"]).expect(0);
    assert_eq!(json(&listed.stdout)["backups"].as_array().unwrap().len(), 2);
    // A folder of the same name.
    let folder = session.run(["-r", "./main", "list"]).expect(10);
    assert!(folder.stderr.contains("main"), "{folder}");
}

#[test]
fn command_line_and_environment_take_precedence() {
    let session = filled();
    let typed = ["backup", "docs", "--host", "h", "--exclude", "a.txt"];
    session.run(typed).expect(0);
    let listed = paths(&session, &["ls", "latest"]);
    assert!(listed.contains(&"docs/x.tmp".to_owned()), "{listed:?}");
    assert!(!listed.contains(&"docs/a.txt".to_owned()), "{listed:?}");
    let offsite = session.br.clone().env("BR_REPOSITORY", "offsite");
    offsite.run(["show", "latest"]).expect(2);
    session.write_secret("wrong", "wrong\n");
    session.run(["list", "--password-file", "wrong"]).expect(12);
    let wrong = session.br.clone().env("BR_PASSWORD", "wrong");
    wrong.run(["list"]).expect(12);
    // Without the file, no repository is named.
    session.run(["--config", "/dev/null", "list"]).expect(2);
    session.write_secret("other.toml", "[defaults]\nrepository = \"./second\"\n");
    let other = session.br.clone().env("BR_CONFIG", "other.toml");
    let password = ["list", "--password-command", "echo two words"];
    other.run(password).expect(0);
}

#[test]
fn run_backs_up_sets_and_applies_their_policies() {
    let session = filled();
    for number in 0..4 {
        session.write("docs/a.txt", format!("version {number}"));
        session.run(["run"]).expect(0);
    }
    // A backup without the tag of the set stays.
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    session.run(["run", "docs"]).expect(0);
    for (name, expected) in [("main", 3), ("offsite", 2)] {
        let listed = session.run(["-r", name, "list", "--json"]).expect(0);
        let listed = json(&listed.stdout);
        assert_eq!(
            listed["backups"].as_array().unwrap().len(),
            expected,
            "{name}"
        );
    }
    let lines = paths(&session, &["run", "--dry-run"]);
    assert_eq!(
        lines,
        [
            "br --repo=main backup --compression=7 '--exclude=*.tmp' --host=h --tag=docs --copy-to=offsite -- docs",
            "br --repo=main forget --keep-last=2 --tag=docs --yes --prune",
            "br --repo=offsite forget --keep-last=2 --tag=docs --yes --prune",
        ]
    );
    session.run(["run", "other"]).expect(2);
    session.run(["-r", "main", "run"]).expect(2);
}

#[test]
fn set_that_fails_does_not_keep_others_from_their_backup() {
    let more = r#"
[repositories.gone]
location = "gone"

[sets.a]
paths = ["docs"]
repository = "gone"
policy = "standard"
"#;
    let session = session(&format!("{MAIN}{more}"));
    for name in ["main", "offsite"] {
        session.run(["-r", name, "init"]).expect(0);
    }
    let output = session.run(["run"]).expect(10);
    assert!(output.stderr.contains("set a: br --repo=gone"), "{output}");
    assert!(!output.stderr.contains("gone forget"), "{output}");
    session.run(["show", "latest"]).expect(0);
}

/// Files with a mistake: its line, a part of the message, and of the hint.
const MISTAKES: &[(&str, usize, &str, &str)] = &[
    (
        "[backup]\nexlude = [\"x\"]\n",
        2,
        "unknown key `exlude`",
        "`exclude`",
    ),
    ("[bakcup]\n", 1, "unknown section `bakcup`", "`backup`"),
    (
        "[backup]\ncompression = 99\n",
        2,
        "`compression` cannot be `99`",
        "compression",
    ),
    (
        "[backup]\nexclude-caches = \"yes\"\n",
        2,
        "true or false",
        "exclude-caches",
    ),
    (
        "[repositories.main]\npassword = \"hunter2\"\n",
        2,
        "no reference",
        "file:PATH",
    ),
    (
        "[repositories.main]\npassword = \"env:P\"\n",
        1,
        "has no location",
        "location",
    ),
    (
        "[sets.a]\npaths = [\"x\"]\npolicy = \"p\"\n",
        3,
        "[policies.p]",
        "add the section",
    ),
    ("[sets.a]\n", 1, "has no paths", "paths"),
    (
        "[sets.a]\npaths = [\"x\"]\n",
        1,
        "has no repository",
        "[defaults]",
    ),
    (
        "[defaults]\nrepository = \"mian\"\n",
        2,
        "[repositories.mian]",
        "./NAME",
    ),
    (
        "[backup]\ncopy-to = [\"gone\"]\n",
        2,
        "[repositories.gone]",
        "./NAME",
    ),
    (
        "[repositories.m]\nlocation = \"/r\"\n[defaults]\nrepository = \"m\"\n[backup]\ncopy-to = [\"m\"]\n",
        6,
        "[defaults]",
        "copy-to",
    ),
    (
        "[backup]\ndry-run = true\n",
        2,
        "unknown key `dry-run`",
        "remove it",
    ),
    (
        "[check]\nread-data = true\nread-data-subset = \"1%\"\n",
        3,
        "contradict",
        "remove one",
    ),
    (
        "[repositories.m]\nlocation = \"~/r\"\n",
        2,
        "does not replace",
        "whole path",
    ),
    (
        "[repositories.m]\nlocation = \"s3://user:hunter2@bucket/x\"\n",
        2,
        "has a key",
        "secret-access-key",
    ),
    (
        "[policies.p]\nkeep-daily = \"many\"\n",
        2,
        "keep-daily",
        "keep-daily",
    ),
    ("[backup]\nexclude = [\"a\"\n", 2, "", "syntax"),
];

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, line, message, hint) in MISTAKES {
        let session = session(text);
        let checked = session.run(["config", "check"]).expect(2);
        let place = format!("br.toml, line {line}: ");
        assert!(checked.stdout.contains(&place), "{text}: {checked}");
        assert!(checked.stdout.contains(*message), "{text}: {checked}");
        assert!(checked.stdout.contains(*hint), "{text}: {checked}");
        assert!(!checked.stdout.contains("hunter2"), "{checked}");
        // Every other command refuses the file, except those that do not need it.
        let refused = session.run(["-r", "repository", "list"]).expect(2);
        assert!(
            refused.stderr.contains("br.toml, line "),
            "{text}: {refused}"
        );
        assert!(!refused.stderr.contains("hunter2"), "{refused}");
        session.run(["completions", "bash"]).expect(0);
        let checked = session.run(["config", "check", "--json"]).expect(2);
        let checked = json(&checked.stdout);
        let mut mistakes = checked["mistakes"].as_array().unwrap().iter();
        assert!(
            mistakes.any(|mistake| mistake["line"] == *line),
            "{checked}"
        );
    }
}

#[test]
fn policies_and_sets_that_a_run_would_refuse_are_mistakes() {
    for (policy, message) in [
        ("min = 3", "no rule"),
        ("keep-daily = 0", "no rule"),
        ("keep-within = \"0d\"", "no rule"),
        ("keep-deleted = \"7d\"", "no rule"),
        ("keep-last = 1\ngroup-by = [\"host\", \"none\"]", "none"),
    ] {
        let session = session(&format!("[policies.p]\n{policy}\n"));
        let checked = session.run(["config", "check"]).expect(2);
        assert!(checked.stdout.contains("br.toml, line 2: policy `p`: "));
        assert!(checked.stdout.contains(message), "{checked}");
        let refused = session.run(["run"]).expect(2);
        assert!(refused.stderr.contains("br.toml, line 2: "), "{refused}");
        // Other commands do not use the policy.
        session.run(["-r", "repository", "list"]).expect(10);
    }
    let set = "[sets.s]\npaths = [\"x\"]\nrepository = \"/r\"\nbackup-type = \"full\"\nbase-id = \"latest\"\n";
    let session = session(set);
    let checked = session.run(["config", "check"]).expect(2);
    assert!(checked.stdout.contains("line 1: set `s`: "), "{checked}");
    session.run(["run"]).expect(2);
}

#[test]
fn a_run_ends_with_the_code_of_a_failure_even_if_files_were_missing_before() {
    let text = "[repositories.m]\nlocation = \"./r\"\n[defaults]\nrepository = \"m\"\n\
        [sets.a]\npaths = [\"docs\", \"nowhere\"]\n[sets.b]\npaths = [\"nowhere\"]\n";
    let session = session(text);
    session.run(["-r", "m", "init"]).expect(0);
    session.run(["run", "a"]).expect(3);
    session.run(["run", "a", "b"]).expect(2);
    session.run(["run"]).expect(2);
}

/// Symptom: `br -r offsit init` made an unencrypted repository in the current folder.
#[test]
fn a_mistyped_name_of_a_repository_is_refused() {
    let session = session("[repositories.offsite]\nlocation = \"./r\"\n");
    for command in [&["init"][..], &["list"], &["backup", "--init", "docs"]] {
        let refused = session
            .br
            .run(["-r", "offsit"].iter().chain(command))
            .expect(2);
        assert!(refused.stderr.contains("offsite"), "{refused}");
    }
    session.run(["-r", "./offsit", "init"]).expect(0);
    session.run(["-r", "offsit", "list"]).expect(0);
}

#[test]
fn secrets_that_are_missing_are_mistakes() {
    for (reference, message) in [
        ("file:nowhere", "cannot be read"),
        ("env:NOT_SET", "NOT_SET"),
        ("credential:br", "CREDENTIALS_DIRECTORY"),
    ] {
        let text = format!("[repositories.main]\nlocation = \"r\"\npassword = \"{reference}\"\n");
        let session = session(&text);
        let checked = session.run(["config", "check"]).expect(2);
        assert!(checked.stdout.contains(message), "{checked}");
        session.run(["-r", "main", "list"]).expect(12);
    }
    let text = "[repositories.main]\nlocation = \"r\"\npassword = \"credential:br\"\n";
    let session = session(text);
    session.write_secret("credentials/br", "third password\n");
    let folder = session.at("credentials");
    let br = session
        .br
        .clone()
        .env("CREDENTIALS_DIRECTORY", folder.to_str().unwrap());
    br.run(["config", "check"]).expect(0);
    br.run(["-r", "main", "init"]).expect(0);
    br.run(["-r", "main", "check"]).expect(0);
}

#[test]
fn storage_options_that_do_not_fit_the_location_are_mistakes() {
    for (location, setting, message) in [
        ("r", "endpoint = \"http://127.0.0.1:9\"", "is not in S3"),
        ("s3://bucket/folder", "access-key-id = \"key\"", "secret"),
        ("ftp://host/folder", "", "ftp"),
    ] {
        let text = format!("[repositories.main]\nlocation = \"{location}\"\n{setting}\n");
        let session = session(&text);
        let checked = session.run(["config", "check"]).expect(2);
        assert!(checked.stdout.contains(message), "{checked}");
        assert!(checked.stdout.contains("br.toml, line 2:"), "{checked}");
        let refused = session.run(["-r", "main", "list"]).expect(2);
        assert!(refused.stderr.contains(message), "{refused}");
    }
    let text = "[repositories.main]\nlocation = \"s3://bucket/folder\"\naccess-key-id = \"key\"\nsecret-access-key = \"env:KEY\"\n";
    let session = session(text);
    let br = session.br.clone().env("KEY", "secret");
    br.run(["config", "check"]).expect(0);
}

/// Symptom: a default that excludes a typed option took its place, and the command did less than was typed.
#[test]
fn typed_option_switches_off_defaults_that_contradict_it() {
    let text = format!("{MAIN}\n[check]\nread-data-subset = \"1%\"\n");
    let session = session(&text);
    session.run(["init"]).expect(0);
    for number in 0..3 {
        session.write("docs/a.txt", format!("version {number}"));
        session.run(["backup", "docs"]).expect(0);
    }
    let checked = session.run(["check", "--read-data", "--json"]).expect(0);
    let checked = json(&checked.stdout);
    assert_eq!(checked["packs_read"], checked["packs"], "{checked}");
}

/// Symptom: `br run` backed up into the repository of BR_REPOSITORY, and deleted backups there.
#[test]
fn run_uses_only_the_repositories_and_passwords_of_its_sets() {
    let session = filled();
    session
        .run(["--config", "/dev/null", "-r", "other", "init"])
        .expect(0);
    let br = session.br.clone().env("BR_REPOSITORY", "other");
    let br = br.env("BR_PASSWORD", "first password");
    br.run(["run"]).expect(0);
    assert!(!session.at("other/manifests").exists());
    for name in ["main", "offsite"] {
        session.run(["-r", name, "show", "latest"]).expect(0);
    }
}

#[test]
fn setting_of_a_set_replaces_that_of_the_command() {
    let text = MAIN.replace("host = \"h\"", "host = \"h\"\nexclude = []");
    let session = session(&text);
    for name in ["main", "offsite"] {
        session.run(["-r", name, "init"]).expect(0);
    }
    session.run(["run"]).expect(0);
    assert!(paths(&session, &["ls", "latest"]).contains(&"docs/x.tmp".to_owned()));
}

#[test]
fn repository_without_a_password_gets_backups_of_an_encrypted_one_only_if_its_section_says_so() {
    for (password, expected) in [("", 3), ("password = \"none\"\n", 0)] {
        let text = format!("{MAIN}\n[repositories.plain]\nlocation = \"plain\"\n{password}");
        let session = session(&text.replace("copy-to = [\"offsite\"]", "copy-to = [\"plain\"]"));
        session.run(["-r", "main", "init"]).expect(0);
        session
            .run(["--config", "/dev/null", "-r", "plain", "init"])
            .expect(0);
        let output = session.run(["run"]);
        assert_eq!(output.code, Some(expected), "{password}: {output}");
    }
}

#[test]
fn file_that_is_no_regular_file_is_refused_at_once() {
    let session = session(MAIN);
    let file = session.at(".config/br/br.toml");
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    for arguments in [
        &["list"][..],
        &["config", "check"],
        &["--config", "/dev/zero", "list"],
    ] {
        let refused = session.br.run(arguments).expect(2);
        let text = format!("{}{}", refused.stdout, refused.stderr);
        assert!(text.contains("not a regular file"), "{refused}");
    }
}

#[test]
fn file_that_others_can_change_is_refused() {
    let session = session(MAIN);
    let file = session.at(".config/br/br.toml");
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&file, mode).unwrap();
    let refused = session.run(["list"]).expect(2);
    assert!(refused.stderr.contains("other users can"), "{refused}");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    session.run(["config", "check"]).expect(0);
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(file.parent().unwrap(), mode).unwrap();
    session.run(["list"]).expect(2);
}

#[test]
fn show_names_the_place_of_every_setting() {
    let session = session(MAIN);
    let shown = session.run(["config", "show"]).expect(0);
    assert!(shown.stdout.contains("[repositories.main]"), "{shown}");
    assert!(shown.stdout.contains("br.toml, line 14"), "{shown}");
    let shown = session.run(["config", "show", "--json"]).expect(0);
    let shown = json(&shown.stdout);
    let settings = shown["settings"].as_array().unwrap();
    let exclude = settings.iter().find(|one| one["key"] == "exclude").unwrap();
    assert_eq!(exclude["section"], "backup");
    assert_eq!(exclude["value"][0], "*.tmp");
    assert_eq!(exclude["line"], 14);
}

#[test]
fn mo_br_reads_no_configuration_file() {
    let session = session("[backup]\nnonsense = 1\n");
    session.run(["mo-br", "list"]).expect(10);
    session.run(["list"]).expect(2);
}

/// A prune of a set keeps the same data as `br prune` does.
#[test]
fn run_prunes_with_keep_deleted_of_policy_or_of_prune() {
    for (in_policy, in_prune, is_kept) in [
        ("", "", false),
        ("keep-deleted = \"14d\"", "", true),
        ("", "keep-deleted = \"14d\"", true),
        ("keep-deleted = \"0\"", "keep-deleted = \"14d\"", false),
    ] {
        let session = session(&format!(
            "[repositories.main]\nlocation = \"./main\"\n[defaults]\nrepository = \"main\"\n\
             [prune]\n{in_prune}\n[policies.short]\nkeep-last = 1\n{in_policy}\n\
             [sets.docs]\npaths = [\"docs\"]\npolicy = \"short\"\nprune = true\nhost = \"h\"\n"
        ));
        session.run(["init"]).expect(0);
        session.run(["run"]).expect(0);
        let first = session.ids()[0].clone();
        session.write("docs/a.txt", "changed\n");
        session.run(["run"]).expect(0);
        assert_eq!(session.ids().len(), 1);
        let code = session.run(["undelete", &first]).code;
        assert_eq!(code == Some(0), is_kept, "{in_policy:?} {in_prune:?}");
    }
}
