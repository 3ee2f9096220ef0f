//! `br backup --stdin-from-command` and `--stdin`, and `br restore --to-command`.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use br_testkit::{BrOutput, MariaDb, Postgres};
use rustix::process::{Pid, Signal, kill_process};

use super::{Session, json};
use crate::support::Stopwatch;

impl Session {
    /// Backs up what a program writes as `shop.sql`.
    fn back_up_command(&self, words: &[String]) -> BrOutput {
        let start = [
            "backup",
            "--stdin-from-command",
            "--stdin-name",
            "shop.sql",
            "--",
        ];
        let words = words.iter().map(String::as_str);
        self.br.run(start.into_iter().chain(words))
    }

    /// Restores `shop.sql` of the newest backup into a program.
    fn restore_into(&self, words: &[String]) -> BrOutput {
        let start = ["restore", "latest", "shop.sql", "--to-command", "--"];
        let words = words.iter().map(String::as_str);
        self.br.run(start.into_iter().chain(words))
    }

    fn count(&self) -> usize {
        self.ids().len()
    }
}

fn with<const N: usize>(words: Vec<String>, more: [&str; N]) -> Vec<String> {
    words.into_iter().chain(more.map(str::to_owned)).collect()
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    with(Vec::new(), words)
}

#[test]
fn the_output_of_a_program_is_shown_and_restored() {
    let session = Session::with_repository();
    let script = "printf -- '-- MySQL dump 10\n-- Dump completed\n'; echo careful >&2";
    let output = session
        .back_up_command(&words(["sh", "-c", script]))
        .expect(0);
    assert!(output.stderr.contains("sh: careful"), "{output}");
    let shown = session.run(["show", "latest"]).expect(0).stdout;
    assert!(
        shown.contains("shop.sql, by sh, ends with `-- Dump completed`"),
        "{shown}"
    );
    assert!(shown.contains("messages of sh:\n  careful"), "{shown}");
    let shown = session.run(["show", "latest", "--json"]).expect(0);
    let stream = &json(&shown.stdout)["backup"]["streams"][0];
    assert_eq!(stream["program"], "sh");
    assert_eq!(stream["messages"], "careful\n");
    let restored = session.restore_into(&words(["cat"])).expect(0);
    assert!(
        restored.stderr.contains("cat: -- Dump completed"),
        "{restored}"
    );
    let folder = [
        "restore",
        "latest:shop.sql",
        "--json",
        "--to-command",
        "--",
        "wc",
        "-l",
    ];
    let restored = session.run(folder).expect(0);
    let restored = json(&restored.stdout);
    assert_eq!(restored["messages"], "2\n");
    assert_eq!(restored["bytes"], 35);
}

#[test]
fn a_program_that_fails_makes_no_backup_and_no_retention() {
    let session = Session::with_repository();
    session.back_up_command(&words(["echo", "good"])).expect(0);
    for (script, text) in [
        (
            "echo denied >&2; exit 2",
            "sh failed with exit code 2: denied",
        ),
        ("true", "it is empty"),
        ("echo '-- MySQL dump 10'; exit 0", "`-- Dump completed`"),
        ("kill -9 $$", "sh was ended by signal 9"),
    ] {
        let output = session
            .back_up_command(&words(["sh", "-c", script]))
            .expect(1);
        assert!(output.stderr.contains(text), "{output}");
        assert!(output.stderr.contains("nothing was backed up"), "{output}");
        assert_eq!(output.stdout, "");
        assert_eq!(session.count(), 1, "{script}");
    }
    let output = session
        .back_up_command(&words(["no-such-program"]))
        .expect(1);
    assert!(
        output.stderr.contains("no-such-program cannot be started"),
        "{output}"
    );
    let start = Stopwatch::start();
    let output = session
        .run([
            "backup",
            "--stdin-from-command",
            "--stdin-name=x",
            "--command-timeout=1s",
            "--",
            "sleep",
            "100",
        ])
        .expect(1);
    assert!(
        output.stderr.contains("sleep did not end within 1s"),
        "{output}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(session.count(), 1);
}

/// Symptom: `false | br backup --stdin` made an empty backup.
#[test]
fn empty_standard_input_is_refused_unless_it_is_allowed() {
    let session = Session::with_repository();
    let stdin = ["backup", "--stdin", "--stdin-name", "x"];
    let refused = session.br.run_with_input(stdin, b"").expect(1);
    assert!(refused.stderr.contains("--allow-empty"), "{refused}");
    let cut = session
        .br
        .run_with_input(stdin, b"-- MariaDB dump 10\n")
        .expect(1);
    assert!(cut.stderr.contains("-- Dump completed"), "{cut}");
    assert!(cut.stderr.contains("--expect-trailer"), "{cut}");
    assert_eq!(session.count(), 0);
    let allowed = stdin.into_iter().chain(["--allow-empty"]);
    session.br.run_with_input(allowed, b"").expect(0);
    let expected = stdin.into_iter().chain(["--expect-trailer", "# end"]);
    session
        .br
        .run_with_input(expected.clone(), b"a\n")
        .expect(1);
    session
        .br
        .run_with_input(expected, b"a\n# end 1\n")
        .expect(0);
    assert_eq!(session.count(), 2);
}

#[test]
fn a_compressed_stream_is_warned_of() {
    let session = Session::with_repository();
    let output = session
        .back_up_command(&words(["sh", "-c", "echo a | gzip"]))
        .expect(0);
    let warning = "shop.sql was compressed already (gzip)";
    assert!(output.stderr.contains(warning), "{output}");
}

#[test]
fn a_program_that_does_not_take_the_file_is_named() {
    let session = Session::with_repository();
    let large = words(["head", "-c", "3000000", "/dev/zero"]);
    session.back_up_command(&large).expect(0);
    for (script, text) in [
        (
            "echo no such table >&2; exit 3",
            "sh failed with exit code 3: no such table",
        ),
        (
            "head -c 10 >/dev/null; exit 4",
            "sh failed with exit code 4",
        ),
        ("cat >/dev/null; exit 5", "sh failed with exit code 5"),
        ("kill -9 $$", "sh was ended by signal 9"),
        ("head -c 10 >/dev/null", "did not read all of its input"),
    ] {
        let output = session.restore_into(&words(["sh", "-c", script])).expect(1);
        assert!(output.stderr.contains(text), "{script}: {output}");
        assert!(
            output.stderr.contains("undo what it has done"),
            "{script}: {output}"
        );
    }
    let output = session.restore_into(&words(["no-such-program"])).expect(1);
    assert!(output.stderr.contains("cannot be started"), "{output}");
    let hangs = [
        "restore",
        "latest",
        "shop.sql",
        "--to-command",
        "--command-timeout=1s",
        "--",
        "sleep",
        "100",
    ];
    let output = session.run(hangs).expect(1);
    assert!(
        output.stderr.contains("sleep did not end within 1s"),
        "{output}"
    );
}

/// The last bytes must not reach the program before everything is verified: without them, a transaction is not committed.
#[test]
fn a_program_does_not_get_the_end_of_a_damaged_file() {
    let session = Session::with_repository();
    fs::write(session.at("noise"), br_testkit::noise(7, 5_000_000)).unwrap();
    session
        .back_up_command(&words(["sh", "-c", "cat noise; echo END"]))
        .expect(0);
    let whole = words(["sh", "-c", "cat >whole"]);
    session.restore_into(&whole).expect(0);
    assert_eq!(fs::read(session.at("whole")).unwrap().len(), 5_000_004);
    for pack in session.objects("packs") {
        session.damage(&pack);
    }
    let output = session.restore_into(&words(["sh", "-c", "cat >part"]));
    assert_eq!(output.code, Some(14), "{output}");
    let part = fs::read(session.at("part")).unwrap_or_default();
    assert!(!part.ends_with(b"END\n"), "{} bytes", part.len());
}

const SHOP: &str = "
CREATE DATABASE shop;
CREATE TABLE shop.item (id INT PRIMARY KEY, name VARCHAR(100), price DECIMAL(8,2)) ENGINE=InnoDB;
INSERT INTO shop.item SELECT seq, CONCAT('Müller 🦀 ', MD5(seq)), seq / 7 FROM shop.seq_1_to_20000;
CREATE VIEW shop.cheap AS SELECT * FROM shop.item WHERE price < 3;
";

#[test]
fn a_dump_of_mariadb_is_complete_and_goes_back_into_the_server() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql(SHOP);
    let session = Session::with_repository();
    let dump = with(
        server.words("mariadb-dump"),
        ["--single-transaction", "--skip-dump-date", "shop"],
    );
    session.back_up_command(&dump).expect(0);
    let before = server
        .client("mariadb-dump")
        .args(&dump[5..])
        .output()
        .unwrap()
        .stdout;
    server.sql("DROP DATABASE shop; CREATE DATABASE shop");
    let client = with(server.words("mariadb"), ["shop"]);
    session.restore_into(&client).expect(0);
    let after = server
        .client("mariadb-dump")
        .args(&dump[5..])
        .output()
        .unwrap()
        .stdout;
    assert!(
        before == after && before.len() > 1_000_000,
        "{}",
        before.len()
    );
    // The second backup stores nothing of the same data.
    session.back_up_command(&dump).expect(0);
    let shown = session.run(["show", "latest", "--json"]).expect(0);
    let shown = json(&shown.stdout);
    assert_eq!(
        shown["backup"]["streams"][0]["end_mark"],
        "-- Dump completed"
    );
    assert!(
        shown["backup"]["bytes_added"].as_u64() < Some(10_000),
        "{shown}"
    );
    // The server refuses the data: the table exists as a view.
    server.sql("DROP DATABASE shop; CREATE DATABASE shop; CREATE VIEW shop.item AS SELECT 1");
    let refused = session.restore_into(&client).expect(1);
    assert!(
        refused.stderr.contains("mariadb failed with exit code 1: "),
        "{refused}"
    );
}

/// The dump is killed in the middle, as by a restart of the server. A pipe does not show that.
#[test]
fn a_dump_of_mariadb_that_is_killed_makes_no_backup() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql(SHOP);
    let session = Session::with_repository();
    let slow = [
        "--single-transaction",
        "--where=sleep(0.05)=0",
        "shop",
        "item",
    ];
    let dump = with(server.words("mariadb-dump"), slow);
    let output = std::thread::scope(|scope| {
        let running = scope.spawn(|| session.back_up_command(&dump));
        let find = "SELECT id FROM information_schema.processlist WHERE info LIKE '%sleep(0%' AND id <> connection_id()";
        let id = (0..400).find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            server.sql(find).lines().next().map(str::to_owned)
        });
        std::thread::sleep(Duration::from_millis(500));
        server.sql(&format!("KILL {}", id.expect("the dump runs")));
        running.join().unwrap()
    });
    let output = output.expect(1);
    assert!(
        output
            .stderr
            .contains("mariadb-dump failed with exit code "),
        "{output}"
    );
    assert!(output.stderr.contains("Lost connection"), "{output}");
    assert_eq!(session.count(), 0);
}

#[test]
fn a_dump_of_postgresql_goes_back_into_the_server() {
    let Some(server) = Postgres::start() else {
        return;
    };
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE item (id int PRIMARY KEY, name text, data bytea);
         INSERT INTO item SELECT n, 'Müller 🦀 ' || md5(n::text), sha256(n::text::bytea) FROM generate_series(1, 20000) n;
         SELECT lo_from_bytea(0, 'a large object');",
    );
    let session = Session::with_repository();
    let dump = with(server.words("pg_dump"), ["shop"]);
    session.back_up_command(&dump).expect(0);
    let content = |database: &str| {
        server.sql(
            database,
            "SELECT * FROM item ORDER BY id; SELECT lo_get(oid) FROM pg_largeobject_metadata",
        )
    };
    let before = content("shop");
    server.sql("postgres", "CREATE DATABASE again");
    let client = [
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "--single-transaction",
        "-d",
    ];
    let client = with(server.words("psql"), client);
    session
        .restore_into(&with(client.clone(), ["again"]))
        .expect(0);
    assert!(before == content("again") && before.len() > 1_000_000);
    // The tables exist already.
    let refused = session.restore_into(&with(client, ["again"])).expect(1);
    assert!(
        refused.stderr.contains("psql failed with exit code 3"),
        "{refused}"
    );
    // An archive that is not compressed is not warned of; the default one is.
    for (option, is_warned) in [("-Z0", false), ("-Z6", true)] {
        let dump = with(server.words("pg_dump"), ["-Fc", option, "shop"]);
        let output = session.back_up_command(&dump).expect(0);
        let warned = output.stderr.contains("compressed already (gzip)");
        assert_eq!(warned, is_warned, "{option}: {output}");
    }
    let list = with(server.words("pg_dump"), ["no-such-database"]);
    let refused = session.back_up_command(&list).expect(1);
    assert!(
        refused.stderr.contains("pg_dump failed with exit code 1"),
        "{refused}"
    );
}

/// Symptom: with `exclude` in `[backup]`, no stream could be backed up, and the error named an option that was not on the command line.
#[test]
fn settings_for_files_do_not_keep_streams_from_a_backup() {
    let session = Session::with_repository();
    let config = "[repositories.main]\nlocation = \"./repository\"\n[defaults]\nrepository = \"main\"\n\
        [backup]\nexclude = [\"*.tmp\"]\nexclude-caches = true\nexclude-larger-than = \"1G\"\none-file-system = true\n\
        [sets.only]\nstream = \"a=echo 1\"\nexclude = \"*.o\"\n";
    session.write_secret("br.toml", config);
    let run = |words: &[&str]| session.br.run(["--config", "br.toml"].iter().chain(words));
    let name = "--stdin-name=x";
    run(&["backup", "--stdin-from-command", name, "--", "echo", "1"]).expect(0);
    run(&["backup", "--stream", "a=echo 1"]).expect(0);
    run(&["run"]).expect(0);
    let words = ["--config", "br.toml", "backup", "--stdin", name];
    session.br.run_with_input(words, b"1").expect(0);
    // A typed option still contradicts.
    run(&[
        "backup",
        "--stdin-from-command",
        name,
        "--exclude",
        "x",
        "echo",
    ])
    .expect(2);
}

/// The paths of the newest backup.
fn paths_in(session: &Session) -> Vec<String> {
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn programs_and_files_are_one_backup() {
    let session = Session::with_repository();
    let arguments = [
        "backup",
        "docs",
        "--stream",
        "db/shop.sql=sh -c \"echo '-- MySQL dump 1'; echo '-- Dump completed'\"",
        "--stream",
        r"a.txt=printf '%s|' 'x  y' \$HOME $(id)",
    ];
    session.run(arguments).expect(0);
    session.run(arguments).expect(0);
    let paths = paths_in(&session);
    for path in [
        "a.txt",
        "db/shop.sql",
        "docs",
        "docs/a.txt",
        "docs/sub/b.bin",
    ] {
        assert!(paths.iter().any(|line| line == path), "{path}: {paths:?}");
    }
    let shown = session.run(["show", "latest", "--json"]).expect(0);
    let backup = &json(&shown.stdout)["backup"];
    assert_eq!(backup["kind"], "incremental");
    assert_eq!(
        backup["files_unchanged"], 4,
        "the programs wrote the same: {backup}"
    );
    assert!(
        backup["bytes_read"].as_u64() < Some(200),
        "files are not read again: {backup}"
    );
    assert_eq!(backup["streams"].as_array().unwrap().len(), 2);
    let text = session.run(["dump", "latest", "a.txt"]).expect(0).stdout;
    assert_eq!(text, "x  y|$HOME|$(id)|", "no shell replaces anything");
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert!(session.at("out/db/shop.sql").exists() && session.at("out/docs/a.txt").exists());
}

#[test]
fn a_program_that_fails_is_missing_from_the_backup_of_the_files() {
    let session = Session::with_repository();
    let fails = "db/shop.sql=sh -c 'echo denied >&2; echo part; exit 2'";
    let works = "db/other.sql=echo whole";
    let output = session
        .run(["backup", "docs", "--stream", fails, "--stream", works])
        .expect(3);
    assert!(
        output.stderr.contains("sh failed with exit code 2: denied"),
        "{output}"
    );
    let paths = paths_in(&session);
    assert!(!paths.contains(&"db/shop.sql".to_owned()), "{paths:?}");
    assert!(paths.contains(&"db/other.sql".to_owned()) && paths.contains(&"docs/a.txt".to_owned()));
    let shown = session.run(["show", "latest"]).expect(0).stdout;
    assert!(
        shown.contains("db/shop.sql: sh failed with exit code 2: denied"),
        "{shown}"
    );
    // Without files there is no backup.
    let output = session
        .run(["backup", "--stream", works, "--stream", fails])
        .expect(1);
    assert!(output.stderr.contains("nothing was backed up"), "{output}");
    assert_eq!(session.count(), 1);
}

#[test]
fn wrong_streams_are_refused() {
    let session = Session::with_repository();
    for (stream, message) in [
        ("mysqldump shop", "has no `=`"),
        ("a=", "has no command"),
        ("a='x", "has a quote that does not end"),
        ("=x", "empty"),
        ("../a=x", "not a valid path"),
    ] {
        let output = session
            .run(["backup", "docs", "--stream", stream])
            .expect(2);
        assert!(output.stderr.contains(message), "{stream}: {output}");
    }
    let twice = [
        "backup", "docs", "--stream", "a=echo 1", "--stream", "a=echo 2",
    ];
    let output = session.run(twice).expect(2);
    assert!(
        output.stderr.contains("two streams have the name a"),
        "{output}"
    );
    for name in ["docs/a.txt", "docs/a.txt/x", "docs"] {
        let stream = format!("{name}=echo 1");
        let output = session
            .run(["backup", "docs", "--stream", &stream])
            .expect(2);
        assert!(
            output.stderr.contains("--stream") && output.stderr.contains(name),
            "{output}"
        );
    }
    session
        .run([
            "backup",
            "--stdin-from-command",
            "--stdin-name=x",
            "--stream",
            "a=echo 1",
            "echo",
        ])
        .expect(2);
    assert_eq!(session.count(), 0);
}

#[test]
fn a_set_has_files_and_programs() {
    let session = Session::with_repository();
    let set = "[repositories.main]\nlocation = \"./repository\"\n[backup]\ncommand-timeout = \"1h\"\n\
        [policies.last]\nkeep-last = 1\n[sets.shop]\npaths = [\"docs\"]\nrepository = \"main\"\npolicy = \"last\"\n\
        stream = [\"db/shop.sql=sh -c 'echo 1; test ! -e broken'\"]\n[sets.only]\nrepository = \"main\"\nstream = \"a=echo 1\"\n";
    session.write_secret("br.toml", set);
    let run = |words: &[&str]| session.br.run(["--config", "br.toml"].iter().chain(words));
    run(&["config", "check"]).expect(0);
    run(&["run"]).expect(0);
    assert_eq!(session.count(), 2);
    run(&["backup", "docs", "-r", "main"]).expect(0);
    run(&["check", "--spot", "--set", "shop"]).expect(0);
    // The policy does not replace the last complete backup by the broken one.
    session.write("broken", "");
    run(&["run", "shop"]).expect(3);
    let list = session.json(["list", "--tag", "shop"]);
    let complete = list["backups"].as_array().unwrap().iter();
    let complete: Vec<_> = complete
        .map(|backup| backup["complete"].as_bool().unwrap())
        .collect();
    assert_eq!(complete, [true, false]);
}

/// Symptom: `br backup --stdin-from-command --stdin-name x pg_dump --host db1 shop` dumped another server, because br took `--host`.
#[test]
fn a_program_needs_two_dashes_before_it() {
    let session = Session::with_repository();
    let dump = ["backup", "--stdin-from-command", "--stdin-name=x"];
    let wrong = dump.iter().chain(&["echo", "-n", "--host", "db1"]);
    let refused = session.br.run(wrong).expect(2);
    assert!(
        refused.stderr.contains("write `--` before the program"),
        "{refused}"
    );
    session
        .br
        .run(dump.iter().chain(&["--", "echo", "-n", "--host", "db1"]))
        .expect(0);
    let text = session.run(["dump", "latest", "x"]).expect(0).stdout;
    assert_eq!(text, "--host db1");
    let refused = session
        .run(["restore", "latest", "x", "--to-command", "cat", "-v"])
        .expect(2);
    assert!(
        refused.stderr.contains("`--` before the program"),
        "{refused}"
    );
    // Without these options, `--` is what it always was.
    session.run(["backup", "--", "docs"]).expect(0);
    session
        .run(["restore", "latest", "--target", "out", "--", "docs"])
        .expect(0);
    let trailer = [
        "backup",
        "--stdin-from-command",
        "--stdin-name=x",
        "--expect-trailer",
        "-- end ",
    ];
    session
        .br
        .run(trailer.iter().chain(&["--", "echo", "-- end"]))
        .expect(0);
}

/// br must not look like a normal end of the input to a client of a database: it would commit half of the file.
#[test]
fn a_killed_restore_ends_the_program_before_its_input_ends() {
    let session = Session::with_repository();
    session
        .back_up_command(&words(["head", "-c", "30000000", "/dev/zero"]))
        .expect(0);
    // Reads slowly, and says when it has seen the end.
    let script = "while [ $(head -c 100000 | wc -c) -gt 0 ]; do sleep 0.01; done; echo end >seen";
    for round in 0..6 {
        let arguments = [
            "restore",
            "latest",
            "shop.sql",
            "--to-command",
            "--",
            "sh",
            "-c",
            script,
        ];
        let mut br = session.br.command(arguments);
        let mut child = br
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300 + 50 * round));
        let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let signals: &[Signal] = match round % 3 {
            0 => &[Signal::KILL],
            1 => &[Signal::TERM, Signal::TERM],
            _ => &[Signal::QUIT],
        };
        for signal in signals {
            let _ = kill_process(process, *signal);
        }
        child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            !session.at("seen").exists(),
            "round {round}: the program has seen an end"
        );
    }
}

#[test]
fn a_program_that_reads_nothing_is_an_error() {
    let session = Session::with_repository();
    session
        .back_up_command(&words(["head", "-c", "5000", "/dev/zero"]))
        .expect(0);
    for script in ["true", "head -c 100 >/dev/null", "exec <&-; sleep 0.3"] {
        let output = session.restore_into(&words(["sh", "-c", script])).expect(1);
        assert!(
            output.stderr.contains("did not read all of its input"),
            "{script}: {output}"
        );
    }
    session
        .restore_into(&words(["sh", "-c", "sleep 0.3; cat >/dev/null"]))
        .expect(0);
    let verified = [
        "restore",
        "latest",
        "shop.sql",
        "--to-command",
        "--verify-first",
        "--",
        "cat",
    ];
    session.run(verified).expect(0);
}

#[test]
fn a_program_fails_once_for_all_repositories_and_gets_no_password_of_br() {
    let session = Session::with_repository();
    session.run(["-r", "second", "init"]).expect(0);
    let script = "echo run >>runs; echo \"<$BR_PASSWORD>\" >&2; exit 3";
    let arguments = [
        "-r",
        "repository",
        "backup",
        "-r",
        "second",
        "--stdin-from-command",
        "--stdin-name=x",
        "--",
        "sh",
        "-c",
        script,
    ];
    let output = session.run(arguments).expect(1);
    assert!(
        output.stderr.contains("sh failed with exit code 3: <>"),
        "{output}"
    );
    assert_eq!(fs::read_to_string(session.at("runs")).unwrap(), "run\n");
    let br = session.br.clone().env("BR_PASSWORD", "secret");
    let output = br.run(arguments);
    assert!(!output.stderr.contains("<secret>"), "{output}");
}
