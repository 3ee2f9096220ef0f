//! Two machines back up into one bucket at the same time, with the real program.

use std::fs;
use std::path::Path;
use std::process::Child;

use br_testkit::s3::S3Server;
use br_testkit::{BrCmd, Endpoint, noise, skip};

use crate::cli;

const MACHINES: [&str; 2] = ["a", "b"];

#[test]
fn concurrent_backups_of_two_machines_into_one_bucket_succeed() {
    let server = S3Server::start();
    server.create_bucket("bucket");
    let here = Endpoint {
        url: server.endpoint(),
        access_key: server.access_key().to_owned(),
        secret_key: server.secret_key().to_owned(),
        bucket: "bucket".to_owned(),
        region: "us-east-1".to_owned(),
    };
    run(&here, 6);
}

#[test]
fn two_machines_back_up_into_the_server_of_the_environment() {
    match Endpoint::from_env() {
        Some(there) => run(&there, 50),
        None => skip("no BR_TEST_S3_ENDPOINT; docs/testing.md explains how to start a server"),
    }
}

/// Has both machines back up `rounds` times, each time at once, and restores every backup.
fn run(there: &Endpoint, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let folder = format!("two-machines-{}", std::process::id());
    let machines = MACHINES.map(|name| machine(there, &folder, &dir.path().join(name)));
    machines[0].run(["init", "--quiet"]).expect(0);
    for round in 0..rounds {
        let running: Vec<Child> = MACHINES
            .iter()
            .zip(&machines)
            .map(|(name, br)| {
                change(br.home(), name, round);
                let tag = format!("{name}{round}");
                let backup = ["backup", "data", "--quiet", "--host", name, "--tag", &tag];
                let mut command = br.command(backup);
                command.spawn().unwrap()
            })
            .collect();
        for mut child in running {
            assert!(child.wait().unwrap().success(), "round {round}");
        }
    }
    machines[0].run(["check", "--read-data"]).expect(0);
    for (name, br) in MACHINES.iter().zip(&machines) {
        for round in 0..rounds {
            let tag = format!("{name}{round}");
            let listed = br.run(["--json", "list", "--tag", &tag]).expect(0).stdout;
            let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
            let id = find_id(&listed).expect("the backup is listed");
            br.run(["restore", &id, "--target", "out", "--quiet"])
                .expect(0);
            let restored = br.home().join("out/data");
            assert_eq!(
                fs::read(restored.join("changing")).unwrap(),
                content(name, round)
            );
            assert_eq!(fs::read(restored.join("same")).unwrap(), noise(1, 100_000));
            fs::remove_dir_all(br.home().join("out")).unwrap();
        }
    }
}

fn machine(there: &Endpoint, folder: &str, home: &Path) -> BrCmd {
    fs::create_dir_all(home.join("data")).unwrap();
    fs::write(home.join("data/same"), noise(1, 100_000)).unwrap();
    cli::br(home)
        .env("BR_REPOSITORY", &there.location(folder).to_string())
        .env("BR_S3_ACCESS_KEY_ID", &there.access_key)
        .env("BR_S3_SECRET_ACCESS_KEY", &there.secret_key)
}

fn change(home: &Path, name: &str, round: u64) {
    fs::write(home.join("data/changing"), content(name, round)).unwrap();
}

fn content(name: &str, round: u64) -> Vec<u8> {
    noise(round * 2 + u64::from(name == "a") + 10, 20_000)
}

/// The first id in a listing, at any position.
fn find_id(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Object(fields) => match fields.get("id") {
            Some(serde_json::Value::String(id)) => Some(id.clone()),
            _ => fields.values().find_map(find_id),
        },
        serde_json::Value::Array(items) => items.iter().find_map(find_id),
        _ => None,
    }
}
