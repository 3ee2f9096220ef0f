//! `br dump`.

use std::fs::File;

use br_testkit::{BrOutput, noise};

use super::Session;

#[test]
fn the_bytes_of_a_file_are_written() {
    let session = Session::with_backup();
    let output = session
        .br
        .command(["dump", "latest", "docs/sub/b.bin"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == noise(1, 50_000));
    assert_eq!(
        output.stderr, b"",
        "stdout has only the content of the file"
    );
}

#[test]
fn dump_refuses_entry_that_is_not_file() {
    let session = Session::with_backup();
    for path in ["docs", "docs/link", "docs/no such", "/etc/passwd/../x"] {
        let output = session.run(["dump", "latest", path]).expect(2);
        assert_eq!(output.stdout, "", "{path}");
    }
}

#[test]
fn an_output_that_fails_is_an_error() {
    let session = Session::with_backup();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = session
        .br
        .command(["dump", "latest", "docs/sub/b.bin"])
        .stdout(full)
        .output();
    let output = BrOutput::from(output.unwrap()).expect(1);
    assert!(output.stderr.contains("No space left"), "{output}");
}

/// Runs the system's tar on the output of a dump.
fn tar(session: &Session, archive: &[u8], options: &str) -> std::process::Output {
    std::fs::write(session.at("dump.tar"), archive).unwrap();
    std::fs::create_dir_all(session.at("from-tar")).unwrap();
    let script = format!("tar {options} -f ../dump.tar");
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", &script])
        .current_dir(session.at("from-tar"));
    command.output().unwrap()
}

#[test]
fn archive_of_a_folder_has_what_a_restore_has() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let session = Session::new();
    let long = format!("docs/{}/{}", "d".repeat(120), "n".repeat(180));
    session.write(&long, "long");
    std::os::unix::fs::symlink("../a//b/./c", session.at("docs/odd")).unwrap();
    let far = "t".repeat(300);
    std::os::unix::fs::symlink(&far, session.at("docs/far")).unwrap();
    std::fs::hard_link(session.at("docs/a.txt"), session.at("docs/same")).unwrap();
    let script = fs_mode(0o751);
    std::fs::set_permissions(session.at("docs/a.txt"), script).unwrap();
    session.write("docs/empty", "");
    session.write("other/x", "not in the archive");
    session.run(["init"]).expect(0);
    session
        .run(["backup", "docs", "other", "--host", "h"])
        .expect(0);
    let dump = ["dump", "latest", "docs", "--format", "tar"];
    let output = session.br.command(dump).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let unpacked = tar(&session, &output.stdout, "-xp");
    assert!(
        unpacked.status.success() && unpacked.stderr.is_empty(),
        "{unpacked:?}"
    );
    session
        .run(["restore", "latest", "docs", "--target", "restored"])
        .expect(0);
    let (ours, theirs) = (session.at("restored"), session.at("from-tar"));
    let names = |folder: &std::path::Path| {
        let files = super::files_below(folder).into_iter();
        let mut names: Vec<_> = files
            .map(|file| file.strip_prefix(folder).unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&ours), names(&theirs));
    for path in [
        "docs",
        "docs/a.txt",
        "docs/same",
        "docs/empty",
        "docs/odd",
        "docs/sub",
        &long,
    ] {
        let look = |at: &std::path::Path| std::fs::symlink_metadata(at.join(path)).unwrap();
        let (one, other) = (look(&ours), look(&theirs));
        assert_eq!(
            one.permissions().mode(),
            other.permissions().mode(),
            "{path}"
        );
        assert_eq!(
            (one.mtime(), one.mtime_nsec()),
            (other.mtime(), other.mtime_nsec()),
            "{path}"
        );
        assert_eq!(one.nlink() > 1, other.nlink() > 1, "{path}");
    }
    for link in ["docs/odd", "docs/far"] {
        let target = |at: &std::path::Path| std::fs::read_link(at.join(link)).unwrap();
        assert_eq!(target(&ours).as_os_str(), target(&theirs).as_os_str());
    }
    let whole = ["dump", "latest", ".", "--format", "tar"];
    let output = session.br.command(whole).output().unwrap();
    let listed = tar(&session, &output.stdout, "-t");
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("other/x"),
        "{listed:?}"
    );
}

fn fs_mode(mode: u32) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(mode)
}

#[test]
fn folder_needs_a_format() {
    let session = Session::with_backup();
    let output = session.run(["dump", "latest", "docs"]).expect(2);
    assert!(output.stderr.contains("--format tar"), "{output}");
}

#[test]
fn archive_of_damaged_data_has_no_end() {
    let session = Session::with_backup();
    session.write("docs/z", noise(7, 400_000));
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    for pack in super::files_below(&session.at("repository/packs")) {
        let mut bytes = std::fs::read(&pack).unwrap();
        if bytes.len() > 300_000 {
            bytes[200_000] ^= 1;
            std::fs::write(&pack, bytes).unwrap();
        }
    }
    let dump = ["dump", "latest", "docs", "--format", "tar"];
    let output = session.br.command(dump).output().unwrap();
    assert_eq!(output.status.code(), Some(14));
    let listed = tar(&session, &output.stdout, "-t");
    assert!(
        !listed.status.success(),
        "tar notices that the archive is cut"
    );
}

/// Writes the backup as a zip archive to `dump.zip`.
fn zip(session: &Session, path: &str) -> BrOutput {
    let dump = ["dump", "latest", path, "--format", "zip"];
    let output = session.br.command(dump).output().unwrap();
    std::fs::write(session.at("dump.zip"), &output.stdout).unwrap();
    output.into()
}

/// Runs a program of the system in the home; `None` if there is none.
fn system(session: &Session, program: &str, arguments: &[&str]) -> Option<std::process::Output> {
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir(session.br.home());
    let output = command
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .ok();
    if output.is_none() {
        br_testkit::skip(&format!("there is no {program}"));
    }
    output
}

#[test]
fn zip_archive_has_content_modes_links_and_times() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let session = Session::new();
    let long = format!("docs/{}/{}", "d".repeat(120), "n".repeat(180));
    session.write(&long, "long");
    session.write("docs/größe 日本.txt", "names");
    session.write("docs/empty", "");
    std::fs::create_dir(session.at("docs/no entries")).unwrap();
    std::os::unix::fs::symlink("../a//b/./c", session.at("docs/odd")).unwrap();
    std::fs::hard_link(session.at("docs/a.txt"), session.at("docs/same")).unwrap();
    for (path, mode) in [
        ("docs/a.txt", 0o751),
        ("docs/sub", 0o700),
        ("docs/empty", 0o400),
    ] {
        std::fs::set_permissions(session.at(path), fs_mode(mode)).unwrap();
    }
    for path in ["docs/sub", "docs/a.txt"] {
        br_testkit::set_time(&session.at(path), 1_700_000_001, 5);
    }
    session
        .run(["backup", "--init", "docs", "--host", "h"])
        .expect(0);
    let dumped = zip(&session, ".");
    assert_eq!((dumped.code, &*dumped.stderr), (Some(0), ""));
    if let Some(tested) = system(&session, "python3", &["-m", "zipfile", "-t", "dump.zip"]) {
        assert!(tested.status.success(), "{tested:?}");
        let text = String::from_utf8_lossy(&tested.stdout);
        assert!(!text.contains("bad file"), "{tested:?}");
    }
    let Some(unpacked) = system(&session, "unzip", &["-q", "dump.zip", "-d", "unzipped"]) else {
        return;
    };
    assert!(
        unpacked.status.success() && unpacked.stderr.is_empty(),
        "{unpacked:?}"
    );
    session
        .run(["restore", "latest", "--target", "restored"])
        .expect(0);
    let (ours, theirs) = (session.at("restored"), session.at("unzipped"));
    assert_eq!(super::contents(&ours), super::contents(&theirs));
    for path in [
        "docs",
        "docs/a.txt",
        "docs/same",
        "docs/empty",
        "docs/sub",
        "docs/no entries",
        &long,
    ] {
        let look = |at: &std::path::Path| std::fs::symlink_metadata(at.join(path)).unwrap();
        let (one, other) = (look(&ours), look(&theirs));
        assert_eq!(
            one.permissions().mode(),
            other.permissions().mode(),
            "{path}"
        );
        assert_eq!(one.mtime(), other.mtime(), "{path}");
    }
    for link in ["docs/odd", "docs/link"] {
        let target = |at: &std::path::Path| std::fs::read_link(at.join(link)).unwrap();
        assert_eq!(target(&ours).as_os_str(), target(&theirs).as_os_str());
    }
}

#[test]
fn zip_archive_lacks_what_it_cannot_hold_and_says_so() {
    use std::os::unix::ffi::OsStrExt as _;

    let session = Session::new();
    let odd = std::ffi::OsStr::from_bytes(b"not utf-8 \xff");
    std::fs::write(session.at("docs").join(odd), "x").unwrap();
    std::os::unix::fs::symlink(odd, session.at("docs/to-odd")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(session.at("docs/socket")).unwrap();
    session
        .run(["backup", "--init", "docs", "--host", "h"])
        .expect(0);
    let dumped = zip(&session, "docs");
    assert_eq!(dumped.code, Some(3), "{dumped}");
    for left_out in [r"docs/not utf-8 \xff", "docs/to-odd", "docs/socket"] {
        let message = format!("{left_out} is not in the archive");
        assert!(dumped.stderr.contains(&message), "{dumped}");
    }
    let Some(listed) = system(&session, "python3", &["-m", "zipfile", "-l", "dump.zip"]) else {
        return;
    };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("docs/a.txt") && !listed.contains("socket"),
        "{listed}"
    );
    // One file.
    zip(&session, "docs/sub/b.bin").expect(0);
    let one = system(&session, "python3", &["-m", "zipfile", "-l", "dump.zip"]).unwrap();
    let one = String::from_utf8_lossy(&one.stdout).into_owned();
    assert!(
        one.contains("docs/sub/b.bin") && !one.contains("a.txt"),
        "{one}"
    );
}

#[test]
fn zip_archive_of_damaged_data_has_no_end() {
    let session = Session::with_backup();
    session.write("docs/z", noise(7, 400_000));
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    for pack in super::files_below(&session.at("repository/packs")) {
        let mut bytes = std::fs::read(&pack).unwrap();
        if bytes.len() > 300_000 {
            bytes[200_000] ^= 1;
            std::fs::remove_file(&pack).unwrap();
            std::fs::write(&pack, bytes).unwrap();
        }
    }
    let dumped = zip(&session, "docs");
    assert_eq!(dumped.code, Some(14), "{}", dumped.stderr);
    assert!(!dumped.stderr.contains("ZipWriter"), "{}", dumped.stderr);
    if let Some(listed) = system(&session, "unzip", &["-l", "dump.zip"]) {
        assert!(
            !listed.status.success(),
            "unzip notices that the archive is cut"
        );
    }
}
