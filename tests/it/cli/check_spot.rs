//! `br check --spot`: the files are compared with their newest backup.

use std::fs;
use std::time::Duration;

use br_testkit::set_time;
use serde_json::Value;

use super::{Session, json};

/// Longer than the tolerance for rounded times.
const LONG: Duration = Duration::from_millis(2_300);

fn spot(session: &Session, options: &[&str], expected: i32) -> Value {
    let line = ["check", "--spot", "--json", "--host", "h"];
    let output = session.br.run(line.iter().chain(options)).expect(expected);
    json(&output.stdout)
}

/// A backup of files that are older than it.
fn session() -> Session {
    let session = Session::new();
    session.write("docs/large", br_testkit::noise(7, 3_000_000));
    session.write("docs/empty", "");
    std::thread::sleep(LONG);
    session
        .run(["backup", "--init", "docs", "--host", "h"])
        .expect(0);
    session
}

#[test]
fn equal_files_are_counted_and_later_changes_are_no_problem() {
    let session = session();
    let report = spot(&session, &["docs"], 0);
    assert_eq!(report["files"], 4, "{report}");
    assert_eq!(
        (&report["sampled"], &report["same"]),
        (&4.into(), &4.into()),
        "{report}"
    );
    assert_eq!(report["bytes_read"], 3_050_006, "{report}");
    // Changed, new, removed, and moved there with old times.
    session.write("docs/a.txt", "another content\n");
    session.write("docs/new", "new");
    fs::remove_file(session.at("docs/empty")).unwrap();
    session.write("elsewhere/old", "old");
    std::thread::sleep(Duration::from_millis(20));
    fs::rename(session.at("elsewhere"), session.at("docs/moved")).unwrap();
    let report = spot(&session, &["docs"], 0);
    assert_eq!(report["changed_since"], 3, "{report}");
    assert_eq!(report["same"], 2, "{report}");
    let text = session
        .run(["check", "--spot", "docs", "--host", "h"])
        .expect(0);
    assert!(text.stdout.contains("5 of 5 files compared"), "{text}");
    assert!(text.stdout.contains("3 changed since"), "{text}");
}

#[test]
fn content_that_changed_without_its_time_is_found() {
    let session = session();
    let mut bytes = fs::read(session.at("docs/large")).unwrap();
    let time = fs::metadata(session.at("docs/large"))
        .unwrap()
        .modified()
        .unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(session.at("docs/large"), &bytes).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(session.at("docs/large"))
        .unwrap();
    file.set_modified(time).unwrap();
    // Small files are in the entries of the backup itself.
    session.write("docs/a.txt", "jello\n");
    set_time(&session.at("docs/a.txt"), 1_700_000_000, 0);
    let report = spot(&session, &["docs"], 14);
    assert_eq!(report["different"]["count"], 2, "{report}");
    assert_eq!(
        report["different"]["first"][0]["path"], "docs/a.txt",
        "{report}"
    );
    spot(&session, &["docs", "--max-different", "2"], 0);
    spot(&session, &["docs", "--max-different", "1"], 14);
}

#[test]
fn file_that_the_backup_should_have_is_missing_unless_it_is_excluded() {
    let session = Session::new();
    session.write("docs/x.tmp", "x");
    std::thread::sleep(LONG);
    let backup = [
        "backup",
        "--init",
        "docs",
        "--host",
        "h",
        "--exclude",
        "*.tmp",
    ];
    session.run(backup).expect(0);
    let report = spot(&session, &["docs"], 14);
    assert_eq!(
        report["missing"]["first"][0]["path"], "docs/x.tmp",
        "{report}"
    );
    spot(&session, &["docs", "--max-missing", "1"], 0);
    spot(&session, &["docs", "--exclude", "*.tmp"], 0);
    session.write_secret("br.toml", "[backup]\nexclude = [\"*.tmp\"]\nhost = \"h\"\n");
    session
        .run(["--config", "br.toml", "check", "--spot", "docs"])
        .expect(0);
}

#[test]
fn set_has_its_own_paths_exclusions_and_repositories() {
    let session = Session::new();
    session.write("docs/x.tmp", "x");
    session.write_secret(
        "br.toml",
        "[repositories.main]\nlocation = \"docs/main\"\n[repositories.offsite]\nlocation = \"docs/offsite\"\n\
         [sets.docs]\npaths = [\"docs\"]\nhost = \"h\"\nrepository = \"main\"\ncopy-to = [\"offsite\"]\nexclude = [\"*.tmp\"]\n",
    );
    let br = session.br.clone().env("BR_CONFIG", "br.toml");
    for name in ["main", "offsite"] {
        br.run(["init", "-r", name]).expect(0);
    }
    std::thread::sleep(LONG);
    br.run(["run"]).expect(0);
    let report = br
        .run(["check", "--spot", "--set", "docs", "--json"])
        .expect(0);
    let report = json(&report.stdout);
    assert_eq!(report["same"], 2, "{report}");
    br.run(["check", "--spot", "--set", "other"]).expect(2);
}

#[test]
fn mistakes_are_explained() {
    let session = session();
    let unknown = session.run(["check", "--spot", "home", "--host", "h"]);
    unknown.expect(2);
    fs::create_dir(session.at("other")).unwrap();
    let none = session
        .run(["check", "--spot", "other", "--host", "h"])
        .expect(2);
    assert!(none.stderr.contains("no backup of these paths"), "{none}");
    for line in [
        &["check", "--spot"][..],
        &["check", "--spot", "docs", "--read-data"],
        &["check", "--spot", "docs", "--tag", "x"],
        &["check", "--sample", "0", "--spot", "docs"],
        &["check", "latest", "--exclude", "x"],
        &["check", "latest", "latest~1"],
        &["check", "nonsense"],
    ] {
        session.br.run(line).expect(2);
    }
}

#[test]
fn source_without_files_is_no_success_if_the_backup_has_some() {
    let session = session();
    let away = session.at("away");
    fs::create_dir(&away).unwrap();
    for found in fs::read_dir(session.at("docs")).unwrap() {
        let found = found.unwrap();
        fs::rename(found.path(), away.join(found.file_name())).unwrap();
    }
    let output = session
        .run(["check", "--spot", "docs", "--host", "h"])
        .expect(3);
    assert!(output.stderr.contains("mounted"), "{output}");
}
