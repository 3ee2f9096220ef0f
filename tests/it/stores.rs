//! Runs the tests of each theme again on other stores: they must pass on every store.
//!
//! The tests of a theme choose their store by the environment (`br_testkit::StoreKind`). Each test here runs one theme on one store, by
//! running this program again.

use std::process::Command;

use br_testkit::{Endpoint, StoreKind, skip};

/// Themes with a separate store or without a store.
const ELSEWHERE: [&str; 10] = [
    "chaos", "cli", "clouds", "full", "kill", "s3", "stores", "support", "threads", "tidy",
];
/// Themes that are on local disk already.
const ON_DISK: [&str; 7] = [
    "backup", "cancel", "changing", "command", "large", "restore", "stream",
];

/// Themes about the content of objects, which differ in nothing between servers. On a server they run only with all steps.
const SAME_ON_EVERY_SERVER: [&str; 7] = [
    "bundle",
    "damage",
    "fuzz",
    "key_slots",
    "repair",
    "rewrite",
    "snapshot",
];

/// Makes a test of each theme on a store, and the list of the themes.
macro_rules! on_store {
    ($store:ident, $kind:expr, $($theme:ident)*) => {
        mod $store {
            pub(super) const THEMES: &[&str] = &[$(stringify!($theme)),*];
            $(
                #[test]
                fn $theme() {
                    super::run(stringify!($theme), $kind);
                }
            )*
        }
    };
}

on_store! { local, br_testkit::StoreKind::Local,
    bundle backup_list concurrent copy crash damage delete delta entries export faults folder forget fuzz head key_slots keys label open prune repair rewrite snapshot spot state_machine
    undelete write_only
}
on_store! { s3, br_testkit::StoreKind::S3,
    backup bundle cancel backup_list changing command concurrent copy crash damage delete delta entries export faults folder forget fuzz head key_slots keys label large open prune repair restore rewrite
    snapshot spot state_machine stream undelete write_only
}
on_store! { endpoint, br_testkit::StoreKind::Endpoint,
    backup bundle cancel backup_list changing command concurrent copy crash damage delete delta entries export faults folder forget fuzz head key_slots keys label large open prune repair restore rewrite
    snapshot spot state_machine stream undelete write_only
}

/// Runs the tests of a theme on a store.
fn run(theme: &str, kind: StoreKind) {
    // This process was started by such a test, and runs one theme only.
    if StoreKind::chosen().is_some() {
        return;
    }
    if kind == StoreKind::Endpoint && Endpoint::from_env().is_none() {
        skip("no BR_TEST_S3_ENDPOINT; docs/testing.md explains how to start a server");
        return;
    }
    let is_same = SAME_ON_EVERY_SERVER.contains(&theme);
    if kind == StoreKind::Endpoint && is_same && !br_testkit::tries_all_steps() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(StoreKind::VARIABLE, kind.name());
    command.arg(format!("{theme}::"));
    for other in ELSEWHERE {
        command.args(["--skip", &format!("{other}::")]);
    }
    if kind == StoreKind::Endpoint {
        // Tests on a server wait more than they compute.
        command.arg("--test-threads=4");
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "on {}:\n{text}\n{}",
        kind.name(),
        String::from_utf8_lossy(&output.stderr)
    );
    let (_, passed) = text.rsplit_once("test result: ok. ").unwrap();
    let passed: u32 = passed.split(' ').next().unwrap().parse().unwrap();
    assert!(passed > 0, "no test of {theme} ran on {}", kind.name());
}

#[test]
fn every_theme_runs_on_every_store() {
    let all = include_str!("main.rs").lines();
    let themes = all.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    for theme in themes.filter(|theme| !ELSEWHERE.contains(theme)) {
        assert!(s3::THEMES.contains(&theme), "{theme} on S3");
        assert!(endpoint::THEMES.contains(&theme), "{theme} on a server");
        let is_on_disk = ON_DISK.contains(&theme) != local::THEMES.contains(&theme);
        assert!(is_on_disk, "{theme} runs on local disk only once");
    }
}
