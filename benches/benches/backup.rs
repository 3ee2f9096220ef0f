//! Backing up one stream of 64 MiB: cut, hash, compress, pack.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use br_bench::{Kind, bytes, repository, store};
use divan::{Bencher, counter::BytesCount};

const LEN: usize = 64 << 20;

fn main() {
    divan::main();
}

#[divan::bench(args = [Kind::Noise, Kind::Text], sample_count = 10)]
fn first(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let content = bytes(LEN, kind);
    bencher
        .counter(BytesCount::new(LEN))
        .with_inputs(|| (runtime.block_on(repository()).unwrap(), content.clone()))
        .bench_values(|(repository, content)| {
            let _ = runtime.block_on(store(&repository, content)).unwrap();
        });
}

#[divan::bench(args = [Kind::Noise, Kind::Text], sample_count = 10)]
fn again(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let content = bytes(LEN, kind);
    let repository = runtime.block_on(repository()).unwrap();
    let _ = runtime
        .block_on(store(&repository, content.clone()))
        .unwrap();
    bencher
        .counter(BytesCount::new(LEN))
        .with_inputs(|| content.clone())
        .bench_values(|content| {
            let _ = runtime.block_on(store(&repository, content)).unwrap();
        });
}
