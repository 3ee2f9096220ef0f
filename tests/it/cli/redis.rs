//! `br backup --redis` and `br restore --to-redis`, with a real Redis.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use br_testkit::{BrOutput, Redis, tries_all_steps};
use rustix::process::{Pid, Signal, kill_process};

use super::{Session, files_below, json};

/// Every kind of value.
const AWKWARD: &str = r#"
SET text "Müller 🦀 \"quoted\"\r\n"
SET "key with\nnewline \x00\xff" "\x00\xff\x01"
SET empty ""
SET number 12345
SET temporary 1 PXAT 4102444800000
RPUSH list a b "c d" 3
SADD numbers 1 2 3
SADD words a "ü" 🦀
HSET hash field value "odd field" "\xff"
ZADD scores 1.5 a -inf b 3 c
GEOADD places 13.361389 38.115556 Palermo
PFADD visitors a b c
SETBIT bits 1000 1
XADD log 1-1 field value
XADD log 2-1 field "other value"
XGROUP CREATE log readers 0
XREADGROUP GROUP readers anna COUNT 1 STREAMS log >
SELECT 5
SET elsewhere yes
"#;

const FUNCTION: &str = "#!lua name=shop\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)";

/// Runs a script of commands.
fn script(server: &Redis, commands: &str) {
    let mut client = server.client();
    let mut child = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(commands.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("ERR"), "{text}");
}

fn awkward(server: &Redis) {
    script(server, AWKWARD);
    for n in 0..20 {
        let large = "x".repeat(100_000 + n);
        server.ask(&["SET", &format!("large {n}"), &large]);
        server.ask(&["RPUSH", "long list", &large]);
    }
    server.ask(&["FUNCTION", "LOAD", FUNCTION]);
}

/// The state of a server in a form in which order does not matter.
fn state(server: &Redis) -> [String; 3] {
    [
        server.ask(&["DEBUG", "DIGEST"]),
        server.ask(&["FUNCTION", "LIST", "WITHCODE"]),
        server
            .ask(&["INFO", "keyspace"])
            .replace("avg_ttl", "\0")
            .split('\0')
            .next()
            .unwrap()
            .to_owned(),
    ]
}

impl Session {
    fn back_up_redis(&self, server: &Redis) -> BrOutput {
        let socket = server.socket().display().to_string();
        self.run(["backup", "--redis", &socket])
    }

    fn restore_redis(&self, path: &str, server: &Redis, more: &[&str]) -> BrOutput {
        let socket = server.socket().display().to_string();
        let arguments = ["restore", "latest", path, "--to-redis", &socket];
        self.br.run(arguments.iter().chain(more))
    }
}

fn two_servers() -> Option<(Redis, Redis)> {
    Some((Redis::start()?, Redis::start()?))
}

#[test]
fn a_server_with_every_kind_of_value_comes_back() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    awkward(&server);
    let session = Session::with_repository();
    let output = session.back_up_redis(&server).expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    for name in ["redis/dump.rdb", "redis/users.acl", "redis/redis.conf"] {
        assert!(listed.contains(name), "{listed}");
    }
    let output = session
        .restore_redis("redis/dump.rdb", &other, &[])
        .expect(0);
    assert!(output.stdout.contains("36 keys"), "{output}");
    assert_eq!(state(&server), state(&other));
    assert_eq!(other.ask(&["FCALL", "twice", "0", "21"]), "42");
    assert_eq!(
        server.ask(&["XINFO", "GROUPS", "log"]),
        other.ask(&["XINFO", "GROUPS", "log"])
    );
    assert!(other.ask(&["INFO", "replication"]).contains("role:master"));
    assert_eq!(other.ask(&["CONFIG", "GET", "masterauth"]), "masterauth");
}

#[test]
fn a_restored_server_with_an_append_only_file_keeps_its_keys_after_a_crash() {
    let options = ["--appendonly", "yes", "--save", ""];
    let (Some(server), Some(mut other)) = (Redis::start(), Redis::start_with(&options)) else {
        return;
    };
    awkward(&server);
    other.ask(&["SET", "old", "1"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    let output = session
        .restore_redis("redis/dump.rdb", &other, &[])
        .expect(1);
    assert!(output.stderr.contains("--replace-keys"), "{output}");
    assert_eq!(other.ask(&["GET", "old"]), "1");
    session
        .restore_redis("redis/dump.rdb", &other, &["--replace-keys"])
        .expect(0);
    assert_eq!(state(&server), state(&other));
    other.restart();
    assert_eq!(state(&server), state(&other));
    assert_eq!(other.ask(&["SET", "works", "1"]), "OK");
}

#[test]
fn a_server_keeps_its_keys_if_the_snapshot_is_damaged_or_no_snapshot() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    awkward(&server);
    other.ask(&["SET", "old", "1"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    for path in ["redis/redis.conf", "redis/none"] {
        let output = session.restore_redis(path, &other, &["--replace-keys"]);
        assert_ne!(output.code, Some(0), "{output}");
        assert_eq!(other.ask(&["GET", "old"]), "1", "{output}");
    }
    for pack in files_below(&session.at("repository/packs")) {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    let output = session.restore_redis("redis/dump.rdb", &other, &["--replace-keys"]);
    assert_ne!(output.code, Some(0), "{output}");
    assert_eq!(other.ask(&["GET", "old"]), "1");
    assert_eq!(
        other.ask(&["SET", "new", "1"]),
        "OK",
        "it is a master again"
    );
}

#[test]
fn a_server_is_a_master_again_after_an_interrupted_restore() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.ask(&["DEBUG", "POPULATE", "100000", "key", "200"]);
    other.ask(&["SET", "old", "1"]);
    other.ask(&["CONFIG", "SET", "masterauth", "of the operator"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    for wait in [0, 20, 50, 100, 200, 400] {
        let socket = other.socket().display().to_string();
        let mut words = vec!["restore", "latest", "redis/dump.rdb", "--replace-keys"];
        words.extend(["--to-redis", &socket]);
        let mut child = session.br.command(words).spawn().unwrap();
        thread::sleep(Duration::from_millis(wait));
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        child.wait().unwrap();
        assert!(
            other.ask(&["INFO", "replication"]).contains("role:master"),
            "{wait}"
        );
        let auth = other.ask(&["CONFIG", "GET", "masterauth"]);
        assert!(auth.contains("of the operator"), "{wait}: {auth}");
        let keys = other.ask(&["DBSIZE"]);
        assert!(keys == "1" || keys == "100000", "{wait}: {keys} keys");
    }
}

#[test]
fn a_restore_interrupted_while_the_server_loads_leaves_a_master() {
    let Some(server) = Redis::start() else {
        return;
    };
    server.ask(&["DEBUG", "POPULATE", "20000", "key", "10"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    for diskless in ["disabled", "swapdb"] {
        let options = ["--repl-diskless-load", diskless, "--appendonly", "yes"];
        let Some(other) = Redis::start_with(&options) else {
            return;
        };
        other.ask(&["SET", "old", "1"]);
        other.ask(&["CONFIG", "SET", "masterauth", "of the operator"]);
        // In microseconds: the server loads for some seconds, and answers meanwhile.
        other.ask(&["CONFIG", "SET", "key-load-delay", "200"]);
        other.ask(&[
            "CONFIG",
            "SET",
            "loading-process-events-interval-bytes",
            "1024",
        ]);
        let socket = other.socket().display().to_string();
        let mut words = vec!["restore", "latest", "redis/dump.rdb", "--replace-keys"];
        words.extend(["--to-redis", &socket]);
        let mut command = session.br.command(words);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let is_loading = |server: &Redis| {
            let state = server.ask(&["INFO", "persistence"]);
            state.contains("\nloading:1") || state.contains("async_loading:1")
        };
        while !is_loading(&other) {
            assert_eq!(child.try_wait().unwrap(), None, "it must still load");
            thread::sleep(Duration::from_millis(20));
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("br waits until it has loaded"), "{stderr}");
        let replication = other.ask(&["INFO", "replication"]);
        assert!(replication.contains("role:master"), "{diskless}: {stderr}");
        let auth = other.ask(&["CONFIG", "GET", "masterauth"]);
        assert!(auth.contains("of the operator"), "{diskless}: {auth}");
        assert_eq!(other.ask(&["DBSIZE"]), "20000", "{diskless}");
        assert_eq!(other.ask(&["SET", "new", "1"]), "OK", "{diskless}");
    }
}

#[test]
fn a_refused_restore_leaves_the_settings_of_the_server() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.ask(&["SET", "key", "1"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    other.ask(&["CONFIG", "SET", "masterauth", "of the operator"]);
    other.ask(&["CONFIG", "SET", "masteruser", "operator"]);
    let rules = ["~*", "+@all", "-replicaof"];
    other.ask(&[&["ACL", "SETUSER", "limited", "on", ">secret"][..], &rules].concat());
    session.write_secret("password", "secret");
    let login = [
        "--redis-user",
        "limited",
        "--redis-password",
        "file:password",
    ];
    let output = session
        .restore_redis("redis/dump.rdb", &other, &login)
        .expect(1);
    assert!(output.stderr.contains("replicaof"), "{output}");
    assert!(!output.stderr.contains("still be a replica"), "{output}");
    let auth = other.ask(&["CONFIG", "GET", "masterauth"]);
    assert!(auth.contains("of the operator"), "{auth}");
    let user = other.ask(&["CONFIG", "GET", "masteruser"]);
    assert!(user.contains("operator"), "{user}");
}

#[test]
fn users_stay_after_a_restart_if_the_server_has_a_file_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.acl");
    fs::write(&file, "user default on nopass ~* &* +@all\n").unwrap();
    let options = ["--aclfile", file.to_str().unwrap()];
    let (Some((server, other)), Some(mut with_file)) = (two_servers(), Redis::start_with(&options))
    else {
        return;
    };
    server.ask(&["ACL", "SETUSER", "anna", "on", ">a password", "~*", "+get"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    session
        .restore_redis("redis/users.acl", &with_file, &[])
        .expect(0);
    with_file.restart();
    assert!(with_file.ask(&["ACL", "LIST"]).contains("user anna"));
    let forgets = session
        .restore_redis("redis/users.acl", &other, &[])
        .expect(0);
    assert!(forgets.stderr.contains("forgets the users"), "{forgets}");
}

#[test]
fn a_restore_into_a_server_with_too_little_memory_warns() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.ask(&["DEBUG", "POPULATE", "20000", "key", "100"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    session
        .restore_redis("redis/dump.rdb", &other, &[])
        .expect(0);
    let memory = other.ask(&["INFO", "memory"]);
    let used = memory
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    for (policy, what) in [
        ("noeviction", "refuses changes"),
        ("allkeys-lru", "deletes keys"),
    ] {
        // Also when few keys are too many, which are deleted before br can look.
        for limit in [2 << 20, used * 95 / 100] {
            other.ask(&["CONFIG", "SET", "maxmemory", "0"]);
            other.ask(&["CONFIG", "SET", "maxmemory-policy", policy]);
            other.ask(&["FLUSHALL"]);
            other.ask(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
            let output = session
                .restore_redis("redis/dump.rdb", &other, &["--replace-keys"])
                .expect(3);
            assert!(output.stderr.contains(what), "{limit}: {output}");
        }
    }
}

#[test]
fn users_are_set_though_the_user_of_the_connection_is_limited_by_them() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    server.ask(&[
        "ACL",
        "SETUSER",
        "admin",
        "on",
        ">of the admin",
        "~*",
        "&*",
        "+@all",
    ]);
    server.ask(&["ACL", "SETUSER", "zoe", "on", ">of zoe", "~*", "+get"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    // As a machine has it whose default user may do nothing.
    server.ask(&["ACL", "SETUSER", "default", "reset"]);
    let listed = Redis::client(&server)
        .args(["--user", "admin", "--pass", "of the admin", "ACL", "LIST"])
        .output()
        .unwrap();
    let users = String::from_utf8(listed.stdout).unwrap();
    let users = users.lines().filter(|line| line.starts_with("user "));
    let users: Vec<String> = users.map(str::to_owned).collect();
    assert_eq!(users.len(), 3, "{users:?}");
    session.write("limited.acl", users.join("\n"));
    session
        .run([
            "backup",
            "--stdin-from-command",
            "--stdin-name",
            "limited.acl",
            "--",
            "cat",
            "limited.acl",
        ])
        .expect(0);
    session.restore_redis("limited.acl", &other, &[]).expect(0);
    let who = Redis::client(&other)
        .args(["--user", "admin", "--pass", "of the admin", "ACL", "LIST"])
        .output()
        .unwrap();
    let who = String::from_utf8(who.stdout).unwrap();
    assert!(who.contains("user zoe on"), "{who}");
    assert!(!who.contains("br:check"), "{who}");

    // A rule that the server does not know changes nothing.
    let Some(third) = Redis::start() else {
        return;
    };
    session.write(
        "bad.acl",
        "user anna on nopass ~* +@all\nuser bad on +@nonsense\n",
    );
    session
        .run([
            "backup",
            "--stdin-from-command",
            "--stdin-name",
            "bad.acl",
            "--",
            "cat",
            "bad.acl",
        ])
        .expect(0);
    session.restore_redis("bad.acl", &third, &[]).expect(1);
    let users = third.ask(&["ACL", "LIST"]);
    assert_eq!(users.lines().count(), 1, "{users}");
}

#[test]
fn users_come_back_with_their_passwords() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    for words in [
        &[
            "ACL",
            "SETUSER",
            "anna",
            "on",
            ">a password",
            "~shop:*",
            "&news:*",
            "+@read",
            "+set",
        ][..],
        &[
            "ACL",
            "SETUSER",
            "reader",
            "on",
            "nopass",
            "(+get %R~log:*)",
            "resetchannels",
        ],
        &["ACL", "SETUSER", "off-user", "off"],
    ] {
        assert_eq!(server.ask(words), "OK");
    }
    other.ask(&["ACL", "SETUSER", "anna", "on", "nopass", "~*", "+@all"]);
    let session = Session::with_repository();
    session.back_up_redis(&server).expect(0);
    let output = session
        .restore_redis("redis/users.acl", &other, &[])
        .expect(0);
    assert!(output.stdout.contains("4 users"), "{output}");
    // A user that was reset has the default as a flag.
    let users = |server: &Redis| {
        server
            .ask(&["ACL", "LIST"])
            .replace(" sanitize-payload", "")
    };
    assert_eq!(users(&server), users(&other));
}

#[test]
fn a_backup_under_writes_is_of_one_moment() {
    let Some((server, other)) = two_servers() else {
        return;
    };
    script(
        &server,
        &(0..100)
            .map(|n| format!("SET account:{n} 1000\n"))
            .collect::<String>(),
    );
    let runs = if tries_all_steps() { 20 } else { 4 };
    let session = Session::with_repository();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let mut commands = String::new();
                for _ in 0..50 {
                    n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let (from, to) = ((n >> 8) % 100, (n >> 16) % 100);
                    commands +=
                        &format!("MULTI\nDECRBY account:{from} 7\nINCRBY account:{to} 7\nEXEC\n");
                }
                script(&server, &commands);
            }
        });
        for run in 0..runs {
            session.back_up_redis(&server).expect(0);
            session
                .restore_redis("redis/dump.rdb", &other, &["--replace-keys"])
                .expect(0);
            let keys: Vec<String> = (0..100).map(|n| format!("account:{n}")).collect();
            let mut words = vec!["MGET"];
            words.extend(keys.iter().map(String::as_str));
            let sum: i64 = other
                .ask(&words)
                .lines()
                .map(|line| line.parse::<i64>().unwrap())
                .sum();
            assert_eq!(sum, 100_000, "run {run}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_password_is_needed_and_shown_nowhere() {
    let session = Session::with_repository();
    let words = ["backup", "--redis", "h", "--redis-password", "geheim-4711"];
    let output = session.run(words).expect(2);
    assert!(!output.stderr.contains("geheim"), "{output}");
    let Some(server) = Redis::start_with(&["--save", "", "--requirepass", "geheim-4711"]) else {
        return;
    };
    let session = Session::with_repository();
    let output = session.back_up_redis(&server).expect(1);
    assert!(output.stderr.contains("NOAUTH"), "{output}");
    session.write_secret("wrong", "falsch-0815\n");
    session.write_secret("right", "geheim-4711\n");
    let socket = server.socket().display().to_string();
    let back_up =
        |file: &str| session.run(["backup", "-v", "--redis", &socket, "--redis-password", file]);
    let output = back_up("file:wrong").expect(1);
    assert!(output.stderr.contains("WRONGPASS"), "{output}");
    let output = back_up("file:right").expect(0);
    assert!(!output.to_string().contains("geheim"), "{output}");
    let br = session.br.clone().env("BR_REDIS_PASSWORD", "geheim-4711");
    let output = br.run(["backup", "--redis", &socket, "--json"]).expect(0);
    assert!(!output.to_string().contains("geheim"), "{output}");
    let shown = session
        .run(["dump", "latest", "redis/redis.conf"])
        .expect(0)
        .stdout;
    assert!(
        shown.contains("maxmemory-policy") && !shown.contains("geheim"),
        "{shown}"
    );
    for file in files_below(&session.at("repository")) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(11).any(|part| part == b"geheim-4711");
        assert!(!found, "{}", file.display());
    }
}

#[test]
fn a_server_that_does_not_run_is_one_clear_line() {
    let session = Session::with_repository();
    let output = session.run(["backup", "--redis", "127.0.0.1:1"]).expect(1);
    assert!(
        output.stderr.contains("no connection to 127.0.0.1:1"),
        "{output}"
    );
    let output = session
        .run(["backup", "--redis", "redis://anna:geheim@h"])
        .expect(2);
    assert!(!output.stderr.contains("geheim"), "{output}");
    assert_eq!(
        session
            .run(["list", "--json"])
            .expect(0)
            .stdout
            .matches("\"id\"")
            .count(),
        0
    );
}

#[test]
fn a_set_has_a_server_of_redis() {
    let Some(server) = Redis::start() else {
        return;
    };
    awkward(&server);
    let session = Session::with_repository();
    session.write_secret(
        "br.toml",
        format!(
            "[repositories.main]\nlocation = \"./repository\"\n[sets.cache]\nrepository = \"main\"\nredis = \"{}\"\n",
            server.socket().display()
        ),
    );
    session
        .run(["--config", "br.toml", "config", "check"])
        .expect(0);
    session.run(["--config", "br.toml", "run"]).expect(0);
    let shown = session.run(["show", "latest", "--json"]).expect(0);
    assert_eq!(
        json(&shown.stdout)["backup"]["streams"][0]["path"],
        "redis/dump.rdb"
    );
}
