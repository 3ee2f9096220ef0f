//! Object lock: `br lock`, `br check --locked-for`, and a prune that meets locked objects.

use br_testkit::s3::Fault;
use br_testkit::{BrCmd, noise};

use super::super::Session;
use super::{Cloud, json};

const LOCKING: &str = "locking";

/// A repository in a bucket with object lock, with one backup.
fn cloud(default: Option<(&str, i32)>) -> Cloud {
    let mut cloud = Cloud::ready();
    cloud.server.create_locking_bucket(LOCKING, default);
    let url = format!(
        "s3://{LOCKING}/backups?endpoint={}",
        cloud.server.endpoint()
    );
    cloud.br = cloud.br.env("BR_REPOSITORY", &url);
    cloud.run("init").expect(0);
    cloud.run("backup docs --host h").expect(0);
    cloud
}

/// The modes of all objects, without repetitions; empty text for objects that are not locked.
fn modes(cloud: &Cloud) -> Vec<String> {
    let keys = cloud.server.keys(LOCKING);
    // What `init` tried out may stay, because this server does not delete locked objects.
    let kept = keys.iter().filter(|key| !key.contains("/probe/"));
    let attributes = kept.map(|key| cloud.server.attributes(LOCKING, key));
    let mut modes: Vec<_> = attributes
        .map(|of| of.lock_mode.unwrap_or_default())
        .collect();
    modes.sort();
    modes.dedup();
    modes
}

fn number(value: &serde_json::Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn everything_that_backups_need_is_locked_and_remembered() {
    let cloud = cloud(None);
    let output = cloud.run("check --locked-for 7d").expect(3);
    assert!(output.stdout.contains("warning: locks: "), "{output}");
    let planned = json(
        &cloud
            .run("lock extend --for 30d --dry-run --json")
            .expect(0)
            .stdout,
    );
    assert_eq!(modes(&cloud), [""], "a dry run locks nothing");
    let done = json(&cloud.run("lock extend --for 30d --json").expect(0).stdout);
    assert_eq!(modes(&cloud), ["GOVERNANCE"], "every object is needed");
    let objects = cloud.server.keys(LOCKING).len() as u64;
    assert_eq!(number(&planned, "to_extend"), objects);
    assert_eq!(number(&done["report"], "extended"), objects);
    assert_eq!(number(&done["report"], "requests"), objects, "one for each");
    cloud.run("check --locked-for 29d").expect(0);
    cloud.run("check --locked-for 31d").expect(3);

    // The next run has only the new objects to lock.
    cloud.session.write("docs/new", "new");
    cloud.run("backup docs --host h").expect(0);
    let status = json(&cloud.run("lock status --json").expect(0).stdout);
    let unlocked = number(&status, "unlocked");
    assert!(
        unlocked > 0 && number(&status, "governance") > 0,
        "{status}"
    );
    let next = json(&cloud.run("lock extend --for 30d --json").expect(0).stdout);
    assert_eq!(number(&next, "to_extend"), unlocked);
    let all = json(
        &cloud
            .run("lock extend --for 40d --at-least 40d --json")
            .expect(0)
            .stdout,
    );
    assert_eq!(number(&all, "fresh"), 0);
    cloud.run("check --locked-for 29d --read-data").expect(0);
}

#[test]
fn retention_is_never_shortened_or_weakened() {
    let cloud = cloud(Some(("COMPLIANCE", 30)));
    assert_eq!(modes(&cloud), ["COMPLIANCE"], "a backup locks its objects");
    let short = json(&cloud.run("lock extend --for 1d --json").expect(0).stdout);
    assert_eq!(short["mode"], "compliance", "as the bucket says");
    assert_eq!(
        number(&short["report"], "longer"),
        number(&short, "objects")
    );
    let weak = json(
        &cloud
            .run("lock extend --for 60d --mode governance --json")
            .expect(0)
            .stdout,
    );
    assert_eq!(modes(&cloud), ["COMPLIANCE"]);
    assert_eq!(
        number(&weak["report"], "extended"),
        number(&weak, "objects")
    );
    cloud.run("check --locked-for 59d").expect(0);
}

#[test]
fn governance_becomes_compliance_on_request() {
    let cloud = cloud(Some(("GOVERNANCE", 10)));
    cloud.run("lock extend --for 30d").expect(0);
    assert_eq!(modes(&cloud), ["GOVERNANCE"]);
    cloud
        .run("lock extend --for 30d --mode compliance")
        .expect(0);
    assert_eq!(modes(&cloud), ["COMPLIANCE"]);
}

#[test]
fn store_without_object_lock_is_refused_before_anything_is_done() {
    let session = Session::with_backup();
    let cloud = Cloud::ready();
    cloud.run("init").expect(0);
    cloud.run("backup docs --host h").expect(0);
    for br in [&session.br, &cloud.br] {
        for line in [
            "lock extend --for 30d",
            "lock extend --for 30d --dry-run",
            "lock status",
            "check --locked-for 7d",
        ] {
            let output = br.run(line.split(' ')).expect(2);
            assert!(
                output.stderr.contains("hint: turn on object lock"),
                "{output}"
            );
        }
    }
}

#[test]
fn extension_that_stops_is_continued_by_the_next_run() {
    let cloud = cloud(None);
    for time in ["0", "200y"] {
        let line = format!("lock extend --for {time}");
        cloud.run(&line).expect(2);
    }
    cloud.run("lock extend --for 1d --at-least 2d").expect(2);
    let count = std::sync::atomic::AtomicUsize::new(0);
    cloud.server.hook(move |request| {
        let is_lock = request.method == "PUT" && request.query.contains("retention");
        let number = count.fetch_add(usize::from(is_lock), std::sync::atomic::Ordering::Relaxed);
        (is_lock && number == 2).then_some(Fault::Status {
            code: 403,
            name: "AccessDenied",
        })
    });
    let output = cloud.run("lock extend --for 30d").expect(12);
    assert!(output.stderr.contains("s3:PutObjectRetention"), "{output}");
    cloud.server.clear_faults();
    let next = json(&cloud.run("lock extend --for 30d --json").expect(0).stdout);
    assert_eq!(number(&next, "to_extend"), 1, "{next}");
    cloud.run("check --locked-for 29d").expect(0);
}

#[test]
fn missing_object_that_a_backup_needs_is_reported() {
    let cloud = cloud(None);
    let keys = cloud.server.keys(LOCKING);
    let pack = keys.iter().find(|key| key.contains("/packs/")).unwrap();
    cloud.server.set_object(LOCKING, pack, None);
    let output = cloud.run("lock extend --for 30d").expect(14);
    assert!(output.stderr.contains("packs/"), "{output}");
    let status = json(&cloud.run("lock status --json").expect(0).stdout);
    assert_eq!(number(&status, "missing"), 1);
}

#[test]
fn prune_keeps_locked_packs_and_a_later_prune_deletes_them() {
    let cloud = cloud(None);
    cloud.run("lock extend --for 30d").expect(0);
    cloud.session.write("docs/a.txt", noise(7, 50_000));
    cloud.run("backup docs --host h").expect(0);
    cloud.run("delete latest~1 --yes").expect(0);
    let before = cloud.server.keys(LOCKING).len();
    let pruned = cloud.run("prune --max-unused 0% --json").expect(0);
    let pruned = json(&pruned.stdout);
    assert!(number(&pruned["report"], "locked") > 0, "{pruned}");
    assert_eq!(number(&pruned["report"], "failed"), 0);
    assert!(pruned["report"]["locked_until"].is_string());
    assert!(cloud.server.keys(LOCKING).len() >= before);
    cloud.run("check --read-data").expect(0);
    let again = cloud.run("prune --max-unused 0%").expect(0);
    assert!(again.stderr.contains("are locked until"), "{again}");
    cloud.server.end_retention(LOCKING);
    let last = json(&cloud.run("prune --max-unused 0% --json").expect(0).stdout);
    assert_eq!(number(&last["report"], "locked"), 0);
    assert!(number(&last["report"], "packs_deleted") > 0, "{last}");
    cloud.run("check --read-data").expect(0);
}

/// The owner of a bucket with object lock on a real server.
struct Owner {
    bucket: super::policy::Bucket,
    br: BrCmd,
}

impl Owner {
    fn new() -> Option<Self> {
        let bucket = super::policy::Bucket::locking()?;
        let br = bucket.br_of_owner();
        br.run(["init"]).expect(0);
        br.run(["backup", "docs", "--host", "h"]).expect(0);
        Some(Self { bucket, br })
    }

    fn json(&self, line: &str) -> serde_json::Value {
        json(&self.br.run(line.split(' ')).expect(0).stdout)
    }
}

#[test]
fn owner_cannot_delete_what_is_locked_on_a_real_server() {
    let Some(owner) = Owner::new() else {
        br_testkit::skip(
            "no BR_TEST_S3_WRITER_ACCESS_KEY_ID; docs/testing.md explains how to start a server",
        );
        return;
    };
    let mut versions = owner.bucket.versions();
    versions.retain(|(key, _)| !key.contains("/probe/"));
    let locked = owner.json("lock extend --for 2d --json");
    assert_eq!(number(&locked["report"], "extended"), versions.len() as u64);
    assert_eq!(number(&locked["report"], "requests"), versions.len() as u64);
    assert_eq!(
        number(&owner.json("lock extend --for 2d --json"), "to_extend"),
        0
    );
    let status = owner.json("lock status --json");
    assert_eq!(number(&status, "governance"), versions.len() as u64);
    owner.br.run(["check", "--locked-for", "1d"]).expect(0);
    owner.br.run(["check", "--locked-for", "3d"]).expect(3);
    // The owner hides every object, and cannot destroy one.
    for (key, version) in &versions {
        let path = format!("{key}?versionId={version}");
        let (status, answer) = owner.bucket.request_of_owner("DELETE", &path, "");
        assert_eq!(status, 403, "{key}: {answer}");
        owner.bucket.as_owner("DELETE", key, "");
    }
    owner.br.run(["list"]).expect(10);
    for (key, version) in owner.bucket.versions() {
        let is_probe = key.contains("/probe/");
        if !is_probe && !versions.contains(&(key.clone(), version.clone())) {
            let path = format!("{key}?versionId={version}");
            owner.bucket.as_owner("DELETE", &path, "");
        }
    }
    owner.br.run(["check", "--read-data"]).expect(0);
    // Shorter is refused by the server, longer is accepted, and compliance needs the right to bypass governance, which the owner has.
    let shorter = owner.json("--no-cache lock extend --for 1d --json");
    assert_eq!(number(&shorter["report"], "longer"), versions.len() as u64);
    let strict = owner.json("--no-cache lock extend --for 3d --mode compliance --json");
    let report = &strict["report"];
    let changed = number(report, "extended") - number(report, "still_governance");
    assert_eq!(changed, versions.len() as u64, "{strict}");
    let weaker = owner.json("--no-cache lock extend --for 4d --mode governance --json");
    assert_eq!(number(&weaker["report"], "extended"), versions.len() as u64);
    let status = owner.json("lock status --json");
    assert_eq!(number(&status, "compliance"), versions.len() as u64);
    // A prune hides locked packs.
    owner.bucket.session.write("docs/a.txt", noise(7, 50_000));
    owner.br.run(["backup", "docs", "--host", "h"]).expect(0);
    owner.br.run(["delete", "latest~1", "--yes"]).expect(0);
    owner.br.run(["prune", "--max-unused", "0%"]).expect(0);
    owner.br.run(["check", "--read-data"]).expect(0);
    let kept = owner.bucket.versions();
    assert!(versions.iter().all(|version| kept.contains(version)));
}
