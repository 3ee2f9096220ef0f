//! Order of the parts of help and manual.
//!
//! clap prints options first and the text at the end last. [`for_long_help`] prints a command's own options first, then its
//! examples and exit codes, then the global options; storage options appear only in `br help storage`. [`for_manual`] gives the
//! manual the text of every option. [`examples`] and [`exit_codes`] make the end of a command's help. Invariant: this module does
//! not change which command lines are valid.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Command};

use crate::exit_code::ExitStatus;

/// Heading of the options that every command's help explains.
const GLOBAL: &str = "Global options";
/// The command whose help explains the storage options.
const STORAGE: &str = "storage";
/// The line about storage options in the help of other commands.
const ELSEWHERE: &str =
    "Storage options, such as keys, endpoints and limits for S3: `br help storage`";
/// Maximum columns of a line.
const MAX_WIDTH: usize = 100;

/// The end of a command's short help: its exit codes.
pub(crate) fn exit_codes(statuses: &[ExitStatus]) -> String {
    exit_codes_and(statuses, &[])
}

/// The end of a command's short help, for commands with additional exit codes.
pub(crate) fn exit_codes_and(statuses: &[ExitStatus], more: &[ExitStatus]) -> String {
    let mut all: Vec<_> = statuses.iter().chain(more).collect();
    all.sort_by_key(|status| status.code());
    let rows = all
        .iter()
        .map(|status| format!("  {:>3}  {}", status.code(), status.meaning()));
    format!("Exit codes:\n{}", rows.collect::<Vec<_>>().join("\n"))
}

/// The end of a command's long help: examples and exit codes.
pub(crate) fn examples(examples: &str, codes: &str) -> String {
    format!("Examples:\n{}\n\n{codes}", indent(examples))
}

/// Indents every line that is not empty.
pub(crate) fn indent(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim() {
        "" => String::new(),
        line => format!("  {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Prepares the commands for the manual, which includes options that the short help leaves out.
pub(crate) fn for_manual(command: Command) -> Command {
    command
        .mut_args(|arg| arg.hide_short_help(false))
        .mut_subcommands(for_manual)
}

/// Prepares the commands for the long help.
pub(crate) fn for_long_help(mut command: Command) -> Command {
    command.build();
    in_order(command, false)
}

fn in_order(command: Command, of_stores: bool) -> Command {
    let of_stores = of_stores || command.get_name() == STORAGE;
    let is_shown = |arg: &&Arg| {
        let is_global = arg.is_global_set() && !arg.is_hide_set();
        is_global && (of_stores || arg.get_help_heading() == Some(GLOBAL))
    };
    let shown: Vec<_> = command.get_arguments().filter(is_shown).cloned().collect();
    let mut end = String::new();
    if let Some(text) = command.get_after_long_help() {
        let _ = write!(end, "{}\n\n", text.ansi());
    }
    let _ = write!(end, "{}", render(shown).ansi().to_string().trim_end());
    if !of_stores {
        let _ = write!(end, "\n\n{ELSEWHERE}");
    }
    command
        .mut_args(|arg| {
            if arg.is_global_set() {
                arg.hide_long_help(true)
            } else {
                arg
            }
        })
        .after_long_help(StyledStr::from(end))
        .mut_subcommands(|command| in_order(command, of_stores))
}

/// The options as the long help shows them.
fn render(options: Vec<Arg>) -> StyledStr {
    Command::new("options")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .max_term_width(MAX_WIDTH)
        .help_template("{all-args}")
        .args(options)
        .render_long_help()
}

/// The br command that corresponds to a command of another tool.
pub(crate) fn foreign_verb(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "snapshots" | "archives" | "backups" | "versions" => "`br list` shows the backups",
        "rm" | "remove" => "`br delete ID` deletes a backup, and `br prune` frees its space",
        "expire" | "retention" => "`br forget` deletes the backups that a policy does not keep",
        "search" | "locate" => "`br find PATTERN` searches all backups",
        "tree" | "files" => {
            "`br ls latest` lists the entries of a backup, `br ls latest PATH` a part of it"
        }
        "mount" | "umount" | "browse" => {
            "br cannot mount a backup: `br ls ID` lists a backup, `br dump ID PATH` writes one file of it, and `br restore ID PATH --target DIR` restores a part"
        }
        "cat" | "print" => "`br dump ID PATH` writes a file of a backup to standard output",
        "unlock" | "break-lock" => {
            "br uses no locks: several br processes can use a repository at the same time"
        }
        "create" | "save" | "snapshot" | "add" | "push" => "`br backup PATH` makes a backup",
        "extract" | "get" | "pull" => "`br restore ID --target DIR` restores a backup",
        "recover" => {
            "`br restore ID --target DIR` restores a backup, `br check --repair-log` repairs a damaged backup list"
        }
        "verify" | "validate" | "fsck" => {
            "`br check` verifies the repository, with --read-data every byte"
        }
        "compact" | "gc" | "clean" | "cleanup" | "vacuum" | "purge" => {
            "`br prune` removes data that no backup uses"
        }
        "repair" | "rebuild-index" | "reindex" | "repair-index" => {
            "`br check` reports damage; --repair-index and --repair-log repair it"
        }
        "info" | "du" | "size" => {
            "`br stats` shows the size of the repository, `br show ID` describes one backup"
        }
        "passwd" | "password" | "keys" => {
            "`br key passwd` changes the password, `br key list` shows all keys"
        }
        "clone" | "sync" | "mirror" => "`br copy --from REPOSITORY` copies backups",
        "create-repo" | "repo-create" | "new" => "`br init` creates a repository",
        "version" => "`br --version` shows the version",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn verbs_of_other_tools_are_not_br_commands() {
        let command = Cli::command();
        for verb in [
            "snapshots",
            "rm",
            "expire",
            "search",
            "mount",
            "cat",
            "unlock",
            "create",
            "extract",
            "recover",
            "verify",
            "compact",
            "repair",
            "info",
            "passwd",
            "mirror",
            "new",
            "version",
        ] {
            let hint = foreign_verb(verb).unwrap();
            assert!(
                hint.contains("br ") && !hint.ends_with('.'),
                "{verb}: {hint}"
            );
            assert!(command.find_subcommand(verb).is_none(), "{verb}");
        }
        for command in command.get_subcommands() {
            assert_eq!(foreign_verb(command.get_name()), None);
        }
    }

    /// Every command: its own part, then examples, then the global options; storage options only in one place.
    #[test]
    fn long_help_shows_own_options_before_global_options() {
        fn check(command: &mut Command, of_stores: bool) {
            let of_stores = of_stores || command.get_name() == STORAGE;
            let name = command.get_name().to_owned();
            if name == "help" {
                return;
            }
            let text = command.render_long_help().to_string();
            let at = |what: &str| text.find(what);
            if !command.is_hide_set() {
                let global = at("Global options:").unwrap_or_else(|| panic!("{name}: {text}"));
                assert_eq!(text.matches("--password-command <").count(), 1, "{name}");
                assert_eq!(at("Storage options:").is_some(), of_stores, "{name}");
                assert_eq!(at("--storage-class").is_some(), of_stores, "{name}");
                assert_eq!(text.contains(ELSEWHERE), !of_stores, "{name}");
                for before in ["Examples:", "Exit codes:", "Options:\n"] {
                    assert!(at(before).is_none_or(|at| at < global), "{name}: {before}");
                }
            }
            for command in command.get_subcommands_mut() {
                check(command, of_stores);
            }
        }
        check(&mut for_long_help(Cli::command()), false);
    }

    #[test]
    fn manual_has_text_of_every_option() {
        fn check(command: &Command) {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(!arg.is_hide_short_help_set(), "{}", arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = for_manual(Cli::command());
        command.build();
        check(&command);
    }
}
