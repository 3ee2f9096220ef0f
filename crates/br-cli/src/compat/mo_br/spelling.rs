//! Spellings that scripts use but the parser does not accept.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::words;

/// Flags that scripts also use with a value.
const FLAGS: [&str; 5] = [
    "--is_minio",
    "--restore_is_minio",
    "--not_check_data",
    "--not_delete_data",
    "--checksum",
];

/// Writes the names of long options with underscores.
pub(super) fn with_underscores(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut is_over = false;
    let rewrite = |word: OsString| {
        is_over |= word == "--";
        match word.to_str().and_then(|text| text.strip_prefix("--")) {
            Some(option) if !is_over => {
                let (name, value) = option.split_at(option.find('=').unwrap_or(option.len()));
                format!("--{}{value}", name.replace('-', "_")).into()
            }
            _ => word,
        }
    };
    arguments.into_iter().map(rewrite).collect()
}

/// Drops `true` after a flag, and a flag with `false`. An empty value means `false` for a flag that affects only the form of
/// requests; after `--not_delete_data` only the empty value is dropped.
pub(super) fn with_plain_flags(arguments: Vec<OsString>) -> Vec<OsString> {
    let is_flag = |word: &str| FLAGS.contains(&word.replace("--backup_", "--").as_str());
    let is_minio = |word: &OsString| word.to_str().is_some_and(|word| word.ends_with("is_minio"));
    let mut out: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter();
    for word in rest.by_ref() {
        let text = word.to_str().unwrap_or_default();
        let is_behind_flag = out
            .last()
            .and_then(|last| last.to_str())
            .is_some_and(is_flag);
        match text.split_once('=') {
            Some((name, "true")) if is_flag(name) => out.push(name.into()),
            Some((name, "false")) if is_flag(name) => {}
            None if is_behind_flag && text == "true" => {}
            None if is_behind_flag && text == "false" => {
                out.pop();
            }
            None if is_behind_flag && text.is_empty() && out.last().is_some_and(is_minio) => {
                out.pop();
            }
            _ if text == "--" => {
                out.push(word);
                break;
            }
            _ => out.push(word),
        }
    }
    out.extend(rest);
    out
}

/// Drops options with empty values, and empty words: scripts pass them for unset variables.
pub(super) fn without_empty_values(
    arguments: Vec<OsString>,
    command: &clap::Command,
) -> Vec<OsString> {
    let options: BTreeSet<String> = words::long_options(command, true);
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
            Some(text) if text.starts_with("--") && text.ends_with('=') => {}
            _ => out.push(word),
        }
    }
    out.extend(rest);
    out
}
