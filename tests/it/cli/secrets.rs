//! Passwords and keys: one rule for all the ways to give them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use br_testkit::BrOutput;

use super::Session;

/// Ways to give a password: a file, standard input, a command, the environment.
const WAYS: [&str; 4] = ["file", "stdin", "command", "variable"];

/// Runs a command with a password that comes one way, as these bytes.
fn with_password(session: &Session, way: &str, bytes: &[u8], command: &[&str]) -> BrOutput {
    session.write_secret("pw", bytes);
    let with = |more: &[&'static str]| -> Vec<String> {
        command
            .iter()
            .chain(more)
            .map(|word| (*word).to_owned())
            .collect()
    };
    match way {
        "file" => session.br.run(with(&["--password-file", "pw"])),
        "stdin" => session
            .br
            .run_with_input(with(&["--password-file", "-"]), bytes),
        "command" => session.br.run(with(&["--password-command", "cat pw"])),
        _ => {
            let text = std::str::from_utf8(bytes).unwrap();
            session.br.clone().env("BR_PASSWORD", text).run(command)
        }
    }
}

#[test]
fn a_line_end_and_a_byte_order_mark_are_not_part_of_a_password() {
    let session = Session::new();
    with_password(&session, "variable", b"open sesame", &["init"]).expect(0);
    for way in WAYS {
        for bytes in [
            &b"open sesame"[..],
            b"open sesame\n",
            b"open sesame\r\n",
            b"\xef\xbb\xbfopen sesame\n",
            b"\xef\xbb\xbfopen sesame\r\n",
        ] {
            let output = with_password(&session, way, bytes, &["list"]);
            assert_eq!(output.code, Some(0), "{way} {bytes:?}: {output}");
        }
        let output = with_password(&session, way, b"open sesame ", &["list"]);
        assert_eq!(
            output.code,
            Some(12),
            "{way}: a space is part of the secret"
        );
    }
}

#[test]
fn empty_or_multi_line_password_is_refused() {
    let session = Session::new();
    for way in WAYS {
        let mut wrong = vec![&b""[..], b"\n", b"\r\n", b"\xef\xbb\xbf"];
        if way != "stdin" {
            // Data after the first line of standard input may be backed up.
            wrong.push(b"sesame\nopen\n");
        }
        for bytes in wrong {
            for command in [&["init"][..], &["backup", "--init", "docs"]] {
                let output = with_password(&session, way, bytes, command);
                assert_eq!(output.code, Some(12), "{way} {bytes:?}: {output}");
                assert!(output.stderr.contains("hint: "), "{output}");
                assert!(
                    !output.stderr.contains("sesame"),
                    "no part of the secret is shown: {output}"
                );
                assert!(!session.at("repository").exists(), "{way} {bytes:?}");
            }
        }
    }
}

#[test]
fn a_variable_for_a_secret_that_is_set_and_empty_is_an_error() {
    let session = Session::with_backup();
    for name in ["BR_PASSWORD", "BR_PASSWORD_FILE", "BR_PASSWORD_COMMAND"] {
        for command in [
            &["list"][..],
            &["-r", "new", "init"],
            &["-r", "new", "backup", "--init", "docs"],
        ] {
            let output = session.br.clone().env(name, "").run(command).expect(12);
            let expected = format!("{name} is set but empty");
            assert!(output.stderr.contains(&expected), "{output}");
            assert!(!session.at("new").exists(), "{name}");
        }
    }
    let br = session.br.clone().env("BR_S3_SECRET_ACCESS_KEY", "");
    let output = br.run(["-r", "s3://bucket/x", "list"]).expect(12);
    assert!(
        output
            .stderr
            .contains("BR_S3_SECRET_ACCESS_KEY is set but empty"),
        "{output}"
    );
    let br = session.br.clone().env("BR_MATRIXONE_PASSWORD", "");
    let output = br
        .run([
            "matrixone",
            "backup",
            "--user",
            "u",
            "--location",
            "x",
            "--in-place",
        ])
        .expect(12);
    assert!(
        output
            .stderr
            .contains("BR_MATRIXONE_PASSWORD is set but empty"),
        "{output}"
    );
    // Options take precedence over the environment.
    session.write_secret("pw", "x");
    let br = session.br.clone().env("BR_PASSWORD", "");
    br.run(["-r", "typed", "init", "--password-file", "pw"])
        .expect(0);
}

#[test]
fn secret_file_readable_by_others_has_warning() {
    let session = Session::new();
    session.write_secret("pw", "open sesame\n");
    let run = || session.run(["-r", "repository", "init", "--password-file", "pw"]);
    let output = run().expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(session.at("pw"), fs::Permissions::from_mode(mode)).unwrap();
        let by_variable = session.br.clone().env("BR_PASSWORD_FILE", "pw");
        for output in [
            session.run(["list", "--password-file", "pw"]),
            by_variable.run(["list"]),
        ] {
            let output = output.expect(0);
            let warnings = output
                .stderr
                .matches("other users of this machine can read pw");
            assert_eq!(warnings.count(), 1, "{mode:o}: {output}");
            assert!(output.stderr.contains("chmod 600 pw"), "{output}");
        }
    }
    for (option, value) in [
        ("--secret-access-key-file", "pw"),
        ("--server-side-encryption", "customer-key-file:pw"),
    ] {
        let s3 = [
            "-r",
            "s3://bucket/x",
            "list",
            "--access-key-id",
            "x",
            option,
            value,
        ];
        let output = session.br.run(s3);
        assert!(
            output
                .stderr
                .contains("other users of this machine can read pw"),
            "{output}"
        );
    }
    let mo = [
        "matrixone",
        "backup",
        "--user",
        "u",
        "--port",
        "1",
        "--location",
        "x",
        "--in-place",
    ];
    let output = session
        .br
        .run([&mo[..], &["--server-password-file", "pw"]].concat());
    assert!(
        output
            .stderr
            .contains("other users of this machine can read pw"),
        "{output}"
    );
}

#[test]
fn password_for_unencrypted_repository_has_specific_message() {
    let session = Session::with_backup();
    let br = session.br.clone().env("BR_PASSWORD", "x");
    let output = br.run(["list"]).expect(12);
    assert!(output.stderr.contains("not encrypted"), "{output}");
    assert!(
        output.stderr.contains("hint: leave out the password"),
        "{output}"
    );
}
