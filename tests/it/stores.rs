//! What holds does not depend on where the objects are: the same tests again, on other stores.
//!
//! The tests choose their store by the environment (`br_testkit::StoreKind`); here this very program is run once more for
//! each kind.

use std::process::Command;

use br_testkit::{Endpoint, StoreKind, skip};

/// Themes with a separate store or without a store.
const ELSEWHERE: &[&str] = &[
    "chaos::",
    "cli::",
    "clouds::",
    "full::",
    "kill::",
    "s3::",
    "stores::",
    "threads::",
    "tidy::",
];
/// Themes that are on local disk already.
const ON_DISK: &[&str] = &[
    "backup::",
    "cancel::",
    "changing::",
    "large::",
    "restore::",
    "stream::",
];

#[test]
fn repository_works_on_local_disk() {
    run_all_on(StoreKind::Local, ON_DISK);
}

#[test]
fn repository_works_on_s3_server() {
    run_all_on(StoreKind::S3, &[]);
}

#[test]
fn repository_works_on_s3_server_of_environment() {
    if Endpoint::from_env().is_none() {
        skip("no BR_TEST_S3_ENDPOINT; docs/testing.md explains how to start a server");
        return;
    }
    run_all_on(StoreKind::Endpoint, &[]);
}

fn run_all_on(kind: StoreKind, without: &[&str]) {
    if StoreKind::chosen().is_some() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(StoreKind::VARIABLE, kind.name());
    for theme in ELSEWHERE.iter().chain(without) {
        command.args(["--skip", theme]);
    }
    if kind == StoreKind::Endpoint {
        // Such a server lets wait more than it lets work.
        command.arg("--test-threads=8");
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
    assert!(passed > 40, "{passed} tests ran on {}", kind.name());
}
