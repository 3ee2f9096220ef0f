//! Every command line in README.md and docs runs against the real program.
//!
//! A document is run from start to end in a separate home: a block can use what earlier blocks made. Absolute paths are placed
//! below that home, servers are those of the test process, and ids are those of the existing backups.
//! Invariant: a line that is not run is named in [`NOT_RUN`] with the reason.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use br_test_matrixone::{MoServer, MoServerOptions};
use br_testkit::s3::S3Server;
use br_testkit::{BrCmd, BrOutput, EmqxNode, Redis};

use super::rabbitmq::fake_server;
use super::{files_below, json};

/// Lines that no test can run, by document and beginning, and why.
const NOT_RUN: [(&str, &str, &str); 11] = [
    (
        "README.md",
        "cargo test --workspace",
        "it runs the tests themselves",
    ),
    (
        "docs/keys.md",
        "age-keygen",
        "another program; cli::key runs it where it is installed",
    ),
    (
        "docs/clouds.md",
        "cargo build --release",
        "it builds another program",
    ),
    (
        "docs/clouds.md",
        "br -r gs://",
        "it needs an account at Google",
    ),
    (
        "docs/clouds.md",
        "br -r az://",
        "it needs an account at Azure",
    ),
    (
        "docs/clouds.md",
        "tests/servers/azurite start",
        "it needs node and the network",
    ),
    (
        "docs/clouds.md",
        "(set -a; . /tmp/azurite.env",
        "it needs the server of the line before",
    ),
    (
        "docs/clouds.md",
        "tests/servers/azurite stop",
        "it needs the server of the line before",
    ),
    (
        "docs/testing.md",
        "docker run",
        "it needs docker and the network",
    ),
    (
        "docs/testing.md",
        "BR_TEST_S3_ENDPOINT=",
        "it needs the server of the line before",
    ),
    (
        "CONTRIBUTING.md",
        "cargo test --workspace",
        "it runs the tests themselves",
    ),
];

/// Events before a line that the document does not show: document, start of the line, and the event.
const BEFORE: [(&str, &str, &str); 22] = [
    (
        "docs/check.md",
        "br check --spot /home  ",
        "br -r srv/backup backup home",
    ),
    (
        "docs/check.md",
        "br check  ",
        "br -r srv/backup backup --init docs",
    ),
    (
        "docs/rewrite.md",
        "br rewrite latest --exclude '*.iso' --dry-run",
        "br -r srv/backup backup --init docs",
    ),
    (
        "docs/append-only.md",
        "br export-head",
        "br -r srv/backup backup --init docs",
    ),
    (
        "README.md",
        "br diff --repo",
        "br backup --repo srv/backup etc home --tag nightly",
    ),
    (
        "README.md",
        "br bundle verify br-export-2026-11-20-08-13-00.250",
        "br export etc/myapp --at 2026-11-20T08:13:00.250Z",
    ),
    (
        "README.md",
        "br matrixone list && br matrixone restore",
        "rm -rf srv/matrixone",
    ),
    (
        "docs/cli/exit-codes.md",
        "br backup /home",
        "br -r srv/backup init",
    ),
    (
        "docs/config.md",
        "br --config /etc/br/br.toml config check",
        "umask 077 && echo one > etc/br/main.password && echo two > etc/br/offsite.password",
    ),
    (
        "docs/databases.md",
        "br backup --mysql all          ",
        "test -d srv/backup/log || br -r srv/backup init",
    ),
    (
        "docs/stack.md",
        "br --config /etc/br/shop.toml doctor shop",
        "mkdir -p etc/systemd/system etc/nginx/sites-available opt/shop && \
         touch etc/systemd/system/shop.service etc/nginx/sites-available/shop opt/shop/app.jar opt/shop/application-prod.yml && \
         (umask 77; echo one > etc/br/main.password) && br --config etc/br/shop.toml -r main init",
    ),
    (
        "docs/retention.md",
        "br forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run",
        "br -r srv/backup backup --init docs",
    ),
    (
        "docs/copy.md",
        "br --repo /mnt/usb/copy copy --init",
        "br -r srv/backup backup --init docs && mkdir -p mnt/usb",
    ),
    (
        "docs/copy.md",
        "br copy --from /srv/sealed",
        "br -r srv/sealed backup --init --password-file etc/br.password docs && (umask 77; echo other > etc/br.other)",
    ),
    (
        "docs/keys.md",
        "br key list",
        "mkdir -p root && umask 077 && echo 'open sesame' | tee root/password root/new-password && \
         br -r srv/backup --password-file root/password init",
    ),
    (
        "docs/keys.md",
        "br init --encrypt --write-only-keys",
        "rm -r srv/backup",
    ),
    (
        "docs/keys.md",
        "br key add safe --recipient",
        "(umask 077; echo AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX > safe.txt)",
    ),
    (
        "docs/emqx.md",
        "br import emqx-export-2023-06-18",
        "chmod -R u+w target",
    ),
    (
        "docs/matrixone.md",
        "br matrixone rebuild --repo",
        "br -r s3://bucket/copies init",
    ),
    (
        "docs/matrixone.md",
        "br matrixone restore 25536ff0 --target",
        "rm -rf srv/matrixone",
    ),
    (
        "docs/matrixone.md",
        "br mo-br restore 25536ff0 --restore",
        "rm -rf srv/matrixone",
    ),
    (
        "docs/matrixone.md",
        "br matrixone restore 25536ff0 --location",
        "rm -rf srv/matrixone",
    ),
];

/// The id of a backup of MatrixOne in the documents.
const MATRIXONE_ID: &str = "25536ff0";
/// The address of Redis in the documents.
const REDIS: &str = "127.0.0.1:6379";
/// The password of MatrixOne in the documents.
const PASSWORD: &str = "111";
/// Buckets in the documents.
const BUCKETS: [&str; 3] = ["bucket", "my-bucket", "bucket1"];
/// Bundles in the documents.
const BUNDLES: [&str; 2] = [
    "emqx-export-2023-06-19-15-14-19.947",
    "emqx-export-2023-06-18-03-00-00.001",
];

/// A command, and the line that it begins in.
#[derive(Debug)]
struct Line {
    number: usize,
    text: String,
}

/// A fenced block.
#[derive(Debug)]
struct Block {
    language: String,
    lines: Vec<Line>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The documents, by their paths below the root.
fn documents() -> Vec<String> {
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut paths = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let docs = files_below(&root().join("docs"));
    paths.extend(docs.into_iter().filter(is_document));
    paths.sort();
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(name).collect()
}

fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut out = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => out.extend(open.take()),
            (Some(language), None) => {
                let language = language.to_owned();
                open = Some(Block {
                    language,
                    lines: Vec::new(),
                });
            }
            (None, Some(block)) => block.lines.push(Line {
                number: number + 1,
                text: line.to_owned(),
            }),
            (None, None) => {}
        }
    }
    out
}

impl Block {
    /// The commands of a block: one per line, or the whole block if it is a script.
    fn commands(self) -> Vec<Line> {
        let is_script = self.lines.iter().any(|line| line.text.starts_with("case "));
        let mut out: Vec<Line> = Vec::new();
        for line in self.lines {
            match out.last_mut() {
                Some(last) if is_script || last.text.ends_with('\\') => {
                    let _ = write!(last.text, "\n{}", line.text);
                }
                _ => out.push(line),
            }
        }
        out.retain(|line| !line.text.trim().is_empty() && !line.text.starts_with('#'));
        out
    }
}

/// Where a document is run.
struct Sandbox {
    _dir: tempfile::TempDir,
    br: BrCmd,
    s3: S3Server,
    mo: MoServer,
    /// `None` if Redis is not installed.
    redis: Option<Redis>,
    /// The address of a RabbitMQ.
    rabbitmq: String,
    /// The variables that the document exported.
    exports: String,
    /// The id that replaces the MatrixOne id in this block.
    matrixone: Option<String>,
}

/// A program that writes a small base backup with a right manifest.
const BASE_BACKUP: &str = r#"case "$*" in *--version*) echo 'pg_basebackup (PostgreSQL) 15.1'; exit;; esac
cd "$(mktemp -d)" && mkdir pg_wal && echo 15 > PG_VERSION && head -c 1048576 /dev/zero > pg_wal/000000010000000000000001
sum() { sha256sum "$@" | cut -d' ' -f1; }
cat > backup_manifest <<END
{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "PG_VERSION", "Size": 3, "Checksum-Algorithm": "SHA256", "Checksum": "$(sum PG_VERSION)" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/100028", "End-LSN": "0/100100" }
],
END
echo "\"Manifest-Checksum\": \"$(sum backup_manifest)\"}" >> backup_manifest
tar -cf - PG_VERSION pg_wal backup_manifest"#;

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let s3 = S3Server::start();
        for bucket in BUCKETS {
            s3.create_bucket(bucket);
        }
        s3.create_locking_bucket("locked-bucket", None);
        let mo = MoServerOptions::default().with_password(PASSWORD).start();
        let tools = dir.path().join("tools");
        fs::create_dir_all(&tools).unwrap();
        symlink(env!("CARGO_BIN_EXE_br-dup"), tools.join("br")).unwrap();
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let sandbox = Self {
            br: super::br(&home)
                .program("bash")
                .env("PATH", &path)
                .env("BR_S3_ENDPOINT", &s3.endpoint())
                .env("AWS_ACCESS_KEY_ID", s3.access_key())
                .env("AWS_SECRET_ACCESS_KEY", s3.secret_key()),
            _dir: dir,
            s3,
            redis: Redis::start(),
            mo,
            rabbitmq: fake_server(0),
            exports: String::new(),
            matrixone: None,
        };
        sandbox.fill(&tools);
        sandbox
    }

    /// With the files that the document shows: blocks of TOML that begin with a path.
    fn of(document: &str) -> Self {
        let sandbox = Self::new();
        for block in blocks(document) {
            let first = block.lines.first().map(|line| line.text.as_str());
            let path = first.and_then(|line| line.strip_prefix("# /"));
            let (Some(path), "toml") = (path, &*block.language) else {
                continue;
            };
            let lines = block.lines.iter().map(|line| line.text.as_str());
            let text = lines.collect::<Vec<_>>().join("\n");
            // Paths from the root are taken below the home.
            let mut text = text
                .replace("\"/", "\"")
                .replace("file:/", "file:")
                .replace("http://127.0.0.1:15672", &sandbox.rabbitmq);
            if let Some(redis) = &sandbox.redis {
                text = text.replace(REDIS, &format!("unix:{}", redis.socket().display()));
            }
            let at = sandbox.at(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        }
        sandbox
    }

    /// Puts the files that the documents use into the home, and tools that a test machine does not have.
    fn fill(&self, tools: &Path) {
        for (path, text) in [
            ("docs/a.md", "text"),
            ("crates/lib.rs", "code"),
            ("etc/hosts", "127.0.0.1 localhost"),
            ("etc/myapp/app.toml", "port = 1"),
            ("etc/br.password", "open sesame\n"),
            ("etc/br/rabbitmq.password", "guest\n"),
            ("home/anna/letter", "dear"),
            ("home/anna/x.tmp", "rest"),
            ("var/lib/mydata/state", "1"),
            ("var/lib/data/table", "rows"),
            ("pw", PASSWORD),
        ] {
            let at = self.at(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        }
        for secret in ["etc/br.password", "etc/br/rabbitmq.password", "pw"] {
            fs::set_permissions(self.at(secret), fs::Permissions::from_mode(0o600)).unwrap();
        }
        for folder in ["tmp", "srv", "backup"] {
            fs::create_dir_all(self.at(folder)).unwrap();
        }
        for bundle in BUNDLES {
            let _ = EmqxNode::small().export(self.br.home(), bundle);
        }
        let keys = format!(
            "[minio]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            self.s3.access_key(),
            self.s3.secret_key()
        );
        fs::create_dir_all(self.at(".aws")).unwrap();
        fs::write(self.at(".aws/credentials"), keys).unwrap();
        let export = format!("mkdir -p \"$5\" && cp {}.tar.gz \"$5\"", BUNDLES[0]);
        for (tool, script) in [
            ("jq", "cat > /dev/null"),
            ("man", "cat > /dev/null"),
            (
                "psql",
                r#"case "$*" in *rolreplication*) printf '15.1\n150001\na socket, port 5432\npostgres\ntrue\nreplica\n10\n64\n\n';; *archive_mode*) printf '15.1\n150001\non\npostgres\nreplica\noff\ntrue\n';; *version_num*) echo 150001;; *count*) echo 0;; *"NOT datallowconn"*) ;; *has_table_privilege*) echo t;; *pg_database*) echo shop;; *) cat > /dev/null;; esac"#,
            ),
            (
                "docker",
                r#"while [ "$1" != db ]; do shift; done; shift; exec "$@""#,
            ),
            ("pg_restore", "cat > /dev/null"),
            ("pg_basebackup", BASE_BACKUP),
            ("pg_verifybackup", "test -s $1/backup_manifest"),
            ("pg_ctl", "test -s $2/PG_VERSION"),
            ("mysql", "cat > /dev/null"),
            (
                "mariadb",
                r#"case "$*" in *CURRENT_USER*) printf '10.11.1-MariaDB\t0\tbr@localhost\n';; *GRANTS*) echo 'GRANT ALL PRIVILEGES ON *.* TO br';; *VERSION*) printf '10.11.1-MariaDB\t0\tdb\t3306\t/data\n';; *schemata*) echo shop;; *'table_schema, table_name FROM'*) printf 'shop\torders\nshop\titems\nshop\tsessions\nshop\tlog\n';; *) cat > /dev/null;; esac"#,
            ),
            ("mariadb-check", "true"),
            ("redis-cli", "echo 1"),
            ("curl", "true"),
            ("systemctl", "true"),
            ("pass", "echo 'open sesame'"),
            (
                "pg_dump",
                r#"case "$*" in *--version*) echo 'pg_dump (PostgreSQL) 15.1';; *) echo 'CREATE TABLE t (c int);';; esac"#,
            ),
            (
                "pg_dumpall",
                "echo 'CREATE ROLE r;'; echo '-- PostgreSQL database cluster dump complete'",
            ),
            (
                "mariadb-dump",
                r#"case "$*" in *--version*) echo MariaDB;; *--help*) echo --system;; *) echo 'CREATE TABLE t (c int);'; echo '-- Dump completed';; esac"#,
            ),
            ("emqx", export.as_str()),
        ] {
            let at = tools.join(tool);
            fs::write(&at, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.br.home().join(path)
    }

    /// Runs a line in bash, with the exported variables.
    fn bash(&self, command: &str) -> BrOutput {
        let script = format!("set -eo pipefail\n{}{command}", self.exports);
        self.br.run(["-c", &script])
    }

    /// The line as it must be run here.
    fn translate(&mut self, line: &str) -> String {
        let port = self.mo.port().to_string();
        let mut line = line
            .replace("cargo run --release -- ", "br ")
            .replace("https://minio.example:9000", &self.s3.endpoint())
            .replace("http://127.0.0.1:9000", &self.s3.endpoint())
            .replace("http://127.0.0.1:15672", &self.rabbitmq)
            .replace("file:/", "file:")
            .replace(
                "BR_MATRIXONE_PASSWORD=…",
                &format!("BR_MATRIXONE_PASSWORD={PASSWORD}"),
            )
            .replace("--port 6001", &format!("--port {port}"));
        if line.contains("--host 127.0.0.1") && !line.contains("--port") {
            line = line.replace(
                "--host 127.0.0.1",
                &format!("--host 127.0.0.1 --port {port}"),
            );
        }
        if line.contains(REDIS) {
            let Some(redis) = &self.redis else {
                return "true".to_owned();
            };
            line = line.replace(REDIS, &format!("unix:{}", redis.socket().display()));
        }
        let mut out = String::new();
        let mut before = ' ';
        for c in line.chars() {
            // Paths from the root are taken below the home.
            if !(c == '/' && " \n\"'=(".contains(before)) {
                out.push(c);
            }
            before = c;
        }
        if out.contains(MATRIXONE_ID) {
            let id = self.matrixone_id();
            out = out.replace(MATRIXONE_ID, &id);
        }
        let words: Vec<_> = out.split(' ').map(str::to_owned).collect();
        for word in words.iter().filter(|word| is_id(word)) {
            if Some(word) != self.matrixone.as_ref() && !out.trim_start().starts_with('#') {
                let id = self.backup_id(&words);
                out = out.replacen(word, &id, 1);
            }
        }
        out
    }

    /// The newest full backup of MatrixOne when the block first names one.
    fn matrixone_id(&mut self) -> String {
        if self.matrixone.is_none() {
            let list = json(&self.bash("br matrixone list --json").expect(0).stdout);
            let backups = list["backups"].as_array().unwrap().iter().rev();
            let full = backups.clone().filter(|backup| backup["kind"] == "full");
            let newest = full
                .max_by_key(|backup| backup["at_time"].to_string())
                .unwrap();
            let id = newest["id"].as_str().unwrap();
            self.matrixone = Some(id[..8].to_owned());
            let same = backups.filter(|other| other["id"].as_str().unwrap().starts_with(&id[..8]));
            if same.count() > 1 {
                self.matrixone = Some(id.to_owned());
            }
        }
        self.matrixone.clone().unwrap()
    }

    /// The end of the id of the newest backup in the repository of a line.
    fn backup_id(&self, words: &[String]) -> String {
        let named = match words {
            // `-r` of another program means something else.
            [br, option, ..] if br == "br" && option == "-r" => Some(1),
            _ => words.iter().position(|word| word == "--repo"),
        };
        let repo = named
            .map(|at| format!("--repo {}", words[at + 1]))
            .unwrap_or_default();
        let list = json(
            &self
                .bash(&format!("br list {repo} --json"))
                .expect(0)
                .stdout,
        );
        let newest = list["backups"].as_array().unwrap().last().unwrap();
        let id = newest["id"].as_str().unwrap();
        id[id.len() - 8..].to_owned()
    }
}

/// True for text such as `br chunk v1`.
fn is_name_of_the_format(span: &str) -> bool {
    let versions = [" v1", " v2", " v3"];
    versions.iter().any(|version| span.contains(version))
}

/// True for a placeholder of a backup id.
fn is_id(word: &str) -> bool {
    word.len() == 8
        && word
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Runs a document. Records which items of the lists were used, and which lines failed.
fn run(document: &str, used: &mut Vec<(&'static str, &'static str)>, failures: &mut Vec<String>) {
    let mut sandbox = None;
    for block in blocks(document)
        .into_iter()
        .filter(|block| block.language == "sh")
    {
        if let Some(sandbox) = &mut sandbox {
            let Sandbox { matrixone, .. } = sandbox;
            *matrixone = None;
        }
        for Line { number, text } in block.commands() {
            let starts =
                |(of, start, _): &&(&str, &str, &str)| *of == document && text.starts_with(start);
            if let Some((of, start, _)) = NOT_RUN.iter().find(starts) {
                used.push((of, start));
                continue;
            }
            let sandbox = sandbox.get_or_insert_with(|| Sandbox::of(document));
            if let Some((of, start, before)) = BEFORE.iter().find(starts) {
                used.push((of, start));
                let output = sandbox.bash(before);
                assert_eq!(output.code, Some(0), "before {document}:{number}: {output}");
            }
            if [
                "docs/append-only.md",
                "docs/check.md",
                "docs/cli/exit-codes.md",
                "docs/databases.md",
                "docs/retention.md",
                "docs/rewrite.md",
            ]
            .contains(&document)
            {
                sandbox.exports = "export BR_REPOSITORY=srv/backup\n".to_owned();
            }
            if document == "docs/keys.md" {
                sandbox.exports =
                    "export BR_REPOSITORY=srv/backup BR_PASSWORD_FILE=root/password\n".to_owned();
            }
            let command = sandbox.translate(&text);
            let output = sandbox.bash(&command);
            if output.code != Some(0) {
                failures.push(format!(
                    "{document}:{number}: {text}\nrun as: {command}\n{output}"
                ));
            }
            if command.starts_with("export ") {
                let _ = writeln!(sandbox.exports, "{command}");
            }
        }
    }
}

#[test]
fn every_command_line_in_the_documents_runs() {
    let mut used = Vec::new();
    let mut failures = Vec::new();
    for document in documents() {
        run(&document, &mut used, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for (document, start, _) in NOT_RUN.iter().chain(&BEFORE) {
        let found = used.contains(&(*document, *start));
        assert!(
            found,
            "{document} no longer has a line that begins with `{start}`"
        );
    }
}

/// Examples of the help that no test can run, by beginning, and why.
const EXAMPLES_NOT_RUN: [(&str, &str); 10] = [
    (
        "br -r /mnt/disk/backup init --encrypt",
        "it asks on a terminal",
    ),
    ("br backup / ", "it reads the whole machine"),
    (
        "br copy --from s3://",
        "docs/copy.md has such a command, and is run",
    ),
    (
        "br check --read-data --repair-from",
        "docs/copy.md has such a command, and is run",
    ),
    ("br key", "docs/keys.md has the same commands, and is run"),
    (
        "br matrixone",
        "docs/matrixone.md has the same commands, and is run",
    ),
    ("br mo-br", "the same"),
    (
        "br restore latest rabbitmq/definitions.json --to-rabbitmq",
        "docs/databases.md has such a command, and is run",
    ),
    (
        "br restore 8c90d327 --target / ",
        "it writes to the whole machine",
    ),
    ("BR_REPOSITORY=/srv/repo br matrixone", "the same"),
];

/// The examples of all help texts.
fn examples() -> Vec<Line> {
    let mut out = Vec::new();
    for block in blocks("docs/cli/reference.md") {
        let lines = block.lines.into_iter();
        let after = lines.skip_while(|line| line.text != "Examples:").skip(1);
        for Line { number, text } in after.take_while(|line| !line.text.is_empty()) {
            let text = text.trim_start().to_owned();
            out.push(Line { number, text });
        }
    }
    out
}

/// A home with everything that the examples of the help need.
fn prepare(sandbox: &mut Sandbox, example: &str) {
    let bundle = BUNDLES[0];
    let script = format!(
        "mkdir -p documents photos mnt/disk mnt/nfs monday tuesday home/anna/photos app restored
        mkdir -p etc/nginx etc/app var/lib/apps srv/www srv/emqx/backup
        mkdir -p usr/local/bin .local/share/bash-completion/completions .config/fish/completions
        rm {}.tar.gz; cp {bundle}.tar.gz monday; cp {bundle}.tar.gz tuesday; cp {bundle}.tar.gz srv/emqx/backup
        touch etc/fstab dump.sql shop.sql home/anna/photos/1.jpg etc/nginx/conf etc/app/conf var/lib/apps/conf
        br init -q
        br backup -q dump.sql
        for n in 1 2 3; do br backup -q etc home --host web1 --tag daily; done
        for n in 1 2; do br backup -q etc --host web1 --tag daily; done
        for n in 1 2; do br backup -q etc home; done
        (cd restored && br -r ../srv/backup restore -q latest --target .)
        br export etc/myapp --at 2026-11-20T08:13:00.250Z -q
        br bundle extract {bundle}.tar.gz --into node -q",
        BUNDLES[1]
    );
    sandbox.bash(&script).expect(0);
    let needs_sets = ["br run", "br doctor home"];
    if needs_sets.iter().any(|start| example.starts_with(start)) || example.contains(" config ") {
        let script = r#"mkdir -p .config/br
            printf '[defaults]\nrepository = "./srv/backup"\n[sets.home]\npaths = ["home"]\n[sets.mail]\npaths = ["etc"]\n' | tee br.toml > .config/br/br.toml"#;
        sandbox.bash(script).expect(0);
    }
    if example.contains("mnt/disk") && !example.contains("init") {
        let script = format!(
            "br -r mnt/disk/backup init -q; br -r mnt/disk/backup import -q {bundle}.tar.gz
            br -r mnt/disk/backup backup -q etc"
        );
        sandbox.bash(&script).expect(0);
    }
    if example.contains("--to-command") {
        sandbox.bash("br backup -q shop.sql").expect(0);
    }
    if example.contains("--to-postgres") {
        sandbox.bash("br backup -q --postgres shop").expect(0);
    }
    if example.contains("--to-redis") {
        let line = sandbox.translate(&format!("br backup -q --redis {REDIS}"));
        sandbox.bash(&line).expect(0);
    }
    if example.contains("--plan") || example.contains("--execute") {
        sandbox
            .bash(r#"mkdir -p .config/br; printf '[sets.shop]\npaths = ["etc"]\nrepository = "./srv/backup"\nverify = ["true"]\n' > .config/br/br.toml; br run -q"#)
            .expect(0);
    }
    if example.contains(" bootstrap") {
        let script = r#"printf '[sets.home]\npaths = ["home"]\nhost = "web1"\nrepository = "./mnt/disk/backup"\n' > lost.toml
            br --config lost.toml run -q"#;
        sandbox.bash(script).expect(0);
    }
    if example.contains("/srv/backup init") {
        sandbox.bash("rm -r srv/backup").expect(0);
    }
    if example.contains("export unpacked") {
        sandbox.bash("mv node unpacked").expect(0);
    }
}

#[test]
fn every_example_of_the_help_runs() {
    let mut failures = Vec::new();
    for Line { number, text } in examples() {
        let starts = |(start, _): &(&str, &str)| text.starts_with(start);
        if EXAMPLES_NOT_RUN.iter().any(starts) {
            continue;
        }
        let mut sandbox = Sandbox::new();
        sandbox.exports = "export BR_REPOSITORY=srv/backup\n".to_owned();
        prepare(&mut sandbox, &text);
        if text.contains("br lock ") || text.contains("--locked-for") {
            sandbox.exports = "export BR_REPOSITORY=s3://locked-bucket/backups\n".to_owned();
            sandbox
                .bash("br backup -q --init etc; br lock extend --for 30d -q")
                .expect(0);
        }
        let command = sandbox.translate(&text);
        let output = sandbox.bash(&command);
        if output.code != Some(0) {
            failures.push(format!("{number}: {text}\nrun as: {command}\n{output}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Commands and options that sentences and tables name exist.
#[test]
fn every_command_that_a_sentence_names_exists() {
    let dir = tempfile::tempdir().unwrap();
    let br = super::br(&dir.path().join("home"));
    let mut known = std::collections::HashMap::new();
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        // Names of keys in the format, such as `br chunk v1`, are not commands.
        let spans = text
            .split('`')
            .filter(|span| span.starts_with("br ") && !is_name_of_the_format(span));
        for span in spans.filter(|span| !span.contains('\n')) {
            let words: Vec<_> = span.split_whitespace().skip(1).collect();
            let is_command = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let start = usize::from(words[0] == "-r") * 2;
            let depth = if ["bundle", "key", "lock", "matrixone", "storage"].contains(&words[start])
            {
                2
            } else {
                1
            };
            let commands = words.iter().skip(start).take(depth).take_while(is_command);
            let commands: Vec<_> = commands.map(|word| (*word).to_owned()).collect();
            let help = known.entry(commands.clone()).or_insert_with(|| {
                let arguments = [&["help".to_owned()], &commands[..]].concat();
                br.run(&arguments).expect(0).stdout
            });
            for option in words.iter().filter(|word| word.starts_with('-')) {
                assert!(help.contains(option), "{document}: `{span}`: no {option}");
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} commands");
}

/// Command lines in other kinds of blocks are not run, and may be wrong.
#[test]
fn command_lines_are_in_blocks_that_are_run() {
    for document in documents() {
        // The reference is generated from the help. Its generator parses the examples.
        if document == "docs/cli/reference.md" {
            continue;
        }
        for block in blocks(&document)
            .iter()
            .filter(|block| block.language != "sh")
        {
            for Line { number, text } in &block.lines {
                let text = text.trim_start().trim_start_matches("$ ");
                assert!(!text.starts_with("br "), "{document}:{number}: {text}");
            }
        }
    }
}
