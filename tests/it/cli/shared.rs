//! A repository that several users share.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use br_testkit::{BrOutput, is_root, skip};

use super::Session;

const GROUP: u32 = 40_100;

/// Runs br as a user with a separate home and a umask.
fn run_as(session: &Session, user: u32, group: u32, umask: &str, words: &str) -> BrOutput {
    let program = session.dir.path().join("br-of-everybody");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_br-dup"), &program).unwrap();
        fs::set_permissions(session.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let home = session.dir.path().join(format!("home-{user}"));
    if !home.exists() {
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(user), Some(group)).unwrap();
    }
    let br = session.br.clone().program("/bin/sh");
    let line = format!("umask {umask}; exec {} {words}", program.display());
    let mut command = br.command(["-c", &line]);
    command.env("BR_CACHE_DIR", home.join("cache"));
    command.uid(user).gid(group).output().unwrap().into()
}

fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    let mut next = 0;
    while next < all.len() {
        let path = all[next].clone();
        next += 1;
        if path.is_dir() {
            all.extend(fs::read_dir(path).unwrap().map(|item| item.unwrap().path()));
        }
    }
    all
}

#[test]
fn group_members_share_repository_with_any_umask() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::new();
    let repository = session.dir.path().join("shared");
    fs::create_dir(&repository).unwrap();
    std::os::unix::fs::chown(&repository, Some(40_001), Some(GROUP)).unwrap();
    let run = |user, umask, words: &str| {
        run_as(
            &session,
            user,
            GROUP,
            umask,
            &format!("{words} -r {}", repository.display()),
        )
    };
    run(40_001, "077", "init --shared").expect(0);
    for (user, umask) in [
        (40_001, "077"),
        (40_002, "022"),
        (40_003, "077"),
        (40_001, "002"),
    ] {
        run(user, umask, &format!("backup docs --host h{user}")).expect(0);
        run(user, umask, "check --read-data").expect(0);
    }
    run(40_002, "077", "delete latest").expect(0);
    run(40_003, "077", "prune").expect(0);
    for path in everything_in(&repository) {
        let meta = fs::metadata(&path).unwrap();
        let wanted = if meta.is_dir() { 0o2770 } else { 0o660 };
        assert_eq!(meta.mode() & 0o7777, wanted, "{}", path.display());
        assert_eq!(meta.gid(), GROUP, "{}", path.display());
    }
    let output = run_as(
        &session,
        40_004,
        40_200,
        "022",
        &format!("list -r {}", repository.display()),
    );
    assert_ne!(output.code, Some(0), "others see nothing: {output}");
}

#[test]
fn repository_is_private_unless_shared() {
    if !is_root() {
        return skip("only root can switch to another user");
    }
    let session = Session::new();
    let repository = session.dir.path().join("private");
    fs::create_dir(&repository).unwrap();
    fs::set_permissions(&repository, fs::Permissions::from_mode(0o775)).unwrap();
    std::os::unix::fs::chown(&repository, Some(40_001), Some(GROUP)).unwrap();
    let run = |user, words: &str| {
        run_as(
            &session,
            user,
            GROUP,
            "002",
            &format!("{words} -r {}", repository.display()),
        )
    };
    run(40_001, "init").expect(0);
    run(40_001, "backup docs").expect(0);
    for path in everything_in(&repository).into_iter().skip(1) {
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
    }
    assert_ne!(run(40_002, "list").code, Some(0));
}
