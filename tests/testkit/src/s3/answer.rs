//! Responses and their bodies.
//!
//! [`AnswerBody`] sends bytes at once, slowly or incompletely; [`error`] and [`xml`] make the responses that the server does not
//! take from `s3s`. Invariant: the announced length is always that of the complete body.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::CONTENT_TYPE;
use tokio::time::{Sleep, sleep};

use super::fault::Fault;
use super::log::Busy;

/// The time for sent bytes to reach the client before the connection is reset.
const FLUSH: Duration = Duration::from_millis(20);

/// An answer with a body of XML.
pub(super) fn xml(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    let answer = Response::builder().status(status);
    let answer = answer.header(CONTENT_TYPE, "application/xml");
    answer.body(body.into()).unwrap()
}

/// An answer that reports an error.
pub(super) fn error(status: u16, code: &str) -> Response<Bytes> {
    let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    let body = format!("{head}<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    xml(status, body)
}

/// The error of a server that drops a connection.
pub(super) fn broken() -> io::Error {
    io::Error::other("failed on purpose")
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    rest: Bytes,
    /// How many bytes at the end are announced and never sent.
    cut: usize,
    chunk: usize,
    pause: Duration,
    wait: Option<Pin<Box<Sleep>>>,
    /// Until the last byte is sent; `None` also when the request is not counted.
    busy: Option<Busy>,
}

impl AnswerBody {
    /// Sends bytes, altered by a fault.
    pub(super) fn new(bytes: Bytes, fault: Option<Fault>, busy: Option<Busy>) -> Self {
        let mut body = Self {
            rest: bytes,
            cut: 0,
            chunk: usize::MAX,
            pause: Duration::ZERO,
            wait: None,
            busy,
        };
        match fault {
            Some(Fault::CutBody(at)) if at < body.rest.len() => {
                body.cut = body.rest.len() - at;
                body.rest.truncate(at);
                // The header must be sent, too.
                body.wait = Some(Box::pin(sleep(FLUSH)));
                body.pause = FLUSH;
            }
            Some(Fault::FlipByte(at)) if at < body.rest.len() => body.rest = flip(&body.rest, at),
            Some(Fault::SlowBody { chunk, pause }) => {
                body.chunk = chunk.max(1);
                body.pause = pause;
            }
            _ => {}
        }
        body.release();
        body
    }

    /// The request counts as handled when its last byte is sent: the client may send the next one before this is dropped.
    fn release(&mut self) {
        if self.is_end_stream() {
            self.busy = None;
        }
    }
}

fn flip(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(wait) = &mut this.wait {
            ready!(wait.as_mut().poll(context));
            this.wait = None;
        }
        if this.rest.is_empty() {
            this.busy = None;
            return Poll::Ready((this.cut > 0).then(|| Err(broken())));
        }
        let size = this.chunk.min(this.rest.len());
        let bytes = this.rest.split_to(size);
        if let Some(busy) = &this.busy {
            busy.sent(bytes.len());
        }
        this.release();
        if !this.is_end_stream() && !this.pause.is_zero() {
            this.wait = Some(Box::pin(sleep(this.pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.cut == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.rest.len() + self.cut) as u64)
    }
}
