//! The commands: one file each, with its arguments and its `run`.
//!
//! Invariant: a command reads its arguments, calls the engine, and prints the result; the engine does everything else.

mod backup;
mod bootstrap;
mod bootstrap_steps;
mod bundle;
mod check;
mod check_spot;
mod check_verdict;
mod completions;
mod config;
mod copy;
mod copy_new;
mod copy_to;
mod delete;
mod diff;
mod doctor;
mod doctor_machine;
mod doctor_programs;
mod doctor_repository;
mod doctor_schedule;
mod doctor_sources;
mod dump;
mod export;
mod export_head;
mod files_from;
mod find;
mod forget;
mod hooks;
mod import;
mod init;
mod init_config;
mod key;
mod label;
mod link;
mod list;
mod lock;
mod ls;
mod ls_order;
mod man;
mod matrixone;
mod memory;
mod new_password;
mod paths;
mod programs;
mod prune;
mod rabbitmq_login;
mod redis_login;
mod reference;
mod restore;
mod restore_base;
mod restore_check;
mod restore_plan;
mod restore_print;
mod restore_steps;
mod restore_to_command;
mod restore_to_postgres;
mod restore_to_rabbitmq;
mod restore_to_redis;
mod restore_verify;
mod rewrite;
mod run;
mod servers;
mod show;
mod source_repository;
mod sources;
mod stats;
mod storage;
mod stream;
mod undelete;
mod which;

use clap::Subcommand;

use crate::compat::mo_br;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::hint::Kept;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Backup(Box<backup::BackupArgs>),
    Run(run::RunArgs),
    Doctor(Box<doctor::DoctorArgs>),
    Bootstrap(bootstrap::BootstrapArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Ls(ls::LsArgs),
    Find(find::FindArgs),
    Diff(diff::DiffArgs),
    Dump(dump::DumpArgs),
    Restore(restore::RestoreArgs),
    Check(check::CheckArgs),
    Stats(stats::StatsArgs),
    Copy(Box<copy::CopyArgs>),
    Rewrite(rewrite::RewriteArgs),
    Delete(delete::DeleteArgs),
    Undelete(undelete::UndeleteArgs),
    Forget(Box<forget::ForgetArgs>),
    Prune(prune::PruneArgs),
    Pin(label::PinArgs),
    Unpin(label::UnpinArgs),
    Tag(label::TagCommand),
    Annotate(label::AnnotateArgs),
    Key(key::KeyCommand),
    Lock(lock::LockCommand),
    Export(Box<export::ExportArgs>),
    ExportHead(export_head::ExportHeadArgs),
    Import(Box<import::ImportArgs>),
    Bundle(bundle::BundleCommand),
    Matrixone(matrixone::MatrixOneCommand),
    #[command(name = "mo-br")]
    MoBr(mo_br::MoBrArgs),
    Link(link::LinkArgs),
    Storage(storage::StorageCommand),
    Config(config::ConfigCommand),
    InitConfig(init_config::InitConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    /// Print the reference of all commands as Markdown
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// True for commands that need what the configuration files say.
    pub(crate) const fn uses_config(&self) -> bool {
        !matches!(
            self,
            Self::Config(_)
                | Self::InitConfig(_)
                | Self::MoBr(_)
                | Self::Link(_)
                | Self::Completions(_)
                | Self::Man(_)
                | Self::Reference
        )
    }

    /// True for commands that work with several repositories of `--repo`.
    pub(crate) const fn takes_repositories(&self) -> bool {
        matches!(self, Self::Backup(_))
    }

    /// What the command keeps when it is interrupted.
    pub(crate) const fn kept(&self) -> Kept {
        match self {
            Self::Backup(_)
            | Self::Run(_)
            | Self::Copy(_)
            | Self::Rewrite(_)
            | Self::Import(_)
            | Self::Matrixone(_) => Kept::Stored,
            Self::Restore(_) => Kept::Restored,
            Self::Delete(_) | Self::Forget(_) | Self::Prune(_) => Kept::Removed,
            _ => Kept::Nothing,
        }
    }
}

/// Runs a command.
pub(crate) async fn run(command: Command, context: &CommandContext) -> CommandResult {
    match command {
        Command::Init(args) => init::run(&args, context).await,
        Command::Backup(args) => backup::run(*args, context).await,
        Command::Bootstrap(args) => bootstrap::run(&args, context).await,
        Command::Run(args) => run::run(&args, context).await,
        Command::Doctor(args) => doctor::run(&args, context).await,
        Command::List(args) => list::run(&args, context).await,
        Command::Show(args) => show::run(&args, context).await,
        Command::Ls(args) => ls::run(&args, context).await,
        Command::Find(args) => find::run(&args, context).await,
        Command::Diff(args) => diff::run(&args, context).await,
        Command::Dump(args) => dump::run(&args, context).await,
        Command::Restore(args) => restore::run(&args, context).await,
        Command::Check(args) => check::run(args, context).await,
        Command::Stats(args) => stats::run(&args, context).await,
        Command::Copy(args) => copy::run(&args, context).await,
        Command::Rewrite(args) => rewrite::run(args, context).await,
        Command::Delete(args) => delete::run(args, context).await,
        Command::Undelete(args) => undelete::run(&args, context).await,
        Command::Forget(args) => forget::run(&args, context).await,
        Command::Prune(args) => prune::run(&args, context).await,
        Command::Pin(args) => label::pin(&args, context).await,
        Command::Unpin(args) => label::unpin(&args, context).await,
        Command::Tag(args) => label::tag(args, context).await,
        Command::Annotate(args) => label::annotate(args, context).await,
        Command::Key(args) => key::run(args, context).await,
        Command::Lock(args) => lock::run(&args, context).await,
        Command::Export(args) => export::run(*args, context).await,
        Command::ExportHead(args) => export_head::run(&args, context).await,
        Command::Import(args) => import::run(&args, context).await,
        Command::Bundle(args) => bundle::run(args, context).await,
        Command::Matrixone(args) => matrixone::run(args, context).await,
        // Ordinary command lines of mo_br never get here: they are translated before clap parses them. Only options of br before `mo-br`,
        // such as `br --repo x mo-br list`, do.
        Command::MoBr(args) => Err(mo_br::refuse_options_before(&args)),
        Command::Link(args) => link::run(&args, context),
        Command::Storage(args) => storage::run(&args, context).await,
        Command::Config(args) => config::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::InitConfig(args) => init_config::run(&args, context),
        Command::Man(args) => man::run(&args, context),
        Command::Reference => reference::run(context),
    }
}
