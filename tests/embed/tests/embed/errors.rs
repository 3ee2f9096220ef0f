//! Looks at the causes of errors, and writes reports to a log.

use std::error::Error as _;
use std::io;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::check::{CheckOptions, Severity, check};
use br_core::source::{LocalSource, LocalSourceOptions, MemorySource, SourceError};
use br_core::{BackupSelector, Context, ErrorKind, Repository, StorageError, StorageErrorKind};

use crate::TestResult;

async fn filled(folder: &std::path::Path, context: &Context) -> br_core::Result<Repository> {
    let repository = br_embed::repository(folder, context).await?;
    let source = MemorySource::new([("notes.txt", vec![7; 100_000])])?;
    let options = BackupOptions::new("host", "me", vec![]);
    let _ = backup(&repository, source, &options, context).await?;
    Ok(repository)
}

#[tokio::test]
async fn error_of_store_has_storage_error_as_source() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = filled(folder.path(), &context).await?;
    for pack in repository.storage().list("packs").await? {
        std::fs::remove_file(folder.path().join("repository").join(pack.key))?;
    }
    let error = match repository.snapshot(BackupSelector::Latest, &context).await {
        Ok(snapshot) => snapshot.stat(&"notes.txt".parse()?).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let mut cause = error.source();
    while let Some(error) = cause.filter(|error| !error.is::<StorageError>()) {
        cause = error.source();
    }
    let storage = cause.and_then(|error| error.downcast_ref::<StorageError>());
    let storage = storage.ok_or("no StorageError among the causes")?;
    assert_eq!(storage.kind(), StorageErrorKind::NotFound);
    let mut texts = [vec![error.to_string()], error.causes()].concat();
    let all = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), all, "{texts:?}");
    Ok(())
}

#[test]
fn error_of_local_file_has_io_error_among_its_causes() {
    let paths = [std::path::PathBuf::from("/nothing/is/here")];
    let error = LocalSource::new(&paths, LocalSourceOptions::default()).unwrap_err();
    assert!(matches!(error, SourceError::Path { .. }), "{error}");
    let error = br_core::Error::from(error);
    let mut cause = error.source();
    while let Some(error) = cause.filter(|error| !error.is::<io::Error>()) {
        cause = error.source();
    }
    let found = cause.and_then(|error| error.downcast_ref::<io::Error>());
    assert_eq!(found.map(io::Error::kind), Some(io::ErrorKind::NotFound));
}

#[tokio::test]
async fn reports_are_serialised_with_their_names_in_rust() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = filled(folder.path(), &context).await?;
    let report = check(&repository, &CheckOptions::default(), &context).await?;
    assert!(
        report
            .findings
            .iter()
            .all(|found| found.severity < Severity::Damage)
    );
    let json = serde_json::to_value(&report)?;
    assert_eq!(json["backups"], 1);
    let backup = repository.find(BackupSelector::Latest, &context).await?;
    let json = serde_json::to_value(&backup)?;
    assert_eq!(json["id"], backup.id.to_string());
    assert_eq!(json["kind"], "full");
    assert_eq!(json["totals"]["files"], 1);
    Ok(())
}
