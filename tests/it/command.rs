//! Backups of what programs write.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::restore::RestoreOptions;
use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::{
    CombinedSource, CommandSource, CommandStream, LocalSource, LocalSourceOptions, StreamError,
    StreamRules,
};
use br_core::{Context, Error, ErrorKind, ProgramError};
use br_testkit::{TestRepo, TreeFixture, When, block_on};

use crate::support::{Disk, Stopwatch};

/// A shell that runs a script.
fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn stream(path: &str, script: &str) -> CommandStream {
    CommandStream::new(path.parse::<EntryPath>().unwrap(), sh(script))
}

fn source(streams: Vec<CommandStream>, context: &Context) -> CommandSource {
    CommandSource::new(
        streams,
        FileTime::default(),
        Owner::default(),
        context.cancel.clone(),
    )
}

fn options() -> BackupOptions {
    BackupOptions::new("host", "user", Vec::new())
}

/// Backs up one program, which must fail.
fn failure(disk: &Disk, stream: CommandStream) -> Error {
    let source = source(vec![stream], &disk.context);
    let error = disk.backup_with(source, &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let listed = block_on(disk.repository.backups(&disk.context)).unwrap();
    assert!(listed.is_empty(), "nothing is committed");
    error
}

fn cause(error: &Error) -> &StreamError {
    let io = std::error::Error::source(error).unwrap();
    let io = io.downcast_ref::<std::io::Error>().unwrap();
    io.get_ref().unwrap().downcast_ref().unwrap()
}

const DUMP: &str = "printf -- '-- MySQL dump 10.13\\nINSERT INTO t VALUES (1);\\n'";
const END: &str = "printf -- '-- Dump completed\\n'";

#[test]
fn the_output_of_programs_is_restored_and_their_messages_are_kept() {
    let disk = Disk::new(TreeFixture::new());
    let messages = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&messages);
    let dump = stream("db/shop.sql", &format!("{DUMP}; echo careful >&2; {END}"))
        .with_on_message(move |line| seen.lock().unwrap().push(line.to_owned()));
    let large = stream("a.bin", "head -c 3000000 /dev/zero; echo done");
    let source = source(vec![dump, large], &disk.context);
    let backup = disk.backup_with(source, &options()).unwrap().backup;
    assert_eq!(backup.paths, [b"a.bin".to_vec(), b"db/shop.sql".to_vec()]);
    assert_eq!(*messages.lock().unwrap(), ["careful"]);
    let listed = block_on(disk.repository.backups(&disk.context)).unwrap();
    assert!(listed[0].streams.is_empty(), "the manifest has the records");
    let id = br_core::BackupSelector::from(backup.id);
    let described = block_on(disk.repository.describe(&id, &disk.context)).unwrap();
    assert_eq!(described.streams, backup.streams);
    let [first, second] = &*described.streams else {
        panic!("{:?}", described.streams)
    };
    assert_eq!((&*first.path, &first.end_mark), (&b"a.bin"[..], &None));
    assert_eq!(second.program.as_deref(), Some("sh"));
    assert_eq!(second.end_mark.as_deref(), Some("-- Dump completed"));
    assert_eq!(second.messages, "careful\n");
    let options = RestoreOptions::default().with_owner(false);
    let _ = disk.restore(backup.id, "out", &options).unwrap();
    let text = fs::read_to_string(disk.fixture.at("out/db/shop.sql")).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    let large = fs::read(disk.fixture.at("out/a.bin")).unwrap();
    assert_eq!(large.len(), 3_000_005);
    disk.assert_sound();
}

/// Each of these makes a backup with other tools that read a pipe.
#[test]
fn a_program_that_fails_makes_no_backup() {
    let disk = Disk::new(TreeFixture::new());
    for (script, expected) in [
        (
            "echo no access >&2; exit 2".to_owned(),
            "sh failed with exit code 2: no access",
        ),
        (format!("{DUMP}; exit 3"), "sh failed with exit code 3"),
        (
            format!("{DUMP}; {END}; exit 1"),
            "sh failed with exit code 1",
        ),
        (format!("{DUMP}; kill -9 $$"), "sh was ended by signal 9"),
        (
            "head -c 3000000 /dev/zero; kill -9 $$".to_owned(),
            "sh was ended by signal 9",
        ),
        (
            DUMP.to_owned(),
            "the output of sh is not accepted: its last line",
        ),
        (
            format!("{DUMP}; {END}; {DUMP}"),
            "the output of sh is not accepted: its last line",
        ),
        (
            "true".to_owned(),
            "the output of sh is not accepted: it is empty",
        ),
        ("echo lost >&2".to_owned(), "it is empty: lost"),
    ] {
        let error = failure(&disk, stream("shop.sql", &script));
        assert!(error.to_string().contains("shop.sql"), "{error}");
        let cause = cause(&error).to_string();
        assert!(cause.contains(expected), "{script}: {cause}");
    }
    let missing = Command::new("/no/such/program");
    let missing = CommandStream::new("x".parse::<EntryPath>().unwrap(), missing);
    let error = failure(&disk, missing);
    assert!(
        matches!(
            cause(&error),
            StreamError::Program(ProgramError::NotStarted { .. })
        ),
        "{error}"
    );
    let rules = StreamRules::default().with_end_mark(Some("the end".to_owned()));
    let error = failure(&disk, stream("x", "echo a").with_rules(rules));
    assert!(cause(&error).to_string().contains("`the end`"), "{error}");
    assert!(disk.check().is_sound());
}

/// True when a program that the script named by this argument still runs. On a busy machine, a killed process takes a moment to end.
fn runs(argument: &str) -> bool {
    let mut looks = 0..100;
    looks.all(|_| {
        std::thread::sleep(Duration::from_millis(20));
        runs_now(argument)
    })
}

fn runs_now(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.into_iter().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == argument.as_bytes())
    })
}

#[test]
fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let disk = Disk::new(TreeFixture::new());
    // The argument is unlikely to be that of another `sleep`.
    for (at, script) in [
        // Before the first byte, after some, after the output was closed, and in a child that ignores the polite signal.
        "sleep 61234.ID",
        "echo a; sleep 61234.ID",
        "echo a; exec >&-; sleep 61234.ID",
        "echo a; (trap '' TERM; sleep 61234.ID); true",
        "echo a; setsid sleep 61234.ID; true",
        "echo a; timeout 60 sleep 61234.ID; true",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("{}{at}", std::process::id());
        let script = script.replace("ID", &id);
        let limit = Some(Duration::from_millis(700));
        let start = Stopwatch::start();
        let error = failure(&disk, stream("x", &script).with_time_limit(limit));
        let is_timeout = matches!(
            cause(&error),
            StreamError::Program(ProgramError::TimedOut { .. })
        );
        assert!(is_timeout, "{script}: {error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{script}");
        assert!(!runs(&format!("61234.{id}")), "{script} still runs");
    }
}

#[test]
fn a_cancelled_backup_ends_the_program() {
    let disk = Disk::new(TreeFixture::new());
    let context = disk.context.clone().with_cancel(Default::default());
    let argument = format!("62345.{}", std::process::id());
    let stream = stream("x", &format!("echo a; sleep {argument}"));
    let source = source(vec![stream], &context);
    let cancel = context.cancel.clone();
    let wanted = argument.clone();
    let canceller = std::thread::spawn(move || {
        while !runs(&wanted) {
            std::thread::sleep(Duration::from_millis(10));
        }
        cancel.cancel();
    });
    let options = options();
    let backup = backup(&disk.repository, source, &options, &context);
    let error = block_on(backup).unwrap_err();
    canceller.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(!runs(&argument), "the program still runs");
}

/// Some of the programs were not started yet.
#[test]
fn a_cancelled_backup_of_many_programs_ends() {
    for threads in [1, 2] {
        let disk = Disk::new(TreeFixture::new());
        let cancel = disk.context.cancel.clone();
        let programs = (0..9).map(|n| stream(&format!("{n}"), "sleep 600"));
        let source = source(programs.collect(), &disk.context);
        let watch = Stopwatch::start();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                cancel.cancel();
            });
            let options = options().with_threads(Some(threads));
            let error = disk.backup_with(source, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        });
        assert!(watch.elapsed() < Duration::from_secs(20));
    }
}

/// Symptom: the backup waited for a program that no worker had started, after its workers had ended.
#[test]
fn a_store_that_fails_ends_a_backup_of_several_programs() {
    let repo = TestRepo::new();
    let back_up = |repo: &TestRepo| {
        let programs = ["a", "b"].map(|name| stream(name, "head -c 120000000 /dev/urandom"));
        let source = source(programs.into(), &repo.context);
        let options = options().with_threads(Some(1));
        let made = backup(&repo.repository, source, &options, &repo.context);
        block_on(made)
    };
    let probe = repo.fork(1);
    let _ = back_up(&probe).unwrap();
    let operations = probe.faults.operations();
    let mut packs = operations.iter();
    let pack = packs.position(|one| one.verb == "put" && one.key.starts_with("packs/"));
    let victim = repo.fork(2);
    victim.faults.stop_at(pack.unwrap() as u64, When::Before);
    let watch = Stopwatch::start();
    let error = back_up(&victim).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(watch.elapsed() < Duration::from_secs(20));
}

#[test]
fn one_program_that_fails_ends_the_others_and_is_named() {
    let argument = format!("63456.{}", std::process::id());
    let waits = format!("echo a; sleep {argument}");
    let fails = "sleep 1; echo broken >&2; exit 4";
    // Enough for two workers, so that programs run at the same time.
    let names: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
    for failing in ["000", "299"] {
        let disk = Disk::new(TreeFixture::new());
        let script = |name: &str| match name {
            _ if name == failing => fails,
            "000" | "299" => &*waits,
            _ => "echo a",
        };
        let streams = names.iter().map(|name| stream(name, script(name)));
        let source = source(streams.collect(), &disk.context);
        let options = options().with_threads(Some(2));
        let start = Stopwatch::start();
        let error = disk.backup_with(source, &options).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(60), "{failing}");
        let cause = cause(&error).to_string();
        assert!(cause.contains("broken"), "{failing}: {cause}");
        assert!(!runs(&argument), "{failing}: the program still runs");
    }
}

/// Symptom: br waited for the end of the output of a program that had failed, because another one kept it open.
#[test]
fn a_program_that_has_failed_is_not_waited_for() {
    let disk = Disk::new(TreeFixture::new());
    let argument = format!("64567.{}", std::process::id());
    let start = Stopwatch::start();
    let error = failure(
        &disk,
        stream("x", &format!("echo a; sleep {argument} & exit 7")),
    );
    assert!(cause(&error).to_string().contains("exit code 7"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!runs(&argument), "what it started still runs");
}

/// Its child may write for days.
#[test]
fn a_program_that_has_failed_is_noticed_while_its_child_writes_a_little() {
    let disk = Disk::new(TreeFixture::new());
    let watch = Stopwatch::start();
    let script = "(for n in $(seq 600); do echo x; sleep 0.1; done) & exit 3";
    let error = failure(&disk, stream("x", script));
    assert!(matches!(
        cause(&error),
        StreamError::Program(ProgramError::Failed { .. })
    ));
    assert!(watch.elapsed() < Duration::from_secs(20));
}

/// A program in the background that keeps the pipes open does not hold up a program that has ended.
#[test]
fn messages_of_a_program_left_behind_are_not_waited_for() {
    let disk = Disk::new(TreeFixture::new());
    let script = "sleep 20 >/dev/null & echo data";
    let source = source(vec![stream("x", script)], &disk.context);
    let start = Stopwatch::start();
    let _ = disk.backup_with(source, &options()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn arguments_are_passed_as_they_are_and_recorded_nowhere() {
    let disk = Disk::new(TreeFixture::new());
    let mut command = Command::new(Path::new("/usr/bin/env"));
    command.args(["printf", "%s", "$(id) ; hunter2 *"]);
    let stream = CommandStream::new("x".parse::<EntryPath>().unwrap(), command);
    let source = source(vec![stream], &disk.context);
    let backup = disk.backup_with(source, &options()).unwrap().backup;
    assert!(!format!("{:?}", backup.streams).contains("hunter2"));
    let options = RestoreOptions::default().with_owner(false);
    let _ = disk.restore(backup.id, "out", &options).unwrap();
    let text = fs::read_to_string(disk.fixture.at("out/x")).unwrap();
    assert_eq!(text, "$(id) ; hunter2 *");
}

/// A dump may have rows that name files. Such a file must be in the backup, so it is read after the dump.
#[test]
fn files_are_read_after_all_programs_have_ended() {
    let disk = Disk::new(TreeFixture::new());
    let folder = disk.fixture.tree();
    for threads in [1, 4] {
        let script = |name: &str| {
            let file = folder.join(name);
            format!("sleep 0.3; echo {threads} >'{}'; echo row", file.display())
        };
        let streams = vec![
            stream("mysql/dump.sql", &script("upload-a")),
            stream("zzz/dump.sql", &script("upload-z")),
        ];
        let local =
            LocalSource::new(std::slice::from_ref(&folder), LocalSourceOptions::default()).unwrap();
        let both = CombinedSource::new(vec![
            Box::new(local),
            Box::new(source(streams, &disk.context)),
        ]);
        let options = options().with_threads(Some(threads));
        let report = disk.backup_with(both, &options).unwrap();
        assert!(report.backup.is_complete());
        assert_eq!(report.backup.streams.len(), 2);
        let to = format!("restored-{threads}");
        let _ = disk.restore_all(report.backup.id, &to);
        for name in ["upload-a", "upload-z"] {
            let content = fs::read_to_string(disk.restored(&to, name)).unwrap();
            assert_eq!(content, format!("{threads}\n"), "{name}");
        }
        for name in ["mysql/dump.sql", "zzz/dump.sql"] {
            let content = fs::read_to_string(disk.fixture.at(&to).join(name)).unwrap();
            assert_eq!(content, "row\n", "{name}");
        }
    }
    disk.assert_sound();
}

#[test]
fn a_program_with_the_output_of_last_time_adds_nothing() {
    let disk = Disk::new(TreeFixture::new());
    let backup = |numbers: &str| {
        let streams = vec![
            stream("b/dump.sql", &format!("seq {numbers}")),
            stream("a/other.sql", "echo same"),
        ];
        let source = CombinedSource::new(vec![Box::new(source(streams, &disk.context))]);
        // On a server, deltas are off, and then br does not look at the backup before.
        let options = options().with_deltas(Some(true));
        disk.backup_with(source, &options).unwrap().backup.changes
    };
    let first = backup("1 300000");
    assert_eq!((first.files_new, first.files_unchanged), (2, 0));
    let second = backup("1 300000");
    assert_eq!((second.files_new, second.files_unchanged), (0, 2));
    let third = backup("2 300000");
    assert_eq!((third.files_changed, third.files_unchanged), (1, 1));
    // The earlier version is found, so the difference is small.
    assert!(third.bytes_stored < first.bytes_stored / 10, "{third:?}");
}

#[test]
fn a_program_and_a_file_at_the_same_path_make_no_backup() {
    let disk = Disk::new(TreeFixture::new());
    for path in ["data", "data/below", "data/x.txt"] {
        let files = br_core::source::MemorySource::new([("data/x.txt", "x")]).unwrap();
        let programs = source(vec![stream(path, "echo x")], &disk.context);
        let both = CombinedSource::new(vec![Box::new(files), Box::new(programs)]);
        let result = disk.backup_with(both, &options());
        let is_conflict = path != "data/below";
        assert_eq!(result.is_err(), is_conflict, "{path}: {result:?}");
    }
}
