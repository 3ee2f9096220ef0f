//! Handles a request between the socket and the S3 operations.
//!
//! [`Service`] records, delays and fails requests, and checks the sender. Invariant: a fault changes only what the client sees; an
//! operation is never half done.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::TRANSFER_ENCODING;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use s3s::Body;
use s3s::service::{S3Service, S3ServiceBuilder};

use super::access::{Access, Secrets};
use super::answer::{AnswerBody, broken, error};
use super::backend::Backend;
use super::fault::{Fault, Faults};
use super::log::{Log, RequestInfo};
use super::state::State;
use super::sts;

/// A request for this path returns the counts and resets them. No bucket can have this name.
const COUNTS: &str = "/_counts";

/// A server without its socket.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) access: Arc<Access>,
    pub(super) faults: Faults,
    pub(super) log: Arc<Log>,
    latency: AtomicU64,
    s3: S3Service,
}

impl Service {
    pub(super) fn new(access: Access) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let access = Arc::new(access);
        let mut s3 = S3ServiceBuilder::new(Backend(Arc::clone(&state)));
        s3.set_auth(Secrets(Arc::clone(&access)));
        Self {
            state,
            access,
            faults: Faults::default(),
            log: Arc::default(),
            latency: AtomicU64::new(0),
            s3: s3.build(),
        }
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap();
        self.latency.store(nanos, Ordering::Relaxed);
    }

    async fn pause(&self) {
        let nanos = self.latency.load(Ordering::Relaxed);
        if nanos > 0 {
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
    }

    /// Handles a request; an error breaks the connection.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> io::Result<Answer> {
        if request.method() == Method::GET && request.uri().path() == COUNTS {
            return Ok(self.tell_counts());
        }
        let info = RequestInfo::of(&request);
        let busy = self.log.begin(info.clone());
        self.pause().await;
        let fault = self.faults.pick(&info);
        match fault {
            Some(Fault::DropBefore) => return Err(broken()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        let answer = match fault {
            Some(Fault::Status { code, name }) => {
                self.read(request.into_body()).await?;
                error(code, name)
            }
            _ => self.work(request).await?,
        };
        let answer = match fault {
            Some(Fault::DropAfter) => return Err(broken()),
            Some(Fault::StatusAfter { code, name }) => error(code, name),
            _ => answer,
        };
        Ok(answer.map(|bytes| AnswerBody::new(bytes, fault, Some(busy))))
    }

    fn tell_counts(&self) -> Answer {
        let counts = serde_json::to_vec(&self.log.reset()).unwrap();
        Response::new(AnswerBody::new(counts.into(), None, None))
    }

    /// Executes a request, if its sender has permission.
    async fn work(&self, request: Request<Incoming>) -> io::Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        if sts::is_meant(&head) {
            let body = self.read(body).await?;
            return Ok(sts::answer(&self.access, &head, &body));
        }
        if head.headers.contains_key(TRANSFER_ENCODING) {
            self.read(body).await?;
            return Ok(error(411, "MissingContentLength"));
        }
        if let Some(refusal) = self.access.refusal(&head) {
            self.read(body).await?;
            return Ok(refusal);
        }
        self.ask_s3(head, body).await
    }

    async fn ask_s3(&self, head: Parts, body: Incoming) -> io::Result<Response<Bytes>> {
        let log = Arc::clone(&self.log);
        let body = Received { body, log };
        let request = Request::from_parts(head, Body::http_body(body));
        let answer = self.s3.call(request).await;
        let (head, body) = answer
            .map_err(|error| io::Error::other(format!("{error:?}")))?
            .into_parts();
        // An answer in one piece, as all long ones are, is not copied.
        let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, bytes))
    }

    /// Reads a body to its end, so that the client is ready for an answer.
    async fn read(&self, body: Incoming) -> io::Result<Bytes> {
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        self.log.received(body.len());
        Ok(body)
    }
}

/// The body of a request, whose bytes are counted when they are received.
#[derive(Debug)]
struct Received {
    body: Incoming,
    log: Arc<Log>,
}

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.log.received(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The response to a request.
pub(super) type Answer = Response<AnswerBody>;
