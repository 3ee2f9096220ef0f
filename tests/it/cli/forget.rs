//! `br forget`.

use super::{BrOutput, Session};

/// A repository with this number of backups; each differs from the one before it.
fn with_backups(number: usize) -> Session {
    let session = Session::with_repository();
    for n in 0..number {
        session.write("docs/a.txt", format!("hello {n}\n"));
        session.run(["backup", "docs", "--host", "h"]).expect(0);
    }
    session
}

/// The backups that a run of `forget` kept, and those that it deleted.
fn decisions(output: &BrOutput) -> (Vec<String>, Vec<String>) {
    let json = super::json(&output.stdout);
    let backups = json["groups"].as_array().unwrap().iter();
    let backups = backups.flat_map(|group| group["backups"].as_array().unwrap().clone());
    let (kept, gone): (Vec<_>, Vec<_>) = backups.partition(|one| one["keep"] == true);
    let ids = |backups: Vec<serde_json::Value>| {
        let ids = backups.iter().map(|one| one["backup"]["id"].as_str());
        ids.map(|id| id.unwrap().to_owned()).collect()
    };
    (ids(kept), ids(gone))
}

#[test]
fn backups_that_no_rule_keeps_are_deleted() {
    let session = with_backups(4);
    let ids = session.ids();
    let plan = session
        .run(["forget", "--keep-last", "2", "--dry-run"])
        .expect(0);
    assert!(plan.stdout.contains("would delete"), "{}", plan.stdout);
    assert!(
        plan.stdout.contains("2 kept, 2 backups would be deleted"),
        "{}",
        plan.stdout
    );
    assert_eq!(session.ids(), ids, "a dry run deletes nothing");
    let output = session
        .run(["forget", "--keep-last", "2", "--json"])
        .expect(0);
    assert_eq!(decisions(&output), (ids[2..].to_vec(), ids[..2].to_vec()));
    assert_eq!(session.ids(), ids[2..]);
    let again = session.run(["forget", "--keep-last", "2"]).expect(0);
    assert!(
        again.stderr.contains("the policy keeps every backup"),
        "{}",
        again.stderr
    );
}

#[test]
fn the_table_says_why() {
    let session = with_backups(3);
    let ids = session.ids();
    session.run(["pin", &ids[0]]).expect(0);
    session.run(["check", "--read-data"]).expect(0);
    session.write("docs/a.txt", "later\n");
    session
        .run(["backup", "docs", "--host", "h", "--tag", "t"])
        .expect(0);
    let output = session
        .run(["forget", "--keep-daily", "1", "--keep-tag", "t", "-n"])
        .expect(0);
    for reason in [
        "pinned",
        "newest verified",
        "daily 20",
        "tag t",
        "newest complete",
    ] {
        assert!(
            output.stdout.contains(reason),
            "{reason}: {}",
            output.stdout
        );
    }
    assert!(output.stdout.contains("host h, paths"), "{}", output.stdout);
    assert!(
        output.stdout.contains("3 kept, 1 backup would be deleted"),
        "{}",
        output.stdout
    );
}

#[test]
fn prune_frees_the_space_at_once() {
    let session = Session::with_repository();
    session.write("docs/big", br_testkit::noise(5, 3_000_000));
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    for n in 0..3 {
        session.write("docs/big", br_testkit::noise(6 + n, 3_000_000));
        session.run(["backup", "docs", "--host", "h"]).expect(0);
    }
    let output = session
        .run(["forget", "--keep-last", "1", "--prune", "--json"])
        .expect(0);
    let freed = super::json(&output.stdout)["bytes_freed"].as_u64().unwrap();
    assert!(freed > 8_000_000, "{freed}");
    session.run(["check", "--read-data"]).expect(0);
}

#[test]
fn strange_newest_backup_holds_its_group_until_forced() {
    let session = with_backups(3);
    let ids = session.ids();
    session.write("docs/sub/b.bin", "");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    let output = session.run(["forget", "--keep-last", "1"]).expect(3);
    assert!(
        output.stderr.contains("its newest backup"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("--force"), "{}", output.stderr);
    assert_eq!(session.ids().len(), 4);
    session
        .run(["forget", "--keep-last", "1", "--force"])
        .expect(0);
    assert_eq!(session.ids().len(), 1);
    assert!(!session.ids().contains(&ids[2]));
}

#[test]
fn wrong_rules_are_usage_errors_with_a_hint() {
    let session = with_backups(1);
    for (arguments, text) in [
        (&["forget"][..], "no rule says what to keep"),
        (&["forget", "--keep-last", "0"], "no rule says what to keep"),
        (&["forget", "--min", "3"], "no rule says what to keep"),
        (&["forget", "--keep-last", "x"], "write 7 or all"),
        (&["forget", "--keep-within", "7"], "7d or 1y6m"),
        (&["forget", "--keep-within", "1h1d"], "7d or 1y6m"),
        (&["forget", "--preset", "8d"], "7d"),
        (
            &["forget", "--keep-last", "1", "--time-zone", "Mars/Base"],
            "no time zone",
        ),
        (
            &["forget", "--keep-last", "1", "--group-by", "none,host"],
            "none",
        ),
        (
            &["forget", "--keep-last", "1", "--group-by", "user"],
            "host",
        ),
        (&["forget", "--keep-id", "ffffffff"], "there is no backup"),
    ] {
        let output = session.br.run(arguments.iter().copied()).expect(2);
        assert!(
            output.stderr.contains(text),
            "{arguments:?}: {}",
            output.stderr
        );
    }
    assert_eq!(session.ids().len(), 1);
}

#[test]
fn filter_and_grouping_limit_what_is_counted() {
    let session = with_backups(2);
    session.run(["backup", "docs", "--host", "other"]).expect(0);
    session.run(["backup", "docs", "--host", "other"]).expect(0);
    let kept = |arguments: &[&str]| {
        let all = ["forget", "--keep-last", "1", "-n", "--json"];
        let output = session
            .br
            .run(all.iter().chain(arguments).copied())
            .expect(0);
        decisions(&output).0.len()
    };
    assert_eq!(kept(&[]), 2);
    assert_eq!(kept(&["--host", "other"]), 1);
    assert_eq!(kept(&["--group-by", "none"]), 1);
    assert_eq!(kept(&["--group-by", "paths,origin"]), 1);
    assert_eq!(kept(&["--min", "2"]), 4);
    assert_eq!(
        kept(&["--preset", "gfs"]),
        4,
        "the newest of the day, and the oldest"
    );
}

#[test]
fn tag_that_no_backup_has_deletes_nothing() {
    let session = with_backups(2);
    let output = session.run(["forget", "--keep-tag", "relaese"]).expect(2);
    assert!(
        output.stderr.contains("no backup has the tag"),
        "{}",
        output.stderr
    );
    session.run(["forget", "--keep-tag", ""]).expect(2);
    assert_eq!(session.ids().len(), 2);
    let output = session
        .run(["forget", "--keep-tag", "x", "--keep-last", "1"])
        .expect(0);
    assert!(
        output.stderr.contains("no backup has the tag"),
        "{}",
        output.stderr
    );
    assert_eq!(session.ids().len(), 1);
}

#[test]
fn filter_that_matches_nothing_is_reported() {
    let session = with_backups(1);
    let output = session
        .run(["forget", "--keep-last", "1", "--host", "nosuch"])
        .expect(0);
    assert!(
        output.stderr.contains("no backup matches"),
        "{}",
        output.stderr
    );
}

/// Symptom: if the backups that the policy would delete were damaged themselves, `br forget` ended with 0 and "the policy keeps every backup".
#[test]
fn damage_of_every_older_backup_is_not_passed_over() {
    let session = Session::with_two_backups();
    for pack in session.objects("packs") {
        session.damage(&pack);
    }
    session.run(["check", "--read-data"]).expect(14);
    for more in [&[][..], &["--dry-run"], &["--prune"]] {
        let forget = ["forget", "--keep-last", "1", "--yes"];
        let output = session.br.run(forget.iter().chain(more)).expect(3);
        assert!(output.stderr.contains("br deletes nothing"), "{output}");
        assert!(!output.stderr.contains("keeps every backup"), "{output}");
    }
    // After a repair, the damaged backups are known.
    let repair = ["check", "--read-data", "--repair-index"];
    session.br.run(repair);
    let output = session
        .run(["forget", "--keep-last", "1", "--yes"])
        .expect(0);
    assert!(output.stderr.contains("damaged ones stay"), "{output}");
    assert_eq!(session.ids().len(), 2);
}
