//! `br init`.

use std::fs;

use super::Session;

#[test]
fn a_repository_is_made_once() {
    let session = Session::new();
    session.assert_output("init", &session.run(["init"]).expect(0));
    session.assert_output("init again", &session.run(["init"]).expect(1));
    let made = session.json(["stats"]);
    assert_eq!(made["backups"], 0);
}

#[test]
fn init_refuses_folder_with_other_files() {
    let session = Session::new();
    session.write("repository/photo.jpg", "precious");
    let output = session.run(["init"]).expect(2);
    assert!(output.stderr.contains("neither empty"), "{output}");
    assert_eq!(
        fs::read(session.at("repository/photo.jpg")).unwrap(),
        b"precious"
    );
}

#[test]
fn an_encrypted_repository_needs_its_password() {
    let session = Session::new();
    session.write_secret("password", "open sesame\n");
    session.write_secret("wrong", "close sesame\n");
    session
        .run(["init", "--encrypt", "--password-file", "password"])
        .expect(0);
    session
        .run(["--password-file", "password", "backup", "docs"])
        .expect(0);
    session.assert_output("no password", &session.run(["list"]).expect(12));
    session.assert_output(
        "wrong password",
        &session.run(["list", "--password-file", "wrong"]).expect(12),
    );
    session
        .run(["list", "--password-command", "cat password"])
        .expect(0);
    let by_variable = session.br.clone().env("BR_PASSWORD", "open sesame");
    by_variable.run(["check", "--read-data"]).expect(0);
    by_variable
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert_eq!(fs::read(session.at("out/docs/a.txt")).unwrap(), b"hello\n");
    let output = session.run(["list", "--password-file", "no such file"]);
    assert!(matches!(output.code, Some(1 | 2 | 12)), "{output}");
    assert!(
        !output.stderr.contains("sesame"),
        "no password is ever shown: {output}"
    );
}

#[test]
fn password_for_unencrypted_repository_is_refused() {
    let session = Session::with_backup();
    let output = session
        .br
        .clone()
        .env("BR_PASSWORD", "x")
        .run(["list"])
        .expect(12);
    assert!(output.stderr.contains("not encrypted"), "{output}");
}

/// Data after the first line is backed up.
#[test]
fn password_can_precede_data_on_standard_input() {
    let session = Session::new();
    session
        .br
        .run_with_input(["init", "--encrypt", "--password-file", "-"], b"sesame\n")
        .expect(0);
    let words = [
        "backup",
        "--stdin",
        "--stdin-name",
        "dump",
        "--password-file",
        "-",
    ];
    session
        .br
        .run_with_input(words, b"sesame\nall the data\n")
        .expect(0);
    let br = session.br.clone().env("BR_PASSWORD", "sesame");
    assert_eq!(
        br.run(["dump", "latest", "dump"]).expect(0).stdout,
        "all the data\n"
    );
    let wrong = session
        .br
        .run_with_input(["list", "--password-file", "-"], b"");
    assert!(
        wrong.clone().expect(12).stderr.contains("is empty"),
        "{wrong}"
    );
}
