//! `br backup --postgres`, with a real PostgreSQL.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use br_testkit::{BrCmd, BrOutput, Postgres};

use super::{Session, files_below};

/// Every kind of thing that dumps get wrong.
const AWKWARD: &str = r#"
CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore;
CREATE DOMAIN price AS numeric(12,4) CHECK (VALUE >= 0);
CREATE TYPE kind AS ENUM ('a', 'ü'); CREATE TYPE pair AS (x int, y text);
CREATE TABLE item (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE, data bytea, doc jsonb, tags text[], k kind, p pair, cost price, h hstore,
  at timestamptz DEFAULT now(), span int4range, twice numeric GENERATED ALWAYS AS (cost * 2) STORED, EXCLUDE USING gist (span WITH &&)
);
INSERT INTO item (name, data, doc, tags, k, p, cost, h, at, span)
  VALUES (E'Müller 🦀 \'"\\\n', '\x00ff0a0d27', '{"a": [1, "ü"]}', '{x,"y z"}', 'ü', '(1,"b c")', 12.3456, 'a=>1', '2026-11-29 12:00:00.123456+01', '[1,5)');
INSERT INTO item (name, data) SELECT md5(n::text), decode(repeat(md5(n::text), 50), 'hex') FROM generate_series(1, 2000) n;
CREATE TABLE part (id bigserial, item int REFERENCES item ON DELETE CASCADE, note varchar(5) COLLATE "C");
INSERT INTO part (item) SELECT id FROM item LIMIT 100; SELECT nextval('part_id_seq');
CREATE TABLE slices (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE slices_2026 PARTITION OF slices FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); CREATE TABLE slices_rest PARTITION OF slices DEFAULT;
INSERT INTO slices VALUES (1, '2026-05-05'), (2, '1999-01-01');
CREATE VIEW second_view AS SELECT id, name FROM item; CREATE VIEW first_view AS SELECT * FROM second_view WHERE id > 1;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM item; CREATE INDEX ON item USING gin (doc);
CREATE FUNCTION changed() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $f$;
CREATE TRIGGER on_part BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION changed();
ALTER TABLE item ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON item FOR SELECT TO anna USING (id < 10);
GRANT SELECT ON item TO anna; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anna;
CREATE PUBLICATION pub FOR TABLE item; COMMENT ON TABLE item IS 'it''s an item';
CREATE TABLE "odd ""Name" ("a b" int, "select" text); INSERT INTO "odd ""Name" VALUES (1, E'tab\there');
CREATE UNLOGGED TABLE quick (id int); CREATE SCHEMA other; CREATE TABLE other.t (id int);
SELECT lo_from_bytea(4711, 'a large object');
"#;

/// A br that finds the server.
fn br_for(session: &Session, server: &Postgres) -> BrCmd {
    let folder = server.folder().display().to_string();
    session
        .br
        .clone()
        .env("PGHOST", &folder)
        .env("PGUSER", "postgres")
}

fn restore(br: &BrCmd, path: &str, words: &[&str]) -> BrOutput {
    br.run(
        ["restore", "latest", path, "--to-command", "--"]
            .iter()
            .chain(words),
    )
}

/// A dump of a database by the program itself, without the lines that differ each time.
fn dump(server: &Postgres, database: &str) -> String {
    let output = server
        .client("pg_dump")
        .env("PGDATABASE", database)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

fn two_servers() -> Option<(Postgres, Postgres)> {
    Some((Postgres::start()?, Postgres::start()?))
}

#[test]
fn a_server_with_everything_awkward_comes_back() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.sql("postgres", "CREATE ROLE anna LOGIN PASSWORD 'a password'");
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("postgres", "CREATE DATABASE \"odd = 'name\"");
    server.sql("shop", AWKWARD);
    server.sql(
        "odd = 'name",
        "CREATE TABLE t (id int); INSERT INTO t VALUES (5)",
    );
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let output = br.run(["backup", "--postgres", "all"]).expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(
        listed.contains("postgres/shop.dump") && listed.contains("postgres/odd = 'name.dump"),
        "{listed}"
    );
    let br = br_for(&session, &other);
    restore(
        &br,
        "postgres/globals.sql",
        &["psql", "-X", "-q", "-d", "postgres"],
    )
    .expect(0);
    for database in ["shop", "odd = 'name"] {
        other.sql("postgres", &format!("CREATE DATABASE \"{database}\""));
        let connection = format!("dbname='{}'", database.replace('\'', "\\'"));
        let words = [
            "pg_restore",
            "--exit-on-error",
            "--single-transaction",
            "-d",
            &connection,
        ];
        restore(&br, &format!("postgres/{database}.dump"), &words).expect(0);
        assert_eq!(
            dump(&server, database),
            dump(&other, database),
            "{database}"
        );
    }
    assert_eq!(
        other.sql("shop", "SELECT convert_from(lo_get(4711), 'UTF8')"),
        "a large object\n"
    );
    let password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'anna'";
    assert_eq!(
        server.sql("postgres", password),
        other.sql("postgres", password)
    );
    // Only a part, and with the settings of the database.
    let words = [
        "pg_restore",
        "--exit-on-error",
        "--create",
        "-d",
        "postgres",
    ];
    other.sql("postgres", "DROP DATABASE shop");
    restore(&br, "postgres/shop.dump", &words).expect(0);
    assert_eq!(dump(&server, "shop"), dump(&other, "shop"));
}

/// Money moves between accounts all the time while `work` runs, and the sum never changes. Returns the number of transfers.
pub(super) fn with_transfers(server: &Postgres, work: impl FnOnce()) -> u32 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                rounds += 1;
                let id = rounds % 2_000 + 1;
                server.sql(
                    "bank",
                    &format!("BEGIN; UPDATE one SET amount = amount - 7 WHERE id = {id}; UPDATE two SET amount = amount + 7 WHERE id = {}; COMMIT", 2_001 - id),
                );
            }
            rounds
        });
        let stopper = Stopper(&stop);
        work();
        drop(stopper);
        writer.join().unwrap()
    })
}

/// Ends the transfers, also when a test fails: otherwise it would never end.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Two tables with 2,000 accounts each, and 4,000,000 in all.
pub(super) fn make_bank(server: &Postgres) {
    server.sql("postgres", "CREATE DATABASE bank");
    server.sql(
        "bank",
        "CREATE TABLE one (id int PRIMARY KEY, amount int); CREATE TABLE two (LIKE one INCLUDING ALL);
         INSERT INTO one SELECT n, 1000 FROM generate_series(1, 2000) n; INSERT INTO two SELECT * FROM one",
    );
}

/// The sum must be right in every restored copy.
#[test]
fn a_dump_is_of_one_moment() {
    let Some(server) = Postgres::start() else {
        return;
    };
    make_bank(&server);
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let rounds = with_transfers(&server, || {
        let mut sums = Vec::new();
        for _ in 0..20 {
            br.run(["backup", "--postgres", "bank"]).expect(0);
            server.sql("postgres", "CREATE DATABASE copy");
            restore(
                &br,
                "postgres/bank.dump",
                &["pg_restore", "--exit-on-error", "-d", "copy"],
            )
            .expect(0);
            sums.push(server.sql(
                "copy",
                "SELECT sum(amount) FROM (SELECT * FROM one UNION ALL SELECT * FROM two) a",
            ));
            server.sql("postgres", "DROP DATABASE copy");
        }
        assert!(sums.iter().all(|sum| sum == "4000000\n"), "{sums:?}");
    });
    assert!(rounds > 20);
}

#[test]
fn what_a_server_refuses_is_named() {
    let Some(server) = Postgres::start() else {
        return;
    };
    server.sql("postgres", "CREATE DATABASE shop");
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let missing = br.run(["backup", "--postgres", "shop,gone"]).expect(1);
    assert!(missing.stderr.contains("no database `gone`"), "{missing}");
    br.run(["backup", "--postgres", "all,shop"]).expect(2);
    let denied = br
        .clone()
        .env("PGUSER", "nobody")
        .run(["backup", "--postgres", "shop"])
        .expect(1);
    assert!(denied.stderr.contains("nobody"), "{denied}");
    // The rights that the document names are enough.
    server.sql(
        "postgres",
        "CREATE ROLE reader LOGIN PASSWORD 'x'; GRANT pg_read_all_data TO reader",
    );
    let reader = br.clone().env("PGUSER", "reader");
    let output = reader.run(["backup", "--postgres", "all"]).expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
    let globals = ["dump", "latest", "postgres/globals.sql"];
    let globals = session.run(globals).expect(0).stdout;
    assert!(globals.contains("PASSWORD 'SCRAM"), "{globals}");
    server.sql("postgres", "CREATE ROLE limited LOGIN");
    let limited = br.clone().env("PGUSER", "limited");
    let output = limited.run(["backup", "--postgres", "shop"]).expect(0);
    assert!(
        output.stderr.contains("without their passwords"),
        "{output}"
    );
    // Without the server, the backup has the files.
    let lost = br.clone().env("PGHOST", "/no/such/folder");
    let partial = lost.run(["backup", "docs", "--postgres", "shop"]).expect(3);
    assert!(
        partial.stderr.contains("the server cannot be used"),
        "{partial}"
    );
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(
        listed.contains("docs/a.txt") && !listed.contains("postgres"),
        "{listed}"
    );
    // An old pg_dump in PATH is passed over, and if there is no other one, the error says what is needed.
    let tools = session.at("tools");
    fs::create_dir(&tools).unwrap();
    for (name, script) in [
        ("pg_dump", "echo 'pg_dump (PostgreSQL) 9.6'"),
        (
            "psql",
            "case \"$*\" in *num*) echo 990000;; *) echo 99.0;; esac",
        ),
    ] {
        fs::write(tools.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let newer = br
        .clone()
        .env("PATH", &path)
        .run(["backup", "--postgres", "all"])
        .expect(1);
    assert!(
        newer.stderr.contains("version 9") && newer.stderr.contains("postgresql-client-99"),
        "{newer}"
    );
    fs::remove_file(tools.join("psql")).unwrap();
    if std::path::Path::new("/usr/lib/postgresql").exists() {
        br.env("PATH", &path)
            .run(["backup", "--postgres", "shop"])
            .expect(0);
    }
}

#[test]
fn a_restore_into_a_server_replaces_databases_only_if_asked_and_names_failures() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    for database in ["shop", "odd = 'name"] {
        server.sql("postgres", &format!("CREATE DATABASE \"{database}\""));
        server.sql(
            database,
            "CREATE TABLE t AS SELECT generate_series(1, 1000) id",
        );
    }
    server.sql(
        "postgres",
        "CREATE TABLE kept (id int); CREATE ROLE anna LOGIN PASSWORD 'a password'",
    );
    server.sql("postgres", "ALTER DATABASE shop OWNER TO anna");
    let session = Session::with_repository();
    br_for(&session, &server)
        .run(["backup", "--postgres", "all"])
        .expect(0);
    let shown = session.run(["show", "latest"]).expect(0).stdout;
    assert!(
        shown.contains("PostgreSQL 1") && shown.contains("a socket, port"),
        "{shown}"
    );

    let br = br_for(&session, &other);
    let restore = |path: &str, more: &[&str]| {
        let words = ["restore", "latest", path, "--to-postgres"];
        br.run(words.iter().chain(more))
    };
    // The role `postgres` exists already, which is no failure, also not the second time.
    for _ in 0..2 {
        restore("postgres/globals.sql", &[]).expect(0);
    }
    for database in ["shop", "odd = 'name"] {
        let path = format!("postgres/{database}.dump");
        restore(&path, &[]).expect(0);
        let refused = restore(&path, &[]).expect(1);
        assert!(refused.stderr.contains("--replace-database"), "{refused}");
        other.sql(database, "DELETE FROM t");
        let mut busy = other.client("psql");
        let busy = busy
            .env("PGDATABASE", database)
            .args(["-c", "SELECT pg_sleep(60)"]);
        let mut busy = busy.stdout(Stdio::null()).spawn().unwrap();
        while other.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'",
        ) == "0\n"
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let refused = restore(&path, &["--replace-database"]).expect(1);
        assert!(
            refused.stderr.contains("connected to it: psql"),
            "{refused}"
        );
        assert_eq!(other.sql(database, "SELECT count(*) FROM t"), "0\n");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        other.sql("postgres", end);
        busy.wait().unwrap();
        restore(&path, &["--replace-database"]).expect(0);
        assert_eq!(other.sql(database, "SELECT count(*) FROM t"), "1000\n");
    }
    restore("postgres/postgres.dump", &["--replace-database"]).expect(0);
    assert_eq!(other.sql("postgres", "SELECT count(*) FROM kept"), "0\n");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(other.sql("postgres", owner), "anna\n");

    what_cannot_be_restored_changes_nothing(&session, &other);
}

fn what_cannot_be_restored_changes_nothing(session: &Session, other: &Postgres) {
    let br = br_for(session, other);
    let restore = |path: &str, more: &[&str]| {
        let words = ["restore", "latest", path, "--to-postgres"];
        br.run(words.iter().chain(more))
    };
    // A user without the rights: each statement that fails counts.
    other.sql("postgres", "CREATE ROLE reader LOGIN; DROP OWNED BY anna");
    let denied = br.clone().env("PGUSER", "reader");
    let words = ["restore", "latest", "postgres/globals.sql", "--to-postgres"];
    let denied = denied.run(words).expect(1);
    assert!(denied.stderr.contains("42501"), "{denied}");
    let missing = restore("postgres/none.dump", &[]).expect(2);
    assert!(
        missing.stderr.contains("has no `postgres/none.dump`"),
        "{missing}"
    );

    // A restore that fails leaves the old database: without its owner, and with damaged data.
    other.sql(
        "postgres",
        "ALTER DATABASE shop OWNER TO postgres; DROP ROLE anna",
    );
    let failed = restore("postgres/shop.dump", &["--replace-database"]).expect(1);
    assert!(failed.stderr.contains("as it was before"), "{failed}");
    assert_eq!(other.sql("shop", "SELECT count(*) FROM t"), "1000\n");
    for pack in files_below(&session.at("repository/packs")) {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    other.sql("shop", "INSERT INTO t VALUES (0)");
    restore("postgres/shop.dump", &["--replace-database"]).expect(14);
    assert_eq!(other.sql("shop", "SELECT count(*) FROM t"), "1001\n");
    let names = "SELECT datname FROM pg_database WHERE datname LIKE '%before%'";
    assert_eq!(other.sql("postgres", names), "");
}

#[test]
fn a_set_restores_only_the_databases_that_it_names() {
    let Some(server) = Postgres::start() else {
        return;
    };
    for database in ["shop", "crm"] {
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        server.sql(database, "CREATE TABLE t (id int)");
    }
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let configure = |databases: &str| {
        let location = session.at("repository");
        let config = format!(
            "[repositories.main]\nlocation = {location:?}\n[sets.shop]\nrepository = \"main\"\npostgres = [{databases}]\n"
        );
        session.write_secret("br.toml", config);
    };
    let run = |words: &[&str]| br.run(["--config", "br.toml"].iter().chain(words));
    configure("\"all\"");
    run(&["run"]).expect(0);
    server.sql("crm", "INSERT INTO t VALUES (1)");
    server.sql("shop", "INSERT INTO t VALUES (1)");
    configure("\"shop\"");
    let output = run(&["restore", "latest", "--execute", "--yes"]).expect(0);
    assert!(
        output.stderr.contains("no step restores postgres/crm.dump"),
        "{output}"
    );
    assert_eq!(server.sql("crm", "SELECT count(*) FROM t"), "1\n");
    assert_eq!(server.sql("shop", "SELECT count(*) FROM t"), "0\n");
    configure("\"shop\", \"gone\"");
    let refused = run(&["restore", "latest", "--execute", "--yes"]).expect(2);
    assert!(refused.stderr.contains("postgres/gone.dump"), "{refused}");
}

#[test]
fn a_dump_that_a_wrapper_cuts_makes_no_backup() {
    let Some(server) = Postgres::start() else {
        return;
    };
    for n in 0..100 {
        server.sql("postgres", &format!("CREATE ROLE r{n}"));
    }
    let session = Session::with_repository();
    let folder = server.folder().display();
    let script = format!(
        "#!/bin/sh\necho 'a banner' >&2; case \"$*\" in *globals*) echo 'a banner'; PGHOST='{folder}' PGUSER=postgres \"$@\" | head -c 3000; exit 0;; esac\nPGHOST='{folder}' PGUSER=postgres exec \"$@\"\n"
    );
    let path = session.at("wrapper");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let path = path.display().to_string();
    let words = ["backup", "--postgres", "all", "--postgres-through", &path];
    let output = session.run(words).expect(1);
    assert!(output.stderr.contains("cluster dump complete"), "{output}");
}

#[test]
fn programs_that_look_at_a_server_get_no_passwords_of_br() {
    let session = Session::with_repository();
    let path = session.at("wrapper");
    fs::write(&path, "#!/bin/sh\nenv >> environment\nexit 1\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let path = path.display().to_string();
    let br = session
        .br
        .clone()
        .env("BR_RABBITMQ_PASSWORD", "first secret");
    let br = br.env("BR_REDIS_PASSWORD", "second secret");
    br.run(["backup", "--postgres", "all", "--postgres-through", &path])
        .expect(1);
    br.run(["backup", "--mysql", "all", "--mysql-through", &path])
        .expect(1);
    br.run(["doctor", "--postgres", "all", "--postgres-through", &path])
        .expect(1);
    let environment = fs::read_to_string(session.at("environment")).unwrap();
    assert!(
        environment.contains("PATH=") && !environment.contains("secret"),
        "{environment}"
    );
}

/// A command like `docker exec`: it runs what comes after `exec -i NAME` where only that finds the server.
fn container(session: &Session, server: &Postgres) -> String {
    let folder = server.folder().display();
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2 $3\" = 'exec -i db' ] || exit 125\nshift 3\nPGHOST='{folder}' PGUSER=postgres exec \"$@\"\n"
    );
    let path = session.at("docker");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_server_in_a_container_is_backed_up_and_restored_with_the_programs_in_it() {
    let Some(server) = Postgres::start() else {
        return;
    };
    server.sql("postgres", "CREATE DATABASE \"odd = 'name\"");
    server.sql(
        "odd = 'name",
        "CREATE TABLE t AS SELECT generate_series(1, 1000) id",
    );
    let session = Session::with_repository();
    let docker = container(&session, &server);
    let config = format!(
        "[repositories.main]\nlocation = {:?}\n[sets.shop]\nrepository = \"main\"\npostgres = [\"odd = 'name\"]\npostgres-through = \"{docker} exec -i db\"\n",
        session.at("repository")
    );
    session.write_secret("br.toml", config);
    let br = session.br.clone().env("PGHOST", "/no/such/folder");
    let run = |words: &[&str]| br.run(["--config", "br.toml"].iter().chain(words));
    run(&["run"]).expect(0);
    server.sql("odd = 'name", "DELETE FROM t");
    run(&["restore", "latest", "--execute", "--yes"]).expect(0);
    assert_eq!(
        server.sql("odd = 'name", "SELECT count(*) FROM t"),
        "1000\n"
    );

    // The container has no such program, or is not there.
    let words = ["backup", "--postgres", "all", "--postgres-through"];
    for (command, reason) in [
        (
            format!("{docker} exec -i other"),
            "the server cannot be used",
        ),
        (
            "/no/such/docker exec".to_owned(),
            "/no/such/docker cannot be started",
        ),
    ] {
        let output = br
            .run(words.iter().copied().chain([command.as_str()]))
            .expect(1);
        assert!(output.stderr.contains(reason), "{output}");
    }
}
