//! `br import`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use br_testkit::{BrCmd, BrOutput, EmqxNode, pack};
use rustix::fs::{CWD, FileType, Mode};

use super::{Session, contents, json, members, still, without_manifest};

const OTHER_EDITION: &str = "importing EMQX Enterprise data backup to EMQX";
const OTHER_VERSION: &str = "is newer than EMQX version";

const BASE: &str = "emqx-export-2023-06-19-15-14-19.947";

/// A node that differs from the small one in each kind of data.
fn other() -> EmqxNode {
    let mut node = EmqxNode::small();
    node.version = "5.0.4".to_owned();
    node.put("emqx_authn_mnesia", "anna", "hushUSER-9");
    node.put("emqx_authn_mnesia", "dora", "hushUSER-4");
    node.remove("emqx_authn_mnesia", "bert");
    node.drop_table("emqx_psk");
    node.config = node
        .config
        .replace("10MB", "1MB")
        .replace("database = mqtt\n", "database = other\n    pool_size = 8\n");
    node.config.push_str("retainer {enable = true}\n");
    node
}

/// A session with a bundle of the small node in `in`.
fn session() -> (Session, String) {
    let session = Session::new();
    let bundle = EmqxNode::small().export(&session.at("in"), BASE);
    let bundle = bundle.strip_prefix(session.br.home()).unwrap();
    let bundle = bundle.to_str().unwrap().to_owned();
    (session, bundle)
}

fn files(node: &EmqxNode) -> BTreeMap<String, Vec<u8>> {
    node.files().into_iter().collect()
}

#[test]
fn a_fresh_folder_gets_everything() {
    let (session, bundle) = session();
    let output = session
        .run(["import", &bundle, "--into", "new/node"])
        .expect(0);
    session.assert_output("import", &output);
    assert_eq!(
        contents(&session.at("new/node")),
        files(&EmqxNode::small()),
        "the restored bundle is identical byte by byte"
    );
    let again = session
        .run(["import", &bundle, "--into", "new/node"])
        .expect(0);
    assert!(
        again
            .stdout
            .ends_with("9 files: 0 inserted, 0 updated, 9 unchanged\n"),
        "{again}"
    );
    let quiet = session
        .run(["import", &bundle, "--into", "quiet", "--quiet"])
        .expect(0);
    assert_eq!(quiet.stdout, "");
}

/// The import does what the dry run shows: it inserts and updates records and keys, and keeps those that only the folder has.
#[test]
fn merge_makes_changes_that_dry_run_shows() {
    let (session, bundle) = session();
    other().unpack(&session.at("node"));
    session.write("node/notes", "of the operator");
    let before = still(session.at("node"));
    let dry = session
        .run(["import", &bundle, "--into", "node", "--dry-run"])
        .expect(16);
    assert!(
        dry.stderr.contains("is newer than EMQX version"),
        "the files of the folder are older: {dry}"
    );
    let arguments = ["import", &bundle, "--into", "node"];
    let node = ["--target-version", "5.1.0", "--target-edition", "ce"];
    let import = |more: &[&str]| session.br.run([&arguments, &node[..], more].concat());
    let dry = import(&["--dry-run"]).expect(0);
    session.assert_output("import dry", &dry);
    let plan = json(&import(&["--dry-run", "--json"]).expect(0).stdout);
    before.assert_same(&still(session.at("node")), "a dry run changes nothing");
    session.assert_output("import merge", &import(&[]).expect(0));
    let change = |path: &str| {
        let mut changes = plan["changes"].as_array().unwrap().iter();
        let change = changes.find(|change| change["path"] == path);
        change.unwrap().clone()
    };
    assert_eq!(
        (&plan["dry_run"], &plan["into"]),
        (&true.into(), &"node".into())
    );
    let users = &change("mnesia/emqx_authn_mnesia")["records"];
    let expected = serde_json::json!(
        {"inserted": 1, "updated": 1, "unchanged": 0, "only_in_base": 1}
    );
    assert_eq!(users, &expected);
    assert_eq!(change("mnesia/emqx_psk")["action"], "insert");
    assert_eq!(change("mnesia/emqx_acl")["action"], "unchanged");
    assert_eq!(
        change("META.hocon")["action"],
        "kept",
        "the folder is unchanged"
    );
    let keys = change("cluster.hocon")["keys"].as_array().unwrap().clone();
    let updated = keys.iter().filter(|key| key["action"] == "update");
    let updated: Vec<_> = updated.map(|key| key["path"].as_str().unwrap()).collect();
    assert!(
        updated.iter().any(|key| key.starts_with("mqtt")),
        "{keys:?}"
    );
    let after = contents(&session.at("node"));
    let config = std::str::from_utf8(&after["cluster.hocon"]).unwrap();
    assert!(config.contains("10MB") && config.contains("retainer"));
    assert_eq!(after["notes"], b"of the operator");
    assert_eq!(
        after["META.hocon"], b"edition = ce\nversion = \"5.0.4\"\n",
        "kept"
    );
    let users = String::from_utf8_lossy(&after["mnesia/emqx_authn_mnesia"]).into_owned();
    for (user, there) in [
        ("hushUSER-1", true),
        ("hushUSER-2", true),
        ("hushUSER-4", true),
        ("hushUSER-9", false),
    ] {
        assert_eq!(users.contains(user), there, "{user}");
    }
    let leftovers: Vec<_> = after.keys().filter(|path| path.contains(".br")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_part_is_imported() {
    let (session, bundle) = session();
    session
        .run([
            "import",
            &bundle,
            "--into",
            "node",
            "--table-sets",
            "banned,psk",
            "--root-keys",
            "mqtt",
        ])
        .expect(0);
    let after = contents(&session.at("node"));
    let expected = [
        "META.hocon",
        "cluster.hocon",
        "mnesia/emqx_banned",
        "mnesia/emqx_psk",
    ];
    assert!(after.keys().eq(expected), "{after:?}");
    let config = std::str::from_utf8(&after["cluster.hocon"]).unwrap();
    assert_eq!(
        config,
        "mqtt {max_packet_size = 10MB, max_topic_levels = 128}\n"
    );
    session
        .run([
            "import",
            &bundle,
            "--into",
            "acl",
            "--path",
            "mnesia/emqx_acl",
        ])
        .expect(0);
    let after = contents(&session.at("acl"));
    assert!(
        after.keys().eq(["META.hocon", "mnesia/emqx_acl"]),
        "{after:?}"
    );
}

#[test]
fn a_bundle_that_is_not_of_emqx_is_merged_file_by_file() {
    let session = Session::new();
    fs::remove_file(session.at("docs/link")).unwrap();
    session.run(["export", "docs", "--dir", "out"]).expect(0);
    let bundle = session.bundle("out");
    session.write("there/a.txt", "other\n");
    session.write("there/kept", "mine");
    let summary = session.json(["import", bundle.to_str().unwrap(), "--into", "there"]);
    let actions: Vec<_> = summary["changes"].as_array().unwrap().iter().collect();
    let actions: Vec<_> = actions
        .iter()
        .map(|change| {
            (
                change["path"].as_str().unwrap(),
                change["action"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(actions, [("a.txt", "update"), ("sub/b.bin", "insert")]);
    let after = contents(&session.at("there"));
    assert_eq!(after["a.txt"], b"hello\n");
    assert_eq!(after["kept"], b"mine");
    assert!(
        after.keys().eq(["a.txt", "kept", "sub/b.bin"]),
        "the manifest of the bundle is not imported: {after:?}"
    );
}

/// br warns of data that EMQX drops silently: unknown root keys, tables under an old name, files that are not in the bundle.
#[test]
fn data_that_emqx_ignores_has_warning() {
    let (session, bundle) = session();
    let arguments = ["import", &bundle, "--into", "node"];
    let node = ["--target-version", "6.0.0"];
    let output = session.br.run([&arguments, &node[..]].concat()).expect(0);
    for text in [
        "emqx_enhanced_authn_scram_mnesia",
        "`dashboard` is ignored on import",
        "/etc/ssl/plant-ca.pem",
    ] {
        assert!(output.stderr.contains(text), "{text}: {output}");
    }
    let summary = session.json(["import", &bundle, "--into", "other"]);
    let warnings = summary["warnings"].as_array().unwrap();
    assert!(
        warnings
            .iter()
            .all(|warning| warning["message"].is_string()),
        "{warnings:?}"
    );
    assert_eq!(
        warnings.len(),
        output.stderr.matches("warning: ").count(),
        "{warnings:?}"
    );
}

/// All refusals of a bundle: exit code, message, and an unchanged folder and repository.
#[test]
fn refused_bundle_changes_nothing() {
    let (session, bundle) = session();
    let mut enterprise = EmqxNode::small();
    enterprise.edition = "ee".to_owned();
    let enterprise = enterprise.export(&session.at("ee"), BASE);
    let mut newer = EmqxNode::small();
    newer.version = "5.8.1".to_owned();
    let newer = newer.export(&session.at("newer"), BASE);
    fs::copy(session.at(&bundle), session.at("in/renamed.tar.gz")).unwrap();
    let whole = fs::read(session.at(&bundle)).unwrap();
    session.write(&format!("cut/{BASE}.tar.gz"), &whole[..whole.len() / 2]);
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 4;
    session.write(&format!("altered/{BASE}.tar.gz"), altered);
    session.write("plain.tar.gz", "this is no archive");
    session.write("plain.zip", "this is no archive");
    EmqxNode::small().unpack(&session.at("unsound").join(BASE));
    session.write(
        &format!("unsound/{BASE}/mnesia/emqx_acl"),
        "this is no table",
    );
    let paths = ["META.hocon", "mnesia/emqx_acl"].map(|path| format!("{BASE}/{path}"));
    let unsound = pack(&session.at("unsound"), &paths, &session.at("unsound"), BASE);
    let no_meta = pack(&session.at("unsound"), &paths[1..], &session.at("no"), BASE);
    EmqxNode::small().unpack(&session.at("node"));
    session.write("node/kept", "mine");
    let before = still(session.at("node"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (bundle, code, words) in [
        (text(&enterprise), 16, OTHER_EDITION),
        (text(&newer), 16, OTHER_VERSION),
        ("in/renamed.tar.gz".to_owned(), 16, BASE),
        (format!("cut/{BASE}.tar.gz"), 14, "br bundle verify"),
        (format!("altered/{BASE}.tar.gz"), 14, "br bundle verify"),
        ("plain.tar.gz".to_owned(), 14, "error: "),
        ("plain.zip".to_owned(), 16, ".tar.gz"),
        (text(&unsound), 14, "mnesia/emqx_acl"),
        (text(&no_meta), 16, "missing META.hocon"),
        ("none.tar.gz".to_owned(), 2, "not found"),
    ] {
        for more in [&[][..], &["--dry-run"]] {
            let arguments = [&["import", &bundle, "--into", "node"], more].concat();
            let output = session.br.run(&arguments).expect(code);
            assert!(output.stderr.contains(words), "{bundle}: {output}");
            assert!(output.stderr.contains("\nhint: "), "{bundle}: {output}");
        }
        before.assert_same(&still(session.at("node")), &bundle);
        // Only these two accept a folder that does not belong to a node yet.
        if ![OTHER_EDITION, OTHER_VERSION].contains(&words) {
            session
                .run(["import", &bundle, "--into", "new"])
                .expect(code);
            assert!(!session.at("new").exists(), "{bundle}: no folder appears");
        }
    }
    session.assert_output(
        "import renamed",
        &session
            .run(["import", "in/renamed.tar.gz", "--into", "node"])
            .expect(16),
    );
    for bundle in [format!("cut/{BASE}.tar.gz"), text(&unsound)] {
        session.run(["import", &bundle]).expect(10);
        assert!(!session.at("repository").exists(), "no repository is made");
    }
    session.run(["init", "--quiet"]).expect(0);
    for bundle in [format!("cut/{BASE}.tar.gz"), text(&unsound)] {
        session.run(["import", &bundle]).expect(14);
    }
    assert!(session.ids().is_empty(), "nothing is stored");
    let into = ["--into", "node", "--repo", "repository"];
    let output = session.br.run([&["import", &bundle], &into[..]].concat());
    output.expect(2);
    let tag = ["--into", "node", "--tag", "x"];
    let output = session.br.run([&["import", &bundle], &tag[..]].concat());
    output.expect(2);
    let nowhere = super::br(&session.at("elsewhere"));
    let bundle = text(&session.at(&bundle));
    let output = nowhere.run(["import", &bundle]).expect(2);
    assert!(output.stderr.contains("--into DIR"), "{output}");
}

/// Through a link in the folder, an import could write outside of the folder.
#[test]
fn links_in_the_folder_are_not_followed() {
    let (session, bundle) = session();
    fs::create_dir_all(session.at("elsewhere")).unwrap();
    for link in ["mnesia", "cluster.hocon", "mnesia/emqx_acl"] {
        let node = session.at("node");
        let at = node.join(link);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(session.at("elsewhere"), &at).unwrap();
        let before = still(&node);
        for more in [&[][..], &["--dry-run"]] {
            let arguments = [&["import", &bundle, "--into", "node"], more].concat();
            let output = session.br.run(&arguments).expect(2);
            assert!(output.stderr.contains(link), "{output}");
        }
        before.assert_same(&still(&node), link);
        assert_eq!(contents(&session.at("elsewhere")), BTreeMap::new());
        fs::remove_dir_all(&node).unwrap();
    }
}

#[test]
fn a_bundle_becomes_a_backup() {
    let (mut session, bundle) = session();
    fs::create_dir(session.at("tmp")).unwrap();
    session.br = session.br.env("TMPDIR", "tmp");
    let missing = session.run(["import", &bundle, "--dry-run"]).expect(10);
    assert!(missing.stderr.contains("`br init`"), "{missing}");
    assert!(!session.at("repository").exists());
    session.run(["init", "--quiet"]).expect(0);
    let dry = session.run(["import", &bundle, "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("nothing was stored"), "{dry}");
    assert!(!dry.stdout.contains("successfully"), "{dry}");
    assert!(session.ids().is_empty());
    let output = session
        .run(["import", &bundle, "--tag", "nightly"])
        .expect(0);
    session.assert_output("import kept", &output);
    let list = session.json(["list", "--tag", "nightly"]);
    assert_eq!(
        list["backups"][0]["tags"],
        serde_json::json!(["bundle", "nightly"])
    );
    session.assert_output("import ls", &session.run(["ls", "latest"]).expect(0));
    session
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    assert_eq!(contents(&session.at("out")), files(&EmqxNode::small()));
    session.run(["check", "--read-data"]).expect(0);
    let mut node = EmqxNode::small();
    node.put("emqx_banned", "oscar", "by hand");
    node.drop_table("emqx_psk");
    let second = node.export(&session.at("in2"), BASE);
    let summary = session.json(["import", second.to_str().unwrap()]);
    assert_eq!(
        (&summary["type"], &summary["bundle"], &summary["edition"]),
        (&"summary".into(), &BASE.into(), &"ce".into())
    );
    assert_eq!(summary["backup"]["files"], 8);
    let ids = session.ids();
    let diff = session.run(["diff", &ids[0], &ids[1]]).expect(0);
    session.assert_output("import diff", &diff);
    for (id, node) in ids.iter().zip([EmqxNode::small(), node]) {
        let _ = fs::remove_dir_all(session.at("back"));
        session.run(["export", id, "--dir", "back"]).expect(0);
        assert_eq!(members(&session.bundle("back")), files(&node));
    }
    let left = fs::read_dir(session.at("tmp")).unwrap().count();
    assert_eq!(left, 0, "nothing is left in TMPDIR");
}

#[test]
fn an_encrypted_repository_keeps_bundles_too() {
    let (session, bundle) = session();
    let br = session.br.clone().env("BR_PASSWORD", "secret");
    br.run(["init", "--encrypt"]).expect(0);
    br.run(["import", &bundle]).expect(0);
    for word in EmqxNode::SECRETS {
        for object in session.objects("") {
            let bytes = fs::read(&object).unwrap();
            let found = bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes());
            assert!(!found, "{word} is in {}", object.display());
        }
    }
    br.run(["export", "latest", "--dir", "out"]).expect(0);
    assert_eq!(members(&session.bundle("out")), files(&EmqxNode::small()));
    br.run(["check", "--read-data"]).expect(0);
    session.run(["import", &bundle]).expect(12);
}

/// A bundle of br contains its manifest, and is exported unchanged after an import.
#[test]
fn imported_br_bundle_is_exported_with_its_manifest() {
    let session = Session::with_repository();
    fs::remove_file(session.at("docs/link")).unwrap();
    session.run(["export", "docs", "--dir", "in"]).expect(0);
    let bundle = session.bundle("in");
    session.run(["import", bundle.to_str().unwrap()]).expect(0);
    session.run(["export", "latest", "--dir", "out"]).expect(0);
    let back = session.bundle("out");
    assert_eq!(back.file_name(), bundle.file_name());
    assert_eq!(members(&back), members(&bundle));
    session
        .run(["bundle", "verify", back.to_str().unwrap()])
        .expect(0);
    assert!(without_manifest(members(&back)).len() < members(&back).len());
}

/// Writes half of a bundle to a pipe, so that an import is half done; then calls `event`, and writes the rest.
fn in_the_middle(br: &BrCmd, arguments: &[&str], fifo: &Path, event: impl Fn(&Child)) -> BrOutput {
    let bundle = fs::read(br.home().join("whole.tar.gz")).unwrap();
    let child = br
        .command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = fs::OpenOptions::new().write(true).open(fifo).unwrap();
    let (first, rest) = bundle.split_at(bundle.len() / 2);
    pipe.write_all(first).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    event(&child);
    // Slowly, so that the import does not end before it notices the event.
    for part in rest.chunks(rest.len() / 10) {
        std::thread::sleep(Duration::from_millis(100));
        if pipe.write_all(part).is_err() {
            // No process reads it any more.
            break;
        }
    }
    drop(pipe);
    child.wait_with_output().unwrap().into()
}

/// A session with a bundle that is large enough, as a file and as a pipe of the right name.
fn pipe() -> (Session, PathBuf) {
    let session = Session::new();
    let node = EmqxNode::large(20_000);
    let bundle = node.export(&session.at("in"), BASE);
    fs::rename(bundle, session.at("whole.tar.gz")).unwrap();
    let fifo = session.at("in").join(format!("{BASE}.tar.gz"));
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(session.at("tmp")).unwrap();
    (session, fifo)
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupted_import_leaves_nothing_behind() {
    let (session, fifo) = pipe();
    session.run(["init", "--quiet"]).expect(0);
    let br = session.br.clone().env("TMPDIR", "tmp");
    let name = fifo.to_str().unwrap();
    EmqxNode::small().unpack(&session.at("node"));
    let before = still(session.at("node"));
    for signal in ["-INT", "-TERM"] {
        for target in ["new", "node"] {
            let arguments = ["--json", "import", name, "--into", target];
            let output = in_the_middle(&br, &arguments, &fifo, |child| send(signal, child));
            let output = output.expect(130);
            let last = output.stderr.lines().last().unwrap();
            assert_eq!(json(last)["code"], 130, "{last}");
            assert_eq!(output.stdout, "", "no result was printed");
        }
        assert!(!session.at("new").exists(), "{signal}");
        let after = still(session.at("node"));
        before.assert_same(&after, signal);
        let output = in_the_middle(&br, &["import", name], &fifo, |child| send(signal, child));
        output.expect(130);
        assert!(session.ids().is_empty(), "{signal}");
        let left = fs::read_dir(session.at("tmp")).unwrap().count();
        assert_eq!(left, 0, "{signal}: nothing is left in TMPDIR");
    }
}

#[test]
fn second_concurrent_import_into_folder_is_refused() {
    let (session, fifo) = pipe();
    let other = session.at("other").join(fifo.file_name().unwrap());
    fs::create_dir(session.at("other")).unwrap();
    fs::copy(session.at("whole.tar.gz"), &other).unwrap();
    let arguments = ["import", fifo.to_str().unwrap(), "--into", "node"];
    let output = in_the_middle(&session.br, &arguments, &fifo, |_| {
        let second = session
            .run(["import", other.to_str().unwrap(), "--into", "node"])
            .expect(1);
        assert!(second.stderr.contains("another import"), "{second}");
        assert!(second.stderr.contains("one import at a time"), "{second}");
    });
    output.expect(0);
    session
        .run(["import", other.to_str().unwrap(), "--into", "node"])
        .expect(0);
}

/// A killed import leaves files behind. The next import removes them and restores the folder.
#[test]
fn next_import_cleans_up_after_killed_import() {
    let (session, fifo) = pipe();
    let name = fifo.to_str().unwrap();
    EmqxNode::small().unpack(&session.at("node"));
    let arguments = ["import", name, "--into", "node"];
    let output = in_the_middle(&session.br, &arguments, &fifo, |child| {
        while contents(&session.at("node")).len() == 9 {
            std::thread::sleep(Duration::from_millis(10));
        }
        send("-KILL", child);
    });
    assert_eq!(output.code, None, "{output}");
    fs::remove_file(&fifo).unwrap();
    fs::copy(session.at("whole.tar.gz"), &fifo).unwrap();
    let there = contents(&session.at("node"));
    for (path, content) in files(&EmqxNode::small()) {
        assert_eq!(there[&path], content, "{path} is unchanged");
    }
    assert_ne!(there.len(), 9, "the import left files behind");
    session.br.run(arguments).expect(0);
    let merged = contents(&session.at("node"));
    assert_eq!(merged.len(), 9, "{:?}", merged.keys());
    // At any later moment: after the next import, the folder has either the old content or the new content.
    for round in 1..=10_u32 {
        fs::remove_dir_all(session.at("node")).unwrap();
        EmqxNode::small().unpack(&session.at("node"));
        let mut child = session
            .br
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(30) * round);
        child.kill().unwrap();
        child.wait().unwrap();
        session.br.run(arguments).expect(0);
        assert_eq!(contents(&session.at("node")), merged, "round {round}");
    }
}
