//! Blocking work on threads of its own.
//!
//! [`start`] begins work, [`finish`] waits for its result. The blocking pool of tokio is not used for it: the pool has a
//! limit, and an operation that holds one of its threads waits for disk access that needs another one. Invariant: what runs in
//! the pool waits for nothing but the disk.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// What came of the work, or what its panic carried.
type Outcome<T> = std::result::Result<Result<T>, Box<dyn Any + Send>>;

/// The result of work on another thread, once it is there.
pub(crate) type Worker<T> = oneshot::Receiver<Outcome<T>>;

/// Starts work on a thread of its own. Futures that it drives belong to this runtime, if there is one.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<Worker<T>> {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::try_current().ok();
    let body = move || {
        let _entered = runtime.as_ref().map(Handle::enter);
        // After a panic nothing of the work is used: its result is an error.
        let outcome = catch_unwind(AssertUnwindSafe(work));
        // The future that waited for it may be gone.
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

/// Waits for the result of work. May be dropped and called again.
///
/// # Errors
/// Those of the work; a panic is [`ErrorKind::Internal`](crate::ErrorKind::Internal), unless it says that the system gave no
/// thread.
pub(crate) async fn finish<T>(worker: &mut Worker<T>) -> Result<T> {
    let unexpected = || Error::internal("a worker ended unexpectedly");
    match worker.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) if Error::is_lack_of_threads(&*panic) => Err(Error::lack_of_threads()),
        Ok(Err(_)) => Err(unexpected()),
        Err(closed) => Err(unexpected().with_source(closed)),
    }
}
