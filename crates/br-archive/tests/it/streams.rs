//! Bundles that are written to a writer and read from a reader.

use std::io::{self, Cursor, Read as _, Write};
use std::process::Command;

use br_archive::{
    Attributes, BundleName, BundleOptions, BundleReader, BundleWriter, ErrorKind, Format, Limits,
    NoBundleProgress, inspect_reader,
};

use crate::support::{member, options, time};

fn bundle(options: BundleOptions) -> (BundleName, Vec<u8>) {
    let mut writer = BundleWriter::new(Vec::new(), options).unwrap();
    let content = Attributes::plain(0);
    writer.add_bytes(&member("a/b"), b"text", content).unwrap();
    let (bytes, report) = writer.finish_writer().unwrap();
    assert_eq!(report.stored_bytes, bytes.len() as u64);
    assert_eq!(report.path.as_os_str(), "");
    (report.name, bytes)
}

#[test]
fn bundle_in_memory_equals_bundle_in_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (name, bytes) = bundle(options());
    let mut writer = BundleWriter::create(dir.path(), options()).unwrap();
    let content = Attributes::plain(0);
    writer.add_bytes(&member("a/b"), b"text", content).unwrap();
    let report = writer.finish().unwrap();
    assert_eq!(report.name, name);
    assert_eq!(std::fs::read(report.path).unwrap(), bytes);
}

#[test]
fn unnamed_stream_gets_name_of_top_directory_and_format_of_content() {
    for format in [Format::TarGz, Format::TarZst] {
        let (name, bytes) = bundle(BundleOptions::generic(time()).with_format(format, None));
        let limits = Limits::default();
        let reader = BundleReader::unnamed(Cursor::new(bytes.clone()), &limits).unwrap();
        assert_eq!(reader.name(), &name);
        let inspection = inspect_reader(reader, None, &mut NoBundleProgress).unwrap();
        assert!(inspection.error().is_none(), "{:?}", inspection.problems);
        assert_eq!(inspection.meta.edition, "br");
        assert_eq!(inspection.members.len(), 3);

        let mut named = BundleReader::new(name, Cursor::new(bytes), &limits).unwrap();
        let mut text = String::new();
        while let Some(mut found) = named.next().unwrap() {
            if found.path() == &member("a/b") {
                found.read_to_string(&mut text).unwrap();
            }
        }
        assert_eq!(text, "text");
    }
}

#[test]
fn unnamed_stream_that_is_no_bundle_is_refused() {
    let (_, bytes) = bundle(options());
    for bytes in [
        Vec::new(),
        b"no".to_vec(),
        b"text that is neither tar nor compressed".to_vec(),
        bytes[..40].to_vec(),
    ] {
        let error = BundleReader::unnamed(Cursor::new(bytes), &Limits::default()).unwrap_err();
        let kinds = [ErrorKind::Damaged, ErrorKind::Refused];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
}

#[test]
fn error_of_writer_is_cause_of_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let finish = || BundleWriter::new(Full, options())?.finish_writer();
    let Err(error) = finish() else {
        panic!("a full writer takes no bundle");
    };
    assert_eq!(error.kind(), ErrorKind::Io);
    let source = std::error::Error::source(&error).unwrap();
    let source = source.downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn example_writes_bundle_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.toml"), "a = 1\n").unwrap();
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(std::path::Path::parent).unwrap();
    let program = target.join("examples/bundle_to_writer");
    let output = Command::new(program).arg(folder.path()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.ends_with(": 4 members\n"), "{errors}");
    let limits = Limits::default();
    let reader = BundleReader::unnamed(Cursor::new(output.stdout), &limits).unwrap();
    let inspection = inspect_reader(reader, None, &mut NoBundleProgress).unwrap();
    let paths: Vec<_> = inspection.members.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "META.hocon",
            "README",
            "config/app.toml",
            "br/manifest.json"
        ]
    );
}
