//! Hundreds of valid inputs with random mutations: a short version of the fuzzer's work.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::bodies;
use crate::support::emqx::{header, row, schema, table};
use crate::support::raw::{Head, Tar, gzip};
use crate::support::{META, options, write};

/// A mutation of bytes, at positions given as fractions of the length.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    // Bytes that have a meaning in one of the formats.
    let bytes = prop::collection::vec(
        prop_oneof![
            any::<u8>(),
            Just(0),
            Just(0xff),
            Just(b'/'),
            Just(b'.'),
            Just(b'7'),
            Just(b'"')
        ],
        1..16,
    );
    prop_oneof![
        (at(), 1..=u8::MAX).prop_map(|(at, mask)| Mutation::Flip(at, mask)),
        (at(), bytes.clone()).prop_map(|(at, bytes)| Mutation::Set(at, bytes)),
        (at(), bytes).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), 1..600_usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (at(), 1..600_usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
        at().prop_map(Mutation::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    let range = |at: &Index, count: usize| {
        let at = at.index(len);
        at..(at + count).min(len)
    };
    match mutation {
        Mutation::Flip(at, mask) => bytes[at.index(len)] ^= mask,
        Mutation::Set(at, new) => {
            let range = range(at, new.len());
            let new = &new[..range.len()];
            bytes[range].copy_from_slice(new);
        }
        Mutation::Insert(at, new) => {
            let at = at.index(len);
            drop(bytes.splice(at..at, new.iter().copied()));
        }
        Mutation::Remove(at, count) => drop(bytes.drain(range(at, *count))),
        Mutation::Repeat(at, count) => {
            let range = range(at, *count);
            let part = bytes[range.clone()].to_vec();
            drop(bytes.splice(range.start..range.start, part));
        }
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
    }
}

fn tars() -> Vec<Vec<u8>> {
    let base = bodies::NAME.trim_end_matches(".tar.gz");
    let name = |path: &str| format!("{base}/{path}");
    let psk = table("emqx_psk", &[("a", "1"), ("b", "2")]);
    let plain = Tar::new()
        .named(name("META.hocon"), META)
        .named(name("cluster.hocon"), "a { b = [1, \"x\"] }\n")
        .named(name("mnesia/emqx_psk"), &psk);
    let extended = Tar::new()
        .named(name("META.hocon"), META)
        .pax(&[(b"path", name("data/é").as_bytes()), (b"size", b"3")])
        .raw(Head::new("short", 3), "abc")
        .long_name(name("data/long").as_bytes())
        .raw(Head::new("short", 0), "")
        .raw(Head::new(name("d/"), 0).kind(b'5'), "");
    vec![plain.end(), extended.end()]
}

fn bundles() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let written = write(
        dir.path(),
        options().with_prefix("x"),
        &[("data/x", b"content")],
    );
    let mut out = vec![fs::read(written).unwrap()];
    for tar in tars() {
        out.push(gzip(&tar));
        out.push(zstd::encode_all(tar.as_slice(), 3).unwrap());
        out.push(tar);
    }
    out
}

fn mutated(
    seeds: Vec<Vec<u8>>,
    mutations: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<u8>> {
    let mutations = prop::collection::vec(mutation(), mutations);
    (prop::sample::select(seeds), mutations).prop_map(|(mut bytes, mutations)| {
        for mutation in &mutations {
            apply(&mut bytes, mutation);
        }
        bytes
    })
}

/// Without mutation, the inputs are valid, so the mutants get past the first checks.
#[test]
fn inputs_are_valid_before_mutation() {
    for bytes in bundles() {
        bodies::bundle(&bytes);
    }
    for bytes in tars() {
        bodies::tar(&bytes);
    }
    bodies::meta(META.as_bytes());
}

/// Inputs on which the fuzzer once failed.
#[test]
fn earlier_findings_stay_fixed() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/found");
    let mut count = 0;
    for target in fs::read_dir(found).into_iter().flatten() {
        let target = target.unwrap();
        let body = match target.file_name().to_str().unwrap() {
            "bundle" => bodies::bundle,
            "tar" => bodies::tar,
            "meta" => bodies::meta,
            "hocon" => bodies::hocon,
            "table" => bodies::table,
            "term" => bodies::term,
            other => panic!("there is no target {other}"),
        };
        for input in fs::read_dir(target.path()).unwrap() {
            body(&fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
    }
    println!("{count} inputs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bundles_do_no_harm(bytes in mutated(bundles(), 1..8)) {
        bodies::bundle(&bytes);
    }

    #[test]
    fn archives_do_no_harm(bytes in mutated(tars(), 1..8)) {
        bodies::tar(&bytes);
    }

    #[test]
    fn tables_do_no_harm(bytes in mutated(vec![table("emqx_psk", &[("a", "1"), ("b", "2")])], 1..5)) {
        bodies::table(&bytes);
    }

    #[test]
    fn terms_do_no_harm(bytes in mutated(
        [header(), schema("emqx_psk", &["a", "b"]), row("emqx_psk", "k", "v")]
            .iter()
            .map(br_emqx::term::encode)
            .collect(),
        1..5,
    )) {
        bodies::term(&bytes);
    }

    #[test]
    fn configurations_do_no_harm(bytes in mutated(vec![
        META.into(),
        b"mqtt { a = 10s, \"b c\" = [1, 2] }\ncert = \"\"\"~\n  x\n~\"\"\"\na.b.c = ${?x}\n".to_vec(),
    ], 1..6)) {
        bodies::hocon(&bytes);
        bodies::meta(&bytes);
    }
}
