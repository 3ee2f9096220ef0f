//! `br bundle`, and that no command shows the value of a secret.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use br_testkit::{BrOutput, EmqxNode, pack};

use super::{Session, contents, json, members, still};

const BASE: &str = "emqx-export-2023-06-19-15-14-19.947";

/// A session with bundles of two nodes that differ, in `a` and `b`.
fn session() -> Session {
    let session = Session::new();
    let _ = EmqxNode::small().export(&session.at("a"), BASE);
    let mut node = EmqxNode::small();
    node.put("emqx_authn_mnesia", "anna", "hushUSER-9");
    node.put("emqx_authn_mnesia", "dora", "hushUSER-4");
    node.remove("emqx_authn_mnesia", "bert");
    node.drop_table("emqx_psk");
    node.config = node.config.replace("10MB", "1MB");
    node.config = node.config.replace("hushDATABASE", "hushDATABASE2");
    let _ = node.export(&session.at("b"), BASE);
    session
}

const A: &str = "a/emqx-export-2023-06-19-15-14-19.947.tar.gz";
const B: &str = "b/emqx-export-2023-06-19-15-14-19.947.tar.gz";

#[test]
fn inspect_shows_contents_of_bundle() {
    let session = session();
    let output = session.run(["bundle", "inspect", A]).expect(0);
    session.assert_output("bundle inspect", &output);
    let output = session.run(["bundle", "inspect", A, "-v"]).expect(0);
    session.assert_output("bundle inspect long", &output);
    let shown = session.json(["bundle", "inspect", A]);
    assert_eq!(shown["bundle"], BASE);
    assert_eq!(
        shown["manifest"],
        serde_json::Value::Null,
        "EMQX has no such message"
    );
    let members = shown["members"].as_array().unwrap();
    assert_eq!(members[0]["path"], "META.hocon");
    assert_eq!(members.len(), 9);
    let users = shown["tables"].as_array().unwrap();
    let users = users
        .iter()
        .find(|table| table["name"] == "emqx_authn_mnesia")
        .unwrap();
    assert_eq!(
        (&users["rows"], &users["set"], &users["sound"]),
        (&2.into(), &"builtin_authn".into(), &true.into())
    );
    assert_eq!(users["node"], "emqx@127.0.0.1");
    assert_eq!(users["written_unix_micros"], 1_687_187_659_403_771_u64);
    let secrets = shown["configs"][0]["secrets"].as_array().unwrap();
    let kinds: Vec<_> = secrets
        .iter()
        .map(|secret| secret["kind"].as_str().unwrap())
        .collect();
    for kind in [
        "password",
        "connection string",
        "private key",
        "certificate",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn inspect_shows_source_of_br_bundle() {
    let session = Session::new();
    session
        .run([
            "export",
            "docs",
            "--at",
            "2026-01-02T03:04:05.678Z",
            "--dir",
            "out",
        ])
        .expect(3);
    let bundle = session.bundle("out");
    let bundle = bundle.to_str().unwrap();
    let output = session.run(["bundle", "inspect", bundle]).expect(0);
    session.assert_output("bundle inspect br", &output);
    let output = session.run(["bundle", "verify", bundle]).expect(0);
    session.assert_output("bundle verify br", &output);
    let manifest = &session.json(["bundle", "inspect", bundle])["manifest"];
    assert_eq!(
        (&manifest["source"], &manifest["time"], &manifest["whole"]),
        (
            &"docs".into(),
            &"2026-01-02T03:04:05.678Z".into(),
            &true.into()
        )
    );
}

#[test]
fn intact_bundle_passes_verify() {
    let session = session();
    let output = session.run(["bundle", "verify", A]).expect(0);
    session.assert_output("bundle verify", &output);
    let quiet = session.run(["bundle", "verify", A, "--quiet"]).expect(0);
    assert_eq!((&*quiet.stdout, &*quiet.stderr), ("", ""));
    assert_eq!(session.json(["bundle", "verify", A])["sound"], true);
}

/// Newer nodes accept the bundle. Older nodes and nodes of the other edition do not.
#[test]
fn verify_reports_which_node_version_accepts_bundle() {
    let session = session();
    let mut node = EmqxNode::small();
    node.edition = "ee".to_owned();
    let enterprise = node.export(&session.at("ee"), BASE);
    let enterprise = enterprise.to_str().unwrap();
    for (bundle, version, edition, code) in [
        (A, "5.1.0", "ce", 0),
        (A, "5.8.1", "ee", 0),
        (A, "6.0.0", "ee", 0),
        (A, "5.0.26", "ce", 16),
        (enterprise, "5.1.0", "ee", 0),
        (enterprise, "5.1.0", "ce", 16),
        (A, "new", "ce", 2),
    ] {
        for verb in ["verify", "inspect"] {
            let target = ["--target-version", version, "--target-edition", edition];
            let output = session
                .br
                .run([&["bundle", verb, bundle], &target[..]].concat())
                .expect(code);
            assert!(
                code == 0 || output.stderr.contains("hint: "),
                "{version} {edition}: {output}"
            );
        }
    }
    let output = session
        .run(["bundle", "verify", A, "--target-version", "5.0.26"])
        .expect(16);
    session.assert_output("bundle verify older", &output);
    session
        .run(["bundle", "verify", A, "--target-edition", "ce"])
        .expect(2);
}

#[test]
fn differences_are_shown_without_values() {
    let session = session();
    let output = session.run(["bundle", "diff", A, B]).expect(0);
    session.assert_output("bundle diff", &output);
    let output = session.run(["bundle", "diff", A, B, "-v"]).expect(0);
    session.assert_output("bundle diff long", &output);
    let diff = session.json(["bundle", "diff", A, B]);
    let found: Vec<_> = diff["members"].as_array().unwrap().iter().collect();
    let found: Vec<_> = found
        .iter()
        .map(|member| {
            (
                member["path"].as_str().unwrap(),
                member["difference"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("cluster.hocon", "changed"),
            ("mnesia/emqx_authn_mnesia", "changed"),
            ("mnesia/emqx_psk", "removed")
        ]
    );
    let same = session.run(["bundle", "diff", A, A]).expect(0);
    assert_eq!(same.stdout, "no differences\n");
    let same = session.json(["bundle", "diff", A, A]);
    assert_eq!(same["members"], serde_json::json!([]));
}

#[test]
fn a_bundle_is_unpacked_into_a_new_folder() {
    let session = session();
    let output = session
        .run(["bundle", "extract", A, "--into", "out/new"])
        .expect(0);
    session.assert_output("bundle extract", &output);
    assert_eq!(contents(&session.at("out/new")), members(&session.at(A)));
    let before = still(session.at("out/new"));
    let output = session
        .run(["bundle", "extract", A, "--into", "out/new"])
        .expect(1);
    assert!(output.stderr.contains("is not empty"), "{output}");
    before.assert_same(&still(session.at("out/new")), "it stays");
    let part = ["--path", "mnesia/", "--table-sets", "psk,banned", "--json"];
    let output = session
        .br
        .run([&["bundle", "extract", A, "--into", "part"], &part[..]].concat())
        .expect(0);
    let summary = json(&output.stdout);
    assert_eq!(
        (&summary["type"], &summary["files"], &summary["into"]),
        (&"summary".into(), &3.into(), &"part".into())
    );
    let files = contents(&session.at("part"));
    let expected = ["META.hocon", "mnesia/emqx_banned", "mnesia/emqx_psk"];
    assert!(files.keys().eq(expected), "{files:?}");
}

/// A damaged table is named, nothing of the bundle is used, and the intact files can still be extracted.
#[test]
fn damaged_bundle_is_refused_with_list_of_errors() {
    let session = Session::new();
    let folder = session.at("in").join(BASE);
    EmqxNode::small().unpack(&folder);
    fs::write(folder.join("mnesia/emqx_acl"), "this is no table").unwrap();
    let banned = fs::read(folder.join("mnesia/emqx_banned")).unwrap();
    fs::write(folder.join("mnesia/emqx_app"), banned).unwrap();
    let paths = EmqxNode::small().files().into_iter();
    let paths: Vec<_> = paths.map(|(path, _)| format!("{BASE}/{path}")).collect();
    let bundle = pack(&session.at("in"), &paths, &session.at("out"), BASE);
    let bundle = bundle.to_str().unwrap();
    let output = session.run(["bundle", "verify", bundle]).expect(14);
    session.assert_output("bundle unsound", &output);
    let shown = session.run(["bundle", "inspect", bundle]).expect(0);
    let output = session
        .run(["bundle", "verify", bundle, "--json"])
        .expect(14);
    let document = json(&output.stdout);
    assert_eq!(document["sound"], false);
    let problems = document["problems"].as_array().unwrap();
    for table in ["mnesia/emqx_acl", "mnesia/emqx_app"] {
        assert!(
            problems.iter().any(|problem| problem["member"] == table),
            "{table}: {problems:?}"
        );
        assert!(
            shown.stdout.contains(&format!("problem: {table}")),
            "{shown}"
        );
    }
    session
        .run(["bundle", "extract", bundle, "--into", "new"])
        .expect(14);
    assert!(!session.at("new").exists(), "nothing of the bundle is used");
    session
        .run([
            "bundle",
            "extract",
            bundle,
            "--into",
            "new",
            "--table-sets",
            "psk",
        ])
        .expect(0);
    assert!(session.at("new/mnesia/emqx_psk").exists());
}

#[test]
fn limits_apply_and_can_be_raised() {
    let session = session();
    session.write("zeros/0", "");
    let zeros = fs::File::options()
        .write(true)
        .open(session.at("zeros/0"))
        .unwrap();
    zeros.set_len(80_000_000).unwrap();
    let zeros = ["export", "zeros", "--dir", "out", "--format", "tar.zst"];
    let output = session.run(zeros).expect(16);
    assert!(output.stderr.contains("--max-ratio"), "{output}");
    assert_eq!(session.bundles("out").len(), 0);
    let ratio = ["--max-ratio", "1000000"];
    session.br.run([&zeros[..], &ratio].concat()).expect(0);
    let bundle = session.bundle("out");
    let bundle = bundle.to_str().unwrap();
    for (arguments, text) in [
        (&["inspect", bundle][..], "--max-ratio"),
        (&["verify", bundle], "--max-ratio"),
        (&["extract", bundle, "--into", "new"], "--max-ratio"),
        (&["inspect", A, "--max-members", "3"], "--max-members"),
        (&["verify", A, "--max-bytes", "1000"], "--max-bytes"),
        (&["diff", A, B, "--max-bytes", "1000"], "--max-bytes"),
    ] {
        let output = session.br.run([&["bundle"], arguments].concat());
        let output = output.expect(16);
        assert!(output.stderr.contains(text), "{arguments:?}: {output}");
    }
    session
        .br
        .run([&["bundle", "verify", bundle], &ratio[..]].concat())
        .expect(0);
    session
        .run([
            "bundle",
            "verify",
            A,
            "--max-bytes",
            "10M",
            "--max-members",
            "9",
        ])
        .expect(0);
    assert!(!session.at("new").exists());
}

#[test]
fn file_that_is_not_bundle_is_refused() {
    let session = session();
    session.write("plain.tar.gz", "this is no archive");
    session.write("docs.tar.gz/file", "");
    fs::copy(session.at(A), session.at("renamed.tar.gz")).unwrap();
    for (bundle, code) in [
        ("none.tar.gz", 2),
        ("docs/a.txt", 16),
        ("plain.tar.gz", 14),
        ("renamed.tar.gz", 16),
        ("docs.tar.gz", 1),
    ] {
        for arguments in [
            &["inspect", bundle][..],
            &["verify", bundle],
            &["diff", A, bundle],
            &["diff", bundle, A],
            &["extract", bundle, "--into", "new"],
        ] {
            let output = session.br.run([&["bundle"], arguments].concat());
            let output = output.expect(code);
            assert!(output.stderr.starts_with("error: "), "{output}");
            assert!(output.stderr.contains("\nhint: "), "{output}");
            assert_eq!(output.stdout, "", "{arguments:?}");
            let json = session.br.run([&["bundle", "--json"], arguments].concat());
            let last = super::json(json.stderr.lines().last().unwrap());
            assert_eq!(last["code"], code, "{arguments:?}");
        }
    }
    assert!(!session.at("new").exists());
    session.run(["bundle"]).expect(2);
    session.run(["bundle", "frob", A]).expect(2);
}

/// Bundles contain private keys, passwords and hashes. They must not appear on the screen or in a log.
#[test]
fn no_command_shows_the_value_of_a_secret() {
    let session = session();
    session.run(["init", "--quiet"]).expect(0);
    let mut said = String::new();
    let mut keep = |output: BrOutput| said.push_str(&output.to_string());
    for arguments in [
        &["bundle", "inspect", A][..],
        &["bundle", "verify", A],
        &["bundle", "diff", A, B],
        &["bundle", "extract", A, "--into", "extracted"],
        &["import", B, "--into", "node"],
        &["import", A, "--into", "node", "--dry-run"],
        &["import", A, "--into", "node"],
        &["import", A],
        &["import", B],
        &["ls", "latest"],
        &["show", "latest"],
        &["list"],
        &["export", "node", "--dir", "out"],
        &["export", "latest", "--dir", "out"],
        &["export", "node", "--root-keys", "frob", "--dir", "out"],
    ] {
        keep(session.br.run(arguments));
    }
    // Again, with verbose output and with errors.
    let config = fs::read(session.at("extracted/cluster.hocon")).unwrap();
    let broken = [&config[..], b"broken = { \"hushDATABASE"].concat();
    session.write("node/cluster.hocon", broken);
    session.write(&format!("broken/{BASE}/META.hocon"), "hushADMIN = \"");
    let path = [format!("{BASE}/META.hocon")];
    let _ = pack(&session.at("broken"), &path, &session.at("broken"), BASE);
    let broken = format!("broken/{BASE}.tar.gz");
    let _ = fs::remove_dir_all(session.at("extracted"));
    for arguments in [
        &["bundle", "inspect", A][..],
        &["bundle", "verify", A],
        &["bundle", "diff", A, B],
        &["bundle", "extract", A, "--into", "extracted"],
        &["bundle", "verify", &broken],
        &["import", A, "--into", "node"],
        &["import", A, "--into", "other"],
        &["import", B, "--into", "other"],
        &["import", A],
        &["export", "node", "--dir", "out"],
        &["export", "node", "--root-keys", "mqtt", "--dir", "out"],
    ] {
        for more in ["--json", "--verbose"] {
            keep(session.br.run([arguments, &[more]].concat()));
        }
    }
    assert!(said.contains("anna"), "the keys of records are shown");
    for word in EmqxNode::SECRETS {
        let at = said.find(word);
        let around = at.map(|at| &said[at.saturating_sub(300)..at + word.len()]);
        assert_eq!(around, None, "{word} is shown");
    }
}

/// Names in a bundle are untrusted; a terminal executes control characters.
#[test]
fn control_characters_in_names_are_escaped() {
    let session = Session::new();
    let node = EmqxNode::small();
    let folder = session.at("in").join(BASE);
    node.unpack(&folder);
    let evil = "\u{1b}[2J\u{7}";
    fs::write(folder.join(format!("mnesia/{evil}")), "no table").unwrap();
    let meta = format!("edition = \"c{evil}e\"\nversion = \"5.1{evil}\"\n");
    let config = format!("\"dash{evil}board\" {{ \"a{evil}\" = 1, password = x }}\n");
    fs::write(folder.join("cluster.hocon"), config).unwrap();
    let mut paths: Vec<_> = node.tables().into_iter().collect();
    paths.truncate(1);
    let table = format!("{BASE}/mnesia/{}", paths[0]);
    let mut paths = vec![
        format!("{BASE}/META.hocon"),
        format!("{BASE}/cluster.hocon"),
        table,
        format!("{BASE}/mnesia/{evil}"),
    ];
    let names = pack(&session.at("in"), &paths, &session.at("names"), BASE);
    fs::write(folder.join("META.hocon"), meta).unwrap();
    let metas = pack(&session.at("in"), &paths, &session.at("metas"), BASE);
    paths.pop();
    fs::write(
        folder.join("META.hocon"),
        "edition = ce\nversion = \"5.1.0\"\n",
    )
    .unwrap();
    let configs = pack(&session.at("in"), &paths, &session.at("configs"), BASE);
    session.write("docs/sub/c", "");
    fs::rename(
        session.at("docs/sub/c"),
        session
            .at("docs/sub")
            .join(std::ffi::OsStr::from_bytes(evil.as_bytes())),
    )
    .unwrap();
    session.run(["init", "--quiet"]).expect(0);
    let mut outputs = Vec::new();
    for bundle in [&names, &metas, &configs] {
        let bundle = bundle.to_str().unwrap();
        for arguments in [
            &["bundle", "inspect", bundle][..],
            &["bundle", "inspect", bundle, "-v"],
            &["bundle", "verify", bundle],
            &["bundle", "diff", bundle, configs.to_str().unwrap(), "-v"],
            &["bundle", "extract", bundle, "--into", "new"],
            &["import", bundle, "--into", "node", "--dry-run"],
            &["import", bundle, "--into", "node"],
            &["import", bundle],
            &["export", "docs", "--dir", "out"],
            &["export", "docs", "--dir", "out", "--edition", evil],
        ] {
            outputs.push(session.br.run(arguments));
            outputs.push(session.br.run([arguments, &["--json"]].concat()));
            let _ = fs::remove_dir_all(session.at("new"));
        }
    }
    for output in &outputs {
        let text = output.to_string();
        let raw = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "{text:?}");
    }
    let shown = outputs
        .iter()
        .any(|output| output.stdout.contains("\\x1b[2J"));
    assert!(shown, "names with control characters are shown escaped");
}

/// Other programs read bundles of br: the system's tar and gzip verify them.
#[test]
fn system_tar_and_gzip_accept_bundles() {
    let session = Session::new();
    EmqxNode::small().unpack(&session.at("node"));
    session.run(["export", "node", "--dir", "out"]).expect(0);
    let bundle = session.bundle("out");
    let test = |program: &str, argument: &str, bundle: &Path| {
        let output = Command::new(program)
            .arg(argument)
            .arg(bundle)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        assert_eq!(output.stderr, b"", "{program} prints nothing");
    };
    test("gzip", "-t", &bundle);
    test("tar", "-tzf", &bundle);
}
