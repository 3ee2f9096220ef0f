//! `br restore` to other paths than those in the backup: `ID:FOLDER` and `--strip-components`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use br_testkit::Snapshot;

use super::{Session, contents, json};

/// The homes of two users, in a backup.
fn homes() -> Session {
    let session = Session::with_repository();
    session.write("home/anna/note", "anna\n");
    session.write("home/anna/photos/1.jpg", br_testkit::noise(5, 40_000));
    session.write("home/ben/photos/2.jpg", "two");
    session.write("home/ben/list", "ben\n");
    session.write("home/top", "top\n");
    fs::create_dir(session.at("home/anna/empty")).unwrap();
    fs::hard_link(session.at("home/anna/note"), session.at("home/anna/same")).unwrap();
    symlink("../../etc", session.at("home/anna/link")).unwrap();
    fs::set_permissions(session.at("home/anna"), fs::Permissions::from_mode(0o700)).unwrap();
    session.run(["backup", "home"]).expect(0);
    session
}

fn paths(session: &Session, folder: &str) -> Vec<String> {
    let mut paths = Snapshot::of(session.at(folder)).paths();
    // The folder itself.
    paths.retain(|path| !path.is_empty());
    paths
}

#[test]
fn content_of_a_folder_is_restored_into_the_target() {
    let session = homes();
    session
        .run(["restore", "latest:home/anna", "--target", "out"])
        .expect(0);
    assert!(Snapshot::of(session.at("out")) == Snapshot::of(session.at("home/anna")));
    let inode = |path: &str| session.at(path).metadata().unwrap().ino();
    assert_eq!(inode("out/note"), inode("out/same"), "hard links stay");
    let mode = session.at("out").metadata().unwrap().mode() & 0o777;
    assert_eq!(mode, 0o700, "a new target gets the mode of the folder");
    // Another spelling, and a target that exists.
    fs::create_dir(session.at("there")).unwrap();
    fs::set_permissions(session.at("there"), fs::Permissions::from_mode(0o751)).unwrap();
    session
        .run(["restore", "latest:/home//anna/", "--target", "there"])
        .expect(0);
    assert_eq!(contents(&session.at("there")), contents(&session.at("out")));
    let mode = session.at("there").metadata().unwrap().mode() & 0o777;
    assert_eq!(mode, 0o751, "an existing target keeps its mode");
    // The whole backup.
    session
        .run(["restore", "latest:/", "--target", "all"])
        .expect(0);
    assert_eq!(
        contents(&session.at("all/home")),
        contents(&session.at("home"))
    );
}

#[test]
fn surplus_is_deleted_in_the_place_of_a_restored_folder_only() {
    let session = homes();
    session.write("out/surplus", "");
    session.write("out/photos/surplus", "");
    session.write("beside", "");
    let arguments = ["restore", "latest:home/anna", "--target", "out", "--delete"];
    let dry = session
        .br
        .run(arguments.iter().chain(&["--dry-run", "-v"]))
        .expect(0);
    for line in [
        "remove     surplus",
        "remove     photos/surplus",
        "create     photos/1.jpg",
    ] {
        assert!(dry.stdout.contains(line), "{dry}");
    }
    assert_eq!(
        paths(&session, "out"),
        ["photos", "photos/surplus", "surplus"]
    );
    session.br.run(arguments).expect(0);
    assert!(
        Snapshot::of(session.at("out")).paths() == Snapshot::of(session.at("home/anna")).paths()
    );
    assert!(session.at("beside").exists());
    // The target itself takes the place of no folder if the first parts are left out.
    session.write("stripped/surplus", "");
    session.write("stripped/photos/surplus", "");
    session
        .run([
            "restore",
            "latest",
            "home/anna",
            "--target",
            "stripped",
            "--strip-components",
            "2",
            "--delete",
        ])
        .expect(0);
    assert!(session.at("stripped/surplus").exists());
    assert!(!session.at("stripped/photos/surplus").exists());
    assert_eq!(fs::read(session.at("stripped/note")).unwrap(), b"anna\n");
}

#[test]
fn first_parts_are_left_out_and_short_paths_are_counted() {
    let session = homes();
    let output = session
        .run([
            "restore",
            "latest",
            "--target",
            "out",
            "--strip-components",
            "2",
        ])
        .expect(0);
    // `home`, `home/anna` and `home/ben` only lead to others, and `home/top` is too short.
    assert!(
        output
            .stderr
            .contains("left out 1 entry with too few parts"),
        "{output}"
    );
    let all = [
        "empty",
        "link",
        "list",
        "note",
        "photos",
        "photos/1.jpg",
        "photos/2.jpg",
        "same",
    ];
    assert_eq!(paths(&session, "out"), all, "both folders `photos` are one");
    let inode = |path: &str| session.at(path).metadata().unwrap().ino();
    assert_eq!(inode("out/note"), inode("out/same"));
    assert_eq!(
        fs::read_link(session.at("out/link")).unwrap().to_str(),
        Some("../../etc")
    );
    // In a folder: its own parts come first.
    let report = session
        .run([
            "restore",
            "latest:home",
            "--target",
            "photos",
            "--strip-components",
            "2",
            "--json",
        ])
        .expect(0);
    assert_eq!(paths(&session, "photos"), ["1.jpg", "2.jpg"]);
    let report = json(&report.stdout);
    // note, same, link, empty, list, top
    assert_eq!(
        (&report["stripped"], &report["files_restored"]),
        (&6.into(), &2.into()),
        "{report}"
    );
    let none = session
        .run([
            "restore",
            "latest",
            "--target",
            "none",
            "--strip-components",
            "9",
        ])
        .expect(0);
    assert!(none.stderr.contains("left out 8 entries"), "{none}");
    assert!(paths(&session, "none").is_empty());
}

#[test]
fn entries_that_get_the_same_path_are_refused_before_anything_is_written() {
    let session = homes();
    session.write("home/ben/note", "of ben");
    // A file in the place of a folder with entries.
    session.write("home/ben/empty", "a file");
    session.run(["backup", "home"]).expect(0);
    let restore = |more: &[&str]| {
        let arguments = [
            "restore",
            "latest",
            "--target",
            "out",
            "--strip-components",
            "2",
        ];
        session.br.run(arguments.iter().chain(more))
    };
    for more in [&[][..], &["--dry-run"]] {
        let output = restore(more).expect(2);
        for named in ["`note` from `home/anna` and `home/ben`", "`empty` from"] {
            assert!(output.stderr.contains(named), "{output}");
        }
        assert!(!session.at("out").exists(), "nothing is written: {output}");
    }
    let deleting = restore(&["--delete"]).expect(2);
    assert!(deleting.stderr.contains("into one folder"), "{deleting}");
    // What patterns leave out does not count. They match the path in the backup.
    restore(&[
        "--exclude",
        "/home/ben/note",
        "--exclude",
        "/home/ben/empty",
    ])
    .expect(0);
    assert_eq!(fs::read(session.at("out/note")).unwrap(), b"anna\n");
    assert!(session.at("out/photos/2.jpg").exists() && session.at("out/empty").is_dir());
}

#[test]
fn folder_without_an_entry_is_restored_from() {
    let session = Session::with_repository();
    session.write("a/x", "a file");
    session.run(["backup", "a"]).expect(0);
    // A stream has no entries for its folders.
    let stream = ["backup", "--stdin", "--stdin-name", "db/x/dump.sql"];
    session.br.run_with_input(stream, b"dump").expect(0);
    session
        .run(["restore", "latest:db/x", "--target", "out"])
        .expect(0);
    assert_eq!(fs::read(session.at("out/dump.sql")).unwrap(), b"dump");
    session
        .run([
            "restore",
            "latest",
            "--target",
            "out2",
            "--strip-components",
            "1",
        ])
        .expect(0);
    assert_eq!(paths(&session, "out2"), ["x", "x/dump.sql"]);
}

#[test]
fn patterns_match_paths_of_the_backup() {
    let session = homes();
    session
        .run([
            "restore",
            "latest:home/anna",
            "--target",
            "out",
            "--include",
            "/home/*/photos",
        ])
        .expect(0);
    assert_eq!(paths(&session, "out"), ["photos", "photos/1.jpg"]);
    session
        .run([
            "restore",
            "latest:home/anna",
            "--target",
            "out2",
            "--exclude",
            "*.jpg",
            "--exclude",
            "link",
        ])
        .expect(0);
    assert_eq!(paths(&session, "out2"), ["empty", "note", "photos", "same"]);
}

#[test]
fn folder_that_cannot_be_restored_from_is_refused() {
    let session = homes();
    for (arguments, message) in [
        (&["latest:home/nobody"][..], "has no `home/nobody`"),
        (
            &["latest:home/anna/link"],
            "`home/anna/link` is a symlink, not a folder",
        ),
        (&["latest:home/top"], "`home/top` is a file, not a folder"),
        (&["latest:"], "the path is empty"),
        (&["latest:../x"], "not a valid path"),
        (&["latest:home/anna", "home/ben"], "contradict each other"),
        (&["nonsense:home"], "not a backup id"),
        (
            &["latest", "--strip-components", "-1"],
            "must be a whole number",
        ),
    ] {
        let line = ["restore", "--target", "out"].iter().chain(arguments);
        let output = session.br.run(line).expect(2);
        assert!(output.stderr.contains(message), "{arguments:?}: {output}");
        assert!(output.stderr.contains("hint: "), "{output}");
    }
    assert!(!session.at("out").exists());
}

#[test]
fn listing_and_dump_take_a_path_after_the_id() {
    let session = homes();
    let listed = session.run(["ls", "latest:home/ben"]).expect(0).stdout;
    assert_eq!(
        listed,
        session.run(["ls", "latest", "home/ben"]).expect(0).stdout
    );
    let dumped = session.run(["dump", "latest:home/ben/list"]).expect(0);
    assert_eq!(dumped.stdout, "ben\n");
    let id = session.ids().remove(0);
    let by_id = session.run(["dump", &format!("{id}:home/top")]).expect(0);
    assert_eq!(by_id.stdout, "top\n");
    session.run(["ls", "latest:home", "home"]).expect(2);
    session
        .run(["dump", "latest:home/top", "home/top"])
        .expect(2);
    session.run(["dump", "latest"]).expect(2);
}
