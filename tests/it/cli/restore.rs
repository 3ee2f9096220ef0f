//! `br restore`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use br_testkit::Snapshot;

use super::{Session, json};

#[test]
fn a_backup_is_restored() {
    let session = Session::with_backup();
    let output = session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    session.assert_output("restore", &output);
    let original = Snapshot::of(session.at("docs"));
    original.assert_same(&Snapshot::of(session.at("out/docs")), "all is as it was");
    let again = session.json(["restore", "latest", "--target", "out"]);
    assert_eq!(
        (&again["files_restored"], &again["files_unchanged"]),
        (&0.into(), &2.into())
    );
}

#[test]
fn overwrite_never_keeps_different_files() {
    let session = Session::with_backup();
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    session.write("out/docs/a.txt", "changed here");
    let arguments = [
        "restore",
        "latest",
        "--target",
        "out",
        "--overwrite",
        "never",
    ];
    let output = session.run(arguments).expect(0);
    assert!(output.stdout.contains("1 unchanged, 1 kept"), "{output}");
    let report = session.json(arguments);
    assert_eq!(
        (&report["files_unchanged"], &report["files_kept"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        fs::read(session.at("out/docs/a.txt")).unwrap(),
        b"changed here"
    );
}

#[test]
fn a_part_is_restored() {
    let session = Session::with_backup();
    session
        .run(["restore", "latest", "docs/sub", "--target", "out"])
        .expect(0);
    assert!(session.at("out/docs/sub/b.bin").exists() && !session.at("out/docs/a.txt").exists());
    let output = session
        .run(["restore", "latest", "docs/none", "--target", "out2"])
        .expect(2);
    assert!(output.stderr.contains("docs/none"), "{output}");
}

#[test]
fn damaged_pack_loses_only_its_files_and_is_reported() {
    let session = Session::with_backup();
    session.damage(&session.objects("packs")[0]);
    let output = session
        .run(["restore", "latest", "--target", "out"])
        .expect(3);
    session.assert_output("restore damaged", &output);
    assert_eq!(
        fs::read(session.at("out/docs/a.txt")).unwrap(),
        b"hello\n",
        "the other files are restored"
    );
    assert!(
        !session.at("out/docs/sub/b.bin").exists(),
        "no part of a file is left"
    );
    let output = session
        .run(["restore", "latest", "--target", "out2", "--json"])
        .expect(3);
    let summary = json(&output.stdout);
    assert_eq!(summary["damaged"], true);
    assert_eq!(summary["failed"][0]["path"], "docs/sub/b.bin");
    session.run(["dump", "latest", "docs/sub/b.bin"]).expect(14);
}

#[test]
fn surplus_is_deleted_only_with_delete_option() {
    let session = Session::with_backup();
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    session.write("out/docs/surplus", "");
    session.write("out/beside", "");
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert!(session.at("out/docs/surplus").exists());
    let dry = session
        .run([
            "restore",
            "latest",
            "--target",
            "out",
            "--delete",
            "--dry-run",
        ])
        .expect(0);
    assert!(
        dry.stdout.contains("docs/surplus") || dry.stderr.contains("docs/surplus"),
        "{dry}"
    );
    assert!(session.at("out/docs/surplus").exists());
    session
        .run(["restore", "latest", "--target", "out", "--delete"])
        .expect(0);
    assert!(!session.at("out/docs/surplus").exists() && session.at("out/beside").exists());
}

#[test]
fn a_target_must_be_named() {
    let session = Session::with_backup();
    session.run(["restore", "latest"]).expect(2);
    session.run(["restore", "--target", "out"]).expect(2);
    session
        .run([
            "restore",
            "latest",
            "--target",
            "out",
            "--overwrite",
            "perhaps",
        ])
        .expect(2);
    assert!(!session.at("out").exists());
}

/// A restore with `--delete` to the original folder deletes entries that are not in the backup. It must not delete the repository, which is
/// not part of its own backups.
#[test]
fn restore_with_delete_keeps_repository_and_cache() {
    let session = Session::with_backup();
    fs::rename(session.at("repository"), session.at("docs/repository")).unwrap();
    let repository = ["--repo", "docs/repository"];
    let cache = ["--cache-dir", "docs/cache"];
    let run = |arguments: &[&str]| session.br.run([&repository, &cache, arguments].concat());
    run(&["backup", "docs"]).expect(0);
    fs::create_dir_all(session.at("docs/cache")).unwrap();
    fs::write(session.at("docs/new"), "not in the backup").unwrap();
    let output = run(&["restore", "latest", "--target", ".", "--delete", "-v"]).expect(0);
    assert!(
        !session.at("docs/new").exists(),
        "files that are not in the backup are deleted: {output}"
    );
    assert!(
        session.at("docs/cache").exists(),
        "the cache stays: {output}"
    );
    run(&["check", "--read-data"]).expect(0);
    assert!(
        output.stderr.contains("docs/repository was not deleted"),
        "{output}"
    );
}

#[test]
fn verbose_dry_run_lists_action_for_every_entry() {
    let session = Session::with_backup();
    let restore = ["restore", "latest", "--target", "out"];
    let run = |more: &[&str]| session.br.run(restore.iter().chain(more)).expect(0);
    let fresh = run(&["-n", "-v"]).stdout;
    assert!(
        fresh.starts_with("create     docs\ncreate     docs/a.txt\n"),
        "{fresh}"
    );
    assert!(!session.at("out").exists());
    run(&[]);
    let same = run(&["-n", "-v"]).stdout;
    assert!(
        same.starts_with("unchanged  docs\nunchanged  docs/a.txt\n"),
        "{same}"
    );

    session.write("out/docs/a.txt", "other");
    session.write("out/docs/extra", "x");
    fs::remove_file(session.at("out/docs/link")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(session.at("out/docs/sub/b.bin"), mode).unwrap();
    let before = Snapshot::of(session.at("out"));
    let listed = run(&["-n", "-v", "--delete"]).stdout;
    let expected = "\
correct    docs
replace    docs/a.txt
create     docs/link
unchanged  docs/sub
correct    docs/sub/b.bin
remove     docs/extra
";
    assert!(listed.starts_with(expected), "{listed}");
    assert_eq!(listed.matches("docs/extra").count(), 1, "{listed}");
    let kept = run(&["-n", "-v", "--overwrite", "never"]).stdout;
    assert!(kept.contains("keep       docs/a.txt\n"), "{kept}");
    before.assert_same(&Snapshot::of(session.at("out")), "nothing was written");
    let short = run(&["-n"]).stdout;
    assert!(!short.contains("docs/a.txt"), "{short}");
}

#[test]
fn patterns_select_what_is_restored() {
    let session = Session::new();
    for path in [
        "docs/photos/a.jpg",
        "docs/photos/b.JPG",
        "docs/photos/thumbnails/t.jpg",
        "docs/photos/notes.txt",
        "docs/deep/er/c.jpg",
        "docs/empty/x.txt",
    ] {
        session.write(path, path);
    }
    session.run(["init"]).expect(0);
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    let deep = "docs/deep/er/c.jpg";
    let (a, b) = ("docs/photos/a.jpg", "docs/photos/b.JPG");
    let (t, notes) = ("docs/photos/thumbnails/t.jpg", "docs/photos/notes.txt");
    for (number, (arguments, expected)) in [
        (&["--include", "*.jpg"][..], &[deep, a, t][..]),
        (
            &[
                "--include",
                "*.jpg",
                "--ignore-case",
                "--exclude",
                "thumbnails",
            ],
            &[deep, a, b],
        ),
        (&["--include", "/docs/photos"], &[a, b, notes, t]),
        (
            &["--include", "photos/*", "--exclude", "*.jpg"],
            &[b, notes],
        ),
        (&["--include", "*.zip"], &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("out{number}");
        let restore = ["restore", "latest", "--target", &target];
        session.br.run(restore.iter().chain(arguments)).expect(0);
        let root = session.at(&target);
        let mut found: Vec<String> = if root.exists() {
            let below = super::files_below(&root).into_iter();
            below
                .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
                .collect()
        } else {
            Vec::new()
        };
        found.sort();
        assert_eq!(found, expected, "{arguments:?}");
        assert!(!root.join("docs/empty").exists(), "{arguments:?}");
    }
    // A folder that only leads to a selected entry keeps its permissions.
    let out = session.at("out0/docs/photos");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o700)).unwrap();
    let again = [
        "restore",
        "latest",
        "--target",
        "out0",
        "--include",
        "*.jpg",
    ];
    session.run(again).expect(0);
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for wrong in [
        &["--include", "[", "--target", "x"][..],
        &["--include", "a", "--delete", "--target", "x"],
        &["--ignore-case", "--target", "x"],
    ] {
        session
            .br
            .run(["restore", "latest"].iter().chain(wrong))
            .expect(2);
    }
}
