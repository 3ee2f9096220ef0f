//! The golden archives, which detect changes of the format.

use std::path::Path;

use br_test_matrixone::{Backend, Backup, ClusterOptions, MoBr, MoVersion};

use crate::support::{ID_1, ID_2, assert_good, files, full, here};

/// Writes the golden archives.
fn write_golden(root: &Path) {
    let cluster = |backend| ClusterOptions {
        seed: 2024,
        objects: 8,
        backend,
        ..ClusterOptions::default()
    };
    let flat = root.join("flat-v1.0-framed");
    full(&mut cluster(Backend::Disk).build(), MoVersion::V1_0, &flat);
    let nested = [
        ("nested-v3.0-framed", Backend::Disk, MoVersion::V3_0_11),
        ("nested-v4.2-raw", Backend::DiskV2, MoVersion::V4_2),
    ];
    for (name, backend, version) in nested {
        let root = root.join(name);
        std::fs::create_dir_all(&root).unwrap();
        let mobr = MoBr::new(&root, &root).shown_as("/backup");
        let mut cluster = cluster(backend).build();
        let first = mobr.run(&mut cluster, &Backup::full(version), ID_1);
        cluster.pass(3600);
        cluster.insert(2);
        cluster.rewrite(1);
        let base = first.summary.backup_ts;
        mobr.run(&mut cluster, &Backup::incremental(version, base), ID_2);
    }
}

/// With `BR_MO_BLESS=1` it rewrites them instead.
#[test]
fn generator_reproduces_golden_archives() {
    let golden = here("golden");
    if std::env::var_os("BR_MO_BLESS").is_some_and(|value| value == "1") {
        let _ = std::fs::remove_dir_all(&golden);
        write_golden(&golden);
    }
    let folder = tempfile::tempdir().unwrap();
    write_golden(folder.path());
    let (expected, written) = (files(&golden), files(folder.path()));
    assert!(expected.keys().eq(written.keys()));
    for (name, bytes) in &written {
        assert_eq!(&expected[name], bytes, "{name}");
    }
    for item in std::fs::read_dir(&golden).unwrap() {
        let path = item.unwrap().path();
        let size: usize = files(&path).values().map(Vec::len).sum();
        assert!(size < 100_000, "{}: {size}", path.display());
        assert_good(&path, "holes=0");
    }
}
