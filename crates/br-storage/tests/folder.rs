//! The conformance tests of folders, and tests of folders on local disk.

#![expect(
    clippy::unwrap_used,
    reason = "a helper which fails is a test which fails"
)]

use std::{fs, io::Write as _, path::Path, sync::Arc};

use br_storage::{Creation, ErrorKind, Folder, Location, Storage, StorageOptions, conformance};
use object_store::{memory::InMemory, prefix::PrefixStore};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn create(folder: &Folder, path: &str, bytes: &[u8]) -> Creation {
    let mut writer = folder.create(path, bytes.len() as u64).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_local_folder_conforms() {
    let root = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    conformance::folder(|| {
        next.set(next.get() + 1);
        Folder::local(&root.path().join(format!("not/there yet/{}", next.get())))
    });
}

#[test]
fn a_folder_below_another_conforms() {
    let root = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    conformance::folder(|| {
        next.set(next.get() + 1);
        let below = format!("a/{}", next.get());
        Folder::local(root.path()).folder(&below).unwrap()
    });
}

#[test]
fn a_folder_in_memory_conforms() {
    let runtime = runtime();
    for prefix in ["", "/backup1/", "a/b C"] {
        conformance::folder(|| {
            Folder::in_storage(&Storage::memory(), prefix, runtime.handle().clone()).unwrap()
        });
    }
}

#[test]
fn a_folder_in_a_wrapped_store_conforms() {
    let runtime = runtime();
    conformance::folder(|| {
        let store = PrefixStore::new(InMemory::new(), "bucket/folder");
        let storage = Storage::from_object_store(Arc::new(store), "test");
        Folder::in_storage(&storage, "", runtime.handle().clone()).unwrap()
    });
}

#[test]
fn a_storage_on_local_disk_and_a_malformed_prefix_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let location = Location::Local(root.path().to_path_buf());
    let storage = Storage::open(&location, &StorageOptions::default()).unwrap();
    let open = |storage: &Storage, prefix: &str| {
        let opened = Folder::in_storage(storage, prefix, runtime.handle().clone());
        opened.map_err(|error| error.kind())
    };
    assert_eq!(open(&storage, "").unwrap_err(), ErrorKind::Unsupported);
    let memory = Storage::memory();
    assert_eq!(open(&memory, "a/../b").unwrap_err(), ErrorKind::Invalid);
    assert_eq!(open(&memory, "a").unwrap().to_string(), "memory:/a");
}

#[test]
fn links_and_pipes_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
    link(outside.path(), "folder");
    link(&outside.path().join("secret"), "file");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let folder = Folder::local(&root);
    for path in ["folder/secret", "file", "pipe", "folder"] {
        let errors = [folder.open(path).map(drop), folder.size(path).map(drop)];
        for error in errors {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::NotAFile, "{path}");
        }
    }
    assert!(folder.create("folder/new", 0).is_err());
    assert!(folder.delete("folder/secret").is_err());
    assert!(folder.list("folder").unwrap().next().unwrap().is_err());
    assert!(folder.contents("folder", 9).is_err());
    let files: Vec<_> = folder.list("").unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| !file.is_regular));
    // The path that the user named may itself be a link.
    std::os::unix::fs::symlink(&root, dir.path().join("alias")).unwrap();
    let alias = Folder::local(&dir.path().join("alias"));
    assert_eq!(create(&alias, "new", b"x"), Creation::Created);
    assert_eq!(folder.size("new").unwrap(), 1);
}

#[test]
fn the_file_of_a_killed_writer_is_listed_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::local(dir.path());
    fs::write(dir.path().join(".br-f.tmp"), "half").unwrap();
    let listed = folder.list("").unwrap().next().unwrap().unwrap();
    assert!(Folder::is_unfinished(&listed.path));
    assert_eq!(create(&folder, "f", b"whole"), Creation::Created);
    let names: Vec<_> = folder
        .list("")
        .unwrap()
        .map(|file| file.unwrap().path)
        .collect();
    assert_eq!(names, ["f"]);
}

#[test]
fn a_locked_folder_is_locked_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::local(&dir.path().join("new"));
    let lock = folder.lock().unwrap();
    let error = folder.lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::WouldBlock));
    drop(lock);
    drop(folder.lock().unwrap());
    assert!(folder.free_bytes().unwrap() > 0);
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, [7; 10]).unwrap();
    let mut reader = Folder::local(dir.path()).open("f").unwrap();
    fs::write(&path, [7; 4]).unwrap();
    let error = std::io::read_to_string(&mut reader).unwrap_err();
    let error = error.downcast::<br_storage::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}
