use super::super::ErrorKind;
use super::*;

/// The same for a folder and for a store in memory.
fn with_both(test: impl Fn(&Place)) {
    let dir = tempfile::tempdir().unwrap();
    test(&Place::local(&dir.path().join("not/there/yet")));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Arc::new(object_store::memory::InMemory::new());
    test(&Place::object(store, "/backup1/", runtime.handle().clone()).unwrap());
}

fn write(place: &Place, path: &str, bytes: &[u8]) -> Result<()> {
    let mut writer = place.create(path, bytes.len() as u64)?;
    writer.write_all(bytes).unwrap();
    writer.finish()
}

fn list(place: &Place, dir: &str) -> Vec<String> {
    let mut out = Vec::new();
    let listed = place.list(dir, &mut |entry| {
        out.push(format!("{} {}", entry.path, entry.size));
        Ok(())
    });
    listed.unwrap();
    out.sort();
    out
}

#[test]
fn files_are_written_listed_read_and_deleted() {
    with_both(|place| {
        assert!(list(place, "").is_empty());
        assert_eq!(place.size("a/b").unwrap(), None);
        write(place, "a/b", b"12345").unwrap();
        write(place, "a/c/d", b"1").unwrap();
        write(place, "top", b"").unwrap();
        assert_eq!(list(place, ""), ["a/b 5", "a/c/d 1", "top 0"]);
        assert_eq!(list(place, "a"), ["b 5", "c/d 1"]);
        assert!(list(place, "to").is_empty());
        let children = place.children("", 10).unwrap();
        assert_eq!(
            (children.dirs.as_slice(), children.files[0].path.as_str()),
            (&["a".to_owned()][..], "top")
        );
        assert!(place.children("", 1).is_err());
        assert_eq!(place.read("a/b", 5).unwrap().unwrap(), b"12345");
        assert_eq!(place.read("a/b", 4).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(place.read("a/x", 4).unwrap(), None);
        assert_eq!(place.below("a").unwrap().size("c/d").unwrap(), Some(1));
        let (parent, name) = place.below("a/c").unwrap().parent().unwrap();
        assert_eq!((parent.size("b").unwrap(), name.as_str()), (Some(5), "c"));
        place.delete("a/b").unwrap();
        place.delete("a/b").unwrap();
        assert_eq!(place.size("a/b").unwrap(), None);
    });
}

#[test]
fn names_that_are_taken_stay_as_they_are() {
    with_both(|place| {
        write(place, "a", b"first").unwrap();
        assert_eq!(
            write(place, "a", b"second").unwrap_err().kind(),
            ErrorKind::Exists
        );
        let long = vec![7; (8 << 20) + 5];
        assert_eq!(
            write(place, "a", &long).unwrap_err().kind(),
            ErrorKind::Exists
        );
        assert_eq!(place.read("a", 9).unwrap().unwrap(), b"first");
        write(place, "long", &long).unwrap();
        assert_eq!(place.read("long", u64::MAX).unwrap().unwrap(), long);
        let mut writer = place.create("never", 1).unwrap();
        writer.write_all(&long).unwrap();
        drop(writer);
        assert_eq!(list(place, "").len(), 2);
    });
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    with_both(|place| {
        for path in ["../x", "/etc/passwd", "a/../../x", ""] {
            assert!(place.open(path).is_err());
            assert!(place.create(path, 0).is_err());
            assert!(place.delete(path).is_err());
        }
        assert!(place.list("..", &mut |_| Ok(())).is_err());
        assert!(place.below("../x").is_err());
    });
}

#[test]
fn links_and_pipes_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.join("folder")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), root.join("file")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let place = Place::local(&root);
    for path in ["folder/secret", "file", "pipe"] {
        assert_eq!(
            place.open(path).unwrap_err().kind(),
            ErrorKind::Refused,
            "{path}"
        );
        assert_eq!(place.size(path).unwrap(), None);
    }
    assert!(place.create("folder/new", 0).is_err());
    assert!(place.delete("folder/secret").is_err());
    assert!(place.list("folder", &mut |_| Ok(())).is_err());
    let mut seen = 0;
    let listed = place.list("", &mut |entry| {
        assert!(!entry.is_regular);
        seen += 1;
        Ok(())
    });
    listed.unwrap();
    assert_eq!(seen, 3);
    // What the user named may itself be a link.
    std::os::unix::fs::symlink(&root, dir.path().join("alias")).unwrap();
    write(&Place::local(&dir.path().join("alias")), "new", b"x").unwrap();
    assert_eq!(place.size("new").unwrap(), Some(1));
}
