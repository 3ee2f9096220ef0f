use super::*;
use crate::meta::{Meta, SecurityProfile};

fn node(edition: Edition, version: &str) -> Node {
    Node::new(edition, Version::parse(version).unwrap())
}

fn import(edition: &str, version: &str, node: &Node) -> Result<(), &'static str> {
    check_import(&Meta::new(edition, version), node).map_err(|refusal| refusal.atom())
}

#[test]
fn versions_are_read_as_emqx_reads_them() {
    let numbers = |text| {
        let version = Version::parse(text)?;
        assert_eq!(version.as_str(), text);
        Ok::<_, Refusal>((version.major(), version.minor()))
    };
    assert_eq!(numbers("6.2.2"), Ok((6, 2)));
    assert_eq!(numbers("5.1.0-alpha.3-ga9d63c69"), Ok((5, 1)));
    assert_eq!(numbers("5.7.0-g830266b4"), Ok((5, 7)));
    assert_eq!(numbers("6.1"), Ok((6, 1)));
    assert_eq!(numbers("x.2"), Ok((0, 2)));
    assert_eq!(numbers("6."), Ok((6, 0)));
    assert_eq!(numbers("99999999999999999999999.1"), Ok((u64::MAX, 1)));
    assert_eq!(numbers("test"), Err(Refusal::InvalidVersion));
    assert_eq!(numbers(""), Err(Refusal::InvalidVersion));
}

#[test]
fn rule_of_emqx_5_compares_each_number_separately() {
    let node = node(Edition::Ee, "5.8.4");
    for version in ["5.1.0", "5.8.9", "5.8.4-rc.1", "4.4.0", "x.2"] {
        assert_eq!(import("ee", version, &node), Ok(()), "{version}");
    }
    for version in ["5.9.0", "6.0.0", "6.9.0", "4.9.0"] {
        assert_eq!(
            import("ee", version, &node),
            Err("unsupported_version"),
            "{version}"
        );
    }
}

#[test]
fn rule_of_6_refuses_4_and_newer_versions() {
    let node = node(Edition::Ee, "6.1.4");
    for version in ["5.1.0", "5.10.1", "6.0.0", "6.1.9-beta.2"] {
        assert_eq!(import("ee", version, &node), Ok(()), "{version}");
    }
    for version in ["4.4.0", "4.0", "x.1", "6.2.0", "7.0.0", "7.9.0"] {
        assert_eq!(
            import("ee", version, &node),
            Err("unsupported_version"),
            "{version}"
        );
    }
}

#[test]
fn an_enterprise_bundle_is_refused_by_the_open_source_edition() {
    let ce = node(Edition::Ce, "5.8.0");
    assert_eq!(import("ee", "5.3.1", &ce), Err("ee_to_ce_backup"));
    assert_eq!(import("ce", "5.3.1", &ce), Ok(()));
    assert_eq!(import("ce", "5.3.1", &node(Edition::Ee, "5.8.0")), Ok(()));
    assert_eq!(import("ee", "5.3.1", &node(Edition::Ce, "5.9.0")), Ok(()));
    // The edition is checked before the version.
    assert_eq!(import("ee", "test", &ce), Err("ee_to_ce_backup"));
    assert_eq!(import("test", "test", &ce), Err("invalid_edition"));
    assert_eq!(import("ce", "test", &ce), Err("invalid_version"));
}

#[test]
fn hardened_node_refuses_other_profiles() {
    let node = node(Edition::Ee, "6.3.0").with_security_profile(SecurityProfile::Hardened);
    let with = |profile: &str| {
        let text = format!("edition = ee\nversion = \"6.3.0\"\n{profile}");
        Meta::parse(text.as_bytes()).unwrap()
    };
    let refused = Err(Refusal::SecurityProfileMismatch { bundle: None });
    assert_eq!(check_import(&with(""), &node), refused);
    assert_eq!(
        check_import(&with("security_profile = new"), &node),
        refused
    );
    assert!(check_import(&with("security_profile = legacy"), &node).is_err());
    assert_eq!(
        check_import(&with("security_profile = hardened"), &node),
        Ok(())
    );
    let lenient = node.clone().allow_security_profile_mismatch();
    assert_eq!(check_import(&with(""), &lenient), Ok(()));
    let legacy = node.with_security_profile(SecurityProfile::Legacy);
    assert_eq!(
        check_import(&with("security_profile = hardened"), &legacy),
        Ok(())
    );
}

#[test]
fn meta_is_checked_without_a_node() {
    let (edition, version) = check_meta(&Meta::new("ce", "5.3.1")).unwrap();
    assert_eq!((edition, version.major()), (Edition::Ce, 5));
    assert_eq!(
        check_meta(&Meta::new("CE", "5.3.1")),
        Err(Refusal::InvalidEdition)
    );
    assert_eq!(
        check_meta(&Meta::new("ee", "5")),
        Err(Refusal::InvalidVersion)
    );
}

#[test]
fn names_are_one_safe_component_with_the_suffix() {
    let name = "emqx-export-2023-06-19-15-14-19.947.tar.gz";
    assert_eq!(check_name(name), Ok("emqx-export-2023-06-19-15-14-19.947"));
    assert_eq!(check_name("x.tar.gz.tar.gz"), Ok("x.tar.gz"));
    for name in [
        "...tar.gz",
        "..tar.gz",
        ".tar.gz",
        "..",
        ".",
        "",
        "a\0.tar.gz",
    ] {
        assert_eq!(check_name(name), Err(Refusal::UnsafeBackupName), "{name:?}");
    }
    for name in [
        "emqx-export",
        "x.tgz",
        "x.tar.gz.part",
        "a/x.tar.gz",
        "../x.tar.gz",
        "/x.tar.gz",
    ] {
        assert_eq!(check_name(name), Err(Refusal::BadBackupName), "{name}");
    }
}

#[test]
fn members_are_below_the_base_name() {
    assert_eq!(
        check_members("b", ["b/META.hocon", "b/", "b", "b//x"]),
        Ok(())
    );
    assert_eq!(check_members("b", [""; 0]), Ok(()));
    for name in ["c/META.hocon", "./b/x", "/b/x", "", "bb/x", "../b/x"] {
        assert_eq!(
            check_members("b", ["b/x", name]),
            Err(Refusal::BadArchiveDir),
            "{name}"
        );
    }
}

fn speaks_emqx(refusals: &[(Refusal, &str, &str)]) {
    for (refusal, atom, message) in refusals {
        assert_eq!(refusal.atom(), *atom);
        assert_eq!(refusal.emqx_message(), *message);
        assert_eq!(refusal.to_string(), message.trim_end());
    }
}

#[test]
fn refusals_of_bundles_use_emqx_texts() {
    let unsupported = |rule| Refusal::UnsupportedVersion {
        bundle: "7.0.0".into(),
        node: "6.2.2".into(),
        rule,
    };
    speaks_emqx(&[
        (
            Refusal::NotCoreNode {
                node: "emqx@10.0.0.1".into(),
            },
            "not_core_node",
            "backup data import is only allowed on core EMQX nodes, but requested node 'emqx@10.0.0.1' is not core",
        ),
        (Refusal::NotFound, "not_found", "backup file not found"),
        (
            Refusal::BadBackupName,
            "bad_backup_name",
            "invalid backup name: file name must have .tar.gz extension",
        ),
        (
            Refusal::UnsafeBackupName,
            "unsafe_backup_name",
            "unsafe backup name",
        ),
        (
            Refusal::BadArchiveDir,
            "bad_archive_dir",
            "invalid backup archive content: all files in the archive must be under <backup name> directory",
        ),
        (
            Refusal::MissingBackupMeta,
            "missing_backup_meta",
            "invalid backup archive file: missing META.hocon",
        ),
        (
            Refusal::InvalidEdition,
            "invalid_edition",
            "invalid backup archive content: wrong EMQX edition value in META.hocon",
        ),
        (
            Refusal::InvalidVersion,
            "invalid_version",
            "invalid backup archive content: wrong EMQX version value in META.hocon",
        ),
        (
            Refusal::EeToCeBackup,
            "ee_to_ce_backup",
            "importing EMQX Enterprise data backup to EMQX is not allowed",
        ),
        (
            unsupported(VersionRule::V6),
            "unsupported_version",
            "[warning] Backup version \"7.0.0\" is incompatible with EMQX version \"6.2.2\", import is not allowed.\n",
        ),
        (
            unsupported(VersionRule::V5),
            "unsupported_version",
            "[warning] Backup version \"7.0.0\" is newer than EMQX version \"6.2.2\", import is not allowed.\n",
        ),
        (
            Refusal::AlreadyExists {
                file: "x.tar.gz".into(),
            },
            "already_exists",
            "Backup file \"x.tar.gz\" already exists",
        ),
        (
            Refusal::BadBackupFile {
                reason: "eof".into(),
            },
            "bad_backup_file",
            "Bad backup file: eof",
        ),
    ]);
}

#[test]
fn refusals_of_parts_use_emqx_texts() {
    speaks_emqx(&[
        (
            Refusal::UnexpectedTable {
                table: "emqx_admin".into(),
            },
            "unexpected_table",
            "{unexpected_table,emqx_admin}",
        ),
        (
            Refusal::DifferentTableSchema,
            "different_table_schema",
            "{\"Backup traversal failed\",different_table_schema}",
        ),
        (
            Refusal::UnknownRootKeys {
                keys: vec!["bar".into(), "foo".into()],
            },
            "unknown_root_keys",
            "Invalid root keys: bar, foo",
        ),
        (
            Refusal::BadTableSets {
                sets: vec!["a".into()],
            },
            "bad_table_sets",
            "Invalid table sets: a",
        ),
    ]);
}
