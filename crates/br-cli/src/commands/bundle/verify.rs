//! `br bundle verify`: verifies a bundle.

use std::path::PathBuf;

use br_archive::{Inspection, inspect};
use clap::Args;

use crate::bundles::{self, CODES, LimitArgs, NodeArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::bundle::finding;
use crate::output::bundle_json::InspectionJson;
use crate::output::format;

const EXAMPLES: &str = "\
  br bundle verify emqx-export-2023-06-19-15-14-19.947.tar.gz
  br bundle verify emqx-export-2023-06-19-15-14-19.947.tar.gz --target-version 5.8.1";

/// Verify a bundle
///
/// br reads everything: the checksums of gzip and tar, the SHA-256 of every member if the bundle has a manifest, and in EMQX
/// bundles every record of every table and the configuration. With --target-version, br also checks that a node of that version
/// can import the bundle.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct VerifyArgs {
    /// Bundle file, with its original name
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    node: NodeArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn run(args: VerifyArgs, context: &CommandContext) -> CommandResult {
    let (file, limits, node) = (args.file.clone(), args.limits.limits(), args.node.node());
    let inspected = bundles::run(context, move |progress| {
        inspect(&file, &limits, node.as_ref(), progress)
    });
    let inspection = inspected.await.map_err(|error| match error.status {
        // br cannot read the bundle, so it can report nothing else.
        ExitStatus::Damaged => {
            let name = format::path(&args.file);
            error.in_file(&name).with_hint("get another copy of it")
        }
        _ => error,
    })?;
    print(&inspection, context)?;
    if inspection.is_sound() {
        return Ok(ExitStatus::Ok);
    }
    let problems = inspection.problems.len() as u64;
    let problems = format::counted(problems, "problem", "problems");
    Err(CommandError::new(
        ExitStatus::Damaged,
        format!("the bundle is damaged: {problems}"),
        "get another copy, or extract the intact files with `br bundle extract --path`",
    ))
}

fn print(inspection: &Inspection, context: &CommandContext) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() {
        return output.document(&InspectionJson::from(inspection));
    }
    let mut lines = output.lines();
    for problem in &inspection.problems {
        lines.line(&format!("problem: {}", finding(problem)))?;
    }
    if !output.console.quiet {
        for warning in &inspection.warnings {
            lines.line(&format!("warning: {}", finding(warning)))?;
        }
        if inspection.is_sound() {
            lines.line(&verdict(inspection))?;
        }
    }
    lines.finish()
}

/// `sound: 9 files with 9.6 KiB, 7 tables with 9 records, no manifest`.
fn verdict(inspection: &Inspection) -> String {
    let files = format::counted(inspection.members.len() as u64, "file", "files");
    let mut parts = vec![format!("{files} with {}", format::size(inspection.bytes))];
    if inspection.is_emqx {
        let tables = format::counted(inspection.tables.len() as u64, "table", "tables");
        let rows = inspection.tables.iter().map(|table| table.rows).sum();
        let rows = format::counted(rows, "record", "records");
        parts.push(format!("{tables} with {rows}"));
    }
    parts.push(match inspection.manifest {
        Some(_) => "every SHA-256 of the manifest matches".to_owned(),
        None => "no manifest".to_owned(),
    });
    format!("sound: {}", parts.join(", "))
}
