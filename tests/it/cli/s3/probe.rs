//! `br storage probe`.

use super::{Cloud, json};
use crate::cli::Session;

/// The output without measured values.
fn without_figures(text: &str) -> String {
    let cut = |line: &str| match line.split_once("  ") {
        Some((label, _))
            if ["latency", "rate", "requests"]
                .iter()
                .any(|word| label.contains(word)) =>
        {
            format!("{label}  [FIGURE]\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(cut).collect()
}

#[test]
fn conforming_server_is_usable_by_several_writers() {
    let cloud = Cloud::ready();
    let mut output = cloud.run("storage probe").expect(0);
    assert!(
        output.stdout.contains(" ms\n") && output.stdout.contains(" MiB/s\n"),
        "{output}"
    );
    output.stdout = without_figures(&output.stdout);
    cloud.assert_output("s3 probe", &output);
    assert_eq!(
        cloud.server.keys(super::BUCKET),
        Vec::<String>::new(),
        "nothing is left"
    );
    let found = json(&cloud.run("storage probe --quick --json").expect(0).stdout);
    assert_eq!(found["type"], "storage_probe");
    assert_eq!(found["verdict"], "several_writers");
    assert_eq!(found["capabilities"]["exclusive_create"], true);
    assert!(found["speed"].is_null());
    assert!(
        found["traffic"]["requests"].as_u64().unwrap() > 5,
        "{found}"
    );
    let endpoint = cloud.server.endpoint();
    let other = format!(
        "storage probe s3://{}/x --endpoint {endpoint} --quick",
        super::BUCKET
    );
    let keys = cloud.br.clone().env("BR_REPOSITORY", "");
    cloud.run_with(&keys, &other).expect(0);
}

#[test]
fn store_that_overwrites_is_usable_by_one_writer() {
    let cloud = Cloud::ready();
    cloud.server.ignore_conditions(true);
    let output = cloud.run("storage probe --quick").expect(0);
    assert!(
        output.stdout.contains("no: writers could overwrite"),
        "{output}"
    );
    assert!(
        output.stdout.contains("usable by one writer at a time\n"),
        "{output}"
    );
    let found = json(&cloud.run("storage probe --quick --json").expect(0).stdout);
    assert_eq!(found["verdict"], "one_writer");
    assert_eq!(found["capabilities"]["exclusive_create"], false);
    assert_eq!(found["reasons"].as_array().unwrap().len(), 1);
}

#[test]
fn store_without_range_reads_is_unusable() {
    let cloud = Cloud::ready();
    cloud.server.ignore_ranges(true);
    let output = cloud.run("storage probe").expect(1);
    assert!(output.stdout.contains("\nverdict"), "{output}");
    assert!(output.stdout.contains("not usable: "), "{output}");
    let found = json(&cloud.run("storage probe --json").expect(1).stdout);
    assert_eq!(found["verdict"], "unusable");
    assert!(!found["reasons"].as_array().unwrap().is_empty());
}

#[test]
fn folders_and_memory_can_be_probed() {
    let session = Session::with_backup();
    let output = session.run(["storage", "probe", "--quick"]).expect(0);
    assert!(
        output.stdout.contains("usable by several writers"),
        "{output}"
    );
    session.run(["check"]).expect(0);
    let found = session.json(["storage", "probe", "memory:"]);
    assert!(
        found["speed"]["write_bytes_per_second"].as_u64() > Some(0),
        "{found}"
    );
    assert!(found["traffic"].is_null());
    let output = session.run(["storage", "probe", "nowhere"]).expect(10);
    assert!(output.stderr.contains("create the folder"), "{output}");
    session.run(["storage", "probe", "-r", "x", "y"]).expect(2);
    session.run(["storage"]).expect(2);
}
