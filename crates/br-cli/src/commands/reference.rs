//! `br reference`: prints `docs/cli/reference.md`.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;

pub(super) fn run(context: &CommandContext) -> CommandResult {
    context.output.text(markdown().as_bytes())?;
    Ok(ExitStatus::Ok)
}

/// The reference of all commands.
fn markdown() -> String {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut out = String::from(
        "# Reference of the br command\n\n<!-- Made by `br reference`; a test compares. Edit the help texts in \
         crates/br-cli. -->\n\n",
    );
    let mut put = |text: &str| out.push_str(text);
    put(&text(&root));
    put(
        "\n\nExit codes are explained in [exit-codes.md](exit-codes.md), what `--json` prints in [json.md](../json.md).\n",
    );
    put("\n| command | |\n|---|---|\n");
    let commands = leaves(&root, "br");
    for (name, command) in &commands {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let anchor = name.replace(' ', "-");
        put(&format!("| [`{name}`](#{anchor}) | {about} |\n"));
    }
    put(&global_options(&root));
    for (name, command) in &commands {
        put(&section(name, command));
    }
    out
}

/// The commands that do something, with their whole names; a group of commands is only a part of those.
fn leaves<'a>(parent: &'a Command, name: &str) -> Vec<(String, &'a Command)> {
    let mut out = Vec::new();
    for command in parent.get_subcommands() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let name = format!("{name} {}", command.get_name());
        if command.has_subcommands() {
            out.extend(leaves(command, &name));
        } else {
            out.push((name, command));
        }
    }
    out
}

/// Options of all commands, below the headings that help has.
fn global_options(root: &Command) -> String {
    let mut out = String::new();
    let mut heading = None;
    let global = |arg: &&Arg| arg.is_global_set() && !arg.is_hide_set();
    for arg in root.get_arguments().filter(global) {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let _ = write!(out, "\n## {}\n\n", heading.unwrap_or("Options"));
        }
        out.push_str(&option(arg));
    }
    out
}

/// What a command does, at length.
fn text(command: &Command) -> String {
    let about = command.get_long_about().or_else(|| command.get_about());
    about
        .map(ToString::to_string)
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

fn section(name: &str, command: &Command) -> String {
    let mut out = format!("\n## {name}\n\n{}\n\n", text(command));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(out, "```text\n{usage}\n```\n\n");
    let own = |arg: &&Arg| !arg.is_global_set() && !arg.is_hide_set() && arg.get_id() != "help";
    for arg in command.get_arguments().filter(own) {
        out.push_str(&option(arg));
    }
    let after = command
        .get_after_long_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let _ = write!(out, "\n```text\n{}\n```\n", after.trim_end());
    out
}

/// One argument as an item of a list.
fn option(arg: &Arg) -> String {
    let mut names = Vec::new();
    if let Some(short) = arg.get_short() {
        names.push(format!("-{short}"));
    }
    if let Some(long) = arg.get_long() {
        names.push(format!("--{long}"));
    }
    let mut name = names.join("`, `");
    if arg.get_action().takes_values() {
        let values = arg.get_value_names().unwrap_or_default();
        let value = values
            .iter()
            .map(|value| format!("<{value}>"))
            .collect::<Vec<_>>()
            .join(" ");
        name = if name.is_empty() {
            value
        } else {
            format!("{name} {value}")
        };
    }
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut out = format!("- `{name}`: {}", help.trim().replace("\n\n", ".\n\n  "));
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() && !arg.is_hide_possible_values_set() {
        let values: Vec<_> = values
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let _ = write!(out, ". One of {}", values.join(", "));
    }
    if let Some(env) = arg.get_env() {
        let _ = write!(out, ". Environment: `{}`", env.display());
    }
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.display().to_string())
        .collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(out, ". Default: `{}`", defaults.join(" "));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let there = include_str!("../../../../docs/cli/reference.md");
        let hint = "write it anew: cargo run -p br-cli -- reference > docs/cli/reference.md";
        assert!(there == markdown(), "docs/cli/reference.md is old; {hint}");
    }
}
