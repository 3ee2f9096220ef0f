//! Reading back one stream of 64 MiB, and checking it.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use br_bench::{Kind, bytes, repository, store};
use br_core::Context;
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::dump::dump;
use br_core::model::EntryPath;
use divan::{Bencher, counter::BytesCount};

const LEN: usize = 64 << 20;

fn main() {
    divan::main();
}

#[divan::bench(args = [Kind::Noise, Kind::Text], sample_count = 10)]
fn read(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let repository = runtime.block_on(repository()).unwrap();
    let report = runtime
        .block_on(store(&repository, bytes(LEN, kind)))
        .unwrap();
    let path = EntryPath::new(b"stream".as_slice()).unwrap();
    bencher.counter(BytesCount::new(LEN)).bench_local(|| {
        let (id, path) = (report.backup.id, path.clone());
        let context = Context::system();
        let read = dump(&repository, id, path, std::io::sink(), &context);
        runtime.block_on(read).unwrap();
    });
}

#[divan::bench(args = [Kind::Noise, Kind::Text], sample_count = 10)]
fn verify(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let repository = runtime.block_on(repository()).unwrap();
    let _ = runtime
        .block_on(store(&repository, bytes(LEN, kind)))
        .unwrap();
    let options = CheckOptions::default().with_data(ReadData::All);
    bencher.counter(BytesCount::new(LEN)).bench_local(|| {
        let _ = runtime
            .block_on(check(&repository, &options, &Context::system()))
            .unwrap();
    });
}
