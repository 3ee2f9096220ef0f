//! Tests of the example programs.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// `cargo test` builds examples into the folder next to that of the tests.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples")
        .join(name);
    assert!(
        program.exists(),
        "{} is built by a plain `cargo test`",
        program.display()
    );
    Command::new(program)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_folder_is_backed_up_restored_listed_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("data")).unwrap();
    fs::write(at("data/notes.txt"), "to keep\n").unwrap();
    let mut command = example("backup_restore");
    command
        .current_dir(folder.path())
        .args(["data", "repository", "target"]);
    assert_eq!(
        output(&mut command),
        "backed up 1 files\nrestored 1 files\n"
    );
    assert_eq!(
        fs::read_to_string(at("target/data/notes.txt")).unwrap(),
        "to keep\n"
    );

    let mut command = example("list_read");
    command
        .current_dir(folder.path())
        .args(["repository", "data/notes.txt"]);
    let listing = output(&mut command);
    assert_eq!(
        listing,
        "           0 data\n           8 data/notes.txt\nto keep\n"
    );
}

#[test]
fn a_stream_is_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = example("stream_in");
    command
        .arg(folder.path().join("repository"))
        .arg("dump.sql");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&[7; 300_000])
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"stored 300000 bytes\n");
}

/// The examples that need no arguments.
#[test]
fn examples_of_embedding_do_what_they_say() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "dump_programs",
            &[
                "sh failed with exit code 1",
                "its last line does not begin with `-- end`",
                "12 bytes",
                "lines: 2",
            ],
        ),
        (
            "daily_operation",
            &[
                "deleted 3",
                "last, newest",
                "sound: true",
                "key second, in use: false",
            ],
        ),
        (
            "custom_source",
            &["2 rows, read 10 bytes", "2 rows, read 0 bytes"],
        ),
        ("custom_sink", &["2 etc/app.toml", "1 notes.txt"]),
        ("progress", &["bad line 2", "2 files, "]),
        (
            "cancel_resume",
            &["cancelled", "stored before: true", "stored again: false"],
        ),
        (
            "random_access",
            &["6000000 bytes", "line 250000", "line 499999"],
        ),
        (
            "copy_backups",
            &["1 copied, 0 there", "0 copied, 1 there", "true"],
        ),
        (
            "own_object_store",
            &["safe for two writers: true", "\"backups\":1"],
        ),
    ];
    for (name, expected) in cases {
        let text = output(&mut example(name));
        for part in expected {
            assert!(text.contains(part), "{name} does not print {part}: {text}");
        }
    }
}
