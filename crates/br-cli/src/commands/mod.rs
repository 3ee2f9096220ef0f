//! The commands: one file each, with its arguments and its `run`.
//!
//! Invariant: a command reads its arguments, calls the engine, and prints the result; the engine does everything else.

pub(crate) mod backup;
pub(crate) mod bundle;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod label;
pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod matrixone;
mod paths;
pub(crate) mod prune;
mod reference;
pub(crate) mod restore;
pub(crate) mod show;
mod sources;
pub(crate) mod stats;
pub(crate) mod storage;
pub(crate) mod undelete;
mod which;

use crate::cli::Command;
use crate::compat::mo_br;
use crate::context::CommandContext;
use crate::error::CommandResult;

/// Runs a command.
pub(crate) async fn run(command: Command, context: &CommandContext) -> CommandResult {
    match command {
        Command::Init(args) => init::run(&args, context).await,
        Command::Backup(args) => backup::run(*args, context).await,
        Command::List(args) => list::run(&args, context).await,
        Command::Show(args) => show::run(&args, context).await,
        Command::Ls(args) => ls::run(&args, context).await,
        Command::Diff(args) => diff::run(&args, context).await,
        Command::Dump(args) => dump::run(&args, context).await,
        Command::Restore(args) => restore::run(&args, context).await,
        Command::Check(args) => check::run(args, context).await,
        Command::Stats(args) => stats::run(&args, context).await,
        Command::Delete(args) => delete::run(args, context).await,
        Command::Undelete(args) => undelete::run(&args, context).await,
        Command::Forget(args) => forget::run(&args, context).await,
        Command::Prune(args) => prune::run(&args, context).await,
        Command::Pin(args) => label::pin(&args, context).await,
        Command::Unpin(args) => label::unpin(&args, context).await,
        Command::Tag(args) => label::tag(args, context).await,
        Command::Annotate(args) => label::annotate(args, context).await,
        Command::Export(args) => export::run(*args, context).await,
        Command::Import(args) => import::run(&args, context).await,
        Command::Bundle(args) => bundle::run(args, context).await,
        Command::Matrixone(args) => matrixone::run(args, context).await,
        // Ordinary command lines of mo_br never get here: they are translated before clap parses them. Only options of br before `mo-br`,
        // such as `br --repo x mo-br list`, do.
        Command::MoBr(args) => Err(mo_br::refuse_options_before(&args)),
        Command::Link(args) => link::run(&args, context),
        Command::Storage(args) => storage::run(&args, context).await,
        Command::Completions(args) => completions::run(&args, context),
        Command::Man(args) => man::run(&args, context),
        Command::Reference => reference::run(context),
    }
}
