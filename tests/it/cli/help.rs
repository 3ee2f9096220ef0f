//! Help, and messages for wrong command lines.

use super::Session;

#[test]
fn help_is_short_or_long() {
    let session = Session::new();
    session.assert_output("help short", &session.run(["-h"]).expect(0));
    session.assert_output("help long", &session.run(["--help"]).expect(0));
    session.assert_output("help restore", &session.run(["help", "restore"]).expect(0));
    for command in ["export", "import", "bundle"] {
        let output = session.run([command, "-h"]).expect(0);
        session.assert_output(&format!("help {command}"), &output);
    }
    assert!(
        session
            .run(["--version"])
            .expect(0)
            .stdout
            .starts_with("br")
    );
}

#[test]
fn mistakes_are_explained() {
    let session = Session::new();
    session.assert_output("mistake command", &session.run(["restroe"]).expect(2));
    session.assert_output(
        "mistake option",
        &session.run(["list", "--tga", "x"]).expect(2),
    );
    let nowhere = super::br(&session.at("elsewhere"));
    session.assert_output("mistake no repository", &nowhere.run(["list"]).expect(2));
    let s3 = nowhere
        .run(["-r", "sftp:user:secret@host:/srv", "list"])
        .expect(2);
    session.assert_output("mistake scheme", &s3);
    assert!(!s3.stderr.contains("secret"), "{s3}");
}

#[test]
fn help_option_after_help_command_is_ignored() {
    let session = Session::new();
    for (twice, once) in [
        (&["help", "--help"][..], &["help"][..]),
        (&["help", "-h"], &["help"]),
        (
            &["help", "bundle", "verify", "--help"],
            &["help", "bundle", "verify"],
        ),
    ] {
        let once = session.br.run(once).expect(0).stdout;
        assert_eq!(session.br.run(twice).expect(0).stdout, once);
    }
}

#[test]
fn every_error_has_a_hint() {
    let session = Session::with_backup();
    for (arguments, code) in [
        (&["-r", "nowhere", "list"][..], 10),
        (&["show", "ffff"], 2),
        (&["restore", "latest", "x", "--target", "out"], 2),
        (&["init"], 1),
        (&["dump", "latest", "docs"], 2),
        (&["list", "--password-file", "docs/a.txt"], 12),
        (&["frob"], 2),
    ] {
        let output = session.br.run(arguments).expect(code);
        assert!(
            output.stderr.starts_with("error: ") || output.stderr.starts_with("warning: "),
            "{arguments:?}: {output}"
        );
        assert!(
            output.stderr.contains("\nhint: "),
            "{arguments:?}: {output}"
        );
        assert_eq!(output.stdout, "", "{arguments:?}: nothing on stdout");
        let json = session
            .br
            .run(arguments.iter().chain(&["--json"]))
            .expect(code);
        let last = super::json(json.stderr.lines().last().unwrap());
        assert_eq!(
            (&last["type"], &last["code"]),
            (&"error".into(), &code.into()),
            "{arguments:?}: {json}"
        );
    }
}
