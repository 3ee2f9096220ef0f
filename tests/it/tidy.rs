//! Rules of the workspace: permitted dependencies between crates, the length of files, which code may print, complete documents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a file without its tests.
const MAX_LINES: usize = 500;

/// The permitted dependencies between the crates of the workspace.
const EDGES: [(&str, &str); 20] = [
    ("br-archive", "br-emqx"),
    ("br-core", "br-storage"),
    ("br-matrixone", "br-storage"),
    ("br-sources", "br-archive"),
    ("br-sources", "br-core"),
    ("br-sources", "br-matrixone"),
    ("br-cli", "br-archive"),
    ("br-cli", "br-core"),
    ("br-cli", "br-emqx"),
    ("br-cli", "br-matrixone"),
    ("br-cli", "br-sources"),
    ("br-bench", "br-core"),
    ("br-embed", "br-core"),
    ("br-testkit", "br-core"),
    ("br-testkit", "br-storage"),
    ("br-tests", "br-archive"),
    ("br-tests", "br-cli"),
    ("br-tests", "br-core"),
    ("br-tests", "br-sources"),
    ("br-tests", "br-testkit"),
];

/// Dependencies that only tests may have.
const TEST_EDGES: [(&str, &str); 4] = [
    ("br-storage", "br-storage"),
    ("br-tests", "br-emqx"),
    ("br-tests", "br-storage"),
    ("br-tests", "br-test-matrixone"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The part of a file before its tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap()
}

#[test]
fn crates_have_documented_dependencies() {
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut found = BTreeSet::new();
    let mut found_in_tests = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            if on.starts_with("br-") {
                let edge = (name.to_owned(), on.to_owned());
                if dependency["kind"].as_str() == Some("dev") {
                    found_in_tests.insert(edge);
                } else {
                    found.insert(edge);
                }
            }
        }
    }
    let permitted = |edges: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        edges
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
            .collect()
    };
    let drawn = permitted(&EDGES);
    let more: Vec<_> = found.difference(&drawn).collect();
    assert!(
        more.is_empty(),
        "edges that ARCHITECTURE.md does not draw: {more:?}"
    );
    let all = &drawn | &permitted(&TEST_EDGES);
    let more: Vec<_> = found_in_tests.difference(&all).collect();
    assert!(
        more.is_empty(),
        "edges of tests that are not permitted: {more:?}"
    );
}

#[test]
fn bundles_need_no_repository_and_no_runtime() {
    let of_archive = ["tokio ", "object_store ", "br-core ", "br-storage "];
    let of_emqx = ["tokio ", "br-"];
    for (name, banned) in [
        ("br-archive", of_archive.as_slice()),
        ("br-emqx", of_emqx.as_slice()),
    ] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "-p", name, "-e", "normal", "--prefix", "none"])
            .arg("--offline")
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(tree.starts_with(&format!("{name} ")), "{tree}");
        for banned in banned {
            assert!(
                !tree.lines().skip(1).any(|line| line.starts_with(banned)),
                "{name} needs {banned}"
            );
        }
    }
}

#[test]
fn files_are_below_line_limit() {
    for (name, text) in sources("crates") {
        if name.contains("/tests/") {
            continue;
        }
        let lines = without_tests(&text).lines().count();
        assert!(lines <= MAX_LINES, "{name} has {lines} lines: split it");
    }
}

#[test]
fn only_the_output_folder_prints() {
    for (name, text) in sources("crates") {
        let may_print = name.starts_with("crates/br-cli/src/output/")
            || name.contains("/tests/")
            || name.contains("/examples/");
        if may_print {
            continue;
        }
        for line in without_tests(&text).lines() {
            let code = line.split("//").next().unwrap();
            let prints = ["println!(", "print!(", "dbg!("]
                .iter()
                .any(|word| code.contains(word));
            assert!(!prints, "{name} prints: {line}");
        }
    }
}

#[test]
fn format_and_model_use_no_io_and_no_clock() {
    for folder in ["crates/br-core/src/format", "crates/br-core/src/model"] {
        for (name, text) in sources(folder) {
            let code = without_tests(&text);
            for banned in [
                "std::fs",
                "std::net",
                "tokio",
                "async fn",
                "Timestamp::now",
                "getrandom",
            ] {
                assert!(!code.contains(banned), "{name} uses {banned}");
            }
        }
    }
}

#[test]
fn every_command_has_module_and_documentation() {
    let reference = std::fs::read_to_string(root().join("docs/cli/reference.md")).unwrap();
    let engine = root().join("crates/br-core/src/engine");
    for verb in [
        "backup", "check", "delete", "diff", "dump", "export", "ls", "prune", "restore", "stats",
    ] {
        let file = engine.join(format!("{verb}.rs"));
        assert!(
            file.exists() || engine.join(verb).is_dir(),
            "the engine has no {verb}"
        );
        let command = root().join(format!("crates/br-cli/src/commands/{verb}.rs"));
        assert!(command.exists(), "there is no command for {verb}");
        assert!(
            reference.contains(&format!("br {verb}")),
            "the reference lacks {verb}"
        );
    }
}

#[test]
fn format_document_names_everything_that_code_writes() {
    let document = std::fs::read_to_string(root().join("docs/format/repository.md")).unwrap();
    for (name, text) in sources("crates/br-core/src/format") {
        for context in text
            .split('"')
            .filter(|text| text.starts_with("br repository v1"))
        {
            assert!(
                document.contains(context),
                "{name}: {context} is not in the document"
            );
        }
    }
    for word in [
        "br.json",
        "packs/",
        "index/",
        "manifests/",
        "log/",
        "brpack1",
        "89 42 52 0A",
    ] {
        assert!(document.contains(word), "{word}");
    }
    for kind in [
        "commit",
        "delete",
        "condemn",
        "swept",
        "reindex",
        "checkpoint",
    ] {
        assert!(
            document.contains(&format!("| `{kind}` |")),
            "log entry {kind}"
        );
    }
}

#[test]
fn links_between_documents_have_existing_targets() {
    let mut documents = vec![root()];
    let mut pages = Vec::new();
    while let Some(folder) = documents.pop() {
        for item in std::fs::read_dir(&folder).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                documents.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let target = page.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}
