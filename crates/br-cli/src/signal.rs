//! Stopping when asked to.
//!
//! [`watch`] listens for SIGINT and SIGTERM. Invariant: the first lets the operation end in order, the second ends the
//! process; either way what is stored stays sound.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// Starts to listen.
pub(crate) fn watch(context: &CommandContext) -> Result<(), CommandError> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            let hint = "run br again; if it happens again, the system has too few resources";
            CommandError::new(ExitStatus::Failure, "cannot listen for signals", hint)
                .because(&error)
        })
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let (cancel, console) = (context.cancel.clone(), Arc::clone(&context.output.console));
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        cancel.cancel();
        console.note("stopping; press Ctrl-C again to end at once");
        next(&mut interrupt, &mut terminate).await;
        end_now();
    });
    Ok(())
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[expect(
    clippy::exit,
    reason = "the user does not want to wait for anything any more"
)]
fn end_now() {
    std::process::exit(ExitStatus::Interrupted.code().into());
}
