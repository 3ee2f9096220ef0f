//! Repositories written by another user, or that disappear during a run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use br_testkit::{BrOutput, is_root, skip};

use super::Session;

/// Runs br with a limit of this number of MiB of memory, for at most 20 seconds.
fn run_within(session: &Session, mib: u64, arguments: &str) -> BrOutput {
    let br = session.br.command([] as [&str; 0]);
    let program = br.get_program().to_str().unwrap().to_owned();
    let mut command = Command::new("sh");
    let script = format!(
        "ulimit -v {}; exec timeout 20 {program} {arguments}",
        mib << 10
    );
    command.arg("-c").arg(script).current_dir(session.br.home());
    command.env_clear().stdin(Stdio::null());
    for (name, value) in br.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // An arena of the allocator reserves 64 MiB for each thread, used or not.
    command.env("MALLOC_ARENA_MAX", "1");
    command.output().unwrap().into()
}

const KEY_LEN: usize = 32;

/// An object of one frame in a repository that is not encrypted, sealed as br seals it.
fn forge(kind: u8, id: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x89, b'B', b'R', b'\n', kind, 1, 0, 0];
    header.extend_from_slice(&id);
    header.extend_from_slice(&[0; 4]);
    let sum = blake3::hash(&header);
    header.extend_from_slice(&sum.as_bytes()[..4]);
    let material = [&[0; KEY_LEN][..], &[kind], &id].concat();
    let key = blake3::derive_key("br repository v1 object key", &material);
    let stored = zstd::bulk::compress(payload, 3).unwrap();
    let mut head = vec![1, 0, 0, 0];
    head.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    head.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    let aad = [&header[..28], &head].concat();
    let mut mac = blake3::Hasher::new_keyed(&key);
    mac.update(&[0; 12]);
    mac.update(&(aad.len() as u64).to_le_bytes());
    mac.update(&aad).update(&stored);
    let tag = mac.finalize();
    [&header, &head, &stored, &tag.as_bytes()[..16]].concat()
}

fn log_entry(entry: &str) -> String {
    format!(
        r#"{{"seq":0,"previous":"","time":"2024-01-01T00:00:00Z","program":"br","entry":{entry}}}"#
    )
}

/// A repository whose first log entry is this.
fn with_log(payload: &[u8]) -> (Session, usize) {
    let session = Session::new();
    session.run(["init"]).expect(0);
    let object = forge(b'L', [7; 16], payload);
    session.write("repository/log/0000000000000000", &object);
    (session, object.len())
}

/// Symptom: br needed 4.4 GiB of memory for a log entry of 24 KB.
#[test]
fn a_small_log_entry_does_not_fill_the_memory() {
    let zeros = "0,".repeat(100 << 20);
    for entry in [
        format!(r#"{{"type":"commit","backup":[{zeros}0]}}"#),
        format!(r#"{{"type":"new","what":[{zeros}0]}}"#),
        format!(
            r#"{{"type":"delete","backups":[{}""]}}"#,
            r#""","#.repeat(60 << 20)
        ),
    ] {
        let (session, len) = with_log(log_entry(&entry).as_bytes());
        assert!(len < 200_000, "{len}");
        let output = run_within(&session, 700, "list");
        assert!(matches!(output.code, Some(14)), "{output}");
    }
}

/// As above, but without compression: the text itself is long. br must not need a multiple of its length.
#[test]
fn a_log_entry_takes_no_more_memory_than_its_text() {
    let mut noise = br_testkit::noise(3, 12 << 20).into_iter();
    let numbers: Vec<u8> = std::iter::from_fn(|| Some([b'0' + noise.next()? % 10, b',']))
        .flatten()
        .collect();
    let numbers = String::from_utf8(numbers).unwrap();
    let (session, _) =
        with_log(log_entry(&format!(r#"{{"type":"new","a":[{numbers}0]}}"#)).as_bytes());
    // As a general JSON value the numbers would take 400 MB.
    let output = run_within(&session, 400, "list");
    assert!(matches!(output.code, Some(13..=15)), "{output}");
    assert!(output.stderr.contains("newer"), "{output}");
}

/// Symptom: br needed 1 GiB of memory for a segment of 32 KB.
#[test]
fn a_small_index_segment_does_not_fill_the_memory() {
    let id = [9; 16];
    let name = "09".repeat(16);
    let entry =
        format!(r#"{{"type":"reindex","segments_added":["{name}"],"segments_removed":[]}}"#);
    let (session, _) = with_log(log_entry(&entry).as_bytes());
    let object = forge(b'I', id, &vec![0; 900 << 20]);
    assert!(object.len() < 200_000, "{}", object.len());
    session.write(&format!("repository/index/{name}"), &object);
    let output = run_within(&session, 700, "check");
    assert!(matches!(output.code, Some(14)), "{output}");
}

/// Symptom: br needed 90 seconds for a checkpoint of 4 MB.
#[test]
fn a_checkpoint_that_names_a_million_segments_is_refused_at_once() {
    let ids: Vec<String> = (0..1_000_000_u64)
        .map(|n| format!("\"{n:032x}\""))
        .collect();
    let entry = format!(
        r#"{{"type":"checkpoint","backups":[],"segments":[{}],"condemned":[]}}"#,
        ids.join(",")
    );
    let (session, _) = with_log(log_entry(&entry).as_bytes());
    let output = run_within(&session, 700, "check");
    assert!(matches!(output.code, Some(14)), "{output}");
}

#[test]
fn excessive_number_of_key_slots_does_not_delay_the_right_password() {
    let session = Session::new();
    session.write("password", "right\n");
    session.write("wrong", "wrong\n");
    session
        .run(["init", "--encrypt", "--password-file", "password"])
        .expect(0);
    let slot = fs::read(session.at(&format!("repository/keys/{}", "0".repeat(32)))).unwrap();
    for number in 1..200 {
        session.write(&format!("repository/keys/{number:032x}"), &slot);
    }
    session
        .run(["list", "--password-file", "password"])
        .expect(0);
    // br tries a wrong password on 64 of them.
    let output = session.run(["list", "--password-file", "wrong"]).expect(12);
    assert!(output.stderr.contains("the label `first`"), "{output}");
    assert!(output.stderr.contains("only the 64 oldest"), "{output}");
}

/// Symptom: br waited forever for a writer of the FIFO.
#[test]
fn fifo_as_configuration_is_error() {
    let session = Session::with_backup();
    let config = session.at("repository/br.json");
    fs::remove_file(&config).unwrap();
    let made = Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    for command in ["list", "check"] {
        let output = session.run([command]).expect(14);
        assert!(output.stderr.contains("not a regular file"), "{output}");
    }
}

/// Starts a backup of standard input, waits until it runs, calls `then`, and lets the backup end.
fn interfere(session: &Session, repository: &Path, then: impl FnOnce()) -> BrOutput {
    let mut command = session
        .br
        .command(["backup", "--stdin", "--stdin-name", "dump", "-r"]);
    command.arg(repository);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe can hold: br has read it, so the repository is open.
    stdin.write_all(&br_testkit::noise(5, 4 << 20)).unwrap();
    then();
    let rest = stdin.write_all(&br_testkit::noise(6, 4 << 20));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    drop(rest);
    output.into()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_backup_into_a_folder_that_was_renamed_or_removed_fails() {
    let session = Session::with_backup();
    let (there, away) = (session.at("repository"), session.at("away"));
    let output = interfere(&session, &there, || fs::rename(&there, &away).unwrap());
    assert!(!there.exists(), "{output}");
    assert!(
        output.code.is_some_and(|code| code != 0 && code != 3),
        "{output}"
    );
    assert!(
        output.stderr.contains("renamed, replaced or unmounted"),
        "{output}"
    );
    fs::rename(&away, &there).unwrap();
    assert_eq!(session.ids().len(), 1);
    session.run(["check", "--read-data"]).expect(0);
    let output = interfere(&session, &there, || fs::remove_dir_all(&there).unwrap());
    assert!(!there.exists(), "{output}");
    assert!(
        output.code.is_some_and(|code| code != 0 && code != 3),
        "{output}"
    );
}

#[test]
fn replaced_repository_folder_stays_unchanged() {
    let session = Session::with_backup();
    let (there, away, other) = (
        session.at("repository"),
        session.at("away"),
        session.at("other"),
    );
    session.run(["init", "-r", "other"]).expect(0);
    session.run(["backup", "docs", "-r", "other"]).expect(0);
    let before: Vec<_> = files_in(&other)
        .iter()
        .map(|path| path.strip_prefix(&other).unwrap().to_owned())
        .collect();
    let output = interfere(&session, &there, || {
        fs::rename(&there, &away).unwrap();
        fs::rename(&other, &there).unwrap();
    });
    assert!(
        output.code.is_some_and(|code| code != 0 && code != 3),
        "{output}"
    );
    let after: Vec<_> = files_in(&there)
        .iter()
        .map(|path| path.strip_prefix(&there).unwrap().to_owned())
        .collect();
    assert_eq!(before, after);
    session.run(["check", "--read-data"]).expect(0);
    session
        .run(["check", "--read-data", "-r", "away"])
        .expect(0);
}

/// The same folder, but with another repository in it.
#[test]
fn configuration_replaced_during_backup_fails_backup() {
    let session = Session::with_backup();
    session.run(["init", "-r", "other"]).expect(0);
    let there = session.at("repository");
    let entries = files_in(&there.join("log"));
    let output = interfere(&session, &there, || {
        fs::rename(session.at("other/br.json"), there.join("br.json")).unwrap();
    });
    assert!(
        output.code.is_some_and(|code| code != 0 && code != 3),
        "{output}"
    );
    assert!(output.stderr.contains("replaced"), "{output}");
    assert_eq!(files_in(&there.join("log")), entries);
}

#[test]
fn a_backup_to_a_disk_that_was_unmounted_fails_and_writes_nothing_below_it() {
    let session = Session::new();
    let disk = session.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = Command::new(arguments[0]);
        let status = command.args(&arguments[1..]).arg(&disk).output();
        status.is_ok_and(|output| output.status.success())
    };
    if !is_root() || !mount(&["mount", "-t", "tmpfs", "tmpfs"]) {
        return skip("mounting is not allowed");
    }
    let repository = disk.join("repository");
    session.run(["init", "-r", "disk/repository"]).expect(0);
    let output = interfere(&session, &repository, || {
        assert!(mount(&["umount", "-l"]));
    });
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0, "{output}");
    assert!(
        output.code.is_some_and(|code| code != 0 && code != 3),
        "{output}"
    );
}
