//! The br command line: reads arguments and prints results; `br-core` does the work.
//!
//! [`main`] is the whole program. `cli` declares the command line, `arguments` and `words` prepare it before clap parses it, `compat`
//! translates command lines of other tools, `values` parses option values, `storage` finds the repository and its store,
//! `secret` reads passwords and keys, `bundles` is shared by the bundle commands, `commands` has one file per command, `hint`
//! has the advice for errors, `output` prints. Invariant: the exit code says how a command ended, and every error comes with
//! advice.

mod arguments;
mod bundles;
mod cli;
mod commands;
mod compat;
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
mod secret;
mod signal;
mod stdin;
mod storage;
mod values;
mod words;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::Cli;
use crate::context::CommandContext;
use crate::error::{BadLine, CommandError};
use crate::output::{Console, Output};

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let is_json = arguments.iter().any(|word| word == "--json");
    let arguments = match arguments::prepare(arguments.clone()) {
        Ok(arguments) => arguments,
        Err(BadLine::Parser(error)) => {
            let status = output::usage::print(error, &arguments, compat::mo_br::command);
            return ExitCode::from(status.code());
        }
        Err(BadLine::Command(error)) => {
            Console::new(is_json, false, false).error(&error);
            return ExitCode::from(error.status.code());
        }
    };
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let grammar = || help::for_long_help(Cli::command());
            let status = output::usage::print(error, &arguments, grammar);
            return ExitCode::from(status.code());
        }
    };
    let options = &cli.global;
    let console = Arc::new(Console::new(options.json, options.quiet, options.verbose));
    if let Err(error) = options.check() {
        console.error(&error);
        return ExitCode::from(error.status.code());
    }
    let kept = cli.command.kept();
    raise_open_files();
    let context = CommandContext::new(
        cli.global,
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
        let error = match context.is_remote() {
            Some(is_remote) => error.at_store(is_remote),
            None => error,
        };
        let error = error.advised(kept);
        if !error.silent {
            console.error(&error);
        }
        error.status
    });
    ExitCode::from(status.code())
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
