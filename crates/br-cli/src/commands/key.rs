//! `br key`: lists, adds, removes and changes the keys of an encrypted repository.

use br_core::{Error, ErrorKind, Key, NewKey, Repository};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::new_password::{NewPassword, NewPasswordArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::Summary;
use crate::output::{Console, Output, Table, format};
use crate::password::Password;

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Conflict];

const EXAMPLES: &str = "\
  br key list
  br key add backup-server --generate /root/br.key
  br key passwd
  br key remove alice
  br key rotate";

/// Manage the keys of an encrypted repository
///
/// Each key is a password or a recipient of age that opens the repository, and has a label that says who uses it.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct KeyCommand {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// List the keys
    ///
    /// This needs no password. If one is given, br also shows which key it opens.
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, &[]),
        after_long_help = examples("  br key list", &exit_codes_and(ExitStatus::REPOSITORY, &[]))
    )]
    List,
    /// Add a key
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples(
            "  br key add alice\n  br key add backup-server --generate /root/br.key\n  br key add web1 --write-only --generate /root/web1.key",
            &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES)
        )
    )]
    Add(AddArgs),
    /// Remove keys
    ///
    /// br refuses to remove the key whose password opened the repository: use the password of another key, or `br key passwd`.
    ///
    /// A person who copied the key from the storage before and knows its password can still read the repository. `br key rotate`
    /// keeps later backups from such a person.
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples("  br key remove alice", &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
    )]
    Remove(RemoveArgs),
    /// Replace the password in use by another one
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples(
            "  br key passwd\n  br key passwd --new-password-file /root/new",
            &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES)
        )
    )]
    Passwd(PasswdArgs),
    /// Change the master key, and remove all keys but the one in use
    ///
    /// Use this when a person who knows a password must not read later backups. br encrypts everything that it writes from now on
    /// with a new master key. Existing backups stay as they are: a person who knows an old password and can read the storage can
    /// still read them. To encrypt everything again, use `br copy` with a new repository.
    ///
    /// Commands of br that run meanwhile stop with exit code 12; run them again.
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples("  br key rotate\n  br key add alice   # afterwards: other people need new passwords", &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
    )]
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Who uses the key: a name for it
    #[arg(value_name = "LABEL")]
    label: String,

    /// Add a key that makes backups but cannot read the content of files
    ///
    /// Such a key can also list backups, compare them and check their structure, and it can neither restore nor prune. `br init --write-only-keys` must have created the
    /// repository.
    #[arg(long, conflicts_with = "recipient")]
    write_only: bool,

    /// Add a key for a recipient of age instead of a password: a public key, `age1…`, that `age-keygen` printed
    ///
    /// The file of `age-keygen` with the secret key then opens the repository: give it with --password-file. Such a key only reads, because
    /// anyone can encrypt something for a recipient: it restores, checks and is the source of copies.
    #[arg(long, value_name = "RECIPIENT", conflicts_with = "NewPasswordArgs")]
    recipient: Option<String>,

    #[command(flatten)]
    new: NewPasswordArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The keys: labels, or the first digits of ids
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
}

#[derive(Debug, Args)]
struct PasswdArgs {
    #[command(flatten)]
    new: NewPasswordArgs,
}

#[derive(Debug, Args)]
struct RotateArgs {
    /// Remove the other keys without asking; required if there are other keys and no terminal
    #[arg(long, short)]
    yes: bool,
}

#[derive(Serialize)]
struct KeySummary {
    keys: Vec<KeyJson>,
}

#[derive(Serialize)]
struct RotateSummary {
    key: KeyJson,
    removed: Vec<KeyJson>,
    master_keys: usize,
}

/// A key, as `--json` shows it.
#[derive(Serialize)]
struct KeyJson {
    id: String,
    label: String,
    created: Option<String>,
    memory_kib: u32,
    passes: u32,
    recipient: Option<String>,
    write_only: bool,
    current: bool,
    unfinished: bool,
    problem: Option<String>,
}

impl From<&Key> for KeyJson {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.to_string(),
            label: key.label.clone(),
            created: key.created.map(|created| created.to_string()),
            memory_kib: key.memory_kib,
            passes: key.passes,
            recipient: key.recipient.clone(),
            write_only: key.write_only,
            current: key.current,
            unfinished: key.unfinished,
            problem: key.problem.clone(),
        }
    }
}

pub(crate) async fn run(args: KeyCommand, context: &CommandContext) -> CommandResult {
    match args.action {
        KeyAction::List => list(context).await,
        KeyAction::Add(args) => add(&args, context).await,
        KeyAction::Remove(args) => remove(&args, context).await,
        KeyAction::Passwd(args) => passwd(&args, context).await,
        KeyAction::Rotate(args) => rotate(&args, context).await,
    }
}

async fn list(context: &CommandContext) -> CommandResult {
    let is_typed = context.has_own_password();
    let opened = match context.password() {
        Ok(None) => None,
        // With a password, br also knows which key is in use.
        Ok(Some(_)) => Some(context.open().await),
        Err(error) => Some(Err(error)),
    };
    let keys = match opened {
        Some(Ok(repository)) => repository.keys().await?,
        Some(Err(error)) if is_typed || error.status != ExitStatus::AccessDenied => {
            return Err(error);
        }
        opened => {
            // A configuration file with a password that is out of date must not hide which keys exist.
            if let Some(Err(error)) = opened {
                context.output.console.warning(&error.message);
            }
            let place = context.place()?;
            let keys = Repository::list_keys(&place.location, &place.options).await;
            keys.map_err(|error| place.explain(error))?
        }
    };
    let output = &context.output;
    if output.is_json() {
        return print_json(&keys, output);
    }
    let mut table = Table::new(&["ID", "LABEL", "CREATED", "GUESS", "STATE"], &[]);
    for key in &keys {
        table.row(vec![
            short_id(key),
            format::text(&key.label),
            key.created.map(format::local_time).unwrap_or_default(),
            guess(key),
            state(key),
        ]);
    }
    let mut lines = output.lines();
    lines.table(table, None, &[])?;
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

/// The cost of one password guess.
fn guess(key: &Key) -> String {
    if key.problem.is_some() || key.recipient.is_some() {
        return String::new();
    }
    let memory = format::size(u64::from(key.memory_kib) << 10);
    let passes = format::counted(u64::from(key.passes), "pass", "passes");
    format!("{memory}, {passes}")
}

fn state(key: &Key) -> String {
    if let Some(problem) = &key.problem {
        return format!("unusable: {problem}");
    }
    let recipient = key.recipient.as_ref();
    let states = [
        key.current.then(|| "in use".to_owned()),
        key.write_only.then(|| "write-only".to_owned()),
        recipient.map(|recipient| format!("for {}", format::text(recipient))),
        key.unfinished
            .then(|| "interrupted `br key rotate`".to_owned()),
    ];
    states.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn print_json(keys: &[Key], output: &Output) -> CommandResult {
    output.document(&Summary::new(KeySummary {
        keys: keys.iter().map(KeyJson::from).collect(),
    }))?;
    Ok(ExitStatus::Ok)
}

async fn add(args: &AddArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    if let Some(recipient) = &args.recipient {
        let new = NewKey::for_recipient(recipient, &*args.label);
        let added = repository.add_key(&new, &context.engine()).await;
        return report(&[added.map_err(explain)?], "was added", context);
    }
    let password = NewPassword::read(&args.new, context)?;
    let mut new = password.key(&args.label);
    if args.write_only {
        new = new.with_write_only();
    }
    let key = password.kept_if(repository.add_key(&new, &context.engine()).await)?;
    report(&[key], "was added", context)
}

async fn remove(args: &RemoveArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let mut removed = Vec::new();
    let mut result = Ok(ExitStatus::Ok);
    for which in &args.keys {
        match repository.remove_key(which, &context.engine()).await {
            Ok(key) => removed.push(key),
            Err(error) => {
                result = Err(explain_removal(error));
                break;
            }
        }
    }
    if result.is_ok() || !removed.is_empty() {
        report(&removed, "was removed", context)?;
    }
    result
}

async fn passwd(args: &PasswdArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let keys = repository.keys().await?;
    let label = &current(&keys)?.label;
    let password = NewPassword::read(&args.new, context)?;
    let new = password.key(label);
    let changed = repository.change_password(&new, &context.engine()).await;
    let key = password.kept_if(changed.map(|(_, key)| key))?;
    report(&[key], "has a new password", context)
}

async fn rotate(args: &RotateArgs, context: &CommandContext) -> CommandResult {
    let (repository, password) = context.open_with_password().await?;
    let keys = repository.keys().await?;
    let others: Vec<&Key> = keys.iter().filter(|key| !key.current).collect();
    if !args.yes && !others.is_empty() {
        let labels: Vec<String> = others.iter().map(|key| name(key)).collect();
        let labels = labels.join(", ");
        if !Console::can_confirm() {
            let message =
                format!("this removes the keys {labels}, and there is no terminal to ask");
            let hint = "give --yes to remove them; `br key list` shows whose they are";
            return Err(CommandError::usage(message, hint));
        }
        let question = format!("Change the master key and remove the keys {labels}?");
        if !context.confirm(question).await? {
            context.output.console.note("nothing was changed");
            return Ok(ExitStatus::Ok);
        }
    }
    let label = &current(&keys)?.label;
    let password = password.as_ref().map(Password::as_bytes);
    let new = NewKey::new(password.unwrap_or_default(), label.as_str());
    let (_, change) = repository
        .change_master_key(&new, &context.engine())
        .await
        .map_err(explain)?;
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(RotateSummary {
            key: KeyJson::from(&change.key),
            removed: change.removed.iter().map(KeyJson::from).collect(),
            master_keys: change.master_keys,
        }))?;
        return Ok(ExitStatus::Ok);
    }
    let console = &output.console;
    console.note("the master key was changed; existing backups stay readable");
    for key in &change.removed {
        console.note(&format!("the key {} was removed", name(key)));
    }
    if !console.quiet && !change.removed.is_empty() {
        console.hint("`br key add LABEL` gives a user a new key");
    }
    Ok(ExitStatus::Ok)
}

/// The key in use.
fn current(keys: &[Key]) -> Result<&Key, CommandError> {
    let current = keys.iter().find(|key| key.current);
    current.ok_or_else(|| {
        CommandError::new(
            ExitStatus::Conflict,
            "another process removed the key in use",
            "give the password of another key: `br key list` shows them",
        )
    })
}

fn report(keys: &[Key], what: &str, context: &CommandContext) -> CommandResult {
    let output = &context.output;
    if output.is_json() {
        return print_json(keys, output);
    }
    for key in keys {
        output
            .console
            .note(&format!("the key {} {what}", name(key)));
    }
    Ok(ExitStatus::Ok)
}

/// The label, or the id of a key whose label cannot be read.
fn name(key: &Key) -> String {
    if key.problem.is_none() {
        format::text(&key.label)
    } else {
        short_id(key)
    }
}

fn short_id(key: &Key) -> String {
    key.id.to_string()[..8].to_owned()
}

fn explain_removal(error: Error) -> CommandError {
    let is_wrong = error.kind() == ErrorKind::Invalid;
    let error = explain(error);
    if is_wrong {
        error.with_hint("`br key list` shows the keys of the repository; `br key passwd` replaces the one in use")
    } else {
        error
    }
}

pub(super) fn explain(error: Error) -> CommandError {
    match error.kind() {
        ErrorKind::Invalid => CommandError::from(error)
            .with_hint("correct the argument: `br key list` shows the keys of the repository"),
        ErrorKind::Password => CommandError::from(error).with_hint(
            "run the command again, or give the password of another key: `br key list` shows them",
        ),
        _ => error.into(),
    }
}
