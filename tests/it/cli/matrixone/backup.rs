//! `br matrixone backup`: the statements for the server, and how br verifies its answers.

use br_test_matrixone::{ClusterOptions, MoServerOptions, MoVersion, Outcome};
use br_testkit::skip;

use super::{Mo, PASSWORD, id_of, json};

#[test]
fn backup_is_verified_before_it_is_complete() {
    let mo = Mo::new();
    let output = mo.run("backup SERVER --backup_dir filesystem --path backups");
    mo.assert_output("backup", &output.clone().expect(0));
    let id = id_of(&output);
    let backup = mo.server.backups().remove(0);
    assert_eq!((backup.label, backup.kind.as_str()), (id.clone(), "full"));
    assert!(backup.place.ends_with(&format!("/backups/full-{id}")));
    assert_eq!(mo.states(), [(id, "complete".to_owned())]);
}

#[test]
fn json_summary_describes_backup() {
    let mo = Mo::new();
    let line = "matrixone backup SERVER --location backups --json";
    mo.assert_output("backup json", &mo.run(line).expect(0));
    let base = mo.states().remove(0).0;
    mo.server.cluster().insert(3);
    let increment = mo.json(&format!(
        "matrixone backup SERVER --location backups --base-id {base}"
    ));
    let backup = &increment["backup"];
    assert_eq!(
        (&backup["kind"], &backup["base"]),
        (&"incremental".into(), &base.into())
    );
    assert!(backup["bytes_stored"].as_u64() < backup["bytes"].as_u64());
}

#[test]
fn parallelism_is_passed_to_server() {
    let mo = Mo::new();
    for (given, sent) in [
        ("", "'0'"),
        ("--parallelism 0", "'0'"),
        ("--parallelism 8", "'8'"),
    ] {
        mo.run(&format!(
            "matrixone backup SERVER --location backups {given}"
        ))
        .expect(0);
        let statements = mo.server.statements();
        let text = &statements.last().unwrap().text;
        assert!(text.contains(&format!("PARALLELISM {sent}")), "{text}");
    }
    for wrong in ["-1", "many", "65536"] {
        mo.run(&format!(
            "matrixone backup SERVER --location backups --parallelism={wrong}"
        ))
        .expect(2);
    }
}

/// Command lines and their error messages; `BASE` is a backup.
const CONTRADICTIONS: [(&str, &str); 23] = [
    (
        "backup SERVER --backup_dir filesystem --path b --endpoint http://127.0.0.1:9",
        "--endpoint is for --backup_dir s3",
    ),
    (
        "matrixone backup SERVER --location b --endpoint http://127.0.0.1:9",
        "--endpoint is for a bucket",
    ),
    (
        "backup SERVER --backup_dir filesystem --path b --bucket x",
        "--bucket is for --backup_dir s3",
    ),
    (
        "matrixone backup SERVER --location b --bucket x",
        "--bucket is an option of mo_br",
    ),
    ("backup SERVER --backup_dir filesystem", "needs --path"),
    (
        "backup SERVER --backup_dir s3 --filepath x",
        "needs a bucket",
    ),
    (
        "backup SERVER --backup_dir s3 --bucket x --path b",
        "--path is for --backup_dir filesystem",
    ),
    (
        "backup SERVER --backup_dir tape --path b",
        "invalid value 'tape'",
    ),
    ("backup SERVER", "no location to back up to"),
    (
        "backup SERVER --backup_dir filesystem --path backups --backup_type incremental",
        "needs a base",
    ),
    (
        "backup SERVER --backup_dir filesystem --path backups --backup_type full --base_id BASE",
        "a full backup has no base",
    ),
    (
        "backup SERVER --backup_dir filesystem --path backups --backup_type partial",
        "invalid value 'partial'",
    ),
    (
        "backup SERVER --backup_dir filesystem --path backups --base_id 4d21b228",
        "no backup '4d21b228'",
    ),
    (
        "backup SERVER --backup_dir filesystem --path elsewhere --base_id BASE",
        "lies elsewhere",
    ),
    (
        "backup SERVER --backup_dir filesystem --path \"two words\"",
        "character ' '",
    ),
    (
        "backup SERVER --backup_dir filesystem --path a,b",
        "character ','",
    ),
    (
        "backup SERVER --backup_dir filesystem --path ./a:b",
        "character ':'",
    ),
    (
        "backup --port 6001 --backup_dir filesystem --path b",
        "--user",
    ),
    (
        "backup --host 127.0.0.1 --port six --user dump --backup_dir filesystem --path b",
        "'six'",
    ),
    (
        "matrixone backup SERVER --server-password-file nowhere --location b",
        "nowhere",
    ),
    (
        "matrixone backup SERVER --server-tls always --location b",
        "'always'",
    ),
    (
        "matrixone backup SERVER --server-tls verified --server-ca-certificate nowhere --location b",
        "nowhere",
    ),
    (
        "matrixone backup SERVER --server-tls required --server-ca-certificate /dev/null --location b",
        "no certificate",
    ),
];

#[test]
fn contradicting_options_are_refused_before_backup_starts() {
    let mo = Mo::new();
    let base = mo.backup();
    let before = mo.server.statements().len();
    for (line, expected) in CONTRADICTIONS {
        let output = mo.run(&line.replace("BASE", &base)).expect(2);
        assert!(output.stderr.contains(expected), "{line}: {output}");
        assert!(output.stderr.contains("\nhint: "), "{line}: {output}");
    }
    assert_eq!(
        mo.server.statements().len(),
        before,
        "the server received no request"
    );
    assert_eq!(mo.states().len(), 1, "nothing is recorded");
    for folder in ["b", "elsewhere", "two words", "a,b", "a:b"] {
        assert!(!mo.at(folder).exists(), "{folder}");
    }
}

#[test]
fn incomplete_backup_is_refused_as_base() {
    let mo = Mo::new();
    mo.server.inject(br_test_matrixone::Fault::NotFound(5));
    mo.run("matrixone backup SERVER --location backups")
        .expect(1);
    let failed = mo.states().remove(0).0;
    let line = |base: &str| format!("matrixone backup SERVER --location backups --base-id {base}");
    let output = mo.run(&line(&failed)).expect(2);
    assert!(
        output.stderr.contains("is failed and cannot be a base"),
        "{output}"
    );
    let good = mo.backup();
    mo.run(&format!("matrixone delete {good}")).expect(0);
    mo.run(&line(&good)).expect(2);
}

#[test]
fn password_is_read_from_file_or_environment() {
    let mo = Mo::new();
    let bare = mo.session.br.clone().env("BR_REPOSITORY", "");
    mo.session.write_secret("pw", format!("{PASSWORD}\n"));
    let line = "matrixone backup SERVER --location backups";
    mo.run_with(&bare, &format!("{line} --server-password-file pw"))
        .expect(0);
    let piped = mo.words(&format!("{line} --server-password-file -"));
    let output = bare.run_with_input(piped, format!("{PASSWORD}\n").as_bytes());
    assert_eq!(output.expect(0).stderr, "");
    let twice = mo.words(&format!(
        "{line} -r repository --password-file - --server-password-file -"
    ));
    let output = bare.run_with_input(twice, b"one\ntwo\n");
    assert!(
        output
            .stderr
            .contains("already read its secret from standard input"),
        "{output}"
    );
    let typed = mo
        .run_with(&bare, &format!("{line} --password {PASSWORD}"))
        .expect(0);
    assert!(
        typed.stderr.contains("warning: --password is visible"),
        "{typed}"
    );
    for wrong in [line.to_owned(), format!("{line} --password wrong")] {
        let output = mo.run_with(&bare, &wrong).expect(12);
        assert!(
            output.stderr.contains("check user and password"),
            "{output}"
        );
    }
    assert_eq!(mo.states().len(), 3, "a refused login starts no backup");
    let catalogue = std::fs::read_to_string(mo.at("br-matrixone.json")).unwrap();
    assert!(!catalogue.contains(PASSWORD));
}

#[test]
fn account_other_than_sys_is_refused() {
    let options = MoServerOptions::default().with_password(PASSWORD);
    let mo = Mo::with(options.with_account("acc"));
    let line = format!(
        "matrixone backup --port {} --user acc:admin --location backups",
        mo.server.port()
    );
    let output = mo.run(&line).expect(12);
    assert!(output.stderr.contains("account sys"), "{output}");
    assert_eq!(mo.server.logins().len(), 0, "the server received nothing");
}

#[test]
fn old_releases_support_fewer_options() {
    for (version, grammar) in [
        (MoVersion::V1_0, "FILESYSTEM"),
        (MoVersion::V1_1_3, "PARALLELISM"),
        (MoVersion::V1_2, "TYPE"),
        (MoVersion::V2_1, "TYPE"),
        (MoVersion::V4_2, "TYPE"),
    ] {
        let options = MoServerOptions::default().with_version(version);
        let mo = Mo::with(options.with_password(PASSWORD));
        let objects = mo.objects();
        let id = mo.backup();
        let text = mo.server.statements().remove(0).text;
        let words = text.split_whitespace().rev().nth(1).unwrap_or_default();
        assert_eq!(words, grammar, "{version}: {text}");
        mo.assert_restores(&id, "mo", &objects);
        let since = mo.run(&format!(
            "matrixone backup SERVER --location backups --base-id {id}"
        ));
        if version < MoVersion::V1_2 {
            let since = since.expect(2);
            assert!(
                since.stderr.contains("make a full backup"),
                "{version}: {since}"
            );
        } else {
            since.expect(0);
        }
    }
    // A base of a time when the server was newer.
    let mo = Mo::new();
    let base = mo.backup();
    mo.server.set_version(MoVersion::V1_1_3);
    let output = mo
        .run(&format!(
            "matrixone backup SERVER --location backups --base-id {base}"
        ))
        .expect(2);
    assert!(
        output.stderr.contains("makes full backups only"),
        "{output}"
    );
}

#[test]
fn other_database_is_refused() {
    let mo = Mo::new();
    for tls in ["", "--server-tls disabled", "--server-tls required"] {
        let line = format!("matrixone backup --port 3306 --user dump --location backups {tls}");
        let output = mo.run(&line);
        if output.code == Some(13) {
            return skip("there is no MariaDB on port 3306");
        }
        let output = output.expect(2);
        assert!(
            output.stderr.contains("cannot be backed up this way"),
            "{output}"
        );
    }
    assert!(!mo.at("br-matrixone.json").exists());
}

#[test]
fn required_encryption_is_not_left_out() {
    let mo = Mo::new();
    for tls in ["required", "verified"] {
        let line = format!("matrixone backup SERVER --location backups --server-tls {tls}");
        let output = mo.run(&line).expect(2);
        assert!(
            output.stderr.contains("does not offer encrypted"),
            "{output}"
        );
    }
    assert!(mo.server.logins().is_empty(), "the server was told no user");
    let certificate = "-----BEGIN CERTIFICATE-----\n";
    std::fs::write(mo.at("ca.pem"), certificate).unwrap();
    let line = "matrixone backup SERVER --location backups --server-ca-certificate ca.pem";
    let output = mo.run(line).expect(2);
    assert!(
        output.stderr.contains("needs --server-tls verified"),
        "{output}"
    );
    for tls in ["preferred", "disabled"] {
        let line = format!("matrixone backup SERVER --location backups --server-tls {tls}");
        mo.run(&line).expect(0);
    }
}

#[test]
fn unreachable_server_is_named() {
    let mo = Mo::new();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let line = format!("matrixone backup --port {port} --user dump --location backups");
    let output = mo.run(&line).expect(13);
    assert!(
        output.stderr.contains(&format!("127.0.0.1:{port} refused")),
        "{output}"
    );
}

/// A server on another host writes to its own disk.
#[test]
fn folder_that_differs_between_server_and_br_is_detected() {
    let mo = Mo::with(
        MoServerOptions::default()
            .with_password(PASSWORD)
            .with_cluster(ClusterOptions {
                objects: 3,
                ..ClusterOptions::default()
            }),
    );
    mo.server.inject(br_test_matrixone::Fault::Delay(
        br_test_matrixone::Point::Written,
        std::time::Duration::from_secs(2),
    ));
    let child = mo.spawn("matrixone backup SERVER --location backups");
    mo.until_it_waits();
    std::fs::rename(mo.at("backups"), mo.at("other host")).unwrap();
    let output = br_testkit::BrOutput::from(child.wait_with_output().unwrap()).expect(10);
    assert!(
        output.stderr.contains("the same for the server and for br"),
        "{output}"
    );
    assert!(matches!(mo.server.backups()[0].outcome, Outcome::Done(_)));
    assert_eq!(mo.states().remove(0).1, "failed");
}

#[test]
fn errors_are_json_too() {
    let mo = Mo::new();
    let output = mo
        .run("matrixone backup SERVER --location a,b --json")
        .expect(2);
    let last = json(output.stderr.lines().last().unwrap());
    assert_eq!((&last["type"], &last["code"]), (&"error".into(), &2.into()));
}
