//! Many machines back up into one repository while others delete and prune; some are stopped, some are killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use br_testkit::{BrCmd, Endpoint, skip};
use rustix::process::Signal;

use super::{Machine, assert_sound, factor, now, seed, signal, wait};
use crate::cli::{br, json};

const WRITERS: u64 = 8;
const PRUNERS: u64 = 2;
/// Seconds in an ordinary run.
const SECONDS: usize = 6;
/// A writer keeps this many backups and offers the others for deletion.
const KEPT: usize = 4;
/// Exit code of a run that lost too many races. Running it again is sufficient.
const CONFLICT: i32 = 11;

/// The state that all machines share.
#[derive(Default)]
struct Crowd {
    /// Backups that their writers no longer need.
    unwanted: Mutex<Vec<String>>,
    end: AtomicBool,
    backups: AtomicUsize,
    prunes: AtomicUsize,
    stopped: AtomicUsize,
    killed: AtomicUsize,
    conflicts: AtomicUsize,
}

#[test]
fn many_writers_and_pruners_at_once_lose_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("repository");
    let repository = repository.to_str().unwrap();
    run(dir.path(), |br| br.env("BR_REPOSITORY", repository));
}

/// On a disk only: a server refuses requests of a machine whose clock is wrong.
#[test]
fn many_writers_and_pruners_with_clocks_off_by_a_year_lose_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clock) = WrongClock::build(dir.path()) else {
        return skip("no C compiler; it is needed to change the clock of a process");
    };
    let repository = dir.path().join("repository");
    let repository = repository.to_str().unwrap();
    run(dir.path(), |br| {
        let years = match br.home().file_name().and_then(std::ffi::OsStr::to_str) {
            Some("w0" | "p0") => 1,
            Some("w1" | "p1") => -1,
            _ => 0,
        };
        clock.set(br.env("BR_REPOSITORY", repository), years)
    });
}

#[test]
fn many_writers_and_pruners_at_once_lose_no_backup_on_a_server() {
    let Some(endpoint) = Endpoint::from_env() else {
        return skip("no BR_TEST_S3_ENDPOINT; docs/testing.md explains how to start a server");
    };
    let dir = tempfile::tempdir().unwrap();
    let folder = format!("crowd-{}", std::process::id());
    let url = endpoint.location(&folder).to_string();
    run(dir.path(), |br| {
        br.env("BR_REPOSITORY", &url)
            .env("BR_S3_ACCESS_KEY_ID", &endpoint.access_key)
            .env("BR_S3_SECRET_ACCESS_KEY", &endpoint.secret_key)
            .env("BR_S3_REGION", &endpoint.region)
    });
}

/// Runs all machines, each with a home below `dir`, until the time is over. `prepare` says how a machine reaches the repository.
#[expect(clippy::print_stderr, reason = "says what happened")]
fn run(dir: &Path, prepare: impl Fn(BrCmd) -> BrCmd + Sync) {
    let seed = seed();
    let machine = |host: &str, seed| {
        let home = prepare(br(&dir.join(host)));
        Machine::new(home, host, seed)
    };
    let admin = prepare(br(&dir.join("admin")));
    admin.run(["init"]).expect(0);
    let crowd = Crowd::default();
    let machines = std::thread::scope(|scope| {
        let (crowd, machine) = (&crowd, &machine);
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| scope.spawn(move || write(crowd, machine(&format!("w{n}"), seed * 100 + n))))
            .collect();
        let pruners: Vec<_> = (0..PRUNERS)
            .map(|n| {
                scope.spawn(move || prune(crowd, machine(&format!("p{n}"), seed * 100 + 50 + n)))
            })
            .collect();
        let start = now();
        let most = Duration::from_secs((SECONDS * factor()) as u64);
        let is_finished = std::thread::ScopedJoinHandle::is_finished;
        while start.elapsed() < most
            && !writers.iter().any(is_finished)
            && !pruners
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        crowd.end.store(true, Ordering::Relaxed);
        let ended = writers.into_iter().map(|writer| writer.join().unwrap());
        let machines = ended.collect::<Vec<_>>();
        pruners
            .into_iter()
            .for_each(|pruner| pruner.join().unwrap());
        machines
    });
    eprintln!(
        "{:?} backups, {:?} prunes, {:?} stops, {:?} kills, {:?} conflicts",
        crowd.backups, crowd.prunes, crowd.stopped, crowd.killed, crowd.conflicts
    );
    assert!(crowd.backups.into_inner() > 8 && crowd.prunes.into_inner() > 0);
    let what = format!("seed {seed}");
    assert_sound(&admin, &what);
    for machine in &machines {
        machine.assert_all_restore(&what);
    }
    admin.run(["prune", "--max-unused", "0%"]).expect(0);
    assert_sound(&admin, &what);
    for machine in &machines {
        machine.assert_all_restore(&what);
    }
}

/// A library that changes the clock of the programs that load it.
struct WrongClock(PathBuf);

impl WrongClock {
    /// Compiles it; `None` without a C compiler.
    fn build(dir: &Path) -> Option<Self> {
        let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
        fs::write(&source, CLOCK).unwrap();
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source]);
        let made = compiler.status().ok()?;
        assert!(made.success(), "the library is compiled");
        Some(Self(library))
    }

    fn set(&self, br: BrCmd, years: i64) -> BrCmd {
        let seconds = (years * 365 * 24 * 3600).to_string();
        br.env("LD_PRELOAD", self.0.to_str().unwrap())
            .env("CLOCK_OFFSET", &seconds)
    }
}

const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    const char *offset = getenv("CLOCK_OFFSET");
    if (!failed && offset && clock == CLOCK_REALTIME) time->tv_sec += atol(offset);
    return failed;
}
"#;

#[test]
fn wrong_clock_changes_the_time_of_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clock) = WrongClock::build(dir.path()) else {
        return skip("no C compiler; it is needed to change the clock of a process");
    };
    let machine = clock.set(
        br(&dir.path().join("home")).env("BR_REPOSITORY", "repository"),
        1,
    );
    machine.run(["init"]).expect(0);
    fs::write(machine.home().join("file"), "content").unwrap();
    let report = json(&machine.run(["--json", "backup", "file"]).expect(0).stdout);
    let started = report["backup"]["started"].as_str().unwrap();
    let started: br_core::jiff::Timestamp = started.parse().unwrap();
    let ahead = started.as_second() - seconds_since_1970();
    assert!((364..=366).contains(&(ahead / (24 * 3600))), "{ahead} s");
}

#[expect(
    clippy::disallowed_methods,
    reason = "compares with the clock of the system"
)]
fn seconds_since_1970() -> i64 {
    br_core::jiff::Timestamp::now().as_second()
}

/// Runs br, which may be paused or killed. `None` when it was killed.
fn disturbed(crowd: &Crowd, machine: &mut Machine, arguments: &[String]) -> Option<String> {
    let mut child = machine.start(arguments);
    let after = Duration::from_millis(machine.random.below(200) as u64);
    match machine.random.below(10) {
        0 | 1 => {
            std::thread::sleep(after);
            signal(&child, Signal::STOP);
            crowd.stopped.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(machine.random.below(1500) as u64));
            signal(&child, Signal::CONT);
        }
        2 => {
            std::thread::sleep(after);
            child.kill().unwrap();
            crowd.killed.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    }
    let output = wait(child);
    match output.code {
        Some(0) => return Some(output.stdout),
        Some(CONFLICT) => {
            crowd.conflicts.fetch_add(1, Ordering::Relaxed);
        }
        None => {}
        Some(_) => panic!("{arguments:?}: {output}"),
    }
    None
}

fn write(crowd: &Crowd, mut machine: Machine) -> Machine {
    let arguments = machine.backup_arguments();
    while !crowd.end.load(Ordering::Relaxed) {
        for _ in 0..2 {
            machine.change_tree();
        }
        if let Some(report) = disturbed(crowd, &mut machine, &arguments) {
            let report = json(&report);
            machine.committed(report["backup"]["id"].as_str().unwrap());
            crowd.backups.fetch_add(1, Ordering::Relaxed);
        } else {
            // The log shows whether a killed run committed its change.
            for id in machine.listed() {
                if !machine.backups.contains_key(&id) && !is_unwanted(crowd, &id) {
                    machine.committed(&id);
                }
            }
        }
        while machine.backups.len() > KEPT {
            let (id, _) = machine.backups.pop_first().unwrap();
            crowd.unwanted.lock().unwrap().push(id);
        }
    }
    machine
}

fn is_unwanted(crowd: &Crowd, id: &String) -> bool {
    crowd.unwanted.lock().unwrap().contains(id)
}

fn prune(crowd: &Crowd, mut machine: Machine) {
    while !crowd.end.load(Ordering::Relaxed) {
        let unwanted = crowd.unwanted.lock().unwrap().clone();
        let listed: Vec<_> = listed_of_all(&machine);
        for id in unwanted.iter().filter(|id| listed.contains(id)).take(2) {
            // Two pruners may have chosen the same one: then it is unknown to the second.
            let output = machine.br.run(["delete", id.as_str(), "--yes"]);
            assert!(matches!(output.code, Some(0 | 2 | CONFLICT)), "{output}");
        }
        let arguments = ["prune", "--max-unused", "0%"].map(str::to_owned);
        if disturbed(crowd, &mut machine, &arguments).is_some() {
            crowd.prunes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn listed_of_all(machine: &Machine) -> Vec<String> {
    let list = json(&machine.br.run(["--json", "list"]).expect(0).stdout);
    let ids = list["backups"].as_array().unwrap().iter();
    ids.map(|backup| backup["id"].as_str().unwrap().to_owned())
        .collect()
}
