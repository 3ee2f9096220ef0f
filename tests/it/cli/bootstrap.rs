//! `br bootstrap`: from a lost machine to the next backup of a new one.

use std::fs;

use super::{Session, json};

const CONFIG: &str = r#"# The comment stays.
[repositories.main]
location = "repository"
password = "file:one"

[repositories.cloud]
location = "s3://bucket/x"
proxy = "http://user:hunter2@127.0.0.1:1"

[repositories.offsite]
location = "second"
password = "command:echo two words"

[defaults]
repository = "main"

[sets.docs]
paths = ["docs"]
copy-to = ["offsite"]
host = "web1"
"#;

const FILE: &str = ".config/br/br.toml";

/// A machine whose set was backed up once.
fn machine() -> Session {
    let mut session = Session::new();
    session.br = session.br.clone().env("BR_REPOSITORY", "");
    session.write(FILE, CONFIG);
    session.write_secret("one", "first password\n");
    for name in ["main", "offsite"] {
        session.run(["-r", name, "init"]).expect(0);
    }
    session.run(["run"]).expect(0);
    session
}

/// The machine is lost: the configuration, the password file, the cache and the files.
fn lose(session: &Session) {
    for folder in ["docs", ".config", "cache"] {
        fs::remove_dir_all(session.at(folder)).unwrap();
    }
    fs::remove_file(session.at("one")).unwrap();
}

#[test]
fn lost_machine_returns_from_its_last_backup() {
    for (location, password, name) in [
        ("repository", "first password", "main"),
        // A copy has the configuration, too.
        ("second", "two words", "offsite"),
    ] {
        let session = machine();
        let before = super::still(session.at("docs"));
        lose(&session);
        session.write_secret("password", password);
        let with = ["-r", location, "--password-file", "password"];
        let bootstrap = with.iter().chain(&["bootstrap"]);
        let dry = session
            .br
            .run(bootstrap.clone().chain(&["--dry-run"]))
            .expect(0);
        assert!(dry.stdout.contains("would write"), "{dry}");
        assert!(!session.at(FILE).exists());
        let done = session.br.run(bootstrap.clone()).expect(0);
        for expected in [
            "web1",
            "file:one",
            "repositories.cloud.proxy",
            "echo two words",
        ] {
            assert!(done.stdout.contains(expected), "{expected}: {done}");
        }
        let text = fs::read_to_string(session.at(FILE)).unwrap();
        assert!(
            !text.contains("hunter2") && text.starts_with("# The comment stays.\n"),
            "{text}"
        );
        // The user does what is left to do.
        session.write_secret(
            FILE,
            text.replace("removed: it can hold a secret", "http://127.0.0.1:1"),
        );
        session.write_secret("one", "first password\n");
        let found = done
            .stdout
            .lines()
            .find(|line| line.contains(" restore latest"));
        let found = found.unwrap_or_else(|| panic!("{done}")).trim();
        assert!(found.contains(&format!("-r {name} ")), "{found}");
        let words: Vec<&str> = found.split(' ').skip(1).collect();
        session.br.run(&words).expect(0);
        assert_eq!(super::still(session.at("docs")), before);
        let again = session.run(["run", "--json"]).expect(0);
        let again = json(again.stdout.lines().next().unwrap());
        assert_eq!(again["backup"]["kind"], "incremental", "{again}");
        assert_eq!(again["backup"]["files_unchanged"], 2, "{again}");
        // Only the tree: the new files have other inode numbers.
        assert!(
            again["backup"]["bytes_added"].as_u64().unwrap() < 1000,
            "{again}"
        );
    }
}

#[test]
fn configuration_changes_nothing_else_of_a_backup() {
    let session = machine();
    let show = session.json(["-r", "main", "show", "latest"]);
    let configuration = &show["backup"]["configuration"];
    assert_eq!(configuration["set"], "docs");
    assert!(configuration["system"].as_str().unwrap().contains("Linux"));
    assert_eq!(configuration["repositories"][2]["location"], "second");
    assert!(!show.to_string().contains("hunter2"), "{show}");
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(!listed.contains("toml"), "{listed}");
    // The base, the group and the differences are those of the paths.
    session.write(FILE, format!("{CONFIG}\n[policies.p]\nkeep-last = 3\n"));
    session.run(["run"]).expect(0);
    let diff = session.json(["diff", "latest~1", "latest"]);
    assert_eq!(diff["added"], diff["removed"], "{diff}");
    let plain = ["backup", "docs", "--host", "web1", "--json"];
    let plain = json(&session.run(plain).expect(0).stdout);
    assert_eq!(plain["backup"]["kind"], "incremental");
    assert!(plain["backup"]["configuration"].is_null(), "{plain}");
    let groups = session.json(["forget", "--keep-last", "1", "--dry-run"]);
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1, "{groups}");
    // Neither a rebuilt log nor a rewritten backup loses it.
    session.run(["check", "--repair-log"]).expect(0);
    let rewrite = ["rewrite", "latest~1", "--exclude", "a.txt"];
    session.run(rewrite).expect(0);
    let list = session.run(["bootstrap", "--list"]).expect(0);
    assert!(list.stdout.contains("web1"), "{list}");
    session.run(["bootstrap", "--to", "elsewhere"]).expect(0);
}

#[test]
fn existing_files_are_not_overwritten() {
    let session = machine();
    let file = session.at(FILE);
    let own = "[defaults]\nrepository = \"./repository\"\n";
    let password = [
        "-r",
        "repository",
        "--password-command",
        "echo first password",
    ];
    session.write(FILE, own);
    let bootstrap: Vec<&str> = password.into_iter().chain(["bootstrap"]).collect();
    let dry = session
        .br
        .run(bootstrap.iter().chain(&["--dry-run"]))
        .expect(0);
    assert!(dry.stdout.contains("only --force replaces it"), "{dry}");
    let refused = session.br.run(&bootstrap).expect(2);
    assert!(refused.stderr.contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), own);
    session
        .br
        .run(bootstrap.iter().chain(&["--to", "elsewhere"]))
        .expect(0);
    let below = session
        .at("elsewhere")
        .join(file.strip_prefix("/").unwrap());
    assert!(fs::read_to_string(&below).unwrap().contains("[sets.docs]"));
    assert_eq!(fs::read_to_string(&file).unwrap(), own);
    session
        .br
        .run(bootstrap.iter().chain(&["--force"]))
        .expect(0);
    assert_eq!(fs::read(&file).unwrap(), fs::read(&below).unwrap());
    // The same content is no conflict.
    let same = session.br.run(&bootstrap).expect(0);
    assert!(same.stdout.contains("unchanged"), "{same}");
}

#[test]
fn machine_is_selected_by_its_name() {
    let session = machine();
    session.write(FILE, CONFIG.replace("web1", "web2"));
    session.run(["run"]).expect(0);
    let list = session.json(["bootstrap", "--list"]);
    let machines = list["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 2, "{list}");
    assert_eq!(machines[1]["host"], "web2");
    let newest = session.run(["bootstrap", "--to", "new"]).expect(0);
    assert!(
        newest.stderr.contains("also has the files of web1"),
        "{newest}"
    );
    let other = session.run(["bootstrap", "--to", "new", "--force", "--host", "web1"]);
    assert!(other.expect(0).stdout.contains("web1"));
    let missing = session.run(["bootstrap", "--host", "web3"]).expect(2);
    assert!(missing.stderr.contains("web1, web2"), "{missing}");
}

#[test]
fn repository_without_configuration_is_explained() {
    let session = Session::with_backup();
    let refused = session.run(["bootstrap"]).expect(2);
    assert!(refused.stderr.contains("br run"), "{refused}");
    session.run(["bootstrap", "--list"]).expect(0);
}

#[test]
fn what_is_no_file_and_what_is_beside_a_file_stays() {
    let session = machine();
    let at = session.at(FILE);
    let there = session.at("to").join(at.strip_prefix("/").unwrap());
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    let beside = there.with_extension("toml.new");
    fs::write(&beside, "precious").unwrap();
    let made = std::process::Command::new("mkfifo").arg(&there).status();
    assert!(made.unwrap().success());
    let bootstrap = ["-r", "main", "bootstrap", "--to", "to", "--force"];
    let refused = session.run(bootstrap).expect(1);
    assert!(refused.stderr.contains("regular file"), "{refused}");
    fs::remove_file(&there).unwrap();
    session.run(bootstrap).expect(0);
    assert_eq!(fs::read_to_string(&beside).unwrap(), "precious");
    assert!(there.is_file());
}
