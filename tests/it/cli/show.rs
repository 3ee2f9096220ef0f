//! `br show`.

use super::Session;

#[test]
fn a_backup_is_shown() {
    let session = Session::with_two_backups();
    session.assert_output("show", &session.run(["show", "latest"]).expect(0));
    let ids = session.ids();
    for (name, wanted) in [
        ("latest", &ids[1]),
        (ids[0].as_str(), &ids[0]),
        (&ids[1].to_uppercase(), &ids[1]),
    ] {
        assert_eq!(
            session.json(["show", name])["backup"]["id"],
            **wanted,
            "{name}"
        );
    }
}

#[test]
fn names_that_fit_none_or_several() {
    let session = Session::with_two_backups();
    session.assert_output("show unknown", &session.run(["show", "ffffff"]).expect(2));
    session.assert_output("show ambiguous", &session.run(["show", "01"]).expect(2));
    session.assert_output("show nonsense", &session.run(["show", "../x"]).expect(2));
    let empty = Session::new();
    empty.run(["init"]).expect(0);
    empty.assert_output("show nothing", &empty.run(["show", "latest"]).expect(2));
}
