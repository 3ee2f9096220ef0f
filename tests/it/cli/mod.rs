//! The program as a user or a script sees it: one file per command, and tests of all commands.

mod backup;
mod bootstrap;
mod bundle;
mod check;
mod check_spot;
mod completions;
mod config;
mod config_schema;
mod copy;
mod copy_to;
mod delete;
mod diff;
mod docs;
mod doctor;
mod dump;
mod exit_codes;
mod export;
mod files_from;
mod find;
mod forget;
mod help;
mod hostile;
mod import;
mod init;
mod init_config;
mod key;
mod label;
mod list;
mod ls;
mod man;
mod matrixone;
mod mysql;
mod postgres;
mod postgres_base;
mod prune;
mod rabbitmq;
mod redis;
mod restore;
mod restore_over;
mod restore_places;
mod rewrite;
mod s3;
mod secrets;
mod set;
mod shared;
mod show;
mod stack;
mod stats;
mod stream;
mod undelete;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use br_testkit::{BrCmd, BrOutput, Snapshot, is_root, set_time, skip};
use serde_json::Value;

/// A br with a home folder, which is created.
pub(crate) fn br(home: &Path) -> BrCmd {
    fs::create_dir_all(home).unwrap();
    BrCmd::new(env!("CARGO_BIN_EXE_br-dup"), home).env("BR_CACHE_DIR", "cache")
}

/// Reads a JSON document.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// All files in a folder and the folders below it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(folder).unwrap();
    let paths = items.map(|item| item.unwrap().path());
    let below = paths.map(|path| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    });
    below.flatten().collect()
}

/// Reads JSON lines.
fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// A home with a small tree `docs`, in which `repository` is the repository.
struct Session {
    dir: tempfile::TempDir,
    br: BrCmd,
}

impl Session {
    /// Without a repository.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let session = Self {
            br: br(&home).env("BR_REPOSITORY", "repository"),
            dir,
        };
        session.write("docs/a.txt", "hello\n");
        session.write("docs/sub/b.bin", br_testkit::noise(1, 50_000));
        symlink("a.txt", session.at("docs/link")).unwrap();
        for path in [
            "docs/a.txt",
            "docs/link",
            "docs/sub/b.bin",
            "docs/sub",
            "docs",
        ] {
            set_time(&session.at(path), 1_700_000_000, 0);
        }
        // Time stamps must be old enough for a backup to trust them.
        std::thread::sleep(Duration::from_millis(50));
        session
    }

    /// With an empty repository.
    fn with_repository() -> Self {
        let session = Self::new();
        session.run(["init", "--quiet"]).expect(0);
        session
    }

    /// With a repository and one backup.
    fn with_backup() -> Self {
        let session = Self::new();
        session
            .run(["backup", "--init", "docs", "--host", "h", "--tag", "first"])
            .expect(0);
        session
    }

    /// With a second backup, in which some things differ.
    fn with_two_backups() -> Self {
        let session = Self::with_backup();
        session.write("docs/a.txt", "hello again\n");
        session.write("docs/new", "");
        fs::remove_file(session.at("docs/link")).unwrap();
        set_time(&session.at("docs/a.txt"), 1_700_000_001, 0);
        std::thread::sleep(Duration::from_millis(50));
        session.run(["backup", "docs", "--host", "h"]).expect(0);
        session
    }

    fn at(&self, path: &str) -> PathBuf {
        self.br.home().join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    }

    /// Writes a file that only its owner can read.
    fn write_secret(&self, path: &str, content: impl AsRef<[u8]>) {
        self.write(path, content);
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn run<const N: usize>(&self, arguments: [&str; N]) -> BrOutput {
        self.br.run(arguments)
    }

    /// Runs br as an unprivileged user; `None` when that is not possible here.
    fn run_as_nobody(&self, arguments: &[&str]) -> Option<BrOutput> {
        const NOBODY: u32 = 65_534;
        if !is_root() {
            skip("only root can switch to another user");
            return None;
        }
        // Other users may not enter the folder in which it was built.
        let program = self.dir.path().join("br-of-everybody");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_br-dup"), &program).unwrap();
        }
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.br.clone().program(program).command(arguments);
        command.uid(NOBODY).gid(NOBODY);
        // A process that another test is just starting may hold the new copy open for a moment.
        for _ in 0..200 {
            match command.output() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                output => return Some(output.unwrap().into()),
            }
        }
        panic!("the copy of br stays busy")
    }

    /// The output of a command on a terminal with this number of columns; `None` when that is not possible here.
    fn on_terminal(&self, columns: usize, arguments: &str) -> Option<String> {
        let program = env!("CARGO_BIN_EXE_br-dup");
        let line = format!("stty cols {columns}; '{program}' -r repository {arguments}");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        command
            .current_dir(self.br.home())
            .env("TERM", "xterm")
            .env("BR_CACHE_DIR", "cache");
        let Ok(output) = command.output() else {
            skip("there is no script(1) to make a terminal");
            return None;
        };
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// The JSON document that a command prints.
    fn json<const N: usize>(&self, arguments: [&str; N]) -> Value {
        let output = self
            .br
            .run(arguments.into_iter().chain(["--json"]))
            .expect(0);
        json(&output.stdout)
    }

    /// The ids of all backups, oldest first.
    fn ids(&self) -> Vec<String> {
        let list = self.json(["list"]);
        let ids = list["backups"].as_array().unwrap().iter();
        ids.map(|backup| backup["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The objects of the repository in a folder, the largest first.
    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut all = files_below(&self.at("repository").join(folder));
        all.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
        all
    }

    /// Flips a bit in the middle of an object.
    fn damage(&self, object: &Path) {
        let mut bytes = fs::read(object).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        // Objects are read-only.
        fs::remove_file(object).unwrap();
        fs::write(object, bytes).unwrap();
    }

    /// Compares a complete output with its snapshot, without the parts that differ each time.
    fn assert_output(&self, name: &str, output: &BrOutput) {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for (pattern, with) in [
            (
                regex_escape(self.dir.path().to_str().unwrap()).as_str(),
                "[DIR]",
            ),
            (
                r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[ID]",
            ),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[TIME]"),
            (r"\d+\.\d s\b", "[SECONDS]"),
            // Objects in the repository contain times, so their compressed sizes vary.
            (
                r"(?m)^((?:added|distinct|stored|removes|freed) +).*",
                "$1[SIZE]",
            ),
            // So do archives; how well depends on the compressor.
            (r"(\d files?, [\d.]+ \w+ in )[\d.]+ \w+", "$1[SIZE]"),
            (
                r"(packs? read,|deleted +\d+ packs?,) [\d.]+ \w+",
                "$1 [SIZE]",
            ),
            (
                r"([\d.]+ [KM]?i?B +)[\d.]+ [KM]?i?B( +(?:full|incremental))",
                "$1[STORED]$2",
            ),
            (r"(?m)^[0-9a-f]{8}  ", "[SHORT]  "),
            (r"(incremental +)[0-9a-f]{8}\b", "$1[SHORT]"),
            (
                r"(several backups: )[0-9a-f]{8}, [0-9a-f]{8}",
                "$1[SHORT], [SHORT]",
            ),
            (r"packs/[0-9a-f]{2}/[0-9a-f]{32}", "packs/[PACK]"),
            (r"\b[0-9a-f]{32,64}\b", "[HEX]"),
            (r"made by( +)\w+@", "made by$1[USER]@"),
            (r"(?m) +$", ""),
            ("br-dup", "br"),
        ] {
            settings.add_filter(pattern, with);
        }
        // The alignment of columns depends on the length of names, except in help.
        if !name.starts_with("help") {
            settings.add_filter("  +", "  ");
        }
        settings.bind(|| insta::assert_snapshot!(name.replace(' ', "_"), output.to_string()));
    }
}

/// The files of a bundle by their paths below its folder, unpacked by the tar of the system.
fn members(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(bundle)
        .arg("-C")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    let name = bundle.file_name().unwrap().to_str().unwrap();
    let base = name.rsplit_once(".tar.").unwrap().0;
    let tops: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(tops.len(), 1, "one folder, of the bundle's name");
    contents(&folder.path().join(base))
}

/// The files below a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for path in Snapshot::of(folder).paths() {
        let at = folder.join(&path);
        if at.is_file() {
            files.insert(path, fs::read(at).unwrap());
        }
    }
    files
}

/// A snapshot without the times of folders, which change when an entry is created or removed in them.
fn still(folder: impl AsRef<Path>) -> Snapshot {
    let mut snapshot = Snapshot::of(folder);
    let folders = snapshot.items.values_mut();
    for item in folders.filter(|item| item.kind == "folder") {
        item.mtime = (0, 0);
    }
    snapshot
}

/// The files of a folder or bundle without those that br adds.
fn without_manifest(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.remove("br/manifest.json");
    files
}

/// Text as a pattern that matches it.
fn regex_escape(text: &str) -> String {
    let escape = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_string()
        } else {
            format!("\\{c}")
        }
    };
    text.chars().map(escape).collect()
}
