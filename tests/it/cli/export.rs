//! `br export`.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use br_testkit::{EmqxNode, set_time};
use rustix::fs::{CWD, FileType, Mode};

use super::{Session, contents, json, json_lines, members, still, without_manifest};

const AT: &str = "2026-01-02T03:04:05.678Z";
const BASE: &str = "br-export-2026-01-02-03-04-05.678";
const EMQX_BASE: &str = "emqx-export-2026-01-02-03-04-05.678";

/// A session whose tree has nothing but files.
fn plain() -> Session {
    let session = Session::new();
    fs::remove_file(session.at("docs/link")).unwrap();
    session
}

impl Session {
    /// The bundles in a folder.
    pub(super) fn bundles(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.at(folder)) else {
            return Vec::new();
        };
        let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }

    /// The only bundle in a folder.
    pub(super) fn bundle(&self, folder: &str) -> PathBuf {
        let all = self.bundles(folder);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }
}

/// What tar of the system lists, without times.
fn listing(bundle: &std::path::Path) -> Vec<String> {
    let listed = Command::new("tar")
        .arg("-tzf")
        .arg(bundle)
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_folder_becomes_a_bundle_that_tar_reads() {
    let session = plain();
    let output = session
        .run(["export", "docs", "--at", AT, "--dir", "out/deep"])
        .expect(0);
    session.assert_output("export", &output);
    let bundle = session.at(&format!("out/deep/{BASE}.tar.gz"));
    let names = ["META.hocon", "a.txt", "sub/b.bin", "br/manifest.json"];
    let names = names.map(|name| format!("{BASE}/{name}"));
    assert_eq!(listing(&bundle), names, "no folders, META.hocon first");
    let files = members(&bundle);
    for (path, content) in contents(&session.at("docs")) {
        assert_eq!(files[&path], content, "{path}");
    }
    assert!(files["META.hocon"].starts_with(b"edition = br\nversion = \""));
    let manifest = json(std::str::from_utf8(&files["br/manifest.json"]).unwrap());
    assert_eq!(manifest["members"][1]["path"], "a.txt");
    let mode = fs::metadata(&bundle).unwrap().mode();
    assert_eq!(
        mode & 0o077,
        0,
        "only the owner may read the bundle: {mode:o}"
    );
    session
        .run(["bundle", "verify", bundle.to_str().unwrap()])
        .expect(0);
}

#[test]
fn a_file_and_several_folders_become_a_bundle() {
    let session = plain();
    session.write("more/sub/c", "c");
    session.write("one", "1");
    session
        .run(["export", "docs/a.txt", "--dir", "file"])
        .expect(0);
    let files = members(&session.bundle("file"));
    assert!(files.keys().eq(["META.hocon", "a.txt", "br/manifest.json"]));
    session
        .run(["export", "docs", "more/", "one", "--dir", "several"])
        .expect(0);
    let files = without_manifest(members(&session.bundle("several")));
    let expected = [
        "META.hocon",
        "docs/a.txt",
        "docs/sub/b.bin",
        "more/sub/c",
        "one",
    ];
    assert!(files.keys().eq(expected), "{files:?}");
    session
        .run([
            "export", "docs", "more", "--path", "more/sub", "--dir", "part",
        ])
        .expect(0);
    let files = without_manifest(members(&session.bundle("part")));
    assert!(files.keys().eq(["META.hocon", "more/sub/c"]), "{files:?}");
}

/// Two folders with the same name would conflict.
#[test]
fn folders_of_the_same_name_are_refused() {
    let session = plain();
    session.write("other/sub/c", "c");
    let output = session
        .run(["export", "docs/sub", "other/sub", "--dir", "out"])
        .expect(2);
    assert!(output.stderr.contains("the name `sub`"), "{output}");
    assert!(!session.at("out").exists(), "no bundle is created");
}

#[test]
fn emqx_export_prints_same_lines_as_emqx() {
    let session = Session::new();
    let node = EmqxNode::small();
    node.unpack(&session.at("node"));
    let output = session
        .run(["export", "node", "--at", AT, "--dir", "out"])
        .expect(0);
    session.assert_output("export emqx", &output);
    let bundle = session.at(&format!("out/{EMQX_BASE}.tar.gz"));
    let files = without_manifest(members(&bundle));
    assert!(files.into_iter().eq(sorted(node.files())));
    session.write("node/plugins/notes", "of the operator");
    let output = session.run(["export", "node", "--dir", "out2"]).expect(0);
    let line = "\nExporting additional files...\n";
    assert!(output.stdout.contains(line), "{output}");
}

fn sorted(mut files: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    files.sort();
    files
}

#[test]
fn the_result_is_json_or_nothing() {
    let session = plain();
    let summary = session.json(["export", "docs", "--at", AT, "--dir", "out"]);
    let bundle = session.at(&format!("out/{BASE}.tar.gz"));
    let size = fs::metadata(&bundle).unwrap().len();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["path"], format!("out/{BASE}.tar.gz"));
    assert_eq!(
        (&summary["name"], &summary["members"], &summary["left_out"]),
        (&BASE.into(), &4.into(), &0.into())
    );
    assert_eq!(summary["bytes_stored"], size);
    assert_eq!(summary["changed"], serde_json::json!([]));
    let digest = Command::new("sha256sum").arg(&bundle).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    assert_eq!(summary["sha256"], digest.split(' ').next().unwrap());
    let quiet = session
        .run(["export", "docs", "--dir", "out", "-q"])
        .expect(0);
    assert_eq!((&*quiet.stdout, &*quiet.stderr), ("", ""));
    assert_eq!(session.bundles("out").len(), 2);
}

#[test]
fn options_set_all_properties_of_bundle() {
    let session = plain();
    session
        .run([
            "export",
            "docs",
            "--dir",
            "out",
            "--prefix",
            "my-app",
            "--edition",
            "site",
            "--version",
            "2.0",
            "--format",
            "tar.zst",
            "--level",
            "19",
            "--at",
            AT,
            "--threads",
            "2",
        ])
        .expect(0);
    let bundle = session.at("out/my-app-2026-01-02-03-04-05.678.tar.zst");
    let magic = &fs::read(&bundle).unwrap()[..4];
    assert_eq!(
        magic,
        [0x28, 0xb5, 0x2f, 0xfd],
        "the bundle is compressed with zstd"
    );
    let shown = session.json(["bundle", "inspect", bundle.to_str().unwrap()]);
    assert_eq!(
        (&shown["edition"], &shown["version"], &shown["sound"]),
        (&"site".into(), &"2.0".into(), &true.into())
    );
    session
        .run([
            "export",
            "docs",
            "--edition",
            "ee",
            "--version",
            "5.8.1",
            "--dir",
            "ee",
            "--at",
            AT,
        ])
        .expect(0);
    let meta = &members(&session.at(&format!("ee/{EMQX_BASE}.tar.gz")))["META.hocon"];
    assert_eq!(
        meta, b"edition = ee\nversion = \"5.8.1\"\n",
        "as EMQX's own"
    );
}

/// The name of a bundle has the local time of the machine that wrote it.
#[test]
fn the_name_is_in_local_time() {
    let session = plain();
    let br = session.br.clone().env("TZ", "Asia/Kolkata");
    let zone = std::path::Path::new("/usr/share/zoneinfo/Asia/Kolkata");
    if !zone.exists() {
        return br_testkit::skip("there are no time zones");
    }
    br.run(["export", "docs", "--at", AT, "--dir", "out"])
        .expect(0);
    let name = "br-export-2026-01-02-08-34-05.678";
    assert!(session.at(&format!("out/{name}.tar.gz")).exists());
    br.run([
        "export",
        "docs",
        "--at",
        AT,
        "--reproducible",
        "--dir",
        "out",
    ])
    .expect(0);
    let utc = session.at(&format!("out/{BASE}.tar.gz"));
    assert!(utc.exists(), "a reproducible bundle has its time in UTC");
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let session = plain();
    let export = |from: &str, dir: &str, more: &[&str]| {
        let arguments = [&["export", from, "--dir", dir], more].concat();
        session.br.run(arguments).expect(0);
        fs::read(session.bundle(dir)).unwrap()
    };
    let copied = Command::new("cp")
        .arg("-a")
        .arg(session.at("docs"))
        .arg(session.at("copy"))
        .status()
        .unwrap();
    assert!(copied.success());
    session.write("elsewhere/docs/a.txt", "hello\n");
    session.write("elsewhere/docs/sub/b.bin", br_testkit::noise(1, 50_000));
    set_time(&session.at("elsewhere/docs/a.txt"), 1_600_000_000, 0);
    let at = ["--at", AT, "--reproducible"];
    let first = export("docs", "1", &at);
    let again = export("docs", "2", &[&at[..], &["--threads", "1"]].concat());
    assert!(
        first == again,
        "the bundle is identical with another number of threads"
    );
    assert!(first == export("copy", "0", &at), "a copy");
    let older = export("elsewhere/docs", "3", &at);
    assert!(
        first == older,
        "the bundle is identical with other file times in another folder"
    );
    // Without the option, a bundle keeps file times, so the test needs two copies with the same times.
    let first = export("docs", "4", &["--at", AT]);
    let copy = export("docs", "5", &["--at", AT]);
    assert!(
        first == copy,
        "the same files at the same time give the same bundle"
    );
    assert!(first != older, "times are kept");
    let dated = session.br.clone().env("SOURCE_DATE_EPOCH", "1700000000");
    dated
        .run(["export", "docs", "--reproducible", "--dir", "6"])
        .expect(0);
    let name = "br-export-2023-11-14-22-13-20.000.tar.gz";
    assert!(session.at("6").join(name).exists());
    let wrong = session.br.clone().env("SOURCE_DATE_EPOCH", "today");
    for br in [&session.br, &wrong] {
        br.run(["export", "docs", "--reproducible", "--dir", "7"])
            .expect(2);
    }
}

#[test]
fn existing_file_is_not_overwritten() {
    let session = plain();
    session.write(&format!("out/{BASE}.tar.gz"), "mine");
    let before = still(session.at("out"));
    let output = session
        .run(["export", "docs", "--at", AT, "--dir", "out"])
        .expect(1);
    assert!(output.stderr.contains("already exists"), "{output}");
    before.assert_same(&still(session.at("out")), "nothing is written or left");
    for _ in 0..3 {
        session.run(["export", "docs", "--dir", "out"]).expect(0);
    }
    assert_eq!(
        session.bundles("out").len(),
        4,
        "the current time always has a name"
    );
}

/// Symptom: the manifest of an imported bundle was exported in the middle of the bundle.
#[test]
fn imported_br_bundle_is_exported_byte_for_byte() {
    let session = Session::with_repository();
    session.write("docs/zebra", "after br/manifest.json");
    fs::remove_file(session.at("docs/link")).unwrap();
    // The time of the first export is not the time of the second one.
    session
        .run(["export", "docs", "--at", AT, "--dir", "in"])
        .expect(0);
    let original = session.bundle("in");
    session
        .run(["import", original.to_str().unwrap()])
        .expect(0);
    session.run(["export", "latest", "--dir", "out"]).expect(0);
    let written = session.bundle("out");
    assert_eq!(listing(&written), listing(&original));
    assert_eq!(fs::read(written).unwrap(), fs::read(original).unwrap());
}

/// br names and counts the entries that a bundle cannot hold, and lists them in the bundle, so that no user relies on them.
#[test]
fn entries_that_bundle_cannot_hold_are_left_out_and_reported() {
    let session = Session::new();
    let pipe = session.at("docs/pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("/etc", session.at("docs/sub/dir-link")).unwrap();
    let odd = session
        .at("docs")
        .join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::write(odd, "").unwrap();
    fs::create_dir(session.at("docs/an empty folder")).unwrap();
    let output = session
        .run(["export", "docs", "--at", AT, "--dir", "out"])
        .expect(3);
    session.assert_output("export left out", &output);
    let bundle = session.bundle("out");
    let files = members(&bundle);
    let expected = ["META.hocon", "a.txt", "br/manifest.json", "sub/b.bin"];
    assert!(files.keys().eq(expected), "{files:?}");
    let output = session
        .run(["export", "docs", "--dir", "out2", "--json"])
        .expect(3);
    assert_eq!(json(&output.stdout)["left_out"], 4);
    let failed = json_lines(&output.stderr);
    assert!(failed.iter().all(|line| line["type"] == "failed"));
    assert_eq!(failed.len(), 4, "{output}");
    let bundle = bundle.to_str().unwrap();
    let shown = session.run(["bundle", "inspect", bundle]).expect(0);
    assert!(shown.stdout.contains("4 things of the source"), "{shown}");
    let shown = session.json(["bundle", "inspect", bundle]);
    assert_eq!(shown["manifest"]["left_out"], 4);
    // From a repository they have the same names.
    session.run(["init"]).expect(0);
    session.run(["backup", "docs"]).expect(0);
    let output = session.run(["export", "latest", "--dir", "out3"]).expect(3);
    assert!(output.stderr.contains("left out: docs/\\xff: "), "{output}");
}

#[test]
fn unreadable_files_are_left_out() {
    let session = plain();
    let closed = session.at("docs/a.txt");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(session.at("out")).unwrap();
    fs::set_permissions(session.at("out"), fs::Permissions::from_mode(0o777)).unwrap();
    let Some(output) = session.run_as_nobody(&["export", "docs", "--dir", "out"]) else {
        return;
    };
    let output = output.expect(3);
    assert!(
        output
            .stderr
            .contains("left out: docs/a.txt: Permission denied"),
        "{output}"
    );
    let files = without_manifest(members(&session.bundle("out")));
    assert!(files.keys().eq(["META.hocon", "sub/b.bin"]), "{files:?}");
}

/// EMQX refuses bundles with an unknown edition or version.
#[test]
fn emqx_bundle_needs_edition_and_version() {
    let session = plain();
    for arguments in [
        &["--prefix", "emqx-export"][..],
        &["--prefix", "emqx-export", "--edition", "br"],
        &["--prefix", "emqx-export", "--version", "5.8.1"],
        &["--edition", "ee"],
        &["--edition", "ce", "--version", "new"],
        &["--edition", ""],
    ] {
        let output = session
            .br
            .run([&["export", "docs", "--dir", "out"], arguments].concat());
        output.expect(2);
    }
    assert!(!session.at("out").exists(), "no bundle is created");
}

#[test]
fn a_backup_becomes_a_bundle() {
    let session = Session::with_backup();
    let output = session
        .run(["export", "latest", "--at", AT, "--dir", "out"])
        .expect(3);
    session.assert_output("export backup", &output);
    let files = without_manifest(members(&session.bundle("out")));
    assert!(
        files
            .keys()
            .eq(["META.hocon", "docs/a.txt", "docs/sub/b.bin"]),
        "{files:?}"
    );
    assert_eq!(files["docs/a.txt"], b"hello\n");
    let id = session.ids().remove(0);
    session
        .run(["export", &id, "--path", "docs/sub/", "--dir", "part"])
        .expect(0);
    let files = without_manifest(members(&session.bundle("part")));
    assert!(
        files.keys().eq(["META.hocon", "docs/sub/b.bin"]),
        "{files:?}"
    );
    let shown = session.json([
        "bundle",
        "inspect",
        session.bundle("part").to_str().unwrap(),
    ]);
    assert_eq!(
        shown["manifest"]["source"],
        format!("backup {id} of h"),
        "the manifest names the origin"
    );
    assert_eq!(shown["manifest"]["whole"], false);
}

#[test]
fn imported_bundle_is_exported_unchanged() {
    let session = Session::with_repository();
    let node = EmqxNode::small();
    let original = node.export(&session.at("in"), "emqx-export-2023-06-19-15-14-19.947");
    let original = original.to_str().unwrap();
    session.run(["import", original]).expect(0);
    session.write("repository/.keep", "");
    session.run(["backup", "docs"]).expect(0);
    let id = session.ids().remove(0);
    let output = session.run(["export", &id, "--dir", "out"]).expect(0);
    session.assert_output("export imported", &output);
    let written = session.at("out/emqx-export-2023-06-19-15-14-19.947.tar.gz");
    assert!(members(&written).into_iter().eq(sorted(node.files())));
    let names = listing(&written);
    assert_eq!(names.len(), node.files().len(), "no folder, no manifest");
    let same = session
        .run(["bundle", "diff", original, written.to_str().unwrap()])
        .expect(0);
    assert_eq!(same.stdout, "no differences\n");
    session
        .run(["export", &id, "--dir", "out"])
        .expect(1)
        .stderr
        .contains("already exists");
    session
        .run([
            "export",
            &id,
            "--table-sets",
            "banned,psk",
            "--root-keys",
            "mqtt",
            "--dir",
            "part",
        ])
        .expect(0);
    let files = without_manifest(members(&session.bundle("part")));
    let expected = [
        "META.hocon",
        "cluster.hocon",
        "mnesia/emqx_banned",
        "mnesia/emqx_psk",
    ];
    assert!(files.keys().eq(expected), "{files:?}");
    assert_eq!(
        std::str::from_utf8(&files["cluster.hocon"]).unwrap(),
        "mqtt {max_packet_size = 10MB, max_topic_levels = 128}\n"
    );
    session
        .run(["export", &id, "--format", "tar.zst", "--dir", "zst"])
        .expect(0);
    let name = session.bundle("zst");
    assert_eq!(
        name.extension().unwrap(),
        "zst",
        "another kind of bundle gets a new name"
    );
}

#[test]
fn export_refuses_missing_path() {
    let session = Session::with_backup();
    EmqxNode::small().unpack(&session.at("node"));
    for (arguments, code, text) in [
        (&["export", "none"][..], 2, "no file or folder `none`"),
        (&["export", "ffff"], 2, "there is no backup `ffff`"),
        (&["export", "docs", "ffff"], 2, "no file or folder `ffff`"),
        (&["export", "docs", "--path", "none"], 2, "no path `none`"),
        (&["export", "latest", "--path", "none"], 2, "no `none`"),
        (&["export", "docs", "--path", "../x"], 2, "--path"),
        (
            &["export", "node", "--table-sets", "frob"],
            2,
            "Invalid table sets: frob",
        ),
        (
            &["export", "node", "--root-keys", "frob"],
            2,
            "Invalid root keys: frob",
        ),
        (&["export", "docs", "--level", "10"], 2, "from 0 to 9"),
        (&["export", "docs", "--prefix", "a/b"], 2, "`a/b`"),
        (&["export", "docs", "--at", "noon"], 2, "--at"),
        (&["export", "docs", "--max-bytes", "10k"], 16, "no bundle"),
        (&["export", "docs", "--max-members", "1"], 16, "no bundle"),
        (&["export"], 2, "<ID|PATH>"),
        (&["-r", "nowhere", "export", "latest"], 10, "no repository"),
    ] {
        let output = session.br.run([arguments, &["--dir", "out"]].concat());
        let output = output.expect(code);
        assert!(output.stderr.contains(text), "{arguments:?}: {output}");
        assert!(output.stderr.contains("hint: "), "{arguments:?}: {output}");
        assert_eq!(
            session.bundles("out"),
            [] as [PathBuf; 0],
            "{arguments:?}: no file is left"
        );
    }
    let nowhere = super::br(&session.at("elsewhere"));
    let output = nowhere.run(["export", "latest"]).expect(2);
    assert!(output.stderr.contains("--repo"), "{output}");
}

/// Damaged data in the repository must not end in a bundle that looks complete.
#[test]
fn export_of_damaged_backup_writes_no_bundle() {
    let session = Session::with_backup();
    session.damage(&session.objects("packs")[0]);
    let output = session.run(["export", "latest", "--dir", "out"]).expect(14);
    assert!(output.stderr.contains("br check"), "{output}");
    assert_eq!(session.bundles("out"), [] as [PathBuf; 0]);
}

#[test]
fn an_interrupted_export_leaves_nothing_behind() {
    let session = plain();
    session.write("docs/large", br_testkit::noise(2, 80_000_000));
    session
        .run(["backup", "--init", "docs", "--no-cache"])
        .expect(0);
    for what in ["docs", "latest"] {
        // Slow on any machine: the signal must come in the middle.
        let slowly = ["--level", "9", "--threads", "1", "--dir", "out", "--json"];
        let child = session
            .br
            .command([&["export", what], &slowly[..]].concat())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while session.bundles("out").is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let killed = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        let output = br_testkit::BrOutput::from(child.wait_with_output().unwrap()).expect(130);
        let last = output.stderr.lines().last().unwrap();
        assert_eq!(json(last)["code"], 130, "{last}");
        assert_eq!(output.stdout, "", "no result was printed");
        assert_eq!(session.bundles("out"), [] as [PathBuf; 0], "{what}");
    }
}
