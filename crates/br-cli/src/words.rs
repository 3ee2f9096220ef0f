//! The words of a command line, before clap parses it.
//!
//! Invariant: arguments after `--` stay unchanged.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::error::CommandError;

/// Drops `--help` after `help`, which is redundant.
pub(crate) fn drop_second_help(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|word| word == "help") {
        arguments.retain(|word| word != "--help" && word != "-h");
    }
    arguments
}

/// The words before `--`.
pub(crate) fn words(arguments: &[OsString]) -> impl Iterator<Item = &str> {
    let words = arguments.iter().map(|word| word.to_str().unwrap_or("?"));
    words.take_while(|word| *word != "--")
}

/// The long options of a command and its subcommands, with hyphens. With `with_value`, only options that take a value.
pub(crate) fn long_options(command: &clap::Command, with_value: bool) -> BTreeSet<String> {
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
    let mut command = command.clone();
    command.build();
    collect(&command, with_value, &mut out);
    out
}

/// Refuses `-host`, which clap would read as `-h`, and `-region`, which would name a repository `egion`.
pub(crate) fn refuse_one_dash(
    arguments: &[OsString],
    command: &clap::Command,
) -> Result<(), CommandError> {
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
    let known = long_options(command, false);
    match suspects.find(|(_, name)| known.contains(name) && name != "help") {
        None => Ok(()),
        Some((word, _)) => {
            let word = word.split('=').next().unwrap_or(word);
            Err(CommandError::usage(
                format!("{word} has one dash, but long options have two"),
                format!("write -{word}"),
            ))
        }
    }
}
