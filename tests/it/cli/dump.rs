//! `br dump`.

use std::fs::File;

use br_testkit::{BrOutput, noise};

use super::Session;

#[test]
fn the_bytes_of_a_file_are_written() {
    let session = Session::with_backup();
    let output = session
        .br
        .command(["dump", "latest", "docs/sub/b.bin"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == noise(1, 50_000));
    assert_eq!(
        output.stderr, b"",
        "stdout has only the content of the file"
    );
}

#[test]
fn dump_refuses_entry_that_is_not_file() {
    let session = Session::with_backup();
    for path in ["docs", "docs/link", "docs/no such", "/etc/passwd/../x"] {
        let output = session.run(["dump", "latest", path]).expect(2);
        assert_eq!(output.stdout, "", "{path}");
    }
}

#[test]
fn an_output_that_fails_is_an_error() {
    let session = Session::with_backup();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = session
        .br
        .command(["dump", "latest", "docs/sub/b.bin"])
        .stdout(full)
        .output();
    let output = BrOutput::from(output.unwrap()).expect(1);
    assert!(output.stderr.contains("No space left"), "{output}");
}
