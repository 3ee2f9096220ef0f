//! Checks of a [`Folder`].

use std::io::{Read as _, Write as _};

use crate::{Creation, Error, ErrorKind, Folder, Operation, Result};

/// More bytes than one request to a store carries.
const LARGE: usize = (8 << 20) + 5;
/// A limit for [`Folder::read`] that exceeds the size of every file.
const NO_LIMIT: u64 = 1 << 30;

/// Runs every check, each on a new folder without files. The calls block.
pub fn folder(make: impl Fn() -> Folder) {
    files_have_any_name(&make());
    listings_are_complete(&make());
    one_folder_is_listed_alone(&make());
    parts_of_files_are_exact(&make());
    missing_files_are_not_found(&make());
    too_large_files_are_refused(&make());
    taken_names_are_unchanged(&make());
    abandoned_files_do_not_appear(&make());
    deleting_twice_succeeds(&make());
    paths_that_lead_elsewhere_are_refused(&make());
    folders_lead_up_and_down(&make());
}

/// Names keep their case, spaces and special characters.
pub fn files_have_any_name(folder: &Folder) {
    let names = [
        "A",
        "a",
        "a b/c",
        "%41",
        "x#1",
        "y+z=1&2",
        ".hidden/.file",
        "ä/ö",
        "a:b~c",
        "UPPER_0-1.ckp",
    ];
    for name in names {
        write(folder, name, name.as_bytes());
    }
    for name in names {
        assert_eq!(read(folder, name), name.as_bytes(), "{name}");
        assert_eq!(size(folder, name), Ok(name.len() as u64), "{name}");
    }
    let mut sorted = names.map(|name| format!("{name} {}", name.len()));
    sorted.sort();
    assert_eq!(list(folder, ""), sorted, "names are listed unchanged");
}

/// A listing has every file below a folder. A path names a folder; it is not a prefix of names.
pub fn listings_are_complete(folder: &Folder) {
    assert_eq!(list(folder, ""), [""; 0], "a new folder is empty");
    for (path, len) in [("a/b", 5), ("a/c/d", 1), ("a/c/e/f", 0), ("ab", 2)] {
        write(folder, path, &vec![b'x'; len]);
    }
    assert_eq!(list(folder, ""), ["a/b 5", "a/c/d 1", "a/c/e/f 0", "ab 2"]);
    assert_eq!(list(folder, "a"), ["b 5", "c/d 1", "c/e/f 0"]);
    assert_eq!(list(folder, "a/c"), ["d 1", "e/f 0"]);
    for missing in ["x", "a/x", "a/c/x/y"] {
        assert_eq!(list(folder, missing), [""; 0], "{missing} is empty");
    }
}

/// A folder can be listed without the contents of its subfolders.
pub fn one_folder_is_listed_alone(folder: &Folder) {
    for path in ["f/z", "f/b", "f/y/1", "f/y/2", "f/a/b/c"] {
        write(folder, path, b"123");
    }
    let contents = folder.contents("f", 4).expect("a folder can be listed");
    assert_eq!(contents.folders, ["a", "y"], "folders are sorted");
    let files: Vec<_> = contents.files.iter().map(|file| &*file.path).collect();
    assert_eq!(files, ["b", "z"], "files are sorted");
    assert!(contents.files.iter().all(|file| file.is_regular));
    assert_eq!(contents.files[0].size, 3);
    let error = folder.contents("f", 3).expect_err("the limit is 3");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let contents = folder.contents("x", 0).expect("a missing folder is empty");
    assert!(contents.folders.is_empty() && contents.files.is_empty());
}

/// A range is read exactly, or refused.
pub fn parts_of_files_are_exact(folder: &Folder) {
    write(folder, "f", b"0123456789");
    let part = |range| -> Result<Vec<u8>> {
        let mut reader = folder.open_range("f", range)?;
        assert_eq!(reader.size(), 10, "the size is that of the file");
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .expect("an open file is read");
        Ok(bytes)
    };
    for (range, bytes) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
        (4..4, ""),
        (10..10, ""),
    ] {
        let found = part(range.clone()).expect("the range is in the file");
        assert_eq!(found, bytes.as_bytes(), "{range:?}");
    }
    for range in [0..11, 9..12, 11..11, 20..30] {
        let error = part(range.clone()).expect_err("the range is behind the end of the file");
        assert_eq!(error.kind(), ErrorKind::Truncated, "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
    let error = part(5..4).expect_err("the range is reversed");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Each way to read a missing file reports that it is missing.
pub fn missing_files_are_not_found(folder: &Folder) {
    write(folder, "there/file", b"x");
    for path in ["no", "no/file", "there/no"] {
        let errors = [
            folder.open(path).map(drop),
            folder.open_range(path, 0..1).map(drop),
            folder.open_range(path, 0..0).map(drop),
            folder.read(path, 1).map(drop),
            folder.size(path).map(drop),
        ];
        for error in errors {
            let error = error.expect_err("there is no such file");
            assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
            assert_eq!(error.operation(), Operation::Read, "{path}");
        }
    }
}

/// A file larger than the limit is refused.
pub fn too_large_files_are_refused(folder: &Folder) {
    write(folder, "f", b"12345");
    assert_eq!(folder.read("f", 5).expect("it has 5 bytes"), b"12345");
    let error = folder.read("f", 4).expect_err("it has 5 bytes");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

/// A file is never replaced, whether it is written with one request or in parts.
pub fn taken_names_are_unchanged(folder: &Folder) {
    write(folder, "f", b"first");
    let large: Vec<u8> = (0..LARGE).map(|at| at as u8).collect();
    for other in [&b"other"[..], &large] {
        let created = create(folder, "f", other).expect("the folder can be written to");
        assert_eq!(created, Creation::AlreadyExists);
        assert_eq!(read(folder, "f"), b"first", "the file is unchanged");
    }
    write(folder, "large", &large);
    assert!(read(folder, "large") == large, "a large file is complete");
    assert_eq!(
        list(folder, ""),
        ["f 5".to_owned(), format!("large {LARGE}")]
    );
}

/// A file appears only when it is finished.
pub fn abandoned_files_do_not_appear(folder: &Folder) {
    for len in [0, 10, LARGE] {
        let mut writer = folder.create("a/f", 1).expect("a file can be started");
        writer
            .write_all(&vec![1; len])
            .expect("a file can be written");
        assert_eq!(
            size(folder, "a/f"),
            Err(ErrorKind::NotFound),
            "the file does not exist before it is finished"
        );
        drop(writer);
        assert_eq!(list(folder, ""), [""; 0], "nothing is left");
    }
    write(folder, "a/f", b"x");
}

/// Deleting a missing file succeeds.
pub fn deleting_twice_succeeds(folder: &Folder) {
    write(folder, "a/b/f", b"x");
    write(folder, "a/g", b"x");
    for path in ["a/b/f", "a/b/f", "a/x", "x/y"] {
        folder.delete(path).expect("a file can be deleted");
    }
    assert_eq!(list(folder, ""), ["a/g 1"]);
    let remove = || folder.remove_empty_folders("a");
    remove().expect("folders without files are removed");
    assert_eq!(read(folder, "a/g"), b"x", "the other files stay");
    let contents = folder.contents("a", 9).expect("a folder can be listed");
    assert!(contents.folders.is_empty(), "the empty folder is removed");
    folder.delete("a/g").expect("a file can be deleted");
    for _ in 0..2 {
        remove().expect("a missing folder is fine");
    }
    let contents = folder.contents("", 9).expect("a folder can be listed");
    assert!(contents.folders.is_empty());
}

/// Every method refuses a path that leads out of the folder.
pub fn paths_that_lead_elsewhere_are_refused(folder: &Folder) {
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "..",
        "a//b",
        "a\\b",
        "a\n",
    ] {
        let errors = [
            folder.open(path).map(drop),
            folder.open_range(path, 0..1).map(drop),
            folder.read(path, 1).map(drop),
            folder.size(path).map(drop),
            folder.create(path, 0).map(drop),
            folder.delete(path),
            folder.remove_empty_folders(path),
            folder.list(path).map(drop),
            folder.contents(path, 1).map(drop),
            folder.folder(path).map(drop),
        ];
        for error in errors {
            let error = error.expect_err("the path is refused");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{path}");
        }
    }
    assert!(folder.open("").is_err() && folder.delete("").is_err());
    let reserved = folder.create("a/.br-x.tmp", 0);
    let error = reserved.expect_err("the name is reserved");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// A subfolder gives access to the same files, and its parent is the folder.
pub fn folders_lead_up_and_down(folder: &Folder) {
    write(folder, "a/b/f", b"x");
    let below = folder.folder("a/b").expect("the path is valid");
    assert_eq!(read(&below, "f"), b"x");
    assert_eq!(list(&below, ""), ["f 1"]);
    let (above, name) = below.parent().expect("there is a folder above");
    assert_eq!(name, "b");
    write(&above, "g", b"yz");
    assert_eq!(size(folder, "a/g"), Ok(2));
    let same = folder.folder("").expect("the empty path is the folder");
    assert_eq!(list(&same, "a"), ["b/f 1", "g 2"]);
    drop(folder.lock().expect("the folder can be locked"));
    folder.sync().expect("the folder can be flushed");
}

fn create(folder: &Folder, path: &str, bytes: &[u8]) -> Result<Creation> {
    let mut writer = folder.create(path, bytes.len() as u64)?;
    writer.write_all(bytes).expect("a file can be written");
    writer.finish()
}

fn write(folder: &Folder, path: &str, bytes: &[u8]) {
    let created = create(folder, path, bytes).expect("a new file can be created");
    assert_eq!(created, Creation::Created, "a new name is free: {path}");
}

fn read(folder: &Folder, path: &str) -> Vec<u8> {
    let bytes = folder.read(path, NO_LIMIT).expect("a file can be read");
    let mut reader = folder.open(path).expect("a file can be opened");
    assert_eq!(reader.size(), bytes.len() as u64, "{path}");
    let mut same = Vec::new();
    reader.read_to_end(&mut same).expect("a file can be read");
    assert!(bytes == same, "both ways to read {path} agree");
    bytes
}

fn size(folder: &Folder, path: &str) -> Result<u64, ErrorKind> {
    folder.size(path).map_err(|error: Error| error.kind())
}

/// Paths and sizes, sorted. Unfinished files are left out.
fn list(folder: &Folder, path: &str) -> Vec<String> {
    let files = folder.list(path).expect("a folder can be listed");
    let mut out: Vec<String> = files
        .map(|file| file.expect("a listing is complete"))
        .inspect(|file| assert!(file.is_regular, "{}", file.path))
        .filter(|file| !Folder::is_unfinished(&file.path))
        .map(|file| format!("{} {}", file.path, file.size))
        .collect();
    out.sort();
    out
}
