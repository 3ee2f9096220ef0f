//! `br man`.

use super::Session;

#[test]
fn the_manual_is_a_manual() {
    let session = Session::new();
    let page = session.run(["man"]).expect(0).stdout;
    assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
}
