//! Command lines before the parser sees them.
//!
//! [`prepare`] translates the spelling of `mo_br`, whose scripts pass empty values for what is not set, and refuses a long option
//! with one dash, which the parser would take for short ones. Invariant: what follows `--` is left alone.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::commands::matrixone;
use crate::context::variable;
use crate::error::CommandError;
use crate::storage;

/// The command line as the parser takes it.
pub(crate) fn prepare(arguments: Vec<OsString>) -> Result<Vec<OsString>, CommandError> {
    refuse_one_dash(&arguments)?;
    let arguments = ask_for_help_once(arguments);
    // Once before the translation, which looks at what is given, and once after it, which tells more lines of mo_br.
    let arguments = drop_empty(arguments);
    let has_repository = variable("BR_REPOSITORY").is_some();
    let arguments = matrixone::translate(arguments, has_repository, &matrixone::known_ids)
        .map_err(|id| ambiguous(&id))?;
    let arguments = storage::translate(arguments.into_iter());
    Ok(drop_empty(arguments))
}

/// Drops `--help` after `help`, which asks for the same.
fn ask_for_help_once(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|word| word == "help") {
        arguments.retain(|word| word != "--help" && word != "-h");
    }
    arguments
}

/// `br delete ID` with a repository in the environment and a backup of that id in the catalogue.
fn ambiguous(id: &str) -> CommandError {
    CommandError::usage(
        format!(
            "{id} is a backup in the catalogue of MatrixOne's backups in this folder, and BR_REPOSITORY names a repository"
        ),
        format!(
            "`br matrixone delete {id}` deletes it, with its files; `br -r REPOSITORY delete ID` is about the repository"
        ),
    )
}

/// The words before `--`.
fn words(arguments: &[OsString]) -> impl Iterator<Item = &str> {
    let words = arguments.iter().map(|word| word.to_str().unwrap_or("?"));
    words.take_while(|word| *word != "--")
}

/// Long options, with hyphens: those with a value when `with_value`, else all.
fn long_options(with_value: bool) -> BTreeSet<String> {
    fn collect(command: &clap::Command, with_value: bool, out: &mut BTreeSet<String>) {
        for argument in command.get_arguments() {
            let takes_value = argument.get_action().takes_values()
                && argument
                    .get_num_args()
                    .is_none_or(|range| range.min_values() > 0);
            if with_value && !takes_value {
                continue;
            }
            let aliases = argument.get_all_aliases().unwrap_or_default();
            let names = argument.get_long().into_iter().chain(aliases);
            out.extend(names.map(|name| name.replace('_', "-")));
        }
        for command in command.get_subcommands() {
            collect(command, with_value, out);
        }
    }
    let mut out = BTreeSet::new();
    let mut command = Cli::command();
    command.build();
    collect(&command, with_value, &mut out);
    out
}

/// Refuses `-host`, which would be `-h`, and `-region`, which would be a repository named `egion`.
fn refuse_one_dash(arguments: &[OsString]) -> Result<(), CommandError> {
    let name_of = |word: &str| {
        let name = word.strip_prefix('-')?.split('=').next()?;
        let is_long = name.len() >= 4 && name.starts_with(|c: char| c.is_ascii_lowercase());
        is_long.then(|| name.replace('_', "-"))
    };
    let mut suspects = words(arguments)
        .skip(1)
        .filter_map(|word| Some((word, name_of(word)?)))
        .peekable();
    if suspects.peek().is_none() {
        return Ok(());
    }
    let known = long_options(false);
    match suspects.find(|(_, name)| known.contains(name) && name != "help") {
        None => Ok(()),
        Some((word, _)) => {
            let word = word.split('=').next().unwrap_or(word);
            Err(CommandError::usage(
                format!("{word} has one dash, and long options have two"),
                format!("write -{word}"),
            ))
        }
    }
}

/// Drops values that are empty, with their options, and words that are empty: in the manner of `mo_br` they are not given.
fn drop_empty(arguments: Vec<OsString>) -> Vec<OsString> {
    let is_empty = |word: &str| word.is_empty() || word.starts_with("--") && word.ends_with('=');
    if !words(&arguments).any(is_empty) || !is_mo_br(&arguments) {
        return arguments;
    }
    let options = long_options(true);
    let takes_value = |word: &OsString| {
        let name = word.to_str().and_then(|word| word.strip_prefix("--"));
        name.is_some_and(|name| options.contains(&name.replace('_', "-")))
    };
    let mut out: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter();
    for word in rest.by_ref() {
        match word.to_str() {
            Some("--") => {
                out.push(word);
                break;
            }
            Some("") => {
                out.pop_if(|last| takes_value(last));
            }
            Some(text) if is_empty(text) => {}
            _ => out.push(word),
        }
    }
    out.extend(rest);
    out
}

/// Whether a command line is in the manner of `mo_br`.
fn is_mo_br(arguments: &[OsString]) -> bool {
    words(arguments).skip(1).any(|word| {
        let name = word.split('=').next().unwrap_or_default();
        let is_long = name.starts_with("--");
        word == "matrixone" || name == "--backup-dir" || is_long && name.contains('_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<OsString> {
        let word = |word: &str| OsString::from(word.replace("''", ""));
        text.split(' ').map(word).collect()
    }

    #[test]
    fn empty_values_are_not_given_in_the_manner_of_mo_br() {
        for (line, expected) in [
            (
                "br backup --backup_dir s3 --region '' --bucket b --compression '' ''",
                "br backup --backup_dir s3 --bucket b",
            ),
            ("br matrixone list ''", "br matrixone list"),
            (
                "br matrixone backup --password '' --host h",
                "br matrixone backup --host h",
            ),
            (
                "br matrixone restore x --restore_region= --restore_is_minio ''",
                "br matrixone restore x --restore_is_minio",
            ),
            ("br list --meta_path m -- ''", "br list --meta_path m -- ''"),
            ("br backup '' --tag ''", "br backup '' --tag ''"),
        ] {
            assert_eq!(drop_empty(split(line)), split(expected), "{line}");
        }
    }

    #[test]
    fn a_long_option_with_one_dash_is_refused() {
        for line in [
            "br backup -host x",
            "br backup -host=x",
            "br list -region eu",
            "br backup -backup_dir s3",
            "br -repo x list",
        ] {
            let error = refuse_one_dash(&split(line)).unwrap_err();
            assert!(error.hint.starts_with("write --"), "{}", error.hint);
        }
        for line in [
            "br backup -rhost",
            "br -qr x list",
            "br backup -h",
            "br list -help",
            "br backup -- -host",
            "br --host",
        ] {
            assert!(refuse_one_dash(&split(line)).is_ok(), "{line}");
        }
    }
}
