//! `br restore --verify-only`: reads and verifies what a restore would read.

use std::ffi::OsString;
use std::io::{self, Read};
use std::sync::Arc;

use br_core::BackupSelector;
use br_core::engine::export::{ExportOptions, export};
use br_core::model::Entry;
use br_core::sink::Sink;
use serde::Serialize;

use super::paths::{find_paths, paths_in_backup};
use super::which::BackupAndPath;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;

/// The result of a verification.
#[derive(Serialize)]
struct VerifySummary {
    backup: String,
    entries: u64,
    files: u64,
    bytes: u64,
    duration_seconds: f64,
}

/// Reads the paths of a backup, or all of it. Succeeds only if all of it is intact.
pub(super) async fn run(
    from: &BackupAndPath,
    id: &BackupSelector,
    paths: &[OsString],
    context: &CommandContext,
) -> CommandResult {
    let folder = from.path(paths)?;
    let mut typed = paths_in_backup(paths)?;
    typed.extend(folder);
    let repository = context.open().await?;
    let backup = context.find(&repository, id).await?;
    let found = find_paths(&typed, &repository, &backup, context).await?;
    let options = ExportOptions::default().with_paths(found);
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let verified = export(&repository, backup.id, Nowhere, &options, &engine).await;
    drop(guard);
    let (Nowhere, report) = verified?;
    let seconds = reporter.elapsed().as_secs_f64();
    let summary = VerifySummary {
        backup: backup.id.to_string(),
        entries: report.totals.entries,
        files: report.totals.files,
        bytes: report.totals.bytes,
        duration_seconds: format::round_seconds(seconds),
    };
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(summary))?;
        return Ok(ExitStatus::Ok);
    }
    output.summary(&[
        ("backup", summary.backup),
        ("intact", format::counted(summary.files, "file", "files")),
        ("duration", format::speed(summary.bytes, seconds)),
    ])?;
    Ok(ExitStatus::Ok)
}

/// Reads all content, which verifies it, and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn entry(&mut self, _entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        io::copy(content, &mut io::sink()).map(drop)
    }
}
