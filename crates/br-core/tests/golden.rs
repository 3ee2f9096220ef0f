//! Repositories of every released format must stay readable. Those under `tests/golden` were written when the format was
//! current; a new one is written by `BR_WRITE_GOLDEN=DIR cargo test -p br-core --test golden`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::delete;
use br_core::engine::ls::ls;
use br_core::engine::prune::{PruneOptions, plan, prune};
use br_core::model::{Backup, EntryKind, Origin, OriginKind};
use br_core::source::{LocalSource, LocalSourceOptions};
use br_core::{BackupSelector, Context, InitOptions, Location, NewKey, Repository, StorageOptions};

const PASSWORD: &str = "golden";
/// The password of the write-only key.
const WRITER: &str = "golden writer";
#[cfg(feature = "age")]
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
#[cfg(feature = "age")]
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// The entries of every golden repository.
const EXPECTED: [(&str, &str, u64); 8] = [
    (".", "directory", 0),
    ("empty", "file", 0),
    ("folder", "directory", 0),
    ("folder/large", "file", 400_000),
    ("folder/link", "symlink", 0),
    ("folder/small", "file", 11),
    ("sparse", "file", 1 << 20),
    ("text", "file", 6_000),
];

/// SHA-256 of `folder/large` and of `text`, from sha256sum.
const DIGESTS: [(&str, &str); 2] = [
    (
        "folder/large",
        "edd5ee70c35d442b1a9aa42211ed2aed4cea5569bafe8e6407eccd465151aa20",
    ),
    (
        "text",
        "3facb5dba6a5247303ab0c0f657f6d8ff3bce269263836677ac4f44735a484ef",
    ),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

async fn open(name: &str, password: Option<&str>) -> Repository {
    let location = Location::Local(golden(name));
    let password = password.map(str::as_bytes);
    Repository::open(&location, &StorageOptions::default(), password)
        .await
        .unwrap()
}

async fn holds_what_is_expected(repository: &Repository) -> Backup {
    let context = Context::system();
    let options = CheckOptions::default().with_data(ReadData::All);
    let report = check(repository, &options, &context).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.backups, 2);
    let latest = repository
        .find(&BackupSelector::Latest, &context)
        .await
        .unwrap();
    assert_eq!(latest.tags, ["second"]);
    let mut feed = ls(repository, latest.id, Vec::new(), &context);
    let mut found = Vec::new();
    while let Some(entry) = feed.next().await {
        let entry = entry.unwrap();
        let path = entry.path.to_string();
        if let Some((_, digest)) = DIGESTS.iter().find(|(name, _)| *name == path) {
            let EntryKind::File(file) = &entry.kind else {
                panic!("{path} is no file")
            };
            let hex: String = file
                .sha256
                .unwrap()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert_eq!(hex, *digest, "{path}");
        }
        assert_eq!(
            entry.mtime.nanos,
            if entry.path.is_root() {
                entry.mtime.nanos
            } else {
                5
            }
        );
        found.push((path, entry.kind.name().to_owned(), entry.size()));
    }
    let expected = EXPECTED.map(|(path, kind, size)| (path.to_owned(), kind.to_owned(), size));
    assert_eq!(found, expected);
    latest
}

#[tokio::test]
async fn a_repository_of_version_1_0_in_the_clear_is_read() {
    holds_what_is_expected(&open("repository-1.0", None).await).await;
}

#[tokio::test]
async fn a_repository_of_version_1_0_with_a_password_is_read() {
    holds_what_is_expected(&open("repository-1.0-encrypted", Some(PASSWORD)).await).await;
}

#[tokio::test]
async fn a_repository_of_version_1_0_with_deltas_is_read() {
    for (name, password) in [
        ("repository-1.0-deltas", None),
        ("repository-1.0-deltas-encrypted", Some(PASSWORD)),
    ] {
        let latest = holds_what_is_expected(&open(name, password).await).await;
        // One byte of `folder/large` differs from the backup before.
        let changes = latest.changes;
        assert!(changes.bytes_added > 16 << 10, "{changes:?}");
        assert!(changes.bytes_stored < 8 << 10, "{changes:?}");
    }
}

/// The origin of the backups in the repositories that record one.
fn origin() -> Origin {
    Origin::new(OriginKind::MatrixOne)
        .with_version(Some("3.0.11".to_owned()))
        .with_position(Some("1735893768313706438-1".to_owned()))
}

#[tokio::test]
async fn a_repository_of_version_1_0_records_the_origin_since_it_was_added() {
    for (name, password) in [
        ("repository-1.0-origin", None),
        ("repository-1.0-origin-encrypted", Some(PASSWORD)),
    ] {
        let latest = holds_what_is_expected(&open(name, password).await).await;
        assert_eq!(latest.origin, Some(origin()));
    }
    let early = holds_what_is_expected(&open("repository-1.0", None).await).await;
    assert_eq!(early.origin, None);
}

#[tokio::test]
async fn a_repository_of_version_1_0_with_a_write_only_key_is_read() {
    const NAME: &str = "repository-1.0-write-only";
    holds_what_is_expected(&open(NAME, Some(PASSWORD)).await).await;
    let writer = open(NAME, Some(WRITER)).await;
    assert!(writer.is_write_only());
    let options = CheckOptions::default();
    let report = check(&writer, &options, &Context::system()).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[cfg(feature = "age")]
#[tokio::test]
async fn a_repository_of_version_1_0_with_a_recipient_is_read() {
    holds_what_is_expected(&open("repository-1.0-write-only", Some(IDENTITY)).await).await;
}

/// Adds a write-only key and a recipient. Returns the repository as the write-only key opens it.
async fn with_more_keys(repository: &Repository, location: &Location) -> Repository {
    let context = Context::system();
    let writer = NewKey::new(WRITER, "writer").with_weak_key_derivation();
    let writer = writer.with_write_only();
    let _ = repository.add_key(&writer, &context).await.unwrap();
    #[cfg(feature = "age")]
    let _ = repository
        .add_key(&NewKey::for_recipient(RECIPIENT, "safe"), &context)
        .await
        .unwrap();
    Repository::open(
        location,
        &StorageOptions::default(),
        Some(WRITER.as_bytes()),
    )
    .await
    .unwrap()
}

/// Content that compresses a little, the same on every machine.
fn content(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"abcdefghijklmnopqrstuvwxyz012345"[(state >> 27) as usize]
    };
    (0..len).map(|_| next()).collect()
}

fn make_tree(root: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("text"), content(6_000)).unwrap();
    fs::write(root.join("folder/large"), content(400_000)).unwrap();
    fs::write(root.join("folder/small"), "hello there").unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    std::os::unix::fs::symlink("../text", root.join("folder/link")).unwrap();
    for name in [
        "empty",
        "text",
        "folder/large",
        "folder/small",
        "sparse",
        "folder",
    ] {
        let file = File::open(root.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }
    let link = std::process::Command::new("touch")
        .args(["-h", "-d", "@1000000000.000000005"])
        .arg(root.join("folder/link"))
        .status();
    assert!(link.unwrap().success());
}

/// Writes one byte of `folder/large`, after the part that is equal to the file `gone`.
fn change_large(root: &Path, byte: &[u8]) {
    let file = File::options().write(true).open(root.join("folder/large"));
    let file = file.unwrap();
    file.write_all_at(byte, 350_000).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

async fn write(folder: &Path, options: InitOptions) {
    let context = Context::system();
    let tree = tempfile::tempdir().unwrap();
    let location = Location::Local(folder.to_owned());
    let repository = Repository::init(&location, &options, &context)
        .await
        .unwrap();
    let writer = if options.write_only_keys {
        with_more_keys(&repository, &location).await
    } else {
        repository.clone()
    };
    let root = [tree.path().to_owned()];
    let source = || {
        // Stored as `.`: the tree's place on this machine does not matter.
        std::env::set_current_dir(&root[0]).unwrap();
        LocalSource::new(&[PathBuf::from(".")], LocalSourceOptions::default()).unwrap()
    };
    fs::write(tree.path().join("gone"), content(300_000)).unwrap();
    for tag in ["zeroth", "first", "second"] {
        if tag == "first" {
            fs::remove_file(tree.path().join("gone")).unwrap();
            make_tree(tree.path());
            change_large(tree.path(), b"!");
        }
        if tag == "second" {
            change_large(tree.path(), &content(350_001)[350_000..]);
        }
        let options = BackupOptions::new("host", "user", vec![b".".to_vec()])
            .with_origin(origin())
            .with_tags(vec![tag.to_owned()]);
        let by = if tag == "first" { &writer } else { &repository };
        let _ = backup(by, source(), &options, &context).await.unwrap();
    }
    let oldest = repository.backups(&context).await.unwrap()[0].id;
    let deleted = delete::plan(&repository, [oldest], &context).await.unwrap();
    delete::delete(&repository, &deleted, &context)
        .await
        .unwrap();
    let options = PruneOptions::default().with_max_unused(0.0);
    let pruned = plan(&repository, &options, &context).await.unwrap();
    let _ = prune(&repository, &pruned, &context).await.unwrap();
}

#[tokio::test]
async fn golden_repositories_are_written_on_request() {
    let Some(folder) = std::env::var_os("BR_WRITE_GOLDEN").map(PathBuf::from) else {
        return;
    };
    let version = br_core::FORMAT_VERSION;
    write(
        &folder.join(format!("repository-{version}-origin")),
        InitOptions::default(),
    )
    .await;
    let encrypted = InitOptions::default()
        .with_password(PASSWORD)
        .with_weak_key_derivation();
    write(
        &folder.join(format!("repository-{version}-origin-encrypted")),
        encrypted.clone(),
    )
    .await;
    write(
        &folder.join(format!("repository-{version}-write-only")),
        encrypted.with_write_only_keys(),
    )
    .await;
}
