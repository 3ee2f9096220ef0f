//! `br backup --files-from`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use br_testkit::BrOutput;

use super::Session;

fn listed(session: &Session) -> Vec<String> {
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

/// Backs up a list from standard input.
fn back_up(session: &Session, option: &str, list: &[u8]) -> BrOutput {
    let arguments = ["backup", "--host", "h", option, "-"];
    session.br.run_with_input(arguments, list)
}

#[test]
fn paths_of_a_list_are_backed_up_in_addition_to_arguments() {
    let session = Session::with_repository();
    session.write("more/x", "x");
    session.write("more/y", "y");
    // Empty lines are ignored, the last line has no end, and a path is listed twice.
    session.write("list", "\ndocs/sub\n\nmore/x\ndocs/sub\nmore/y");
    session
        .run(["backup", "docs/a.txt", "--files-from", "list"])
        .expect(0);
    let all = [
        "docs",
        "docs/a.txt",
        "docs/sub",
        "docs/sub/b.bin",
        "more",
        "more/x",
        "more/y",
    ];
    assert_eq!(listed(&session), all);
    let shown = session.json(["show", "latest"]);
    let paths = serde_json::json!(["docs/a.txt", "docs/sub", "more/x", "more/y"]);
    assert_eq!(shown["backup"]["paths"], paths, "each path once");
    // The same paths in another order and from another list have this backup as their base.
    session.write("raw", "more/x\0more/y\0docs/a.txt");
    let again = session.json(["backup", "--files-from", "list", "--files-from-raw", "raw"]);
    assert_eq!(again["backup"]["kind"], "incremental", "{again}");
    assert_eq!(listed(&session), all);
}

#[test]
fn lines_are_taken_byte_by_byte() {
    let session = Session::with_repository();
    let names: [&[u8]; 7] = [
        b" leading and trailing ",
        b"# no comment",
        b"*.glob",
        b"\"quoted\"",
        b"carriage\r",
        b"not utf-8 \xff",
        b"-",
    ];
    for name in names {
        let folder = session.at("odd");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(OsStr::from_bytes(name)), name).unwrap();
    }
    session.write("odd/x.glob", "not listed");
    let lines: Vec<Vec<u8>> = names.map(|name| [b"odd/", name].concat()).to_vec();
    back_up(&session, "--files-from", &lines.join(&b'\n')).expect(0);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    let read = |at: &str| {
        let items = fs::read_dir(session.at(at)).unwrap();
        let mut names: Vec<_> = items.map(|item| item.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let mut wanted = names.map(|name| OsStr::from_bytes(name).to_owned());
    wanted.sort();
    assert_eq!(read("out/odd"), wanted);
    // Between NUL bytes, a name may have line breaks.
    session.write("odd/two\nlines", "");
    back_up(&session, "--files-from-raw", b"odd/two\nlines\0\0odd/-\0").expect(0);
    assert_eq!(listed(&session), ["odd", "odd/-", r"odd/two\x0alines"]);
}

#[test]
fn empty_list_backs_up_nothing() {
    let session = Session::with_repository();
    for (option, list) in [
        ("--files-from", &b""[..]),
        ("--files-from", b"\n\n"),
        ("--files-from-raw", b""),
        ("--files-from-raw", b"\0\0"),
    ] {
        let output = back_up(&session, option, list).expect(2);
        assert!(
            output.stderr.contains("the list of paths is empty"),
            "{output}"
        );
    }
    assert!(session.ids().is_empty(), "nothing was backed up");
    // An argument is enough.
    session.write("list", "");
    session
        .run(["backup", "docs", "--files-from", "list"])
        .expect(0);
    assert_eq!(listed(&session)[..2], ["docs", "docs/a.txt"]);
}

#[test]
fn missing_listed_path_is_reported_like_a_missing_argument() {
    let session = Session::with_repository();
    let by_argument = session
        .run(["backup", "docs", "nope", "--host", "h"])
        .expect(3);
    let by_list = back_up(&session, "--files-from", b"docs\nnope\n").expect(3);
    let about = |output: &BrOutput| {
        let lines = output.stderr.lines().filter(|line| line.contains("nope"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(about(&by_argument), about(&by_list));
    let shown = session.json(["show", "latest"]);
    assert_eq!(shown["backup"]["unread"][0]["path"], "nope", "{shown}");
    back_up(&session, "--files-from", b"nope\n").expect(2);
    assert_eq!(session.ids().len(), 2);
}

#[test]
fn line_ends_of_windows_are_named_and_not_removed() {
    let session = Session::with_repository();
    let all_missing = back_up(&session, "--files-from", b"docs/a.txt\r\ndocs/sub\r\n").expect(2);
    assert!(
        all_missing.stderr.contains("carriage return"),
        "{all_missing}"
    );
    // The last line has no line end.
    let some = back_up(&session, "--files-from", b"docs/a.txt\r\ndocs/sub").expect(3);
    assert!(some.stderr.contains("carriage return"), "{some}");
    assert_eq!(listed(&session), ["docs", "docs/sub", "docs/sub/b.bin"]);
    // A name that ends with it is no mistake.
    session.write("docs/x\r", "");
    let sound = back_up(&session, "--files-from", b"docs/x\r\n").expect(0);
    assert!(!sound.stderr.contains("carriage return"), "{sound}");
}

#[test]
fn lists_that_cannot_be_used_are_refused() {
    let session = Session::with_repository();
    session.write("list", "docs\n");
    session.write("raw", "docs\0more\0");
    for (arguments, message) in [
        (
            &["--files-from", "absent"][..],
            "cannot read the list of paths in absent",
        ),
        (
            &["--files-from", "docs"],
            "cannot read the list of paths in docs",
        ),
        (&["--files-from", "raw"], "raw contains NUL bytes"),
        (
            &["--files-from", "-", "--files-from-raw", "-"],
            "read only once",
        ),
        (
            &["--stdin", "--stdin-name", "x", "--files-from", "list"],
            "'--stdin' cannot be used with '--files-from",
        ),
    ] {
        let output = session.br.run(["backup"].iter().chain(arguments)).expect(2);
        assert!(output.stderr.contains(message), "{arguments:?}: {output}");
    }
    assert!(session.ids().is_empty(), "nothing was backed up");
}

#[test]
fn listed_link_is_followed_and_listed_entries_below_a_listed_folder_are_stored_once() {
    let session = Session::with_repository();
    symlink("docs/sub", session.at("to-sub")).unwrap();
    let output = back_up(
        &session,
        "--files-from",
        b"docs/sub/b.bin\nto-sub\ndocs\ndocs/link\n",
    )
    .expect(0);
    assert!(
        output.stderr.contains("to-sub is a symbolic link"),
        "{output}"
    );
    let all = [
        "docs",
        "docs/a.txt",
        "docs/link",
        "docs/sub",
        "docs/sub/b.bin",
        "to-sub",
        "to-sub/b.bin",
    ];
    assert_eq!(listed(&session), all);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn time_grows_with_the_number_of_listed_paths_and_not_with_its_square() {
    let session = Session::with_repository();
    let mut list = String::new();
    let mut times = Vec::new();
    let mut from = 0;
    for count in [2_000, 16_000] {
        for number in from..count {
            let path = format!("many/{:03}/{number}", number % 200);
            session.write(&path, "");
            list.push_str(&path);
            list.push('\n');
        }
        from = count;
        let start = Instant::now();
        back_up(&session, "--files-from", list.as_bytes()).expect(0);
        let target = format!("out{count}");
        session
            .run(["restore", "latest", "--target", &target])
            .expect(0);
        times.push(start.elapsed());
    }
    // Eight times the paths: with a quadratic step they would take 64 times as long.
    let most = times[0].max(Duration::from_millis(500)) * 24;
    assert!(times[1] < most, "{times:?}");
}
