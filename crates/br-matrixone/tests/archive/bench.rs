//! Benchmark against `sha256sum` and `cp -r`. Ignored by default; run it with `cargo test --release --test archive -- --ignored --nocapture
//! bench`.

use std::process::Command;
use std::time::Duration;

use br_matrixone::archive::*;

use crate::make::{self, Shape};

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real time"
)]
fn timed<T>(name: &str, bytes: u64, run: impl FnOnce() -> T) -> T {
    let begun = std::time::Instant::now();
    let out = run();
    let took: Duration = begun.elapsed();
    let rate = bytes as f64 / took.as_secs_f64() / 1e6;
    println!("{name:<40} {:>8.3} s {rate:>8.0} MB/s", took.as_secs_f64());
    out
}

#[test]
#[ignore = "takes long and writes 6 GB"]
fn bench() {
    let count: u64 =
        std::env::var("BR_BENCH_OBJECTS").map_or(20_000, |count| count.parse().unwrap());
    for shape in [Shape::FRAMED, Shape::RAW] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("archive");
        let files: Vec<_> = (0..count)
            .map(|seed| make::file(seed, 60_000 + (seed as usize * 37) % 8_000, 10))
            .collect();
        let bytes = files.iter().map(|file| file.bytes.len() as u64).sum();
        make::backup(&root, shape, 0, 100, None, &files);
        drop(files);
        let tae = root.join(make::dir_of(0)).join("tae");
        let shell = |script: &str| {
            let status = Command::new("sh")
                .args(["-c", script])
                .current_dir(&tae)
                .status()
                .unwrap();
            assert!(status.success());
        };
        println!(
            "{count} objects, {} MB, {}",
            bytes / 1_000_000,
            shape.framing
        );
        shell("cat * >/dev/null; sync");
        timed("sha256sum", bytes, || {
            shell("find . -type f -print0 | xargs -0 sha256sum >/dev/null");
        });
        timed("sha256sum, 2 at once", bytes, || {
            shell("find . -type f -print0 | xargs -0 -P2 -n500 sha256sum >/dev/null");
        });
        timed("cp -r; sync", bytes, || {
            shell("cp -r . ../../../copy; sync");
        });
        std::fs::remove_dir_all(dir.path().join("copy")).unwrap();
        shell("sync");
        let archive = make::open(&root);
        let backup = archive.only().unwrap();
        for threads in [1, 2, 4] {
            let threads = std::num::NonZeroUsize::new(threads).unwrap();
            let options = CheckOptions::default().with_threads(threads);
            let report = timed(&format!("check, {threads} threads"), bytes, || {
                check(&archive, backup, &options, &NoArchiveProgress).unwrap()
            });
            assert!(report.is_good());
        }
        let options = CheckOptions::default().with_level(CheckLevel::Existence);
        timed("check, existence", bytes, || {
            check(&archive, backup, &options, &NoArchiveProgress).unwrap()
        });
        for (threads, framing) in [
            (1, shape.framing),
            (2, shape.framing),
            (2, Framing::Raw),
            (2, Framing::Framed),
        ] {
            let target = dir.path().join("mo");
            let into = RestoreTarget::local(&target).unwrap().with_framing(framing);
            let plan = RestorePlan::new(&archive, backup, into, &NoArchiveProgress).unwrap();
            let threads = std::num::NonZeroUsize::new(threads).unwrap();
            let options = RestoreOptions::default().with_threads(threads);
            timed(
                &format!("restore to {framing}, {threads} threads, synced"),
                bytes,
                || plan.execute(&options, &NoArchiveProgress).unwrap(),
            );
            std::fs::remove_dir_all(&target).unwrap();
            shell("sync");
        }
    }
}
