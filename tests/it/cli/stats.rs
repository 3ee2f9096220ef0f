//! `br stats`.

use super::Session;

#[test]
fn figures_add_up() {
    let session = Session::with_two_backups();
    session.assert_output("stats", &session.run(["stats"]).expect(0));
    let stats = session.json(["stats"]);
    assert_eq!(stats["backups"], 2);
    assert_eq!(stats["bytes_logical"], 50_006 + 50_012);
    let packs: u64 = session
        .objects("packs")
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert_eq!(stats["bytes_stored"], packs);
    assert_eq!(stats["packs"], session.objects("packs").len());
}

#[test]
fn growth_is_what_a_deletion_frees() {
    let session = Session::new();
    session.run(["init"]).expect(0);
    for (number, len) in [(1, 300_000), (2, 500_000), (3, 200_000)] {
        session.write("docs/changing", br_testkit::noise(number, len));
        session.write("docs/same", br_testkit::noise(9, 400_000));
        session
            .run(["backup", "docs", "--host", "h", "--deltas", "never"])
            .expect(0);
    }
    let text = session.run(["stats", "--growth"]).expect(0).stdout;
    assert!(
        text.contains("FREES") && text.lines().count() == 4,
        "{text}"
    );
    let growth = session.json(["stats", "--growth"]);
    let backups = growth["backups"].as_array().unwrap();
    let number = |at: usize, field: &str| backups[at][field].as_u64().unwrap();
    for (at, len) in [(0, 300_000), (1, 500_000), (2, 200_000)] {
        let unique = number(at, "bytes_unique");
        // The file that changes, and a tree node.
        assert!((len..len + 5_000).contains(&unique), "{at}: {unique}");
    }
    let stored = |session: &Session| session.json(["stats"])["bytes_stored"].as_u64().unwrap();
    let before = stored(&session);
    let id = backups[1]["id"].as_str().unwrap();
    session.run(["delete", id, "--yes"]).expect(0);
    session
        .run(["prune", "--max-unused", "0%", "--grace", "0s"])
        .expect(0);
    let freed = before - stored(&session);
    let expected = number(1, "bytes_freed");
    assert!(
        freed.abs_diff(expected) < 5_000,
        "{freed} instead of {expected}"
    );
}
