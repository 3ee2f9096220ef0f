//! `br forget`: deletes the backups that a policy does not keep.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use br_core::engine::forget::{self, ForgetOptions, ForgetPlan};
use br_core::engine::prune::{self, PruneOptions};
use br_core::jiff::tz::TimeZone;
use br_core::model::BackupId;
use br_core::model::retention::{
    GroupBy, KeepCount, KeepReason, KeepSpan, Period, RetentionPolicy, RetentionRule,
};
use br_core::{BackupSelector, Repository};
use clap::{Args, ValueEnum};

use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::Summary;
use crate::output::retention::{self, ForgetJson};
use crate::output::{Console, format};
use crate::values::BadValue;

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Partial, ExitStatus::Conflict];

const EXAMPLES: &str = "\
  br forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  br forget --preset 30d --prune
  br forget --keep-last 3 --keep-within 2m --host web1 --min 5";

/// Delete the backups that a policy does not keep
///
/// A backup stays if any rule keeps it. br applies the rules to each group of backups separately: those of one host, of the same
/// paths and of the same kind of source. br never deletes the newest backup of a group, its newest complete one, its newest one that
/// `br check --read-data` has verified, and pinned backups. Incomplete backups do not count.
///
/// If the newest backup of a group has no data, or less than half of the usual bytes or files, br deletes nothing in this group and
/// ends with exit code 3. If the repository has damaged data, br deletes nothing at all and ends with exit code 3, because backups
/// that would stay may need that data. --force deletes in both cases.
///
/// On a terminal, br shows what it will delete and asks for confirmation; --yes skips that. `br undelete` brings backups back
/// until a prune removes their data.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct ForgetArgs {
    /// Show what br would delete, and why the other backups stay
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,

    /// Free the space as well, as `br prune` does
    #[arg(long)]
    prune: bool,

    /// With --prune: keep the data of backups that were deleted within this time, so that `br undelete` brings them back
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = format::parse_age)]
    keep_deleted: Duration,

    /// Delete even if the newest backup of a group looks wrong, or if the repository has damaged data
    #[arg(long)]
    force: bool,

    /// What the backups of a group have in common: `host`, `paths`, `origin`, `tags`, or `none`
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "host,paths,origin"
    )]
    group_by: Vec<GroupPart>,

    /// Time zone of hours, days, weeks, months and years, such as `Europe/Berlin` [default: the local one]
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    time_zone: Option<TimeZone>,

    #[command(flatten)]
    rules: RuleArgs,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Rules")]
struct RuleArgs {
    /// Keep the newest N backups (a number or `all`)
    #[arg(long, value_name = "N", value_parser = count)]
    keep_last: Option<KeepCount>,

    /// Keep the newest backup of each of the last N hours that have a backup
    #[arg(long, value_name = "N", value_parser = count)]
    keep_hourly: Option<KeepCount>,

    /// Keep the newest backup of each of the last N days that have a backup
    #[arg(long, value_name = "N", value_parser = count)]
    keep_daily: Option<KeepCount>,

    /// Keep the newest backup of each of the last N weeks that have a backup
    #[arg(long, value_name = "N", value_parser = count)]
    keep_weekly: Option<KeepCount>,

    /// Keep the newest backup of each of the last N months that have a backup
    #[arg(long, value_name = "N", value_parser = count)]
    keep_monthly: Option<KeepCount>,

    /// Keep the newest backup of each of the last N years that have a backup
    #[arg(long, value_name = "N", value_parser = count)]
    keep_yearly: Option<KeepCount>,

    /// Keep all backups of this time before the newest complete one, such as `7d` or `1y6m` (y, m months, w, d, h)
    #[arg(long, value_name = "TIME", value_parser = span)]
    keep_within: Option<KeepSpan>,

    /// Keep one backup an hour of this time before the newest complete one
    #[arg(long, value_name = "TIME", value_parser = span)]
    keep_within_hourly: Option<KeepSpan>,

    /// Keep one backup a day of this time before the newest complete one
    #[arg(long, value_name = "TIME", value_parser = span)]
    keep_within_daily: Option<KeepSpan>,

    /// Keep one backup a week of this time before the newest complete one
    #[arg(long, value_name = "TIME", value_parser = span)]
    keep_within_weekly: Option<KeepSpan>,

    /// Keep one backup a month of this time before the newest complete one
    #[arg(long, value_name = "TIME", value_parser = span)]
    keep_within_monthly: Option<KeepSpan>,

    /// Keep one backup a year of this time before the newest complete one
    #[arg(long, value_name = "TIME", value_parser = span)]
    keep_within_yearly: Option<KeepSpan>,

    /// Keep all backups with this tag; `a,b`: with both (can be repeated)
    #[arg(long, value_name = "TAG", value_parser = tags)]
    keep_tag: Vec<String>,

    /// Keep this backup (can be repeated)
    #[arg(long, value_name = "ID")]
    keep_id: Vec<BackupSelector>,

    /// Keep at least N complete backups of each group
    #[arg(long, value_name = "N", default_value_t = 0)]
    min: u32,

    /// A common policy
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
}

/// A common policy.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// All backups of 7 days
    #[value(name = "7d")]
    Days7,
    /// All backups of 14 days
    #[value(name = "14d")]
    Days14,
    /// All backups of 30 days
    #[value(name = "30d")]
    Days30,
    /// 7 daily, 4 weekly and 12 monthly backups
    Gfs,
}

/// A property that the backups of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GroupPart {
    Host,
    Paths,
    Origin,
    Tags,
    None,
}

impl RuleArgs {
    fn rules(&self, ids: Vec<BackupId>) -> Vec<RetentionRule> {
        let mut rules = self.preset.map_or_else(Vec::new, Preset::rules);
        rules.extend(self.keep_last.map(RetentionRule::Last));
        let counts = [
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        let every = Period::ALL.into_iter().zip(counts);
        rules.extend(every.filter_map(|(period, n)| Some(RetentionRule::Every(period, n?))));
        rules.extend(self.keep_within.map(RetentionRule::Within));
        let spans = [
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ];
        let within = Period::ALL.into_iter().zip(spans);
        rules.extend(
            within.filter_map(|(period, span)| Some(RetentionRule::EveryWithin(period, span?))),
        );
        let tags = self
            .keep_tag
            .iter()
            .map(|tags| RetentionRule::Tags(tags.split(',').map(str::to_owned).collect()));
        rules.extend(tags);
        rules.extend(ids.into_iter().map(RetentionRule::Id));
        rules
    }
}

impl Preset {
    fn rules(self) -> Vec<RetentionRule> {
        let within = |days| vec![RetentionRule::Within(KeepSpan::days(days))];
        let every = |(period, number)| RetentionRule::Every(period, KeepCount::Number(number));
        match self {
            Self::Days7 => within(7),
            Self::Days14 => within(14),
            Self::Days30 => within(30),
            Self::Gfs => [(Period::Day, 7), (Period::Week, 4), (Period::Month, 12)]
                .map(every)
                .into(),
        }
    }
}

fn count(text: &str) -> Result<KeepCount, BadValue> {
    let wrong = |message: &str| {
        BadValue::new(
            format!("`{text}` is {message}"),
            "for example, write 7 or all",
        )
    };
    KeepCount::from_str(text).map_err(wrong)
}

fn span(text: &str) -> Result<KeepSpan, BadValue> {
    let hint = "for example, write 7d or 1y6m: y years, m months, w weeks, d days, h hours";
    text.parse::<KeepSpan>()
        .map_err(|error| BadValue::new(error.to_string(), hint))
}

fn tags(text: &str) -> Result<String, BadValue> {
    if text.split(',').any(|tag| tag.trim().is_empty()) {
        let hint = "for example, write --keep-tag release, or --keep-tag a,b";
        return Err(BadValue::new("a tag must not be empty", hint));
    }
    Ok(text.split(',').map(str::trim).collect::<Vec<_>>().join(","))
}

fn time_zone(text: &str) -> Result<TimeZone, BadValue> {
    let hint = "for example, write Europe/Berlin or UTC";
    TimeZone::get(text).map_err(|_| BadValue::new(format!("there is no time zone `{text}`"), hint))
}

impl ForgetArgs {
    /// Refuses options that no repository can make right.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        self.group_by()?;
        let mut policy = RetentionPolicy::new(TimeZone::UTC);
        policy.rules = self.rules.rules(Vec::new());
        if policy.is_empty() && self.rules.keep_id.is_empty() {
            let message = "no rule says what to keep";
            let hint = "for example, write --keep-daily 7 --keep-weekly 4, or --preset 30d";
            return Err(CommandError::usage(message, hint));
        }
        Ok(())
    }

    fn group_by(&self) -> Result<GroupBy, CommandError> {
        let has = |part| self.group_by.contains(&part);
        if has(GroupPart::None) && self.group_by.len() > 1 {
            let hint = "write `none` alone";
            return Err(CommandError::usage(
                "--group-by none excludes the others",
                hint,
            ));
        }
        Ok(GroupBy::NOTHING
            .with_host(has(GroupPart::Host))
            .with_paths(has(GroupPart::Paths))
            .with_origin(has(GroupPart::Origin))
            .with_tags(has(GroupPart::Tags)))
    }

    /// Refuses to delete by tags that no backup has; with other rules, only warns.
    fn check_tags(&self, plan: &ForgetPlan, context: &CommandContext) -> Result<(), CommandError> {
        let rules = self.rules.rules(Vec::new());
        let only_tags = rules
            .iter()
            .all(|rule| matches!(rule, RetentionRule::Tags(_)));
        for tags in &self.rules.keep_tag {
            let mut wanted = tags.split(',');
            let has = |tag: &str| {
                let mut all = plan.retention.decisions();
                all.any(|one| one.backup.tags.iter().any(|other| other == tag))
            };
            let Some(unknown) = wanted.find(|tag| !has(tag)) else {
                continue;
            };
            let message = format!("no backup has the tag `{unknown}` of --keep-tag");
            if only_tags && self.rules.keep_id.is_empty() {
                let hint = "`br list` shows the tags; nothing was deleted";
                return Err(CommandError::usage(message, hint));
            }
            context.output.console.warning(&message);
        }
        Ok(())
    }

    async fn options(
        &self,
        repository: &Repository,
        group_by: GroupBy,
        context: &CommandContext,
    ) -> Result<ForgetOptions, CommandError> {
        let mut ids = Vec::new();
        for id in &self.rules.keep_id {
            ids.push(repository.find(id, &context.engine()).await?.id);
        }
        let zone = self.time_zone.clone().unwrap_or_else(TimeZone::system);
        let mut policy = RetentionPolicy::new(zone)
            .with_minimum(self.rules.min)
            .with_group_by(group_by)
            .with_ignore_anomalies(self.force);
        policy.rules = self.rules.rules(ids);
        Ok(ForgetOptions::new(policy).with_filter(self.filter.filter()))
    }
}

pub(crate) async fn run(args: &ForgetArgs, context: &CommandContext) -> CommandResult {
    args.check()?;
    let group_by = args.group_by()?;
    let repository = context.open().await?;
    if args.prune && repository.is_write_only() {
        let message = "--prune needs the content of files, and the key that opened the repository only writes: nothing was deleted";
        let hint = "leave --prune out (`prune` in a set), and run it with another key: `br key list` shows the keys and what they can do";
        return Err(CommandError::new(ExitStatus::AccessDenied, message, hint));
    }
    let options = args.options(&repository, group_by, context).await?;
    let plan = forget::plan(&repository, &options, &context.engine()).await?;
    let output = &context.output;
    let planned = plan.retention.removed().count();
    let asks = planned > 0 && !args.yes && !args.dry_run && Console::can_confirm();
    if !output.is_json() && (asks || !output.console.quiet) {
        retention::print(&plan.retention, args.dry_run, output)?;
    }
    let status = warn_of_anomalies(&plan, context);
    args.check_tags(&plan, context)?;
    if asks {
        let many = format::counted(planned as u64, "backup", "backups");
        if !context.confirm(format!("Delete {many}?")).await? {
            output.console.note("nothing was deleted");
            return Ok(ExitStatus::Ok);
        }
    }
    let mut deleted = Vec::new();
    if !args.dry_run && planned > 0 {
        // With a reporter, because the engine may have a warning.
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let done = forget::forget(&repository, &plan, &engine).await;
        drop(guard);
        deleted = done?;
    }
    // After a warning, data that `br undelete` may need stays.
    let freed = if args.prune && !args.dry_run && status == ExitStatus::Ok {
        Some(prune(&repository, args.keep_deleted, context).await?)
    } else {
        None
    };
    if output.is_json() {
        output.document(&Summary::new(ForgetJson::new(
            &plan.retention,
            args.dry_run,
            &deleted,
            freed,
        )))?;
    } else {
        note(args, &plan, deleted.len(), freed, status, context);
    }
    Ok(status)
}

fn warn_of_anomalies(plan: &ForgetPlan, context: &CommandContext) -> ExitStatus {
    let mut status = ExitStatus::Ok;
    for group in &plan.retention.groups {
        if let Some(anomaly) = &group.anomaly {
            let group_newest = group.decisions.last();
            let group = retention::group_name(&group.key);
            let what = retention::anomaly_text(anomaly);
            let newest = group_newest.map_or_else(String::new, |one| format!(" {}", one.backup.id));
            context.output.console.warning(&format!(
                "br deletes nothing in {group}: its newest backup{newest} has {what}"
            ));
            status = ExitStatus::Partial;
        }
    }
    if plan.is_held_by_damage {
        let console = &context.output.console;
        console.warning("br deletes nothing: the repository has damaged data, and backups that would stay may need it");
        console.hint("run `br check --read-data`, repair the repository, and run the command again; `br forget --force` deletes anyway");
        return ExitStatus::Partial;
    }
    if status == ExitStatus::Partial {
        let again = context.force_advice();
        let hint = format!("look at the newest backup; if it is right, {again}");
        context.output.console.hint(&hint);
    }
    status
}

async fn prune(
    repository: &Repository,
    keep_deleted: Duration,
    context: &CommandContext,
) -> Result<u64, CommandError> {
    let options = PruneOptions::default().with_keep_deleted(keep_deleted);
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let plan = prune::plan(repository, &options, &engine).await?;
    let report = prune::prune(repository, &plan, &engine).await?;
    drop(guard);
    Ok(report.bytes_deleted.saturating_sub(report.bytes_written))
}

fn note(
    args: &ForgetArgs,
    plan: &ForgetPlan,
    deleted: usize,
    freed: Option<u64>,
    status: ExitStatus,
    context: &CommandContext,
) {
    let plan_is_empty = plan.retention.groups.is_empty();
    let planned = plan.retention.removed().count();
    let mut decisions = plan.retention.decisions();
    let has_damaged = decisions.any(|one| one.reasons == [KeepReason::Damage]);
    let console = &context.output.console;
    if args.dry_run && !plan_is_empty {
        return;
    }
    let many = format::counted(deleted as u64, "backup", "backups");
    if plan_is_empty {
        console.warning("no backup matches the filter options");
        return;
    }
    match freed {
        Some(freed) => console.note(&format!("{many} deleted, {} freed", format::size(freed))),
        // The warning above says why.
        None if deleted == 0 && status != ExitStatus::Ok => {}
        None if deleted == 0 => console.note(if has_damaged {
            "no backup was deleted; damaged ones stay until `br delete` or `br forget --force` deletes them"
        } else {
            "the policy keeps every backup"
        }),
        None => console.note(&format!(
            "{many} deleted; `br prune` frees the space; until then, `br undelete` brings backups back"
        )),
    }
    if deleted < planned {
        let kept = format::counted((planned - deleted) as u64, "backup", "backups");
        console.note(&format!(
            "{kept} stayed, because the repository changed meanwhile"
        ));
    }
}
