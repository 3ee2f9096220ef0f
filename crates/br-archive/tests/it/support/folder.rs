//! Folders that tests check for changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use br_archive::{
    Error, ErrorKind, ImportOptions, Inspection, Limits, NoBundleProgress, extract, import, inspect,
};

/// A folder in memory, if the system has one: the tests create thousands of small files, and none depends on the disk.
pub(crate) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// All paths in a folder, with permission bits and content or link target.
pub(crate) type Snapshot = BTreeMap<PathBuf, (u32, Vec<u8>)>;

pub(crate) fn snapshot(folder: &Path) -> Snapshot {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            let content = match metadata.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string(),
                kind if kind.is_dir() => {
                    folders.push(path);
                    std::ffi::OsString::new()
                }
                _ => {
                    let content = fs::read(&path).unwrap();
                    out.insert(name, (metadata.permissions().mode(), content));
                    continue;
                }
            };
            let content = content.into_encoded_bytes();
            out.insert(name, (metadata.permissions().mode(), content));
        }
    }
    out
}

/// The contents of the files only.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = snapshot(folder).into_iter();
    let files = files.filter(|(path, _)| folder.join(path).is_file());
    files
        .map(|(path, (_, content))| (path.to_str().unwrap().to_owned(), content))
        .collect()
}

/// A folder with a bundle, another bundle, a file, and three targets: a missing, an empty and a non-empty folder.
pub(crate) struct Watched {
    pub(crate) root: tempfile::TempDir,
}

impl Watched {
    pub(crate) fn new() -> Self {
        let root = in_memory();
        let path = root.path();
        for folder in ["empty", "full/mnesia", "full/a"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        for (file, content) in [
            ("other.tar.gz", "another bundle"),
            ("x", "beside"),
            ("full/META.hocon", super::META),
            ("full/mnesia/emqx_psk", "table"),
            ("full/a/x", "before"),
            ("full/x", "before"),
        ] {
            fs::write(path.join(file), content).unwrap();
        }
        symlink("../x", path.join("full/link")).unwrap();
        Self { root }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Reads the bundle with every operation. All must refuse it with the same text, and change nothing.
    pub(crate) fn refuse(&self, bundle: &Path, options: &ImportOptions, what: &str) -> Error {
        let before = snapshot(self.path());
        let place = |name: &str| self.path().join(name);
        let looked = inspect(
            bundle,
            &options.limits,
            options.node.as_ref(),
            &mut NoBundleProgress,
        );
        let error = looked.map(|inspection| inspection.error());
        let error = error.unwrap_or_else(Some);
        let error = error.unwrap_or_else(|| panic!("{what}: inspect accepts the bundle"));
        let dry = options.clone().with_dry_run(true);
        for (name, options) in [
            ("empty", options),
            ("deep/missing", options),
            ("full", options),
            ("deep/missing", &dry),
            ("full", &dry),
        ] {
            let Err(other) = import(bundle, &place(name), options, &mut NoBundleProgress) else {
                panic!("{what}: import accepts the bundle into {name}");
            };
            assert_eq!(other.to_string(), error.to_string(), "{what}: {name}");
            assert_eq!(snapshot(self.path()), before, "{what}: {name}");
        }
        for name in ["empty", "deep/missing"] {
            let Err(other) = extract(bundle, &place(name), options, &mut NoBundleProgress) else {
                panic!("{what}: extract accepts the bundle into {name}");
            };
            assert_eq!(other.to_string(), error.to_string(), "{what}: {name}");
            assert_eq!(snapshot(self.path()), before, "{what}: {name}");
        }
        let is_known = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Damaged);
        assert!(is_known || error.refusal().is_some(), "{what}: {error:?}");
        error
    }
}

/// Inspects a bundle, which must be sound.
pub(crate) fn sound(bundle: &Path) -> Inspection {
    let inspection = inspect(bundle, &Limits::default(), None, &mut NoBundleProgress).unwrap();
    assert!(inspection.is_sound(), "{:?}", inspection.problems);
    inspection
}
