//! The conformance tests on local disk, and tests of local disks.

#![expect(
    clippy::unwrap_used,
    reason = "a helper which fails is a test which fails"
)]

use std::{
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use br_storage::{Creation, ErrorKind, Location, Operation, Storage, StorageOptions, conformance};
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;

fn location(path: &Path) -> Location {
    Location::Local(path.to_path_buf())
}

fn open(path: &Path) -> Storage {
    Storage::open(&location(path), &StorageOptions::default()).unwrap()
}

async fn create(storage: &Storage, key: &str, bytes: &[u8]) {
    let creation = storage
        .create_new(key, bytes.to_vec().into())
        .await
        .unwrap();
    assert_eq!(creation, Creation::Created);
}

async fn keys(storage: &Storage) -> Vec<String> {
    storage
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|object| object.key)
        .collect()
}

/// Makes numbered directories below one that is removed at the end.
fn fresh_directories() -> (TempDir, impl Fn() -> PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_path_buf();
    let count = std::cell::Cell::new(0);
    (root, move || {
        count.set(count.get() + 1);
        path.join(count.get().to_string())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn local_disk_conforms() {
    let (_root, fresh) = fresh_directories();
    conformance::all(async || {
        Storage::create(&location(&fresh()), &StorageOptions::default()).unwrap()
    })
    .await;
}

#[tokio::test]
async fn local_disk_without_fsync_conforms() {
    let (_root, fresh) = fresh_directories();
    let options = StorageOptions::default().with_fsync(false);
    // Characters with a meaning in URLs must have no meaning in paths.
    conformance::all(async || {
        Storage::create(&location(&fresh().join("a b%41?#1")), &options).unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_foreign_handle_to_a_local_disk_conforms() {
    let (_root, fresh) = fresh_directories();
    conformance::all(async || {
        let path = fresh();
        fs::create_dir(&path).unwrap();
        let store = LocalFileSystem::new_with_prefix(&path).unwrap();
        Storage::from_object_store(std::sync::Arc::new(store), "test")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_around_a_local_disk_conforms() {
    let (_root, fresh) = fresh_directories();
    conformance::all(async || {
        let disk = Storage::create(&location(&fresh()), &StorageOptions::default()).unwrap();
        Storage::from_object_store(disk.object_store(), "test")
    })
    .await;
}

#[test]
fn storage_works_without_a_runtime() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    futures::executor::block_on(async {
        create(&storage, "a/b", b"x").await;
        assert_eq!(keys(&storage).await, ["a/b"]);
    });
}

/// A reader that lists during the write of a large object sees all of it or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_appear_with_all_their_bytes() {
    const PIECES: usize = 400;
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    let size = (PIECES * 64 * 1024) as u64;
    for round in 0..4 {
        let (writer, key) = (storage.clone(), format!("packs/{round}"));
        let write = tokio::spawn(async move {
            let pieces = vec![Bytes::from(vec![7; 64 * 1024]); PIECES];
            writer.create_new(&key, pieces.into()).await.unwrap()
        });
        let key = format!("packs/{round}");
        let mut seen_before = 0;
        while !write.is_finished() {
            for object in storage.list("packs").await.unwrap() {
                assert_eq!(
                    object.size, size,
                    "an object is listed with its final size only"
                );
            }
            match storage.size(&key).await {
                Ok(found) => assert_eq!(found, size, "an object is found with all its bytes"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    seen_before += 1;
                }
            }
        }
        assert_eq!(write.await.unwrap(), Creation::Created);
        assert!(
            seen_before > 0,
            "the reader started before the object existed"
        );
    }
}

/// The staging file of a killed writer is invisible, and is removed once it is old enough.
#[tokio::test]
async fn leftovers_are_invisible_and_swept() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    create(&storage, "packs/ab/whole", b"x").await;
    for name in [
        "packs/ab/torn#1",
        "packs/ab/torn#12",
        "config#1",
        "packs/ab/whole#1",
    ] {
        fs::write(root.path().join(name), "half").unwrap();
    }
    // Files of other programs must stay.
    let foreign = ["Notes#1", "note#", "packs/#1"];
    for name in foreign {
        fs::write(root.path().join(name), "foreign").unwrap();
    }
    let newest = fs::metadata(root.path().join("packs/ab/whole#1"))
        .unwrap()
        .modified()
        .unwrap();

    assert_eq!(keys(&storage).await, ["packs/ab/whole"]);
    assert_eq!(
        storage.get("config", 10).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let long_ago = newest - Duration::from_secs(3600);
    assert_eq!(
        storage.sweep_staging("packs", long_ago).await.unwrap(),
        0,
        "young staging files may still be in use"
    );
    let later = newest + Duration::from_secs(1);
    assert_eq!(storage.sweep_staging("packs", later).await.unwrap(), 4);
    assert_eq!(storage.sweep_staging("packs", later).await.unwrap(), 0);
    assert_eq!(keys(&storage).await, ["packs/ab/whole"]);
    for name in foreign {
        assert!(root.path().join(name).exists(), "{name} was removed");
    }
    create(&storage, "packs/ab/torn", b"y").await;
}

/// A foreign file must not make a listing fail, and must not appear as an object.
#[tokio::test]
#[cfg(unix)]
async fn files_with_foreign_names_are_not_listed_as_objects() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    create(&storage, "a/b", b"x").await;
    for name in [
        &b"a/READ ME"[..],
        b"a/\xff",
        b"a/line\nbreak",
        b"lost+found",
    ] {
        fs::write(
            root.path().join(std::ffi::OsStr::from_bytes(name)),
            "foreign",
        )
        .unwrap();
    }
    fs::create_dir_all(root.path().join("a/Folder/b")).unwrap();
    fs::write(root.path().join("a/Folder/b/c"), "foreign").unwrap();
    std::os::unix::fs::symlink("nowhere", root.path().join("a/dangling")).unwrap();
    std::os::unix::fs::symlink(".", root.path().join("a/Circle")).unwrap();
    assert_eq!(keys(&storage).await, ["a/b"]);
}

#[test]
fn only_directories_can_be_opened() {
    let root = tempfile::tempdir().unwrap();
    let (file, missing) = (root.path().join("file"), root.path().join("missing"));
    fs::write(&file, "x").unwrap();
    let options = StorageOptions::default();
    let error = Storage::open(&location(&missing), &options).unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::LocationNotFound, Operation::Open)
    );
    assert_eq!(
        error.to_string(),
        format!("cannot open {}", missing.display())
    );
    assert!(error.source().is_some());
    assert!(!missing.exists(), "opening creates nothing");
    for result in [
        Storage::open(&location(&file), &options),
        Storage::create(&location(&file), &options),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn directories_are_made_for_their_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("new/backup");
    let options = StorageOptions::default();
    let storage = Storage::create(&location(&path), &options).unwrap();
    create(&storage, "a", b"x").await;
    assert_eq!(storage.location_text(), path.display().to_string());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        Storage::create(&location(&path), &options).unwrap();
        assert_eq!(mode(&path), 0o750, "an existing directory is unchanged");
    }
    assert_eq!(
        keys(&Storage::create(&location(&path), &options).unwrap()).await,
        ["a"]
    );
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Symptom: in an existing directory, objects got the mode that the umask left, usually 0644 and 0755.
#[tokio::test]
async fn objects_and_folders_are_for_their_owner_only_whatever_the_directory_allows() {
    for root_mode in [0o755, 0o777, 0o2755, 0o2700, 0o770] {
        let root = tempfile::tempdir().unwrap();
        set_mode(root.path(), root_mode);
        let storage = Storage::create(&location(root.path()), &StorageOptions::default()).unwrap();
        create(&storage, "packs/ab/abcd", b"x").await;
        create(&storage, "config", b"x").await;
        assert_eq!(mode(root.path()), root_mode, "the directory is unchanged");
        for name in ["packs/ab/abcd", "config"] {
            assert_eq!(
                mode(&root.path().join(name)),
                0o600,
                "{name} in {root_mode:o}"
            );
        }
        for name in ["packs", "packs/ab"] {
            assert_eq!(
                mode(&root.path().join(name)) & 0o777,
                0o700,
                "{name} in {root_mode:o}"
            );
        }
    }
}

#[tokio::test]
async fn files_in_shared_directory_get_permissions_of_its_group() {
    let root = tempfile::tempdir().unwrap();
    let made = root.path().join("made");
    let options = StorageOptions::default().with_shared(true);
    Storage::create(&location(&made), &options).unwrap();
    assert_eq!(mode(&made), 0o2770);
    let changed = root.path().join("changed");
    fs::create_dir(&changed).unwrap();
    set_mode(&changed, 0o2770);
    for path in [made, changed] {
        // A later open need not set the option.
        let storage = open(&path);
        create(&storage, "packs/ab/abcd", b"x").await;
        assert_eq!(mode(&path.join("packs/ab/abcd")), 0o660);
        assert_eq!(mode(&path.join("packs/ab")), 0o2770);
        assert_eq!(mode(&path.join("packs")), 0o2770);
    }
}

/// Symptom: after one run as root in the repository of another user, that user could not read it.
#[tokio::test]
async fn files_that_root_creates_in_directory_of_another_user_belong_to_that_user() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let root = tempfile::tempdir().unwrap();
    let (user, group) = (65_534, 12_345);
    if chown(root.path(), Some(user), Some(group)).is_err() {
        eprintln!("skipped: only root gives directories away");
        return;
    }
    let storage = open(root.path());
    create(&storage, "packs/ab/abcd", b"x").await;
    for path in ["packs", "packs/ab", "packs/ab/abcd"] {
        let metadata = fs::metadata(root.path().join(path)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (user, group), "{path}");
    }
    assert_eq!(mode(&root.path().join("packs/ab/abcd")), 0o600);
    assert_eq!(mode(&root.path().join("packs")), 0o700);
}

/// Symptom: opening a FIFO waited forever for a writer.
#[tokio::test]
async fn only_regular_files_are_objects() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    let made = std::process::Command::new("mkfifo")
        .arg(root.path().join("fifo"))
        .status();
    assert!(made.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.path().join("zero")).unwrap();
    for name in ["fifo", "socket", "zero"] {
        let error = storage.get(name, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAFile, "{name}");
        let error = storage.size(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAFile, "{name}");
    }
    assert!(keys(&storage).await.is_empty());
}

/// Symptom: after the rename, writes went to the directory that had taken the path.
#[tokio::test]
async fn a_directory_that_was_renamed_is_still_the_one_that_is_written_to() {
    let root = tempfile::tempdir().unwrap();
    let (before, after) = (root.path().join("before"), root.path().join("after"));
    fs::create_dir(&before).unwrap();
    let storage = open(&before);
    create(&storage, "a/one", b"x").await;
    storage.check_place().await.unwrap();
    fs::rename(&before, &after).unwrap();
    let moved = storage.check_place().await.unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Unavailable);
    create(&storage, "a/two", b"x").await;
    create(&storage, "b/three", b"x").await;
    assert!(!before.exists());
    // Another directory takes the name.
    fs::create_dir(&before).unwrap();
    create(&storage, "b/four", b"x").await;
    assert_eq!(
        storage.check_place().await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(fs::read_dir(&before).unwrap().count(), 0);
    assert_eq!(
        keys(&open(&after)).await,
        ["a/one", "a/two", "b/four", "b/three"]
    );
    assert_eq!(storage.get("b/four", 9).await.unwrap(), "x");
    storage.delete("b/four").await.unwrap();
    assert!(!after.join("b/four").exists());
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn after_unmount_nothing_is_written_below_mount_point() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user cannot mount a file system");
        return;
    };
    let storage = open(disk.path());
    create(&storage, "packs/one", b"x").await;
    let unmounted = std::process::Command::new("umount")
        .arg("-l")
        .arg(disk.path())
        .status();
    assert!(unmounted.unwrap().success());
    create(&storage, "packs/two", b"x").await;
    assert_eq!(keys(&storage).await, ["packs/one", "packs/two"]);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    assert_eq!(
        storage.check_place().await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}

/// The directory was removed. An empty listing would look like an empty storage.
#[tokio::test]
async fn a_vanished_directory_is_not_empty() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("backup");
    let storage = Storage::create(&location(&path), &StorageOptions::default()).unwrap();
    create(&storage, "packs/a", b"x").await;
    fs::remove_dir_all(&path).unwrap();
    let error = storage.list("packs").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::LocationNotFound, Operation::List)
    );
}

#[tokio::test]
#[cfg(unix)]
async fn missing_permission_is_denied() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    create(&storage, "a/b", b"x").await;
    let set = |name: &str, mode| {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("a/b", 0o000);
    if fs::File::open(root.path().join("a/b")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let error = storage.get("a/b", 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        error.to_string(),
        format!("cannot read a/b from {}", root.path().display())
    );

    set("a", 0o500);
    let denied = Some(ErrorKind::Denied);
    let write = storage.create_new("a/c", b"x".to_vec().into()).await;
    assert_eq!(write.err().map(|error| error.kind()), denied);
    assert_eq!(
        storage.delete("a/b").await.err().map(|error| error.kind()),
        denied
    );
    let failed = storage.delete_all(vec!["a/b".into(), "a/x".into()]).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].0.as_str(), failed[0].1.kind()),
        ("a/b", ErrorKind::Denied)
    );

    // The names can be read, but not the files: an incomplete listing would be empty.
    set("a", 0o400);
    assert_eq!(
        storage.list("a").await.err().map(|error| error.kind()),
        denied
    );
    set("a", 0o000);
    assert_eq!(
        storage.list("").await.err().map(|error| error.kind()),
        denied
    );
    set("a", 0o700);
}

/// Mounts a file system of one megabyte, which requires root.
#[cfg(target_os = "linux")]
struct SmallDisk(TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(root.path())
            .output();
        let mounted = status.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(root))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount")
            .arg(self.path())
            .status()
            .ok();
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_full_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user cannot mount a file system");
        return;
    };
    let storage = open(disk.path());
    create(&storage, "packs/small", &[1; 1000]).await;
    let error = storage
        .create_new("packs/large", vec![2; 4 << 20].into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .contains("No space left"),
        "{error:?}"
    );
    assert_eq!(
        keys(&storage).await,
        ["packs/small"],
        "a failed write leaves no object"
    );
    let left = fs::read_dir(disk.path().join("packs")).unwrap().count();
    assert_eq!(left, 1, "a failed write leaves no staging file either");
    create(&storage, "packs/other", &[3; 1000]).await;
}
