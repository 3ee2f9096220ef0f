//! Looks at the servers of a plan before a step replaces anything.

use br_sources::mysql::MySqlServer;

use super::restore_steps::{Action, Plan, Step};
use super::run::restore_line;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::thread::on_thread;

/// When br looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the commands that stop the application: programs may be connected to a database.
    First,
    /// After them, before the first part is restored.
    Stopped,
}

/// Fails if a server does not answer, or a login or a password cannot be used; at [`Moment::Stopped`], also if a program is connected to a database that a
/// step replaces.
pub(super) async fn look_at_servers(
    set: &str,
    plan: &Plan,
    moment: Moment,
    context: &CommandContext,
) -> Result<(), CommandError> {
    for step in &plan.steps {
        let looked = look(set, step, moment, context).await;
        looked.map_err(|error| {
            let hint = format!("{}; br has replaced nothing", error.hint);
            error.in_file(&step.part).with_hint(hint)
        })?;
    }
    Ok(())
}

async fn look(
    set: &str,
    step: &Step,
    moment: Moment,
    context: &CommandContext,
) -> Result<(), CommandError> {
    if let Some(options) = step.mysql.clone() {
        let is_sure = options.is_sure();
        let cancel = context.cancel.clone();
        let looked = on_thread(move || MySqlServer::look(&options, &cancel)).await?;
        let server = looked.map_err(|error| {
            let hint = "correct the option file, or start the server";
            CommandError::failure(&error, hint)
        })?;
        if moment == Moment::First && !is_sure {
            context.output.console.warning(&format!(
                "HOME is not set, so the programs of MySQL do not read ~/.my.cnf: br restores into {server}"
            ));
        }
        return Ok(());
    }
    let Action::Br(words) = &step.action else {
        return Ok(());
    };
    let (args, options) = restore_line(words, context)?;
    args.look_at_server(moment, &context.for_set(set, options))
        .await
}
