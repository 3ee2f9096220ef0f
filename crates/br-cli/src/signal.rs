//! Signals that stop br.
//!
//! [`watch`] listens for SIGINT, SIGTERM and SIGHUP. Invariant: the first signal lets the operation finish cleanly, the second
//! ends the process; stored data stays valid in both cases. br also catches SIGXFSZ, so that a file size limit becomes an error.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// SIGXFSZ; it has this number on all systems that br is built for.
const FILE_SIZE_LIMIT: i32 = 25;

/// Starts to listen for signals.
pub(crate) fn watch(context: &CommandContext) -> Result<(), CommandError> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            let hint = "run br again; if it happens again, the system has too few resources";
            CommandError::new(ExitStatus::Failure, "cannot listen for signals", hint)
                .because(&error)
        })
    };
    // With a handler, a write past `ulimit -f` fails with an error, and br can clean up.
    drop(listen(SignalKind::from_raw(FILE_SIZE_LIMIT))?);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    // With `nohup`, a closed terminal must not end the process.
    let mut hang_up = if ignores_hang_up() {
        None
    } else {
        Some(listen(SignalKind::hangup())?)
    };
    let (cancel, console) = (context.cancel.clone(), Arc::clone(&context.output.console));
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate, hang_up.as_mut()).await;
        cancel.cancel();
        console.note("stopping; press Ctrl-C again to end immediately");
        next(&mut interrupt, &mut terminate, hang_up.as_mut()).await;
        end_now();
    });
    Ok(())
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal, hang_up: Option<&mut Signal>) {
    let hung_up = async {
        match hang_up {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hung_up => {}
    }
}

/// True when this process was started with SIGHUP ignored. False if the system does not report it.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[expect(clippy::exit, reason = "the user wants to stop immediately")]
fn end_now() {
    std::process::exit(ExitStatus::Interrupted.code().into());
}
