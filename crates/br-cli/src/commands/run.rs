//! `br run`: backs up the sets of the configuration files.
//!
//! A set is a few command lines: `br backup`, and `br forget` for each repository. [`lines_of`] makes them. Invariant: br runs them as if
//! they were typed.

use clap::{Args, FromArgMatches as _};
use tokio_util::sync::CancellationToken;

use super::Command;
use super::backup::BackupArgs;
use super::hooks::HookRun;
use super::restore::RestoreArgs;
use crate::config::{BackupSet, Config, Place, Problem, place_of, words};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::global_options::GlobalOptions;
use crate::help::{examples, exit_codes_and};
use crate::output::{format, usage};

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Partial, ExitStatus::Conflict];

const EXAMPLES: &str = "\
  br run             # all sets
  br run home mail
  br run --dry-run   # only show the command lines";

/// Back up the sets of the configuration files
///
/// br backs up the paths of each set into its repositories, with the name of the set as a tag. Then it applies the policy of the set to the backups with this tag, in each
/// repository; with `prune`, it also frees the space. Commands of the set run before and after the backup. If the backup fails, br does not apply the policy and goes on with the next set. The exit code is that of the first failure, or 3 if
/// nothing failed and something is missing.
/// `br help config` explains the files.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct RunArgs {
    /// Names of sets [default: all]
    #[arg(value_name = "SET")]
    sets: Vec<String>,

    /// Show the command lines, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) async fn run(args: &RunArgs, context: &CommandContext) -> CommandResult {
    if context.names_repository() {
        let message = "--repo has no effect: the sets name their repositories";
        let hint = "leave it out, or use `br backup`";
        return Err(CommandError::usage(message, hint));
    }
    let config = &context.config;
    Problem::refuse(&mistakes(config, context))?;
    let sets = chosen(&args.sets, config)?;
    if args.dry_run {
        let mut lines = context.output.lines();
        for (name, set) in sets {
            for hook in &set.hooks.before {
                lines.line(&format::visible(&hook.text))?;
            }
            for line in lines_of(name, set, config) {
                lines.line(&shown(&line))?;
                let after = set.hooks.after.iter().filter(|_| line.is_backup);
                for hook in after {
                    lines.line(&format::visible(&hook.text))?;
                }
            }
        }
        lines.finish()?;
        return Ok(ExitStatus::Ok);
    }
    let mut worst = Worst(ExitStatus::Ok);
    for (name, set) in sets {
        run_set(name, set, &mut worst, context).await?;
    }
    Ok(worst.0)
}

/// The exit code of several command lines.
struct Worst(ExitStatus);

impl Worst {
    /// Takes the exit code of a command line. A failure says more than a part that is missing.
    fn add(&mut self, status: ExitStatus) {
        let is_worse =
            self.0 == ExitStatus::Ok || self.0 == ExitStatus::Partial && !is_done(status);
        if is_worse {
            self.0 = status;
        }
    }
}

/// True if a backup exists now.
const fn is_done(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::Ok | ExitStatus::Partial)
}

/// Runs the commands and the command lines of a set. Only an interruption is an error.
async fn run_set(
    name: &str,
    set: &BackupSet,
    worst: &mut Worst,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let mut lines = lines_of(name, set, &context.config).into_iter();
    let backup = lines.next();
    let hooks = &set.hooks;
    let hook = HookRun {
        set: name,
        status: None,
        time_limit: hooks.time_limit,
    };
    let before = hook.run_all(&hooks.before, context).await;
    let ended = match (before, &backup) {
        (Ok(()), Some(line)) => run_noted(name, line, context).await,
        (Ok(()), None) => Ok(ExitStatus::Ok),
        (Err(error), _) => failed(name, error, context),
    };
    // Also after an interruption: the application must run again.
    let after = HookRun {
        status: Some(match ended {
            Ok(ExitStatus::Ok) => "ok",
            Ok(ExitStatus::Partial) => "incomplete",
            _ => "failed",
        }),
        ..hook
    };
    for one in &hooks.after {
        after.note(one, context);
        if let Err(error) = after.run(one, &CancellationToken::new(), context).await {
            let status = failed(name, error, context)?;
            worst.add(status);
        }
    }
    let status = ended?;
    if context.cancel.is_cancelled() {
        return Err(CommandError::interrupted());
    }
    worst.add(status);
    if !is_done(status) {
        return Ok(());
    }
    for line in lines {
        let status = run_noted(name, &line, context).await?;
        worst.add(status);
    }
    Ok(())
}

/// Says which command line runs, and runs it.
async fn run_noted(name: &str, line: &Line, context: &CommandContext) -> CommandResult {
    let console = &context.output.console;
    console.note(&format!("set {name}: {}", shown(line)));
    run_line(name, &line.words, context).await
}

/// Shows an error, and returns its exit code; only an interruption is an error of this function.
fn failed(set: &str, error: CommandError, context: &CommandContext) -> CommandResult {
    if error.status == ExitStatus::Interrupted {
        return Err(error);
    }
    let error = error.in_file(&format!("set {set}"));
    context.output.console.error(&error);
    Ok(error.status)
}

/// The sets with these names, or all.
pub(super) fn chosen<'c>(
    names: &[String],
    config: &'c Config,
) -> Result<Vec<(&'c str, &'c BackupSet)>, CommandError> {
    if config.sets.is_empty() {
        let message = "the configuration files have no sets";
        let hint = "add a section such as `[sets.home]`; `br help config` has an example";
        return Err(CommandError::usage(message, hint));
    }
    if names.is_empty() {
        let all = config.sets.iter();
        return Ok(all.map(|(name, set)| (name.as_str(), set)).collect());
    }
    let find = |name: &String| {
        let found = config.sets.get_key_value(name);
        found
            .map(|(name, set)| (name.as_str(), set))
            .ok_or_else(|| {
                let known: Vec<&str> = config.sets.keys().map(String::as_str).collect();
                let message = format!("there is no set `{name}`");
                CommandError::usage(message, format!("the sets are {}", known.join(", ")))
            })
    };
    names.iter().map(find).collect()
}

/// The setting of `[prune]` that also applies to the sets.
const KEEP_DELETED: &str = "keep-deleted";

/// A command line of a set.
struct Line {
    /// The words without the name of the program.
    words: Vec<String>,
    is_backup: bool,
}

/// The command lines of a set.
fn lines_of(name: &str, set: &BackupSet, config: &Config) -> Vec<Line> {
    let own = config.repository_of(set).unwrap_or_default();
    let mut backup = vec![format!("--repo={own}"), "backup".to_owned()];
    // The options of the set replace those of the section `[backup]`.
    let of_backup = config.commands.get("backup").into_iter().flatten();
    let of_backup = of_backup.filter(|one| place_of(&set.settings, &one.key).is_none());
    backup.extend(of_backup.chain(&set.options).flat_map(words));
    backup.push(format!("--tag={name}"));
    backup.extend(set.copy_to.iter().map(|name| format!("--copy-to={name}")));
    backup.push("--".to_owned());
    backup.extend(set.paths.iter().cloned());
    let mut lines = vec![Line {
        words: backup,
        is_backup: true,
    }];
    let Some(policy) = set
        .policy
        .as_ref()
        .and_then(|policy| config.policies.get(policy))
    else {
        return lines;
    };
    for repository in std::iter::once(own).chain(set.copy_to.iter().map(String::as_str)) {
        let mut forget = vec![format!("--repo={repository}"), "forget".to_owned()];
        forget.extend(policy.iter().flat_map(words));
        forget.push(format!("--tag={name}"));
        forget.push("--yes".to_owned());
        if set.prune {
            forget.push("--prune".to_owned());
            // The same data stays as after `br prune`, unless the policy says otherwise.
            let of_prune = config.commands.get("prune").into_iter().flatten();
            let of_prune = of_prune.filter(|one| one.key == KEEP_DELETED);
            let of_prune = of_prune.filter(|one| place_of(policy, &one.key).is_none());
            forget.extend(of_prune.flat_map(words));
        }
        lines.push(Line {
            words: forget,
            is_backup: false,
        });
    }
    lines
}

/// The policies and sets whose command lines br would refuse.
pub(super) fn mistakes(config: &Config, context: &CommandContext) -> Vec<Problem> {
    let problem = |place: &Place, name: String, error: CommandError| Problem {
        place: place.clone(),
        message: format!("{name}: {}", error.message),
        hint: error.hint,
    };
    let check = |words: &[String]| match parse(words, context)?.0 {
        Command::Backup(args) => args.check(),
        Command::Forget(args) => args.check(),
        _ => Ok(()),
    };
    let mut out = Vec::new();
    for (name, policy) in &config.policies {
        let words = std::iter::once("forget".to_owned()).chain(policy.iter().flat_map(words));
        let error = check(&words.collect::<Vec<_>>()).err();
        let place = policy.iter().map(|one| &one.place).min();
        out.extend(
            place
                .zip(error)
                .map(|(place, error)| problem(place, format!("policy `{name}`"), error)),
        );
    }
    for (name, set) in &config.sets {
        for line in lines_of(name, set, config) {
            let place = if line.is_backup {
                Some(&set.place)
            } else {
                // Other mistakes of a policy are found above.
                let policy = set
                    .policy
                    .as_ref()
                    .and_then(|policy| config.policies.get(policy));
                let is_empty = policy.is_some_and(Vec::is_empty);
                place_of(&set.settings, "policy").filter(|_| is_empty)
            };
            if let (Some(place), Err(error)) = (place, check(&line.words)) {
                out.push(problem(place, format!("set `{name}`"), error));
                break;
            }
        }
    }
    out
}

/// The backup of a set: its command, and the context that it runs in.
pub(super) fn backup_of(
    set: &str,
    context: &CommandContext,
) -> Result<(Box<BackupArgs>, CommandContext), CommandError> {
    let config = &context.config;
    let chosen = chosen(&[set.to_owned()], config)?;
    let lines = chosen
        .into_iter()
        .flat_map(|(name, set)| lines_of(name, set, config));
    let line = lines.into_iter().find(|line| line.is_backup);
    let words = line.map(|line| line.words).unwrap_or_default();
    let (args, options) = backup_line(&words, context)?;
    Ok((args, context.for_set(set, options)))
}

/// The words as a command line of `br backup`.
pub(super) fn backup_line(
    words: &[String],
    context: &CommandContext,
) -> Result<(Box<BackupArgs>, GlobalOptions), CommandError> {
    match parse(words, context)? {
        (Command::Backup(args), options) => Ok((args, options)),
        _ => Err(CommandError::usage(
            "this is no command line of `br backup`",
            "correct the configuration file",
        )),
    }
}

/// The words as a command line of `br restore`.
pub(super) fn restore_line(
    words: &[String],
    context: &CommandContext,
) -> Result<(RestoreArgs, GlobalOptions), CommandError> {
    match parse(words, context)? {
        (Command::Restore(args), options) => Ok((args, options)),
        _ => Err(CommandError::usage(
            "this is no command line of `br restore`",
            "correct the configuration file",
        )),
    }
}

/// A command, and the options that all commands accept: those of this process with the repository of the words.
fn parse(
    words: &[String],
    context: &CommandContext,
) -> Result<(Command, GlobalOptions), CommandError> {
    // Without the defaults of the files: the line of a backup has them, and those of `br forget` would add rules to the policy.
    let grammar = (context.grammar)();
    let words = std::iter::once("br").chain(words.iter().map(String::as_str));
    let matches = grammar.try_get_matches_from(words);
    let parsed = matches.and_then(|matches| {
        let command = Command::from_arg_matches(&matches)?;
        Ok((command, GlobalOptions::from_arg_matches(&matches)?))
    });
    let (command, parsed) = parsed.map_err(|error| {
        let hint = "correct the configuration file; `br run --dry-run` shows the command line";
        CommandError::usage(usage::first_line(&error), hint)
    })?;
    let options = GlobalOptions {
        repo: parsed.repo,
        ..context.global_options().clone()
    };
    Ok((command, options))
}

/// Runs a command line. Shows an error, and returns its exit code; only an interruption is an error of this function.
pub(super) async fn run_line(
    set: &str,
    words: &[String],
    context: &CommandContext,
) -> CommandResult {
    let (command, options) = parse(words, context)?;
    let own = context.for_set(set, options);
    let kept = command.kept();
    match Box::pin(super::run(command, &own)).await {
        Ok(status) => Ok(status),
        Err(error) => failed(set, own.advise(error, kept), &own),
    }
}

/// A command line as one would type it.
fn shown(line: &Line) -> String {
    let program = std::iter::once("br".to_owned());
    let words: Vec<String> = program.chain(line.words.iter().cloned()).collect();
    quoted(&words)
}

/// Words with the quotes that a shell needs.
pub(super) fn quoted(words: &[String]) -> String {
    let words = words.iter().map(|word| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    let words: Vec<String> = words.collect();
    format::visible(&words.join(" ")).into_owned()
}
