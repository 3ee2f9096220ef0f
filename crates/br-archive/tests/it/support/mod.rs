//! Shared helpers of the tests of bundles.

pub(crate) mod child;
pub(crate) mod emqx;
pub(crate) mod folder;
pub(crate) mod raw;

use std::path::{Path, PathBuf};

use br_archive::{BundleOptions, BundleTime, BundleWriter, ImportOptions, MemberPath};
use br_emqx::meta::Meta;

/// The base name of the bundles that tests put together.
pub(crate) const BASE: &str = "emqx-export-2026-01-02-03-04-05.678";
/// The time in it.
pub(crate) const MILLIS: i64 = 1_767_323_045_678;
/// A `META.hocon` of EMQX.
pub(crate) const META: &str = "edition = ee\nversion = \"5.8.1\"\n";

/// Prints why a test was skipped. With `CI_NO_SKIP=1` in the environment, fails instead.
#[expect(
    clippy::print_stderr,
    reason = "the user who runs the tests should see it"
)]
pub(crate) fn skip(why: &str) {
    let forbidden = std::env::var_os("CI_NO_SKIP").is_some_and(|value| value == "1");
    assert!(
        !forbidden,
        "this test must not be skipped here, and was: {why}"
    );
    eprintln!("skipped: {why}");
}

pub(crate) fn member(path: &str) -> MemberPath {
    MemberPath::new(path).unwrap()
}

pub(crate) fn time() -> BundleTime {
    BundleTime::new(MILLIS, 0).unwrap()
}

/// Options of a bundle that is not EMQX's. It does not wait for the disk.
pub(crate) fn options() -> BundleOptions {
    BundleOptions::new(time(), Meta::new("br", "0.1.0")).with_sync(false)
}

/// Options of a bundle of EMQX, which gets the base name above.
pub(crate) fn emqx_options() -> BundleOptions {
    let meta = Meta::new("ee", "5.8.1");
    let options = BundleOptions::new(time(), meta).with_sync(false);
    options.with_prefix("emqx-export")
}

/// Imports without waiting for the disk.
pub(crate) fn import_options() -> ImportOptions {
    ImportOptions::new(0x00c0_ffee).with_sync(false)
}

/// Writes a bundle with these members.
pub(crate) fn write(dir: &Path, options: BundleOptions, members: &[(&str, &[u8])]) -> PathBuf {
    let mut writer = BundleWriter::create(dir, options).unwrap();
    for (path, content) in members {
        let attributes = br_archive::Attributes::plain(1_700_000_000);
        let path = member(path);
        writer.add_bytes(&path, content, attributes).unwrap();
    }
    writer.finish().unwrap().path
}
