//! `br check`.

use std::fs;

use br_testkit::set_time;

use super::{Session, files_below, json};

#[test]
fn intact_repository_has_no_findings() {
    let session = Session::with_two_backups();
    session.assert_output("check", &session.run(["check"]).expect(0));
    session.assert_output(
        "check data",
        &session.run(["check", "--read-data"]).expect(0),
    );
    session
        .run(["check", "--read-data-subset", "10%"])
        .expect(0);
    session
        .run(["check", "--read-data-subset", "1KiB"])
        .expect(0);
    session
        .run(["check", "--read-data-subset", "some"])
        .expect(2);
    for nothing in ["0%", "0", "0MiB"] {
        let output = session
            .run(["check", "--read-data-subset", nothing])
            .expect(2);
        assert!(output.stderr.contains("reads nothing"), "{output}");
    }
    // Is that a percentage, or bytes?
    session.run(["check", "--read-data-subset", "10"]).expect(2);
    let one = session.json(["check", "latest", "--read-data"]);
    assert_eq!((&one["backups"], &one["sound"]), (&1.into(), &true.into()));
}

#[test]
fn damage_is_found_and_its_files_are_named() {
    let session = Session::with_backup();
    let pack = session.objects("packs")[0].clone();
    session.damage(&pack);
    session.run(["check"]).expect(0);
    session.assert_output(
        "check damaged",
        &session.run(["check", "--read-data"]).expect(14),
    );
    let output = session.run(["check", "--read-data", "--json"]).expect(14);
    let report = json(&output.stdout);
    let finding = &report["findings"][0];
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert!(
        finding["object"].as_str().unwrap().ends_with(name),
        "{finding}"
    );
    assert_eq!(report["files"][0]["path"], "docs/sub/b.bin");
    assert_eq!(report["files"][0]["backups"][0], session.ids()[0]);
    assert_eq!(report["files_count"], 1);
}

/// Every hint leads to the next step, and the last one to a repaired repository.
#[test]
fn hints_lead_from_failed_restore_to_repaired_repository() {
    let session = Session::with_backup();
    session.damage(&session.objects("packs")[0]);
    let output = session
        .run(["restore", "latest", "--target", "out"])
        .expect(3);
    assert!(output.stderr.contains("`br check --read-data`"), "{output}");
    let output = session.run(["check", "--read-data"]).expect(14);
    assert!(
        output
            .stderr
            .contains("`br check --repair-index --read-data`"),
        "{output}"
    );
    let output = session
        .run(["check", "--repair-index", "--read-data"])
        .expect(14);
    assert!(output.stderr.contains("run `br backup`"), "{output}");
    assert!(output.stdout.contains("docs/sub/b.bin"), "{output}");
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    session.run(["check", "--read-data"]).expect(0);
    for (number, id) in session.ids().into_iter().enumerate() {
        let target = format!("whole{number}");
        session.run(["restore", &id, "--target", &target]).expect(0);
        assert_eq!(
            fs::read(session.at(&format!("{target}/docs/sub/b.bin"))).unwrap(),
            br_testkit::noise(1, 50_000)
        );
    }
}

#[test]
fn an_index_is_repaired() {
    let session = Session::with_backup();
    session.damage(&session.objects("index")[0]);
    session.run(["check"]).expect(14);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    session.run(["prune"]).expect(14);
    session.assert_output(
        "check repair index",
        &session.run(["check", "--repair-index"]).expect(0),
    );
    session.run(["check", "--read-data"]).expect(0);
    session.run(["prune"]).expect(0);
}

#[test]
fn a_log_is_repaired() {
    let session = Session::with_two_backups();
    session.damage(&session.at("repository/log/0000000000000001"));
    session.assert_output("list damaged", &session.run(["list"]).expect(0));
    session.assert_output(
        "check repair log",
        &session.run(["check", "--repair-log"]).expect(0),
    );
    assert_eq!(session.ids().len(), 2);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert_eq!(
        fs::read(session.at("out/docs/a.txt")).unwrap(),
        b"hello again\n"
    );
}

/// A lost manifest loses no file, and one command repairs the repository.
#[test]
fn a_backup_without_its_manifest_is_restored_and_then_deleted() {
    let session = Session::with_two_backups();
    let id = session.ids().pop().unwrap();
    let manifest = session.at("repository/manifests").join(&id);
    fs::remove_file(manifest).unwrap();
    for command in [
        &["check"][..],
        &["check", "--repair-index", "--read-data"],
        &["check", "--repair-log"],
        &["prune"],
    ] {
        let output = session.br.run(command).expect(14);
        let hint = output.stderr.rsplit_once("hint: ").unwrap().1;
        assert!(hint.contains("`br delete`"), "{command:?}: {output}");
    }
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    session.run(["backup", "docs"]).expect(0);
    session.run(["delete", &id, "--yes"]).expect(0);
    session.run(["check", "--read-data"]).expect(0);
    session.run(["prune"]).expect(0);
}

fn log_entries(session: &Session) -> Vec<std::path::PathBuf> {
    let items = fs::read_dir(session.at("repository/log")).unwrap();
    let mut entries: Vec<_> = items.map(|item| item.unwrap().path()).collect();
    entries.sort();
    entries
}

fn object_count(session: &Session) -> usize {
    let folders = ["packs", "index", "manifests"].into_iter();
    let count = |folder: &str| {
        let output = std::process::Command::new("find")
            .arg(session.at("repository").join(folder))
            .args(["-type", "f"])
            .output()
            .unwrap();
        output.stdout.iter().filter(|byte| **byte == b'\n').count()
    };
    folders.map(count).sum()
}

/// Symptom: after the log folder was lost, every command treated the repository as empty, and `prune` removed all backups.
#[test]
fn lost_log_folder_exits_14_for_every_command_and_prune_removes_nothing() {
    let session = Session::with_two_backups();
    for item in files_below(&session.at("repository")) {
        set_time(&item, 1_600_000_000, 0);
    }
    fs::remove_dir_all(session.at("repository/log")).unwrap();
    let before = object_count(&session);
    for command in [
        &["list"][..],
        &["check"],
        &["check", "--read-data"],
        &["prune"],
        &["backup", "docs"],
        &["ls", "latest"],
        &["restore", "latest", "--target", "out"],
        &["delete", "latest"],
        &["stats"],
    ] {
        let output = session.br.run(command).expect(14);
        let text = &output.stderr;
        assert!(text.contains("--repair-log"), "{command:?}: {text}");
    }
    assert_eq!(object_count(&session), before, "nothing is removed");
    session.run(["check", "--repair-log"]).expect(0);
    session.run(["prune"]).expect(0);
    let listed = session.json(["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
}

#[test]
fn repository_set_back_is_refused_but_copy_elsewhere_is_accepted() {
    let session = Session::with_two_backups();
    let copy = |from: &str, to: &str| {
        let status = std::process::Command::new("cp")
            .args(["-a"])
            .args([session.at(from), session.at(to)])
            .status();
        assert!(status.unwrap().success());
    };
    fs::remove_file(log_entries(&session).pop().unwrap()).unwrap();
    let output = session.run(["list"]).expect(14);
    assert!(output.stderr.contains("rolled back"), "{}", output.stderr);
    session.run(["prune"]).expect(14);
    copy("repository", "copy");
    let listed = session.json(["-r", "./copy", "list"]);
    assert_eq!(
        listed["backups"].as_array().unwrap().len(),
        1,
        "the copy has its own log"
    );
    session.run(["check", "--repair-log"]).expect(0);
    let listed = session.json(["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
}

#[test]
fn truncated_last_log_entry_leaves_everything_readable() {
    let session = Session::with_two_backups();
    let last = log_entries(&session).pop().unwrap();
    fs::write(&last, [0; 64]).unwrap();
    let output = session.run(["list"]).expect(0);
    assert!(output.stderr.contains("--repair-log"), "{}", output.stderr);
    assert_eq!(output.stderr.matches("warning").count(), 1);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    for command in [
        &["check"][..],
        &["backup", "docs"],
        &["prune"],
        &["delete", "latest"],
    ] {
        let output = session.br.run(command).expect(14);
        let hint = output.stderr.rsplit_once("hint: ").unwrap().1;
        assert!(
            hint.contains("br check --repair-log"),
            "{command:?}: {output}"
        );
    }
    // If data is damaged as well, one command repairs both.
    let fork = session.at("fork");
    let copied = std::process::Command::new("cp")
        .args(["-a"])
        .args([&session.at("repository"), &fork])
        .status();
    assert!(copied.unwrap().success());
    session.damage(&session.objects("packs")[0]);
    let output = session.run(["check", "--read-data"]).expect(14);
    let both = ["check", "--repair-log", "--repair-index", "--read-data"];
    assert!(output.stderr.contains(&both.join(" ")), "{output}");
    session.run(both).expect(14);
    session.run(["backup", "docs"]).expect(0);
    session.run(["check", "--read-data"]).expect(0);
    fs::remove_dir_all(session.at("repository")).unwrap();
    fs::rename(fork, session.at("repository")).unwrap();
    session.run(["check", "--repair-log"]).expect(0);
    session.run(["backup", "docs"]).expect(0);
}

/// The nightly check: it may end early, and the next one continues.
#[test]
fn check_with_budget_continues_with_oldest_data_until_backups_are_proven() {
    let session = Session::with_two_backups();
    let nightly = ["check", "--max-age", "1d", "--budget", "1B"];
    let packs = session.json(["check"])["packs"].as_u64().unwrap();
    assert!(packs > 2, "the test needs several packs");
    let proven = || {
        let list = session.json(["list"]);
        let backups = list["backups"].as_array().unwrap();
        backups.iter().all(|backup| !backup["proven"].is_null())
    };
    for left in (0..packs).rev() {
        assert!(!proven(), "{left} packs were not read yet");
        let report = session.json(nightly);
        assert_eq!(report["packs_read"], 1, "{report}");
        assert_eq!(report["packs_due"], left, "{report}");
        assert_eq!(report["verified_since"].is_null(), left > 0, "{report}");
    }
    assert!(proven());
    assert_eq!(session.json(nightly)["packs_read"], 0);
    // Without an age, a check verifies the oldest data again.
    let report = session.json(["check", "--budget", "1B"]);
    assert_eq!(report["packs_read"], 1, "{report}");

    let output = session.run(["check", "--max-age", "1d"]).expect(0);
    assert!(
        output.stdout.contains("all data was verified since"),
        "{output}"
    );
    // Another machine has verified nothing.
    let elsewhere = ["check", "--max-age", "1d", "--cache-dir", "elsewhere"];
    assert_eq!(session.json(elsewhere)["packs_read"].as_u64(), Some(packs));
    let output = session
        .run(["check", "--max-age", "1d", "--no-cache"])
        .expect(2);
    assert!(output.stderr.contains("--cache-dir"), "{output}");
}

#[test]
fn damaged_data_is_due_until_it_is_repaired() {
    let session = Session::with_backup();
    session.run(["check", "--read-data"]).expect(0);
    session.damage(&session.objects("packs")[0]);
    // This damage is younger than the verification.
    session.run(["check", "--max-age", "1d"]).expect(0);
    session.run(["check", "--max-age", "0"]).expect(14);
    session.run(["check", "--max-age", "1d"]).expect(14);
    session
        .run(["check", "--max-age", "1d", "--budget", "1B"])
        .expect(14);
    session
        .run(["check", "--repair-index", "--read-data"])
        .expect(14);
    session.run(["backup", "docs", "--host", "h"]).expect(0);
    session.run(["check", "--max-age", "1d"]).expect(0);
}
