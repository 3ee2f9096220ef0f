//! `br prune`.

use super::Session;

#[test]
fn dry_run_shows_same_plan_as_real_run() {
    let session = Session::with_two_backups();
    let ids = session.ids();
    session.assert_output("prune nothing", &session.run(["prune"]).expect(0));
    session.run(["delete", &ids[0]]).expect(0);
    let before = session.objects("packs");
    session.assert_output("prune dry", &session.run(["prune", "--dry-run"]).expect(0));
    let planned = session.json(["prune", "--dry-run"]);
    assert_eq!(
        session.objects("packs"),
        before,
        "a dry run removes nothing"
    );
    let done = session.json(["prune"]);
    assert_eq!(done["plan"], planned["plan"]);
    assert_eq!(
        done["report"]["bytes_deleted"],
        planned["plan"]["bytes_removed"]
    );
    assert_eq!(done["report"]["failed"], 0);
    session.run(["check", "--read-data"]).expect(0);
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
}
