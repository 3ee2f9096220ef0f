//! `br ls`.

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use super::{Session, json_lines};

#[test]
fn entries_are_listed_in_path_order() {
    let session = Session::with_backup();
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert_eq!(
        listed,
        "docs\ndocs/a.txt\ndocs/link\ndocs/sub\ndocs/sub/b.bin\n"
    );
    let below = session.run(["ls", "latest", "docs/sub"]).expect(0).stdout;
    assert!(
        below.contains("docs/sub/b.bin") && !below.contains("a.txt"),
        "{below}"
    );
    let long = session.run(["ls", "latest", "-l"]).expect(0).stdout;
    assert!(
        long.contains("docs/link -> a.txt") && long.contains("50000"),
        "{long}"
    );
}

#[test]
fn entries_are_json_lines() {
    let session = Session::with_backup();
    let output = session.run(["ls", "latest", "--json"]).expect(0);
    let entries = json_lines(&output.stdout);
    assert_eq!(entries.len(), 5);
    let file = &entries[1];
    assert_eq!(
        (&file["path"], &file["kind"], &file["size"]),
        (&"docs/a.txt".into(), &"file".into(), &6.into())
    );
    assert_eq!(file["mtime"], "2023-11-14T22:13:20.000000000Z");
    assert_eq!(entries[2]["target"], "a.txt");
}

#[test]
fn sums_have_format_of_sha256sum() {
    let session = Session::with_backup();
    session.write(
        "sums",
        session.run(["ls", "latest", "--sha256"]).expect(0).stdout,
    );
    let checked = Command::new("sha256sum")
        .args(["-c", "sums"])
        .current_dir(session.br.home())
        .output();
    assert!(
        checked.unwrap().status.success(),
        "the sums are those of the files"
    );
}

#[test]
fn odd_names_are_escaped() {
    let session = Session::with_repository();
    for name in [
        &b"new\nline"[..],
        b"not utf-8 \xff",
        b"\x1b[2J",
        b"back\\slash",
        "txt.\u{202e}gpj".as_bytes(),
    ] {
        let path = session.at("docs").join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, "").unwrap();
    }
    session.run(["backup", "docs"]).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    for shown in [
        "docs/new\\x0aline\n",
        "docs/not utf-8 \\xff\n",
        "docs/\\x1b[2J\n",
        "docs/back\\\\slash\n",
        "docs/txt.\\xe2\\x80\\xaegpj\n",
    ] {
        assert!(listed.contains(shown), "{shown:?} in {listed}");
    }
    let hidden = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(!hidden.contains('\u{202e}'), "{hidden:?}");
    let one = session
        .run(["ls", "latest", "docs/new\nline"])
        .expect(0)
        .stdout;
    assert!(
        one.contains("docs/new\\x0aline"),
        "the file is found by its raw bytes: {one}"
    );
}

#[test]
fn closed_pipe_is_not_error() {
    let session = Session::with_repository();
    for number in 0..20_000 {
        session.write(&format!("many/a file with a long name {number:05}"), "");
    }
    session.run(["backup", "many"]).expect(0);
    let mut command = session.br.command(["ls", "latest"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut few = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut few).unwrap();
    let output = br_testkit::BrOutput::from(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(output.stderr, "", "nothing is printed");
}

/// Symptom: `br restore latest "$UNSET"` restored everything.
#[test]
fn an_empty_path_is_refused_and_a_slash_is_everything() {
    let session = Session::with_backup();
    for command in [
        &["ls", "latest", ""][..],
        &["dump", "latest", ""],
        &["restore", "latest", "", "--target", "out"],
    ] {
        let output = session.br.run(command).expect(2);
        assert!(output.stderr.contains("the path is empty"), "{output}");
    }
    assert!(!session.at("out").exists());
    let all = session.run(["ls", "latest"]).expect(0).stdout;
    assert_eq!(session.run(["ls", "latest", "/"]).expect(0).stdout, all);
}

/// Symptom: for a path that is not in the backup, br printed an empty list.
#[test]
fn an_absent_path_is_an_error() {
    let session = Session::with_backup();
    for path in ["docs/none", "none", "docs/a.txt/x"] {
        let output = session.run(["ls", "latest", "docs", path]).expect(2);
        assert_eq!(output.stdout, "", "{path}");
        assert!(output.stderr.contains(path), "{output}");
        assert!(
            output
                .stderr
                .contains("hint: use a path that `br ls ID` shows"),
            "{output}"
        );
    }
}

#[test]
fn names_are_accepted_in_escaped_form() {
    let session = Session::with_repository();
    let names = [
        &b"bad\xff"[..],
        b"back\\slash",
        b"new\nline",
        b"literally \\xff",
        b"two\\\\backslashes",
        "txt.\u{202e}gpj".as_bytes(),
    ];
    for name in names {
        let path = session.at("odd").join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    session.run(["backup", "odd"]).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert_eq!(listed.lines().count(), names.len() + 1, "{listed}");
    for (number, shown) in listed.lines().skip(1).enumerate() {
        let again = session.run(["ls", "latest", shown]).expect(0).stdout;
        assert_eq!(again, format!("{shown}\n"));
        let dumped = session.br.command(["dump", "latest", shown]).output();
        let name = dumped.unwrap().stdout;
        assert!(names.contains(&&name[..]), "{shown}: {name:?}");
        let target = format!("out{number}");
        session
            .run(["restore", "latest", shown, "--target", &target])
            .expect(0);
        let restored = session.at(&target).join("odd");
        let restored = restored.join(std::ffi::OsStr::from_bytes(&name));
        assert_eq!(fs::read(&restored).unwrap(), name, "{shown}");
    }
    // A bundle holds only names that are text.
    let exported = [
        "export",
        "latest",
        "--path",
        r"odd/back\\slash",
        "--dir",
        "bundle",
    ];
    let exported = session.run(exported).expect(0);
    assert!(exported.stdout.contains("3 files"), "{exported}");
}

#[test]
fn exact_name_takes_precedence_over_escaped_form() {
    let session = Session::with_repository();
    session.write("odd/a\\b", "one");
    session.write("odd/a\\\\b", "two");
    session.run(["backup", "odd"]).expect(0);
    let dump = |path: &str| session.run(["dump", "latest", path]).expect(0).stdout;
    assert_eq!(dump("odd/a\\b"), "one");
    assert_eq!(
        dump("odd/a\\\\b"),
        "two",
        "the name is found by its bytes, not in its escaped form"
    );
    assert_eq!(
        dump("odd/a\\\\\\\\b"),
        "two",
        "the name is found in its escaped form"
    );
}

/// `sha256sum` needs raw names. On a terminal, a raw name could contain control characters.
#[test]
fn sums_on_a_terminal_have_no_hidden_characters() {
    let session = Session::with_repository();
    session.write("docs/\u{1b}[2Jtxt.\u{202e}gpj", "x");
    session.run(["backup", "docs"]).expect(0);
    let Some(shown) = session.on_terminal(200, "ls latest --sha256") else {
        return;
    };
    assert!(
        shown.contains("docs/\\x1b[2Jtxt.\\xe2\\x80\\xaegpj"),
        "{shown:?}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
}

#[test]
fn depth_limits_the_listed_levels() {
    let session = Session::with_backup();
    session.write("docs/sub/deep/c.txt", "c");
    session.run(["backup", "docs"]).expect(0);
    let list = |arguments: &[&str]| {
        let output = session.br.run(["ls"].iter().chain(arguments)).expect(0);
        output.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&["latest", "--depth", "1"]), ["docs"]);
    let two = ["docs", "docs/a.txt", "docs/link", "docs/sub"];
    assert_eq!(list(&["latest", "--depth", "2"]), two);
    let children = ["docs/a.txt", "docs/link", "docs/sub"];
    assert_eq!(list(&["latest", "docs", "--depth", "1"]), children);
    assert_eq!(list(&["latest:docs", "--depth", "1"]), children);
    // A file is listed itself, and paths of different depths have the same number of levels.
    assert_eq!(
        list(&["latest", "docs/sub", "docs/a.txt", "--depth", "1"]),
        ["docs/a.txt", "docs/sub/b.bin", "docs/sub/deep"]
    );
    assert_eq!(
        list(&["latest", "docs", "docs/sub/deep", "--depth", "1"]),
        ["docs/a.txt", "docs/link", "docs/sub", "docs/sub/deep/c.txt"]
    );
    assert_eq!(list(&["latest", "--depth", "9"]), list(&["latest"]));
    for depth in ["0", "-1", "x"] {
        session.run(["ls", "latest", "--depth", depth]).expect(2);
    }
}

#[test]
fn entries_are_sorted_by_size_time_and_path() {
    let session = Session::new();
    for (path, size, time) in [("docs/big", 70_000, 5), ("docs/new", 3, 2_000_000_000)] {
        session.write(path, vec![b'x'; size]);
        br_testkit::set_time(&session.at(path), time, 7);
    }
    session.run(["backup", "--init", "docs"]).expect(0);
    let list = |arguments: &[&str]| {
        let line = ["ls", "latest", "docs/big", "docs/new", "docs/a.txt"];
        let output = session.br.run(line.iter().chain(arguments)).expect(0);
        output.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let by_path = ["docs/a.txt", "docs/big", "docs/new"];
    assert_eq!(list(&[]), by_path);
    assert_eq!(list(&["--sort", "path"]), by_path);
    assert_eq!(list(&["--reverse"]), ["docs/new", "docs/big", "docs/a.txt"]);
    let by_size = ["docs/new", "docs/a.txt", "docs/big"];
    assert_eq!(list(&["--sort", "size"]), by_size);
    let by_time = ["docs/big", "docs/a.txt", "docs/new"];
    assert_eq!(list(&["--sort", "time"]), by_time);
    assert_eq!(list(&["--sort", "size", "--reverse"])[0], "docs/big");
    // Every form of the output has the same order.
    let json: Vec<_> = list(&["--sort", "size", "--json"]);
    let json = json_lines(&json.join("\n"));
    let paths: Vec<_> = json
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, by_size);
    for form in ["--sha256", "-l"] {
        let lines = list(&["--sort", "time", form]);
        for (line, path) in lines.iter().zip(by_time) {
            assert!(line.ends_with(path), "{lines:?}");
        }
    }
}
