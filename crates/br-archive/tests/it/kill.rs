//! A process is killed during an import. After the next import, the folder is completely old or completely new.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use br_archive::{BundleWriter, NoBundleProgress, extract, import};

use crate::support::folder::in_memory;
use crate::support::{child, import_options, member, options, write};

const FILES: usize = 2000;
/// Least and greatest number of kills: after the least, the test stops when it has seen every outcome.
const KILLS: u64 = 12;
const MAX_KILLS: u64 = 60;

/// The content of a file: in every third folder it is the same before and after; all others are replaced, and half that number is new.
fn content(number: usize, version: &str) -> String {
    match number % 3 {
        0 => "the same".to_owned(),
        _ => format!("{number} {version}"),
    }
}

fn path(number: usize) -> String {
    format!("d{}/e{}/{number}", number % 7, number % 50)
}

fn fill(folder: &Path) {
    for number in 0..FILES {
        let path = folder.join(path(number));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(number, "old")).unwrap();
    }
}

fn bundle(dir: &Path) -> PathBuf {
    let mut writer = BundleWriter::create(dir, options()).unwrap();
    let attributes = br_archive::Attributes::plain(1);
    for number in 0..FILES + FILES / 2 {
        let content = content(number, "new");
        let path = member(&path(number));
        writer
            .add_bytes(&path, content.as_bytes(), attributes)
            .unwrap();
    }
    writer.finish().unwrap().path
}

/// Returns the versions in the folder; a missing file counts as the old version.
fn versions(folder: &Path) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for number in 0..FILES + FILES / 2 {
        if number % 3 == 0 && number < FILES {
            assert_eq!(
                fs::read_to_string(folder.join(path(number))).unwrap(),
                "the same"
            );
            continue;
        }
        let version = match fs::read_to_string(folder.join(path(number))) {
            Ok(text) if text == content(number, "new") => "new",
            Ok(text) if text == content(number, "old") => "old",
            Err(_) if number >= FILES => "old",
            other => panic!("{number}: {other:?}"),
        };
        found.insert(version);
    }
    found
}

#[test]
fn child_that_is_killed() {
    let Some(told) = child::told() else { return };
    let (bundle, into) = told.split_once('\n').unwrap();
    import(
        bundle.as_ref(),
        into.as_ref(),
        &import_options(),
        &mut NoBundleProgress,
    )
    .unwrap();
}

/// Waits until the swaps start, or the import ends.
fn wait_for_swaps(folder: &Path, child: &mut std::process::Child) {
    let journal = folder.join(".br-import-0000000000c0ffee/journal");
    while !journal.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn killed_import_leaves_old_or_new_folder() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let nothing = dir.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    // An empty bundle: its import only recovers the folder.
    let nothing = write(&nothing, options(), &[]);
    let folder = dir.path().join("folder");
    let (mut old, mut new, mut torn) = (0, 0, 0);
    fs::create_dir(&folder).unwrap();
    fill(&folder);
    for round in 0..MAX_KILLS {
        if round >= KILLS && old > 0 && new > 0 && torn > 0 {
            break;
        }
        let told = format!("{}\n{}", bundle.display(), folder.display());
        let mut running = child::start("kill::child_that_is_killed", &told);
        // Two thirds of the kills are during the swaps, which is the critical phase.
        if round % 3 > 0 {
            wait_for_swaps(&folder, &mut running);
        }
        // From immediately to long after the end.
        std::thread::sleep(Duration::from_micros((round % KILLS).pow(3) * 200));
        running.kill().unwrap();
        running.wait().unwrap();
        torn += u64::from(versions(&folder).len() > 1);
        import(&nothing, &folder, &import_options(), &mut NoBundleProgress).unwrap();
        let found = versions(&folder);
        assert_eq!(found.len(), 1, "round {round}: {found:?}");
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        assert!(names.into_iter().all(|name| name.file_name().len() < 4));
        if found.contains("new") {
            new += 1;
            fs::remove_dir_all(&folder).unwrap();
            fs::create_dir(&folder).unwrap();
            fill(&folder);
        } else {
            old += 1;
        }
    }
    println!("{old} times all old, {new} times all new, {torn} times torn before");
    assert!(old > 0 && new > 0 && torn > 0);
}

/// A new folder exists completely, or not at all.
#[test]
fn killed_extraction_leaves_complete_or_no_folder() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let told = format!("{}\n{}", bundle.display(), folder.display());
    for round in 0..4 {
        let mut running = child::start("kill::child_that_is_killed", &told);
        wait_for_swaps(&folder, &mut running);
        std::thread::sleep(Duration::from_micros(round * 300));
        running.kill().unwrap();
        running.wait().unwrap();
        match extract(&bundle, &folder, &import_options(), &mut NoBundleProgress) {
            Ok(_) => assert_eq!(versions(&folder), BTreeSet::from(["new"])),
            // The extraction finished before the kill.
            Err(error) => assert_eq!(error.kind(), br_archive::ErrorKind::Exists, "{error}"),
        }
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
    }
}
