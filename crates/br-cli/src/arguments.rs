//! Prepares the command line before clap parses it.
//!
//! [`prepare`] translates `mo_br` command lines, and refuses long options with one dash, which clap would read as short options.
//! Invariant: arguments after `--` stay unchanged.

use std::ffi::OsString;

use clap::{ArgMatches, Args as _, CommandFactory as _};

use crate::cli::Cli;
use crate::compat::mo_br;
use crate::error::{BadLine, CommandError};
use crate::global_options::GlobalOptions;
use crate::words::{drop_second_help, long_options, refuse_one_dash, words};

/// Returns the command line for the parser.
///
/// # Errors
/// Help, and usage errors in the terms of the grammar that was typed.
pub(crate) fn prepare(arguments: Vec<OsString>) -> Result<Vec<OsString>, BadLine> {
    if let Some(arguments) = mo_br::own_arguments(&arguments) {
        return mo_br::arguments_for_br(arguments);
    }
    let command = Cli::command();
    refuse_one_dash(&arguments, &command)?;
    refuse_mo_br(&arguments, &command)?;
    Ok(drop_second_help(arguments))
}

/// All repositories that `--repo` names, before and after the name of the command.
///
/// clap keeps only the values at one of the two places.
pub(crate) fn repositories(arguments: &[OsString], typed: &ArgMatches) -> Vec<String> {
    let values = |matches: &ArgMatches| -> Vec<String> {
        let values = matches.get_many::<String>("repo");
        values.into_iter().flatten().cloned().collect()
    };
    let kept = values(typed);
    let before = GlobalOptions::augment_args(clap::Command::new("br"));
    let before = before.allow_external_subcommands(true);
    let before = before.try_get_matches_from(arguments);
    match before.map(|matches| values(&matches)) {
        Ok(before) if before != kept => before.into_iter().chain(kept).collect(),
        _ => kept,
    }
}

/// Options of `mo_br` that `br` does not have in any spelling.
const ONLY_MO_BR: [&str; 6] = [
    "backup-dir",
    "bucket",
    "filepath",
    "is-minio",
    "restore-dir",
    "dn-config-path",
];

/// Refuses the options of `mo_br`, and underscores in options of `br`.
fn refuse_mo_br(arguments: &[OsString], command: &clap::Command) -> Result<(), CommandError> {
    for word in words(arguments).skip(1) {
        let option = word
            .strip_prefix("--")
            .and_then(|word| word.split('=').next());
        let name = option.unwrap_or_default();
        let hyphenated = name.replace('_', "-");
        if !name.contains('_') && !ONLY_MO_BR.contains(&name) {
            continue;
        }
        let hint = if long_options(command, false).contains(&hyphenated) {
            format!("write --{hyphenated}; `br mo-br` runs command lines of mo_br unchanged")
        } else {
            "`br mo-br` runs command lines of mo_br unchanged, and `br link mo_br` makes a link with that name; for a repository of br \
             write -r s3://BUCKET/FOLDER or -r FOLDER"
                .to_owned()
        };
        return Err(CommandError::usage(
            format!("--{name} is an option of mo_br, not of br"),
            hint,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn long_option_with_one_dash_is_refused() {
        for line in [
            "br backup -host x",
            "br backup -host=x",
            "br list -region eu",
            "br -repo x list",
        ] {
            let error = refuse_one_dash(&split(line), &Cli::command()).unwrap_err();
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
            assert!(
                refuse_one_dash(&split(line), &Cli::command()).is_ok(),
                "{line}"
            );
        }
    }

    #[test]
    fn mo_br_command_line_is_refused_with_hint_how_to_run_it() {
        for (line, expected) in [
            ("br backup --backup_dir s3 --bucket b docs", "br mo-br"),
            ("br check --backup-dir filesystem", "br link mo_br"),
            ("br list --meta_path m", "br mo-br"),
            ("br matrixone list --meta_path m", "write --meta-path;"),
            ("br list --access_key_id x", "write --access-key-id;"),
        ] {
            let error = refuse_mo_br(&split(line), &Cli::command()).unwrap_err();
            assert!(error.hint.contains(expected), "{line}: {}", error.hint);
        }
        for line in [
            "br list -r a_b",
            "br matrixone list --meta-path m",
            "br backup -- --is_minio",
        ] {
            assert!(
                refuse_mo_br(&split(line), &Cli::command()).is_ok(),
                "{line}"
            );
        }
    }
}
