//! Refused arguments and their messages: options without effect, invalid locations, values out of range, and hints.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use br_testkit::{BrOutput, is_root, skip};

use super::Session;

/// The hint of an output.
#[track_caller]
fn hint(output: &BrOutput) -> &str {
    let hint = output
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("no hint in {output}"))
}

/// Runs a line of `sh` on a terminal with this number of columns; `None` where there is no `script`.
fn on_a_terminal(session: &Session, columns: u32, line: &str) -> Option<BrOutput> {
    let program = env!("CARGO_BIN_EXE_br-dup");
    let line = format!("stty cols {columns} rows 24; br() {{ {program} \"$@\"; }}; {line}");
    let mut script = session
        .br
        .clone()
        .program("script")
        .command(["-qec", &line, "typescript"]);
    let output = script.env("TERM", "xterm").env("SHELL", "/bin/sh").output();
    match output {
        Ok(output) => Some(output.into()),
        Err(_) => {
            skip("there is no `script` to make a terminal");
            None
        }
    }
}

#[test]
fn options_that_would_be_ignored_are_refused() {
    let session = Session::with_backup();
    session.write("bundle.tar.gz", "");
    session.write("pw", "x");
    for line in [
        "backup docs --stdin-name db.sql",
        "backup --stdin-name db.sql",
        "backup docs --stdin --stdin-name db.sql",
        "backup --stdin --stdin-name db.sql --exclude *.o",
        "backup --stdin --stdin-name db.sql --exclude-file pw",
        "backup --stdin --stdin-name db.sql --no-ignore",
        "backup --stdin --stdin-name db.sql --exclude-caches",
        "backup --stdin --stdin-name db.sql -x",
        "backup docs --backup-type full --base-id latest",
        "backup docs --backup-type full --deltas always",
        "list --password-file pw --password-command true",
        "--password-file pw list --password-command true",
        "--no-cache list --cache-dir cache",
        "list --no-cache --cache-dir cache",
        "--quiet list --verbose",
        "-r repository bundle inspect bundle.tar.gz",
        "bundle verify bundle.tar.gz --password-file pw",
        "bundle inspect bundle.tar.gz --profile x",
        "-r repository export docs",
        "export docs --password-file pw",
        "import bundle.tar.gz --into new --password-file pw",
        "import bundle.tar.gz --into new --tag x",
        "storage probe docs --password-file pw",
        "matrixone list --password-file pw",
    ] {
        let output = session.br.run(line.split(' ')).expect(2);
        assert_eq!(output.stdout, "", "{line}");
        let _ = hint(&output);
    }
    assert_eq!(session.ids().len(), 1, "nothing was backed up");
    let output = session
        .run(["backup", "docs", "--stdin-name", "x.sql"])
        .expect(2);
    assert!(
        output.stderr.contains("--stdin-name needs --stdin"),
        "{output}"
    );
}

#[test]
fn backup_of_terminal_input_is_refused() {
    let session = Session::with_repository();
    let line = "br backup --stdin --stdin-name db.sql; echo \"code $?\"";
    let Some(output) = on_a_terminal(&session, 80, line) else {
        return;
    };
    assert!(
        output.stdout.contains("standard input is a terminal"),
        "{output}"
    );
    assert!(output.stdout.contains("code 2"), "{output}");
}

#[test]
fn path_that_looks_like_remote_location_is_refused() {
    let session = Session::with_backup();
    session.write("bundle.tar.gz", "");
    let places = [
        "user@host:/x",
        "user:secret@host:/x",
        "host:backup",
        "C:\\repo",
        "~/r",
        "$HOME/x",
    ];
    for place in places.into_iter().chain(["/mnt/x?endpoint=1", " "]) {
        for arguments in [
            &["-r", place, "init"][..],
            &["-r", place, "backup", "--init", "docs"],
            &["-r", place, "list"],
            &["storage", "probe", place],
        ] {
            let output = session.br.run(arguments).expect(2);
            assert!(!output.stderr.contains("secret"), "{output}");
            let _ = hint(&output);
        }
        let by_variable = session.br.clone().env("BR_REPOSITORY", place);
        by_variable.run(["init"]).expect(2);
    }
    for place in places.into_iter().chain(["s3://bucket/x", "file:///x", ""]) {
        for arguments in [
            &["restore", "latest", "--target", place][..],
            &["export", "docs", "--dir", place],
            &["import", "bundle.tar.gz", "--into", place],
            &["bundle", "extract", "bundle.tar.gz", "--into", place],
            &["man", "--dir", place],
            &["list", "--cache-dir", place],
            &[
                "mo-br",
                "check",
                "--backup_dir",
                "filesystem",
                "--path",
                place,
            ],
            &["mo-br", "restore", "0", "--restore_path", place],
            &["matrixone", "check", "--location", place],
            &["matrixone", "restore", "0", "--target", place],
        ] {
            let is_meant = place.starts_with("s3:") || place.starts_with("file:");
            if arguments[0] == "matrixone" && is_meant {
                continue;
            }
            let output = session.br.run(arguments).expect(2);
            assert!(!output.to_string().contains("panicked"), "{output}");
        }
    }
    let mut left: Vec<_> = fs::read_dir(session.br.home())
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["bundle.tar.gz", "cache", "docs", "repository"]);
    let output = session.run(["-r", "host:backup", "init"]).expect(2);
    assert!(hint(&output).contains("./"), "{output}");
    for place in ["./host:backup", "./~", "./x?endpoint=1"] {
        session.run(["-r", place, "init"]).expect(0);
        assert!(session.at(place).join("br.json").exists(), "{place}");
    }
    session
        .run(["restore", "latest", "--target", "./a:b"])
        .expect(0);
}

#[test]
fn missing_repository_is_created_only_with_init() {
    let session = Session::new();
    let bundle = br_testkit::EmqxNode::small()
        .export(&session.at("in"), "emqx-export-2023-06-19-15-14-19.947");
    let bundle = bundle.to_str().unwrap();
    for arguments in [
        &["backup", "docs"][..],
        &["backup", "docs", "--quiet"],
        &["backup", "docs", "--dry-run"],
        &["import", bundle],
        &["import", bundle, "--dry-run"],
        &["export", "latest"],
        &[
            "matrixone",
            "backup",
            "--user",
            "u",
            "--location",
            "backups",
        ],
    ] {
        let output = session.br.run(arguments).expect(10);
        assert!(
            hint(&output).contains("`br init`") && hint(&output).contains("`br backup --init`"),
            "{output}"
        );
        assert!(!session.at("repository").exists(), "{arguments:?}");
    }
    let output = session.run(["backup", "docs", "--init"]).expect(0);
    assert!(
        output.stderr.contains("created a new repository"),
        "{output}"
    );
    assert!(output.stderr.contains("not encrypted"), "{output}");
    // The same command succeeds if the repository exists.
    session.run(["backup", "docs", "--init"]).expect(0);
    assert_eq!(session.ids().len(), 2);
    // A password makes it encrypted.
    let secret = session
        .br
        .clone()
        .env("BR_PASSWORD", "x")
        .env("BR_REPOSITORY", "other");
    secret.run(["backup", "docs", "--init"]).expect(0);
    session.run(["-r", "other", "list"]).expect(12);
}

#[test]
fn values_out_of_range_are_refused_with_the_range_and_an_example() {
    let session = Session::with_backup();
    for (line, range, example) in [
        (
            "backup docs --compression max",
            "from 1 to 19",
            "--compression 3",
        ),
        (
            "backup docs --compression 40",
            "from 1 to 19",
            "--compression 3",
        ),
        (
            "backup docs --compression -1",
            "from 1 to 19",
            "--compression 3",
        ),
        ("backup docs --threads 0", "from 1 to 256", "--threads 4"),
        ("backup docs --threads many", "from 1 to 256", "--threads 4"),
        (
            "restore latest --target x --threads 0",
            "from 1 to 256",
            "--threads 4",
        ),
        ("export docs --threads 1000", "from 1 to 256", "--threads 4"),
        ("export docs --level 40", "from 0 to 19", "--level 6"),
        ("export docs --level max", "from 0 to 19", "--level 6"),
        (
            "import x.tar.gz --max-members none",
            "from 1 to",
            "--max-members",
        ),
        ("list --connections 0", "from 1 to 256", "--connections 16"),
        (
            "matrixone backup --user u --location x --port 0",
            "from 1 to 65535",
            "--port 6001",
        ),
        (
            "matrixone backup --user u --location x --port sql",
            "from 1 to 65535",
            "--port 6001",
        ),
        (
            "matrixone restore 0 --target x --parallelism 600",
            "from 0 to 512",
            "--parallelism 8",
        ),
    ] {
        let output = session.br.run(line.split(' ')).expect(2);
        let option = example.split(' ').next().unwrap();
        assert!(output.stderr.contains(option), "{output}");
        assert!(output.stderr.contains(range), "{output}");
        assert!(hint(&output).contains(example), "{output}");
        assert!(!output.stderr.contains("digit found"), "{output}");
    }
    for (option, value) in [
        ("--host", ""),
        ("--host", " "),
        ("--tag", ""),
        ("--tag", "a,,b"),
    ] {
        let output = session.run(["backup", "docs", option, value]).expect(2);
        assert!(output.stderr.contains("it is empty"), "{output}");
        assert!(hint(&output).contains(option), "{output}");
    }
    assert_eq!(session.ids().len(), 1, "nothing was backed up");
}

#[test]
fn unwritable_store_is_not_reported_as_damaged() {
    let session = Session::with_backup();
    let output = session.run(["storage", "probe", "/proc", "--quick"]);
    assert_ne!(output.code, Some(14), "{output}");
    assert!(!hint(&output).contains("br check"), "{output}");
    assert!(!hint(&output).contains("access key"), "{output}");
}

#[test]
fn damage_hint_depends_on_damaged_object() {
    for (object, command, expected) in [
        ("br.json", &["list"][..], "copy of the repository"),
        ("br.json", &["check"], "copy of the repository"),
        (
            "index",
            &["restore", "latest", "--target", "out"],
            "--repair-index",
        ),
    ] {
        let session = Session::with_backup();
        let path = match object {
            "br.json" => session.at("repository/br.json"),
            folder => session.objects(folder).remove(0),
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        let output = session.br.run(command);
        if output.code != Some(14) {
            // Damage to an object that this command does not need is not an error.
            continue;
        }
        assert!(hint(&output).contains(expected), "{object}: {output}");
        assert!(
            !hint(&output).contains("everything else"),
            "{object}: {output}"
        );
    }
}

#[test]
fn lost_configuration_has_no_hint_to_run_init() {
    let session = Session::with_backup();
    fs::remove_file(session.at("repository/br.json")).unwrap();
    for command in [&["list"][..], &["check"], &["backup", "--init", "docs"]] {
        let output = session.br.run(command).expect(14);
        assert!(hint(&output).contains("restore br.json"), "{output}");
        assert!(!hint(&output).contains("br init"), "{output}");
    }
}

#[test]
fn target_that_is_not_folder_has_hint_about_target() {
    let session = Session::with_backup();
    for target in ["/etc/hosts", "docs/a.txt"] {
        let output = session
            .run(["restore", "latest", "--target", target])
            .expect(2);
        assert!(hint(&output).contains("--target"), "{output}");
        assert!(!hint(&output).contains("br list"), "{output}");
    }
}

#[test]
fn access_denied_hint_names_place() {
    let session = Session::with_backup();
    fs::create_dir(session.at("closed")).unwrap();
    fs::set_permissions(session.at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new("chmod");
    command.args(["-R", "a+rX", "repository", "docs"]);
    assert!(
        command
            .current_dir(session.br.home())
            .status()
            .unwrap()
            .success()
    );
    for (arguments, expected) in [
        (
            &["restore", "latest", "--target", "closed/x"][..],
            "--target",
        ),
        (&["backup", "closed/x"], "permission to read it"),
        (&["-r", "closed/x", "list"], "folder of the repository"),
        (&["backup", "docs"], "folder of the repository"),
    ] {
        let arguments = [arguments, &["--no-cache"]].concat();
        let Some(output) = session.run_as_nobody(&arguments) else {
            return;
        };
        let output = output.expect(12);
        assert!(hint(&output).contains(expected), "{arguments:?}: {output}");
        assert!(
            !hint(&output).contains("access key"),
            "{arguments:?}: {output}"
        );
    }
}

#[test]
fn read_only_or_full_file_system_is_named_in_error() {
    if !is_root() {
        return skip("only root can mount");
    }
    let session = Session::with_backup();
    let home = session.br.home().to_str().unwrap().to_owned();
    let program = env!("CARGO_BIN_EXE_br-dup");
    let run = |script: &str| -> Option<BrOutput> {
        let script = format!("set -e; br() {{ {program} \"$@\"; }}; {script}");
        let mut command = session
            .br
            .clone()
            .program("unshare")
            .command(["-m", "sh", "-c", &script]);
        let output = command.output().ok().map(BrOutput::from)?;
        let refused = ["unshare", "mount:"]
            .iter()
            .any(|word| output.stderr.contains(word));
        if refused {
            skip("file systems cannot be mounted here");
        }
        (!refused).then_some(output)
    };
    let read_only = format!(
        "mount --bind {home}/repository {home}/repository; mount -o remount,bind,ro {home}/repository"
    );
    let Some(output) = run(&format!("{read_only}; br backup docs")) else {
        return;
    };
    assert!(
        hint(&output).contains("the repository is read-only"),
        "{output}"
    );
    let target = "mkdir -p t; mount -t tmpfs -o ro none t; br restore latest --target t/x";
    let Some(output) = run(target) else { return };
    assert!(
        hint(&output).contains("name another folder with --target"),
        "{output}"
    );
    let full = "mkdir -p small; mount -t tmpfs -o size=40k none small; br -r small/r init -q; \
                head -c 300000 /dev/urandom > noise; br -r small/r backup noise";
    let Some(output) = run(full) else { return };
    assert!(
        hint(&output).contains("free space where the repository is"),
        "{output}"
    );
}

#[test]
fn commands_of_other_tools_have_hint_with_br_command() {
    let session = Session::new();
    for (verb, expected) in [
        ("snapshots", "`br list`"),
        ("rm", "`br delete ID`"),
        ("expire", "`br forget`"),
        ("search", "`br find PATTERN`"),
        ("tree", "`br ls latest"),
        ("mount", "`br restore ID PATH"),
        ("cat", "`br dump ID PATH`"),
        ("unlock", "no locks"),
        ("create", "`br backup PATH`"),
    ] {
        let output = session.run([verb]).expect(2);
        assert!(
            output
                .stderr
                .contains(&format!("there is no command `{verb}`")),
            "{output}"
        );
        assert!(hint(&output).contains(expected), "{output}");
        let with_more = session.run([verb, "latest", "--json"]).expect(2);
        let error = super::json(with_more.stderr.lines().last().unwrap());
        assert!(
            error["hint"].as_str().unwrap().contains(expected),
            "{with_more}"
        );
    }
    let output = session.run(["frobnicate"]).expect(2);
    assert!(
        output.stderr.contains("unrecognized subcommand"),
        "{output}"
    );
}

/// The line of a running command is drawn again and again: it begins with a carriage return and never reaches the last column.
#[test]
fn progress_stays_on_one_line_of_a_narrow_terminal() {
    let session = Session::new();
    let command =
        "rm -rf out repository; br init -q; br backup noise; br restore latest --target out";
    for (columns, locale) in [(80, "C.UTF-8"), (40, "C.UTF-8"), (80, "C")] {
        let line = format!("export LC_ALL={locale}; {command}");
        let mut drawn = Vec::new();
        let mut output = None;
        // A fast machine draws little before it has done.
        for mebibytes in [48, 192, 768] {
            session.write("noise", br_testkit::noise(7, mebibytes << 20));
            let Some(shown) = on_a_terminal(&session, columns, &line) else {
                return;
            };
            // Lines of the summary end with a line feed, those of the bar do not.
            let lines = shown.stdout.split(['\r', '\n']).map(plain);
            drawn = lines.filter(|line| is_progress(line)).collect();
            output = Some(shown);
            if drawn.len() > 4 {
                break;
            }
        }
        let output = output.unwrap();
        assert!(drawn.len() > 4, "{columns}: {output}");
        for line in drawn {
            let width = line.trim_end().chars().count();
            assert!(width < columns as usize, "{columns}: {line:?}");
        }
        let is_braille = |c: &char| ('\u{2800}'..='\u{28ff}').contains(c);
        let has_braille = output.stdout.chars().any(|c| is_braille(&c));
        assert_eq!(has_braille, locale == "C.UTF-8", "{output}");
    }
}

/// True for a line with a spinner, in UTF-8 or not.
fn is_progress(line: &str) -> bool {
    let mut chars = line.chars();
    let spins = chars.next().is_some_and(|c| "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏|/-\\".contains(c));
    spins && chars.next() == Some(' ')
}

/// A line without what moves the cursor.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            let _ = rest.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out
}

/// Symptom: br was killed by a signal and left half-written files. Cause: SIGXFSZ ends a process that does not catch it. Fix: it
/// is caught, and the write fails.
#[test]
fn file_size_limit_is_error_with_hint() {
    let session = Session::with_backup();
    let noise = br_testkit::noise(7, 4 << 20);
    fs::write(session.at("docs/large"), &noise).unwrap();
    let program = env!("CARGO_BIN_EXE_br-dup");
    let limited = |arguments: &str| -> BrOutput {
        // In units of 1 KiB.
        let script = format!("ulimit -f 1000; exec {program} {arguments}");
        let bash = session.br.clone().program("bash");
        bash.run(["-c", &script])
    };
    let output = limited("backup docs").expect(1);
    assert!(hint(&output).contains("ulimit -f"), "{output}");
    session.run(["check"]).expect(0);
    session.run(["backup", "docs"]).expect(0);
    let output = limited("restore latest --target out");
    assert_ne!(output.code, None, "br was not ended by a signal: {output}");
    assert_ne!(output.code, Some(0), "{output}");
    assert_eq!(staged(&session.at("out")), 0, "no unfinished file is left");
    assert_eq!(staged(&session.at("repository")), 0);
}

/// How many unfinished files there are below a folder.
fn staged(folder: &Path) -> usize {
    let Ok(items) = fs::read_dir(folder) else {
        return 0;
    };
    let count = |item: std::io::Result<fs::DirEntry>| {
        let path = item.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        usize::from(name.starts_with(".br-") || name.contains('#')) + staged(&path)
    };
    items.map(count).sum()
}
