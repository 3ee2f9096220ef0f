//! Malicious and damaged bundles. Every operation refuses each of them, and no file changes.

use std::fs;
use std::path::PathBuf;

use br_archive::{
    BundleReader, Error, ErrorKind, Format, Limits, MANIFEST_PATH, NoBundleProgress, extract,
    inspect,
};
use br_emqx::rules::{Edition, Node, Version};

use crate::support::emqx::{header, log, row, schema, table};
use crate::support::folder::{Watched, in_memory, snapshot, sound};
use crate::support::raw::{Head, Tar, gzip, store};
use crate::support::{BASE, META, emqx_options, import_options, member, options, write};

/// Every operation must refuse it, as a plain bundle of EMQX.
fn refuse(tar: Tar, what: &str) -> Error {
    let watched = Watched::new();
    let bundle = tar.store(watched.path());
    watched.refuse(&bundle, &import_options(), what)
}

/// Every operation must refuse it because of a member, which the error names.
fn refuse_member(tar: Tar, name: &str, text: &str) {
    let error = refuse(tar, name);
    let shown = error.to_string();
    assert!(shown.contains(text), "{name:?}: {shown}");
    let named = error.member().unwrap();
    assert!(
        name.starts_with(named) || name.ends_with(named),
        "{name:?}: {named}"
    );
}

/// EMQX takes `<base>/../other.tar.gz`, as its first part is right, and overwrites another bundle. br refuses every path with such a part,
/// at any position and for any kind of member.
#[test]
fn paths_that_leave_the_folder_are_refused() {
    for path in [
        "..",
        "../x",
        "../other.tar.gz",
        "../../x",
        "a/..",
        "a/../x",
        "a/../../x",
        "a/b/../../../x",
        ".",
        "./x",
        "a/.",
        "a/./x",
    ] {
        let name = format!("{BASE}/{path}");
        for kind in *b"0\x0057" {
            let head = Head::new(&name, 0).kind(kind);
            refuse_member(
                Tar::with_meta().raw(head, ""),
                &name,
                "the path points above the current working directory",
            );
        }
        refuse_member(
            Tar::with_meta()
                .pax(&[(b"path", name.as_bytes())])
                .raw(Head::new(format!("{BASE}/harmless"), 4), "evil"),
            &name,
            "the path points above",
        );
        refuse_member(
            Tar::with_meta()
                .long_name(name.as_bytes())
                .raw(Head::new(format!("{BASE}/harmless"), 4), "evil"),
            &name,
            "the path points above",
        );
    }
    for path in ["a//x", "/x", "//etc/passwd"] {
        let name = format!("{BASE}/{path}");
        let error = refuse(Tar::with_meta().named(&name, "evil"), &name);
        assert!(error.member().is_some(), "{name}: {error}");
    }
}

/// The first part of every name is the bundle's base name. EMQX also detects a renamed file in this way.
#[test]
fn members_outside_the_base_name_are_refused() {
    for name in [
        "/etc/passwd",
        "etc/passwd",
        "x",
        "..",
        "../x",
        "../full/x",
        "/",
        "./x",
        "emqx-export/x",
        &format!("{BASE}x/x"),
        &format!("../{BASE}/x"),
        &format!("./{BASE}/x"),
        &format!("/{BASE}/x"),
        &format!("x/{BASE}/x"),
        &BASE.to_lowercase().replace("emqx", "EMQX"),
        BASE,
    ] {
        let error = refuse(Tar::with_meta().named(name, "evil"), name);
        assert_eq!(error.refusal().unwrap().atom(), "bad_archive_dir", "{name}");
        assert!(
            error.to_string().ends_with(
                "invalid backup archive content: all files in the archive must be under <backup \
                 name> directory"
            ),
            "{error}"
        );
        assert!(error.member().is_some(), "{name}");
    }
    // A file with an empty name.
    let error = refuse(Tar::with_meta().named("", "evil"), "no name");
    assert_eq!(error.refusal().unwrap().atom(), "bad_archive_dir");
}

#[test]
fn renamed_file_is_refused() {
    let watched = Watched::new();
    let path = write(
        watched.path(),
        emqx_options(),
        &[("cluster.hocon", b"a = 1\n")],
    );
    sound(&path);
    let renamed = watched.path().join("emqx-export-copy.tar.gz");
    fs::rename(&path, &renamed).unwrap();
    let error = watched.refuse(&renamed, &import_options(), "renamed");
    assert_eq!(error.refusal().unwrap().atom(), "bad_archive_dir");
}

/// Links lead out of the folder, devices and pipes do harm, sparse members claim sizes: a bundle must contain none of them.
#[test]
fn members_except_files_and_folders_are_refused() {
    let name = format!("{BASE}/x");
    for (kind, text) in [
        (b'1', "hard links"),
        (b'2', "symbolic links"),
        (b'3', "devices"),
        (b'4', "devices"),
        (b'6', "named pipes"),
        (b'S', "sparse members"),
        (b'V', "members of type 'V'"),
        (b'M', "members of type 'M'"),
        (b'D', "members of type 'D'"),
        (b'A', "members of type 'A'"),
        (0xff, "members of type"),
    ] {
        let head = Head::new(&name, 0).kind(kind).with(157, b"/etc/passwd");
        refuse_member(Tar::with_meta().raw(head, ""), &name, text);
    }
    // A link to a folder, and then a file in it.
    let link = Head::new(&name, 0).kind(b'2').with(157, b"/tmp");
    let tar = Tar::with_meta().raw(link, "").file("x/evil", "evil");
    refuse_member(tar, &name, "symbolic links");
    for records in [
        vec![
            (b"GNU.sparse.major".as_slice(), b"1".as_slice()),
            (b"GNU.sparse.realsize", b"99999999999"),
        ],
        vec![(b"GNU.sparse.size", b"10737418240")],
        vec![(b"GNU.sparse.map", b"0,10737418240")],
    ] {
        let tar = Tar::with_meta().pax(&records);
        refuse_member(tar.file("x", "evil"), &name, "sparse members");
    }
}

#[test]
fn conflicting_members_are_refused() {
    let file = |tar: Tar, path: &str| tar.file(path, "x");
    let folder = |tar: Tar, path: &str| {
        let head = Head::new(format!("{BASE}/{path}/"), 0).kind(b'5');
        tar.raw(head, "")
    };
    let meta = Tar::with_meta;
    for (tar, path, text) in [
        (file(file(meta(), "d/e"), "d/e"), "d/e", "twice"),
        (meta().file("META.hocon", META), "META.hocon", "twice"),
        (folder(folder(meta(), "d"), "d"), "d", "twice"),
        (
            file(file(meta(), "d"), "d/e"),
            "d/e",
            "its parent is a file",
        ),
        (
            file(file(meta(), "d"), "d/e/f/g"),
            "d/e/f/g",
            "its parent is a file",
        ),
        (
            file(file(meta(), "d/e"), "d"),
            "d",
            "a file and a directory",
        ),
        (
            file(folder(meta(), "d"), "d"),
            "d",
            "a file and a directory",
        ),
        (
            folder(file(meta(), "d"), "d"),
            "d",
            "a file and a directory",
        ),
    ] {
        refuse_member(tar, path, text);
    }
}

#[test]
fn names_are_text_of_bounded_length() {
    let text = |name: &str, text: &str| {
        refuse_member(
            Tar::with_meta().named(format!("{BASE}/{name}"), "x"),
            &format!("{BASE}/{name}"),
            text,
        );
    };
    for c in ['\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}'] {
        text(&format!("a{c}b"), "control character");
    }
    text(&"n".repeat(256), "too long");
    text(&vec!["n".repeat(250); 17].join("/"), "the path is too long");
    text(&vec!["d"; 129].join("/"), "the path is too long");
    let pax = |value: &[u8]| {
        let tar = Tar::with_meta().pax(&[(b"path", value)]);
        refuse(tar.file("x", "x"), "a PAX name")
    };
    assert!(pax(format!("{BASE}/a\0b").as_bytes()).member().is_some());
    assert!(pax(b"").member().is_some());
    for bytes in [b"\xff".as_slice(), b"a\xc0\xaf../b", b"\xed\xa0\x80"] {
        let name = [BASE.as_bytes(), b"/", bytes].concat();
        for error in [
            refuse(Tar::with_meta().named(&name, "x"), "not UTF-8"),
            refuse(
                Tar::with_meta().long_name(&name).file("x", "x"),
                "not UTF-8",
            ),
            pax(&name),
        ] {
            assert!(error.to_string().contains("not valid UTF-8"), "{error}");
            assert!(error.member().unwrap().starts_with(BASE));
        }
    }
    // The error text is safe to print on a terminal.
    let error = refuse(
        Tar::with_meta().file("\u{1b}[31mred", "x"),
        "an escape sequence",
    );
    assert!(!error.to_string().chars().any(char::is_control));
}

/// The size in a header causes no allocation.
#[test]
fn claimed_sizes_allocate_nothing() {
    let huge = Head::new("PaxHeaders/x", 10 << 30).kind(b'x');
    let error = refuse(Tar::with_meta().raw(huge, "9 a=b"), "a PAX header of 10 GB");
    assert!(error.to_string().contains("an extended header is too long"));
    let huge = Head::new("././@LongLink", 10 << 30).kind(b'L');
    let error = refuse(Tar::with_meta().raw(huge, "name"), "a name of 10 GB");
    assert_eq!(error.member(), Some("././@LongLink"));
    let global = Head::new("g", 10 << 30).kind(b'g');
    refuse(Tar::with_meta().raw(global, ""), "a global header of 10 GB");

    let name = format!("{BASE}/x");
    let sized = |field: &[u8]| {
        let head = Head::new(&name, 0).with(124, field);
        Tar::with_meta().raw(head, "content")
    };
    for (what, field) in [
        ("u64::MAX", b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        (
            "negative",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("-1000", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfc\x18"),
        ("beyond 64 bits", b"\x80\0\0\x01\0\0\0\0\0\0\0\0"),
        ("2 TiB", b"\x80\0\0\0\0\0\x02\0\0\0\0\0"),
        ("not a number", b"zzzzzzzzzzz\0"),
        ("8 GiB, and nothing follows", b"77777777777\0"),
    ] {
        let error = refuse(sized(field), what);
        assert_eq!(error.member(), Some(name.as_str()), "{what}: {error}");
    }
    for size in [
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "-1",
        "1e9",
        "",
        "10737418240",
    ] {
        let tar = Tar::with_meta().pax(&[(b"size", size.as_bytes())]);
        refuse(tar.file("x", "content"), &format!("size={size}"));
    }
}

#[test]
fn malformed_extended_headers_are_damage() {
    for content in [
        b"x".to_vec(),
        b"5 a=".to_vec(),
        b"99999 path=x\n".to_vec(),
        b"0 path=x\n".to_vec(),
        b"2 \n".to_vec(),
        b"10 path=xy".to_vec(),
        b"99999999999999999999999 path=x\n".to_vec(),
        b"-5 path=x\n".to_vec(),
        b"7 path\n".to_vec(),
    ] {
        let what = String::from_utf8_lossy(&content).into_owned();
        let head = Head::new("PaxHeaders/x", content.len() as u64).kind(b'x');
        let error = refuse(Tar::with_meta().raw(head, content).file("x", "x"), &what);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}");
    }
    let mut endless = Tar::with_meta();
    for _ in 0..100_000 {
        endless = endless.pax(&[(b"comment", b"nothing")]);
    }
    let error = refuse(endless.file("x", "x"), "nothing but extended headers");
    assert!(error.to_string().contains("too many extended headers"));
}

/// The hostile names of EMQX's own test suite.
#[test]
fn names_are_refused_with_emqx_texts() {
    let watched = Watched::new();
    let suffix = "invalid backup name: file name must have .tar.gz extension";
    let unsafe_name = "unsafe backup name";
    for (name, text) in [
        ("emqx-export", suffix),
        ("emqx-export.tar", suffix),
        ("...tar.gz", unsafe_name),
        ("..tar.gz", unsafe_name),
        (".tar.gz", unsafe_name),
    ] {
        let path = watched.path().join(name);
        fs::write(&path, "").unwrap();
        let error = watched.refuse(&path, &import_options(), name);
        assert_eq!(error.refusal().unwrap().to_string(), text, "{name}");
        fs::remove_file(path).unwrap();
    }
    let nothing = watched.path().join(format!("{BASE}-none.tar.gz"));
    let error = watched.refuse(&nothing, &import_options(), "no such file");
    // The text is EMQX's, but the kind is `Io`: the file does not exist.
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(
        error.refusal().unwrap().to_string(),
        "backup file not found"
    );
}

#[test]
fn bundles_that_emqx_refuses_are_refused_with_its_texts() {
    let watched = Watched::new();
    let node = |version: &str| Some(Node::new(Edition::Ee, Version::parse(version).unwrap()));
    let ours = import_options().with_node(node("5.8.1"));
    let refuse = |bundle: PathBuf, what: &str, text: &str| {
        let error = watched.refuse(&bundle, &ours, what);
        let refusal = error.refusal().unwrap();
        assert_eq!(refusal.to_string(), text, "{what}");
        fs::remove_file(bundle).unwrap();
    };
    let missing = "invalid backup archive file: missing META.hocon";
    let of_meta = |meta: &str| Tar::new().file("META.hocon", meta).store(watched.path());
    for (what, tar) in [
        ("no META", Tar::new().file("cluster.hocon", "a = 1\n")),
        ("no members", Tar::new()),
    ] {
        refuse(tar.store(watched.path()), what, missing);
    }
    for (what, meta, text) in [
        ("an empty META", "", missing),
        ("a broken META", "edition = {", missing),
        ("no version", "edition = ee", missing),
        ("no edition", "version = \"5.8.1\"", missing),
        (
            "the edition test",
            "edition = test\nversion = \"5.8.1\"\n",
            "invalid backup archive content: wrong EMQX edition value in META.hocon",
        ),
        (
            "the version test",
            "edition = ee\nversion = \"test\"\n",
            "invalid backup archive content: wrong EMQX version value in META.hocon",
        ),
        (
            "a future major version",
            "edition = ee\nversion = \"6.0.0\"\n",
            "[warning] Backup version \"6.0.0\" is newer than EMQX version \"5.8.1\", import is \
             not allowed.",
        ),
        (
            "a future minor version",
            "edition = ee\nversion = \"5.9.0\"\n",
            "[warning] Backup version \"5.9.0\" is newer than EMQX version \"5.8.1\", import is \
             not allowed.",
        ),
    ] {
        refuse(of_meta(meta), what, text);
    }
    let error = watched.refuse(
        &of_meta("edition = ee\nversion = \"6.3.0\"\n"),
        &import_options().with_node(node("6.2.2")),
        "a future version for 6.x",
    );
    let message = error.refusal().unwrap().emqx_message();
    assert!(
        message.ends_with("is incompatible with EMQX version \"6.2.2\", import is not allowed.\n")
    );
    let ce = Node::new(Edition::Ce, Version::parse("5.8.1").unwrap());
    let ce = import_options().with_node(Some(ce));
    let error = watched.refuse(&of_meta(META), &ce, "enterprise into open source");
    assert_eq!(error.refusal().unwrap().atom(), "ee_to_ce_backup");
}

/// Without a node, the folder says which bundles are accepted. An unknown edition must not bypass the checks of EMQX's bundles.
#[test]
fn unknown_edition_does_not_bypass_the_folders_node() {
    let watched = Watched::new();
    let before = snapshot(watched.path());
    let evil = Tar::new()
        .file("META.hocon", "edition = br\nversion = \"1\"\n")
        .file("mnesia/emqx_psk", "whatever")
        .store(watched.path());
    let full = watched.path().join("full");
    let error =
        br_archive::import(&evil, &full, &import_options(), &mut NoBundleProgress).unwrap_err();
    assert_eq!(error.refusal().unwrap().atom(), "invalid_edition");
    fs::remove_file(&evil).unwrap();
    assert_eq!(snapshot(watched.path()), before);
    // A bundle whose first members look like EMQX's, but whose later `META.hocon` does not, is refused.
    let late = Tar::new()
        .file("mnesia/emqx_psk", "whatever")
        .file("META.hocon", "edition = br\nversion = \"1\"\n")
        .store(watched.path());
    let empty = watched.path().join("empty");
    let error =
        br_archive::import(&late, &empty, &import_options(), &mut NoBundleProgress).unwrap_err();
    assert_eq!(error.member(), Some("META.hocon"));
    fs::remove_file(&late).unwrap();
    assert_eq!(snapshot(watched.path()), before);
}

/// A file that is named after one table but defines, deletes or fills another: EMQX checked the name and trusted the content.
#[test]
fn table_file_for_another_table_is_refused() {
    use br_emqx::term::Term;
    let banned = "emqx_banned";
    let delete = Term::Tuple(vec![Term::atom("schema"), Term::atom("emqx_admin")]);
    let delete_row = Term::Tuple(vec![Term::atom(banned), Term::binary("key")]);
    let fields = ["key", "value"];
    let sound_start = [header(), schema(banned, &fields)];
    let with = |item: Term| log(&[sound_start.as_slice(), &[item]].concat());
    let mut cut = table(banned, &[("k", "v")]);
    cut.truncate(cut.len() - 1);
    for (what, content) in [
        ("no log", b"corrupted".to_vec()),
        ("an empty file", Vec::new()),
        ("the table of another", table("emqx_admin", &[("k", "v")])),
        ("a record of another", with(row("emqx_admin", "k", "v"))),
        ("an order to delete a table", with(delete)),
        ("an order to delete a record", with(delete_row)),
        ("a second definition", with(schema(banned, &fields))),
        (
            "too many fields",
            with(Term::Tuple(vec![Term::atom(banned); 9])),
        ),
        ("no definition", log(&[header()])),
        ("no header", log(&[schema(banned, &fields)])),
        ("a cut", cut),
    ] {
        let tar = Tar::with_meta().file("mnesia/emqx_banned", content);
        let error = refuse(tar, what);
        assert_eq!(error.member(), Some("mnesia/emqx_banned"), "{what}");
        assert_eq!(error.kind(), ErrorKind::Damaged, "{what}");
    }
    let broken = Tar::with_meta().file("cluster.hocon", "a = {");
    assert_eq!(
        refuse(broken, "a configuration").member(),
        Some("cluster.hocon")
    );
}

/// Configurations stay in memory until the end of the bundle. There may be one for each namespace, so their total size is limited.
#[test]
fn many_configurations_are_too_many() {
    let watched = Watched::new();
    let text = format!("a = \"{}\"\n", "0123456789abcdef".repeat(1 << 17));
    let mut tar = Tar::with_meta();
    for number in 0..33 {
        tar = tar.file(&format!("ns/n{number}/cluster.hocon"), &text);
    }
    let bundle = tar.store(watched.path());
    let error = inspect(&bundle, &Limits::default(), None, &mut NoBundleProgress).unwrap_err();
    assert_eq!(error.member(), Some("ns/n31/cluster.hocon"), "{error}");
}

#[test]
fn limits_are_enforced() {
    let watched = Watched::new();
    let tar = Tar::with_meta()
        .file("m1", "0123456789")
        .file("m2", "0123456789")
        .file("m3", "");
    let bundle = tar.store(watched.path());
    sound(&bundle);
    let defaults = Limits::default();
    for (what, limits, member) in [
        ("members", defaults.with_members(3), "m3"),
        ("one member", defaults.with_member_bytes(9), "META.hocon"),
        ("all members", defaults.with_total_bytes(50), "m2"),
    ] {
        let options = import_options().with_limits(limits);
        let error = watched.refuse(&bundle, &options, what);
        assert_eq!(error.kind(), ErrorKind::Refused);
        let named = error.member().unwrap();
        assert!(named.ends_with(member), "{what}: {error}");
    }
    // Names may not use more memory than ordinary names would.
    let mut tar = Tar::with_meta();
    let deep = vec!["n".repeat(20); 120].join("/");
    for number in 0..16 {
        tar = tar.file(&format!("{number}/{deep}"), "");
    }
    let bundle = tar.store(watched.path());
    let options = import_options().with_limits(defaults.with_members(100));
    let error = watched.refuse(&bundle, &options, "long names");
    assert!(error.to_string().contains("names of the bundle's members"));
}

/// True if the bundle gives an error, is reported as unsound, or reads as the original. A panic or another kind of error fails the test.
fn is_same_or_error(bytes: &[u8], format: Format, whole: &br_archive::Inspection) -> bool {
    let dir = in_memory();
    let path = dir
        .path()
        .join(format!("{}{}", whole.name.directory(), format.extension()));
    fs::write(&path, bytes).unwrap();
    match inspect(&path, &Limits::default(), None, &mut NoBundleProgress) {
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::Refused | ErrorKind::Damaged),
                "{error:?}"
            );
            true
        }
        Ok(found) if !found.is_sound() => true,
        // Does not compare the manifest's program and source: only the checksum of the compressed data protects them.
        Ok(found) => {
            let contents = |bundle: &br_archive::Inspection| {
                let mut members = bundle.members.clone();
                members.retain(|member| member.path.as_str() != MANIFEST_PATH);
                members
            };
            contents(&found) == contents(whole) && found.meta == whole.meta
        }
    }
}

/// A small bundle of each form: gzip, zstd, and plain tar with the extension of gzip.
fn small_bundles() -> Vec<(Format, Vec<u8>, br_archive::Inspection)> {
    let dir = tempfile::tempdir().unwrap();
    let psk = table("emqx_psk", &[("id", "secret")]);
    let members: [(&str, &[u8]); 3] = [
        ("cluster.hocon", b"mqtt.max_packet_size = 1MB\n"),
        ("mnesia/emqx_psk", &psk),
        ("data/other", b"content"),
    ];
    let mut out = Vec::new();
    for format in Format::ALL {
        let options = emqx_options()
            .with_reproducible(true)
            .with_format(format, None)
            .with_threads(Some(1));
        let path = write(dir.path(), options, &members);
        let whole = sound(&path);
        out.push((format, fs::read(&path).unwrap(), whole));
    }
    let (format, bytes, whole) = out[0].clone();
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes.as_slice());
    std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
    out.push((format, plain, whole));
    out
}

#[test]
fn every_truncation_is_detected() {
    for (format, bytes, whole) in small_bundles() {
        // One block of zeros is also accepted as the end: only in plain tar can a cut be between the two.
        let is_plain = bytes.starts_with(BASE.as_bytes());
        for len in 0..bytes.len() - if is_plain { 512 } else { 0 } {
            let cut = &bytes[..len];
            assert!(is_same_or_error(cut, format, &whole), "{format:?}: {len}");
            if len % 16 == 0 || len + 16 > bytes.len() {
                let reader = BundleReader::new(
                    whole.name.clone(),
                    std::io::Cursor::new(cut.to_vec()),
                    &Limits::default(),
                );
                let mut reader = reader.unwrap();
                let error = loop {
                    match reader.next() {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("{format:?}: {len}: taken"),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), ErrorKind::Damaged, "{format:?}: {len}");
            }
        }
    }
}

/// A flipped bit that is not detected has no meaning: a time in the gzip header, padding in plain tar.
#[test]
fn every_flipped_byte_is_detected_or_harmless() {
    for (format, bytes, whole) in small_bundles() {
        for at in 0..bytes.len() {
            // In plain tar most bytes are padding.
            let is_plain = bytes.starts_with(BASE.as_bytes());
            let flips = if is_plain { 1 } else { 3 };
            for flip in [0x01, 0x80, 0xff].into_iter().take(flips) {
                let mut flipped = bytes.clone();
                flipped[at] ^= flip;
                assert!(
                    is_same_or_error(&flipped, format, &whole),
                    "{format:?}: {at} ^ {flip:#x}"
                );
            }
        }
    }
}

#[test]
fn bytes_after_the_end_are_checked() {
    let watched = Watched::new();
    let tar = Tar::with_meta().file("x", "x").end();
    let options = import_options();
    let gz = gzip(&tar);
    for (what, bytes) in [
        ("garbage after gzip", [gz.as_slice(), b"garbage"].concat()),
        ("one byte after gzip", [gz.as_slice(), b"\x01"].concat()),
        ("half a member", [gz.as_slice(), b"\x1f\x8b\x08\0"].concat()),
        (
            "a member after padding",
            [gz.as_slice(), &[0; 512], &gz].concat(),
        ),
        (
            "a second archive in a second member",
            [gz.as_slice(), &gz].concat(),
        ),
        ("garbage in the tar", gzip(&[tar.as_slice(), b"x"].concat())),
        (
            "a member after the end",
            gzip(&[tar.as_slice(), &Tar::new().file("y", "y").end()].concat()),
        ),
        ("no end", gzip(&tar[..tar.len() - 1024])),
        ("half an end", gzip(&tar[..tar.len() - 1000])),
        ("an empty file", Vec::new()),
        ("an empty gzip", gzip(b"")),
        ("text", b"this is no archive at all".repeat(100)),
        ("zip", [b"PK\x03\x04".as_slice(), &[7; 2000]].concat()),
    ] {
        let bundle = store(watched.path(), &bytes);
        let error = watched.refuse(&bundle, &options, what);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}");
    }
    // The checksum and the length are at the end of the file, and are checked before anything changes.
    for at in 1..=8 {
        let mut wrong = gz.clone();
        let at = wrong.len() - at;
        wrong[at] ^= 1;
        let bundle = store(watched.path(), &wrong);
        let error = watched.refuse(&bundle, &options, "a wrong checksum");
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
    let mut head = tar.clone();
    head[512 * 2 + 10] ^= 1;
    let bundle = store(watched.path(), &gzip(&head));
    let error = watched.refuse(&bundle, &options, "a wrong header");
    assert_eq!(error.to_string(), "Checksum failed");
}

/// The manifest lists the members of a bundle, so the reader detects a repacked bundle with a member missing, added or changed.
#[test]
fn bundle_that_differs_from_manifest_is_refused() {
    let watched = Watched::new();
    let path = write(
        watched.path(),
        options().with_prefix("emqx-export"),
        &[("data/a", b"aaa"), ("data/b", b"bbb")],
    );
    let mut manifest = Vec::new();
    let mut reader = BundleReader::open(&path, &Limits::default()).unwrap();
    while let Some(mut member) = reader.next().unwrap() {
        if member.path().as_str() == "br/manifest.json" {
            manifest = member.read_whole(1 << 20).unwrap();
        }
    }
    assert_eq!(reader.name().directory(), BASE);
    let manifest = String::from_utf8(manifest).unwrap();
    let meta = "edition = br\nversion = \"0.1.0\"\n";
    let pack = |members: &[(&str, &str)], manifest: &str| {
        let mut tar = Tar::new().file("META.hocon", meta);
        for (path, content) in members {
            tar = tar.file(path, content);
        }
        tar.file("br/manifest.json", manifest)
    };
    let (a, b) = (("data/a", "aaa"), ("data/b", "bbb"));
    sound(&pack(&[a, b], &manifest).store(watched.path()));
    // The order of members does not matter.
    sound(&pack(&[b, a], &manifest).store(watched.path()));
    for (what, tar, member) in [
        (
            "other content",
            pack(&[a, ("data/b", "bbB")], &manifest),
            "data/b",
        ),
        (
            "more content",
            pack(&[a, ("data/b", "bbbb")], &manifest),
            "data/b",
        ),
        ("a missing member", pack(&[a], &manifest), "data/b"),
        (
            "one more member",
            pack(&[a, b, ("data/c", "")], &manifest),
            "data/c",
        ),
        (
            "another member",
            pack(&[a, ("data/B", "bbb")], &manifest),
            "data/B",
        ),
        (
            "a manifest that was altered",
            pack(&[a, b], &manifest.replace("data/b", "data/c")),
            "br/manifest.json",
        ),
        ("no JSON", pack(&[a, b], "{"), "br/manifest.json"),
        (
            "JSON that is nested too deeply",
            pack(&[a, b], &"[".repeat(100_000)),
            "br/manifest.json",
        ),
        (
            "a newer version",
            pack(
                &[a, b],
                &manifest.replace("\"version\": 1", "\"version\": 2"),
            ),
            "br/manifest.json",
        ),
    ] {
        let bundle = tar.store(watched.path());
        let options = import_options().with_node(None);
        fs::remove_file(watched.path().join("full/META.hocon")).ok();
        let error = watched.refuse(&bundle, &options, what);
        assert_eq!(error.member(), Some(member), "{what}: {error}");
    }
    let other = manifest.replace(BASE, "emqx-export-other");
    let bundle = pack(&[a, b], &other).store(watched.path());
    let error = watched.refuse(&bundle, &import_options(), "the manifest of another");
    assert!(error.to_string().contains("is that of emqx-export-other"));
}

/// Names that are reserved for a running import.
#[test]
fn the_staging_folder_cannot_be_written_to() {
    for path in [
        ".br-import-0000000000c0ffee/journal",
        ".br-import-0000000000c0ffee",
        ".br-import-x/y",
    ] {
        let watched = Watched::new();
        let bundle = Tar::with_meta().file(path, "x").store(watched.path());
        let before = snapshot(watched.path());
        for name in ["empty", "deep/missing"] {
            let into = watched.path().join(name);
            let error =
                extract(&bundle, &into, &import_options(), &mut NoBundleProgress).unwrap_err();
            assert_eq!(error.member(), Some(path));
            let imported =
                br_archive::import(&bundle, &into, &import_options(), &mut NoBundleProgress);
            assert_eq!(imported.unwrap_err().member(), Some(path));
            assert_eq!(snapshot(watched.path()), before);
        }
    }
}

/// Set-user-id and similar bits are dropped.
#[test]
fn special_permissions_are_dropped() {
    let watched = Watched::new();
    let bundle = Tar::with_meta()
        .raw(
            Head::new(format!("{BASE}/tool"), 1).with(100, b"0007755\0"),
            "x",
        )
        .store(watched.path());
    let into = watched.path().join("empty");
    extract(&bundle, &into, &import_options(), &mut NoBundleProgress).unwrap();
    let (mode, _) = snapshot(&into)[&PathBuf::from("tool")];
    assert_eq!(mode & 0o7022, 0, "{mode:o}");
    assert_eq!(member("tool").as_str(), "tool");
}
