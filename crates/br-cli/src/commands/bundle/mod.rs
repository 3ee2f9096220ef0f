//! `br bundle`: reads and unpacks bundles.

mod diff;
mod extract;
mod inspect;
mod verify;

use clap::{Args, Subcommand};

use crate::bundles::CODES;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::help::{examples, exit_codes};

const EXAMPLES: &str = "\
  br bundle inspect emqx-export-2023-06-19-15-14-19.947.tar.gz
  br bundle verify emqx-export-2023-06-19-15-14-19.947.tar.gz --target-version 5.8.1
  br bundle diff monday/emqx-export-*.tar.gz tuesday/emqx-export-*.tar.gz
  br bundle extract emqx-export-2023-06-19-15-14-19.947.tar.gz --into unpacked";

/// Inspect, verify, compare and unpack bundles
///
/// br treats bundles as untrusted: it refuses harmful content, and it follows and runs nothing from them. `br export` writes
/// bundles, and `br import` imports them.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(crate) struct BundleCommand {
    #[command(subcommand)]
    verb: Verb,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Verb {
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
    Diff(diff::DiffArgs),
    Extract(extract::ExtractArgs),
}

pub(crate) async fn run(args: BundleCommand, context: &CommandContext) -> CommandResult {
    context.refuse_repository_options("a bundle is a file")?;
    match args.verb {
        Verb::Inspect(args) => inspect::run(args, context).await,
        Verb::Verify(args) => verify::run(args, context).await,
        Verb::Diff(args) => diff::run(args, context).await,
        Verb::Extract(args) => extract::run(args, context).await,
    }
}
