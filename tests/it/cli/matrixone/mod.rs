//! Backups of a MatrixOne cluster, with a fake server in the test process.

mod backup;
mod check;
mod delete;
mod faults;
mod keep;
mod list;
mod manual;
mod page;
mod rebuild;
mod restore;
mod s3;
mod scripts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use br_test_matrixone::{ClusterOptions, MoServer, MoServerOptions, Object};
use br_testkit::{BrCmd, BrOutput};
use serde_json::Value;

use super::{Session, contents, json};

/// The password of the cluster, unless a test sets another one.
const PASSWORD: &str = "hunter2-of-the-cluster";
/// Bytes of a block in a file with checksums, and of the checksum before it.
const BLOCK: usize = 2048;
const CHECKSUM: usize = 4;

/// The arguments for a line: a line that begins with `br` or `matrixone` is one of br; any other line is one of `mo_br`.
fn in_grammar(mut words: Vec<String>) -> Vec<String> {
    match words[0].as_str() {
        "matrixone" => {}
        "br" => drop(words.remove(0)),
        _ => words.insert(0, "mo-br".to_owned()),
    }
    words
}

/// A home, and a cluster whose server writes below it.
struct Mo {
    session: Session,
    server: MoServer,
    br: BrCmd,
}

impl Mo {
    /// A cluster of 24 objects.
    fn new() -> Self {
        Self::with(MoServerOptions::default().with_password(PASSWORD))
    }

    /// A cluster with this number of objects.
    fn of(objects: usize) -> Self {
        let cluster = ClusterOptions {
            objects,
            ..ClusterOptions::default()
        };
        let options = MoServerOptions::default().with_password(PASSWORD);
        Self::with(options.with_cluster(cluster))
    }

    fn with(options: MoServerOptions) -> Self {
        let session = Session::new();
        let br = session.br.clone().env("BR_REPOSITORY", "");
        Self {
            br: br.env("BR_MATRIXONE_PASSWORD", PASSWORD),
            server: options.start(),
            session,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.session.at(path)
    }

    /// Runs a command line, and asserts that its output never contains a password.
    #[track_caller]
    fn run(&self, line: &str) -> BrOutput {
        self.run_with(&self.br, line)
    }

    #[track_caller]
    fn run_with(&self, br: &BrCmd, line: &str) -> BrOutput {
        let output = br.run(self.words(line));
        assert!(!output.to_string().contains(PASSWORD), "{output}");
        output
    }

    /// The words of a command line; `SERVER` is replaced by the options for the cluster.
    fn words(&self, line: &str) -> Vec<String> {
        let server = format!("--host 127.0.0.1 --port {} --user dump", self.server.port());
        in_grammar(words(&line.replace("SERVER", &server)))
    }

    /// Begins a command.
    fn spawn(&self, line: &str) -> Child {
        let mut command = self.br.command(self.words(line));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Makes a backup below `backups`, and returns its id.
    #[track_caller]
    fn backup(&self) -> String {
        id_of(
            &self
                .run("backup SERVER --backup_dir filesystem --path backups")
                .expect(0),
        )
    }

    /// Makes an incremental one.
    #[track_caller]
    fn backup_since(&self, base: &str) -> String {
        let line = format!("matrixone backup SERVER --location backups --base-id {base}");
        id_of(&self.run(&line).expect(0))
    }

    /// The JSON document that a command prints.
    #[track_caller]
    fn json(&self, line: &str) -> Value {
        json(&self.run(&format!("{line} --json")).expect(0).stdout)
    }

    /// The ids and states in the catalogue.
    #[track_caller]
    fn states(&self) -> Vec<(String, String)> {
        let list = self.json("matrixone list");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let backups = list["backups"].as_array().unwrap().iter();
        backups
            .map(|backup| (text(&backup["id"]), text(&backup["state"])))
            .collect()
    }

    /// The objects that a backup that begins now has to bring back.
    fn objects(&self) -> Vec<Object> {
        self.server.cluster().objects().to_vec()
    }

    /// Restores a backup into a folder and compares it with the data of the cluster.
    #[track_caller]
    fn assert_restores(&self, id: &str, into: &str, objects: &[Object]) {
        self.run(&format!(
            "restore {id} --restore_dir filesystem --restore_path {into}"
        ))
        .expect(0);
        let found = unframed(&self.at(&format!("{into}/mo-data/shared")));
        assert_holds(&found, objects);
    }

    /// Waits until a fault blocks the server.
    fn until_it_waits(&self) {
        until(|| self.server.waiting() == 1);
    }

    /// Compares an output without the parts that differ each time.
    fn assert_output(&self, name: &str, output: &BrOutput) {
        let mut settings = insta::Settings::clone_current();
        for (pattern, with) in [
            // How wide a cell is depends on how long the backup took.
            ("-{4,}", "---"),
            (r" +\|", " |"),
            (r"\| +", "| "),
            (r"1\d{18}-\d+", "[TS]"),
            (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[TIME]"),
            (r#""duration_seconds":[\d.]+"#, r#""duration_seconds":0"#),
            (r"\b(\d+m)?[\d.]+(ns|µs|ms|s)\b", "[DURATION]"),
        ] {
            settings.add_filter(pattern, with);
        }
        settings.bind(|| {
            self.session
                .assert_output(&format!("matrixone {name}"), output);
        });
    }
}

/// A command line in words, with the quotes that the manual has.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// The id that a backup prints.
#[track_caller]
fn id_of(output: &BrOutput) -> String {
    let mut lines = output.stdout.lines();
    assert_eq!(lines.next(), Some("Backup ID"), "{output}");
    let id = lines.next().and_then(|line| line.strip_prefix("    "));
    id.unwrap_or_else(|| panic!("{output}")).to_owned()
}

/// The files below a folder, without the checksums of their blocks. Asserts that every checksum is right.
fn unframed(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = contents(folder).into_iter();
    files.map(|(path, bytes)| (path, unframe(&bytes))).collect()
}

fn unframe(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for block in bytes.chunks(BLOCK) {
        let (sum, payload) = block.split_at(CHECKSUM);
        let expected = br_test_matrixone::format::crc32c(payload);
        assert_eq!(sum, expected.to_le_bytes(), "the checksum of a block");
        content.extend_from_slice(payload);
    }
    content
}

/// Every object exists, byte for byte, and otherwise only the backup's own files.
#[track_caller]
fn assert_holds(found: &BTreeMap<String, Vec<u8>>, objects: &[Object]) {
    for object in objects {
        let content = found.get(&object.name);
        assert!(
            content == Some(&object.content()),
            "{} is unchanged",
            object.name
        );
    }
    let is_object = |path: &String| objects.iter().any(|object| object.name == *path);
    let rest: Vec<_> = found.keys().filter(|path| !is_object(path)).collect();
    let (listed, made): (Vec<&String>, Vec<&String>) =
        rest.into_iter().partition(|path| path.contains('/'));
    assert!(
        listed
            .iter()
            .all(|path| path.starts_with("ckp/") || path.starts_with("gc/")),
        "{listed:?}"
    );
    // Two growing objects and the data of the checkpoint.
    assert_eq!(made.len(), 3, "{made:?}");
}

/// An object in the folder of a backup, in the middle of the list.
fn object_in(tae: &Path) -> PathBuf {
    let mut objects: Vec<_> = fs::read_dir(tae)
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with("_00000"))
        .collect();
    objects.sort();
    objects.swap_remove(objects.len() / 2)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Waits for a condition that another thread makes true.
#[track_caller]
fn until(condition: impl Fn() -> bool) {
    for _ in 0..1500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the expected event did not occur");
}
