//! `br show`.

use super::Session;

#[test]
fn a_backup_is_shown() {
    let session = Session::with_two_backups();
    session.assert_output("show", &session.run(["show", "latest"]).expect(0));
    let ids = session.ids();
    let listed = session.json(["list"]);
    for (number, id) in ids.iter().enumerate() {
        let shown = session.json(["show", id]);
        let stored = &shown["backup"]["bytes_stored"];
        assert_eq!(stored, &listed["backups"][number]["bytes_stored"]);
    }
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
fn unknown_or_ambiguous_id_is_refused() {
    let session = Session::with_two_backups();
    session.assert_output("show unknown", &session.run(["show", "ffffff"]).expect(2));
    session.assert_output("show ambiguous", &session.run(["show", "01"]).expect(2));
    session.assert_output("show nonsense", &session.run(["show", "../x"]).expect(2));
    let empty = Session::new();
    empty.run(["init"]).expect(0);
    empty.assert_output("show nothing", &empty.run(["show", "latest"]).expect(2));
}

/// Symptom: the dump of a database became `latest`, and the next command looked for a file of `/etc` in it.
#[test]
fn every_command_filters_latest_by_host_path_and_tag() {
    let session = Session::with_two_backups();
    let dump = [
        "backup",
        "--stdin",
        "--stdin-name",
        "my.sql",
        "--host",
        "h",
        "--tag",
        "db",
    ];
    session.br.run_with_input(dump, b"select 1").expect(0);
    session.run(["dump", "latest", "docs/a.txt"]).expect(2);
    for filter in [
        &["--path", "docs"][..],
        &["--path", "./docs/", "--host", "h"],
    ] {
        let run = |arguments: &[&str]| session.br.run(arguments.iter().chain(filter)).expect(0);
        assert_eq!(
            run(&["dump", "latest", "docs/a.txt"]).stdout,
            "hello again\n"
        );
        assert_eq!(run(&["dump", "latest~1", "docs/a.txt"]).stdout, "hello\n");
        assert!(run(&["ls", "latest"]).stdout.contains("docs/new"));
        assert!(run(&["show", "latest"]).stdout.contains("docs"));
        assert!(
            run(&["diff", "latest~1", "latest"])
                .stdout
                .contains("+ docs/new")
        );
        assert!(run(&["check", "latest"]).stdout.contains("1 backup"));
        run(&["restore", "latest", "--target", "out"]);
        assert!(session.at("out/docs/new").exists());
        assert!(run(&["delete", "latest~1", "-n"]).stdout.contains("docs"));
    }
    session
        .run(["export", "latest", "--of-path", "docs", "--dir", "bundle"])
        .expect(0);
    let tagged = session.json(["show", "latest", "--tag", "db"]);
    assert_eq!(tagged["backup"]["paths"][0], "my.sql");
    assert_eq!(session.json(["show", "latest~1"])["backup"]["files"], 3);

    let past = session.run(["show", "latest~3"]).expect(2);
    assert!(past.stderr.contains("there are 3 backups"), "{past}");
    let other = session.run(["show", "latest", "--host", "x"]).expect(2);
    assert!(other.stderr.contains("host `x`"), "{other}");
    let id = &session.ids()[0];
    let useless = session.run(["show", id, "--host", "h"]).expect(2);
    assert!(useless.stderr.contains("--host"), "{useless}");
    session.run(["export", "docs", "--tag", "db"]).expect(2);
    session.run(["check", "--host", "h"]).expect(2);
}
