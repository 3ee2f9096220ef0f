//! Kills the real program at random moments: listed backups are complete, and the next run continues.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use br_testkit::{BrCmd, Noise, TreeFixture};

use crate::cli::{br, json};

/// Some hundred megabytes that take a while to back up.
fn tree() -> TreeFixture {
    let fixture = TreeFixture::new();
    let mut random = Noise::new(1);
    for folder in 0..10 {
        for file in 0..30 {
            let mut content = vec![0; 100_000 + random.below(1_000_000)];
            random.fill(&mut content);
            fixture.write(&format!("{folder}/{file}"), content);
        }
    }
    fixture.settle();
    fixture
}

fn backup(br: &BrCmd, fixture: &TreeFixture) -> Vec<String> {
    let tree = fixture.tree();
    let _ = br;
    [
        "-r",
        "repository",
        "--cache-dir",
        "cache",
        "--json",
        "backup",
        tree.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn killed_backup_leaves_intact_repository_and_next_run_continues() {
    let fixture = tree();
    let before = fixture.tree();
    let start = std::time::Instant::now();
    let probe = br(&fixture.at("probe"));
    probe.run(["-r", "repository", "init"]).expect(0);
    probe.run(backup(&probe, &fixture)).expect(0);
    let whole = start.elapsed();
    let mut resumed = 0;
    let mut committed = 0;
    for round in 1..=12_u32 {
        let br = br(&fixture.at(&format!("home{round}")));
        br.run(["-r", "repository", "init"]).expect(0);
        let mut child = br
            .command(backup(&br, &fixture))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * round / 13);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let killed = status.signal() == Some(9);
        let list = json(
            &br.run(["-r", "repository", "--json", "list"])
                .expect(0)
                .stdout,
        );
        let listed = list["backups"].as_array().unwrap().len();
        assert!(
            listed <= 1 && (killed || listed == 1),
            "round {round}: {status}: {listed} listed"
        );
        committed += listed;
        let check = br
            .run(["-r", "repository", "--json", "check", "--read-data"])
            .expect(0);
        assert_eq!(json(&check.stdout)["sound"], true, "round {round}: {check}");
        let next = br.run(backup(&br, &fixture)).expect(0);
        let summary = json(&next.stdout);
        assert_eq!(summary["backup"]["files"], 300, "round {round}");
        resumed += summary["packs_resumed"].as_u64().unwrap();
        br.run(["-r", "repository", "--json", "check", "--read-data"])
            .expect(0);
        if round % 5 == 0 {
            br.run(["-r", "repository", "restore", "latest", "--target", "out"])
                .expect(0);
            let below = before.strip_prefix("/").unwrap();
            let copy = br_testkit::Snapshot::of(br.home().join("out").join(below));
            br_testkit::Snapshot::of(&before).assert_same(&copy, "what was resumed is whole");
        }
        std::fs::remove_dir_all(br.home()).unwrap();
    }
    assert!(resumed > 0, "the next run uses packs of a killed run");
    assert!(committed < 12, "most runs were killed before they ended");
}

#[test]
fn interrupted_backup_ends_cleanly() {
    let fixture = tree();
    let br = br(&fixture.at("home"));
    br.run(["-r", "repository", "init"]).expect(0);
    for signal in ["-INT", "-TERM"] {
        // Slow on any machine: the signal must come in the middle.
        let slowly = ["--compression", "19", "--threads", "1"].map(str::to_owned);
        let mut command = br.command([backup(&br, &fixture), slowly.to_vec()].concat());
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let status = std::process::Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        let output = br_testkit::BrOutput::from(child.wait_with_output().unwrap()).expect(130);
        let last = output.stderr.lines().last().unwrap();
        assert_eq!(json(last)["code"], 130, "{last}");
        assert_eq!(output.stdout, "", "the killed run printed no result");
    }
    let list = json(
        &br.run(["-r", "repository", "--json", "list"])
            .expect(0)
            .stdout,
    );
    assert_eq!(list["backups"], serde_json::json!([]), "nothing is listed");
    br.run(["-r", "repository", "check", "--read-data"])
        .expect(0);
    br.run(backup(&br, &fixture)).expect(0);
    br.run(["-r", "repository", "check", "--read-data"])
        .expect(0);
}
