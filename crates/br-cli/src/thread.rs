//! Work that blocks, on a thread of its own.

use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// Runs work that blocks.
///
/// # Errors
/// When the work panics.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        CommandError::new(
            ExitStatus::Failure,
            "a thread ended unexpectedly",
            "this is a bug in br: please report it with the command you ran",
        )
        .because(&error)
    })
}
