//! Tests br from outside: a file is a command or a theme, and a test name states condition and result.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failure of the test"
)]

mod backup;
mod backup_list;
mod bundle;
mod cancel;
mod changing;
mod chaos;
mod cli;
#[cfg(feature = "azure")]
mod clouds;
mod command;
mod concurrent;
mod copy;
mod crash;
mod damage;
mod delete;
mod delta;
mod entries;
mod export;
mod faults;
mod folder;
mod forget;
mod full;
mod fuzz;
mod head;
mod key_slots;
mod keys;
mod kill;
mod label;
mod large;
mod open;
mod prune;
mod repair;
mod restore;
mod rewrite;
mod s3;
mod snapshot;
mod spot;
mod state_machine;
mod stores;
mod stream;
mod support;
mod threads;
mod tidy;
mod undelete;
mod write_only;

use std::path::Path;

/// A file that no `mod` names is never compiled, and its tests seem to pass.
#[test]
fn every_test_file_is_declared_as_module() {
    fn look(folder: &Path, lists: &str) {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if ["main", "mod", "snapshots"].contains(&name.as_str()) {
                continue;
            }
            let line = format!("mod {name};");
            assert!(
                lists.lines().any(|other| other == line),
                "{} is listed",
                path.display()
            );
            if path.is_dir() {
                look(
                    &path,
                    &std::fs::read_to_string(path.join("mod.rs")).unwrap(),
                );
            }
        }
    }
    let it = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    look(&it, &std::fs::read_to_string(it.join("main.rs")).unwrap());
}
