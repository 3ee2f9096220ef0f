//! `br restore` over existing files: nothing changes except the selected entries.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use br_testkit::{BrOutput, Snapshot, is_root, noise, set_time, skip};
use serde_json::Value;

use super::{Session, json};

/// The unprivileged user and group.
const OTHER: u32 = 12_345;
const NOBODY: u32 = 65_534;

impl Session {
    /// Backs up some paths of the home.
    fn back_up(&self, paths: &[&str]) {
        self.br.run([&["backup"], paths].concat()).expect(0);
    }

    /// Restores from the newest backup.
    fn restore(&self, arguments: &[&str]) -> BrOutput {
        self.br.run([&["restore", "latest"], arguments].concat())
    }

    /// Restores and gives the summary.
    fn restored(&self, arguments: &[&str]) -> Value {
        json(&self.restore(&[arguments, &["--json"]].concat()).stdout)
    }

    fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.at(path)).unwrap().mode() & 0o7777
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// The names in a folder.
    fn names(&self, path: &str) -> Vec<String> {
        let names = fs::read_dir(self.at(path)).unwrap();
        let mut names: Vec<_> = names
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Gives a folder with all that it holds to a user.
    fn give(&self, path: &str, user: u32) {
        fn give(at: &Path, user: u32) {
            std::os::unix::fs::lchown(at, Some(user), Some(user)).unwrap();
            if at.is_dir() && !at.is_symlink() {
                for item in fs::read_dir(at).unwrap() {
                    give(&item.unwrap().path(), user);
                }
            }
        }
        give(&self.at(path), user);
    }
}

/// A folder `home` that is a link, through which a folder was backed up.
fn behind_a_link(target: &str) -> Session {
    let session = Session::with_backup();
    session.write("real/anna/f", "a");
    session.write("real/other", "b");
    symlink(target, session.at("home")).unwrap();
    session.back_up(&["home/anna"]);
    session
}

#[test]
fn symlink_to_parent_folder_is_followed_and_kept() {
    let session = behind_a_link("real");
    for paths in [&["home/anna/f"][..], &["home/anna"], &["home"], &[]] {
        fs::remove_file(session.at("real/anna/f")).unwrap();
        session
            .restore(&[paths, &["--target", "."]].concat())
            .expect(0);
        assert_eq!(session.read("real/anna/f"), "a", "{paths:?}");
        let link = fs::read_link(session.at("home")).unwrap();
        assert_eq!(link, Path::new("real"), "{paths:?}");
        assert_eq!(session.names("real"), ["anna", "other"], "{paths:?}");
    }
    // Deleting goes the same way.
    session.write("real/anna/surplus", "");
    session.restore(&["--target", ".", "--delete"]).expect(0);
    assert_eq!(session.names("real/anna"), ["f"]);
    assert_eq!(session.names("real"), ["anna", "other"]);
}

#[test]
fn symlink_backed_up_by_name_is_followed_and_kept() {
    let session = Session::with_backup();
    session.write("real/f", "a");
    symlink("real", session.at("home")).unwrap();
    let real = session.at("real");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
    session.back_up(&["home"]);
    for options in [&["home/f"][..], &["home"], &[], &["--overwrite", "always"]] {
        fs::remove_file(session.at("real/f")).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
        session
            .restore(&[options, &["--target", "."]].concat())
            .expect(0);
        assert_eq!(session.read("real/f"), "a", "{options:?}");
        let link = fs::read_link(session.at("home")).unwrap();
        assert_eq!(link, Path::new("real"), "{options:?}");
        let mode = fs::metadata(&real).unwrap().permissions().mode() & 0o777;
        let wanted = if options == ["home/f"] { 0o700 } else { 0o755 };
        assert_eq!(mode, wanted, "{options:?}");
    }
    // A link that leads elsewhere is not replaced either.
    fs::create_dir_all(session.at("target")).unwrap();
    symlink(&real, session.at("target/home")).unwrap();
    let output = session.restore(&["--target", "target"]).expect(3);
    assert!(output.stderr.contains("a link is in the way"), "{output}");
    assert_eq!(fs::read_link(session.at("target/home")).unwrap(), real);
}

#[test]
fn an_absolute_link_into_the_target_is_followed() {
    let session = behind_a_link("real");
    fs::remove_file(session.at("home")).unwrap();
    symlink(session.at("real"), session.at("home")).unwrap();
    fs::remove_dir_all(session.at("real/anna")).unwrap();
    session.restore(&["--target", "."]).expect(0);
    assert_eq!(session.read("real/anna/f"), "a");
    assert!(session.at("home").is_symlink());
}

#[test]
fn symlink_out_of_target_is_kept_and_reported() {
    let session = behind_a_link("real");
    fs::create_dir_all(session.at("target")).unwrap();
    for to in [session.at("real"), PathBuf::from("../real"), "none".into()] {
        symlink(&to, session.at("target/home")).unwrap();
        for more in [&["--dry-run"][..], &[], &["--overwrite", "always"]] {
            let output = session
                .restore(&[&["--target", "target"], more].concat())
                .expect(3);
            assert!(output.stderr.contains("a link is in the way"), "{output}");
        }
        assert_eq!(fs::read_link(session.at("target/home")).unwrap(), to);
        assert_eq!(session.read("real/anna/f"), "a");
        fs::remove_file(session.at("target/home")).unwrap();
    }
}

#[test]
fn a_restore_into_a_copy_of_a_system_follows_its_links() {
    let session = Session::with_backup();
    session.write("usr/lib/systemd/unit", "wanted");
    session.write("usr/lib/other", "precious");
    symlink("usr/lib", session.at("lib")).unwrap();
    session.back_up(&["lib/systemd"]);
    for link in ["usr/lib", "/usr/lib", "../usr/lib"] {
        session.write("copy/usr/lib/systemd/unit", "changed");
        session.write("copy/usr/lib/other", "precious");
        symlink(link, session.at("copy/lib")).unwrap();
        session.restore(&["--target", "copy"]).expect(0);
        assert_eq!(
            session.read("copy/usr/lib/systemd/unit"),
            "wanted",
            "{link}"
        );
        assert_eq!(session.read("copy/usr/lib/other"), "precious");
        let there = fs::read_link(session.at("copy/lib")).unwrap();
        assert_eq!(there, Path::new(link), "the link stays");
        fs::remove_dir_all(session.at("copy")).unwrap();
    }
}

#[test]
fn parent_folders_keep_their_metadata() {
    let session = Session::with_backup();
    session.write("above/middle/folder/file", "wanted");
    session.back_up(&["above/middle"]);
    fs::remove_file(session.at("above/middle/folder/file")).unwrap();
    let parts = ["", "above", "above/middle", "above/middle/folder"];
    for (number, part) in parts.iter().enumerate() {
        session.set_mode(part, 0o1770 + u32::try_from(number).unwrap());
        if is_root() {
            chown(session.at(part), Some(OTHER), Some(OTHER)).unwrap();
        }
        set_time(&session.at(part), 1_600_000_000, 5);
    }
    let metadata = |part: &&str| {
        let found = fs::metadata(session.at(part)).unwrap();
        (found.mode(), found.uid(), found.gid(), found.mtime())
    };
    let before: Vec<_> = parts.iter().map(metadata).collect();
    // The cache is in the home and changes its time.
    let restore = |more: &[&str]| {
        session
            .restore(&[&["--no-cache", "--target", "."], more].concat())
            .expect(0)
    };
    restore(&["above/middle/folder/file"]);
    let after: Vec<_> = parts.iter().map(metadata).collect();
    assert_eq!(before[..3], after[..3], "one file changes no folder above");
    assert_eq!(
        before[3].0, after[3].0,
        "the folder of the entry has its permissions"
    );
    assert_eq!(session.read("above/middle/folder/file"), "wanted");

    restore(&[]);
    let after: Vec<_> = parts.iter().map(metadata).collect();
    assert_eq!(
        before[..2],
        after[..2],
        "entries that were not backed up stay"
    );
    assert_ne!(before[2].0, after[2].0, "the selected entry is unchanged");
    assert_ne!(before[3].0, after[3].0);
}

#[test]
fn missing_path_is_refused_before_anything_is_written() {
    let session = Session::with_backup();
    let output = session
        .restore(&["docs/a.txt", "docs/zzz", "--target", "out"])
        .expect(2);
    assert!(output.stderr.contains("docs/zzz"), "{output}");
    assert!(!session.at("out").exists(), "nothing was written");
}

#[test]
fn target_inside_repository_or_cache_is_refused() {
    let session = Session::with_backup();
    let before = session.names("repository");
    symlink("repository", session.at("link")).unwrap();
    for target in [
        "repository",
        "repository/new/folder",
        "repository/packs",
        "link/packs",
        "cache/x",
    ] {
        fs::create_dir_all(session.at("cache")).unwrap();
        for more in [&[][..], &["--dry-run"]] {
            let output = session
                .restore(&[&["--target", target], more].concat())
                .expect(2);
            assert!(output.stderr.contains("keeps its own data"), "{output}");
        }
    }
    assert_eq!(session.names("repository"), before);
}

#[test]
fn restore_does_not_write_into_repository() {
    let session = Session::with_backup();
    let other = |arguments: &[&str]| {
        let repository = ["--repo", "other", "--no-cache"];
        session.br.run([&repository, arguments].concat())
    };
    other(&["init"]).expect(0);
    fs::write(session.at("repository/packs/foreign"), "x").unwrap();
    other(&["backup", "repository"]).expect(0);
    fs::remove_file(session.at("repository/packs/foreign")).unwrap();
    fs::rename(session.at("other"), session.at("kept")).unwrap();
    fs::rename(session.at("repository"), session.at("copy")).unwrap();
    fs::rename(session.at("kept"), session.at("repository")).unwrap();
    let before = Snapshot::of(session.at("repository"));
    for more in [&["--dry-run"][..], &[], &["--overwrite", "always"]] {
        let output = session
            .restore(&[&["--target", "."], more].concat())
            .expect(3);
        assert!(output.stderr.contains("keeps its own data"), "{output}");
    }
    before.assert_same(&Snapshot::of(session.at("repository")), "nothing changed");
}

/// Creates entries of the wrong kind at the paths of backed-up entries.
fn put_in_the_way(session: &Session) {
    let out = |path: &str| session.at(&format!("out/{path}"));
    fs::remove_dir_all(out("")).ok();
    session.write(
        "out/docs/a.txt/inner/deep",
        "the file has its place in the folder",
    );
    fs::create_dir_all(out("docs/link")).unwrap();
    symlink("/", out("docs/sub")).unwrap();
    session.write("out/docs/folder", "where a folder belongs");
    session.write("out/docs/second/x", "where a hard link belongs");
    session.write("out/docs/first", "of another size");
    session.write("out/docs/surplus", "");
}

#[test]
fn dry_run_reports_same_as_real_run() {
    let session = Session::with_backup();
    session.write("docs/folder/in", "x");
    session.write("docs/first", "x");
    for name in ["second", "third"] {
        fs::hard_link(
            session.at("docs/first"),
            session.at(&format!("docs/{name}")),
        )
        .unwrap();
    }
    session.back_up(&["docs"]);
    for overwrite in ["always", "if-changed", "never"] {
        for more in [&[][..], &["--delete"]] {
            put_in_the_way(&session);
            let arguments = [&["--target", "out", "--overwrite", overwrite], more].concat();
            let before = Snapshot::of(session.at("out"));
            let mut dry = session.restored(&[&arguments[..], &["--dry-run"]].concat());
            before.assert_same(
                &Snapshot::of(session.at("out")),
                "a dry run changes nothing",
            );
            let mut real = session.restored(&arguments);
            for summary in [&mut dry, &mut real] {
                let summary = summary.as_object_mut().unwrap();
                summary.remove("dry_run");
                summary.remove("duration_seconds");
            }
            assert_eq!(dry, real, "{overwrite} {more:?}");
            let is_whole = overwrite != "never" && !more.is_empty();
            assert_eq!(real["failed_count"] == 0, is_whole, "{real}");
            if is_whole {
                let original = Snapshot::of(session.at("docs"));
                original.assert_same(&Snapshot::of(session.at("out/docs")), "all is there");
                let deleted = real["deleted"].as_array().unwrap();
                assert_eq!(deleted.len(), 3, "each is named: {real}");
            } else {
                assert_eq!(
                    session.read("out/docs/a.txt/inner/deep"),
                    "the file has its place in the folder"
                );
            }
        }
    }
}

#[test]
fn hard_link_to_file_outside_is_not_changed() {
    let session = Session::with_backup();
    session.restore(&["--target", "out"]).expect(0);
    let outside = session.at("outside");
    fs::hard_link(session.at("out/docs/a.txt"), &outside).unwrap();
    session.set_mode("outside", 0o600);
    if is_root() {
        chown(&outside, Some(OTHER), Some(OTHER)).unwrap();
    }
    let before = fs::metadata(&outside).unwrap();
    session.restore(&["--target", "out"]).expect(0);
    let after = fs::metadata(&outside).unwrap();
    let of = |found: &fs::Metadata| (found.mode(), found.uid(), found.gid(), found.ino());
    assert_eq!(of(&before), of(&after), "entries outside are unchanged");
    assert_eq!(after.nlink(), 1, "the restored file has another inode");
    let original = Snapshot::of(session.at("docs"));
    original.assert_same(&Snapshot::of(session.at("out/docs")), "all is as it was");
}

#[test]
fn set_user_id_bit_is_not_restored_with_different_owner() {
    if !is_root() {
        return skip("only root may set owners");
    }
    let session = Session::with_backup();
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for (name, uid, gid, mode) in [
        ("other", OTHER, OTHER, 0o6755),
        ("own", 0, 0, 0o6755),
        ("group", 0, OTHER, 0o6755),
        ("capable", OTHER, OTHER, 0o755),
    ] {
        let path = format!("docs/{name}");
        session.write(&path, "program");
        chown(session.at(&path), Some(uid), Some(gid)).unwrap();
        session.set_mode(&path, mode);
    }
    let name = CString::new("security.capability").unwrap();
    let set = |path: PathBuf| {
        rustix::fs::setxattr(path, &name, capability, rustix::fs::XattrFlags::empty())
    };
    let has_capability =
        |path: PathBuf| rustix::fs::getxattr(path, &name, &mut [0_u8; 64][..]).is_ok();
    let with_capabilities = set(session.at("docs/capable")).is_ok();
    session.back_up(&["docs"]);

    session.restore(&["--target", "whole"]).expect(0);
    assert_eq!(session.mode("whole/docs/other"), 0o6755);
    assert_eq!(
        has_capability(session.at("whole/docs/capable")),
        with_capabilities
    );

    let output = session
        .restore(&["--target", "out", "--no-owner"])
        .expect(0);
    assert!(output.stdout.contains("whose owner differs"), "{output}");
    assert_eq!(session.mode("out/docs/other"), 0o755);
    assert_eq!(session.mode("out/docs/group"), 0o4755);
    assert_eq!(session.mode("out/docs/own"), 0o6755);
    assert!(!has_capability(session.at("out/docs/capable")));
    let again = session.restored(&["--target", "out", "--no-owner"]);
    assert_eq!(again["files_restored"], 0, "{again}");
    assert_eq!(
        again["privileges_dropped"], 2,
        "the files are still missing: {again}"
    );
    assert_eq!(session.mode("out/docs/other"), 0o755);

    session.give("repository", NOBODY);
    fs::create_dir(session.at("nobody")).unwrap();
    chown(session.at("nobody"), Some(NOBODY), Some(NOBODY)).unwrap();
    let arguments = ["restore", "latest", "--target", "nobody", "--no-cache"];
    let output = session.run_as_nobody(&arguments).unwrap().expect(0);
    assert!(output.stdout.contains("whose owner differs"), "{output}");
    for name in ["other", "own", "group"] {
        assert_eq!(
            session.mode(&format!("nobody/docs/{name}")),
            0o755,
            "{name}"
        );
    }
}

#[test]
fn privilege_options_leave_out_privileges() {
    if !is_root() {
        return skip("only root may make devices");
    }
    let session = with_privileges();
    let arguments = ["--no-devices", "--no-setid", "--no-xattrs", "user.s*"];
    let output = session.restore(&[&["--target", "out"], &arguments[..]].concat());
    let output = output.expect(0);
    assert!(output.stdout.contains("left out"), "{output}");
    assert!(!session.at("out/docs/null").exists());
    assert_eq!(session.mode("out/docs/setid"), 0o755);
    assert_eq!(attributes(&session.at("out/docs/setid")), ["user.keep"]);
    let dry = session.restored(&[&["--target", "dry", "--dry-run"], &arguments[..]].concat());
    assert_eq!(dry["left_out"], 2, "{dry}");
}

#[test]
fn repository_writable_by_other_user_restores_no_privileges() {
    if !is_root() {
        return skip("only root may make devices");
    }
    let session = with_privileges();
    session.restore(&["--target", "own"]).expect(0);
    assert_eq!(session.mode("own/docs/setid"), 0o6755);
    assert!(session.at("own/docs/null").exists());

    session.give("repository", OTHER);
    let output = session.restore(&["--target", "foreign"]).expect(3);
    assert!(output.stderr.contains("--trust-repository"), "{output}");
    assert_eq!(session.mode("foreign/docs/setid"), 0o755);
    assert!(!session.at("foreign/docs/null").exists());
    // A second run restores nothing, and the existing entries still lack the bits.
    for more in [&[][..], &["--dry-run"]] {
        let output = session.restore(&[&["--target", "foreign"], more].concat());
        let output = output.expect(3);
        assert!(output.stdout.contains("attributes: 2 entries"), "{output}");
    }
    assert_eq!(session.read("foreign/docs/a.txt"), "hello\n");

    session
        .restore(&["--target", "trusted", "--trust-repository"])
        .expect(0);
    assert_eq!(session.mode("trusted/docs/setid"), 0o6755);

    session.give("repository", 0);
    session.set_mode("repository/packs", 0o777);
    session.restore(&["--target", "writable"]).expect(3);
    assert_eq!(session.mode("writable/docs/setid"), 0o755);
}

/// With a set-user-ID file, a device and attributes.
fn with_privileges() -> Session {
    let session = Session::with_backup();
    session.write("docs/setid", "program");
    session.set_mode("docs/setid", 0o6755);
    for name in ["user.keep", "user.secret"] {
        let path = session.at("docs/setid");
        rustix::fs::setxattr(path, name, b"1", rustix::fs::XattrFlags::empty()).unwrap();
    }
    let null = session.at("docs/null");
    let made = Command::new("mknod")
        .arg(null)
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    session.back_up(&["docs"]);
    session
}

fn attributes(path: &Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::listxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..len]).into_owned();
    let mut names: Vec<_> = names.split_terminator('\0').map(str::to_owned).collect();
    names.retain(|name| name.starts_with("user."));
    names.sort();
    names
}

/// Files on two file systems can have the same inode number, and a hard link cannot lead from one file system to another.
#[test]
fn same_inode_on_two_file_systems_is_restored_as_two_files() {
    let session = Session::with_backup();
    session.write("docs/1/file", "wanted");
    fs::create_dir(session.at("docs/2")).unwrap();
    for name in ["docs/2/file", "docs/2/second", "docs/3"] {
        fs::hard_link(session.at("docs/1/file"), session.at(name)).unwrap();
    }
    set_time(&session.at("docs/1/file"), 1_600_000_000, 0);
    session.back_up(&["docs"]);
    let mounts = [session.at("out/docs/1"), session.at("out/docs/2")];
    for at in &mounts {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(at)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            return skip("no right to mount");
        }
    }
    session.write("out/docs/1/file", "wanted");
    set_time(&session.at("out/docs/1/file"), 1_600_000_000, 0);
    session.write("out/docs/2/file", "STALE!");
    let inode = |path| fs::metadata(session.at(path)).unwrap().ino();
    let is_same = inode("out/docs/1/file") == inode("out/docs/2/file");
    let output = session.restore(&["--target", "out"]);
    let found = [
        "out/docs/1/file",
        "out/docs/2/file",
        "out/docs/2/second",
        "out/docs/3",
    ]
    .map(|path| fs::read_to_string(session.at(path)).unwrap_or_default());
    let is_linked = inode("out/docs/2/file") == inode("out/docs/2/second");
    for at in &mounts {
        assert!(
            Command::new("umount")
                .arg("-l")
                .arg(at)
                .status()
                .unwrap()
                .success()
        );
    }
    assert!(is_same, "the two had one inode number");
    let output = output.expect(0);
    assert_eq!(found, ["wanted"; 4], "{output}");
    assert!(is_linked, "all names that can be linked are linked");
    assert!(output.stderr.contains("a separate file"), "{output}");
}

#[test]
fn hard_link_is_restored_when_first_name_cannot_be_written() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::with_backup();
    session.write("docs/1/file", noise(5, 300_000));
    for name in ["2", "3"] {
        fs::hard_link(
            session.at("docs/1/file"),
            session.at(&format!("docs/{name}")),
        )
        .unwrap();
    }
    session.back_up(&["docs"]);
    session.give("repository", NOBODY);
    fs::create_dir_all(session.at("out/docs/1")).unwrap();
    session.give("out", NOBODY);
    // No entry can be created in this folder.
    session.give("out/docs/1", 0);
    session.set_mode("out/docs/1", 0o555);
    let arguments = ["restore", "latest", "--target", "out", "--no-cache"];
    let output = session.run_as_nobody(&arguments).unwrap().expect(3);
    let wanted = fs::read(session.at("docs/1/file")).unwrap();
    assert_eq!(
        fs::read(session.at("out/docs/2")).unwrap(),
        wanted,
        "{output}"
    );
    let inode = |path| fs::metadata(session.at(path)).unwrap().ino();
    assert_eq!(inode("out/docs/2"), inode("out/docs/3"), "{output}");
}

#[test]
fn user_can_restore_into_own_read_only_folder() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::with_backup();
    session.write("docs/closed/inner/file", "wanted");
    session.set_mode("docs/closed/inner", 0o555);
    session.set_mode("docs/closed", 0o500);
    session.back_up(&["docs"]);
    session.give("repository", NOBODY);
    fs::create_dir(session.at("out")).unwrap();
    session.give("out", NOBODY);
    let run = |more: &[&str]| {
        let arguments = [
            &["restore", "latest", "--target", "out", "--no-cache"],
            more,
        ]
        .concat();
        session.run_as_nobody(&arguments).unwrap()
    };
    run(&[]).expect(0);
    for paths in [&[][..], &["docs/closed/inner/file"]] {
        fs::remove_file(session.at("out/docs/closed/inner/file")).unwrap();
        session.set_mode("out/docs/closed", 0o100);
        run(paths).expect(0);
        assert_eq!(session.read("out/docs/closed/inner/file"), "wanted");
        assert_eq!(session.mode("out/docs/closed/inner"), 0o555);
        let wanted = if paths.is_empty() { 0o500 } else { 0o100 };
        assert_eq!(session.mode("out/docs/closed"), wanted, "{paths:?}");
    }
    // Surplus entries are deleted, including read-only folders.
    session.write("out/docs/surplus/closed/file", "");
    session.give("out/docs/surplus", NOBODY);
    session.set_mode("out/docs/surplus/closed", 0o555);
    run(&["--delete"]).expect(0);
    assert!(!session.at("out/docs/surplus").exists());
}

/// Starts a restore of a large tree, and stops it early, while it has unfinished files.
fn start_restore(session: &Session) -> std::process::Child {
    start_restore_with(session, &[])
}

/// The same, with more arguments.
fn start_restore_with(session: &Session, more: &[&str]) -> std::process::Child {
    for number in 0..40 {
        session.write(&format!("docs/large/{number}"), noise(number, 3_000_000));
    }
    session.back_up(&["docs"]);
    for _ in 0..20 {
        // The tests may have been started by nohup; then br ignores SIGHUP.
        let program = ["--default-signal=HUP", env!("CARGO_BIN_EXE_br-dup")];
        let mut child = session
            .br
            .clone()
            .program("env")
            .command(program)
            .args(["restore", "latest", "--target", "out", "--threads", "1"])
            .args(more)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        if is_stopped_early(session, &child) {
            return child;
        }
        // The machine was busy with something else at the wrong moment.
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(session.at("out")).unwrap();
    }
    panic!("the test never saw an unfinished file");
}

/// Stops a restore as soon as it has unfinished files; false if it has already written too much.
fn is_stopped_early(session: &Session, child: &std::process::Child) -> bool {
    for _ in 0..20_000 {
        if !leftovers(session).is_empty() {
            signal(child, "-STOP");
            // It may take a moment to stop.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let names = session.names("out/docs/large");
            let finished = names
                .iter()
                .filter(|name| !name.starts_with(".br-"))
                .count();
            if finished > 20 {
                return false;
            }
            if !leftovers(session).is_empty() {
                return true;
            }
            signal(child, "-CONT");
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    false
}

fn signal(child: &std::process::Child, signal: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status();
    assert!(sent.unwrap().success());
}

/// The unfinished files and the records of restores.
fn leftovers(session: &Session) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["out/docs/large", "out/docs", "out"] {
        if session.at(folder).is_dir() {
            let names = fs::read_dir(session.at(folder)).unwrap();
            let names = names.filter_map(|item| item.ok()?.file_name().into_string().ok());
            let is_unfinished =
                |name: &String| name.starts_with(".br-") && !name.ends_with("-restore");
            found.extend(names.filter(is_unfinished));
        }
    }
    found
}

#[test]
fn restore_removes_leftovers_of_killed_restore() {
    let session = Session::with_backup();
    let mut child = start_restore(&session);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = leftovers(&session);
    assert!(
        !left.is_empty(),
        "the killed restore left an unfinished file"
    );
    session.write("out/docs/large/.br-0123456789abcdef", "not of that restore");
    // A restore of something else into the same folder.
    let dry = session.restored(&["docs/a.txt", "--target", "out", "--dry-run"]);
    assert_eq!(dry["leftovers_removed"], 0);
    assert_eq!(leftovers(&session).len(), left.len() + 1);
    let report = session.restored(&["docs/a.txt", "--target", "out"]);
    assert_eq!(report["leftovers_removed"], left.len(), "{report}");
    assert_eq!(leftovers(&session), [".br-0123456789abcdef"]);
    assert_eq!(session.names("out"), ["docs"], "no record stays");
}

#[test]
fn restore_keeps_unfinished_files_of_running_restore() {
    let session = Session::with_backup();
    let mut child = start_restore(&session);
    let living = leftovers(&session);
    let report = session.restored(&["docs/a.txt", "--target", "out"]);
    assert_eq!(report["leftovers_removed"], 0, "{report}");
    assert_eq!(leftovers(&session), living);
    signal(&child, "-CONT");
    assert!(child.wait().unwrap().success());
    assert!(leftovers(&session).is_empty());
    let original = Snapshot::of(session.at("docs"));
    original.assert_same(
        &Snapshot::of(session.at("out/docs")),
        "the restore continued",
    );
}

#[test]
fn closed_terminal_ends_restore_cleanly() {
    let session = Session::with_backup();
    let mut status = None;
    // On a busy machine the restore may end before the signal arrives.
    for _ in 0..20 {
        let mut child = start_restore(&session);
        signal(&child, "-HUP");
        signal(&child, "-CONT");
        let ended = child.wait().unwrap();
        status = Some(ended);
        if !ended.success() {
            break;
        }
        fs::remove_dir_all(session.at("out")).unwrap();
    }
    let status = status.unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    assert!(leftovers(&session).is_empty(), "no unfinished file is left");
    assert!(
        !session
            .names("out")
            .iter()
            .any(|name| name.starts_with(".br-"))
    );
}

/// Symptom: a dry run treated a folder that its owner may not read as empty, and did not show what the real run deletes in it. Cause: an
/// error while reading the folder counted as "no entries". Fix: br reports the error.
#[test]
fn dry_run_reports_unreadable_folder() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::with_backup();
    session.write("docs/closed/file", "new");
    session.write("docs/closed/inner/file", "new");
    session.back_up(&["docs"]);
    session.give("repository", NOBODY);
    session.write("out/docs/closed/file", "old");
    session.write("out/docs/closed/stranger", "precious");
    session.give("out", NOBODY);
    let restore = |more: &[&str]| {
        let arguments = ["restore", "latest", "--target", "out", "--no-cache", "-v"];
        let arguments = [&arguments[..], more].concat();
        session.run_as_nobody(&arguments).unwrap()
    };
    for mode in [0, 0o640] {
        for more in [&["--dry-run"][..], &["--dry-run", "--delete"]] {
            session.set_mode("out/docs/closed", mode);
            let output = restore(more).expect(3);
            let reason =
                "its owner has no permission to read it: a dry run cannot see its contents";
            assert!(output.stderr.contains(reason), "{output}");
            assert!(output.stderr.contains("docs/closed"), "{output}");
            let all = output.to_string();
            assert!(
                !all.contains("closed/file"),
                "the message does not guess: {output}"
            );
            assert!(
                !all.contains("closed/inner"),
                "the message does not guess: {output}"
            );
            assert_eq!(session.mode("out/docs/closed"), mode);
        }
    }
    // Names of a folder that may be entered but not listed are unknown only to a restore that deletes.
    session.set_mode("out/docs/closed", 0o300);
    restore(&["--dry-run"]).expect(0);
    restore(&["--dry-run", "--delete"]).expect(3);
    session.set_mode("out/docs/closed", 0);
    restore(&["--delete"]).expect(0);
    assert_eq!(session.names("out/docs/closed"), ["file", "inner"]);
}

/// In an unreadable folder of another user every entry fails, with the same messages in both runs.
#[test]
fn unreadable_entries_fail_in_dry_and_real_run() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::with_backup();
    session.write("docs/closed/file", "new");
    session.back_up(&["docs"]);
    session.give("repository", NOBODY);
    session.write("out/docs/closed/file", "old");
    session.give("out", NOBODY);
    session.give("out/docs/closed", 0);
    session.set_mode("out/docs/closed", 0o700);
    for more in [&["--dry-run", "--delete"][..], &["--delete"]] {
        let arguments = ["restore", "latest", "--target", "out", "--no-cache", "-v"];
        let arguments = [&arguments[..], more].concat();
        let output = session.run_as_nobody(&arguments).unwrap().expect(3);
        let told = "cannot look at `docs/closed/file`";
        assert!(output.stderr.contains(told), "{output}");
        let told = "cannot list the folder `docs/closed`";
        assert!(output.stderr.contains(told), "{output}");
    }
    assert_eq!(session.read("out/docs/closed/file"), "old");
}

/// Symptom: with `--overwrite never`, a restore replaced a file that appeared after br had looked at its path. Cause: br used a plain rename
/// to give a file its name. Fix: with this option, br uses a rename that replaces nothing.
#[test]
fn overwrite_never_keeps_file_that_appears_during_restore() {
    let session = Session::with_backup();
    session.write("docs/zz/inline", "from the backup");
    symlink("from the backup", session.at("docs/zz/link")).unwrap();
    fs::create_dir(session.at("docs/zz/folder")).unwrap();
    let mut child = start_restore_with(&session, &["--overwrite", "never"]);
    let mut mine = Vec::new();
    for number in 0..40 {
        let path = format!("out/docs/large/{number}");
        if !session.at(&path).exists() {
            session.write(&path, "mine");
            mine.push(path);
        }
    }
    let others = ["out/docs/zz/inline", "out/docs/zz/link"].map(str::to_owned);
    for path in others {
        if !session.at(&path).exists() {
            session.write(&path, "mine");
            mine.push(path);
        }
    }
    signal(&child, "-CONT");
    child.wait().unwrap();
    assert!(!mine.is_empty(), "some files were still missing");
    for path in &mine {
        assert_eq!(session.read(path), "mine", "{path}");
    }
    assert!(leftovers(&session).is_empty(), "no unfinished file is left");
}

/// Symptom: an unchanged file kept attributes that the backup does not have, even an ACL that lets others write. Cause: br compared only size,
/// time, permissions and owner.
#[test]
fn attributes_of_an_unchanged_file_are_corrected() {
    let session = Session::with_backup();
    let path = session.at("docs/a.txt");
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty())
    };
    if set(&path, "user.mine", b"1").is_err() {
        return skip("the file system has no attributes");
    }
    session.back_up(&["docs"]);
    session.restore(&["--target", "out"]).expect(0);
    let copy = session.at("out/docs/a.txt");
    let unchanged = session.restore(&["--target", "out", "-n", "-v"]).expect(0);
    assert!(!unchanged.to_string().contains("correct"), "{unchanged}");
    // Owner rw, user 1000 rw, group r, mask rw, others r.
    let acl: Vec<u8> = [
        &2_u32.to_le_bytes()[..],
        b"\x01\0\x06\0\xff\xff\xff\xff",
        b"\x02\0\x06\0\xe8\x03\0\0",
        b"\x04\0\x04\0\xff\xff\xff\xff",
        b"\x10\0\x04\0\xff\xff\xff\xff",
        b"\x20\0\x04\0\xff\xff\xff\xff",
    ]
    .concat();
    let spoil: [&dyn Fn(); 3] = [
        &|| set(&copy, "user.mine", b"2").unwrap(),
        &|| set(&copy, "user.foreign", b"1").unwrap(),
        &|| {
            // Without ACLs on this file system there is nothing to be removed.
            set(&copy, "system.posix_acl_access", &acl).ok();
            rustix::fs::removexattr(&copy, "user.mine").unwrap();
        },
    ];
    for spoil in spoil {
        spoil();
        for more in [&["-n"][..], &[]] {
            let arguments = [&["--target", "out", "-v"], more].concat();
            let output = session.restore(&arguments).expect(0);
            let told = output.to_string();
            let mut lines = told.lines().filter(|line| line.contains("docs/a.txt"));
            // Only a dry run lists its actions.
            assert!(lines.all(|line| line.starts_with("correct")), "{told}");
            assert_eq!(told.contains("docs/a.txt"), more == ["-n"], "{told}");
        }
        assert_eq!(attributes(&copy), ["user.mine"]);
        let mut value = [0; 8];
        let len = rustix::fs::getxattr(&copy, "user.mine", &mut value[..]).unwrap();
        assert_eq!(&value[..len], b"1");
        let acl = rustix::fs::getxattr(&copy, "system.posix_acl_access", &mut [0; 64][..]);
        assert!(acl.is_err(), "the other user's permission is removed");
    }
}

/// Symptom: a restore emptied a mounted file system. Cause: data that `backup -x` had left out counted as surplus.
#[test]
fn mounted_file_system_missing_from_backup_is_not_emptied() {
    let session = Session::with_backup();
    fs::create_dir(session.at("docs/mounted")).unwrap();
    session.write("docs/full/in the backup", "x");
    session.back_up(&["docs"]);
    session.restore(&["--target", "out"]).expect(0);
    let at = session.at("out/docs/mounted");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&at)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return skip("no right to mount");
    }
    session.write("out/docs/mounted/precious", "x");
    session.write("out/docs/full/surplus", "x");
    let dry = session.restore(&["--target", "out", "--delete", "-n", "-v"]);
    let real = session.restore(&["--target", "out", "--delete", "-v"]);
    let there = session.at("out/docs/mounted/precious").exists();
    let unmounted = Command::new("umount").arg("-l").arg(&at).status();
    assert!(unmounted.unwrap().success());
    assert!(there, "{real}");
    for output in [dry, real] {
        let told = "docs/mounted was not emptied: another file system is mounted there";
        assert!(output.stderr.contains(told), "{output}");
        assert!(output.to_string().contains("docs/full/surplus"), "{output}");
    }
    assert!(!session.at("out/docs/full/surplus").exists());
}

/// Symptom: br reported "deleted 0 entries" after it had deleted half of a folder.
#[test]
fn failed_deletion_reports_deleted_entries() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::with_backup();
    session.give("repository", NOBODY);
    session.write("out/docs/surplus/a", "goes");
    session.write("out/docs/surplus/b/stays", "belongs to another user");
    session.give("out", NOBODY);
    session.give("out/docs/surplus/b", 0);
    session.set_mode("out/docs/surplus/b", 0o755);
    let arguments = ["restore", "latest", "--target", "out", "--no-cache"];
    let arguments = [&arguments[..], &["--delete"]].concat();
    let output = session.run_as_nobody(&arguments).unwrap().expect(3);
    assert_eq!(session.names("out/docs/surplus"), ["b"]);
    let told = "1 of the entries in it is deleted already";
    assert!(output.stderr.contains(told), "{output}");
}

/// Symptom: a dry run accepted a target that the real restore refused.
#[test]
fn a_dry_run_refuses_the_targets_that_a_real_run_refuses() {
    let session = Session::with_backup();
    session.write("plain", "a file");
    symlink("nowhere", session.at("dangling")).unwrap();
    for target in [
        "plain",
        "plain/below",
        "plain/below/deep",
        "dangling",
        "dangling/below",
        "dangling/below/deep",
    ] {
        let real = session.restore(&["--target", target]);
        let dry = session.restore(&["--target", target, "--dry-run"]);
        assert_ne!(real.code, Some(0), "{target}: {real}");
        assert_eq!(dry.code, real.code, "{target}: {dry}");
        assert_eq!(dry.stderr, real.stderr, "{target}");
    }
    session.restore(&["--target", "new/folder", "-n"]).expect(0);
    assert!(!session.at("new").exists());
}

/// Symptom: on a case-insensitive file system, a restore of `README` over `readme` deleted the file as surplus.
#[test]
fn another_spelling_of_one_file_is_not_surplus() {
    let session = Session::with_backup();
    session.write("docs/README", "wanted");
    session.back_up(&["docs"]);
    session.restore(&["--target", "out"]).expect(0);
    // A hard link has the same effect as such a file system: two names lead to one file.
    let (one, other) = ("out/docs/README", "out/docs/readme");
    fs::hard_link(session.at(one), session.at(other)).unwrap();
    session.write("out/docs/ReadMe", "another file");
    for more in [&["--dry-run"][..], &[]] {
        let summary = session.restored(&[&["--target", "out", "--delete"], more].concat());
        let deleted: Vec<_> = summary["deleted"].as_array().unwrap().iter().collect();
        assert_eq!(deleted, ["docs/ReadMe"], "{summary}");
    }
    assert_eq!(session.read(one), "wanted");
    assert_eq!(session.read(other), "wanted");
}
