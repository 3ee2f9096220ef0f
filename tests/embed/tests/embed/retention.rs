//! Deletes old backups by a policy of the program: list, choose, delete, prune.

use std::collections::HashSet;
use std::time::Duration;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::prune::PruneOptions;
use br_core::engine::{delete, prune};
use br_core::model::Backup;
use br_core::source::MemorySource;
use br_core::{BackupSelector, Context, ErrorKind};

use crate::TestResult;

/// Which backups go: all but the newest complete one of each tag, and the newest of all.
fn superseded(backups: &[Backup]) -> Vec<&Backup> {
    let mut seen = HashSet::new();
    let newest_first = backups.iter().rev();
    let goes = |(place, backup): &(usize, &Backup)| {
        let is_first = backup.is_complete() && seen.insert(backup.tags.clone());
        *place > 0 && !is_first
    };
    let going = newest_first.enumerate().filter(goes);
    going.map(|(_, backup)| backup).collect()
}

#[tokio::test]
async fn superseded_backups_are_deleted_and_their_space_is_freed() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = br_embed::repository(folder.path(), &context).await?;
    for (number, tag) in ["daily", "weekly", "daily", "daily"]
        .into_iter()
        .enumerate()
    {
        let content: Vec<u8> = (0..200_000_usize)
            .map(|n| (n * n * (number + 3) / 7) as u8)
            .collect();
        let source = MemorySource::new([("file", content)])?;
        let options = BackupOptions::new("host", "me", vec![]).with_tags(vec![tag.to_owned()]);
        let _ = backup(&repository, source, &options, &context).await?;
    }
    let backups = repository.backups(&context).await?;
    let going = superseded(&backups);
    assert_eq!(going.len(), 2);
    let plan = delete::plan(&repository, going, &context).await?;
    assert!(plan.last_complete.is_empty());
    delete::delete(&repository, &plan, &context).await?;

    let options = PruneOptions::default()
        .with_max_unused(0.0)
        .with_grace(Duration::ZERO);
    let plan = prune::plan(&repository, &options, &context).await?;
    let freed = prune::prune(&repository, &plan, &context).await?;
    assert!(freed.bytes_deleted > 0);

    let left = repository.backups(&context).await?;
    let tags: Vec<_> = left.iter().flat_map(|backup| &backup.tags).collect();
    assert_eq!(tags, ["weekly", "daily"]);
    let gone = repository.find(&backups[0], &context).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::BackupNotFound);
    let latest = repository.find(BackupSelector::Latest, &context).await?;
    assert_eq!(latest.id, backups[3].id);
    Ok(())
}
