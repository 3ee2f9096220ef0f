//! The connector against servers that do not behave.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use br_core::Secret;
use tokio_util::sync::CancellationToken;

use super::api::Limits;
use super::{RabbitMqOptions, RabbitMqServer};
use crate::server::{DumpContent, Server as _, ServerError};

const OVERVIEW: &str =
    r#"{"rabbitmq_version":"3.10.8","cluster_name":"rabbit@a","queue_totals":{"messages":7}}"#;
const ADMINISTRATOR: &str = r#"{"name":"guest","tags":["monitoring","administrator"]}"#;
const DEFINITIONS: &str = r#"{"rabbit_version":"3.10.8","vhosts":[{"name":"/"}],"queues":[{"name":"ü","vhost":"/","durable":true}]}"#;

/// What a server sends for a path, and whether it then keeps the connection open.
type Answer = (String, bool);

/// A server that sends what a function says, and records the requests.
struct Fake {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, record) = (Arc::new(answer), Arc::clone(&requests));
        // It ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
                thread::spawn(move || serve(&stream.unwrap(), &*answer, &record));
            }
        });
        Self { address, requests }
    }

    /// A server that is sound until it is asked for the definitions.
    fn with_definitions(definitions: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self::start(move |path| match path {
            "/api/overview" => ok(OVERVIEW),
            "/api/whoami" => ok(ADMINISTRATOR),
            _ => definitions(),
        })
    }

    fn options(&self) -> RabbitMqOptions {
        let options = RabbitMqOptions::new(&self.address).unwrap();
        options.with_password(Secret::new("hunter2"))
    }

    fn probe(&self) -> Result<RabbitMqServer, ServerError> {
        let limits = Limits {
            connect: Duration::from_secs(10),
            silence: Duration::from_millis(300),
            import: Duration::from_millis(300),
        };
        RabbitMqServer::probe_within(self.options(), limits, &CancellationToken::new())
    }

    /// The error of a probe.
    fn refusal(&self) -> String {
        self.probe().unwrap_err().to_string()
    }
}

/// Answers requests until one leaves the connection open or closes it.
fn serve(mut stream: &TcpStream, answer: &dyn Fn(&str) -> Answer, record: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend_from_slice(&buffer[..len]),
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let value = line
                .to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .to_owned();
            value.parse::<usize>().ok()
        });
        if body.len() < length.unwrap_or_default() {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap();
        let (bytes, keeps_open) = answer(path);
        record.lock().unwrap().push(text.clone());
        let _ = stream.write_all(bytes.as_bytes());
        if keeps_open {
            // Until the client closes it.
            let _ = stream.read_to_end(&mut request);
        }
        return;
    }
}

fn with_status(status: &str, body: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (format!("{head}{body}"), false)
}

fn ok(body: &str) -> Answer {
    with_status("200 OK", body)
}

/// What a backup reads.
fn read(server: &RabbitMqServer, cancel: &CancellationToken) -> Result<Vec<u8>, String> {
    let mut dumps = server.dumps(cancel).unwrap();
    let dump = dumps.pop().unwrap();
    assert!(dumps.is_empty() && dump.name == "definitions.json");
    let DumpContent::Reader(mut reader) = dump.content else {
        panic!("{:?}", dump.content);
    };
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| error.to_string())
}

fn dumped(definitions: impl Fn() -> Answer + Send + Sync + 'static) -> Result<Vec<u8>, String> {
    let server = Fake::with_definitions(definitions).probe().unwrap();
    read(&server, &CancellationToken::new())
}

#[test]
fn definitions_are_passed_on_byte_for_byte() {
    // Spaces, the order of keys and escapes stay as they are.
    let body =
        "{ \"vhosts\":[],\n \"rabbit_version\" : \"3.10.8\", \"x\":\"\\u00fc\", \"n\":1.50 }\n";
    assert_eq!(dumped(|| ok(body)).unwrap(), body.as_bytes());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(
        dumped(move || (chunked.clone(), false)).unwrap(),
        body.as_bytes()
    );
}

#[test]
fn the_server_says_what_it_is_and_what_is_not_backed_up() {
    let fake = Fake::with_definitions(|| ok(DEFINITIONS));
    let server = fake.probe().unwrap();
    assert_eq!((server.version(), server.folder()), ("3.10.8", "rabbitmq"));
    assert_eq!(server.cluster, "rabbit@a");
    let warnings = server.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("7 messages in queues are not backed up"),
        "{warnings:?}"
    );
    let requests = fake.requests.lock().unwrap();
    // The name and the password in base64.
    let login = "authorization: Basic Z3Vlc3Q6aHVudGVyMg==";
    assert!(
        requests.iter().all(|request| request.contains(login)),
        "{requests:?}"
    );
    drop(requests);
    let empty = Fake::start(|path| match path {
        "/api/overview" => ok(r#"{"rabbitmq_version":"4.1.0","queue_totals":{}}"#),
        _ => ok(r#"{"tags":"administrator,management"}"#),
    });
    assert!(empty.probe().unwrap().warnings().is_empty());
}

#[test]
fn an_answer_that_is_not_whole_is_an_error() {
    let half = &DEFINITIONS[..60];
    let length = DEFINITIONS.len();
    let cases = [
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{half}"),
            "it ends after 60 bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"rab\r\n".to_owned(),
            "it ends after 5 bytes",
        ),
        // Without a length, only the content shows it.
        (
            format!("HTTP/1.0 200 OK\r\n\r\n{half}"),
            "not one whole JSON object",
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{DEFINITIONS}",
                length - 1
            ),
            "not one whole JSON object",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".to_owned(),
            "longer than 1073741824 bytes",
        ),
        (ok("").0, "not one whole JSON object"),
        (ok("{}").0, "no `rabbit_version`"),
        (ok("{\"rabbit_version\": \"3.10.8\"}").0, "no `vhosts`"),
        (ok("[]").0, "not one whole JSON object"),
        (
            ok("<html>\n<body>Log in</body></html>").0,
            "<html> <body>Log in</body></html>",
        ),
        (ok(&format!("{DEFINITIONS} {{}}")).0, "trailing characters"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "invalid HTTP"),
        (String::new(), "connection closed"),
    ];
    for (answer, expected) in cases {
        let sent = answer.clone();
        let error = dumped(move || (sent.clone(), false)).unwrap_err();
        assert!(error.contains(expected), "{answer:?}: {error}");
        assert!(
            !error.contains('\n') && !error.contains("\"vhosts"),
            "{error}"
        );
    }
}

#[test]
fn a_server_that_sends_nothing_is_given_up() {
    for start in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
    ] {
        let error = dumped(move || (start.to_owned(), true)).unwrap_err();
        assert!(error.contains("sent nothing for 0.3 seconds"), "{error}");
    }
}

#[test]
fn a_cancelled_read_ends_at_once() {
    let fake = Fake::with_definitions(|| (String::new(), true));
    let server = RabbitMqServer::probe(fake.options(), &CancellationToken::new()).unwrap();
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    let waiter = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        trigger.cancel();
    });
    // Without the token, it would wait for a minute.
    assert_eq!(read(&server, &cancel).unwrap_err(), "cancelled");
    waiter.join().unwrap();
}

#[test]
fn a_refusal_says_what_to_do() {
    for (status, body, expected) in [
        (
            "401 Unauthorized",
            r#"{"error":"not_authorized","reason":"Login failed"}"#,
            "Login failed: check the user `guest` and its password",
        ),
        (
            "401 Unauthorized",
            r#"{"error":"not_authorised","reason":"Not management user"}"#,
            "give the user `guest` the tag `administrator`",
        ),
        (
            "403 Forbidden",
            "no",
            "give the user `guest` the tag `administrator`",
        ),
        (
            "404 Not Found",
            "{}",
            "enable it with `rabbitmq-plugins enable rabbitmq_management`",
        ),
        ("500 Broken", "", "it gives no reason (HTTP status 500)"),
        ("302 Found", "elsewhere", "elsewhere (HTTP status 302)"),
    ] {
        let fake = Fake::start(move |_| with_status(status, body));
        let error = fake.refusal();
        assert!(error.contains(expected), "{status}: {error}");
        assert!(
            !error.contains("hunter2") && !error.contains('\n'),
            "{error}"
        );
    }
    let queues = Fake::start(|_| ("AMQP\0\0\x09\x01".to_owned(), false));
    assert!(queues.refusal().contains("15672 by default"));
    let html = Fake::start(|_| ok("<html>"));
    assert!(html.refusal().contains("<html>; check that http://127"));
    let other = Fake::start(|_| ok(r#"{"version":"1"}"#));
    assert!(other.refusal().contains(r#"{"version":"1"}"#));
    let monitoring = Fake::start(|path| match path {
        "/api/overview" => ok(OVERVIEW),
        _ => ok(r#"{"name":"guest","tags":["monitoring"]}"#),
    });
    assert!(monitoring.refusal().contains("the tag `administrator`"));
    // Nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let address = format!("http://{}", address.unwrap());
    let gone = RabbitMqServer::probe(
        RabbitMqOptions::new(&address).unwrap(),
        &CancellationToken::new(),
    );
    let gone = gone.unwrap_err();
    let cause = std::error::Error::source(&gone).unwrap();
    let gone = format!("{gone}: {cause}");
    assert!(
        gone.contains(&address) && gone.contains("refused") && gone.contains("plugin is enabled"),
        "{gone}"
    );
}

#[test]
fn an_import_sends_the_bytes_and_returns_differences() {
    let fake = Fake::with_definitions(|| ok(DEFINITIONS));
    let server = fake.probe().unwrap();
    let cancel = CancellationToken::new();
    let same = server.import(DEFINITIONS.as_bytes(), &cancel).unwrap();
    assert_eq!(
        (same.differences.len(), same.objects, same.others),
        (0, 2, 0)
    );
    let requests = fake.requests.lock().unwrap().clone();
    let posted = requests.iter().find(|request| request.starts_with("POST"));
    assert!(posted.unwrap().ends_with(DEFINITIONS), "{posted:?}");
    let wanted = DEFINITIONS.replace("true", "false");
    let different = server.import(wanted.as_bytes(), &cancel).unwrap();
    let texts: Vec<_> = different
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(texts, ["queue `ü` in `/`: durable is true, not false"]);
    let error = server.import(b"{\"queues\":[]}", &cancel).unwrap_err();
    assert!(
        error.to_string().contains("this file cannot be used"),
        "{error}"
    );
}

#[test]
fn a_refused_import_says_that_a_part_may_be_done() {
    let reason = r#"{"error":"bad_request","reason":["amqp_error",[110,111,32,102],"none"]}"#;
    let fake = Fake::with_definitions(move || with_status("400 Bad Request", reason));
    let server = fake.probe().unwrap();
    let error = server.import(DEFINITIONS.as_bytes(), &CancellationToken::new());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("amqp_error no f none") && error.contains("may be imported"),
        "{error}"
    );
}

#[test]
fn an_import_that_is_too_large_or_cut_says_so() {
    for (answer, expected) in [
        (
            with_status(
                "400 Bad Request",
                r#"{"reason":"Exceeded HTTP request body size limit"}"#,
            ),
            "size limit: raise `management.http.max_body_size` in the configuration of the server, or import the file with `rabbitmqctl import_definitions`",
        ),
        (
            with_status("413 Payload Too Large", ""),
            "raise `management.http.max_body_size`",
        ),
        (
            (String::new(), false),
            "connection closed before message completed; a part of the definitions may be imported",
        ),
    ] {
        let is_cut = answer.0.is_empty();
        let fake = Fake::with_definitions(move || answer.clone());
        let server = fake.probe().unwrap();
        let error = server.import(DEFINITIONS.as_bytes(), &CancellationToken::new());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.contains("may be imported"), is_cut, "{error}");
    }
}

#[test]
fn an_address_is_checked_and_shows_no_password() {
    for address in [
        "",
        "localhost",
        "localhost:15672",
        "amqp://localhost",
        "ftp://localhost",
        "http://",
        "http://a?b",
        "http://a#b",
    ] {
        assert!(RabbitMqOptions::new(address).is_err(), "{address}");
    }
    for address in [
        "http://guest:hunter2@localhost:15672",
        "guest:hunter2@localhost",
        "https://hunter2@x/y",
    ] {
        let error = RabbitMqOptions::new(address).unwrap_err().to_string();
        assert!(
            error.contains("user or a password") && !error.contains("hunter2"),
            "{error}"
        );
    }
    let options = RabbitMqOptions::new("https://proxy.example/rabbit/").unwrap();
    assert_eq!(options.address(), "https://proxy.example/rabbit");
    let options = options.with_password(Secret::new("hunter2"));
    assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
    for user in ["", "a:b"] {
        let error =
            RabbitMqServer::probe(options.clone().with_user(user), &CancellationToken::new())
                .unwrap_err();
        assert!(error.to_string().contains("the user"), "{error}");
    }
}
