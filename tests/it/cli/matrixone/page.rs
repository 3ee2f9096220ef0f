//! The page for operators of MatrixOne names only tests that exist, and every option of `mo_br`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Mo;

/// The options of `mo_br`, verb by verb, without the id.
const OPTIONS: &str = "\
    host port user password backup_dir path endpoint access_key_id secret_access_key bucket filepath region compression \
    role_arn is_minio parallelism meta_path backup_type base_id not_check_data not_delete_data \
    backup_endpoint backup_access_key_id backup_secret_access_key backup_bucket backup_filepath backup_region \
    backup_compression backup_role_arn backup_is_minio backup_path \
    restore_dir restore_endpoint restore_access_key_id restore_secret_access_key restore_bucket restore_filepath \
    restore_region restore_compression restore_role_arn restore_is_minio restore_path dn_config_path checksum \
    config log_file log_level";

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("docs/matrixone.md")).unwrap()
}

/// The tests of this folder, as `file::name`.
fn tests() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/cli/matrixone");
    let mut names = BTreeSet::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for part in text.split("#[test]\n").skip(1) {
            let name = part.split_once("fn ").unwrap().1.split('(').next().unwrap();
            names.insert(format!("{file}::{name}"));
        }
    }
    names
}

#[test]
fn every_test_named_in_page_exists() {
    let (page, tests) = (page(), tests());
    let named: BTreeSet<_> = page
        .split('`')
        .filter(|word| word.contains("::") && !word.contains(' '))
        .map(str::to_owned)
        .collect();
    assert!(named.len() > 10, "{named:?}");
    let unknown: Vec<_> = named.difference(&tests).collect();
    assert!(unknown.is_empty(), "no tests: {unknown:?}");
}

#[test]
fn every_option_is_in_the_table_with_a_test() {
    let page = page();
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("::"))
        .collect();
    for option in OPTIONS.split_whitespace() {
        let name = format!("`--{option}`");
        let row = rows.iter().find(|row| row.contains(&name));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(row.contains("::"), "no test runs it: {row}");
    }
}

#[test]
fn every_example_of_the_manual_is_in_the_table() {
    let page = page();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/cli/matrixone");
    let text = fs::read_to_string(folder.join("manual.rs")).unwrap();
    let examples: BTreeSet<_> = text.lines().filter_map(example).collect();
    assert_eq!(examples.len(), 15, "{examples:?}");
    for example in examples {
        assert!(page.contains(&format!("`{example}`")), "{example}");
    }
}

/// The example in a line of code.
fn example(line: &str) -> Option<&str> {
    let (before, _) = line.split_once("./mo_br ")?;
    let end = if before.ends_with("r#\"") {
        "\"#"
    } else {
        "\""
    };
    let (example, _) = line[before.len()..].split_once(end)?;
    // The prefix alone is no example.
    (example.len() > "./mo_br ".len()).then_some(example)
}

/// Options of later `mo_br` releases: their command lines work, and br warns that it ignores them.
#[test]
fn settings_and_log_options_are_accepted() {
    let mo = Mo::new();
    let id = mo.backup();
    mo.run(&format!("delete {id}")).expect(0);
    for (line, warning) in [
        ("list --log_level debug", ""),
        ("--log_level=debug list", ""),
        ("--log_file console -q list", ""),
        (
            "list --config mo_br.toml",
            "br does not read the settings in mo_br.toml",
        ),
        (
            "--config mo_br.toml list",
            "br does not read the settings in mo_br.toml",
        ),
        ("list --log_file br.log", "br writes no log to br.log"),
        (
            "matrixone list --log-file br.log",
            "br writes no log to br.log",
        ),
    ] {
        let output = mo.run(line).expect(0);
        assert!(output.stdout.contains("| ID | SIZE | PATH |"), "{output}");
        assert!(output.stderr.contains(warning), "{output}");
        assert_eq!(output.stderr.is_empty(), warning.is_empty(), "{output}");
    }
    mo.run("br list --log_level debug").expect(2);
}
