//! Backups that do not finish, or only seem to: br never lists them as complete.

use std::time::Duration;

use br_test_matrixone::{Fault, MoServerOptions, MoVersion, Outcome, Point};
use br_testkit::BrOutput;

use super::{Mo, PASSWORD, until};

const BACKUP: &str = "matrixone backup SERVER --location backups";

/// The latest backup is incomplete, br says so, and it can be deleted.
#[track_caller]
fn assert_failed(mo: &Mo) {
    let (id, state) = mo.states().pop().unwrap();
    assert_eq!(state, "failed");
    let list = mo.run("matrixone list").expect(0).stdout;
    let line = list.lines().find(|line| line.contains(&id)).unwrap();
    assert!(line.contains("failed"), "{line}");
    let restore = mo.run(&format!("matrixone restore {id} --target mo"));
    assert!(restore.stderr.contains("is failed"), "{restore}");
    restore.expect(14);
    assert!(!mo.at("mo").exists());
    mo.run(&format!("matrixone delete {id}")).expect(0);
    assert!(!mo.at(&format!("backups/full-{id}")).exists());
}

#[test]
fn a_connection_that_drops_at_any_point_leaves_no_backup() {
    let mo = Mo::of(4);
    mo.backup();
    let Outcome::Done(whole) = mo.server.backups().remove(0).outcome else {
        panic!("the first backup is complete");
    };
    let points = (0..whole.written).map(Point::Files);
    let points = [Point::Start, Point::Written].into_iter().chain(points);
    for point in points {
        mo.server.inject(Fault::Drop(point));
        let output = mo.run(BACKUP).expect(13);
        assert!(
            output.stderr.contains("connection was lost"),
            "{point:?}: {output}"
        );
        assert_failed(&mo);
    }
    assert_eq!(mo.states().len(), 1);
}

#[test]
fn backup_that_server_continues_alone_is_not_listed_as_complete() {
    let mo = Mo::of(4);
    for files in [0, 5, 12] {
        mo.server.inject(Fault::DropAndFinish(Point::Files(files)));
        let output = mo.run(BACKUP).expect(13);
        assert!(output.stderr.contains("may still be writing"), "{output}");
        until(|| mo.server.running() == 0);
        assert_failed(&mo);
    }
}

#[test]
fn a_crash_leaves_no_backup() {
    let mo = Mo::of(4);
    for point in [
        Point::Start,
        Point::Files(1),
        Point::Files(11),
        Point::Written,
    ] {
        mo.server.inject(Fault::Crash(point));
        mo.run(BACKUP).expect(13);
        assert_failed(&mo);
    }
}

#[test]
fn server_errors_are_reported_with_hints() {
    let mo = Mo::new();
    mo.server.inject(Fault::NotFound(12));
    let output = mo.run(BACKUP).expect(1);
    mo.assert_output("backup not found", &output);
    assert_failed(&mo);
    mo.server.inject(Fault::Fail {
        at: Point::Files(3),
        code: 20101,
        text: "internal error: no space left on device".to_owned(),
    });
    let output = mo.run(BACKUP).expect(1);
    assert!(
        output.stderr.contains("no space left on device"),
        "{output}"
    );
    assert_failed(&mo);
}

/// Releases before 4.2 leave out objects that no longer exist, and report success.
#[test]
fn silently_skipped_objects_are_detected() {
    let mo = Mo::new();
    mo.server.inject(Fault::Skip {
        every: 5,
        listed: true,
    });
    let output = mo.run(BACKUP).expect(14);
    mo.assert_output("backup skipped", &output);
    assert_failed(&mo);
}

/// An earlier backup has the same objects, and may be deleted one day.
#[test]
fn full_backup_shares_no_files_with_earlier_backups() {
    let mo = Mo::new();
    let first = mo.backup();
    mo.server.inject(Fault::Skip {
        every: 5,
        listed: true,
    });
    let output = mo.run(BACKUP).expect(14);
    let borrowed = format!("only full-{first} has the same");
    assert!(output.stderr.contains(&borrowed), "{output}");
    assert_failed(&mo);
    mo.run(&format!("check {first}")).expect(0);
}

#[test]
fn ctrl_c_ends_the_statement_on_the_server() {
    for (version, at) in [
        (MoVersion::V4_2, Point::Files(10)),
        (MoVersion::V3_0_11, Point::Start),
    ] {
        let options = MoServerOptions::default().with_version(version);
        let mo = Mo::with(options.with_password(PASSWORD));
        mo.server.inject(Fault::Hang(at));
        let child = mo.spawn(BACKUP);
        mo.until_it_waits();
        interrupt(&child);
        let output = BrOutput::from(child.wait_with_output().unwrap()).expect(130);
        assert!(
            output.stderr.contains("the backup was cancelled"),
            "{output}"
        );
        let kills = mo.server.kills();
        assert_eq!((kills.len(), kills[0].hit), (1, true));
        assert_eq!(mo.server.backups()[0].outcome, Outcome::Refused(1317));
        assert_failed(&mo);
    }
}

/// The server has one slot that keeps its garbage collection away from a backup.
#[test]
fn a_second_backup_of_a_cluster_is_refused() {
    let mo = Mo::new();
    mo.server.inject(Fault::Hang(Point::Start));
    let child = mo.spawn(BACKUP);
    mo.until_it_waits();
    let output = mo.run(BACKUP).expect(11);
    assert!(
        output
            .stderr
            .contains("another backup of this cluster runs"),
        "{output}"
    );
    let (id, state) = mo.states().remove(0);
    assert_eq!(state, "running");
    let output = mo.run(&format!("matrixone delete {id}")).expect(11);
    assert!(output.stderr.contains("a backup is running"), "{output}");
    interrupt(&child);
    BrOutput::from(child.wait_with_output().unwrap()).expect(130);
    assert_eq!(mo.server.most_running(), 1);
    mo.run(BACKUP).expect(0);
}

/// No process is left to record that the backup failed.
#[test]
fn leftovers_of_killed_br_can_be_deleted() {
    let mo = Mo::new();
    mo.server
        .inject(Fault::Delay(Point::Files(3), Duration::from_secs(60)));
    let mut child = mo.spawn(BACKUP);
    mo.until_it_waits();
    child.kill().unwrap();
    child.wait().unwrap();
    let (id, state) = mo.states().remove(0);
    assert_eq!(state, "running");
    mo.run(&format!("matrixone restore {id} --target mo"))
        .expect(14);
    mo.run(&format!("matrixone delete {id}")).expect(0);
    assert!(mo.states().is_empty());
}

fn interrupt(child: &std::process::Child) {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}
