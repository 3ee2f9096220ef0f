//! The real program under random trouble: killed, stopped, run many times at once, given damaged objects and full disks.
//!
//! What holds after every step: a backup that was committed and not deleted is listed, and restores to its original bytes.
//!
//! The rounds are few in an ordinary run. `BR_CHAOS` multiplies them: `BR_CHAOS=50 cargo test -p br-tests --test it chaos::`.
//! `BR_CHAOS_SEED` starts the random numbers elsewhere; a failure names the seed.

mod crowd;
mod damage;
mod disk;
mod kill;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use br_testkit::{BrCmd, BrOutput, Noise, Snapshot};

use crate::cli::json;

/// How many times the usual number of rounds to run.
fn factor() -> usize {
    number("BR_CHAOS").unwrap_or(1)
}

fn seed() -> u64 {
    number("BR_CHAOS_SEED").unwrap_or(1) as u64
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A tree that changes at random, and its backups.
struct Machine {
    br: BrCmd,
    host: String,
    random: Noise,
    /// What each committed backup holds.
    backups: BTreeMap<String, Snapshot>,
}

impl Machine {
    /// A machine with a separate home, which `br` and its environment know, as they know the repository.
    fn new(br: BrCmd, host: &str, seed: u64) -> Self {
        let mut machine = Self {
            br,
            host: host.to_owned(),
            random: Noise::new(seed),
            backups: BTreeMap::new(),
        };
        for _ in 0..30 {
            machine.change_tree();
        }
        machine
    }

    fn tree(&self) -> PathBuf {
        self.br.home().join("tree")
    }

    /// Writes, changes or removes a few files.
    fn change_tree(&mut self) {
        let path = self.tree().join(format!(
            "folder {}/file {}",
            self.random.below(4),
            self.random.below(15)
        ));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match (self.random.below(5), fs::read(&path)) {
            (0, Ok(_)) => fs::remove_file(&path).unwrap(),
            // A small change in a large file is stored as a difference.
            (1 | 2, Ok(mut content)) if !content.is_empty() => {
                let at = self.random.below(content.len());
                content[at] ^= 1;
                fs::write(&path, content).unwrap();
            }
            _ => {
                let mut content = vec![0; self.random.below(400_000)];
                self.random.fill(&mut content);
                fs::write(&path, content).unwrap();
            }
        }
    }

    fn backup_arguments(&self) -> Vec<String> {
        let arguments = ["--json", "backup", "tree", "--host", &self.host];
        arguments.map(str::to_owned).to_vec()
    }

    /// Starts br; its output can be read at the end.
    fn start<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.br.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Notes a backup of the tree as it is now.
    fn committed(&mut self, id: &str) {
        let snapshot = Snapshot::of(self.tree());
        self.backups.insert(id.to_owned(), snapshot);
    }

    /// The ids of this machine's backups, as listed.
    fn listed(&self) -> Vec<String> {
        let output = self.br.run(["--json", "list", "--host", &self.host]);
        let list = json(&output.expect(0).stdout);
        let ids = list["backups"].as_array().unwrap().iter();
        ids.map(|backup| backup["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Restores a backup and compares it with its original tree.
    fn assert_restores(&self, id: &str, what: &str) {
        let target = self.br.home().join("out");
        let arguments = ["-q", "restore", id, "--target", "out", "--delete"];
        self.br.run(arguments).expect(0);
        let copy = Snapshot::of(target.join("tree"));
        self.backups[id].assert_same(&copy, &format!("{what}: backup {id}"));
    }

    fn assert_all_restore(&self, what: &str) {
        let listed = self.listed();
        for id in self.backups.keys() {
            assert!(listed.contains(id), "{what}: {id} is listed");
            self.assert_restores(id, what);
        }
    }
}

/// Runs `check --read-data`; nothing may be wrong.
fn assert_sound(br: &BrCmd, what: &str) {
    let output = br.run(["check", "--read-data"]);
    assert_eq!(output.code, Some(0), "{what}: {output}");
}

/// Waits for a program to end.
fn wait(child: Child) -> BrOutput {
    child.wait_with_output().unwrap().into()
}

/// Waits for a program to exit, and kills it after a timeout: then `None`.
fn wait_at_most(mut child: Child, most: Duration) -> Option<BrOutput> {
    let start = now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > most {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(wait(child))
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    // It may have ended already.
    let _ = rustix::process::kill_process(pid, signal);
}

#[expect(clippy::disallowed_methods, reason = "measures time")]
fn now() -> Instant {
    Instant::now()
}
