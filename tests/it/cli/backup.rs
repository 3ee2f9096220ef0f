//! `br backup`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::{Session, json, json_lines};

#[test]
fn a_first_and_a_second_backup() {
    let session = Session::new();
    session.assert_output(
        "backup first",
        &session
            .run(["backup", "--init", "docs", "--host", "h"])
            .expect(0),
    );
    session.assert_output(
        "backup second",
        &session.run(["backup", "docs", "--host", "h"]).expect(0),
    );
    let full = session.json(["backup", "docs", "--host", "h", "--backup-type", "full"]);
    assert_eq!(full["backup"]["kind"], "full");
    assert_eq!(full["backup"]["base"], serde_json::Value::Null);
    assert_eq!(full["backup"]["bytes_read"], 50_006, "everything is read");
    assert_eq!(full["backup"]["bytes_added"], 0, "no data is stored again");
}

#[test]
fn the_summary_is_json() {
    let session = Session::with_repository();
    let output = session
        .run(["backup", "docs", "--host", "h", "--tag", "a,b", "--json"])
        .expect(0);
    let summary = json(&output.stdout);
    assert_eq!(summary["type"], "summary");
    let backup = &summary["backup"];
    assert_eq!(backup["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(
        (&backup["entries"], &backup["files"], &backup["bytes"]),
        (&5.into(), &2.into(), &50_006.into())
    );
    json_lines(&output.stderr);
}

#[test]
fn excluded_files_are_not_backed_up() {
    let session = Session::with_repository();
    session.write("docs/x.tmp", "");
    session.write("docs/keep.o", "");
    session.write("docs/sub/.brignore", "c.*\n");
    session.write("docs/sub/c.txt", "");
    session.write("patterns", "*.o\n# a comment\n!keep.o\n");
    session
        .run([
            "backup",
            "docs",
            "--exclude",
            "*.tmp",
            "--exclude-file",
            "patterns",
        ])
        .expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    let listed: Vec<_> = listed.lines().collect();
    let wanted = [
        "docs",
        "docs/a.txt",
        "docs/keep.o",
        "docs/link",
        "docs/sub",
        "docs/sub/.brignore",
        "docs/sub/b.bin",
    ];
    assert_eq!(listed, wanted);
    session.run(["backup", "docs", "--no-ignore"]).expect(0);
    assert!(session.run(["ls", "latest"]).stdout.contains("c.txt"));
    let output = session
        .run(["backup", "docs", "--exclude", "a[b"])
        .expect(2);
    assert!(
        output.stderr.contains("a[b"),
        "the pattern is named: {output}"
    );
}

#[test]
fn the_repository_and_the_cache_are_not_backed_up() {
    let session = Session::new();
    session.run(["init"]).expect(0);
    session.run(["backup", "."]).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(listed.contains("docs/a.txt"), "{listed}");
    for inside in ["br.json", "packs", ".journal"] {
        assert!(
            !listed.contains(inside),
            "{inside} is not backed up: {listed}"
        );
    }
}

#[test]
fn standard_input_is_stored_as_file() {
    let session = Session::with_repository();
    let content = br_testkit::noise(3, 700 << 10);
    let arguments = ["backup", "--stdin", "--stdin-name", "db/dump.sql"];
    session.br.run_with_input(arguments, &content).expect(0);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert!(fs::read(session.at("out/db/dump.sql")).unwrap() == content);
    session.run(["backup", "--stdin"]).expect(2);
    session
        .run(["backup", "--stdin", "--stdin-name", "../x"])
        .expect(2);
}

#[test]
fn dry_run_creates_nothing() {
    let session = Session::new();
    session.run(["backup", "docs", "--dry-run"]).expect(10);
    let output = session
        .run(["backup", "--init", "docs", "--dry-run"])
        .expect(0);
    assert!(
        output.stderr.contains("the dry run uses an empty one"),
        "{output}"
    );
    assert!(!session.at("repository").exists(), "{output}");
    session.run(["list"]).expect(10);
}

#[test]
fn unreadable_entries_are_named_and_others_are_backed_up() {
    let session = Session::new();
    session.write("docs/secret", "secret");
    fs::create_dir(session.at("docs/closed")).unwrap();
    for (path, mode) in [("docs/secret", 0), ("docs/closed", 0)] {
        fs::set_permissions(session.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(session.br.home(), Some(65_534), Some(65_534)).unwrap();
    let Some(output) = session.run_as_nobody(&["backup", "--init", "docs", "--host", "h"]) else {
        return;
    };
    session.assert_output("backup partial", &output.expect(3));
    let as_nobody = |arguments: &[&str]| session.run_as_nobody(arguments).unwrap().expect(0);
    let shown = json(&as_nobody(&["show", "latest", "--json"]).stdout);
    assert_eq!(shown["backup"]["unread_count"], 2, "{shown}");
    let listed = as_nobody(&["ls", "latest"]).stdout;
    assert!(
        listed.contains("docs/a.txt") && listed.contains("docs/closed"),
        "{listed}"
    );
    assert!(!listed.contains("docs/secret"), "{listed}");
}

#[test]
fn missing_path_does_not_affect_other_paths() {
    let session = Session::with_repository();
    let output = session.run(["backup", "docs", "nope"]).expect(3);
    assert!(output.stderr.contains("nope"), "{output}");
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(listed.contains("docs/sub/b.bin"), "{listed}");
    let shown = session.json(["show", "latest"]);
    assert_eq!(shown["backup"]["unread"][0]["path"], "nope", "{shown}");
    session.run(["backup", "nope", "neither"]).expect(2);
    assert_eq!(session.ids().len(), 1, "nothing was backed up");
}

#[test]
fn repository_named_as_path_is_not_backed_up() {
    let session = Session::with_repository();
    for paths in [&["repository"][..], &["docs", "repository"]] {
        let output = session.br.run([&["backup"], paths].concat()).expect(3);
        assert!(
            output.stderr.contains("unreadable: repository: br keeps"),
            "{output}"
        );
        let listed = session.run(["ls", "latest"]).expect(0).stdout;
        assert!(!listed.contains("br.json"), "{listed}");
    }
}

/// Symptom: `a/../b` was taken for `b`, though `a` is a link and the system goes elsewhere.
#[test]
fn parent_of_symlink_is_resolved_like_system_does() {
    let session = Session::with_repository();
    session.write("x/y/f", "");
    session.write("x/b/f", "the folder behind the link is backed up");
    session.write("b/f", "the folder next to the link is backed up");
    symlink("x/y", session.at("a")).unwrap();
    session.run(["backup", "a/../b"]).expect(0);
    let home = session.at("").canonicalize().unwrap();
    let stored = home.join("x/b/f");
    let dumped = session
        .run(["dump", "latest", stored.to_str().unwrap()])
        .expect(0);
    assert_eq!(dumped.stdout, "the folder behind the link is backed up");
    let again = session.json(["backup", "a/../b"]);
    assert_eq!(
        again["backup"]["files_unchanged"], 1,
        "the backup has a base: {again}"
    );
    session.run(["backup", "x/../b"]).expect(0);
    let dumped = session.run(["dump", "latest", "b/f"]).expect(0);
    assert_eq!(dumped.stdout, "the folder next to the link is backed up");
}

#[test]
fn relative_patterns_match_for_all_forms_of_paths() {
    let session = Session::with_repository();
    let docs = session.at("docs");
    for path in ["docs", docs.to_str().unwrap()] {
        for pattern in [
            "docs/sub",
            "./docs/sub",
            "sub/b.bin",
            "../home/docs/sub/b.*",
        ] {
            let output = session.run(["backup", path, "-e", pattern]).expect(0);
            assert!(
                !output.stderr.contains("excluded nothing"),
                "{pattern}: {output}"
            );
            let listed = session.run(["ls", "latest"]).expect(0).stdout;
            assert!(listed.contains("a.txt"), "{pattern}: {listed}");
            assert!(!listed.contains("b.bin"), "{pattern}: {listed}");
        }
    }
    let output = session.run(["backup", "docs", "-e", "nothing/*"]).expect(0);
    let note = "the pattern `nothing/*` excluded nothing";
    assert!(output.stderr.contains(note), "{output}");
    for pattern in ["[z", "[z-", "x/[z"] {
        let output = session.run(["backup", "docs", "-e", pattern]).expect(2);
        assert!(
            output.stderr.contains(pattern),
            "the path is named: {output}"
        );
    }
}

#[test]
fn pattern_without_valid_utf_8_is_accepted() {
    use std::os::unix::ffi::OsStrExt as _;
    let session = Session::with_repository();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(session.at("docs").join(name), "").unwrap();
    let arguments = ["backup".as_ref(), "docs".as_ref(), "-e".as_ref(), name];
    session.br.run(arguments).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(!listed.contains("caf"), "{listed}");
    session.write("patterns", b"caf\xe9\r\n");
    session
        .run(["backup", "docs", "--exclude-file", "patterns"])
        .expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(!listed.contains("caf"), "{listed}");
}

/// Symptom: `ls --sha256` left out empty files and spoke of holes.
#[test]
fn empty_files_and_streams_have_a_sha_256() {
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let session = Session::with_repository();
    session.write("docs/empty", "");
    let sparse = fs::File::create(session.at("docs/sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    session.run(["backup", "docs"]).expect(0);
    let output = session.run(["ls", "latest", "--sha256"]).expect(0);
    assert!(
        output.stdout.contains(&format!("{EMPTY}  docs/empty\n")),
        "{output}"
    );
    assert!(output.stdout.contains("  docs/sparse\n"), "{output}");
    assert_eq!(output.stderr, "", "{output}");
    let home = session.br.home().to_owned();
    fs::write(home.join("sums"), &output.stdout).unwrap();
    let checked = std::process::Command::new("sha256sum")
        .args(["-c", "--quiet", "sums"])
        .current_dir(home)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    for content in [&b""[..], b"short"] {
        let arguments = ["backup", "--stdin", "--stdin-name", "s", "--allow-empty"];
        session.br.run_with_input(arguments, content).expect(0);
        let output = session.run(["ls", "latest", "--sha256"]).expect(0);
        assert_eq!(output.stdout.lines().count(), 1, "{output}");
        let is_empty = output.stdout.starts_with(EMPTY);
        assert_eq!(is_empty, content.is_empty(), "{output}");
    }
}

#[test]
fn invalid_arguments_are_refused() {
    let session = Session::with_backup();
    for arguments in [
        &["backup"][..],
        &["backup", "no such path"],
        &["backup", "docs", "--base-id", "ffff"],
        &[
            "backup",
            "docs",
            "--base-id",
            "latest",
            "--backup-type",
            "full",
        ],
        &["backup", "docs", "--compression", "0"],
        &["backup", "docs", "--compression", "20"],
        &["backup", "docs", "--threads", "0"],
        &["backup", "docs", "--backup-type", "differential"],
    ] {
        let output = session.br.run(arguments).expect(2);
        assert!(
            output.stderr.starts_with("error: "),
            "{arguments:?}: {output}"
        );
        assert_eq!(output.stdout, "", "{arguments:?}");
    }
    assert_eq!(session.ids().len(), 1, "nothing was backed up");
}

#[test]
fn verbose_dry_run_lists_every_entry_and_exclusion_reason() {
    let session = Session::with_backup();
    session.write("docs/a.txt", "hello again\n");
    session.write("docs/new", "n");
    session.write("docs/x.o", "object");
    session.write("docs/sub/.brignore", "*.tmp\n/cache/\n");
    session.write("docs/sub/y.tmp", "t");
    session.write("docs/sub/cache/z", "z");
    session.write(
        "docs/tagged/CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55",
    );
    session.write("docs/tagged/data", "d");
    let options = ["--host", "h", "-n", "-e", "*.o", "--exclude-caches"];
    let arguments = [&["backup", "docs", "-v"], &options[..]].concat();
    let listed = session.br.run(&arguments).expect(0).stdout;
    let expected = "\
changed    docs
changed    docs/a.txt
unchanged  docs/link
new        docs/new
changed    docs/sub
new        docs/sub/.brignore
unchanged  docs/sub/b.bin
left out   docs/sub/cache: pattern `/cache/` of the ignore file in docs/sub
left out   docs/sub/y.tmp: pattern `*.tmp` of the ignore file in docs/sub
new        docs/tagged
left out   docs/tagged: its contents, because it is marked as a cache
new        docs/tagged/CACHEDIR.TAG
left out   docs/x.o: pattern `*.o`
";
    assert!(listed.starts_with(expected), "{listed}");
    assert_eq!(session.ids().len(), 1, "nothing was stored");

    let json = [&arguments[..], &["--json"]].concat();
    let told = json_lines(&session.br.run(json).expect(0).stderr);
    let entry = |path: &str, action: &str| {
        told.iter().find(|line| {
            line["type"] == "entry" && line["path"] == path && line["action"] == action
        })
    };
    assert!(entry("docs/a.txt", "changed").is_some(), "{told:?}");
    let left_out = entry("docs/x.o", "left-out").unwrap();
    assert_eq!(left_out["reason"], "pattern `*.o`");
    let short = [&["backup", "docs"], &options[..]].concat();
    let short = session.br.run(short).expect(0).stdout;
    assert!(!short.contains("docs/a.txt"), "{short}");
}

#[test]
fn named_path_is_kept_if_an_option_excludes_it_below_another_path() {
    let session = Session::new();
    session.write("docs/a", "a");
    session.write("docs/large", "x".repeat(3_000));
    session.write("docs/out/deep/named/in", "in");
    session.write("docs/out/deep/other", "other");
    session.write("docs/out/other", "other");
    session.write("docs/cache/.nobackup", "");
    session.write("docs/cache/sub/named", "named");
    session.write("docs/cache/sub/other", "other");
    session.write("docs/.brignore", "ignored\n");
    session.write("docs/ignored", "named");
    session.run(["init"]).expect(0);
    let paths = [
        "docs",
        "docs/large",
        "docs/out/deep/named",
        "docs/cache/sub/named",
        "docs/ignored",
    ];
    let options = [
        "--exclude-larger-than",
        "2K",
        "--exclude",
        "out/",
        "--exclude-if-present",
        ".nobackup",
    ];
    let backup = ["backup"].iter().chain(&paths).chain(&options);
    session.br.run(backup).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    let mut files: Vec<&str> = listed.lines().collect();
    files.sort_unstable();
    let expected = [
        "docs",
        "docs/.brignore",
        "docs/a",
        "docs/a.txt",
        "docs/cache",
        "docs/cache/.nobackup",
        "docs/cache/sub",
        "docs/cache/sub/named",
        "docs/ignored",
        "docs/large",
        "docs/link",
        "docs/out",
        "docs/out/deep",
        "docs/out/deep/named",
        "docs/out/deep/named/in",
        "docs/sub",
    ];
    assert_eq!(files, expected);
}

#[test]
fn marked_folders_large_files_and_names_in_any_case_are_left_out() {
    let session = Session::new();
    session.write("docs/cache/.nobackup", "");
    session.write("docs/cache/junk", "junk");
    session.write("docs/Thumbs.DB", "thumbs");
    session.write("docs/large", "x".repeat(3_000));
    session.write("docs/limit", "x".repeat(2_048));
    let options = [
        "--exclude-if-present",
        ".nobackup",
        "--exclude-larger-than",
        "2K",
        "--iexclude",
        "thumbs.db",
    ];
    session.run(["init"]).expect(0);
    let backup = ["backup", "docs", "--host", "h"];
    let plan = ["--dry-run", "--verbose"];
    let shown = session.br.run(backup.iter().chain(&options).chain(&plan));
    let shown = shown.expect(0);
    let text = format!("{}{}", shown.stdout, shown.stderr);
    for reason in [
        "because it has .nobackup",
        "it has 2.9 KiB",
        "pattern `thumbs.db`",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    session.br.run(backup.iter().chain(&options)).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    for (path, expected) in [
        ("docs/cache/.nobackup", true),
        ("docs/cache/junk", false),
        ("docs/Thumbs.DB", false),
        ("docs/large", false),
        ("docs/limit", true),
    ] {
        assert_eq!(listed.lines().any(|line| line == path), expected, "{path}");
    }
    // A path that is named is never left out.
    session
        .run([
            "backup",
            "docs/large",
            "--host",
            "h",
            "--exclude-larger-than",
            "2K",
        ])
        .expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(listed.contains("docs/large"), "{listed}");
    for bad in [
        ["--exclude-if-present", "a/b"],
        ["--exclude-if-present", ".."],
        ["--exclude-larger-than", "many"],
        ["--iexclude", "!"],
    ] {
        session.br.run(backup.iter().chain(&bad)).expect(2);
    }
}
