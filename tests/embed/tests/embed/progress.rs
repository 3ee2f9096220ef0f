//! Shows progress with a closure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{FileTime, Owner};
use br_core::source::StreamSource;
use br_core::{Context, Event, Warning};

use crate::TestResult;

#[tokio::test]
async fn a_closure_counts_entries_and_warnings() -> TestResult {
    let folder = tempfile::tempdir()?;
    let (entries, warnings) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (done, warned) = (Arc::clone(&entries), Arc::clone(&warnings));
    let context = Context::system().with_progress(move |event: Event<'_>| match event {
        Event::Advance { entries, .. } => drop(done.fetch_add(entries, Ordering::Relaxed)),
        Event::Warning(Warning::ChangedDuringRead { .. }) => {}
        Event::Warning(_) => drop(warned.fetch_add(1, Ordering::Relaxed)),
        _ => {}
    });
    let repository = br_embed::repository(folder.path(), &context).await?;
    let time = FileTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let source = StreamSource::new("dump.sql".parse()?, &b"create"[..], time, Owner::default());
    let options = BackupOptions::new("host", "me", vec![b"dump.sql".to_vec()]);
    let report = backup(&repository, source, &options, &context).await?;
    assert_eq!(report.backup.totals.bytes, 6);
    assert_eq!(entries.load(Ordering::Relaxed), 1);
    assert_eq!(warnings.load(Ordering::Relaxed), 0);
    Ok(())
}
