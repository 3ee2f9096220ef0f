//! `br link`: creates a link to br with the name of another program.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::compat::mo_br;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::values;

const EXAMPLES: &str = "\
  br link mo_br                  # in the folder of br
  br link mo_br /usr/local/bin";

/// Make a link that gives br the command line of another tool
///
/// Called `mo_br`, br accepts the commands and options of MatrixOne's mo_br.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::PLAIN),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::PLAIN))
)]
pub(crate) struct LinkArgs {
    /// The other tool
    #[arg(value_name = "NAME", value_enum)]
    name: Name,

    /// Folder for the link [default: the folder of br]
    #[arg(value_name = "DIR", value_parser = values::folder())]
    folder: Option<PathBuf>,
}

/// Tools whose command line br accepts.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// MatrixOne's backup tool
    #[value(name = mo_br::NAME)]
    MoBr,
}

pub(crate) fn run(args: &LinkArgs, context: &CommandContext) -> CommandResult {
    context.refuse_repository_options("this command uses none")?;
    let Name::MoBr = args.name;
    let failed = |what: String, error: &std::io::Error| {
        let hint = "check the folder and its permissions";
        CommandError::new(ExitStatus::Failure, what, hint).because(error)
    };
    let program = std::env::current_exe()
        .map_err(|error| failed("cannot find the br program".to_owned(), &error))?;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => program.parent().map(PathBuf::from).unwrap_or_default(),
    };
    let link = folder.join(mo_br::NAME);
    let shown = format::path(&link);
    match symlink(&program, &link) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let leads_here = fs::canonicalize(&link).ok() == fs::canonicalize(&program).ok();
            if !leads_here {
                return Err(CommandError::new(
                    ExitStatus::Failure,
                    format!("{shown} exists but is not br"),
                    "remove it, or name another folder",
                ));
            }
        }
        Err(error) => return Err(failed(format!("cannot create the link {shown}"), &error)),
    }
    if context.output.is_json() {
        context
            .output
            .document(&serde_json::json!({ "link": link.to_string_lossy() }))?;
    } else if !context.output.console.quiet {
        let mut lines = context.output.lines();
        lines.line(&format!("{shown} now runs br"))?;
        lines.finish()?;
    }
    Ok(ExitStatus::Ok)
}
