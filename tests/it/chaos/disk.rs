//! Every verb on a repository whose disk has no byte left.

use std::fs::{self, File};
use std::io::Write as _;

use br_testkit::Noise;

use super::{Machine, assert_sound, seed};
use crate::cli::br;
use crate::full::Tmpfs;

/// Fills the disk to its last byte.
fn fill(disk: &Tmpfs) {
    let mut file = File::create(disk.at("ballast")).unwrap();
    for length in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![1; length]).is_ok() {}
    }
}

#[test]
fn every_command_on_full_disk_ends_cleanly_and_loses_nothing() {
    let Some(disk) = Tmpfs::new(64) else { return };
    let dir = tempfile::tempdir().unwrap();
    let repository = disk.at("repository");
    let home = dir.path().join("home");
    let mut machine = Machine::new(
        br(&home).env("BR_REPOSITORY", repository.to_str().unwrap()),
        "h",
        seed(),
    );
    machine.br.run(["init"]).expect(0);
    for _ in 0..4 {
        machine.change_tree();
        let report = machine.br.run(machine.backup_arguments()).expect(0);
        let report = crate::cli::json(&report.stdout);
        machine.committed(report["backup"]["id"].as_str().unwrap());
    }
    fill(&disk);
    machine.change_tree();
    let file = machine.tree().join("new");
    let mut content = vec![0; 500_000];
    Noise::new(5).fill(&mut content);
    fs::write(file, content).unwrap();
    let backup = machine.br.run(machine.backup_arguments());
    assert_eq!(backup.code, Some(1), "no space is left: {backup}");
    let init = machine
        .br
        .run(["-r", disk.at("other").to_str().unwrap(), "init"]);
    assert_eq!(init.code, Some(1), "{init}");
    for verb in ["list", "stats", "check"] {
        machine.br.run([verb]).expect(0);
    }
    machine.assert_all_restore("the disk is full");
    assert_sound(&machine.br, "the disk is full");
    // Free space, as a user would do next.
    let (oldest, _) = machine.backups.pop_first().unwrap();
    machine.br.run(["delete", &oldest, "--yes"]).expect(0);
    machine.br.run(["prune", "--max-unused", "0%"]).expect(0);
    machine.assert_all_restore("after delete and prune on a full disk");
    assert_sound(&machine.br, "after delete and prune on a full disk");
    fs::remove_file(disk.at("ballast")).unwrap();
    let report = machine.br.run(machine.backup_arguments()).expect(0);
    let report = crate::cli::json(&report.stdout);
    machine.committed(report["backup"]["id"].as_str().unwrap());
    machine.assert_all_restore("with space again");
}
