//! Passwords and keys: one rule for all the ways to give them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use br_testkit::BrOutput;

use super::{Session, files_below};

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
    let br = session.br.clone().env("BR_RABBITMQ_PASSWORD", "");
    let output = br
        .run(["backup", "--rabbitmq", "http://127.0.0.1:1"])
        .expect(12);
    assert!(
        output
            .stderr
            .contains("BR_RABBITMQ_PASSWORD is set but empty"),
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

/// The secrets of this test: each word is in exactly one of them.
const SECRETS: [&str; 4] = [
    "swordfish-old",
    "opensesame-new",
    "hunter2/hunter2+hunter2",
    "tok3n-of-the-session",
];

/// Searches everything that br says and writes, also when it fails.
#[test]
fn no_secret_is_in_output_or_in_files_that_br_writes() {
    let session = Session::new();
    let [old, new, key, token] = SECRETS;
    session.write_secret("keep/old", old);
    session.write_secret("keep/new", new);
    session.write_secret("keep/key", key);
    session.write(
        "br.toml",
        "[repositories.main]\nlocation = \"repository\"\npassword = \"file:keep/old\"\n\
         [sets.docs]\nrepository = \"main\"\npaths = [\"docs\"]\n",
    );
    let br = session
        .br
        .clone()
        .env("BR_PASSWORD", old)
        .env("BR_S3_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("BR_S3_SECRET_ACCESS_KEY", key)
        .env("BR_S3_SESSION_TOKEN", token);
    let command = format!("cat {}", session.at("keep/old").display());
    // Nothing answers at this address.
    let nowhere = "s3://bucket/backups?endpoint=http://127.0.0.1:1";
    let copy = ["copy", "--from", "repository", "--repo", "second", "--init"];
    let copy = [&copy[..], &["--from-password-file", "keep/old"]].concat();
    let mut said = String::new();
    for arguments in [
        &["init"][..],
        &["backup", "docs", "--host", "h"],
        &["key", "list"],
        &["key", "add", "second", "--new-password-file", "keep/new"],
        &["key", "passwd", "--new-password-file", "keep/new"],
        &["list"],
        &["list", "--password-file", "keep/new"],
        &["list", "--password-command", &command],
        &[
            "key",
            "passwd",
            "--password-file",
            "keep/new",
            "--new-password-file",
            "keep/old",
        ],
        &copy,
        &["--config", "br.toml", "config", "show"],
        &["--config", "br.toml", "config", "check"],
        &["--config", "br.toml", "run"],
        &["check", "--read-data"],
        &["backup", "docs", "--copy-to", "second", "--host", "h"],
        &["restore", "latest", "--target", "out"],
        &["export-head"],
        &["storage", "probe"],
        &["--repo", nowhere, "list"],
        &["--repo", nowhere, "init"],
        &["--repo", nowhere, "storage", "probe"],
        &["--repo", "nowhere", "list"],
        &["list", "--password-file", "docs/a.txt"],
        &["key", "rotate", "--yes"],
        &["frob"],
        &["list", "--password-fil"],
    ] {
        for more in [&[][..], &["--json"], &["-vv"]] {
            let output = br.run(arguments.iter().chain(more));
            said.push_str(&output.to_string());
        }
    }
    assert_without_secrets(&session, &said);
}

/// Searches the output, and all files except the secrets themselves.
fn assert_without_secrets(session: &Session, said: &str) {
    assert!(
        said.contains("AKIAEXAMPLE") || said.contains("127.0.0.1"),
        "something was said"
    );
    let written = files_below(session.at("").as_path());
    let written = written
        .iter()
        .filter(|path| !path.starts_with(session.at("keep")));
    let mut files = 0;
    for path in written {
        files += 1;
        let bytes = fs::read(path).unwrap();
        for (secret, form) in forms() {
            let found = bytes.windows(form.len()).any(|part| part == form);
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
    assert!(files > 20, "the repository and the cache were searched");
    for (secret, form) in forms() {
        let found = said.as_bytes().windows(form.len()).any(|part| part == form);
        assert!(!found, "{secret} is in the output:\n{said}");
    }
}

/// Each secret as it is, in hexadecimal and in base64.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let hex = |text: &str| {
        text.bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let forms = |text: &'static str| {
        let base64 = base64(text.as_bytes());
        [text.to_owned(), hex(text), base64].map(|form| (text, form.into_bytes()))
    };
    SECRETS.into_iter().flat_map(forms).collect()
}

/// The digits of base64 that depend on the given bytes only.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let triples = bytes.chunks_exact(3);
    let digits = triples.flat_map(|triple| {
        let bits = u32::from_be_bytes([0, triple[0], triple[1], triple[2]]);
        [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize] as char)
    });
    digits.collect()
}

/// While br runs, other users can see its command line, and a crash would write a core file.
#[test]
#[expect(clippy::disallowed_methods, reason = "waits for a process")]
fn running_br_has_no_secret_in_its_command_line_and_writes_no_core_file() {
    let session = Session::new();
    session.write_secret("keep/old", SECRETS[0]);
    let br = session.br.clone().env("BR_PASSWORD", SECRETS[0]);
    br.run(["init"]).expect(0);
    let program = env!("CARGO_BIN_EXE_br-dup");
    let with_core_files =
        "ulimit -c unlimited || ulimit -S -c \"$(ulimit -H -c)\"; exec \"$0\" \"$@\"";
    let arguments = [
        "-c",
        with_core_files,
        program,
        "backup",
        "--stdin",
        "--allow-empty",
        "--stdin-name",
        "x",
    ];
    let mut command = br.program("/bin/sh").command(arguments);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let process = std::path::Path::new("/proc").join(child.id().to_string());
    let core = || {
        let limits = fs::read_to_string(process.join("limits")).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        line.unwrap().split_whitespace().nth(4).unwrap().to_owned()
    };
    // br sets the limit when it has read its command line.
    let begun = std::time::Instant::now();
    while core() != "0" {
        assert!(begun.elapsed().as_secs() < 20, "the limit is {}", core());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let line = fs::read(process.join("cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&line).contains(SECRETS[0]));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
