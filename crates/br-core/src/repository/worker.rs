//! Blocking work on dedicated threads.
//!
//! [`start`] starts work, [`finish`] waits for its result. This does not use tokio's blocking pool, which has a limited number of threads:
//! operations that occupy them would wait for disk access that itself needs one. Invariant: tasks in the pool wait for the disk only.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// The result of the work, or the payload of its panic.
type Outcome<T> = std::result::Result<Result<T>, Box<dyn Any + Send>>;

/// Receives the result of work on another thread.
pub(crate) type Worker<T> = oneshot::Receiver<Outcome<T>>;

/// Starts work on a new thread. Futures that the work drives belong to the current runtime, if any.
///
/// # Errors
/// When the system cannot create a thread.
pub(crate) fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<Worker<T>> {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::try_current().ok();
    let body = move || {
        let _entered = runtime.as_ref().map(Handle::enter);
        // Unwind safe: after a panic, no data of the work is used, only the error.
        let outcome = catch_unwind(AssertUnwindSafe(work));
        // The waiting future may have been dropped.
        let _ = sender.send(outcome);
    };
    match thread::Builder::new()
        .name("br-work".to_owned())
        .spawn(body)
    {
        Ok(_) => Ok(receiver),
        Err(error) => Err(Error::lack_of_threads().with_source(error)),
    }
}

/// Waits for the result of work. Can be dropped and called again.
///
/// # Errors
/// Errors of the work. A panic is [`ErrorKind::Internal`](crate::ErrorKind::Internal), unless its message says that the system could not
/// create a thread.
pub(crate) async fn finish<T>(worker: &mut Worker<T>) -> Result<T> {
    let unexpected = || Error::internal("a worker ended unexpectedly");
    match worker.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) if Error::is_lack_of_threads(&*panic) => Err(Error::lack_of_threads()),
        Ok(Err(_)) => Err(unexpected()),
        Err(closed) => Err(unexpected().with_source(closed)),
    }
}
