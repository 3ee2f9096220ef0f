//! `br man`.

use super::Session;

#[test]
fn man_prints_valid_manual_page() {
    let session = Session::new();
    let page = session.run(["man"]).expect(0).stdout;
    assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
}

/// Options that the short help leaves out are explained nowhere else.
#[test]
fn manual_pages_explain_options_missing_from_short_help() {
    let session = Session::new();
    session.run(["man", "--dir", "man"]).expect(0);
    for page in ["br", "br-backup", "br-matrixone-restore"] {
        let path = session.at(&format!("man/{page}.1"));
        let page = std::fs::read_to_string(path).unwrap();
        for text in [
            "Do not sign requests",
            "External id that the owner of the role requires",
        ] {
            assert!(page.contains(text), "{text}");
        }
    }
}
