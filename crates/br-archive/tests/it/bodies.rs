//! Properties for arbitrary bytes: nothing panics, wrong input gives an error, and accepted input round-trips.
//!
//! The fuzzer and the tests share these.

use std::io::{Cursor, Read as _};

use br_archive::{
    BundleName, BundleReader, ErrorKind, Limits, MANIFEST_PATH, META_PATH, Manifest, is_config,
    table_name,
};
use br_emqx::meta::Meta;
use br_emqx::{disk_log, hocon, table, term};

/// The name that the tests give to all bundles.
pub(crate) const NAME: &str = "x-2026-01-02-03-04-05.678.tar.gz";

/// Larger members are not examined.
const LOOK: u64 = 1 << 20;

pub(crate) fn bundle(bytes: &[u8]) {
    let name = BundleName::of_file(NAME).expect("the text is a valid name");
    let limits = Limits::default()
        .with_members(1000)
        .with_member_bytes(1 << 30)
        .with_total_bytes(1 << 30);
    let from = Cursor::new(bytes.to_vec());
    let mut reader = BundleReader::new(name, from, &limits).expect("the system can start threads");
    loop {
        let mut member = match reader.next() {
            Ok(Some(member)) => member,
            Ok(None) => return,
            Err(error) => return is_about_the_bundle(&error),
        };
        let path = member.path().clone();
        assert!(!path.as_str().split('/').any(|part| part == ".."));
        if member.header().size > LOOK {
            let mut some = Vec::new();
            let _ = (&mut member).take(LOOK).read_to_end(&mut some);
            continue;
        }
        let content = match member.read_whole(LOOK) {
            Ok(content) => content,
            Err(error) => return is_about_the_bundle(&error),
        };
        match path.as_str() {
            META_PATH => meta(&content),
            MANIFEST_PATH => drop(Manifest::parse(&content)),
            _ if is_config(&path) => hocon(&content),
            _ => table_named(table_name(&path).unwrap_or("emqx_psk"), &content),
        }
    }
}

fn is_about_the_bundle(error: &br_archive::Error) {
    let kind = error.kind();
    assert!(
        matches!(kind, ErrorKind::Refused | ErrorKind::Damaged),
        "{error:?}"
    );
    assert!(
        !error.to_string().chars().any(char::is_control),
        "{error:?}"
    );
}

/// Sets the checksum of every header, because arbitrary bytes would never have the right one.
pub(crate) fn tar(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if block.get(257..262) != Some(b"ustar") {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bundle(&bytes);
}

pub(crate) fn meta(bytes: &[u8]) {
    let Ok(meta) = Meta::parse(bytes) else { return };
    let text = meta.to_hocon();
    let again = Meta::parse(text.as_bytes()).expect("a written table can be read");
    assert_eq!(
        (&again.edition, &again.version),
        (&meta.edition, &meta.version)
    );
}

pub(crate) fn hocon(bytes: &[u8]) {
    let Ok(object) = hocon::parse(bytes) else {
        return;
    };
    let text = hocon::print(&object);
    let again = hocon::parse(text.as_bytes()).expect("printed text can be parsed");
    let (object, again) = (hocon::Value::from(object), hocon::Value::from(again));
    assert!(object.means_same(&again), "{text}");
}

pub(crate) fn table(bytes: &[u8]) {
    table_named("emqx_psk", bytes);
}

fn table_named(name: &str, bytes: &[u8]) {
    let report = table::inspect(name, bytes).expect("bytes in memory can be read");
    let mut items = 0;
    if let Ok(mut log) = disk_log::LogReader::new(bytes) {
        while let Ok(Some(_)) = log.next_item() {
            items += 1;
        }
    }
    assert!(report.rows <= items);
    if !report.is_sound() {
        return;
    }
    let mut merged = Vec::new();
    let changes = table::merge(name, bytes, Cursor::new(bytes), &mut merged);
    let changes = changes.expect("a sound table can be merged with itself");
    assert_eq!(changes.inserted + changes.only_in_base, 0);
    let again = table::inspect(name, merged.as_slice()).expect("bytes in memory can be read");
    assert!(again.is_sound());
    assert_eq!(again.rows, changes.unchanged + changes.updated);
}

pub(crate) fn term(bytes: &[u8]) {
    let Ok(read) = term::decode(bytes) else {
        return;
    };
    let written = term::encode(&read);
    let again = term::decode(&written).expect("an encoded term can be decoded");
    assert_eq!(again, read);
    assert_eq!(term::encode(&again), written);
    drop(read.to_string());
}
