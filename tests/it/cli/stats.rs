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
