//! Compatibility of tables with a real Mnesia: br reads its tables, it reads br's, and merges give the same result.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use br_emqx::disk_log::{LogReader, LogWriter};
use br_emqx::table::{TableChanges, TableKind, TableReader, inspect, merge};
use br_emqx::term::{decode, encode};

const TABLES: [(&str, TableKind); 3] = [
    ("t_set", TableKind::Set),
    ("t_ordered", TableKind::OrderedSet),
    ("t_bag", TableKind::Bag),
];

/// Prints why a test was skipped. With `CI_NO_SKIP=1` in the environment, fails instead.
#[expect(
    clippy::print_stderr,
    reason = "the user who runs the tests should see it"
)]
fn skip(why: &str) {
    let forbidden = std::env::var_os("CI_NO_SKIP").is_some_and(|value| value == "1");
    assert!(
        !forbidden,
        "this test must not be skipped here, and was: {why}"
    );
    eprintln!("skipped: {why}");
}

fn has_mnesia() -> bool {
    let found = r#"halt(case code:which(mnesia) of non_existing -> 1; _ -> 0 end)."#;
    let status = Command::new("erl")
        .args(["-noshell", "-eval", found])
        .status();
    status.is_ok_and(|status| status.success())
}

/// Runs a script next to this file and returns its output.
fn escript(name: &str, args: &[&Path]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/erlang");
    let output = Command::new("escript")
        .arg(scripts.join(name))
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}{errors}");
    text
}

/// The directory with the tables that Erlang wrote, or `None` without Erlang.
fn tables_of_erlang() -> Option<tempfile::TempDir> {
    if !has_mnesia() {
        skip("there is no Erlang with Mnesia on this machine");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    escript("write_tables.escript", &[dir.path()]);
    Some(dir)
}

fn open(path: &Path) -> File {
    File::open(path).unwrap()
}

#[test]
fn tables_of_mnesia_round_trip() {
    let Some(dir) = tables_of_erlang() else {
        return;
    };
    for side in ["base", "incoming"] {
        for (name, kind) in TABLES {
            let path = dir.path().join(side).join(name);
            let report = inspect(name, open(&path)).unwrap();
            assert!(report.is_sound() && report.is_closed, "{report:?}");
            assert_eq!(report.rows, if kind == TableKind::Bag { 3 } else { 34 });
            let header = report.header.unwrap();
            assert_eq!(
                (header.version.as_str(), header.node.as_str()),
                ("1.2", "nonode@nohost")
            );
            assert!(header.written_unix_micros > 1_600_000_000_000_000);
            let schema = report.schema.unwrap();
            assert_eq!((schema.kind, schema.record_name.as_str()), (kind, "row"));
            assert_eq!(schema.attributes, ["key", "value", "extra"]);

            let again = path.with_extension("again");
            let mut from = LogReader::new(open(&path)).unwrap();
            let mut to = LogWriter::new(File::create(&again).unwrap()).unwrap();
            while let Some(item) = from.next_item().unwrap() {
                to.write_item(&encode(&decode(item.bytes).unwrap()))
                    .unwrap();
            }
            to.finish().unwrap();
            let printed = escript("read_tables.escript", &["same".as_ref(), &path, &again]);
            assert_eq!(printed, format!("{} items\n", report.rows + 1));
        }
    }
}

#[test]
fn terms_are_shown_as_erlang_shows_them() {
    let Some(dir) = tables_of_erlang() else {
        return;
    };
    let mut reader = TableReader::open("t_set", open(&dir.path().join("base/t_set"))).unwrap();
    let mut shown = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        shown.push(format!("{} {}", record.key, record.values[0]));
    }
    for expected in [
        r#"{clientid,<<"3">>} [1.5,-2.5e300,1.0e-300,0.0]"#,
        r#"{clientid,<<"4">>} [2147483648,-2147483648,-2147483649,9223372036854775808,-9223372036854775808,9223372036854775807,18446744073709551616]"#,
        "[a,b|c] key",
        r#"{clientid,<<"15">>} {infinity,undefined,true,<<>>,{},#{}}"#,
        "<<1,2,3:2>> key",
        "#{#{1 => 2} => #{[3] => {4}}} key",
        r#"<<"base">> only"#,
    ] {
        assert!(
            shown.iter().any(|line| line == expected),
            "{expected} is not in {shown:#?}"
        );
    }
}

#[test]
fn merge_gives_the_result_of_mnesia() {
    let Some(dir) = tables_of_erlang() else {
        return;
    };
    for (name, kind) in TABLES {
        let path = |side: &str| -> PathBuf { dir.path().join(side).join(name) };
        fs::create_dir_all(dir.path().join("merged")).unwrap();
        let out = File::create(path("merged")).unwrap();
        let changes = merge(name, open(&path("base")), open(&path("incoming")), out).unwrap();
        let TableChanges {
            inserted,
            updated,
            unchanged,
            only_in_base,
            ..
        } = changes;
        let rows = inserted + updated + unchanged + only_in_base;
        match kind {
            TableKind::Bag => assert_eq!((inserted, unchanged, only_in_base), (2, 1, 2)),
            // Here the key 1.0 replaces 1.
            TableKind::OrderedSet => assert_eq!((inserted, only_in_base, rows), (1, 1, 35)),
            TableKind::Set => assert_eq!((inserted, only_in_base, rows), (2, 2, 36)),
        }
        let paths = [path("base"), path("incoming"), path("merged")];
        let [base, incoming, merged] = &paths;
        let args = ["merged".as_ref(), base.as_path(), incoming, merged];
        assert_eq!(
            escript("read_tables.escript", &args),
            format!("{rows} records\n")
        );
    }
}
