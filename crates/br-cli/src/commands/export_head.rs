//! `br export-head`: prints the newest entry of the commit log.

use clap::Args;
use serde::Serialize;

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::json::Summary;

const EXAMPLES: &str = "\
  br export-head > head && br check --expect \"$(cat head)\"";

/// Print the newest entry of the repository's log, for safekeeping
///
/// The line is the number of the entry and its digest. Keep it on another machine. `br check --expect` later shows that the
/// repository still has this entry and all of its history.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct ExportHeadArgs {}

#[derive(Serialize)]
struct HeadSummary {
    head: String,
}

pub(crate) async fn run(_args: &ExportHeadArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let Some(head) = repository.head(&context.engine()).await? else {
        return Err(CommandError::new(
            ExitStatus::Failure,
            "nothing was ever stored in the repository",
            "`br backup PATH` makes the first backup",
        ));
    };
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(HeadSummary {
            head: head.to_string(),
        }))?;
        return Ok(ExitStatus::Ok);
    }
    let mut lines = output.lines();
    lines.line(&head.to_string())?;
    lines.finish()?;
    Ok(ExitStatus::Ok)
}
