//! A broker that exports: the files of an EMQX data export, built byte by byte without br's own writers.
//!
//! [`EmqxNode`] has a configuration and tables. Invariant: every secret in it contains a word of [`EmqxNode::SECRETS`], so that a
//! test can search for secrets where they must not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest as _, Md5};

use crate::fixture::set_time;
use crate::runtime::Noise;

/// An Erlang term, of the kinds that tables need.
#[derive(Debug, Clone)]
enum Term {
    Atom(String),
    Binary(Vec<u8>),
    Integer(u32),
    Text(String),
    Tuple(Vec<Self>),
    List(Vec<Self>),
}

impl Term {
    fn atom(name: &str) -> Self {
        Self::Atom(name.to_owned())
    }

    fn binary(text: impl AsRef<[u8]>) -> Self {
        Self::Binary(text.as_ref().to_vec())
    }

    /// Appends the term in the external format.
    fn write(&self, out: &mut Vec<u8>) {
        let len = |len: usize| u32::try_from(len).unwrap().to_be_bytes();
        match self {
            Self::Atom(name) => {
                out.extend([119, u8::try_from(name.len()).unwrap()]);
                out.extend(name.as_bytes());
            }
            Self::Binary(bytes) => {
                out.push(109);
                out.extend(len(bytes.len()));
                out.extend(bytes);
            }
            Self::Integer(number) if *number < 256 => {
                out.extend([97, u8::try_from(*number).unwrap()]);
            }
            Self::Integer(number) => {
                out.push(98);
                out.extend(number.to_be_bytes());
            }
            Self::Text(text) => {
                out.push(107);
                out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
                out.extend(text.as_bytes());
            }
            Self::Tuple(items) => {
                out.extend([104, u8::try_from(items.len()).unwrap()]);
                items.iter().for_each(|item| item.write(out));
            }
            Self::List(items) if items.is_empty() => out.push(106),
            Self::List(items) => {
                out.push(108);
                out.extend(len(items.len()));
                items.iter().for_each(|item| item.write(out));
                out.push(106);
            }
        }
    }
}

/// A table: what records look like, and the records.
#[derive(Debug, Clone)]
struct Table {
    name: &'static str,
    /// The text before the name in the key, as in `{username, <<"anna">>}`.
    key_kind: Option<&'static str>,
    attributes: &'static [&'static str],
    records: Vec<(String, String)>,
}

/// All tables of a node of version 5.1, in the order in which it exports them.
const TABLES: [(&str, Option<&str>, &[&str]); 7] = [
    (
        "emqx_admin",
        None,
        &["username", "pwdhash", "description", "role", "extra"],
    ),
    (
        "emqx_authn_mnesia",
        Some("mqtt:global"),
        &["user_id", "password_hash", "salt", "is_superuser"],
    ),
    (
        "emqx_enhanced_authn_scram_mnesia",
        Some("mqtt:global"),
        &["user_id", "stored_key", "server_key", "salt"],
    ),
    (
        "emqx_app",
        None,
        &["name", "api_key", "api_secret_hash", "enable", "desc"],
    ),
    ("emqx_acl", Some("username"), &["who", "rules"]),
    ("emqx_psk", None, &["psk_id", "shared_secret"]),
    (
        "emqx_banned",
        Some("clientid"),
        &["who", "by", "reason", "at", "until"],
    ),
];

/// The content of a node.
#[derive(Debug, Clone)]
pub struct EmqxNode {
    /// `ce` or `ee`.
    pub edition: String,
    /// The release.
    pub version: String,
    /// `cluster.hocon`.
    pub config: String,
    tables: Vec<Table>,
    /// When it exports, in seconds since 1970.
    pub time: u32,
    random: Noise,
}

impl EmqxNode {
    /// Words; each secret contains one of them.
    pub const SECRETS: [&str; 7] = [
        "hushADMIN",
        "hushUSER",
        "hushAPIKEY",
        "hushPSK",
        "hushDATABASE",
        "hushURL",
        "hushPRIVATEKEY",
    ];

    /// A node of version 5.1.0 with a record or two in each table, and a configuration with every kind of secret.
    #[must_use]
    pub fn small() -> Self {
        let mut node = Self::empty();
        node.config = CONFIG.to_owned();
        for (table, key, value) in [
            ("emqx_admin", "admin", "hushADMIN"),
            ("emqx_authn_mnesia", "anna", "hushUSER-1"),
            ("emqx_authn_mnesia", "bert", "hushUSER-2"),
            ("emqx_enhanced_authn_scram_mnesia", "carl", "hushUSER-3"),
            ("emqx_app", "operator", "hushAPIKEY"),
            ("emqx_acl", "anna", "allow publish"),
            ("emqx_psk", "sensor", "hushPSK"),
            ("emqx_banned", "mallory", "by hand"),
        ] {
            node.put(table, key, value);
        }
        node
    }

    /// A node with this number of users and about 90 kB of rules.
    #[must_use]
    pub fn large(users: u32) -> Self {
        let mut node = Self::small();
        for user in 0..users {
            let hash = node.hash();
            let record = (format!("user-{user:08}"), hash);
            node.records("emqx_authn_mnesia").push(record);
        }
        node.config.push_str("rule_engine {\n  rules {\n");
        for rule in 0..400 {
            let hash = node.hash();
            node.config.push_str(&format!(
                "    rule_{rule:04} {{\n      actions = []\n      description = \"{hash}\"\n      enable = true\n      sql = \
                 \"SELECT * FROM \\\"plant/{rule}/+\\\" WHERE payload.value > {rule}\"\n    }}\n"
            ));
        }
        node.config.push_str("  }\n}\n");
        node
    }

    fn empty() -> Self {
        let table = |(name, key_kind, attributes)| Table {
            name,
            key_kind,
            attributes,
            records: Vec::new(),
        };
        Self {
            edition: "ce".to_owned(),
            version: "5.1.0".to_owned(),
            config: String::new(),
            tables: TABLES.map(table).to_vec(),
            time: 1_687_187_659,
            random: Noise::new(7),
        }
    }

    /// 64 digits that do not compress to less than half.
    fn hash(&mut self) -> String {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Inserts or updates a record.
    pub fn put(&mut self, table: &str, key: &str, value: &str) {
        let record = (key.to_owned(), value.to_owned());
        let records = self.records(table);
        match records.iter_mut().find(|(other, _)| other == key) {
            Some(there) => *there = record,
            None => records.push(record),
        }
    }

    /// Deletes a record.
    pub fn remove(&mut self, table: &str, key: &str) {
        self.records(table).retain(|(other, _)| other != key);
    }

    /// Removes a table, like a node that does not have it.
    pub fn drop_table(&mut self, table: &str) {
        self.tables.retain(|other| other.name != table);
    }

    fn records(&mut self, table: &str) -> &mut Vec<(String, String)> {
        let found = self.tables.iter_mut().find(|other| other.name == table);
        &mut found.unwrap().records
    }

    /// An hour in the life of a node made by [`EmqxNode::large`]: two users change their password, one user is added, one is deleted, and a rule
    /// is edited.
    pub fn live(&mut self) {
        self.time += 3600;
        let users = self.records("emqx_authn_mnesia").len();
        for _ in 0..2 {
            let (at, hash) = (self.random.below(users), self.hash());
            self.records("emqx_authn_mnesia")[at].1 = hash;
        }
        let (user, hash) = (self.hash(), self.hash());
        let comes = (format!("new-{user}"), hash);
        self.records("emqx_authn_mnesia").push(comes);
        let goes = self.random.below(users);
        self.records("emqx_authn_mnesia").remove(goes);
        let rule = self.random.below(400);
        let edited = format!("payload.value > {rule}\"");
        let by = format!("payload.value > {}\"", self.random.below(100_000));
        self.config = self.config.replacen(&edited, &by, 1);
    }

    /// The names of its tables, in the order in which it exports them.
    #[must_use]
    pub fn tables(&self) -> Vec<&'static str> {
        self.tables.iter().map(|table| table.name).collect()
    }

    /// The files of an export, in the order in which EMQX writes them.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let meta = format!(
            "edition = {}\nversion = \"{}\"\n",
            self.edition, self.version
        );
        let mut files = vec![
            ("META.hocon".to_owned(), meta.into_bytes()),
            ("cluster.hocon".to_owned(), self.config.clone().into_bytes()),
        ];
        let tables = self.tables.iter();
        files.extend(tables.map(|table| (format!("mnesia/{}", table.name), self.log(table))));
        files
    }

    /// A table as Mnesia writes it: a log of its header, its definition and its records.
    fn log(&self, table: &Table) -> Vec<u8> {
        let name = || Term::atom(table.name);
        let time = [self.time / 1_000_000, self.time % 1_000_000, 403_771];
        let header = Term::Tuple(vec![
            Term::atom("log_header"),
            Term::atom("backup_log"),
            Term::Text("1.2".to_owned()),
            Term::Text("4.21.4".to_owned()),
            Term::atom("emqx@127.0.0.1"),
            Term::Tuple(time.map(Term::Integer).to_vec()),
        ]);
        let attributes = table.attributes.iter().map(|name| Term::atom(name));
        let properties = [
            ("name", name()),
            ("type", Term::atom("set")),
            ("record_name", name()),
            ("attributes", Term::List(attributes.collect())),
        ];
        let properties = properties.map(|(key, value)| Term::Tuple(vec![Term::atom(key), value]));
        let schema = Term::Tuple(vec![
            Term::atom("schema"),
            name(),
            Term::List(properties.to_vec()),
        ]);
        let mut log = vec![1, 2, 3, 4, 99, 88, 77, 11];
        append(&mut log, &header);
        append(&mut log, &schema);
        for (key, value) in &table.records {
            let key = match table.key_kind {
                Some(kind) => Term::Tuple(vec![Term::atom(kind), Term::binary(key)]),
                None => Term::binary(key),
            };
            let mut fields = vec![name(), key, Term::binary(value)];
            fields.resize(table.attributes.len() + 1, Term::atom("undefined"));
            append(&mut log, &Term::Tuple(fields));
        }
        log
    }

    /// Writes the files into a folder.
    pub fn unpack(&self, folder: &Path) {
        for (path, content) in self.files() {
            let at = folder.join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, content).unwrap();
            set_time(&at, self.time.into(), 0);
        }
    }

    /// Writes the export itself: `<base>.tar.gz` in a folder, by the tar of the system. It returns its path.
    ///
    /// # Panics
    /// When there is no tar.
    #[must_use]
    pub fn export(&self, folder: &Path, base: &str) -> PathBuf {
        let scratch = tempfile::tempdir().unwrap();
        self.unpack(&scratch.path().join(base));
        let paths = self.files().into_iter();
        let paths: Vec<_> = paths.map(|(path, _)| format!("{base}/{path}")).collect();
        pack(scratch.path(), &paths, folder, base)
    }
}

/// Packs files below a folder into `<base>.tar.gz`, by the tar of the system. It returns its path.
///
/// # Panics
/// When there is no tar.
#[must_use]
pub fn pack(from: &Path, paths: &[String], into: &Path, base: &str) -> PathBuf {
    fs::create_dir_all(into).unwrap();
    let bundle = into.join(format!("{base}.tar.gz"));
    let done = Command::new("tar")
        .args(["--format=ustar", "--owner=0", "--group=0", "-czf"])
        .arg(&bundle)
        .arg("-C")
        .arg(from)
        .arg("--")
        .args(paths)
        .status()
        .unwrap();
    assert!(done.success(), "tar packs {}", bundle.display());
    bundle
}

/// Appends an item to a log.
fn append(log: &mut Vec<u8>, term: &Term) {
    /// Longer items have a checksum of their length.
    const SUMMED: usize = 65_528;
    let mut bytes = vec![131];
    term.write(&mut bytes);
    let size = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    log.extend(size);
    log.extend(b"bWLA");
    if bytes.len() >= SUMMED {
        log.extend(Md5::digest(size));
    }
    log.extend(bytes);
}

const CONFIG: &str = r#"authentication = [
  {
    backend = built_in_database
    mechanism = password_based
    user_id_type = username
  },
  {
    backend = mysql
    database = mqtt
    mechanism = password_based
    password = "hushDATABASE"
    query = "SELECT password_hash FROM mqtt_user WHERE username = ${username} LIMIT 1"
    server = "127.0.0.1:3306"
    username = root
  }
]
connectors {
  http {
    plant {
      headers {content-type = "application/json"}
      url = "http://br:hushURL@plant.example:8080/in"
    }
  }
}
dashboard {
  listeners {
    http {bind = 18083}
  }
}
listeners {
  ssl {
    default {
      ssl_options {
        cacertfile = "/etc/ssl/plant-ca.pem"
        certfile = """~
          -----BEGIN CERTIFICATE-----
          MIIDUTCCAjmgAwIBAgIJAPPYCjTmxdt/
          -----END CERTIFICATE-----~"""
        keyfile = """~
          -----BEGIN RSA PRIVATE KEY-----
          hushPRIVATEKEY
          -----END RSA PRIVATE KEY-----~"""
      }
    }
  }
}
mqtt {max_packet_size = 10MB, max_topic_levels = 128}
"#;
