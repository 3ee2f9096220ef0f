//! `br bundle extract`: unpacks a bundle.

use std::path::PathBuf;

use br_archive::{ImportOptions, extract};
use clap::Args;

use crate::bundles::{self, CODES, LimitArgs, SelectionArgs};
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::values;

const EXAMPLES: &str = "\
  br bundle extract emqx-export-2023-06-19-15-14-19.947.tar.gz --into unpacked
  br bundle extract emqx-export-2023-06-19-15-14-19.947.tar.gz --into acl --path mnesia/emqx_acl";

/// Unpack a bundle into a new folder
///
/// br writes the members directly into the folder, without the archive's own folder. They appear only after br has read and
/// verified the whole bundle.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct ExtractArgs {
    /// Bundle file, with its original name
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Folder to unpack into; it must be empty or missing
    #[arg(long, value_name = "DIR", value_parser = values::folder())]
    into: PathBuf,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn run(args: ExtractArgs, context: &CommandContext) -> CommandResult {
    let mut id = [0; 8];
    context.runtime.random.fill(&mut id);
    let options = ImportOptions::new(u64::from_le_bytes(id))
        .with_selection(args.selection.selection())
        .with_limits(args.limits.limits());
    let selection = args.selection.selection();
    let shown = format::path(&args.into);
    let inspection = bundles::run(context, move |progress| {
        extract(&args.file, &args.into, &options, progress)
    })
    .await?;
    let output = &context.output;
    let taken = inspection
        .members
        .iter()
        .filter(|member| selection.takes(&member.path));
    let (files, bytes) = taken.fold((0, 0), |(files, bytes), member| {
        (files + 1, bytes + member.header.size)
    });
    if output.is_json() {
        let json = serde_json::json!({
            "type": "summary",
            "bundle": inspection.name.directory(),
            "into": shown,
            "files": files,
            "bytes": bytes,
        });
        output.document(&json)?;
    } else {
        let files = format::counted(files, "file", "files");
        output.summary(&[
            ("bundle", format::text(inspection.name.directory())),
            ("into", shown),
            ("content", format!("{files}, {}", format::size(bytes))),
        ])?;
    }
    Ok(ExitStatus::Ok)
}
