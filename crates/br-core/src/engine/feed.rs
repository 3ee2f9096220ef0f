//! Results that arrive while an operation runs.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::error::Result;
use crate::progress::Context;
use crate::repository::worker::{self, Worker};
use crate::repository::{Io, Repository};

/// Items of a batch. Batches need fewer messages between threads than single items.
const BATCH: usize = 512;
/// Maximum number of batches that wait for the reader.
const QUEUE: usize = 4;

/// A stream of results. Dropping it ends the operation.
///
/// The work starts when the feed is made, on the tokio runtime from which the function is called, and pauses while some thousand
/// results wait to be read. Outside of a runtime the first [`Feed::next`] returns
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid).
#[derive(Debug)]
#[must_use = "a feed that is dropped ends the work behind it"]
pub struct Feed<T> {
    receiver: mpsc::Receiver<Vec<T>>,
    ready: VecDeque<T>,
    /// The result of the work, or the error that kept it from starting; `None` after it was returned.
    worker: Option<Result<Worker<()>>>,
}

impl<T: Send + 'static> Feed<T> {
    /// Returns the next item; `None` after the last one.
    ///
    /// # Errors
    /// When the work failed, and [`ErrorKind::Internal`](crate::ErrorKind::Internal) when it ended without a result. No
    /// item follows an error.
    pub async fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            let Some(batch) = self.receiver.recv().await else {
                return self.end().await;
            };
            self.ready = batch.into();
        }
    }

    /// Waits for all items, and returns them. Use it only if all of them fit in memory.
    ///
    /// # Errors
    /// As [`Feed::next`].
    pub async fn collect(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }

    /// A closed channel shows only that the worker has ended. The result of the worker shows whether the items are complete.
    async fn end(&mut self) -> Option<Result<T>> {
        let result = match self.worker.as_mut()? {
            Ok(worker) => worker::finish(worker).await,
            Err(_) => Ok(()),
        };
        let result = self.worker.take()?.and(result);
        result.err().map(Err)
    }

    /// Starts `work`, which sends the items. `work` must end early if sending fails, because then the reader was dropped.
    pub(crate) fn start(
        repository: &Repository,
        context: &Context,
        work: impl FnOnce(&Io, &mut FeedSender<T>) -> Result<()> + Send + 'static,
    ) -> Self {
        Self::start_on(Io::new(repository, context), work)
    }

    /// As [`Feed::start`], with access that exists already.
    pub(crate) fn start_on(
        io: Result<Io>,
        work: impl FnOnce(&Io, &mut FeedSender<T>) -> Result<()> + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let run = |io: Io| {
            worker::start(move || {
                let mut outlet = FeedSender {
                    sender,
                    batch: Vec::with_capacity(BATCH),
                };
                let result = work(&io, &mut outlet);
                // False when the receiver was dropped, so no result is needed.
                let _ = outlet.flush();
                result
            })
        };
        Self {
            receiver,
            ready: VecDeque::new(),
            worker: Some(io.and_then(run)),
        }
    }
}

/// The sending end of a [`Feed`].
#[derive(Debug)]
pub(crate) struct FeedSender<T> {
    sender: mpsc::Sender<Vec<T>>,
    batch: Vec<T>,
}

impl<T> FeedSender<T> {
    /// Sends an item; false if the reader was dropped.
    pub(crate) fn put(&mut self, item: T) -> bool {
        self.batch.push(item);
        self.batch.len() < BATCH || self.flush()
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.sender.blocking_send(batch).is_ok()
    }
}
