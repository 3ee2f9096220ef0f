//! One machine whose br is killed at random moments of every verb.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use super::{Machine, assert_sound, factor, now, seed};
use crate::cli::br;

/// Kills in an ordinary run.
const KILLS: usize = 20;

#[test]
fn random_kills_of_every_command_lose_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let seed = seed();
    let mut machine = Machine::new(
        br(&dir.path().join("home")).env("BR_REPOSITORY", "repository"),
        "h",
        seed,
    );
    machine.br.run(["init"]).expect(0);
    let mut killed = 0;
    let mut round = 0;
    while killed < KILLS * factor() {
        round += 1;
        let what = format!("seed {seed}, round {round}");
        for _ in 0..3 {
            machine.change_tree();
        }
        let was_killed = match machine.random.below(10) {
            0..5 => kill_backup(&mut machine),
            5 | 6 => kill_verb(&mut machine, &["prune", "--max-unused", "0%"]),
            7 => kill_delete(&mut machine),
            8 => kill_restore(&machine.random.below(1000), &mut machine, &what),
            _ => kill_verb(&mut machine, &["check", "--repair-index"]),
        };
        killed += usize::from(was_killed);
        assert_sound(&machine.br, &what);
        let listed = machine.listed();
        for id in machine.backups.keys() {
            assert!(listed.contains(id), "{what}: {id} is listed");
        }
        assert_eq!(
            listed.len(),
            machine.backups.len(),
            "{what}: no other backup is listed"
        );
        if let Some(id) = listed.last() {
            machine.assert_restores(id, &what);
        }
        if round % 25 == 0 {
            machine.assert_all_restore(&what);
            while machine.backups.len() > 6 {
                let (id, _) = machine.backups.pop_first().unwrap();
                machine.br.run(["delete", &id, "--yes"]).expect(0);
            }
        }
    }
    machine.assert_all_restore(&format!("seed {seed}, at the end"));
}

/// Starts br and kills it after a random time. True unless it had already exited.
fn kill(machine: &mut Machine, arguments: &[String]) -> bool {
    // Most runs take about this long, so the kills are spread over the whole run.
    let after = machine.random.below(150_000);
    let mut child = machine.start(arguments);
    let start = now();
    while start.elapsed() < Duration::from_micros(after as u64) {
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(
        status.signal() == Some(9) || status.code() == Some(0),
        "{arguments:?}: {status}"
    );
    status.signal() == Some(9)
}

fn kill_verb(machine: &mut Machine, arguments: &[&str]) -> bool {
    let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
    kill(machine, &arguments)
}

fn kill_backup(machine: &mut Machine) -> bool {
    let before = machine.listed();
    let arguments = machine.backup_arguments();
    let killed = kill(machine, &arguments);
    let new: Vec<_> = machine.listed();
    let new: Vec<_> = new.iter().filter(|id| !before.contains(id)).collect();
    assert!(new.len() <= 1 && (killed || new.len() == 1), "{new:?}");
    for id in new {
        machine.committed(id);
    }
    killed
}

fn kill_delete(machine: &mut Machine) -> bool {
    let Some(id) = machine.backups.keys().next().cloned() else {
        return false;
    };
    let killed = kill_verb(machine, &["delete", &id, "--yes"]);
    if !machine.listed().contains(&id) {
        machine.backups.remove(&id);
    }
    killed
}

/// The next restore repairs or removes everything that a killed restore leaves.
fn kill_restore(nth: &usize, machine: &mut Machine, what: &str) -> bool {
    let Some(id) = machine
        .backups
        .keys()
        .nth(nth % machine.backups.len().max(1))
    else {
        return false;
    };
    let id = id.clone();
    let killed = kill_verb(machine, &["restore", &id, "--target", "out", "--delete"]);
    machine.assert_restores(&id, what);
    killed
}
