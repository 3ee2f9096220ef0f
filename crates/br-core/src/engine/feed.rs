//! Results that arrive while an operation runs.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::error::Result;
use crate::progress::Context;
use crate::repository::{Io, Repository};

/// Items of a batch; fewer messages between threads than one an item.
const BATCH: usize = 512;
/// Batches that wait for the reader.
const QUEUE: usize = 4;

/// A stream of results. Dropping it ends the work behind it.
#[derive(Debug)]
pub struct Feed<T> {
    receiver: mpsc::Receiver<Result<Vec<T>>>,
    ready: VecDeque<T>,
}

impl<T: Send + 'static> Feed<T> {
    /// Returns the next item; `None` at the end.
    ///
    /// # Errors
    /// When the work failed. Nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            match self.receiver.recv().await? {
                Ok(batch) => self.ready = batch.into(),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Starts work that puts items out. `work` ends early when putting fails: nobody reads any more.
    pub(crate) fn start(
        repository: &Repository,
        context: &Context,
        work: impl FnOnce(&Io, &mut Outlet<T>) -> Result<()> + Send + 'static,
    ) -> Self {
        let io = Io::new(repository, context);
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::task::spawn_blocking(move || {
            let mut outlet = Outlet {
                sender,
                batch: Vec::with_capacity(BATCH),
            };
            let result = work(&io, &mut outlet);
            // When nobody reads any more, there is nobody to tell either.
            let read = outlet.flush();
            if let (Err(error), true) = (result, read) {
                let _ = outlet.sender.blocking_send(Err(error));
            }
        });
        Self {
            receiver,
            ready: VecDeque::new(),
        }
    }
}

/// Where the work behind a [`Feed`] puts its items.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    sender: mpsc::Sender<Result<Vec<T>>>,
    batch: Vec<T>,
}

impl<T> Outlet<T> {
    /// Puts an item out; false when nobody reads any more.
    pub(crate) fn put(&mut self, item: T) -> bool {
        self.batch.push(item);
        self.batch.len() < BATCH || self.flush()
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.sender.blocking_send(Ok(batch)).is_ok()
    }
}
