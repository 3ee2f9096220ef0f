//! Looks around in a backup and reads parts of a file, as a file manager or a file system would.

use std::io::{Read as _, Seek as _, SeekFrom};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::EntryPath;
use br_core::source::MemorySource;
use br_core::{BackupSelector, Context, ErrorKind, WalkOptions};

use crate::TestResult;

#[tokio::test]
async fn folders_are_listed_and_files_are_read_from_any_offset() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = br_embed::repository(folder.path(), &context).await?;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 999) as u8).collect();
    let source = MemorySource::new([
        ("photos/2024/a.jpg", large.clone()),
        ("photos/2025/b.jpg", b"b".to_vec()),
        ("notes.txt", b"to keep".to_vec()),
    ])?;
    let options = BackupOptions::new("host", "me", vec![]);
    let made = backup(&repository, source, &options, &context).await?;

    let snapshot = repository.snapshot(made.backup.id, &context).await?;
    let top = snapshot.children(&EntryPath::root()).collect().await?;
    let names: Vec<_> = top.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["notes.txt", "photos"]);
    let pictures = WalkOptions::default().with_glob("*.jpg")?;
    let found = snapshot
        .walk(&"photos".parse()?, &pictures)
        .collect()
        .await?;
    assert_eq!(found.len(), 2);

    let file = snapshot.open_file(&found[0].path).await?;
    assert_eq!(file.len(), large.len() as u64);
    assert_eq!(
        file.read_at(2_000_000, 10).await?[..],
        large[2_000_000..2_000_010]
    );
    let mut end = [0; 100];
    assert_eq!(file.read_into(file.len() - 3, &mut end).await?, 3);

    // For a library that takes `Read` and `Seek`.
    let mut stream = file.into_stream()?;
    stream.seek(SeekFrom::End(-7))?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    assert_eq!(rest, large[large.len() - 7..]);

    let absent = snapshot.stat(&"nothing".parse()?).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::PathNotFound);
    Ok(())
}

#[test]
fn a_program_without_a_runtime_reads_a_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let file = br_core::blocking(async {
        let repository = br_embed::repository(folder.path(), &context).await?;
        let source = MemorySource::new([("notes.txt", "to keep")])?;
        let options = BackupOptions::new("host", "me", vec![]);
        let _ = backup(&repository, source, &options, &context).await?;
        let snapshot = repository
            .snapshot(BackupSelector::Latest, &context)
            .await?;
        snapshot.open_file(&"notes.txt".parse()?).await
    })??;
    let mut text = String::new();
    file.into_stream()?.read_to_string(&mut text)?;
    assert_eq!(text, "to keep");
    Ok(())
}
