//! The br command: what is typed, what is printed, and nothing else; the work is done by `br-core`.
//!
//! [`main`] is the whole program. `cli` has what can be typed, `arguments` what is refused
//! before it is parsed, `compat` command lines of other tools, `values` what values are refused, `storage` how a repository and
//! its store are named, `secret` how passwords and keys are read, `bundles` what commands for bundles share, `commands` one
//! file a command, `hint` the advice that comes with an error, `output` all that prints.
//! Invariant: how a command ended is its exit code, and an error always comes with advice.

mod arguments;
mod bundles;
mod cli;
mod commands;
mod compat;
mod context;
mod error;
mod exit_code;
mod help;
mod hint;
mod output;
mod password;
mod secret;
mod signal;
mod stdin;
mod storage;
mod values;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::Cli;
use crate::context::CommandContext;
use crate::error::{BadLine, CommandError};
use crate::hint::Kept;
use crate::output::{Console, Output};

/// Runs the program: reads the arguments, does what they say, and returns the exit code.
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
    let kept = Kept::of(&cli.command);
    raise_open_files();
    let context = CommandContext::new(
        cli.global,
        Output {
            console: Arc::clone(&console),
        },
    );
    be_silent_about_threads();
    let run = || {
        br_core::blocking(async {
            signal::watch(&context)?;
            context.tell_what_is_waited_for();
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

/// A lack of threads is reported as an error, and not as a panic as well.
fn be_silent_about_threads() {
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

/// Lets the process open as many files as the system allows: walking deep trees keeps folders open.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it is refused, br works with what there is.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}
