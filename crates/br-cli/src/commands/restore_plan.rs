//! `br restore --plan` and `--execute`: restores a whole set, part by part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use br_core::BackupSelector;
use br_core::model::{Backup, Configuration};
use clap::Args;
use serde::Serialize;

use super::hooks::HookRun;
use super::restore_check::{Moment, look_at_servers};
use super::restore_steps::{Action, Plan, Step, StepKind};
use super::restore_to_command::OF_FOLDERS;
use super::run::run_line;
use super::sources::host_name;
use super::which::FilterArgs;
use crate::config::{BackupSet, Config, texts_of};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::json::Summary;
use crate::output::{Console, Output, format};

/// A restore of a whole set.
#[derive(Debug, Args)]
#[command(next_help_heading = "Restore a whole set")]
pub(super) struct PlanArgs {
    /// Show the steps that restore a backup of `br run`: its databases, caches, brokers and files, and the commands of the set
    ///
    /// br changes nothing. Each step is a command line that you can type.
    #[arg(
        long,
        conflicts_with_all = OF_FOLDERS,
        conflicts_with_all = ["to_command", "to_postgres", "to_redis", "to_rabbitmq", "paths", "execute"]
    )]
    pub(super) plan: bool,

    /// Take the steps that --plan shows: stop the application, restore each part, start it, and verify
    ///
    /// The set must be in the configuration of this machine: `br bootstrap` brings it to a new one. First br reads and verifies all that it will restore. Then it replaces the databases, keys and files that exist. If a step
    /// fails, br stops and shows the steps that are left.
    #[arg(
        long,
        conflicts_with_all = OF_FOLDERS,
        conflicts_with_all = ["to_command", "to_postgres", "to_redis", "to_rabbitmq", "paths"]
    )]
    pub(super) execute: bool,

    /// Only this part with --plan or --execute: mysql, postgres, redis, rabbitmq, files, the name of a stream, or one dump such as mysql/dump.sql (can be repeated)
    #[arg(long, value_name = "PART")]
    only: Vec<String>,

    /// Do not ask for confirmation of --execute
    #[arg(long, requires = "execute")]
    yes: bool,
}

#[derive(Serialize)]
struct PlanSummary {
    backup: String,
    set: String,
    steps: Vec<StepJson>,
    executed: bool,
}

#[derive(Serialize)]
struct StepJson {
    kind: StepKind,
    part: String,
    command: String,
    /// `ok`, `failed` or `left`; `None` for a plan.
    outcome: Option<&'static str>,
    /// What a command of the set printed.
    output: Option<String>,
}

/// What became of a step, `ok` or `failed`, and what it printed.
type Taken = (&'static str, Option<String>);

impl PlanArgs {
    /// True if these options select this kind of restore.
    pub(super) const fn is_chosen(&self) -> bool {
        self.plan || self.execute
    }

    /// Refuses options that would have no effect.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        if !self.is_chosen() && !self.only.is_empty() {
            let hint = "add --plan or --execute, or name the paths to restore";
            let message = "--only has no effect without --plan or --execute";
            return Err(CommandError::usage(message, hint));
        }
        Ok(())
    }

    pub(super) async fn run(
        &self,
        id: &BackupSelector,
        filter: &FilterArgs,
        context: &CommandContext,
    ) -> CommandResult {
        let repository = context.open().await?;
        let found = context.find(&repository, id).await?;
        let backup = repository.describe(found.id, &context.engine()).await?;
        drop(repository);
        let Some(configuration) = &backup.configuration else {
            let message = format!("`br run` did not make the backup {}", backup.id);
            let hint = "restore its parts one by one, as `br restore --help` shows; `br ls ID` lists them, and --tag selects the backups of a set";
            return Err(CommandError::usage(message, hint));
        };
        let name = configuration.set.as_str();
        let own = context.config.sets.get(name);
        let kept = kept_sets(configuration, context);
        let Some(set) = own.or_else(|| kept.get(name)) else {
            let message = format!(
                "the backup is of the set `{}`, which no file describes",
                format::text(name)
            );
            return Err(CommandError::usage(
                message,
                "add the set to the configuration",
            ));
        };
        let start = start(set, context);
        let plan = Plan::make(set, &backup, &start, &self.only)?;
        let mut warnings = warnings(&backup, &plan);
        warnings.extend(kept.get(name).and_then(|then| other_databases(then, set)));
        let is_plan_shown = self.plan || !self.yes && !context.output.is_json();
        if is_plan_shown {
            print_plan(name, &backup, &plan, &context.output)?;
        }
        for warning in &warnings {
            context.output.console.warning(warning);
        }
        if self.plan {
            return Ok(ExitStatus::Ok);
        }
        if self.only.is_empty() {
            refuse_incomplete(&backup, &plan)?;
        }
        let is_chosen = id.is_id() || filter.host_and_other().0.is_some();
        if backup.host != host_name() && !is_chosen {
            let host = format::text(&backup.host);
            let message = format!(
                "{} is a backup of the host {host}, not of this one",
                backup.id
            );
            let hint = format!(
                "add `--host {host}` if you want that one, or --host with the name of this machine"
            );
            return Err(CommandError::usage(message, hint));
        }
        if own.is_none() {
            let message = format!(
                "the set `{}` is not in the configuration of this machine",
                format::text(name)
            );
            let hint = "`br bootstrap` writes the configuration that the backup keeps; look at it before you run the commands in it";
            return Err(CommandError::usage(message, hint));
        }
        refuse_impossible(&plan)?;
        if !self.yes {
            if !Console::can_confirm() {
                let message = "--execute replaces what is there, and needs a confirmation";
                return Err(CommandError::usage(message, "add --yes"));
            }
            let question = "Take these steps, and replace what is there?".to_owned();
            if !context.confirm(question).await? {
                return Ok(ExitStatus::Ok);
            }
        }
        look_at_servers(name, &plan, Moment::First, context).await?;
        execute(name, set, &backup, &plan, context).await
    }
}

/// Refuses a plan after which the application would start without one of its parts.
fn refuse_incomplete(backup: &Backup, plan: &Plan) -> Result<(), CommandError> {
    if let Some(gap) = gap(backup, plan) {
        let hint = "`latest --complete` is the newest backup that lacks nothing; or name the parts to restore with --only";
        return Err(CommandError::usage(gap, hint));
    }
    let Some(line) = &plan.by_hand else {
        return Ok(());
    };
    let message = format!(
        "no step restores postgres-base, and the application would start without it: restore it first, with {line}"
    );
    let hint = "then run this command with the other parts: --only with their names";
    Err(CommandError::usage(message, hint))
}

/// Refuses steps that cannot succeed, before the first of them.
fn refuse_impossible(plan: &Plan) -> Result<(), CommandError> {
    let mut steps = plan.steps.iter();
    if let Some(step) = steps.find(|step| matches!(step.action, Action::Unknown(_))) {
        let part = format::text(&step.part);
        let message = format!("the set does not say which program takes {part}");
        let hint = format!("add `restore-stream = [\"{part}=PROGRAM\"]` to the set, or use --only");
        return Err(CommandError::usage(message, hint));
    }
    if let Some(program) = plan.missing_program() {
        let message = format!("{} is not installed on this machine", format::text(program));
        let hint = "install it, or correct PATH; br has changed nothing";
        return Err(CommandError::usage(message, hint));
    }
    Ok(())
}

/// Warns if a dump has other databases than the set names now: it is restored as a whole.
fn other_databases(then: &BackupSet, now: &BackupSet) -> Option<String> {
    const KEY: &str = "mysql";
    let [before, after] = [then, now].map(|set| texts_of(&set.settings, KEY));
    let is_same = before.iter().all(|name| after.contains(name)) && before.len() == after.len();
    (!is_same && !before.is_empty() && !after.is_empty()).then(|| {
        format!(
            "mysql/dump.sql has the databases that the set named when the backup was made: {}; the restore replaces the tables of all of them",
            format::text(&before.join(", "))
        )
    })
}

/// What the steps do not restore.
fn warnings(backup: &Backup, plan: &Plan) -> Vec<String> {
    let left_out = plan.left_out.iter().map(|path| {
        format!(
            "no step restores {}: the set does not name it",
            format::text(path)
        )
    });
    let by_hand = plan.by_hand.iter().map(|line| {
        format!(
            "no step restores postgres-base: restore it by hand into an empty folder DIR, as docs/databases.md explains: {line}"
        )
    });
    let gap = gap(backup, plan).into_iter();
    gap.chain(left_out).chain(by_hand).collect()
}

/// What the backup lacks, if it lacks something.
fn gap(backup: &Backup, plan: &Plan) -> Option<String> {
    if !plan.missing.is_empty() {
        let parts = plan.missing.join(", ");
        return Some(format!("the backup does not have {}", format::text(&parts)));
    }
    (!backup.is_complete()).then(|| {
        let entries = format::counted(backup.unread_count, "entry", "entries");
        format!("the backup is incomplete: {entries} could not be read; `br show` lists them")
    })
}

/// The sets that the backup keeps.
fn kept_sets(
    configuration: &Configuration,
    context: &CommandContext,
) -> BTreeMap<String, BackupSet> {
    let files = configuration.files.iter();
    let texts = files.map(|file| (file.path.clone().into(), file.text.clone()));
    Config::from_texts(texts.collect(), (context.grammar)())
        .0
        .sets
}

/// The words before `restore` that select the repository and the configuration of this command.
fn start(set: &BackupSet, context: &CommandContext) -> Vec<String> {
    let options = context.global_options();
    let named = options.repo.as_deref();
    let named = named.or_else(|| context.config.repository_of(set));
    let file = |option: &str, path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        Some(format!("--{option}={}", path.display()))
    };
    let words = [
        file("config", &options.config),
        named.map(|named| format!("--repo={named}")),
        file("password-file", &options.password_file),
    ];
    words.into_iter().flatten().collect()
}

/// The plan as JSON, with what became of the steps that were taken.
fn summary(set: &str, backup: &Backup, plan: &Plan, taken: Option<Vec<Taken>>) -> PlanSummary {
    let executed = taken.is_some();
    let mut taken = taken.into_iter().flatten();
    let steps = plan.steps.iter().map(|step| {
        let (outcome, output) = match taken.next() {
            Some((outcome, output)) => (Some(outcome), output),
            None => (executed.then_some("left"), None),
        };
        StepJson {
            kind: step.kind,
            part: step.part.clone(),
            command: step.line(),
            outcome,
            output,
        }
    });
    PlanSummary {
        backup: backup.id.to_string(),
        set: set.to_owned(),
        steps: steps.collect(),
        executed,
    }
}

fn row(number: usize, step: &Step) -> String {
    format!(
        "{number:>3}  {:<10} {}",
        format::text(&step.part),
        step.line()
    )
}

fn print_plan(
    set: &str,
    backup: &Backup,
    plan: &Plan,
    output: &Output,
) -> Result<(), CommandError> {
    if output.is_json() {
        return output.document(&Summary::new(summary(set, backup, plan, None)));
    }
    output.fields(&[
        ("backup", backup.id.to_string()),
        ("set", format::text(set)),
        ("host", format::text(&backup.host)),
        ("complete", format::local_time(backup.finished)),
    ])?;
    let mut lines = output.lines();
    for (at, step) in plan.steps.iter().enumerate() {
        lines.line(&row(at + 1, step))?;
    }
    lines.finish()
}

/// Takes the steps in turn. Stops at the first that fails, except for checks.
async fn execute(
    name: &str,
    set: &BackupSet,
    backup: &Backup,
    plan: &Plan,
    context: &CommandContext,
) -> CommandResult {
    let hook = HookRun {
        set: name,
        status: None,
        time_limit: set.hooks.time_limit,
    };
    let console = &context.output.console;
    let mut outcomes: Vec<Taken> = Vec::new();
    let mut status = ExitStatus::Ok;
    let mut kinds = plan.steps.iter().map(|step| step.kind);
    let first_restore = kinds.position(|kind| kind == StepKind::Restore);
    for (at, step) in plan.steps.iter().enumerate() {
        console.note(&row(at + 1, step));
        let looked = if Some(at) == first_restore {
            look_at_servers(name, plan, Moment::Stopped, context).await
        } else {
            Ok(())
        };
        let done = match looked {
            Ok(()) => take(step, &hook, context).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done
            && error.status == ExitStatus::Interrupted
        {
            left(plan, at, context);
            return Err(CommandError::interrupted());
        }
        match done {
            Ok(printed) => outcomes.push(("ok", printed)),
            Err(error) => {
                status = error.status;
                if !error.message.is_empty() {
                    console.error(&error);
                }
                outcomes.push(("failed", None));
                match step.kind {
                    StepKind::Verify => {}
                    StepKind::Intact => {
                        let hint = "nothing was replaced; restore an earlier backup, which `br list` shows, or an intact part with --only";
                        console.hint(hint);
                        break;
                    }
                    _ => {
                        left(plan, at, context);
                        break;
                    }
                }
            }
        }
    }
    if context.output.is_json() {
        let summary = summary(name, backup, plan, Some(outcomes));
        context.output.document(&Summary::new(summary))?;
        return Ok(status);
    }
    let failed = outcomes
        .iter()
        .filter(|(outcome, _)| *outcome == "failed")
        .count();
    let steps = format::counted(outcomes.len() as u64, "step", "steps");
    let verified = plan
        .steps
        .iter()
        .take(outcomes.len())
        .filter(|step| step.kind == StepKind::Verify);
    context.output.summary(&[
        ("backup", backup.id.to_string()),
        ("set", format::text(name)),
        ("taken", format!("{steps}, {failed} failed")),
        (
            "checks",
            format::counted(verified.count() as u64, "check", "checks"),
        ),
    ])?;
    Ok(status)
}

/// Takes a step. The error of a command line of br was shown already: it has no message.
async fn take(
    step: &Step,
    hook: &HookRun<'_>,
    context: &CommandContext,
) -> Result<Option<String>, CommandError> {
    match &step.action {
        Action::Hook(command) => hook.run(command, &context.cancel, context).await.map(Some),
        Action::Br(words) | Action::Unknown(words) => {
            match run_line(hook.set, words, context).await? {
                ExitStatus::Ok => Ok(None),
                status => Err(CommandError::new(status, "", "")),
            }
        }
    }
}

/// Shows the steps after a failed one.
fn left(plan: &Plan, failed: usize, context: &CommandContext) {
    let console = &context.output.console;
    console.hint("correct the problem, and run the command again, which restores everything anew; or take this step and the others yourself:");
    for (at, step) in plan.steps.iter().enumerate().skip(failed) {
        console.hint(&row(at + 1, step));
    }
}
