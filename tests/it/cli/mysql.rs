//! `br backup --mysql`, with a real MariaDB.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use br_testkit::{BrOutput, MariaDb};

use super::{Session, json};

/// Every kind of thing that dumps get wrong.
const AWKWARD: &str = r#"
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE `odd name-1`;
USE shop;
CREATE TABLE item (
  id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100), data LONGBLOB, doc JSON, flags BIT(10), place GEOMETRY,
  price DECIMAL(12,4), at DATETIME(6), year YEAR, kind ENUM('a','ü'), more SET('x','y'), hidden INT INVISIBLE DEFAULT 7,
  twice DECIMAL(12,4) AS (price * 2) VIRTUAL, kept INT AS (hidden * 3) STORED, UNIQUE (name), CHECK (price >= 0)
) ENGINE=InnoDB;
INSERT INTO item (name, data, doc, flags, place, price, at, year, kind, more)
  VALUES ('Müller 🦀 \'"\\', X'00ff0a0d27', '{"a": [1, "ü"]}', b'1010101010', POINT(1, 2), 12.3456, '2026-11-29 12:00:00.123456', 2026, 'ü', 'x,y');
INSERT INTO item (name, data) VALUES ('large', REPEAT(X'0102', 100000)), (NULL, NULL), ('', '');
CREATE TABLE part (id INT PRIMARY KEY, item INT, FOREIGN KEY (item) REFERENCES item (id) ON DELETE CASCADE);
INSERT INTO part VALUES (1, 1), (2, 2);
CREATE TABLE history (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING;
INSERT INTO history VALUES (1, 10); UPDATE history SET v = 11; DELETE FROM history;
CREATE TABLE slices (id INT, PRIMARY KEY (id)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO slices VALUES (1), (100);
CREATE SEQUENCE numbers START WITH 100; SELECT NEXTVAL(numbers);
CREATE VIEW second_view AS SELECT id, name FROM item; CREATE VIEW first_view AS SELECT * FROM second_view WHERE id > 1;
CREATE TABLE `odd ``name` (`a b` INT, `select` TEXT);
INSERT INTO `odd ``name` VALUES (1, 'x');
CREATE TABLE `odd name-1`.t (id INT); INSERT INTO `odd name-1`.t VALUES (5);
CREATE USER anna@'%' IDENTIFIED BY 'a password'; GRANT SELECT, INSERT ON shop.* TO anna@'%';
"#;

/// Statements with a delimiter of their own.
const ROUTINES: [&str; 4] = [
    "CREATE PROCEDURE shop.both() BEGIN SELECT 1; SELECT 'ü'; END",
    "CREATE FUNCTION shop.twice(n INT) RETURNS INT DETERMINISTIC BEGIN RETURN n * 2; END",
    "CREATE TRIGGER shop.before_item BEFORE INSERT ON shop.item FOR EACH ROW SET NEW.name = CONCAT(NEW.name, '')",
    "CREATE EVENT shop.nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM shop.part WHERE id < 0",
];

impl Session {
    /// With an option file for the server.
    fn for_server(server: &MariaDb) -> Self {
        let session = Self::with_repository();
        let options = format!(
            "[client]\nsocket={}\nuser=root\n",
            server.socket().display()
        );
        session.write_secret("my.cnf", options);
        session
    }

    fn back_up_mysql(&self, databases: &str) -> BrOutput {
        self.run([
            "backup",
            "--mysql",
            databases,
            "--mysql-defaults-file",
            "my.cnf",
        ])
    }

    fn restore_mysql(&self, path: &str, server: &MariaDb) -> BrOutput {
        let start = ["restore", "latest", path, "--to-command", "--"].map(str::to_owned);
        self.br
            .run(start.into_iter().chain(server.words("mariadb")))
    }
}

/// A dump of everything, by the program itself.
fn dump(server: &MariaDb) -> String {
    let mut program = server.client("mariadb-dump");
    program.args([
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--skip-dump-date",
        "--dump-history",
    ]);
    let output = program
        .args(["--databases", "shop", "odd name-1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn two_servers() -> Option<(MariaDb, MariaDb)> {
    Some((MariaDb::start()?, MariaDb::start()?))
}

#[test]
fn a_server_with_everything_awkward_comes_back() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.sql(AWKWARD);
    for routine in ROUTINES {
        server.define(routine);
    }
    let session = Session::for_server(&server);
    let output = session.back_up_mysql("all").expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
    session.restore_mysql("mysql/users.sql", &other).expect(0);
    session.restore_mysql("mysql/dump.sql", &other).expect(0);
    assert_eq!(dump(&server), dump(&other));
    assert_eq!(
        server.sql("CHECKSUM TABLE shop.item, shop.history"),
        other.sql("CHECKSUM TABLE shop.item, shop.history")
    );
    let grants = "SHOW GRANTS FOR anna@'%'";
    assert_eq!(server.sql(grants), other.sql(grants));
    assert_eq!(
        other.sql("SELECT COUNT(*) FROM shop.history FOR SYSTEM_TIME ALL"),
        "2\n"
    );
    assert_eq!(
        other.sql("SELECT twice, kept, hidden FROM shop.item WHERE id = 1"),
        "24.6912\t21\t7\n"
    );
    // A second time into the same server: the dump replaces what is there.
    session.restore_mysql("mysql/users.sql", &other).expect(0);
    session.restore_mysql("mysql/dump.sql", &other).expect(0);
    assert_eq!(dump(&server), dump(&other));
    let shown = session.run(["show", "latest", "--json"]).expect(0);
    let position = json(&shown.stdout)["backup"]["streams"][0]["position"].clone();
    assert!(
        position
            .as_str()
            .unwrap()
            .contains("MASTER_LOG_FILE='binlog."),
        "{position}"
    );
}

/// Money moves between accounts all the time, and the sum never changes. It must be right in every restored copy.
#[test]
fn a_dump_is_of_one_moment() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.sql(
        "CREATE DATABASE bank; CREATE TABLE bank.one (id INT PRIMARY KEY, amount INT); CREATE TABLE bank.two LIKE bank.one;
         INSERT INTO bank.one SELECT seq, 1000 FROM bank.seq_1_to_2000; INSERT INTO bank.two SELECT * FROM bank.one;",
    );
    let session = Session::for_server(&server);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                rounds += 1;
                let id = rounds % 2_000 + 1;
                server.sql(&format!(
                    "BEGIN; UPDATE bank.one SET amount = amount - 7 WHERE id = {id}; UPDATE bank.two SET amount = amount + 7 WHERE id = {}; COMMIT",
                    2_001 - id
                ));
            }
            rounds
        });
        let mut sums = Vec::new();
        for _ in 0..20 {
            session.back_up_mysql("bank").expect(0);
            session.restore_mysql("mysql/dump.sql", &other).expect(0);
            sums.push(other.sql("SELECT SUM(amount) FROM (SELECT * FROM bank.one UNION ALL SELECT * FROM bank.two) a"));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 20);
        assert!(sums.iter().all(|sum| sum == "4000000\n"), "{sums:?}");
    });
}

#[test]
fn what_a_server_refuses_is_named() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let session = Session::for_server(&server);
    let none = session.back_up_mysql("all").expect(1);
    assert!(none.stderr.contains("the server has no database"), "{none}");
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.old (id INT) ENGINE=MyISAM; CREATE TABLE shop.new (id INT) ENGINE=InnoDB");
    let output = session.back_up_mysql("all").expect(0);
    assert!(
        output.stderr.contains("not InnoDB tables") && output.stderr.contains("shop.old"),
        "{output}"
    );
    let missing = session.back_up_mysql("shop,gone").expect(1);
    assert!(missing.stderr.contains("gone"), "{missing}");
    session.back_up_mysql("all,shop").expect(2);
    session.back_up_mysql("--help").expect(2);
    server.sql("CREATE USER br@localhost IDENTIFIED BY 'secret-of-br'");
    let socket = server.socket().display().to_string();
    session.write_secret(
        "my.cnf",
        format!("[client]\nsocket={socket}\nuser=br\npassword=wrong\n"),
    );
    let denied = session.back_up_mysql("shop").expect(1);
    assert!(denied.stderr.contains("Access denied"), "{denied}");
    session.write_secret(
        "my.cnf",
        format!("[client]\nsocket={socket}\nuser=br\npassword=secret-of-br\n"),
    );
    let denied = session.back_up_mysql("shop").expect(1);
    assert!(!denied.stderr.contains("secret-of-br"), "{denied}");
    // The rights that the document names are enough.
    let grants =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/databases.md")).unwrap();
    let grant = grants
        .lines()
        .find(|line| line.starts_with("GRANT SELECT"))
        .unwrap();
    server.sql(grant);
    session.back_up_mysql("shop").expect(0);
    // Without the server, the backup has the files.
    session.write_secret("my.cnf", "[client]\nsocket=/no/such/socket\n");
    let arguments = [
        "backup",
        "docs",
        "--mysql",
        "shop",
        "--mysql-defaults-file",
        "my.cnf",
    ];
    let partial = session.run(arguments).expect(3);
    assert!(
        partial.stderr.contains("unreadable: mysql:") && partial.stderr.contains("Can't connect"),
        "{partial}"
    );
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(
        listed.contains("docs/a.txt") && !listed.contains("mysql"),
        "{listed}"
    );
}

#[test]
fn only_the_chosen_tables_are_dumped() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT); INSERT INTO shop.orders VALUES (1), (2); CREATE TABLE shop.logs (id INT) ENGINE=MyISAM;
         CREATE TABLE shop.`odd na.me` (id INT); CREATE SEQUENCE shop.numbers; CREATE VIEW shop.all_logs AS SELECT * FROM shop.logs;
         CREATE DATABASE crm; CREATE TABLE crm.notes (id INT); CREATE DATABASE other; CREATE TABLE other.t (id INT)",
    );
    server.define("CREATE PROCEDURE shop.one() SELECT 1");
    server.define("CREATE PROCEDURE crm.two() SELECT 2");
    let session = Session::for_server(&server);
    let tables = "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables WHERE table_schema IN ('shop', 'crm', 'other')
        UNION SELECT CONCAT(routine_schema, '.', routine_name, '()') FROM information_schema.routines WHERE routine_schema IN ('shop', 'crm', 'other') ORDER BY 1";
    let cases: [(&[&str], &str); 4] = [
        (
            &["shop.orders,shop.odd na.me"],
            "shop.odd na.me shop.orders",
        ),
        (
            &["shop.orders,crm"],
            "crm.notes crm.two() shop.one() shop.orders",
        ),
        (
            &[
                "shop,other",
                "--mysql-exclude",
                "shop.logs,shop.all_logs,shop.numbers",
            ],
            "other.t shop.odd na.me shop.one() shop.orders",
        ),
        (&["shop.orders,shop.numbers"], "shop.numbers shop.orders"),
    ];
    for (arguments, expected) in cases {
        let start = ["backup", "--mysql-defaults-file", "my.cnf", "--mysql"];
        let output = session.br.run(start.iter().chain(arguments)).expect(0);
        // What is left out need not be of one moment.
        assert!(!output.stderr.contains("warning"), "{output}");
        other.sql("DROP DATABASE IF EXISTS shop; DROP DATABASE IF EXISTS crm; DROP DATABASE IF EXISTS other");
        session.restore_mysql("mysql/dump.sql", &other).expect(0);
        let found = other.sql(tables).trim_end().replace('\n', " ");
        assert_eq!(found, expected, "{arguments:?}");
        assert_eq!(other.sql("SELECT COUNT(*) FROM shop.orders"), "2\n");
    }
    let missing = session.back_up_mysql("shop.order").expect(1);
    assert!(
        missing.stderr.contains("no table `shop.order`"),
        "{missing}"
    );
    session
        .run(["backup", "docs", "--mysql-exclude", "shop.logs"])
        .expect(2);
    let wrong = session.back_up_mysql("shop.").expect(2);
    assert!(wrong.stderr.contains("DATABASE.TABLE"), "{wrong}");
    let start = [
        "backup",
        "--mysql-defaults-file",
        "my.cnf",
        "--mysql",
        "crm",
        "--mysql-exclude",
    ];
    let unknown = session.br.run(start.iter().chain(&["crm.note"])).expect(0);
    assert!(
        unknown
            .stderr
            .contains("the table crm.note cannot be left out"),
        "{unknown}"
    );
    let start = [
        "doctor",
        "--mysql-defaults-file",
        "my.cnf",
        "--mysql",
        "shop.order",
    ];
    let doctor = session.run(start).expect(1);
    assert!(doctor.stdout.contains("no table `shop.order`"), "{doctor}");
}

/// Each of these dumps would lack a table that should be in it, or could not be restored.
#[test]
fn a_selection_of_tables_that_cannot_be_dumped_is_refused() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT); CREATE TABLE shop.Orders (id INT); CREATE TABLE shop.items (id INT);
         CREATE VIEW shop.cheap AS SELECT * FROM shop.items; CREATE DATABASE `a.b`; CREATE TABLE `a.b`.c (id INT); CREATE DATABASE a; CREATE TABLE a.`b.c` (id INT)",
    );
    let session = Session::for_server(&server);
    let run = |words: &[&str]| {
        let start = ["backup", "--mysql-defaults-file", "my.cnf", "--mysql"];
        session.br.run(start.iter().chain(words))
    };
    for (words, code, reason) in [
        (&["shop,shop.orders"][..], 2, "also its whole database"),
        (&["shop.items,shop"], 2, "also its whole database"),
        (&["shop.orders"], 1, "cannot tell `shop.orders` from"),
        (&["all", "--mysql-exclude", "shop.Orders"], 1, "cannot tell"),
        (&["all", "--mysql-exclude", "a.b.c"], 1, "cannot tell"),
        (
            &["shop", "--mysql-exclude", "shop.items"],
            1,
            "the view `shop.cheap` reads `shop.items`",
        ),
        (
            &["shop.cheap"],
            1,
            "the view `shop.cheap` reads `shop.items`",
        ),
        (
            &["a.b.c", "--mysql-exclude", "a.b.c"],
            1,
            "both chosen and left out",
        ),
        (&[""], 2, "a value is required"),
    ] {
        let output = run(words);
        assert!(output.stderr.contains(reason), "{words:?}: {output}");
        output.expect(code);
    }
    server
        .sql("CREATE DATABASE odd; CREATE TABLE odd.`x\ty` (id INT); CREATE TABLE odd.t (id INT)");
    let odd = run(&["odd.t"]).expect(1);
    assert!(odd.stderr.contains("a tab or a newline"), "{odd}");
    run(&["shop", "--mysql-exclude", "shop.items,shop.cheap"]).expect(0);
    run(&["a", "--mysql-exclude", "a.b.c"]).expect(0);
    // A table that appears between the question and the dump would be in it, and replace one of the server in a restore.
    let client = server.words("mariadb").join("' '");
    session.write(
        "between",
        format!("#!/bin/sh\ncase \"$*\" in *--single-transaction*) '{client}' -e 'CREATE TABLE a.fresh (id INT)';; esac\nexec \"$@\"\n"),
    );
    let between = session.at("between");
    fs::set_permissions(&between, fs::Permissions::from_mode(0o755)).unwrap();
    let between = between.display().to_string();
    let late = run(&["a.b.c", "--mysql-through", &between]).expect(1);
    assert!(late.stderr.contains("a.fresh was created"), "{late}");
    // Options that empty a dump.
    let options = fs::read_to_string(session.at("my.cnf")).unwrap();
    for (line, is_refused) in [
        ("no-data", true),
        ("where=1=0", true),
        ("ignore_table=shop.items", true),
        ("max_allowed_packet=64M", false),
    ] {
        session.write_secret("my.cnf", format!("{options}[mysqldump]\n{line}\n"));
        let output = run(&["a"]).expect(i32::from(is_refused));
        assert_eq!(
            output.stderr.contains("an option file of MySQL"),
            is_refused,
            "{output}"
        );
    }
}

#[test]
fn a_set_has_a_server() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let session = Session::for_server(&server);
    let set = "[repositories.main]\nlocation = \"./repository\"\n[sets.shop]\nrepository = \"main\"\npaths = [\"docs\"]\n\
        mysql = [\"all\"]\nmysql-defaults-file = \"my.cnf\"\n";
    session.write_secret("br.toml", set);
    session
        .run(["--config", "br.toml", "config", "check"])
        .expect(0);
    session.run(["--config", "br.toml", "run"]).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    for path in ["docs/a.txt", "mysql/dump.sql", "mysql/users.sql"] {
        assert!(listed.contains(path), "{listed}");
    }
}

#[test]
fn the_named_option_file_decides_which_server_is_dumped() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.sql("CREATE DATABASE wanted");
    other.sql("CREATE DATABASE wrong");
    let session = Session::for_server(&server);
    let home = session.at("home");
    fs::create_dir(&home).unwrap();
    let options = |server: &MariaDb| {
        format!(
            "[client]\nsocket={}\nuser=root\n",
            server.socket().display()
        )
    };
    session.write_secret("home/.my.cnf", options(&other));
    let br = session.br.clone().env("HOME", home.to_str().unwrap());
    let words = [
        "backup",
        "--mysql",
        "all",
        "--mysql-defaults-file",
        "my.cnf",
    ];
    let output = br.run(words).expect(0);
    let folder = server.socket().parent().unwrap().display().to_string();
    assert!(output.stderr.contains("mysql: MariaDB 1"), "{output}");
    assert!(!output.stderr.contains("warning"), "{output}");
    let dumped = session.run(["dump", "latest", "mysql/dump.sql"]).expect(0);
    assert!(
        dumped.stdout.contains("`wanted`") && !dumped.stdout.contains("`wrong`"),
        "{dumped}"
    );
    let shown = session.run(["show", "latest"]).expect(0).stdout;
    assert!(
        shown.contains(", of MariaDB 1") && shown.contains(&folder),
        "{shown}"
    );
    let shown = json(&session.run(["show", "latest", "--json"]).expect(0).stdout);
    let named = shown["backup"]["streams"][0]["server"].as_str().unwrap();
    assert!(named.contains(&folder), "{shown:#}");

    // Without HOME, the programs would not read the file in it: br says which server it found.
    session.write_secret("all.cnf", options(&server));
    let words = ["backup", "--mysql", "all"];
    let unknown = session.br.clone().env("HOME", "").run(words);
    let is_told = unknown.stderr.contains("HOME is not set")
        || unknown.stderr.contains("the server cannot be used");
    assert!(is_told, "{unknown}");
}

#[test]
fn a_restore_of_a_set_can_use_another_login_than_its_backup() {
    let Some((server, _)) = two_servers() else {
        return;
    };
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let rights = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD, BINLOG MONITOR";
    server.sql(&format!(
        "CREATE USER reader@localhost IDENTIFIED BY 'r'; GRANT {rights} ON *.* TO reader@localhost"
    ));
    let session = Session::for_server(&server);
    let socket = server.socket().display().to_string();
    session.write_secret(
        "reader.cnf",
        format!("[client]\nsocket={socket}\nuser=reader\npassword=r\n"),
    );
    let config = |more: &str| {
        format!(
            "[repositories.main]\nlocation = {:?}\n[sets.shop]\nrepository = \"main\"\nmysql = [\"shop\"]\nmysql-defaults-file = {:?}\n{more}",
            session.at("repository"),
            session.at("reader.cnf"),
        )
    };
    session.write_secret("br.toml", config(""));
    let run = |words: &[&str]| session.br.run(["--config", "br.toml"].iter().chain(words));
    run(&["run"]).expect(0);
    server.sql("DELETE FROM shop.t");
    let restore = ["restore", "latest", "--execute", "--yes"];
    let denied = run(&[&restore[..], &["--only", "mysql/dump.sql"]].concat()).expect(1);
    assert!(denied.stderr.contains("denied"), "{denied}");
    let more = format!("restore-mysql-defaults-file = {:?}\n", session.at("my.cnf"));
    session.write_secret("br.toml", config(&more));
    let output = run(&[&restore[..], &["--only", "mysql/dump.sql"]].concat()).expect(0);
    assert!(!output.stderr.contains("users.sql"), "{output}");
    assert_eq!(server.sql("SELECT COUNT(*) FROM shop.t"), "1\n");
}
