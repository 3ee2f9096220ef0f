//! The body of a response.
//!
//! [`Watched`] limits the rate of the body, counts its bytes, and ends it with an error if no byte arrives
//! within the stall timeout. Invariant: the request's permit is released as soon as no more bytes will
//! arrive.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::{Instant, Sleep};

use super::{
    Health, Link,
    failure::{Unreachable, kind_of},
    gate::Pass,
};
use crate::waiting::WaitCause;

/// A response body with a rate limit, a byte count and a stall timeout.
pub(super) struct Watched {
    pub(super) inner: reqwest::Body,
    pub(super) link: Arc<Link>,
    pub(super) health: Arc<Health>,
    pub(super) stall: Duration,
    pub(super) deadline: Pin<Box<Sleep>>,
    /// The received frame, and the time at which it may be passed on.
    pub(super) held: Option<(Frame<Bytes>, Pin<Box<Sleep>>)>,
    /// Released as soon as no more bytes will arrive: the layer above keeps a broken body while it waits for
    /// another one.
    pub(super) pass: Option<Pass>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if this.held.is_some() {
            return this.poll_held(context);
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.deadline.as_mut().reset(Instant::now() + this.stall);
                let len = frame.data_ref().map_or(0, Bytes::len);
                this.link
                    .counters
                    .bytes_received
                    .fetch_add(len as u64, Relaxed);
                let Some(down) = &this.link.down else {
                    return Poll::Ready(Some(Ok(frame)));
                };
                let turn = tokio::time::sleep_until(down.book_through(len));
                this.held = Some((frame, Box::pin(turn)));
                this.poll_held(context)
            }
            Poll::Ready(Some(Err(error))) => {
                this.pass = None;
                this.health.failed(WaitCause::NoAnswer);
                let kind = kind_of(&error);
                let error = Unreachable::new(&error.without_url(), None);
                Poll::Ready(Some(Err(HttpError::new(kind, error))))
            }
            Poll::Ready(None) => {
                this.pass = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll(context));
                this.pass = None;
                this.health.failed(WaitCause::NoAnswer);
                let text = format!("no byte came for {} s", this.stall.as_secs_f32());
                let error = HttpError::new(HttpErrorKind::Timeout, Unreachable::now(text));
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.held {
            Some(_) => SizeHint::default(),
            None => self.inner.size_hint(),
        }
    }
}

impl Watched {
    /// Passes the held frame on when its time has come.
    fn poll_held(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some((_, turn)) = &mut self.held {
            ready!(turn.as_mut().poll(context));
        }
        self.deadline.as_mut().reset(Instant::now() + self.stall);
        Poll::Ready(self.held.take().map(|(frame, _)| Ok(frame)))
    }
}
