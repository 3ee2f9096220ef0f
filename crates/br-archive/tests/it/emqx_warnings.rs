//! Warnings about members that EMQX would ignore and about work after an import, and refusals where EMQX refuses.

use std::path::PathBuf;

use br_archive::{Inspection, Limits, NoBundleProgress, inspect, select_config};
use br_emqx::rules::{Edition, Node, Version};
use tempfile::TempDir;

use crate::support::emqx::table;
use crate::support::raw::{Tar, gzip};
use crate::support::{BASE, META};

/// A bundle of these members.
fn bundle(name: &str, meta: &str, members: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut tar = Tar::new().file("META.hocon", meta);
    for (path, bytes) in members {
        tar = tar.file(path, bytes);
    }
    let bytes = gzip(&tar.end());
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn looked_at(members: &[(&str, &[u8])], version: Option<&str>) -> Inspection {
    let (_dir, path) = bundle(&format!("{BASE}.tar.gz"), META, members);
    let node = version.map(|text| Node::new(Edition::Ee, Version::parse(text).unwrap()));
    inspect(
        &path,
        &Limits::default(),
        node.as_ref(),
        &mut NoBundleProgress,
    )
    .unwrap()
}

fn warnings(members: &[(&str, &[u8])], version: Option<&str>) -> Vec<String> {
    let inspection = looked_at(members, version);
    assert!(inspection.is_sound(), "{:?}", inspection.problems);
    let text = |finding: &br_archive::Finding| {
        let member = finding.member.as_ref().map(ToString::to_string);
        format!("{}: {}", member.unwrap_or_default(), finding.text)
    };
    inspection.warnings.iter().map(text).collect()
}

#[test]
fn inspect_warns_of_members_that_emqx_ignores() {
    let members: &[(&str, &[u8])] = &[
        ("cluster.hocon", b"mqtt {}"),
        ("ns/a/cluster.hocon", b"mqtt {}\nnode {}"),
        ("notes.txt", b"x"),
        ("certs/key.pem", b"x"),
    ];
    let stray = [
        "notes.txt: EMQX passes over it: it imports `cluster.hocon` and tables only",
        "certs/key.pem: EMQX passes over it: it imports `cluster.hocon` and tables only",
    ];
    let of_namespaces =
        "ns/a/cluster.hocon: EMQX before 6.0.0 has no namespaces and passes over it";
    let newest = warnings(members, None);
    assert_eq!(newest[..2], stray);
    assert!(newest[2].contains("`node` is ignored"), "{newest:?}");
    assert_eq!(warnings(members, Some("6.0.0")), newest);
    // An ignored file gives no other warning.
    assert_eq!(
        warnings(members, Some("5.10.0")),
        [of_namespaces, stray[0], stray[1]]
    );
}

#[test]
fn inspect_warns_of_replaced_credentials() {
    let app = table("emqx_app", &[("operator", "x")]);
    let admin = table("emqx_admin", &[("admin", "x")]);
    let empty = table("emqx_app", &[]);
    let both = warnings(
        &[("mnesia/emqx_app", &app), ("mnesia/emqx_admin", &admin)],
        None,
    );
    assert!(both[0].starts_with("mnesia/emqx_app: its API keys replace"));
    assert!(both[1].starts_with("mnesia/emqx_admin: its users replace"));
    assert_eq!(warnings(&[("mnesia/emqx_app", &empty)], None), [""; 0]);
}

#[test]
fn retained_messages_need_an_index_before_5_7_1() {
    let retained = table("emqx_retainer_message", &[("t", "x")]);
    let members: &[(&str, &[u8])] = &[("mnesia/emqx_retainer_message", &retained)];
    let meta = "edition = ee\nversion = \"5.6.1\"\n";
    let at = |version: &str| {
        let (_dir, path) = bundle(&format!("{BASE}.tar.gz"), meta, members);
        let node = Node::new(Edition::Ee, Version::parse(version).unwrap());
        let found = inspect(
            &path,
            &Limits::default(),
            Some(&node),
            &mut NoBundleProgress,
        )
        .unwrap();
        found
            .warnings
            .iter()
            .any(|warning| warning.text.contains("retainer reindex start"))
    };
    let found: Vec<_> = ["5.6.1", "5.7.0", "5.7.1", "5.8.0"].map(at).to_vec();
    assert_eq!(found, [true, true, false, false]);
}

#[test]
fn unknown_edition_is_refused_unless_br_made_the_bundle() {
    let members: &[(&str, &[u8])] = &[("cluster.hocon", b"mqtt {}")];
    for (edition, is_refused) in [("xx", true), ("br", false), ("ee", false)] {
        let meta = format!("edition = {edition}\nversion = \"5.8.1\"\n");
        let (_dir, path) = bundle(&format!("{BASE}.tar.gz"), &meta, members);
        let found = inspect(&path, &Limits::default(), None, &mut NoBundleProgress);
        let refusal = found.map(drop).map_err(|error| {
            let refusal = error.refusal().map(br_emqx::rules::Refusal::atom);
            refusal.unwrap_or_default()
        });
        let expected = if is_refused {
            Err("invalid_edition")
        } else {
            Ok(())
        };
        assert_eq!(refusal, expected, "{edition}");
    }
}

#[test]
fn unknown_damaged_table_reports_its_damage() {
    let inspection = looked_at(&[("mnesia/emqx_acl~", b"corrupted")], None);
    assert!(inspection.is_sound(), "EMQX ignores the member");
    let texts: Vec<_> = inspection
        .warnings
        .iter()
        .map(|found| &found.text)
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("not a log")),
        "{texts:?}"
    );
}

#[test]
fn name_ns_is_refused() {
    let (_dir, path) = bundle("ns.tar.gz", META, &[]);
    let error = inspect(&path, &Limits::default(), None, &mut NoBundleProgress).unwrap_err();
    assert_eq!(error.refusal().unwrap().atom(), "unsafe_backup_name");
}

#[test]
fn export_of_emqx_4_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("emqx-export-2023-1-2-3-4-5.json");
    std::fs::write(&path, b"{\"version\":\"4.4\",\"rules\":[]}").unwrap();
    let error = inspect(&path, &Limits::default(), None, &mut NoBundleProgress).unwrap_err();
    assert!(
        error.to_string().contains("as EMQX 4 exports it"),
        "{error}"
    );
    assert_eq!(error.refusal().unwrap().atom(), "bad_backup_name");
}

#[test]
fn every_root_of_emqx_can_be_selected() {
    let keys = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = b"mqtt {max_qos_allowed = 1}\nlog {}";
    let selected = select_config(config, &keys(&["dashboard", "api_key", "mqtt", "ai"])).unwrap();
    let text = String::from_utf8(selected).unwrap();
    assert!(text.starts_with("mqtt") && !text.contains("log"), "{text}");
    let error = select_config(config, &keys(&["mqtt", "nonsense"])).unwrap_err();
    assert_eq!(error.to_string(), "Invalid root keys: nonsense");
}
