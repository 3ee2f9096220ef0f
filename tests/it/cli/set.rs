//! The commands of a set, and `br restore --plan` and `--execute`.

use std::fs;

use super::{Session, json};

impl Session {
    /// Writes a configuration with the set `shop`, which has these lines.
    fn write_set(&self, lines: &str) {
        let config = format!(
            "[repositories.main]\nlocation = \"./repository\"\n[sets.shop]\nrepository = \"main\"\n{lines}\n"
        );
        self.write_secret("br.toml", config);
    }

    fn run_set(&self, words: &[&str]) -> br_testkit::BrOutput {
        self.br.run(["--config", "br.toml"].iter().chain(words))
    }

    /// A script that writes a line into the file `log`.
    fn log_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A command that adds a line to the file `log`, with the variables of br for commands.
fn note(word: &str) -> String {
    format!("\"sh -c 'echo {word} $BR_HOOK_SET $BR_HOOK_STATUS >> log'\"")
}

#[test]
fn commands_run_before_and_after_a_backup() {
    let session = Session::with_repository();
    session.write_set(&format!(
        "paths = [\"docs\"]\nbefore = [{}]\nafter = [{}, {}]",
        note("stop"),
        note("start"),
        note("tell")
    ));
    let shown = session.run_set(&["run", "--dry-run"]).expect(0).stdout;
    let at = |text: &str| {
        shown
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {shown}"))
    };
    assert!(at("echo stop") < at("br --repo=main backup") && at("backup") < at("echo start"));
    assert!(session.log_lines().is_empty());
    session.run_set(&["run"]).expect(0);
    assert_eq!(
        session.log_lines(),
        ["stop shop", "start shop ok", "tell shop ok"]
    );
}

#[test]
fn commands_after_a_backup_run_whatever_happened() {
    let session = Session::with_repository();
    for (lines, code, logged) in [
        // The backup fails.
        ("stream = [\"a=false\"]".to_owned(), 1, "start shop failed"),
        // A part of it fails.
        (
            "paths = [\"docs\"]\nstream = [\"a=false\"]".to_owned(),
            3,
            "start shop incomplete",
        ),
        // A command before it fails: there is no backup.
        (
            "paths = [\"docs\"]\nbefore = [\"sh -c 'echo no; exit 7'\"]".to_owned(),
            1,
            "start shop failed",
        ),
        (
            "paths = [\"docs\"]\nbefore = [\"no-such-program\"]".to_owned(),
            1,
            "start shop failed",
        ),
        (
            "paths = [\"docs\"]\nbefore = [\"sleep 60\"]\nhook-timeout = \"1s\"".to_owned(),
            1,
            "start shop failed",
        ),
    ] {
        let _ = fs::remove_file(session.at("log"));
        session.write_set(&format!("{lines}\nafter = [{}]", note("start")));
        let output = session.run_set(&["run"]).expect(code);
        assert_eq!(session.log_lines(), [logged], "{lines}: {output}");
        if lines.contains("exit 7") {
            assert!(
                output.stderr.contains("exit code 7") && output.stderr.contains("no"),
                "{output}"
            );
        }
    }
    let list = json(&session.run(["list", "--json"]).expect(0).stdout);
    assert_eq!(
        list["backups"].as_array().unwrap().len(),
        1,
        "only the incomplete one: {list}"
    );
    // A command after it fails: the backup exists, and the others run.
    let _ = fs::remove_file(session.at("log"));
    session.write_set(&format!(
        "paths = [\"docs\"]\nafter = [\"false\", {}]",
        note("start")
    ));
    session.run_set(&["run"]).expect(1);
    assert_eq!(session.log_lines(), ["start shop ok"]);
}

#[test]
fn commands_do_not_get_the_passwords_of_br() {
    let session = Session::new();
    session.write_secret("password", "geheim-1\n");
    session.write_secret(
        "br.toml",
        "[repositories.main]\nlocation = \"./locked\"\npassword = \"env:BR_PASSWORD\"\n[sets.shop]\nrepository = \"main\"\npaths = [\"docs\"]\n\
         before = [\"sh -c 'env > environment'\"]\n",
    );
    let br = session
        .br
        .clone()
        .env("BR_PASSWORD", "geheim-1")
        .env("BR_REDIS_PASSWORD", "geheim-2")
        .env("MY_OWN", "mine");
    br.run(["--config", "br.toml", "-r", "main", "init", "-q"])
        .expect(0);
    br.run(["--config", "br.toml", "run"]).expect(0);
    let environment = fs::read_to_string(session.at("environment")).unwrap();
    assert!(environment.contains("MY_OWN=mine") && environment.contains("BR_HOOK_SET=shop"));
    assert!(!environment.contains("geheim"), "{environment}");
}

#[test]
fn each_mistake_in_a_set_is_one_line_with_its_place() {
    let session = Session::new();
    for (line, message) in [
        (
            "before = [\"sh -c 'open\"]",
            "a command in `before` has a quote that does not end",
        ),
        ("after = [\"\"]", "a command in `after` is empty"),
        ("after = [\" \"]", "a command in `after` is empty"),
        ("verify = true", "`verify` must be a list of text"),
        (
            "hook-timeout = \"soon\"",
            "`hook-timeout`: `soon` is not a duration",
        ),
        (
            "hook-timeout = true",
            "`hook-timeout` must be text in quotes",
        ),
        (
            "restore-stream = [\"psql shop\"]",
            "`psql shop` in `restore-stream` has no `=`",
        ),
        (
            "restore-stream = [\"a=\"]",
            "a command in `restore-stream` is empty",
        ),
        ("befor = [\"x\"]", "unknown key `befor`"),
        ("redis = \"http://h\"", "HOST:PORT"),
        (
            "redis = \"h\"\nredis-password = \"geheim-3\"",
            "no reference to a password",
        ),
        ("redis-password = \"file:x\"", "no effect without --redis"),
        (
            "mysql = [\"all\", \"shop\"]",
            "--mysql all contains the other databases",
        ),
        ("stream = [\"shop.sql\"]", "has no `=`"),
    ] {
        session.write_set(&format!("paths = [\"docs\"]\n{line}"));
        let output = session.run_set(&["config", "check"]).expect(2);
        assert!(output.stdout.contains(message), "{line}: {output}");
        assert_eq!(
            output.stdout.matches("br.toml, line").count(),
            1,
            "{line}: {output}"
        );
        assert!(!output.to_string().contains("geheim"), "{line}: {output}");
    }
}

#[test]
fn a_plan_shows_the_steps_and_execute_takes_them() {
    let session = Session::with_repository();
    session.write("app/config", "port = 1");
    session.write_set(&format!(
        "paths = [\"app\", \"docs\"]\nstream = [\"db/shop.sql=echo 'CREATE TABLE t;'\"]\nrestore-stream = [\"db/shop.sql=sh -c 'cat > restored.sql'\"]\n\
         restore-before = [{}]\nrestore-after = [{}]\nverify = [\"cat restored.sql\", \"test -e app/config\"]",
        note("stop"),
        note("start")
    ));
    session.run_set(&["run"]).expect(0);
    fs::remove_dir_all(session.at("app")).unwrap();
    let plan = session
        .run_set(&["restore", "latest", "--plan"])
        .expect(0)
        .stdout;
    let mut last = 0;
    for part in [
        "echo stop",
        "db/shop.sql --to-command -- sh -c",
        "restore",
        "app docs --target",
        "echo start",
        "cat restored.sql",
        "test -e",
    ] {
        let at = plan.find(part).unwrap_or_else(|| panic!("{part}: {plan}"));
        assert!(at >= last || part == "restore", "{part}: {plan}");
        last = last.max(at);
    }
    let plan = json(
        &session
            .run_set(&["restore", "latest", "--plan", "--json"])
            .expect(0)
            .stdout,
    );
    assert_eq!(plan["steps"].as_array().unwrap().len(), 7, "{plan}");
    assert!(session.log_lines().is_empty() && !session.at("app").exists());

    let refused = session
        .run_set(&["restore", "latest", "--execute"])
        .expect(2);
    assert!(refused.stderr.contains("add --yes"), "{refused}");
    assert!(session.log_lines().is_empty() && !session.at("app").exists());
    session
        .run_set(&["restore", "latest", "--execute", "--yes"])
        .expect(0);
    assert_eq!(session.log_lines(), ["stop shop", "start shop"]);
    assert_eq!(
        fs::read_to_string(session.at("app/config")).unwrap(),
        "port = 1"
    );
    assert_eq!(
        fs::read_to_string(session.at("restored.sql")).unwrap(),
        "CREATE TABLE t;\n"
    );

    // Only a part.
    fs::remove_dir_all(session.at("app")).unwrap();
    session
        .run_set(&[
            "restore",
            "latest",
            "--execute",
            "--yes",
            "--only",
            "db/shop.sql",
        ])
        .expect(1);
    assert!(!session.at("app").exists(), "the check of app fails");
    session
        .run_set(&["restore", "latest", "--execute", "--yes", "--only", "files"])
        .expect(0);
    assert!(session.at("app/config").exists());
    let unknown = session
        .run_set(&["restore", "latest", "--plan", "--only", "mysql"])
        .expect(2);
    assert!(
        unknown.stderr.contains("its parts are db/shop.sql, files"),
        "{unknown}"
    );
}

#[test]
fn execute_keeps_what_checks_print_and_stops_at_a_failed_step() {
    let session = Session::with_repository();
    session.write_set(&format!(
        "paths = [\"docs\"]\nrestore-after = [{}]\nverify = [\"false\", \"echo 42 rows\"]",
        note("start")
    ));
    session.run_set(&["run"]).expect(0);
    let words = ["restore", "latest", "--execute", "--yes", "--json"];
    let output = session.run_set(&words).expect(1);
    let last = output.stdout.lines().last().unwrap();
    let steps = json(last)["steps"].clone();
    let outcomes: Vec<_> = steps
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["ok", "ok", "ok", "failed", "ok"], "{steps}");
    assert_eq!(steps[4]["output"], "42 rows\n");

    session.write_set(&format!(
        "paths = [\"docs\"]\nrestore-before = [\"false\"]\nrestore-after = [{}]",
        note("again")
    ));
    fs::remove_file(session.at("log")).unwrap();
    let output = session
        .run_set(&["restore", "latest", "--execute", "--yes"])
        .expect(1);
    assert!(
        output
            .stderr
            .contains("take this step and the others yourself"),
        "{output}"
    );
    assert!(session.log_lines().is_empty(), "{output}");
}

#[test]
fn execute_runs_no_commands_that_only_the_backup_has() {
    let session = Session::with_repository();
    session.write_set(&format!(
        "paths = [\"docs\"]\nrestore-before = [{}]",
        note("evil")
    ));
    session.run_set(&["run"]).expect(0);
    session.write_secret("br.toml", "");
    let shown = session.run_set(&["restore", "latest", "--plan"]).expect(0);
    assert!(shown.stdout.contains("echo evil"), "{shown}");
    let refused = session
        .run_set(&["restore", "latest", "--execute", "--yes"])
        .expect(2);
    assert!(refused.stderr.contains("br bootstrap"), "{refused}");
    assert!(session.log_lines().is_empty());
    session.run(["backup", "docs", "-q"]).expect(0);
    let plain = session.run(["restore", "latest", "--plan"]).expect(2);
    assert!(
        plain.stderr.contains("`br run` did not make the backup"),
        "{plain}"
    );
}
