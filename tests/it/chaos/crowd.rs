//! Many machines back up into one repository while others delete and prune; some are stopped, some are killed.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

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
    let seed = seed();
    let repository = dir.path().join("repository");
    let repository = repository.to_str().unwrap();
    let admin = br(&dir.path().join("admin")).env("BR_REPOSITORY", repository);
    admin.run(["init"]).expect(0);
    let crowd = Crowd::default();
    let machines = std::thread::scope(|scope| {
        let crowd = &crowd;
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                let host = format!("w{n}");
                let home = dir.path().join(&host);
                scope.spawn(move || {
                    let machine = Machine::new(&home, repository, &host, seed * 100 + n);
                    write(crowd, machine)
                })
            })
            .collect();
        for n in 0..PRUNERS {
            let home = dir.path().join(format!("p{n}"));
            let seed = seed * 100 + 50 + n;
            scope.spawn(move || prune(crowd, &home, repository, seed));
        }
        let start = now();
        let most = Duration::from_secs((SECONDS * factor()) as u64);
        while start.elapsed() < most
            && !writers
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        crowd.end.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect::<Vec<_>>()
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

fn prune(crowd: &Crowd, home: &Path, repository: &str, seed: u64) {
    let mut machine = Machine::new(home, repository, "pruner", seed);
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
