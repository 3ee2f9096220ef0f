//! The command line of `mo_br`, MatrixOne's backup tool.
//!
//! `br` accepts it as `br mo-br`, and when it is called `mo_br`. [`arguments_for_br`] translates it to a `br matrixone` command
//! line: [`grammar`] declares it, [`spelling`] handles spellings that scripts use, [`translate`] writes the command line of br.
//! Invariant: each argument reaches `br matrixone`, or is refused here in the terms of mo_br's manual.

mod grammar;
mod spelling;
mod translate;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Args, CommandFactory as _, Parser as _};

use self::grammar::Line;
use crate::error::{BadLine, CommandError};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::words;

/// The program name for which `br` uses this command line.
pub(crate) const NAME: &str = "mo_br";
/// Options of `br` without a value that may come before `mo-br`.
const GENERAL: [&str; 5] = ["--json", "-q", "--quiet", "-v", "--verbose"];
const EXAMPLES: &str = "\
  br mo-br list
  br mo-br check --backup_dir filesystem --backup_path /backup
  br link mo_br /usr/local/bin   # from then on `mo_br list` does the same";

/// Run a command line of mo_br, MatrixOne's backup tool
///
/// br accepts the commands and options of its manual unchanged; `br mo-br --help` lists them. `br matrixone` does the same with
/// the options of br.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::MATRIXONE),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::MATRIXONE)),
    disable_help_flag = true
)]
pub(crate) struct MoBrArgs {
    /// The command line
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    line: Vec<OsString>,
}

/// Refuses options of br before `mo-br`; other command lines are translated before they are parsed.
pub(crate) fn refuse_options_before(_: &MoBrArgs) -> CommandError {
    CommandError::usage(
        "options of br cannot come before `mo-br`",
        "write `br mo-br` first, and set BR_REPOSITORY for a copy in a repository",
    )
}

/// The grammar, for help output.
pub(crate) fn command() -> clap::Command {
    Line::command()
}

/// The arguments of a `mo_br` command line, with its name first; `None` for a command line of `br`.
pub(crate) fn own_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (program, rest) = arguments.split_first()?;
    let mut out = vec![OsString::from(NAME)];
    if Path::new(program).file_name() == Some(OsStr::new(NAME)) {
        out.extend_from_slice(rest);
        return Some(out);
    }
    let is_general = |word: &&OsString| word.to_str().is_some_and(|word| GENERAL.contains(&word));
    let general = rest.iter().take_while(is_general).count();
    match rest.get(general).and_then(|word| word.to_str()) {
        Some("mo-br" | NAME) => {
            out.extend_from_slice(&rest[..general]);
            out.extend_from_slice(&rest[general + 1..]);
            Some(out)
        }
        _ => None,
    }
}

/// Translates a `mo_br` command line to a `br matrixone` one.
///
/// # Errors
/// [`BadLine::Parser`] for help and for unknown arguments, [`BadLine::Command`] for options that contradict each other.
pub(crate) fn arguments_for_br(arguments: Vec<OsString>) -> Result<Vec<OsString>, BadLine> {
    let command = command();
    words::refuse_one_dash(&arguments, &command)?;
    let arguments = words::drop_second_help(arguments);
    let arguments = spelling::without_empty_values(
        spelling::with_plain_flags(spelling::with_underscores(arguments)),
        &command,
    );
    let line = Line::try_parse_from(arguments)?;
    Ok(line.into_arguments()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a command line; `''` is an empty word.
    fn split(text: &str) -> Vec<OsString> {
        let word = |word: &str| OsString::from(word.replace("''", ""));
        text.split(' ').map(word).collect()
    }

    fn translated(line: &str) -> Result<String, BadLine> {
        let words = arguments_for_br(own_arguments(&split(line)).unwrap())?;
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        Ok(words.join(" ").replacen("br matrixone ", "", 1))
    }

    #[test]
    fn mo_br_command_line_is_translated() {
        let s3 = "--backup_dir s3 --endpoint http://h:9 --bucket buck --filepath /a";
        let url = "s3://buck/a?endpoint=http://h:9";
        for (line, expected) in [
            ("mo_br list", "list".to_owned()),
            ("/usr/bin/mo_br list", "list".to_owned()),
            ("br mo-br list 16", "list -- 16".to_owned()),
            ("br --json mo_br list", "--json list".to_owned()),
            (
                "mo_br backup --host h --port 1 --user u --backup_dir filesystem --path p",
                "backup --host=h --port=1 --user=u --location=p".to_owned(),
            ),
            (
                &format!(
                    "mo_br backup --user u {s3} --is_minio --access_key_id i --secret_access_key s"
                ),
                format!(
                    "backup --user=u --location={url} --access-key-id=i --secret-access-key=s --addressing=path"
                ),
            ),
            (
                &format!("mo_br backup --user u {s3} --region eu --is_minio false --role-arn r"),
                format!("backup --user=u --location={url}&region=eu --role-arn=r"),
            ),
            (
                "mo_br check --backup_dir filesystem --backup_path /b",
                "check --location=/b".to_owned(),
            ),
            (
                "mo_br restore ID --restore_dir filesystem --restore_path mo --dn_config_path c --checksum true",
                "restore --target=mo --tn-config=c -- ID".to_owned(),
            ),
            (
                "mo_br restore --base_id ID --restore_dir s3 --restore_bucket buck --restore_is_minio true --backup_access_key_id i",
                "restore --access-key-id=i --target=s3://buck --target-addressing=path -- ID"
                    .to_owned(),
            ),
            (
                "mo_br delete ID --not_delete_data --meta_path m",
                "delete --meta-path=m --not-delete-data -- ID".to_owned(),
            ),
            (
                "mo_br --log-level debug --log-file console list",
                "--log-file=console --log-level=debug list".to_owned(),
            ),
        ] {
            assert_eq!(translated(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn empty_values_are_dropped() {
        for (line, expected) in [
            ("mo_br list ''", "list"),
            ("mo_br list '' --meta_path=", "list"),
            (
                "mo_br backup --user u --region '' --path p --compression '' ''",
                "backup --user=u --location=p",
            ),
            ("mo_br check x --backup_dir '' --is_minio ''", "check -- x"),
            ("mo_br delete x --not_delete_data=false", "delete -- x"),
            (
                "mo_br delete x --not_delete_data ''",
                "delete --not-delete-data -- x",
            ),
        ] {
            assert_eq!(translated(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn contradictions_are_refused_with_mo_br_option_names() {
        for (line, expected) in [
            ("mo_br check --backup_dir s3", "--bucket"),
            ("mo_br check --backup_dir filesystem", "--path"),
            (
                "mo_br check --path /a --backup_dir s3 --bucket b",
                "--path is for --backup_dir filesystem",
            ),
            (
                "mo_br check --backup_dir filesystem --path /a --bucket buck",
                "--bucket is for --backup_dir s3",
            ),
            (
                "mo_br check --bucket buck/a/b",
                "--bucket buck --filepath a/b",
            ),
            ("mo_br check --bucket b", "correct --bucket"),
            ("mo_br check --filepath a", "needs a bucket"),
            (
                "mo_br check --bucket buck --endpoint h:9",
                "correct --endpoint",
            ),
            (
                "mo_br check --path host:/a",
                "--path is not the path of a folder",
            ),
            ("mo_br list --path /a", "the catalogue has the location"),
            (
                "mo_br delete x --bucket buck",
                "the catalogue has the location",
            ),
            ("mo_br restore x", "--restore_path"),
            ("mo_br restore x --restore_dir s3", "--restore_bucket"),
            (
                "mo_br restore x --restore_dir filesystem --restore_path /a --restore_bucket buck",
                "--restore_bucket is for --restore_dir s3",
            ),
            ("mo_br backup -host h", "-host has one dash"),
        ] {
            match translated(line) {
                Err(BadLine::Command(error)) => {
                    let text = format!("{} | {}", error.message, error.hint);
                    assert!(text.contains(expected), "{line}: {text}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_command_lines_are_not_translated() {
        for line in [
            "br list",
            "br",
            "br backup mo_br",
            "br matrixone list",
            "/mo_br/br list",
        ] {
            assert!(own_arguments(&split(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn the_mo_br_grammar_is_valid() {
        Line::command().debug_assert();
    }
}
