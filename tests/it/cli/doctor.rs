//! `br doctor`, with real servers: what it finds, whether its statements help, and what it never shows.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use br_testkit::{BrCmd, BrOutput, MariaDb, Postgres, RabbitMq, Redis};
use serde_json::{Value, json};

use super::{Session, json as parse};

/// The password of every login. It must be nowhere in the output.
const PASSWORD: &str = "swordfish-ü-of-br";

/// The findings of a run with this exit code.
fn findings<S: AsRef<str>>(br: &BrCmd, words: &[S], code: i32) -> Vec<Value> {
    let words = words.iter().map(AsRef::as_ref);
    let words: Vec<&str> = ["doctor", "--json"].into_iter().chain(words).collect();
    let output = br.run(&words).expect(code);
    assert!(!output.to_string().contains(PASSWORD), "{output}");
    let text = br.run(words.iter().filter(|word| **word != "--json"));
    assert!(!text.to_string().contains(PASSWORD), "{text}");
    let report = parse(&output.stdout);
    assert_eq!(report["type"], "doctor");
    let findings = report["findings"].as_array().unwrap().clone();
    for finding in &findings {
        assert_eq!(
            finding["severity"] == "ok",
            finding["fix"].is_null(),
            "{finding}"
        );
    }
    findings
}

/// The findings of one source that are not `ok`.
fn bad<'f>(findings: &'f [Value], source: &str) -> Vec<&'f Value> {
    let own = findings
        .iter()
        .filter(|finding| finding["source"] == source && finding["severity"] != "ok");
    own.collect()
}

/// The statements of a source that give missing rights, with the severity `problem`.
fn statements(findings: &[Value], source: &str) -> Vec<String> {
    let problems = bad(findings, source)
        .into_iter()
        .filter(|finding| finding["severity"] == "problem");
    let statements = problems.flat_map(|finding| finding["statements"].as_array().unwrap().clone());
    statements
        .map(|statement| statement.as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn assert_no_problem(findings: &[Value]) {
    let problems: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["severity"] == "problem")
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[track_caller]
fn assert_finds(findings: &[Value], severity: &str, text: &str) {
    let found = findings.iter().any(|finding| {
        finding["severity"] == severity && finding["message"].as_str().unwrap().contains(text)
    });
    assert!(found, "{severity}: {text}: {findings:#?}");
}

fn mysql_login(session: &Session, server: &MariaDb) {
    let text = format!(
        "[client]\nsocket={}\nuser=br\npassword={PASSWORD}\n",
        server.socket().display()
    );
    session.write_secret("my.cnf", text);
}

const MYSQL: [&str; 4] = ["--mysql", "all", "--mysql-defaults-file", "my.cnf"];

fn back_up(br: &BrCmd, words: &[&str]) -> BrOutput {
    br.run(["backup"].iter().chain(words))
}

#[test]
fn rights_of_mysql_are_named_exactly() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql(&format!(
        "CREATE DATABASE shop; CREATE DATABASE tiny_flow; CREATE TABLE shop.t (id INT); CREATE VIEW shop.v AS SELECT * FROM shop.t;
         CREATE TRIGGER shop.before_t BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.id = 1; CREATE PROCEDURE shop.p() SELECT 1;
         CREATE USER br@localhost IDENTIFIED BY '{PASSWORD}'"
    ));
    let session = Session::with_repository();
    mysql_login(&session, &server);
    let found = findings(&session.br, &MYSQL, 1);
    assert_finds(
        &found,
        "ok",
        &format!(
            "at {} answers the user br@localhost",
            server.socket().display()
        ),
    );
    assert_finds(&found, "ok", "the binary log is on");
    let missing = statements(&found, "mysql");
    assert_eq!(
        missing,
        ["GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO 'br'@'localhost';"]
    );
    server.sql(&missing.concat());
    assert_no_problem(&findings(&session.br, &MYSQL, 0));
    back_up(&session.br, &MYSQL).expect(0);
    // One right at a time.
    for right in ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"] {
        server.sql(&format!("REVOKE {right} ON *.* FROM br@localhost"));
        let missing = statements(&findings(&session.br, &MYSQL, 1), "mysql");
        assert_eq!(
            missing,
            [format!("GRANT {right} ON *.* TO 'br'@'localhost';")]
        );
        server.sql(&missing.concat());
    }
    // Only one database, whose name is a pattern.
    server.sql("REVOKE ALL PRIVILEGES, GRANT OPTION FROM br@localhost; CREATE DATABASE tinyXflow; CREATE TABLE tiny_flow.old (id INT) ENGINE=MyISAM");
    let of_one = ["--mysql", "tiny_flow", MYSQL[2], MYSQL[3]];
    let missing = statements(&findings(&session.br, &of_one, 1), "mysql");
    assert_eq!(missing.len(), 2, "{missing:?}");
    server.sql(&missing.concat());
    let found = findings(&session.br, &of_one, 0);
    assert_finds(&found, "warning", "tiny_flow.old");
    back_up(&session.br, &of_one).expect(0);
    let other = ["--mysql", "tinyXflow", MYSQL[2], MYSQL[3]];
    assert_eq!(
        statements(&findings(&session.br, &other, 1), "mysql").len(),
        1
    );
    // The rights of a role count.
    server.sql(
        "CREATE ROLE reader; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO reader; GRANT reader TO br@localhost; SET DEFAULT ROLE reader FOR br@localhost",
    );
    findings(&session.br, &MYSQL, 0);
}

/// What the dump program does not report: without these rights, the dump has only a part, and the program succeeds.
#[test]
fn a_dump_with_the_printed_rights_is_as_large_as_that_of_root() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT); CREATE TRIGGER shop.before_t BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.id = 1;
         CREATE PROCEDURE shop.p() SELECT 'of p'; CREATE EVENT shop.nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO DELETE FROM shop.t;
         CREATE USER br@localhost IDENTIFIED BY '{PASSWORD}'"
    ));
    let session = Session::with_repository();
    mysql_login(&session, &server);
    let words = ["--mysql", "shop", MYSQL[2], MYSQL[3]];
    server.sql(&statements(&findings(&session.br, &words, 1), "mysql").concat());
    back_up(&session.br, &words).expect(0);
    let dump = session.run(["dump", "latest", "mysql/dump.sql"]).expect(0);
    for part in ["TRIGGER", "of p", "nightly", "CHANGE MASTER"] {
        assert!(dump.stdout.contains(part), "{part}: {}", dump.stdout);
    }
}

#[test]
fn rights_of_postgres_are_named_exactly() {
    let Some(server) = Postgres::start() else {
        return;
    };
    server.sql(
        "postgres",
        &format!("CREATE ROLE \"the reader\" LOGIN PASSWORD '{PASSWORD}'"),
    );
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("postgres", "CREATE DATABASE \"odd = 'name\"");
    server.sql("postgres", "REVOKE CONNECT ON DATABASE shop FROM PUBLIC");
    server.sql(
        "shop",
        "CREATE TABLE item (id serial); CREATE SCHEMA other; CREATE TABLE other.t (id int); CREATE EXTENSION hstore;
         ALTER TABLE item ENABLE ROW LEVEL SECURITY; SELECT lo_from_bytea(4711, 'a large object')",
    );
    server.sql(
        "odd = 'name",
        "SELECT lo_from_bytea(4712, 'a large object')",
    );
    let session = Session::with_repository();
    let folder = server.folder().display().to_string();
    let br = session
        .br
        .clone()
        .env("PGHOST", &folder)
        .env("PGUSER", "the reader");
    let words = ["--postgres", "all"];
    let mut rounds = Vec::new();
    // Who may not connect to a database does not see what it lacks in it.
    loop {
        let code = i32::from(rounds.len() < 2);
        let found = findings(&br, &words, code);
        let missing = statements(&found, "postgres");
        if missing.is_empty() {
            // The role that reads all tables also reads those.
            assert_finds(&found, "ok", "with their passwords");
            break;
        }
        back_up(&br, &words).expect(1);
        run_in_psql(&server, &missing);
        rounds.push(missing);
    }
    assert_eq!(rounds.len(), 2, "{rounds:#?}");
    let all = rounds.concat();
    for expected in [
        "GRANT CONNECT ON DATABASE \"shop\" TO \"the reader\";",
        "GRANT pg_read_all_data TO \"the reader\";",
        "ALTER ROLE \"the reader\" BYPASSRLS;",
    ] {
        assert!(all.iter().any(|one| one == expected), "{all:#?}");
    }
    let output = back_up(&br, &words).expect(0);
    assert!(!output.stderr.contains(PASSWORD), "{output}");
    // The owner of everything needs no role.
    server.sql("postgres", "CREATE ROLE owner LOGIN");
    server.sql("postgres", "CREATE DATABASE own OWNER owner");
    let owner = br.clone().env("PGUSER", "owner");
    let found = findings(&owner, &["--postgres", "own"], 0);
    assert_finds(&found, "advice", "not those that others create later");
    let found = findings(&br.env("PGUSER", "postgres"), &words, 0);
    assert_finds(&found, "ok", "is a superuser");
    assert_finds(&found, "advice", "does not archive its WAL");
    assert_finds(&found, "ok", &format!("at {folder}/.s.PGSQL."));
}

/// Runs statements as an administrator does who copies them.
fn run_in_psql(server: &Postgres, statements: &[String]) {
    let mut psql = server.client("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]);
    let script = statements.join("\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    fs::write(&file, script).unwrap();
    let output = psql.arg("-f").arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn rights_of_redis_are_named_exactly() {
    let Some(server) = Redis::start() else {
        return;
    };
    let session = Session::with_repository();
    session.write_secret("redis.password", PASSWORD);
    let socket = server.socket().display().to_string();
    let words = [
        "--redis",
        &socket,
        "--redis-user",
        "br",
        "--redis-password",
        "file:redis.password",
    ];
    let login = format!(">{PASSWORD}");
    let reset = |rules: &[&str]| {
        let start = ["ACL", "SETUSER", "br", "reset", "on", &login];
        let all: Vec<&str> = start.iter().chain(rules).copied().collect();
        assert_eq!(server.ask(&all), "OK");
    };
    for rules in [
        &[][..],
        &["+ping", "+info"],
        &["+info", "+acl|list", "+config|get"],
        &["+@all", "-@dangerous", "+info", "+acl|list", "+config|get"],
    ] {
        reset(rules);
        let missing = statements(&findings(&session.br, &words, 1), "redis");
        assert_eq!(missing.len(), 1, "{rules:?}: {missing:?}");
        assert!(missing[0].starts_with("ACL SETUSER br +"), "{missing:?}");
        back_up(&session.br, &words).expect(1);
        let output = server
            .client()
            .args(missing[0].split(' '))
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"OK\n", "{missing:?}");
        let found = findings(&session.br, &words, 0);
        assert_finds(&found, "ok", "may run all commands");
        let output = back_up(&session.br, &words).expect(0);
        assert!(!output.stderr.contains("not backed up"), "{output}");
    }
    // Without the settings, a backup works.
    reset(&["+info", "+replconf", "+sync", "+acl|list"]);
    let found = findings(&session.br, &words, 0);
    assert_finds(&found, "warning", "+config|get");
    assert_finds(&found, "ok", &format!("at {socket} answers the user br"));
    back_up(&session.br, &words).expect(0);
    reset(&["+info", "+sync", "+acl|list", "+config|get"]);
    let found = findings(&session.br, &words, 0);
    assert_finds(&found, "warning", "+replconf");
    back_up(&session.br, &words).expect(0);
    server.ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    reset(&["+@all"]);
    let found = findings(&session.br, &words, 0);
    assert_finds(&found, "advice", "allkeys-lru");
    assert_finds(&found, "advice", "in memory only");
    session.write_secret("redis.password", "wrong");
    let found = findings(&session.br, &words, 1);
    assert_finds(&found, "problem", "WRONGPASS");
    server.ask(&["CONFIG", "SET", "requirepass", PASSWORD]);
    let found = findings(&session.br, &words[..2], 1);
    assert_finds(&found, "problem", "NOAUTH");
}

#[test]
fn the_tag_of_a_user_of_rabbitmq_is_named() {
    let Some(server) = RabbitMq::start() else {
        return;
    };
    let session = Session::with_repository();
    session.write_secret("rabbitmq.password", PASSWORD);
    let address = server.address();
    let words = [
        "--rabbitmq",
        &address,
        "--rabbitmq-user",
        "the-br",
        "--rabbitmq-password",
        "file:rabbitmq.password",
    ];
    for tags in ["", "monitoring", "management,policymaker"] {
        let user = json!({"password": PASSWORD, "tags": tags});
        server.ask("PUT", "users/the-br", &user);
        let missing = statements(&findings(&session.br, &words, 1), "rabbitmq");
        let kept = tags.replace(',', " ");
        let line = format!("rabbitmqctl set_user_tags the-br {kept} administrator");
        assert_eq!(missing, [line.replace("  ", " ")]);
        back_up(&session.br, &words).expect(1);
        // What the command does, over HTTP: it would need the cookie of the node.
        let all = missing[0].split(' ').skip(3).collect::<Vec<_>>().join(",");
        server.ask(
            "PUT",
            "users/the-br",
            &json!({"password": PASSWORD, "tags": all}),
        );
        let found = findings(&session.br, &words, 0);
        assert_finds(&found, "ok", "runs without alarms");
        assert_finds(
            &found,
            "ok",
            &format!("at {address} answers the user the-br"),
        );
        back_up(&session.br, &words).expect(0);
    }
    session.write_secret("rabbitmq.password", "wrong");
    let found = findings(&session.br, &words, 1);
    assert_eq!(bad(&found, "rabbitmq").len(), 1, "{found:#?}");
    assert!(statements(&found, "rabbitmq").is_empty());
}

#[test]
fn servers_that_are_away_do_not_hide_other_findings() {
    let session = Session::with_repository();
    session.write_secret("my.cnf", "[client]\nsocket=/no/such/socket\n");
    session.write_secret("rabbitmq.password", PASSWORD);
    // It accepts connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let br = session.br.clone().env("PGHOST", "/no/such/folder");
    let words = [
        "--mysql",
        "all",
        "--mysql-defaults-file",
        "my.cnf",
        "--postgres",
        "all",
        "--redis",
        &silent,
        "--rabbitmq",
        "http://127.0.0.1:1",
        "--rabbitmq-password",
        "file:rabbitmq.password",
        "--stream",
        "x.sql=no-such-program --password=swordfish-ü-of-br | gzip",
        "--",
        "docs",
        "gone",
    ];
    let found = findings(&br, &words, 1);
    for (source, text) in [
        ("mysql", "/no/such/socket"),
        ("postgres", "/no/such/folder"),
        ("redis", "did not answer"),
        ("rabbitmq", "127.0.0.1:1"),
        ("files", "gone"),
        ("stream x.sql", "no-such-program"),
    ] {
        let own = bad(&found, source);
        assert!(
            own.iter().any(|one| one["severity"] == "problem"
                && one["message"].as_str().unwrap().contains(text)),
            "{source}: {own:#?}"
        );
    }
    assert_finds(&found, "warning", "gets `|`");
    assert_finds(&found, "ok", "opens: format");
}

#[test]
fn missing_and_old_programs_are_named() {
    let (Some(mysql), Some(postgres)) = (MariaDb::start(), Postgres::start()) else {
        return;
    };
    mysql.sql("CREATE DATABASE shop");
    let session = Session::with_repository();
    let text = format!("[client]\nsocket={}\nuser=root\n", mysql.socket().display());
    session.write_secret("my.cnf", text);
    let folder = postgres.folder().display().to_string();
    let words = [&MYSQL[..], &["--postgres", "all"]].concat();
    let tools = session.at("tools");
    fs::create_dir(&tools).unwrap();
    let br = session
        .br
        .clone()
        .env("PGHOST", &folder)
        .env("PGUSER", "postgres")
        .env("PATH", &tools.display().to_string());
    let found = findings(&br, &words, 1);
    assert_eq!(bad(&found, "mysql").len(), 1);
    assert_finds(&found, "problem", "mysql cannot be started");
    assert_finds(&found, "problem", "psql cannot be started");
    // The clients without the dump programs; then old ones.
    for name in ["mariadb", "psql"] {
        script(
            &tools.join(name),
            &format!("PATH=/usr/bin:/bin exec /usr/bin/{name} \"$@\""),
        );
    }
    let found = findings(&br, &words, 1);
    assert_finds(&found, "problem", "needs mariadb-dump");
    script(
        &tools.join("mariadb-dump"),
        "echo 'mariadb-dump  Ver 10.1 Distrib 5.5.1-MariaDB, for x'",
    );
    script(&tools.join("pg_dump"), "echo 'pg_dump (PostgreSQL) 9.6'");
    let found = findings(
        &br,
        &words,
        i32::from(!Path::new("/usr/lib/postgresql").exists()),
    );
    assert_finds(&found, "warning", "5.5.1 is older than the server");
    // Without a home, clients do not find their files.
    let mut command = br.command(["doctor", "--json"].iter().chain(&words));
    let output: BrOutput = command.env_remove("HOME").output().unwrap().into();
    let report = parse(&output.stdout);
    let found = report["findings"].as_array().unwrap();
    assert_finds(found, "warning", "HOME is not set");
}

fn script(file: &Path, text: &str) {
    fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_set_without_problems_exits_with_0() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT)");
    let session = Session::new();
    let text = format!(
        "[client]\nsocket={}\nuser=root\n",
        server.socket().display()
    );
    session.write_secret("my.cnf", text);
    session.write_secret("main.password", PASSWORD);
    let at = |path: &str| session.at(path).display().to_string();
    let config = |more: &str| {
        let config = format!(
            "[defaults]\nrepository = \"main\"\n[repositories.main]\nlocation = \"{}\"\npassword = \"file:{}\"\n\
             [sets.shop]\npaths = [\"{}\"]\nmysql = [\"all\"]\nmysql-defaults-file = \"{}\"\nbefore = [\"true\"]\n{more}",
            at("repository"),
            at("main.password"),
            at("docs"),
            at("my.cnf")
        );
        session.write_secret("br.toml", config);
    };
    config("");
    let br = session
        .br
        .clone()
        .env("BR_REPOSITORY", "")
        .env("BR_CONFIG", &at("br.toml"));
    let found = findings(&br, &["shop"], 1);
    assert_finds(&found, "problem", "no repository");
    br.run(["-r", "main", "init", "--quiet"]).expect(0);
    let found = findings::<&str>(&br, &[], 0);
    assert_finds(&found, "ok", "opens: format");
    assert_finds(&found, "advice", "there is no backup of this set");
    br.run(["run"]).expect(0);
    let found = findings(&br, &["shop"], 0);
    assert_finds(&found, "ok", "old, and complete");
    let sets: Vec<&Value> = found.iter().filter(|one| one["set"] == "shop").collect();
    assert!(sets.len() >= 6, "{found:#?}");
    let text = br.run(["doctor"]).expect(0).stdout;
    assert!(
        text.contains("\nset shop: mysql\n  ok       MariaDB 10."),
        "{text}"
    );
    let quiet = br.run(["doctor", "--quiet"]).expect(0);
    assert!(!quiet.stdout.contains("  ok "), "{quiet}");
    br.run(["doctor", "nowhere"]).expect(2);
    br.run(["doctor", "shop", "--mysql", "all"]).expect(2);
    br.run(["-r", "main", "doctor", "shop"]).expect(2);

    // A further repository, which does not exist yet.
    config("copy-to = [\"other\"]\n[repositories.other]\nlocation = \"./other\"\n");
    let found = findings(&br, &["shop"], 1);
    let problem = found.iter().find(|one| one["severity"] == "problem");
    assert_eq!(problem.unwrap()["source"], "./other", "{found:#?}");
    br.run(["run"]).expect(3);
    br.run([
        "-r",
        "other",
        "--password-file",
        "main.password",
        "init",
        "--quiet",
    ])
    .expect(0);
    br.run(["run"]).expect(0);
    let found = findings(&br, &["shop"], 0);
    assert_finds(&found, "ok", "./other: the newest backup is");
    // Commands that cannot work.
    config("after = [\"no-such-program\", \"echo a | mail\"]\nverify = [\"/no/such/check\"]\n");
    let found = findings(&br, &["shop"], 1);
    assert_finds(&found, "problem", "not in PATH: no-such-program");
    assert_finds(&found, "warning", "/no/such/check");
    assert_finds(&found, "warning", "`after`: the program echo gets `|`");
    // A password that does not open the repository.
    config("");
    session.write_secret("main.password", "another");
    let found = findings(&br, &["shop"], 1);
    assert_finds(&found, "problem", "password");
    assert_finds(&found, "ok", "MariaDB");
}

#[test]
fn a_schedule_and_a_wrong_clock_are_found() {
    let session = Session::with_backup();
    let found = findings::<&str>(&session.br, &[], 0);
    assert_finds(&found, "ok", "no backup is from the future");
    session.write(
        ".config/systemd/user/nightly.service",
        "[Service]\nExecStart=/usr/bin/br run shop\n",
    );
    session.write(
        ".config/systemd/user/nightly.timer",
        "[Timer]\nOnCalendar=daily\n",
    );
    let found = findings::<&str>(&session.br, &[], 0);
    assert_finds(
        &found,
        "advice",
        "nightly.timer would run br, and is not enabled",
    );
    session.write(".config/systemd/user/timers.target.wants/nightly.timer", "");
    let found = findings::<&str>(&session.br, &[], 0);
    assert_finds(&found, "ok", "nightly.timer runs br");
    // A backup from tomorrow.
    let faketime = Command::new("faketime").arg("--version").output();
    if faketime.is_ok_and(|output| output.status.success()) {
        let program = env!("CARGO_BIN_EXE_br-dup");
        let later = session.br.clone().program("faketime");
        later.run(["+1 day", program, "backup", "docs"]).expect(0);
        let found = findings::<&str>(&session.br, &[], 0);
        assert_finds(&found, "warning", "from the future");
    }
}

#[test]
fn it_changes_nothing() {
    let session = Session::with_backup();
    let before = super::still(session.at("repository"));
    session.run(["doctor"]).expect(0);
    assert_eq!(super::still(session.at("repository")), before);
    session.write("cache/journal/of-a-repository/1.journal", "");
    let output = session.run(["doctor"]).expect(0);
    assert!(output.stdout.contains("was interrupted"), "{output}");
    fs::remove_dir_all(session.at("repository")).unwrap();
    let output = session.run(["doctor"]).expect(1);
    assert!(output.stdout.contains("fix: "), "{output}");
    assert!(!session.at("repository").exists());
    // Without a repository and a set, br looks at the machine.
    let nowhere = session.br.clone().env("BR_REPOSITORY", "");
    let found = findings::<&str>(&nowhere, &[], 0);
    assert_finds(&found, "advice", "only at this machine");
}
