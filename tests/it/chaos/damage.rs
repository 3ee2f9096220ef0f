//! Damages every kind of object, cached copy and journal in every way; then runs every command.
//!
//! A command ends cleanly. Files that it reports as restored are correct. A repository that `check --read-data` calls intact can
//! be restored. No command makes the damage worse: with the original object, every backup restores again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use br_testkit::{BrOutput, Noise, Snapshot};

use super::{Machine, factor, seed, wait_at_most};
use crate::cli::br;

/// No verb takes that long on a small repository, unless it hangs.
const MOST: Duration = Duration::from_secs(30);
/// Exit codes of an orderly end.
const ORDERLY: [i32; 7] = [0, 1, 3, 10, 12, 14, 15];
/// In an ordinary run one of this many cases is tried; with `BR_CHAOS=2` or more, all.
const EVERY: usize = 5;
/// The same for an encrypted repository, where each run of br spends time on the key derivation.
const EVERY_ENCRYPTED: usize = 20;

/// A machine with a repository in its home, an interrupted run's journal, and copies of everything in `saved`. Each case
/// starts from the copies, in the same home: a machine remembers a repository by its location.
struct Template {
    dir: tempfile::TempDir,
    br: br_testkit::BrCmd,
    backups: Vec<(String, Snapshot)>,
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

impl Template {
    fn new(encrypted: bool, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let mut machine = Machine::new(br(&home).env("BR_REPOSITORY", "repository"), "h", seed);
        if encrypted {
            machine.br = machine.br.clone().env("BR_PASSWORD", "secret");
        }
        machine.br.run(["init"]).expect(0);
        for _ in 0..3 {
            machine.change_tree();
            let arguments = machine.backup_arguments();
            let report = crate::cli::json(&machine.br.run(arguments).expect(0).stdout);
            machine.committed(report["backup"]["id"].as_str().unwrap());
        }
        interrupt_a_backup(&machine);
        copy(&dir.path().join("home"), &dir.path().join("saved"));
        Self {
            dir,
            br: machine.br,
            backups: machine.backups.into_iter().collect(),
        }
    }

    /// Objects of the repository and files of the cache, one or two of each kind.
    fn victims(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for place in ["repository", "cache"] {
            collect(&self.dir.path().join("home").join(place), &mut files);
        }
        files.sort();
        let kind = |path: &PathBuf| {
            let below = path.strip_prefix(self.dir.path()).unwrap();
            let ends = path
                .extension()
                .map(|end| end.to_string_lossy().into_owned());
            let folder = below.iter().take(3).collect::<PathBuf>();
            (folder, ends)
        };
        let mut chosen: Vec<PathBuf> = Vec::new();
        for file in &files {
            let same = files.iter().filter(|other| kind(other) == kind(file));
            let same: Vec<_> = same.collect();
            // The first and the last of each kind.
            if same.first() == Some(&file) || same.last() == Some(&file) {
                chosen.push(file.clone());
            }
        }
        chosen
    }
}

/// Leaves a journal, and packs that nothing refers to.
fn interrupt_a_backup(machine: &Machine) {
    let big = machine.tree().join("big");
    fs::write(&big, br_testkit::noise(9, 60 << 20)).unwrap();
    let mut child = machine.start(machine.backup_arguments());
    let packs = machine.br.home().join("repository/packs");
    let before = count(&packs);
    while count(&packs) == before && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&big).unwrap();
}

fn count(folder: &Path) -> usize {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.len()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for item in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = item.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// A way to damage a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Removed,
    Emptied,
    Halved,
    ByteShort,
    ByteLonger,
    Zeros,
    Noise,
    FirstByte,
    MiddleByte,
    LastByte,
    Swapped,
    Folder,
    Fifo,
    DeadLink,
}

impl Damage {
    const ALL: [Self; 14] = [
        Self::Removed,
        Self::Emptied,
        Self::Halved,
        Self::ByteShort,
        Self::ByteLonger,
        Self::Zeros,
        Self::Noise,
        Self::FirstByte,
        Self::MiddleByte,
        Self::LastByte,
        Self::Swapped,
        Self::Folder,
        Self::Fifo,
        Self::DeadLink,
    ];

    fn apply(self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        let flip = |at: usize| {
            let mut bytes = bytes.clone();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x10;
            }
            Some(bytes)
        };
        let content = match self {
            Self::Removed | Self::Folder | Self::Fifo | Self::DeadLink => None,
            Self::Emptied => Some(Vec::new()),
            Self::Halved => Some(bytes[..bytes.len() / 2].to_vec()),
            Self::ByteShort => Some(bytes[..bytes.len().saturating_sub(1)].to_vec()),
            Self::ByteLonger => Some([&bytes[..], b"x"].concat()),
            Self::Zeros => Some(vec![0; bytes.len()]),
            Self::Noise => Some(br_testkit::noise(3, bytes.len())),
            Self::FirstByte => flip(0),
            Self::MiddleByte => flip(bytes.len() / 2),
            Self::LastByte => flip(bytes.len().saturating_sub(1)),
            Self::Swapped => sibling(path).map(|other| fs::read(other).unwrap()),
        };
        fs::remove_file(path).unwrap();
        match (self, content) {
            (_, Some(content)) => fs::write(path, content).unwrap(),
            (Self::Folder, _) => fs::create_dir(path).unwrap(),
            (Self::Fifo, _) => {
                let status = Command::new("mkfifo").arg(path).status().unwrap();
                assert!(status.success());
            }
            (Self::DeadLink, _) => std::os::unix::fs::symlink("/no/where", path).unwrap(),
            _ => {}
        }
    }
}

/// Another file in the same folder or a sibling folder.
fn sibling(path: &Path) -> Option<PathBuf> {
    let mut files = Vec::new();
    collect(path.parent()?, &mut files);
    if files.len() < 2 {
        collect(path.parent()?.parent()?, &mut files);
    }
    let same_end = |other: &&PathBuf| *other != path && other.extension() == path.extension();
    files.iter().find(same_end).cloned()
}

#[test]
fn every_command_survives_damage_of_any_file() {
    every_verb_survives(false);
}

#[test]
fn every_command_survives_damage_of_any_file_of_encrypted_repository() {
    every_verb_survives(true);
}

fn every_verb_survives(encrypted: bool) {
    let seed = seed();
    let template = Template::new(encrypted, seed);
    let victims = template.victims();
    let of = |part: &str| {
        victims
            .iter()
            .any(|path| path.to_str().unwrap().contains(part))
    };
    for part in [
        "br.json",
        "packs/",
        "index/",
        "manifests/",
        "log/",
        "cache/",
        ".journal",
    ] {
        assert!(of(part), "the repository has a file of {part}: {victims:?}");
    }
    let cases = victims
        .iter()
        .flat_map(|victim| Damage::ALL.map(|damage| (victim, damage)));
    let every = match (factor(), encrypted) {
        (2.., _) => 1,
        (_, false) => EVERY,
        (_, true) => EVERY_ENCRYPTED,
    };
    // Another part of all cases for each seed.
    let first = Noise::new(seed).below(every);
    for (victim, damage) in cases.skip(first).step_by(every) {
        let below = victim.strip_prefix(template.dir.path()).unwrap();
        let what = format!("seed {seed}: {} {damage:?}", below.display());
        let case = Case::new(&template, what);
        damage.apply(victim);
        case.run_every_verb();
        let saved = template.dir.path().join("saved");
        put_back(&saved.join(below.strip_prefix("home").unwrap()), victim);
        case.assert_all_restore();
    }
}

fn put_back(saved: &Path, at: &Path) {
    match fs::symlink_metadata(at) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(at).unwrap(),
        Ok(_) => fs::remove_file(at).unwrap(),
        Err(_) => {}
    }
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::copy(saved, at).unwrap();
}

#[test]
fn every_command_survives_lost_folder_of_repository() {
    let seed = seed();
    for encrypted in [false, true] {
        let template = Template::new(encrypted, seed);
        for folder in ["log", "manifests", "index", "packs", "keys"] {
            let what = format!("seed {seed}: {folder} lost, encrypted {encrypted}");
            let case = Case::new(&template, what);
            let at = template.dir.path().join("home/repository").join(folder);
            if fs::remove_dir_all(&at).is_err() {
                assert!(folder == "keys" && !encrypted);
                continue;
            }
            case.make_old();
            case.run_every_verb();
            let saved = template.dir.path().join("saved/repository").join(folder);
            fs::create_dir_all(&at).unwrap();
            copy(&saved.join("."), &at);
            case.assert_all_restore();
        }
    }
}

/// A copy of the undamaged template.
struct Case<'a> {
    template: &'a Template,
    what: String,
}

impl<'a> Case<'a> {
    fn new(template: &'a Template, what: String) -> Self {
        let home = template.dir.path().join("home");
        fs::remove_dir_all(&home).unwrap();
        copy(&template.dir.path().join("saved"), &home);
        Self { template, what }
    }

    fn home(&self) -> PathBuf {
        self.template.dir.path().join("home")
    }

    /// Makes all objects old, so that the grace period of a prune protects none of them.
    fn make_old(&self) {
        let find = Command::new("find")
            .arg(self.home().join("repository"))
            .args([
                "-type",
                "f",
                "-exec",
                "touch",
                "-d",
                "3 days ago",
                "{}",
                "+",
            ])
            .status();
        assert!(find.unwrap().success());
    }

    /// Runs a command, which must end cleanly.
    fn run(&self, arguments: &[&str]) -> BrOutput {
        let what = format!("{}: br {}", self.what, arguments.join(" "));
        let mut command = self.template.br.command(arguments);
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = wait_at_most(child, MOST).unwrap_or_else(|| panic!("{what} hangs"));
        assert!(
            output.code.is_some_and(|code| ORDERLY.contains(&code)),
            "{what}: {output}"
        );
        for word in ["panicked", "bug in br"] {
            assert!(!output.stderr.contains(word), "{what}: {output}");
        }
        output
    }

    fn run_every_verb(&self) {
        let listed = self.run(&["list"]);
        self.run(&["ls", "latest"]);
        self.run(&["stats"]);
        let mut all_restore = true;
        for (id, snapshot) in &self.template.backups {
            self.run(&["show", id]);
            all_restore &= self.restores(id, snapshot);
        }
        self.run(&["check"]);
        let check = self.run(&["check", "--read-data"]);
        if check.code == Some(0) {
            assert!(
                all_restore && listed.code == Some(0),
                "{}: check found no damage: {check}",
                self.what
            );
        }
        // These commands must not create a repository if br finds none.
        self.run(&["backup", "tree", "--host", "h"]);
        self.run(&["prune", "--max-unused", "0%"]);
    }

    /// Restores a backup; the restored files must be correct.
    fn restores(&self, id: &str, snapshot: &Snapshot) -> bool {
        let output = self.run(&["-q", "restore", id, "--target", "out", "--delete"]);
        if output.code != Some(0) {
            return false;
        }
        let copy = Snapshot::of(self.home().join("out/tree"));
        let differences = snapshot.differences(&copy);
        assert!(
            differences.is_empty(),
            "{}: {id} was restored wrong, with exit code 0: {differences}",
            self.what
        );
        true
    }

    fn assert_all_restore(&self) {
        for (id, snapshot) in &self.template.backups {
            let output = self.run(&["-q", "restore", id, "--target", "out", "--delete"]);
            assert_eq!(
                output.code,
                Some(0),
                "{}: after undoing the damage, {id} does not restore: {output}",
                self.what
            );
            let copy = Snapshot::of(self.home().join("out/tree"));
            snapshot.assert_same(&copy, &format!("{}: then as it was: {id}", self.what));
        }
    }
}
