//! The br command line: reads arguments and prints results; `br-core` does the work.
//!
//! [`main`] is the whole program. `cli` declares the command line, `arguments` and `words` prepare it before clap parses it, `compat`
//! translates command lines of other tools, `config` reads configuration files, `values` parses option values, `storage` finds the repository and its store,
//! `secret` reads passwords and keys, `bundles` is shared by the bundle commands, `commands` has one file per command, `hint`
//! has the advice for errors, `output` prints. Invariant: the exit code says how a command ended, and every error comes with
//! advice.

mod arguments;
mod bundles;
mod cli;
mod commands;
mod compat;
mod config;
mod context;
mod create;
mod environment;
mod error;
mod exit_code;
mod global_options;
mod help;
mod hint;
mod output;
mod password;
mod private_file;
mod secret;
mod signal;
mod stdin;
mod storage;
mod thread;
mod values;
mod words;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::Cli;
use crate::config::{Config, Problem};
use crate::context::CommandContext;
use crate::error::{BadLine, CommandError};
use crate::exit_code::ExitStatus;
use crate::output::{Console, Output};

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let (cli, config, console) = match read_command_line() {
        Ok(read) => read,
        Err(status) => return ExitCode::from(status.code()),
    };
    let kept = cli.command.kept();
    raise_open_files();
    forbid_core_files();
    let context = CommandContext::new(
        cli.global,
        Arc::new(config),
        Output {
            console: Arc::clone(&console),
        },
        Cli::command,
    );
    hide_panic_about_lack_of_threads();
    let run = || {
        br_core::blocking(async {
            signal::watch(&context)?;
            context.report_waits();
            commands::run(cli.command, &context).await
        })
    };
    let result = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(CommandError::from).and_then(|result| result),
        Err(panic) if br_core::Error::is_lack_of_threads(&*panic) => {
            Err(br_core::Error::lack_of_threads().into())
        }
        Err(panic) => panic::resume_unwind(panic),
    };
    let status = result.unwrap_or_else(|error| {
        let error = context.advise(error, kept);
        if !error.silent {
            console.error(&error);
        }
        error.status
    });
    ExitCode::from(status.code())
}

/// Reads the command line and the configuration files. The error was shown, or it is help that the user requested.
fn read_command_line() -> Result<(Cli, Config, Arc<Console>), ExitStatus> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let is_json = arguments.iter().any(|word| word == "--json");
    let is_mo_br = compat::mo_br::own_arguments(&arguments).is_some();
    let arguments = match arguments::prepare(arguments.clone()) {
        Ok(arguments) => arguments,
        Err(BadLine::Parser(error)) => {
            let grammar = compat::mo_br::command;
            return Err(output::usage::print(error, &arguments, grammar));
        }
        Err(BadLine::Command(error)) => {
            Console::new(is_json, false, false).error(&error);
            return Err(error.status);
        }
    };
    let refused = |error| {
        let grammar = || help::for_long_help(Cli::command());
        output::usage::print(error, &arguments, grammar)
    };
    let typed = Cli::command()
        .try_get_matches_from(&arguments)
        .map_err(refused)?;
    let mut cli = Cli::from_arg_matches(&typed).map_err(refused)?;
    let options = &cli.global;
    let console = Console::new(options.json, options.quiet, options.verbose);
    let shown = |error: CommandError| {
        console.error(&error);
        error.status
    };
    options.check().map_err(shown)?;
    let mut repositories = arguments::repositories(&arguments, &typed);
    let further = repositories.split_off(repositories.len().min(1));
    if !further.is_empty() && !cli.command.takes_repositories() {
        let message = "--repo is given more than once, but the command works with one repository";
        let hint = "leave out all but one; only `br backup` accepts several";
        return Err(shown(CommandError::usage(message, hint)));
    }
    let mut config = Config::default();
    if !is_mo_br && cli.command.uses_config() {
        let (loaded, problems) = Config::load(options.config.clone(), Cli::command());
        Problem::refuse(&problems).map_err(shown)?;
        config = loaded;
    }
    if !further.is_empty()
        && let Some(settings) = config.commands.get_mut("backup")
    {
        // A typed list replaces that of the file.
        settings.retain(|setting| setting.key != "copy-to");
    }
    if !config.commands.is_empty() {
        let grammar = config.with_defaults(Cli::command(), &typed);
        let matches = grammar.try_get_matches_from(&arguments).map_err(refused)?;
        cli = Cli::from_arg_matches(&matches).map_err(refused)?;
    }
    cli.global.repo = repositories.pop();
    cli.global.further = further;
    Ok((cli, config, Arc::new(console)))
}

/// Suppresses the panic message when a thread cannot be started; br reports that as an error.
fn hide_panic_about_lack_of_threads() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info
            .payload_as_str()
            .is_some_and(|text| br_core::Error::is_lack_of_threads(&text.to_owned()))
        {
            report(info);
        }
    }));
}

/// The memory of br has passwords and keys. A core file, which the system writes after a crash, would have them as well.
fn forbid_core_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(0);
    // Without the limit, br works all the same.
    let _ = setrlimit(Resource::Core, limit);
}

/// Raises the limit of open files to the maximum: walking a deep tree keeps folders open.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If the system refuses, br continues with the current limit.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}
