//! Compatibility with Erlang's `erl_tar`, with which EMQX reads and writes bundles.

use std::fs;
use std::path::Path;
use std::process::Command;

use br_archive::{NoBundleProgress, extract};

use crate::support::folder::{contents, sound};
use crate::support::{BASE, META, emqx_options, import_options, skip, write};

fn names() -> Vec<String> {
    vec![
        "cluster.hocon".to_owned(),
        "data/empty".to_owned(),
        "data/large".to_owned(),
        "data/ключ und Größe".to_owned(),
        format!("data/{}", "é".repeat(90)),
        format!("data/{}", "n".repeat(250)),
        format!("{}/{}", "d".repeat(100), "f".repeat(90)),
        vec!["deep"; 60].join("/"),
    ]
}

fn content(name: &str) -> Vec<u8> {
    match name {
        "data/empty" => Vec::new(),
        "data/large" => (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect(),
        "cluster.hocon" => b"a = 1\n".to_vec(),
        name => name.into(),
    }
}

/// Runs the script next to this file; false without Erlang.
fn erl_tar(args: &[&Path]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/erlang/erl_tar.escript");
    let output = Command::new("escript").arg(script).args(args).output();
    let Ok(output) = output else {
        skip("there is no Erlang on this machine");
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    true
}

#[test]
fn erl_tar_reads_our_bundles() {
    let dir = tempfile::tempdir().unwrap();
    let members: Vec<_> = names()
        .into_iter()
        .map(|name| (content(&name), name))
        .collect();
    let members: Vec<_> = members
        .iter()
        .map(|(content, name)| (name.as_str(), content.as_slice()))
        .collect();
    let bundle = write(dir.path(), emqx_options(), &members);
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    if !erl_tar(&["extract".as_ref(), &bundle, &into]) {
        return;
    }
    let files = contents(&into.join(BASE));
    for (name, content) in members {
        assert!(
            files.get(name).is_some_and(|file| file == content),
            "{name}"
        );
    }
    assert_eq!(files["META.hocon"], META.as_bytes());
    assert_eq!(files.len(), names().len() + 2);
}

#[test]
fn bundles_of_erl_tar_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join(BASE);
    for name in names() {
        let path = from.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(&name)).unwrap();
    }
    fs::write(from.join("META.hocon"), META).unwrap();
    let bundle = dir.path().join(format!("{BASE}.tar.gz"));
    if !erl_tar(&["create".as_ref(), &bundle, dir.path(), BASE.as_ref()]) {
        return;
    }
    sound(&bundle);
    let into = dir.path().join("into");
    extract(&bundle, &into, &import_options(), &mut NoBundleProgress).unwrap();
    let files = contents(&into);
    for name in names() {
        assert!(
            files.get(&name).is_some_and(|file| *file == content(&name)),
            "{name}"
        );
    }
    assert_eq!(files.len(), names().len() + 1);
}
