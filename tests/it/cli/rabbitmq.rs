//! `br backup --rabbitmq` and `br restore --to-rabbitmq`, with a real RabbitMQ.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use br_testkit::{BrOutput, RabbitMq};
use serde_json::{Value, json};

use super::{Session, files_below};

/// A virtual host with every kind of character.
const ODD: &str = "odd /vhost 🦀 'x' \"y\"";
/// The password of the first user. It must be nowhere.
const PASSWORD: &str = "swordfish rabbit ü";

/// A part of a path of the API.
fn quoted(text: &str) -> String {
    let bytes = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    bytes.collect()
}

fn put(server: &RabbitMq, path: &str, body: &Value) {
    server.ask("PUT", path, body);
}

/// Everything that definitions can have, in one virtual host.
fn fill_vhost(server: &RabbitMq, vhost: &str) {
    let v = quoted(vhost);
    put(
        server,
        &format!("permissions/{v}/guest"),
        &json!({"configure": ".*", "write": ".*", "read": ".*"}),
    );
    for (name, durable, arguments) in [
        (
            "quorum",
            true,
            json!({"x-queue-type": "quorum", "x-delivery-limit": 5, "x-quorum-initial-group-size": 3}),
        ),
        (
            "stream",
            true,
            json!({"x-queue-type": "stream", "x-max-age": "7D", "x-max-length-bytes": 1_000_000}),
        ),
        (
            "classic / Müller 🦀",
            true,
            json!({"x-message-ttl": 60_000, "x-dead-letter-exchange": "dlx", "x-max-priority": 10, "x-expires": 3_600_000_000_u64}),
        ),
        ("transient", false, json!({})),
    ] {
        put(
            server,
            &format!("queues/{v}/{}", quoted(name)),
            &json!({"durable": durable, "auto_delete": !durable, "arguments": arguments}),
        );
    }
    for (name, kind, internal, arguments) in [
        ("alt", "fanout", false, json!({})),
        (
            "main",
            "headers",
            false,
            json!({"alternate-exchange": "alt", "x-n": 1.5, "x-b": true, "x-l": ["a", 1, {"k": "v"}]}),
        ),
        ("inner", "topic", true, json!({})),
    ] {
        put(
            server,
            &format!("exchanges/{v}/{name}"),
            &json!({"type": kind, "durable": true, "internal": internal, "arguments": arguments}),
        );
    }
    for (to, key, arguments) in [
        (
            "q/quorum",
            "",
            json!({"x-match": "all", "kind": "ü🦀", "n": 7}),
        ),
        ("q/quorum", "", json!({"x-match": "any", "kind": "b"})),
        ("q/stream", "a.#.*", json!({})),
        ("e/inner", "key ü", json!({"a": true})),
    ] {
        let body = json!({"routing_key": key, "arguments": arguments});
        server.ask("POST", &format!("bindings/{v}/e/main/{to}"), &body);
    }
}

/// Policies and parameters, which name no queue that must exist.
fn fill_policies(server: &RabbitMq, vhost: &str) {
    let v = quoted(vhost);
    let policy =
        |definition: Value| json!({"pattern": "^x\\.", "definition": definition, "priority": 3});
    put(
        server,
        &format!("policies/{v}/{}", quoted("ttl ü")),
        &policy(json!({"message-ttl": 1000})),
    );
    put(
        server,
        &format!("operator-policies/{v}/limit"),
        &policy(json!({"max-length": 1000})),
    );
    for (path, value) in [
        (
            "federation-upstream/V/up",
            json!({"uri": "amqp://a:secret@127.0.0.1:1", "expires": 3_600_000}),
        ),
        ("federation-upstream-set/V/set", json!([{"upstream": "up"}])),
        (
            "shovel/V/move",
            json!({"src-protocol": "amqp091", "src-uri": "amqp://127.0.0.1:1", "src-queue": "q", "dest-protocol": "amqp091",
                   "dest-uri": "amqp://127.0.0.1:1", "dest-queue": "x"}),
        ),
    ] {
        put(
            server,
            &format!("parameters/{}", path.replace('V', &v)),
            &json!({"value": value}),
        );
    }
}

fn fill(server: &RabbitMq) {
    let odd = quoted(ODD);
    put(server, &format!("vhosts/{odd}"), &json!({}));
    put(server, "vhosts/empty", &json!({}));
    for vhost in ["/", ODD] {
        fill_vhost(server, vhost);
        fill_policies(server, vhost);
    }
    put(
        server,
        "users/anna",
        &json!({"password": "geheim", "tags": "monitoring,policymaker"}),
    );
    let odd_user = format!("users/{}", quoted("böb 🦀"));
    put(server, &odd_user, &json!({"password_hash": "", "tags": ""}));
    put(
        server,
        &format!("permissions/{odd}/anna"),
        &json!({"configure": "^a", "write": ".*", "read": ""}),
    );
    for exchange in ["inner", "amq.topic"] {
        put(
            server,
            &format!("topic-permissions/{odd}/anna"),
            &json!({"exchange": exchange, "write": "^a", "read": ".*"}),
        );
    }
    put(
        server,
        "user-limits/anna/max-connections",
        &json!({"value": 5}),
    );
    put(
        server,
        &format!("vhost-limits/{odd}/max-queues"),
        &json!({"value": 500}),
    );
    put(
        server,
        "global-parameters/my-thing",
        &json!({"value": {"a": [1, 2, {"ü": "🦀"}]}}),
    );
}

/// Everything in definitions, each object as text. The order of objects means nothing.
fn objects(definitions: &Value) -> BTreeSet<String> {
    let lists = definitions.as_object().unwrap().iter();
    let lists = lists.filter_map(|(kind, list)| Some((kind, list.as_array()?)));
    lists
        .flat_map(|(kind, list)| list.iter().map(move |object| format!("{kind} {object}")))
        .collect()
}

/// A session that knows the password of the server.
fn session_with(password: &str) -> Session {
    let mut session = Session::with_repository();
    session.br = session.br.clone().env("BR_RABBITMQ_PASSWORD", password);
    session
}

fn back_up(session: &Session, server: &RabbitMq) -> BrOutput {
    session.run(["backup", "--rabbitmq", &server.address()])
}

fn import(session: &Session, address: &str, more: &[&str]) -> BrOutput {
    let words = [
        "restore",
        "latest",
        "rabbitmq/definitions.json",
        "--to-rabbitmq",
        address,
    ];
    session.br.run(words.iter().chain(more))
}

#[test]
fn definitions_with_everything_awkward_come_back() {
    let (Some(server), Some(other)) = (RabbitMq::start(), RabbitMq::start()) else {
        return;
    };
    fill(&server);
    put(
        &server,
        "users/guest",
        &json!({"password": "guest", "tags": "administrator"}),
    );
    put(
        &server,
        "users/root",
        &json!({"password": PASSWORD, "tags": "administrator"}),
    );
    let session = session_with(PASSWORD);
    let address = server.address();
    let login = ["backup", "--rabbitmq", &address, "--rabbitmq-user", "root"];
    let before = session.run(login).expect(0);
    assert!(!before.stderr.contains("warning"), "{before}");
    // The same bytes as the server sends, and nothing new in a second backup.
    let stored = session
        .run(["dump", "latest", "rabbitmq/definitions.json"])
        .expect(0);
    assert_eq!(
        stored.stdout,
        server.ask("GET", "definitions", &Value::Null)
    );
    let again = session.br.run(login.iter().chain(&["--json"])).expect(0);
    let to = other.address();
    // The other server has the first user only.
    let guest = session.br.clone().env("BR_RABBITMQ_PASSWORD", "guest");
    let imported = guest
        .run([
            "restore",
            "latest",
            "rabbitmq/definitions.json",
            "--to-rabbitmq",
            &to,
        ])
        .expect(0);
    assert!(imported.stdout.contains("compared"), "{imported}");
    let (wanted, now) = (
        objects(&server.definitions()),
        objects(&other.definitions()),
    );
    let missing: Vec<_> = wanted.symmetric_difference(&now).collect();
    assert!(wanted.len() > 40 && missing.is_empty(), "{missing:#?}");
    // An import can be repeated, and what only the server has stays.
    put(&other, "queues/%2F/more", &json!({"durable": true}));
    let login = ["--rabbitmq-user", "root", "--json"];
    let repeated = import(&session, &to, &login).expect(0);
    let summary = super::json(&repeated.stdout);
    assert_eq!(summary["objects_only_on_server"], 1, "{repeated}");
    assert_eq!(summary["differences"], json!([]), "{repeated}");
    // Nothing that br says or writes has the password.
    for output in [&before, &again, &imported, &repeated] {
        assert!(!output.to_string().contains("swordfish"), "{output}");
    }
    for path in files_below(&session.at("")) {
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(9).any(|part| part == b"swordfish");
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn what_the_server_skips_is_named() {
    let Some(server) = RabbitMq::start() else {
        return;
    };
    let queue = "queues/%2F/orders";
    put(
        &server,
        queue,
        &json!({"durable": true, "arguments": {"x-queue-type": "quorum"}}),
    );
    put(
        &server,
        "exchanges/%2F/main",
        &json!({"type": "topic", "durable": true}),
    );
    put(
        &server,
        "users/anna",
        &json!({"password": "geheim", "tags": "monitoring"}),
    );
    server.ask(
        "POST",
        "bindings/%2F/e/main/q/orders",
        &json!({"routing_key": "k"}),
    );
    let session = session_with("guest");
    back_up(&session, &server).expect(0);
    // A queue and an exchange of the same names, and another user.
    for path in [queue, "exchanges/%2F/main", "users/anna"] {
        server.ask("DELETE", path, &Value::Null);
    }
    put(&server, queue, &json!({"durable": true}));
    put(
        &server,
        "exchanges/%2F/main",
        &json!({"type": "fanout", "durable": true}),
    );
    let output = import(&session, &server.address(), &[]).expect(1);
    for expected in [
        "queue `orders` in `/`: x-queue-type is absent, not `quorum`",
        "exchange `main` in `/`: type is `fanout`, not `topic`",
        "2 objects of the backup are missing on the server, or different there",
        "hint: RabbitMQ skips a queue or an exchange",
    ] {
        assert!(output.stderr.contains(expected), "{expected}: {output}");
    }
    let output = import(&session, &server.address(), &["--json"]).expect(1);
    let summary = super::json(&output.stdout);
    assert_eq!(summary["differences"][0]["kind"], "queue", "{output}");
    // After what the hint says, all is well.
    for path in [queue, "exchanges/%2F/main"] {
        server.ask("DELETE", path, &Value::Null);
    }
    let output = import(&session, &server.address(), &["--quiet"]).expect(0);
    assert_eq!((&*output.stdout, &*output.stderr), ("", ""), "{output}");
    // Messages are not in the definitions.
    let message = json!({"properties": {}, "routing_key": "orders", "payload": "x", "payload_encoding": "string"});
    server.ask("POST", "exchanges/%2F/amq.default/publish", &message);
    // The server counts messages every five seconds.
    let warns = (0..30).any(|_| {
        thread::sleep(std::time::Duration::from_millis(500));
        let output = back_up(&session, &server).expect(0);
        output
            .stderr
            .contains("warning: 1 message in queues is not backed up")
    });
    assert!(warns, "br does not warn of messages");
}

#[test]
fn what_rabbitmq_refuses_is_named() {
    let Some(server) = RabbitMq::start() else {
        return;
    };
    let session = session_with("guest");
    let address = server.address();
    // The user of the definitions has another password than the one that imports them.
    put(
        &server,
        "users/root",
        &json!({"password": "first", "tags": "administrator"}),
    );
    back_up(&session, &server).expect(0);
    put(
        &server,
        "users/root",
        &json!({"password": "second", "tags": "administrator"}),
    );
    let login = ["--rabbitmq-user", "root"];
    session.write_secret("pw", "second\n");
    let by_file = [&login[..], &["--rabbitmq-password", "file:pw"]].concat();
    let locked_out = import(&session, &address, &by_file).expect(1);
    assert!(
        locked_out
            .stderr
            .contains("has the password of the backup now"),
        "{locked_out}"
    );
    let wrong = import(&session, &address, &by_file).expect(1);
    assert!(
        wrong
            .stderr
            .contains("check the user `root` and its password"),
        "{wrong}"
    );
    session.write_secret("pw", "first\n");
    import(&session, &address, &by_file).expect(0);
    // The rights of a monitor are not enough.
    put(
        &server,
        "users/anna",
        &json!({"password": "guest", "tags": "monitoring"}),
    );
    let anna = ["backup", "--rabbitmq", &address, "--rabbitmq-user", "anna"];
    let denied = session.run(anna).expect(1);
    assert!(
        denied
            .stderr
            .contains("give the user `anna` the tag `administrator`"),
        "{denied}"
    );
    // With files, the backup has the files.
    let partial = session.br.run(anna.iter().chain(&["docs"])).expect(3);
    assert!(partial.stderr.contains("administrator"), "{partial}");
    // An exchange of a plugin that the server does not have.
    let mut definitions = server.definitions();
    definitions["exchanges"] = json!([{"name": "hash", "vhost": "/", "type": "x-consistent-hash", "durable": true, "auto_delete": false,
        "internal": false, "arguments": {}}]);
    session.write("definitions.json", definitions.to_string());
    session.run(["backup", "definitions.json"]).expect(0);
    let words = [
        "restore",
        "latest",
        "definitions.json",
        "--to-rabbitmq",
        &address,
    ];
    let refused = session.run(words).expect(1);
    assert!(
        refused
            .stderr
            .contains("unknown exchange type 'x-consistent-hash'")
            && refused.stderr.contains("may be imported"),
        "{refused}"
    );
}

/// An address at which nothing answers.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn options_that_cannot_work_are_refused() {
    let session = session_with("guest");
    let lost = session.run(["backup", "--rabbitmq", NOWHERE]).expect(1);
    assert!(
        lost.stderr.contains("management plugin is enabled"),
        "{lost}"
    );
    for address in ["localhost:15672", "amqp://localhost", "http://a:hunter2@b"] {
        let refused = session.run(["backup", "--rabbitmq", address]).expect(2);
        assert!(!refused.stderr.contains("hunter2"), "{refused}");
    }
    session.run(["backup", "docs"]).expect(0);
    let file = ["restore", "latest", "docs/a.txt", "--to-rabbitmq", NOWHERE];
    for more in [
        &["--target", "x"][..],
        &["--dry-run"],
        &["--to-command", "--", "cat"],
    ] {
        session.br.run(file.iter().chain(more)).expect(2);
    }
    session
        .run(["restore", "latest", "--to-rabbitmq", NOWHERE])
        .expect(2);
    session.run(file).expect(1);
    let without = session.br.clone().env("BR_RABBITMQ_PASSWORD", "");
    let empty = without.run(["backup", "--rabbitmq", NOWHERE]).expect(12);
    assert!(
        empty
            .stderr
            .contains("BR_RABBITMQ_PASSWORD is set but empty"),
        "{empty}"
    );
    let without = Session::with_repository();
    let none = without.run(["backup", "--rabbitmq", NOWHERE]).expect(12);
    assert!(none.stderr.contains("--rabbitmq-password"), "{none}");
}

/// The address of a server with few definitions, which ends this many bytes before the end of them.
pub(super) fn fake_server(lacking: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the process of the test.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let len = stream.read(&mut buffer).unwrap();
            let request = String::from_utf8_lossy(&buffer[..len]).into_owned();
            let (body, lacking) = match request.split(' ').nth(1) {
                Some("/api/overview") => (r#"{"rabbitmq_version":"3.10.8"}"#, 0),
                Some("/api/whoami") => (r#"{"tags":["administrator"]}"#, 0),
                _ => (r#"{"rabbit_version":"3.10.8","vhosts":[]}"#, lacking),
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let sent = format!("{head}{}", &body[..body.len() - lacking]);
            let _ = stream.write_all(sent.as_bytes());
        }
    });
    address
}

#[test]
fn definitions_that_are_cut_make_no_backup() {
    let session = session_with("guest");
    let address = fake_server(1);
    let cut = session.run(["backup", "--rabbitmq", &address]).expect(1);
    assert!(cut.stderr.contains("before its end"), "{cut}");
    session.run(["show", "latest"]).expect(2);
}

#[test]
fn a_set_of_the_configuration_has_a_server() {
    let Some(server) = RabbitMq::start() else {
        return;
    };
    let session = Session::with_repository();
    session.write_secret("pw", "guest\n");
    let set = format!(
        "[repositories.main]\nlocation = \"repository\"\n[sets.queues]\nrepository = \"main\"\n\
         rabbitmq = \"{}\"\nrabbitmq-user = \"guest\"\nrabbitmq-password = \"file:pw\"\n",
        server.address()
    );
    session.write("br.toml", set);
    session
        .run(["--config", "br.toml", "config", "check"])
        .expect(0);
    session
        .run(["--config", "br.toml", "run", "queues"])
        .expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(listed.contains("rabbitmq/definitions.json"), "{listed}");
}
