//! `br tag`, `br annotate`, `br pin`, `br unpin`: change what the backup list says about a backup.

use std::str::FromStr;

use br_core::BackupSelector;
use br_core::engine::label::{self, LabelChange};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::format;
use crate::output::json::{BackupJson, Summary};
use crate::values::{self, BadValue};

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Conflict];

const TAG_EXAMPLES: &str = "\
  br tag add before-upgrade latest
  br tag remove daily,tmp 8c90d327 4f1d22ab";

const ANNOTATE_EXAMPLES: &str = "\
  br annotate latest 'before the upgrade to 3.0'
  br annotate 8c90d327 ''   # remove the note";

const PIN_EXAMPLES: &str = "\
  br pin latest
  br unpin 8c90d327";

/// Add or remove tags of backups
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(TAG_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct TagCommand {
    #[command(subcommand)]
    change: TagChange,
}

#[derive(Debug, Subcommand)]
enum TagChange {
    /// Add tags
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples(TAG_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
    )]
    Add(TagArgs),
    /// Remove tags
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples(TAG_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
    )]
    Remove(TagArgs),
}

#[derive(Debug, Args)]
struct TagArgs {
    /// Tags, separated by commas
    #[arg(value_name = "TAG")]
    tags: TagList,

    #[command(flatten)]
    which: WhichArgs,
}

/// Tags, separated by commas; at least one.
#[derive(Debug, Clone)]
struct TagList(Vec<String>);

impl FromStr for TagList {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let word = values::word("br tag add daily latest");
        let tags = text.split(',').map(|tag| word(tag.trim()));
        let tags = tags.collect::<Result<Vec<String>, BadValue>>()?;
        Ok(Self(tags))
    }
}

/// Set the note of a backup
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(ANNOTATE_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct AnnotateArgs {
    /// Backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID")]
    id: BackupSelector,

    /// The note; an empty one removes the note
    #[arg(value_name = "TEXT")]
    note: String,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

/// Protect backups from deletion
///
/// `br delete` and `br forget` do not delete a pinned backup.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(PIN_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct PinArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Allow the deletion of pinned backups
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(PIN_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct UnpinArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// The backups to change.
#[derive(Debug, Args)]
struct WhichArgs {
    /// Backups: ids, short ids from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID", required = true)]
    ids: Vec<BackupSelector>,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct LabelSummary {
    backups: Vec<BackupJson>,
}

pub(crate) async fn tag(args: TagCommand, context: &CommandContext) -> CommandResult {
    let change = LabelChange::default();
    match args.change {
        TagChange::Add(args) => {
            apply(&args.which, &change.with_added_tags(args.tags.0), context).await
        }
        TagChange::Remove(args) => {
            apply(&args.which, &change.with_removed_tags(args.tags.0), context).await
        }
    }
}

pub(crate) async fn annotate(args: AnnotateArgs, context: &CommandContext) -> CommandResult {
    let change = LabelChange::default().with_note(args.note);
    let which = WhichArgs {
        ids: vec![args.id],
        filter: args.filter,
    };
    apply(&which, &change, context).await
}

pub(crate) async fn pin(args: &PinArgs, context: &CommandContext) -> CommandResult {
    apply(
        &args.which,
        &LabelChange::default().with_pinned(true),
        context,
    )
    .await
}

pub(crate) async fn unpin(args: &UnpinArgs, context: &CommandContext) -> CommandResult {
    apply(
        &args.which,
        &LabelChange::default().with_pinned(false),
        context,
    )
    .await
}

async fn apply(which: &WhichArgs, change: &LabelChange, context: &CommandContext) -> CommandResult {
    let ids = which.filter.apply_list(&which.ids)?;
    let repository = context.open().await?;
    let backups = label::label(&repository, ids, change, &context.engine()).await?;
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(LabelSummary {
            backups: backups.iter().map(BackupJson::from).collect(),
        }))?;
    } else {
        let many = format::counted(backups.len() as u64, "backup", "backups");
        output.console.note(&format!("{many} changed"));
    }
    Ok(ExitStatus::Ok)
}
