//! Walking a tree of 20,000 small files: all that an unchanged backup does with the source.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::fs;
use std::path::{Path, PathBuf};

use br_core::source::{LocalSource, LocalSourceOptions, Source as _};
use divan::{Bencher, counter::ItemsCount};

const FOLDERS: usize = 200;
const FILES: usize = 100;

fn main() {
    divan::main();
}

fn tree(root: &Path) {
    for folder in 0..FOLDERS {
        let folder = root.join(format!("folder-{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..FILES {
            fs::write(folder.join(format!("file-{file}")), [b'x'; 4000]).unwrap();
        }
    }
}

#[divan::bench(sample_count = 20)]
fn walk(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path());
    let roots = [PathBuf::from(folder.path())];
    bencher
        .counter(ItemsCount::new(FOLDERS * FILES))
        .bench_local(|| {
            let mut source = LocalSource::new(&roots, LocalSourceOptions::default()).unwrap();
            while let Some(item) = source.next() {
                divan::black_box(item);
            }
        });
}
