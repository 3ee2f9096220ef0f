//! Tests of configurations in bundles: parse, print, secrets, losses and merge.

use br_emqx::config::{
    ChangeKind, DifferenceKind, Import, MAX_FINDINGS, ROOTS, SecretKind, Warning, diff, import_of,
    losses, merge, roots, secrets, select_roots,
};
use br_emqx::hocon::{Object, Value, parse, print};
use br_emqx::rules::Version;
use proptest::prelude::*;

fn object(text: &str) -> Object {
    parse(text.as_bytes()).expect(text)
}

fn cluster() -> Object {
    object(CLUSTER)
}

fn changes(base: &str, incoming: &str) -> (Object, Vec<(String, ChangeKind)>) {
    let (merged, changes) = merge(&object(base), &object(incoming));
    let changes = changes.into_iter().map(|c| (c.path.to_string(), c.kind));
    (merged, changes.collect())
}

fn differences(a: &str, b: &str) -> Vec<(String, DifferenceKind)> {
    let diff = diff(&object(a), &object(b));
    assert!(!diff.is_truncated);
    let places = diff.differences.into_iter();
    places.map(|d| (d.path.to_string(), d.kind)).collect()
}

fn kinds(text: &str) -> Vec<(String, SecretKind)> {
    let found = secrets(&object(text)).into_iter();
    found.map(|s| (s.path.to_string(), s.kind)).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let found = losses(&object(text), None);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_cluster_is_read_and_printed_byte_for_byte() {
    let config = cluster();
    assert_eq!(print(&config), CLUSTER);
    let sql = config.get_path(&["rule_engine", "rules", "alarm", "sql"]);
    assert_eq!(
        sql.and_then(Value::as_text),
        Some(
            "SELECT\n  payload.t as t,\n  regex_replace(topic, '\\d+', '#') as kind\n\nFROM\n  \"plant/+/t\"\n"
        )
    );
    assert_eq!(roots(&config).len(), 15);
}

#[test]
fn secrets_of_a_cluster_are_found_and_nothing_else() {
    let found = secrets(&cluster()).into_iter();
    let found: Vec<_> = found.map(|s| format!("{} {:?}", s.path, s.kind)).collect();
    assert_eq!(
        found,
        [
            "actions.http.to_api.parameters.headers.authorization Token",
            "authentication[password_based:mysql].password Password",
            "authentication[jwt].secret ApiSecret",
            "connectors.azure.hub.connection ConnectionString",
            "connectors.mongodb.db.uri ConnectionString",
            "connectors.s3.store.secret_access_key ApiSecret",
            "license.key LicenceKey",
            "listeners.ssl.default.ssl_options.certfile Certificate",
            "listeners.ssl.default.ssl_options.keyfile PrivateKey",
            "listeners.ssl.default.ssl_options.password Password",
            "node.cookie Cookie",
        ]
    );
}

#[test]
fn values_that_only_look_like_secrets_are_not_listed() {
    let text = "
        a {password_hash_algorithm {name = sha256}, password_hash_field = password_hash, enable_token = true}
        b {public_key = \"MIIB\", access_key_id = AKIA, token_endpoint = \"http://x/y\", max_tokens = 5, token = 100}
        c {password = \"******\", secret = \"file:///run/secret\", cookie = ${COOKIE}, token = \"\"}
        d {body {password = \"${password}\"}, url = \"http://${username}:${password}@h/\", secret_base64_encoded = true}
        e {url = \"http://host:80/a@b:c\", dsn = \"redis://user@host\", query = \"a=1;b=2\", key = \"${.clientid}\"}
        license {key = default}
        f {from = password, private_key = \"etc/key.pem\", authorization = allow, routing_key = x}
        ";
    assert_eq!(kinds(text), []);
    let text = "
        clientSecret = x, x.\"X-API-Key\" = y, p.\"key-password\" = 123456, pem = \"a\\n-----BEGIN EC PRIVATE KEY-----\\n\"
        both = \"-----BEGIN CERTIFICATE-----\\n-----BEGIN RSA PRIVATE KEY-----\"
        sa = \"{\\\"private_key\\\": \\\"-----BEGIN PRIVATE KEY-----\\\\nx\\\"}\"
        url = \"see amqp://u:p@h:1/ or amqp://h\"
        servers = [{name = a, token = t}, {name = b, token = u}]
        pair = [{password = p}, 1]
        ";
    let found = kinds(text);
    let places: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "clientSecret",
        "x.X-API-Key",
        "p.key-password",
        "pem",
        "both",
        "both",
        "sa",
        "url",
        "servers[a].token",
        "servers[b].token",
        "pair[0].password",
    ];
    assert_eq!(places, expected);
    assert!(
        found
            .iter()
            .all(|(_, kind)| kind.is_secret() || *kind == SecretKind::Certificate)
    );
}

#[test]
fn losses_of_a_cluster_are_listed() {
    let found = losses(&cluster(), None);
    let found: Vec<_> = found
        .iter()
        .map(|w| format!("{} {}", name(w), w.path()))
        .collect();
    assert_eq!(
        found,
        [
            "part cluster.discovery_strategy",
            "root dashboard",
            "root node",
            "root plugins",
            "file authentication[password_based:mysql].ssl.cacertfile",
            "redacted connectors.s3.store.session_token",
            "certificate listeners.ssl.managed.ssl_options.managed_certs.bundle_name",
            "file listeners.wss.default.ssl_options.certfile",
            "plugin plugins.states[0].name_vsn",
            "file psk_authentication.init_file",
        ]
    );
    assert_eq!(losses(&object("mqtt {max_packet_size = 1MB}"), None), []);
}

fn name(warning: &Warning) -> &'static str {
    match warning {
        Warning::IgnoredRoot { .. } => "root",
        Warning::IgnoredPart { .. } => "part",
        Warning::IgnoredWithout { .. } => "without",
        Warning::FileNotInBundle { .. } => "file",
        Warning::ManagedCertificate { .. } => "certificate",
        Warning::Plugin { .. } => "plugin",
        Warning::Redacted { .. } => "redacted",
        Warning::Substitution { .. } => "substitution",
        _ => "other",
    }
}

#[test]
fn losses_have_readable_messages() {
    assert_eq!(
        warnings(
            "rule_engine {ignore_sys_message = true}\napi_key {bootstrap_file = \"etc/keys.txt\"}\nmqtt.x = ${Y}"
        ),
        [
            "`rule_engine` is ignored on import because it has no `rules`",
            "`api_key` is ignored on import: set it on the target by other means",
            "`api_key.bootstrap_file` points at \"etc/keys.txt\", which is not in the bundle: put it on every node before the import",
            "`mqtt.x` is taken from the environment of the target",
        ]
    );
    // Paths of URLs are not paths of files, and log files are written.
    let none = "actions.http.a.parameters.path = \"/api/v1\"\nlisteners.ws.default.websocket.mqtt_path = \"/mqtt\"
        log.file.default.path = \"log/emqx.log\"\nlog.file.x.file = \"log/x.log\"";
    assert_eq!(warnings(none), [""; 0]);
    assert_eq!(
        warnings("authorization.sources = [{type = file, path = \"data/authz/acl.conf\"}]").len(),
        1
    );
    let sources = object("sources.mqtt.a {x = 1}");
    let at = |version: &str| losses(&sources, Some(&Version::parse(version).unwrap())).len();
    assert_eq!((at("5.6.0"), at("5.6.1")), (1, 0));
}

/// Which of these roots each release imports, in the order of the row: rule_engine, slow_subs, topic_metrics, sources, license,
/// session_persistence, cluster, mqtt.
const RELEASES: &[(&str, &str)] = &[
    ("5.1.0", "-------x x"),
    ("5.1.1", "-------x x"),
    ("5.1.2", "xxx----x x"),
    ("5.1.6", "xxx----x x"),
    ("5.2.0", "xxx----x x"),
    ("5.3.0", "xxx----x x"),
    ("5.3.2", "xxx----x x"),
    ("5.4.0", "xxx----x x"),
    ("5.4.1", "xxx----x x"),
    ("5.5.0", "xxx--x-x x"),
    ("5.5.1", "xxx--x-x x"),
    ("5.6.0", "xxx--x-x x"),
    ("5.6.1", "xxxx-x-x x"),
    ("5.7.0", "xxxxx--x x"),
    ("5.7.1", "xxxxx--x x"),
    ("5.7.2", "xxxxx--x x"),
    ("5.8.0", "xxxxx--x x"),
    ("5.8.9", "xxxxx--x x"),
    ("5.9.0", "xxxxx--x x"),
    ("5.10.0", "xxxxx--x x"),
    ("6.0.0", "xxxxx--x x"),
    ("6.1.4", "xxxxx--x x"),
    ("6.2.2", "xxxxx--x x"),
    ("6.3.0", "xxxxx--x x"),
];

#[test]
fn roots_are_imported_by_the_right_releases() {
    let config = object(
        "rule_engine.rules.a {sql = x}\nslow_subs.top_k = 1\ntopic_metrics = [{topic = t}]\nsources.mqtt.a {x = 1}\n\
         license.key = x\nsession_persistence.enable = true\ndashboard.default_username = x\nmqtt.max_qos_allowed = 1\n\
         connectors.mqtt.a {x = 1}",
    );
    let names = [
        "rule_engine",
        "slow_subs",
        "topic_metrics",
        "sources",
        "license",
        "session_persistence",
        "dashboard",
        "mqtt",
        "",
        "connectors",
    ];
    for (version, row) in RELEASES {
        let node = Version::parse(version).unwrap();
        let losses = losses(&config, Some(&node));
        let ignored: Vec<_> = losses.iter().map(|loss| loss.path().to_string()).collect();
        let imported: String = names
            .iter()
            .map(|name| match *name {
                "" => ' ',
                name if ignored.iter().any(|path| path == name) => '-',
                _ => 'x',
            })
            .collect();
        assert_eq!(&imported, row, "{version}");
    }
}

#[test]
fn the_table_has_every_root_once() {
    let names: std::collections::HashSet<_> = ROOTS.iter().map(|root| root.name).collect();
    assert_eq!(names.len(), ROOTS.len());
    let place = |name| ROOTS.iter().position(|root| root.name == name);
    assert!(place("connectors") < place("actions") && place("sources") < place("rule_engine"));
    assert_eq!(import_of("node", None), Import::Ignored);
    assert_eq!(import_of("mqtt", None), Import::Replaced);
}

#[test]
fn select_roots_refuses_missing_names() {
    let selected = select_roots(&cluster(), &["node", "license", "node"]).unwrap();
    assert_eq!(roots(&selected), ["license", "node"]);
    let refusal = select_roots(&cluster(), &["foo", "node", "bar"]).unwrap_err();
    assert_eq!(refusal.emqx_message(), "Invalid root keys: bar, foo");
    assert!(select_roots(&cluster(), &[""; 0]).unwrap().is_empty());
}

#[test]
fn an_import_merges_by_type_and_name() {
    let (merged, changes) = changes(
        "connectors {http {a {x = 1, y = 2}, b {x = 1}}, mqtt {c {x = 1}}}\nlisteners.tcp.default {bind = 1}",
        "connectors {http {a {x = 2}, b {x = \"1\"}, d {x = 4}}, kafka {e {x = 5}}}",
    );
    let expected = "connectors {http {a {x = 2}, b {x = \"1\"}, d {x = 4}}, mqtt {c {x = 1}}, kafka {e {x = 5}}}\nlisteners.tcp.default {bind = 1}";
    assert_eq!(merged, object(expected));
    assert_eq!(
        changes,
        [
            ("connectors.http.a".to_owned(), ChangeKind::Updated),
            ("connectors.http.b".to_owned(), ChangeKind::Unchanged),
            ("connectors.http.d".to_owned(), ChangeKind::Inserted),
            ("connectors.kafka.e".to_owned(), ChangeKind::Inserted),
        ]
    );
}

#[test]
fn import_merges_lists_by_identity() {
    let (merged, list) = changes(
        "authentication = [{mechanism = password_based, backend = redis, x = 1}, {mechanism = jwt, x = 1}]
         authorization {no_match = allow, cache {enable = true}, sources = [{type = file, x = 1}, {type = redis}]}",
        "authentication = [{mechanism = scram, backend = built_in_database}, {mechanism = password_based, backend = redis, x = 2}]
         authorization {no_match = deny, sources = [{type = http}, {type = file, x = 2}]}",
    );
    let expected = "authentication = [{mechanism = password_based, backend = redis, x = 2}, {mechanism = jwt, x = 1}
            {mechanism = scram, backend = built_in_database}]
         authorization {no_match = deny, sources = [{type = file, x = 2}, {type = redis}, {type = http}]}";
    assert_eq!(merged, object(expected));
    let expected = [
        (
            "authentication[scram:built_in_database]",
            ChangeKind::Inserted,
        ),
        ("authentication[password_based:redis]", ChangeKind::Updated),
        ("authorization.cache", ChangeKind::Updated),
        ("authorization.no_match", ChangeKind::Updated),
        ("authorization.sources[http]", ChangeKind::Inserted),
        ("authorization.sources[file]", ChangeKind::Updated),
    ];
    assert_eq!(list, expected.map(|(path, kind)| (path.to_owned(), kind)));
    // A single authenticator means a list of one.
    let (merged, _) = changes(
        "authentication = [{mechanism = jwt}]",
        "authentication {mechanism = scram}",
    );
    assert_eq!(
        merged,
        object("authentication = [{mechanism = jwt}, {mechanism = scram}]")
    );
}

#[test]
fn import_replaces_or_ignores_other_roots() {
    let (merged, list) = changes(
        "mqtt {a = 1, b = 2}\nnode.cookie = x\ncluster {name = old, links = [{name = a}]}\nrule_engine.rules.r {sql = a}",
        "mqtt {a = 2}\nnode.cookie = y\ncluster {name = new, links = [{name = b}]}\nlicense.key = k\nopentelemetry {}
         rule_engine {ignore_sys_message = true}\nschema_registry.schemas.s {x {y = 1}}\ndashboard.x = 1",
    );
    let expected =
        "mqtt {a = 2}\nnode.cookie = x\ncluster {name = old, links = [{name = b}]}\nlicense.key = k
         rule_engine.rules.r {sql = a}\nschema_registry.schemas.s {x {y = 1}}";
    assert_eq!(merged, object(expected));
    let expected = [
        ("mqtt", ChangeKind::Updated),
        ("node", ChangeKind::Ignored),
        ("cluster.name", ChangeKind::Ignored),
        ("cluster.links", ChangeKind::Updated),
        ("license", ChangeKind::Inserted),
        ("opentelemetry", ChangeKind::Ignored),
        ("rule_engine", ChangeKind::Ignored),
        ("schema_registry.schemas.s.x.y", ChangeKind::Inserted),
        ("dashboard", ChangeKind::Ignored),
    ];
    assert_eq!(list, expected.map(|(path, kind)| (path.to_owned(), kind)));
    let (merged, list) = changes("", "cluster.name = new\nrule_engine {}");
    assert_eq!((merged, list.len()), (Object::new(), 2));
}

#[test]
fn importing_twice_changes_nothing_the_second_time() {
    let (once, first) = merge(&Object::new(), &cluster());
    let (twice, second) = merge(&once, &cluster());
    assert_eq!(once, twice);
    assert_eq!(first.len(), second.len());
    let is_new = |kind| matches!(kind, ChangeKind::Inserted | ChangeKind::Ignored);
    assert!(first.iter().all(|change| is_new(change.kind)));
    let is_old = |kind| matches!(kind, ChangeKind::Unchanged | ChangeKind::Ignored);
    assert!(second.iter().all(|change| is_old(change.kind)));
}

#[test]
fn differences_are_single_places() {
    let found = differences(
        "a {x = 10s, y {z = 1}, gone {p = 1, q = []}}\nlist = [1, 2]\nauthentication = [{mechanism = jwt, secret = s}]\nsame = [{x = 1}]",
        "a {y {z = 2}, x = \"10s\"}\nlist = [1, 3]\nauthentication = [{mechanism = jwt, secret = t}, {mechanism = scram, x {}}]\nsame = [{x = \"1\"}]\n\"new key\" {}",
    );
    let expected = [
        ("a.y.z", DifferenceKind::Changed),
        ("a.gone.p", DifferenceKind::Removed),
        ("a.gone.q", DifferenceKind::Removed),
        ("list", DifferenceKind::Changed),
        ("authentication[jwt].secret", DifferenceKind::Changed),
        ("authentication[scram].mechanism", DifferenceKind::Added),
        ("authentication[scram].x", DifferenceKind::Added),
        ("\"new key\"", DifferenceKind::Added),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
    let moved = differences(
        "l = [{name = a}, {name = b}]",
        "l = [{name = b}, {name = a}]",
    );
    assert_eq!(moved, [("l".to_owned(), DifferenceKind::Changed)]);
    assert!(differences(CLUSTER, CLUSTER).is_empty());
}

#[test]
fn findings_are_bounded_in_number_and_length() {
    let many: Object = (0..MAX_FINDINGS + 5)
        .map(|i| {
            (
                format!("{}{i}", "k".repeat(200)),
                object("password = x").into(),
            )
        })
        .collect();
    let found = diff(&Object::new(), &many);
    assert!(found.is_truncated);
    assert_eq!(found.differences.len(), MAX_FINDINGS);
    assert!(
        found
            .differences
            .iter()
            .all(|d| d.path.as_str().len() < 100)
    );
    assert_eq!(secrets(&many).len(), MAX_FINDINGS);
    assert_eq!(losses(&many, None).len(), MAX_FINDINGS);
    let deep = object(&format!("{}a = 1", "key_of_some_length.".repeat(120)));
    let found = diff(&Object::new(), &deep);
    assert!(
        found
            .differences
            .iter()
            .all(|d| d.path.as_str().len() < 600)
    );
}

/// The cost of a key's length is paid once, not for every value below it.
#[test]
fn long_keys_cost_no_more_than_their_length() {
    let values: String = (0..20_000)
        .map(|i| format!("k{i} {{password = x}},"))
        .collect();
    look_at(format!("{} {{{values}}}", "long".repeat(1 << 20)).as_bytes());
    look_at(format!("mqtt.{} {{{values}}}", "long".repeat(1 << 20)).as_bytes());
    look_at(format!("authentication = [{}]", "{mechanism = a},".repeat(20_000)).as_bytes());
}

fn look_at(bytes: &[u8]) {
    if let Ok(config) = parse(bytes) {
        let _ = (secrets(&config), losses(&config, None));
        let (merged, _) = merge(&cluster(), &config);
        let _ = diff(&config, &merged);
        assert_eq!(parse(print(&config).as_bytes()), Ok(config));
    }
}

#[test]
fn no_truncation_makes_it_panic() {
    for end in 0..CLUSTER.len() {
        look_at(&CLUSTER.as_bytes()[..end]);
    }
}

proptest! {
    #[test]
    fn no_flipped_bytes_make_it_panic(flips in prop::collection::vec((0..CLUSTER.len(), any::<u8>()), 1..6)) {
        let mut bytes = CLUSTER.as_bytes().to_vec();
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        look_at(&bytes);
    }
}

/// A configuration as EMQX might write it for a small plant. The keys and certificates are not real.
const CLUSTER: &str = r##"actions {
  http {
    to_api {
      connector = api
      enable = true
      parameters {
        body = "${payload}"
        headers {
          authorization = "Bearer c2FtcGxlLXRva2Vu"
          content-type = "application/json"
        }
        path = "/v1/readings"
      }
      resource_opts {health_check_interval = 15s, max_buffer_bytes = 256MB}
    }
  }
}
authentication = [
  {
    backend = mysql
    database = mqtt
    mechanism = password_based
    password = "Sample-Pa55"
    password_hash_algorithm {name = sha256, salt_position = suffix}
    query = "SELECT password_hash, salt FROM mqtt_user WHERE username = ${username} LIMIT 1"
    ssl {
      cacertfile = "/etc/ssl/mysql-ca.pem"
      enable = true
    }
    username = emqx
  },
  {
    algorithm = "hmac-based"
    from = password
    mechanism = jwt
    secret = "sample-jwt-secret"
    secret_base64_encoded = false
    verify_claims {}
  }
]
authorization {
  cache {
    enable = true
    max_size = 32
    ttl = 1m
  }
  no_match = deny
  sources = [
    {
      enable = true
      rules = """~
        %% Everybody reads what the broker says of itself.
        {allow, all, subscribe, ["$SYS/#"]}.
        {deny, all}.
      ~"""
      type = file
    },
    {type = built_in_database}
  ]
}
cluster {
  discovery_strategy = static
  links = [
    {
      name = "site-b"
      server = "b.example.org:1883"
      topics = [
        "#"
      ]
    }
  ]
}
connectors {
  azure {
    hub {
      connection = "Endpoint=sb://x.example.org/;SharedAccessKeyName=a;SharedAccessKey=c2FtcGxl"
    }
  }
  mongodb {
    db {
      uri = "mongodb://emqx:sample@db.example.org:27017/mqtt"
    }
  }
  s3 {
    store {
      access_key_id = SAMPLEACCESSKEYID
      secret_access_key = "sample/secret+access=key"
      session_token = "******"
    }
  }
}
dashboard {
  listeners {
    http {bind = 18083}
  }
}
license {
  connection_high_watermark = "80%"
  key = "c2FtcGxl.bGljZW5jZQ=="
}
listeners {
  ssl {
    default {
      bind = "0.0.0.0:8883"
      max_connections = infinity
      ssl_options {
        certfile = """~
          -----BEGIN CERTIFICATE-----
          VGhpcyBpcyBubyBjZXJ0aWZpY2F0ZSwgb25seSB0ZXh0IHRoYXQgbG9va3MgbGlr
          ZSBvbmU=
          -----END CERTIFICATE-----
        ~"""
        keyfile = """~
          -----BEGIN PRIVATE KEY-----
          VGhpcyBpcyBubyBrZXksIG9ubHkgdGV4dCB0aGF0IGxvb2tzIGxpa2Ugb25l
          -----END PRIVATE KEY-----
        ~"""
        password = "sample key password"
        versions = [
          "tlsv1.3",
          "tlsv1.2"
        ]
      }
    }
    managed {
      bind = "0.0.0.0:8884"
      ssl_options {
        managed_certs {bundle_name = edge}
      }
    }
  }
  tcp {
    default {
      bind = "0.0.0.0:1883"
      enable = true
    }
  }
  wss {
    default {
      bind = "0.0.0.0:8084"
      ssl_options {
        certfile = "${EMQX_ETC_DIR}/certs/cert.pem"
      }
      websocket {mqtt_path = "/mqtt"}
    }
  }
}
mqtt {
  max_packet_size = 1MB
  max_qos_allowed = 2
  mqueue_priorities = disabled
}
node {cookie = samplecookie}
plugins {
  states = [
    {
      enable = true
      name_vsn = "my_plugin-1.0.0"
    }
  ]
}
psk_authentication {
  enable = true
  init_file = "data/init.psk"
}
retainer {
  backend {
    index_specs = [[1, 2, 3], [1, 3], [3]]
    storage_type = disc
    type = built_in_database
  }
}
rewrite = []
rule_engine {
  rules {
    alarm {
      actions = [
        "http:to_api"
      ]
      description = ""
      metadata {created_at = 1700823461686}
      sql = """~
        SELECT
          payload.t as t,
          regex_replace(topic, '\d+', '#') as kind

        FROM
          "plant/+/t"
      ~"""
    }
  }
}
"##;
