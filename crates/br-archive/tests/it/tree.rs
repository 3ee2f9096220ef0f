//! Dependencies of the crate: a program that reads bundles needs no async runtime and no object store.

use std::collections::BTreeSet;
use std::process::Command;

const BANNED: [&str; 12] = [
    "async-executor",
    "async-io",
    "async-std",
    "br-core",
    "br-storage",
    "futures-executor",
    "hyper",
    "mio",
    "object_store",
    "reqwest",
    "smol",
    "tokio",
];

#[test]
fn crate_has_few_dependencies() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "br-archive", "-e", "normal,build"])
        .args(["--prefix", "none", "--offline", "--all-features"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        names.contains("br-archive") && names.contains("tar"),
        "{tree}"
    );
    for banned in BANNED {
        assert!(!names.contains(banned), "br-archive needs {banned}");
    }
}
