//! Imports into a folder: records and keys are merged, nothing is lost, and the change is atomic.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use br_archive::{
    BundleProgress, ChangeKind, ErrorKind, Event, ImportReport, NoBundleProgress, Selection,
    extract, import,
};
use br_emqx::rules::{Edition, Node, Version};

use crate::support::emqx::{header, log, row, rows, schema, table};
use crate::support::folder::{contents, in_memory, snapshot};
use crate::support::raw::Tar;
use crate::support::{META, emqx_options, import_options, member, options, write};

/// The folder of a node, with tables, a configuration, and files that are in no bundle.
fn node_folder() -> tempfile::TempDir {
    let folder = in_memory();
    let psk = table(
        "emqx_psk",
        &[("same", "1"), ("changed", "old"), ("kept", "here")],
    );
    for (path, content) in [
        ("META.hocon", META.as_bytes()),
        (
            "cluster.hocon",
            b"mqtt.max_packet_size = 1MB\nlistener_note = kept\nrule_engine.rules.old.sql = a\n",
        ),
        ("mnesia/emqx_psk", &psk),
        ("data/same", b"same"),
        ("data/changed", b"old"),
        ("data/kept", b"kept"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// A bundle of another node.
fn bundle(dir: &Path) -> PathBuf {
    let psk = table(
        "emqx_psk",
        &[("same", "1"), ("changed", "new"), ("added", "there")],
    );
    let banned = table("emqx_banned", &[("who", "by")]);
    let config = b"mqtt.max_packet_size = 2MB\nrule_engine.rules.new.sql = b\nnode.name = x\n";
    write(
        dir,
        emqx_options(),
        &[
            ("cluster.hocon", config),
            ("mnesia/emqx_psk", &psk),
            ("mnesia/emqx_banned", &banned),
            ("data/same", b"same"),
            ("data/changed", b"new"),
            ("data/added", b"added"),
        ],
    )
}

/// The changes by path, and the counts of tables, as text.
fn changes(report: &ImportReport) -> BTreeMap<String, String> {
    let changes = report.changes.iter().map(|change| {
        let mut text = change.kind.name().to_owned();
        if let Some(table) = &change.table {
            text += &format!(
                " {}+{}={}-{}",
                table.inserted, table.updated, table.unchanged, table.only_in_base
            );
        }
        if let Some(config) = &change.config {
            let config = config.iter();
            let mut config: Vec<_> = config
                .map(|change| format!(" {} {:?}", change.path, change.kind))
                .collect();
            config.sort();
            text += &config.concat();
        }
        (change.path.to_string(), text)
    });
    changes.collect()
}

/// Missing files are inserted, differing files are updated, equal files stay, and files only in the folder are kept. A dry run reports the
/// same and changes nothing.
#[test]
fn a_bundle_is_merged_into_a_folder() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let folder = node_folder();
    let before = snapshot(folder.path());

    let dry = import_options().with_dry_run(true);
    let planned = import(&bundle, folder.path(), &dry, &mut NoBundleProgress).unwrap();
    assert_eq!(snapshot(folder.path()), before);
    let done = import(
        &bundle,
        folder.path(),
        &import_options(),
        &mut NoBundleProgress,
    )
    .unwrap();
    assert_eq!(changes(&planned), changes(&done));
    let changes = changes(&done);
    for (path, text) in [
        ("META.hocon", "unchanged"),
        ("mnesia/emqx_psk", "update 1+1=1-1"),
        ("mnesia/emqx_banned", "insert"),
        ("data/same", "unchanged"),
        ("data/changed", "update"),
        ("data/added", "insert"),
    ] {
        assert_eq!(changes[path], text, "{path}");
    }
    assert_eq!(changes.len(), 7);
    let config = &changes["cluster.hocon"];
    for text in [
        "update ",
        "rule_engine.rules.new Inserted",
        "mqtt Updated",
        "node Ignored",
    ] {
        assert!(config.contains(text), "{config}");
    }
    assert_eq!(done.count(ChangeKind::Update), 3);

    let files = contents(folder.path());
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "META.hocon",
            "cluster.hocon",
            "data/added",
            "data/changed",
            "data/kept",
            "data/same",
            "mnesia/emqx_banned",
            "mnesia/emqx_psk",
        ]
    );
    assert_eq!(
        rows(&files["mnesia/emqx_psk"]),
        [
            r#"{emqx_psk,<<"added">>,<<"there">>}"#,
            r#"{emqx_psk,<<"changed">>,<<"new">>}"#,
            r#"{emqx_psk,<<"kept">>,<<"here">>}"#,
            r#"{emqx_psk,<<"same">>,<<"1">>}"#,
        ]
    );
    let config = String::from_utf8(files["cluster.hocon"].clone()).unwrap();
    for text in ["2MB", "listener_note", "old", "new"] {
        assert!(config.contains(text), "{config}");
    }
    assert!(!config.contains("node"), "{config}");
    assert_eq!(files["data/changed"], b"new");

    // A second import changes nothing.
    let after = snapshot(folder.path());
    let again = import(
        &bundle,
        folder.path(),
        &import_options(),
        &mut NoBundleProgress,
    )
    .unwrap();
    let undone = |kind| again.count(kind);
    assert_eq!(undone(ChangeKind::Insert) + undone(ChangeKind::Update), 0);
    assert_eq!(snapshot(folder.path()), after);
}

/// A missing folder gets all members of the bundle, including `META.hocon`.
#[test]
fn import_into_missing_folder_imports_everything() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let into = dir.path().join("a/b/c");
    let dry = import_options().with_dry_run(true);
    let planned = import(&bundle, &into, &dry, &mut NoBundleProgress).unwrap();
    assert!(!dir.path().join("a").exists());
    let done = import(&bundle, &into, &import_options(), &mut NoBundleProgress).unwrap();
    assert_eq!(changes(&planned), changes(&done));
    assert_eq!(done.count(ChangeKind::Insert), 7);
    let files = contents(&into);
    assert_eq!(files.len(), 7);
    assert_eq!(files["META.hocon"], META.as_bytes());
}

/// Tables contain passwords: a file that only its owner may read stays private after an import.
#[test]
fn permissions_are_those_of_the_bundle() {
    let dir = in_memory();
    let psk = table("emqx_psk", &[("id", "secret")]);
    let head = |path: &str, content: &[u8]| {
        let name = format!("{}/{path}", crate::support::BASE);
        crate::support::raw::Head::new(name, content.len() as u64).with(100, b"0000600\0")
    };
    let bundle = Tar::with_meta()
        .raw(head("mnesia/emqx_psk", &psk), &psk)
        .raw(head("cluster.hocon", b"a = 1\n"), "a = 1\n")
        .raw(head("data/x", b"x"), "x")
        .store(dir.path());
    let into = dir.path().join("into");
    import(&bundle, &into, &import_options(), &mut NoBundleProgress).unwrap();
    for path in ["mnesia/emqx_psk", "cluster.hocon", "data/x"] {
        let mode = fs::metadata(into.join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

/// `META.hocon` of the folder says which node it belongs to. Every import keeps it, and it decides which bundles are accepted.
#[test]
fn folder_decides_which_bundles_are_accepted() {
    let dir = in_memory();
    let of = |meta: &str| {
        let tar = Tar::new().file("META.hocon", meta);
        tar.file("data/x", "x").store(dir.path())
    };
    let folder = node_folder();
    let before = snapshot(folder.path());
    for (meta, atom) in [
        ("edition = ee\nversion = \"5.9.0\"\n", "unsupported_version"),
        ("edition = ee\nversion = \"6.0.0\"\n", "unsupported_version"),
        ("edition = ee\nversion = \"x\"\n", "invalid_version"),
    ] {
        let bundle = of(meta);
        for dry_run in [true, false] {
            let options = import_options().with_dry_run(dry_run);
            let error =
                import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap_err();
            assert_eq!(error.refusal().unwrap().atom(), atom, "{meta}");
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert_eq!(snapshot(folder.path()), before);
        }
    }
    // The caller's node overrides the folder.
    let newer = Node::new(Edition::Ee, Version::parse("5.9.1").unwrap());
    let options = import_options().with_node(Some(newer)).with_dry_run(true);
    let bundle = of("edition = ee\nversion = \"5.9.0\"\n");
    let report = import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap();
    assert_eq!(report.count(ChangeKind::Kept), 1);
    let bundle = of("edition = ce\nversion = \"5.1.0\"\n");
    let report = import(
        &bundle,
        folder.path(),
        &import_options(),
        &mut NoBundleProgress,
    )
    .unwrap();
    assert_eq!(report.count(ChangeKind::Kept), 1);
    let meta = fs::read(folder.path().join("META.hocon")).unwrap();
    assert_eq!(meta, META.as_bytes());
}

/// Files of bundles that are not EMQX's are imported unchanged, without a merge.
#[test]
fn plain_bundle_imports_files_unchanged() {
    let dir = in_memory();
    let members: [(&str, &[u8]); 3] = [
        ("cluster.hocon", b"not = { hocon"),
        ("mnesia/emqx_psk", b"no table"),
        ("x", b"x"),
    ];
    let bundle = write(dir.path(), options(), &members);
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    fs::write(into.join("cluster.hocon"), "before").unwrap();
    let report = import(&bundle, &into, &import_options(), &mut NoBundleProgress).unwrap();
    assert_eq!(report.count(ChangeKind::Insert), 2);
    assert_eq!(report.count(ChangeKind::Update), 1);
    let files = contents(&into);
    assert_eq!(files.len(), 3);
    for (path, content) in members {
        assert_eq!(files[path], content);
    }
}

/// Every defect is found before anything changes, even in the last member, and so is every obstacle in the folder.
#[test]
fn a_failure_changes_nothing() {
    let dir = in_memory();
    let other_fields = log(&[
        header(),
        schema("emqx_psk", &["key", "other"]),
        row("emqx_psk", "k", "v"),
    ]);
    let start = || {
        Tar::with_meta()
            .file("cluster.hocon", "mqtt.max_packet_size = 3MB\n")
            .file("data/changed", "new")
            .file("data/added", "added")
    };
    for (what, tar, kind, member) in [
        (
            "another schema",
            start().file("mnesia/emqx_psk", &other_fields),
            ErrorKind::Refused,
            Some("mnesia/emqx_psk"),
        ),
        (
            "a damaged table",
            start().file("mnesia/emqx_banned", "x"),
            ErrorKind::Damaged,
            Some("mnesia/emqx_banned"),
        ),
        (
            "a folder in the way",
            start().file("data", "x"),
            ErrorKind::Refused,
            None,
        ),
        (
            "a file where a folder is",
            start().file("mnesia", "x"),
            ErrorKind::Invalid,
            Some("mnesia"),
        ),
        (
            "a folder where a file is",
            start().file("data/same/x", "x"),
            ErrorKind::Invalid,
            Some("data/same"),
        ),
    ] {
        let bundle = tar.store(dir.path());
        let folder = node_folder();
        let before = snapshot(folder.path());
        for dry_run in [true, false] {
            let options = import_options().with_dry_run(dry_run);
            let error =
                import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap_err();
            assert_eq!(error.kind(), kind, "{what}: {error}");
            if member.is_some() {
                assert_eq!(error.member(), member, "{what}: {error}");
            }
            assert_eq!(snapshot(folder.path()), before, "{what}");
        }
    }
    let bundle = start()
        .file("mnesia/emqx_psk", &other_fields)
        .store(dir.path());
    let folder = node_folder();
    let error = import(
        &bundle,
        folder.path(),
        &import_options(),
        &mut NoBundleProgress,
    )
    .unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.atom(), "different_table_schema");
    assert_eq!(
        refusal.emqx_message(),
        "{\"Backup traversal failed\",different_table_schema}"
    );
}

/// A link leads out of the folder. Nothing is read or written through it.
#[test]
fn links_in_the_folder_are_not_followed() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let elsewhere = in_memory();
    fs::write(elsewhere.path().join("changed"), "elsewhere").unwrap();
    for (link, to) in [
        ("data", elsewhere.path().to_owned()),
        ("data/changed", elsewhere.path().join("changed")),
        ("data/added", elsewhere.path().join("nothing")),
        ("mnesia/emqx_psk", elsewhere.path().join("changed")),
        ("cluster.hocon", PathBuf::from("data/kept")),
        ("META.hocon", PathBuf::from("data/kept")),
    ] {
        let folder = node_folder();
        let place = folder.path().join(link);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        } else {
            drop(fs::remove_file(&place));
        }
        symlink(to, &place).unwrap();
        let before = snapshot(folder.path());
        for dry_run in [true, false] {
            let options = import_options().with_dry_run(dry_run);
            let error =
                import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{link}: {error}");
            assert_eq!(error.member(), Some(link), "{error}");
            assert_eq!(snapshot(folder.path()), before, "{link}");
        }
        let there = contents(elsewhere.path());
        assert_eq!(there.into_values().collect::<Vec<_>>(), [b"elsewhere"]);
    }
}

/// Only the selection is imported: by path, by table set, by root key.
#[test]
fn import_respects_selection() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let take = |selection: Selection| {
        let folder = node_folder();
        let before = contents(folder.path());
        let options = import_options().with_selection(selection.clone());
        let report = import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap();
        let after = contents(folder.path());
        let changed = after
            .iter()
            .filter(|(path, new)| before.get(*path) != Some(*new));
        let changed: Vec<_> = changed.map(|(path, _)| path.clone()).collect();
        // The same members are extracted, and also META.hocon.
        let into = folder.path().join("extracted");
        let inspection = extract(&bundle, &into, &options, &mut NoBundleProgress).unwrap();
        assert_eq!(inspection.members.len(), report.inspection.members.len());
        let extracted: Vec<_> = contents(&into).into_keys().collect();
        (changed, extracted)
    };
    let paths = |paths: &[&str]| paths.iter().map(|path| member(path)).collect::<Vec<_>>();
    let (changed, extracted) = take(Selection::default().with_paths(paths(&["data"])));
    assert_eq!(changed, ["data/added", "data/changed"]);
    assert_eq!(
        extracted,
        ["META.hocon", "data/added", "data/changed", "data/same"]
    );
    let only = Selection::default().with_paths(paths(&["mnesia"]));
    let only = only.with_table_sets(Some(vec!["banned".into()]));
    let (changed, extracted) = take(only);
    assert_eq!(changed, ["mnesia/emqx_banned"]);
    assert_eq!(extracted, ["META.hocon", "mnesia/emqx_banned"]);
    let absent =
        Selection::default().with_table_sets(Some(vec!["banned".into(), "retainer".into()]));
    let folder = node_folder();
    let options = import_options().with_selection(absent);
    let error = import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap_err();
    assert!(error.to_string().contains("the set `retainer`"), "{error}");
    let keys = Selection::default()
        .with_paths(paths(&["cluster.hocon"]))
        .with_root_keys(Some(vec!["mqtt".into()]));
    let folder = node_folder();
    let options = import_options().with_selection(keys);
    import(&bundle, folder.path(), &options, &mut NoBundleProgress).unwrap();
    let config = fs::read_to_string(folder.path().join("cluster.hocon")).unwrap();
    assert!(
        config.contains("2MB") && !config.contains("new"),
        "{config}"
    );
}

#[test]
fn two_imports_into_one_folder_do_not_mix() {
    struct Second<'a>(&'a Path, &'a Path, bool);
    impl BundleProgress for Second<'_> {
        fn event(&mut self, _: Event<'_>) {
            if !std::mem::replace(&mut self.2, true) {
                let mut options = import_options();
                options.id = 7;
                let error = import(self.0, self.1, &options, &mut NoBundleProgress).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
            }
        }
    }
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let folder = node_folder();
    let mut second = Second(&bundle, folder.path(), false);
    import(&bundle, folder.path(), &import_options(), &mut second).unwrap();
    assert!(second.2);
    // From many threads: each import succeeds, or reports that another is running.
    let threads: Vec<_> = (0..8)
        .map(|id| {
            let (bundle, into) = (bundle.clone(), folder.path().to_owned());
            std::thread::spawn(move || {
                let mut options = import_options();
                options.id = id;
                match import(&bundle, &into, &options, &mut NoBundleProgress) {
                    Ok(_) => true,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Exists, "{error:?}");
                        false
                    }
                }
            })
        })
        .collect();
    let done = threads.into_iter().map(|thread| thread.join().unwrap());
    assert!(done.filter(|done| *done).count() > 0);
    assert_eq!(contents(folder.path()).len(), 8);
}

/// Cancels after a number of events.
struct Stop {
    left: Cell<u64>,
}

impl BundleProgress for Stop {
    fn event(&mut self, _: Event<'_>) {
        self.left.set(self.left.get().saturating_sub(1));
    }

    fn is_cancelled(&self) -> bool {
        self.left.get() == 0
    }
}

/// The caller cancels at each event once; nothing changes.
#[test]
fn a_cancelled_import_changes_nothing() {
    let dir = in_memory();
    let bundle = bundle(dir.path());
    let folder = node_folder();
    let before = snapshot(folder.path());
    let mut events = 0;
    loop {
        let left = Cell::new(events);
        let mut stop = Stop { left };
        let into = dir.path().join("extracted");
        let extracted = extract(&bundle, &into, &import_options(), &mut stop);
        let is_over = extracted.is_ok();
        if let Err(error) = extracted {
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{events}: {error}");
            assert!(!into.exists());
        }
        let left = Cell::new(events);
        let mut stop = Stop { left };
        match import(&bundle, folder.path(), &import_options(), &mut stop) {
            Ok(_) => break assert!(is_over, "{events}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{events}: {error}");
                assert_eq!(snapshot(folder.path()), before, "{events}");
            }
        }
        assert!(!is_over);
        events += 1;
    }
    assert!(events > 10, "{events}");
}
