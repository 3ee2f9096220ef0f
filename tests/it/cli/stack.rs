//! A whole stack with real servers: back up, destroy, restore, verify.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use br_testkit::{BrOutput, MariaDb, RabbitMq, Redis};
use serde_json::{Value, json};

use super::{Session, files_below, json as parse};

/// An application with its servers.
struct Stack {
    session: Session,
    mysql: MariaDb,
    redis: Redis,
    rabbitmq: RabbitMq,
}

/// The files of the application.
const FILES: [(&str, &str); 4] = [
    (
        "etc/systemd/system/tinyflow.service",
        "[Service]\nExecStart=/usr/bin/java -jar /opt/tinyflow/app.jar\n",
    ),
    (
        "etc/nginx/sites-available/tinyflow",
        "server { listen 80; }\n",
    ),
    ("opt/tinyflow/app.jar", "PK\u{3}\u{4} the program"),
    (
        "opt/tinyflow/application-prod.yml",
        "spring:\n  datasource:\n    url: jdbc:mysql://localhost/tiny-flow\n",
    ),
];

const TABLES: &str = "CREATE DATABASE `tiny-flow` CHARACTER SET utf8mb4; USE `tiny-flow`;
    CREATE TABLE task (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), at DATETIME, KEY (at));
    INSERT INTO task (name, at) SELECT CONCAT('task 🦀 ', seq), '2026-11-01' + INTERVAL seq MINUTE FROM seq_1_to_5000;
    CREATE VIEW recent AS SELECT * FROM task ORDER BY at DESC LIMIT 10;
    CREATE USER app@localhost IDENTIFIED BY 'of the application'; GRANT ALL ON `tiny-flow`.* TO app@localhost";

impl Stack {
    fn start() -> Option<Self> {
        let mysql = MariaDb::start()?;
        let redis = Redis::start_with(&["--appendonly", "yes", "--save", ""])?;
        let rabbitmq = RabbitMq::start()?;
        let session = Session::with_repository();
        let stack = Self {
            session,
            mysql,
            redis,
            rabbitmq,
        };
        stack.fill();
        Some(stack)
    }

    fn fill(&self) {
        self.mysql.sql(TABLES);
        for n in 0..100 {
            self.redis.ask(&["SET", &format!("session:{n}"), "data"]);
        }
        self.redis.ask(&["SET", "token", "1", "EX", "100000"]);
        self.rabbitmq.ask(
            "PUT",
            "queues/%2F/jobs",
            &json!({"durable": true, "arguments": {"x-queue-type": "quorum"}}),
        );
        for (path, content) in FILES {
            self.session.write(&format!("root/{path}"), content);
        }
    }

    fn configure(&self, health: &str) {
        let at = |path: &str| self.session.at(path).display().to_string();
        self.session.write_secret(
            "my.cnf",
            format!(
                "[client]\nsocket={}\nuser=root\n",
                self.mysql.socket().display()
            ),
        );
        self.session.write_secret("rabbitmq.password", "guest\n");
        let paths = FILES.map(|(path, _)| format!("{:?}", at(&format!("root/{path}"))));
        let socket = self.redis.socket().display().to_string();
        let config = format!(
            r#"
[defaults]
repository = "main"
[repositories.main]
location = "{repository}"
[policies.standard]
preset = "7d"
[sets.tinyflow]
repository = "main"
policy = "standard"
mysql = ["tiny-flow"]
mysql-defaults-file = "{cnf}"
redis = "{socket}"
rabbitmq = "{rabbitmq}"
rabbitmq-password = "file:{password}"
paths = [{paths}]
before = ["sh -c 'echo backup-begins >> log'"]
after = ["sh -c 'echo backup-ended-$BR_HOOK_STATUS >> log'"]
restore-before = ["sh -c 'echo application-stopped >> log'"]
restore-after = ["sh -c 'echo application-started >> log'"]
verify = [
    "mariadb-check --defaults-file={cnf} tiny-flow",
    "mariadb --defaults-file={cnf} -N -e 'SELECT COUNT(*), MAX(at) FROM `tiny-flow`.task'",
    "redis-cli -s {socket} info keyspace",
    "redis-cli -s {socket} get session:7",
    "curl -fsS {health}/actuator/health",
]
"#,
            repository = at("repository"),
            cnf = at("my.cnf"),
            rabbitmq = self.rabbitmq.address(),
            password = at("rabbitmq.password"),
            paths = paths.join(", "),
        );
        self.session.write_secret("br.toml", config);
    }

    fn run(&self, words: &[&str]) -> BrOutput {
        self.session
            .br
            .run(["--config", "br.toml"].iter().chain(words))
    }

    fn destroy(&self) {
        self.mysql
            .sql("DROP DATABASE `tiny-flow`; DROP USER app@localhost");
        self.redis.ask(&["FLUSHALL"]);
        self.rabbitmq.ask("DELETE", "queues/%2F/jobs", &Value::Null);
        fs::remove_dir_all(self.session.at("root")).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.session.at("log")).unwrap_or_default()
    }
}

/// An application whose health is good. Returns its address.
fn healthy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"status":"UP"}"#;
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

#[test]
fn a_destroyed_stack_comes_back_whole() {
    let Some(mut stack) = Stack::start() else {
        return;
    };
    stack.configure(&healthy());
    stack.run(&["config", "check"]).expect(0);
    stack.run(&["run"]).expect(0);
    assert_eq!(stack.log(), "backup-begins\nbackup-ended-ok\n");
    stack.run(&["check", "--read-data"]).expect(0);
    let shown = stack.run(&["show", "latest"]).expect(0).stdout;
    assert!(shown.contains("skew"), "{shown}");
    let before = stack.redis.ask(&["DEBUG", "DIGEST"]);

    stack.destroy();
    let words = [
        "restore",
        "latest",
        "--tag",
        "tinyflow",
        "--execute",
        "--yes",
        "--json",
    ];
    let output = stack.run(&words).expect(0);
    let report = parse(output.stdout.lines().last().unwrap());
    let steps = report["steps"].as_array().unwrap();
    assert!(
        steps.iter().all(|step| step["outcome"] == "ok"),
        "{report:#}"
    );
    let parts: Vec<&str> = steps
        .iter()
        .map(|step| step["part"].as_str().unwrap())
        .collect();
    assert_eq!(
        parts,
        [
            "intact", "before", "mysql", "mysql", "redis", "redis", "rabbitmq", "files", "after",
            "verify", "verify", "verify", "verify", "verify"
        ]
    );
    let evidence = |at: usize| steps[steps.len() - 5 + at]["output"].as_str().unwrap();
    assert!(evidence(0).contains("OK"), "{report:#}");
    assert!(
        evidence(1).contains("5000\t2026-11-04 11:20:00"),
        "{report:#}"
    );
    assert!(evidence(2).contains("keys=101"), "{report:#}");
    assert!(evidence(4).contains("UP"), "{report:#}");
    assert_eq!(
        stack.log(),
        "backup-begins\nbackup-ended-ok\napplication-stopped\napplication-started\n"
    );

    assert_eq!(
        stack.mysql.sql("SELECT COUNT(*) FROM `tiny-flow`.recent"),
        "10\n"
    );
    assert!(
        stack
            .mysql
            .sql("SHOW GRANTS FOR app@localhost")
            .contains("tiny-flow")
    );
    stack.redis.restart();
    assert_eq!(stack.redis.ask(&["DEBUG", "DIGEST"]), before);
    let queue = parse(&stack.rabbitmq.ask("GET", "queues/%2F/jobs", &Value::Null));
    assert_eq!(queue["arguments"]["x-queue-type"], "quorum");
    for (path, content) in FILES {
        assert_eq!(
            fs::read_to_string(stack.session.at(&format!("root/{path}"))).unwrap(),
            content
        );
    }

    only_one_part_is_replaced(&stack);
    servers_are_asked_before_anything_is_replaced(&stack);
    damage_is_found_before_anything_is_replaced(&stack);
}

fn servers_are_asked_before_anything_is_replaced(stack: &Stack) {
    stack.mysql.sql("DELETE FROM `tiny-flow`.task");
    fs::remove_file(stack.session.at("log")).unwrap();
    let config = fs::read_to_string(stack.session.at("br.toml")).unwrap();
    for (login, reason) in [
        (
            "restore-mysql-defaults-file = \"/no/such.cnf\"",
            "/no/such.cnf",
        ),
        (
            "restore-redis-user = \"nobody\"\nrestore-redis-password = \"file:rabbitmq.password\"",
            "WRONGPASS",
        ),
        (
            "restore-rabbitmq-password = \"file:/no/such.password\"",
            "/no/such.password",
        ),
    ] {
        let limited = config.replace("restore-before", &format!("{login}\nrestore-before"));
        stack.session.write_secret("br.toml", limited);
        let output = stack.run(&["restore", "latest", "--execute", "--yes"]);
        assert_ne!(output.code, Some(0), "{output}");
        let is_told = output.stderr.contains(reason) && output.stderr.contains("replaced nothing");
        assert!(is_told, "{output}");
    }
    stack.session.write_secret("br.toml", config);
    assert_eq!(stack.log(), "", "the application was not stopped");
    let count = "SELECT COUNT(*) FROM `tiny-flow`.task";
    assert_eq!(stack.mysql.sql(count), "0\n");
    let words = ["restore", "latest", "--execute", "--yes", "--only", "mysql"];
    stack.run(&words).expect(0);
}

fn damage_is_found_before_anything_is_replaced(stack: &Stack) {
    for pack in files_below(&stack.session.at("repository/packs")) {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    stack
        .mysql
        .sql("INSERT INTO `tiny-flow`.task (name) VALUES ('not in the backup')");
    stack.redis.ask(&["SET", "not in the backup", "1"]);
    fs::remove_file(stack.session.at("log")).unwrap();
    let words = ["restore", "latest", "--execute", "--yes"];
    for only in [&[][..], &["--only", "mysql"], &["--only", "redis"]] {
        let output = stack.run(&[&words[..], only].concat()).expect(14);
        assert!(output.stderr.contains("nothing was replaced"), "{output}");
    }
    assert_eq!(stack.log(), "", "the application was not stopped");
    let count = "SELECT COUNT(*) FROM `tiny-flow`.task";
    assert_eq!(stack.mysql.sql(count), "5001\n");
    assert_eq!(stack.redis.ask(&["GET", "not in the backup"]), "1");
}

fn only_one_part_is_replaced(stack: &Stack) {
    stack.redis.ask(&["SET", "new", "1"]);
    stack.mysql.sql("DELETE FROM `tiny-flow`.task");
    stack
        .run(&["restore", "latest", "--execute", "--yes", "--only", "mysql"])
        .expect(0);
    assert_eq!(
        stack.mysql.sql("SELECT COUNT(*) FROM `tiny-flow`.task"),
        "5000\n"
    );
    assert_eq!(stack.redis.ask(&["GET", "new"]), "1");
}

#[test]
fn a_part_that_fails_marks_the_backup_and_is_named() {
    let Some(stack) = Stack::start() else {
        return;
    };
    stack.configure("http://127.0.0.1:1");
    stack.run(&["run"]).expect(0);
    let config = fs::read_to_string(stack.session.at("br.toml")).unwrap();
    let broken = config.replace(
        &stack.redis.socket().display().to_string(),
        "/no/such/socket",
    );
    stack.session.write_secret("br.toml", broken);
    let output = stack.run(&["run"]).expect(3);
    assert!(
        output.stderr.contains("redis") && output.stderr.contains("/no/such/socket"),
        "{output}"
    );
    let list = parse(&stack.run(&["list", "--json"]).expect(0).stdout);
    let complete: Vec<bool> = list["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|backup| backup["unread_count"] == 0)
        .collect();
    assert_eq!(
        complete,
        [true, false],
        "the policy keeps the complete one: {list}"
    );
    let refused = stack
        .run(&["restore", "latest", "--execute", "--yes"])
        .expect(2);
    assert!(
        refused.stderr.contains("the backup does not have redis"),
        "{refused}"
    );
    // A check that fails is a failed restore, and the others still run.
    stack.session.write_secret("br.toml", config);
    let words = ["restore", "latest~1", "--execute", "--yes", "--json"];
    let output = stack.run(&words).expect(1);
    let report = parse(output.stdout.lines().last().unwrap());
    let outcomes: Vec<&str> = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == "failed")
            .count(),
        1,
        "{report:#}"
    );
    assert_eq!(outcomes.last(), Some(&"failed"), "{report:#}");
}
