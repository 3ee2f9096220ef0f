//! A server with its socket, and the operations that tests need.
//!
//! [`S3Server`] runs until it is dropped, [`S3ServerOptions`] say how it starts. Invariant: when the value is dropped, the
//! port and every connection are closed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::access::Access;
use super::content::Content;
use super::fault::{Fault, Rule};
use super::headers::{LOCK_MODE, LOCK_UNTIL, ObjectAttributes};
use super::lock::Lock;
use super::log::RequestInfo;
use super::service::Service;
use super::state::{Object, State};

/// How a server starts.
#[derive(Debug, Clone)]
pub struct S3ServerOptions {
    access_key: String,
    secret_key: String,
    port: u16,
}

impl Default for S3ServerOptions {
    fn default() -> Self {
        Self {
            access_key: "test-key".to_owned(),
            secret_key: "test-secret".to_owned(),
            port: 0,
        }
    }
}

impl S3ServerOptions {
    /// Sets the key pair that the server accepts; it is `test-key` and `test-secret` by default.
    #[must_use]
    pub fn with_keys(self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            ..self
        }
    }

    /// Sets the port; the system chooses one by default.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Starts a server.
    ///
    /// # Panics
    /// When the port is taken, or the system gives no threads.
    #[must_use]
    pub fn start(self) -> S3Server {
        let access = Access::new(self.access_key, self.secret_key);
        let service = Arc::new(Service::new(access));
        let listener = std::net::TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let running = Some(spawn(listener, Arc::clone(&service)));
        S3Server {
            service,
            address,
            running,
        }
    }
}

type Running = (oneshot::Sender<()>, JoinHandle<()>);

fn spawn(listener: std::net::TcpListener, service: Arc<Service>) -> Running {
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || run(listener, service, stopped));
    (stop, thread)
}

/// Serves until the sender is dropped. The runtime then ends the open requests.
fn run(listener: std::net::TcpListener, service: Arc<Service>, stopped: oneshot::Receiver<()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(accept(listener, service));
        let _ = stopped.await;
    });
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&service)));
        }
    }
}

/// Serves one connection.
async fn serve(socket: TcpStream, service: Arc<Service>) {
    // Without it, an answer in two pieces waits for the client's delayed acknowledgement.
    let _ = socket.set_nodelay(true);
    let handle = service_fn(move |request| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.handle(request).await })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(socket), handle);
    let end = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if end.is_err() {
        // A fault: the client sees a reset, not an orderly end.
        let socket = connection.into_parts().io.into_inner();
        let _ = socket.set_zero_linger();
    }
}

/// An S3 server on a port of this machine.
pub struct S3Server {
    service: Arc<Service>,
    address: SocketAddr,
    running: Option<Running>,
}

impl fmt::Debug for S3Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Server({})", self.address)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl S3Server {
    /// Starts a server without buckets, with the default options.
    #[must_use]
    pub fn start() -> Self {
        S3ServerOptions::default().start()
    }

    /// Kills the server: closes its port and its connections, but keeps its content.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            let _ = thread.join();
        }
    }

    /// Starts the server again, on the same port and with its content.
    ///
    /// # Panics
    /// When another process has taken the port.
    pub fn start_again(&mut self) {
        self.stop();
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.running = Some(spawn(listener, Arc::clone(&self.service)));
    }

    /// Its URL: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The access key it accepts.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.service.access.key
    }

    /// The secret key that goes with it.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.service.access.secret
    }

    /// The key pair of a writer that the server allows only to read, and to create objects that do not exist.
    #[must_use]
    pub const fn writer_keys() -> (&'static str, &'static str) {
        (super::access::WRITER_KEY, super::access::WRITER_SECRET)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.service.state.lock().unwrap()
    }
}

/// The content of the server.
impl S3Server {
    /// Creates a bucket, unless it exists.
    pub fn create_bucket(&self, name: &str) {
        self.state().buckets.entry(name.to_owned()).or_default();
    }

    /// Creates a bucket with object lock. `default` is the mode and the number of days of the retention that new objects get.
    pub fn create_locking_bucket(&self, name: &str, default: Option<(&str, i32)>) {
        self.create_bucket(name);
        let default = default.map(|(mode, days)| (mode.to_owned(), days));
        self.state().locks.insert(name.to_owned(), Lock { default });
    }

    /// Ends the retention of all objects in a bucket, as if time had passed.
    ///
    /// # Panics
    /// When there is no such bucket.
    pub fn end_retention(&self, bucket: &str) {
        let mut state = self.state();
        for object in state.objects_mut(bucket).unwrap().values_mut() {
            let headers = &mut Arc::make_mut(object).headers;
            headers.remove(LOCK_MODE);
            headers.remove(LOCK_UNTIL);
        }
    }

    /// The content of an object.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let object = self.state().object(bucket, key).ok()?;
        Some(object.data.clone())
    }

    /// Stores an object, or removes it.
    ///
    /// # Panics
    /// When there is no such bucket.
    pub fn set_object(&self, bucket: &str, key: &str, content: Option<Bytes>) {
        let content = content.map(|data| Object::new(Content::of(data), HeaderMap::new()));
        let mut state = self.state();
        let objects = state.objects_mut(bucket).unwrap();
        match content {
            Some(object) => objects.insert(key.to_owned(), Arc::new(object)),
            None => objects.remove(key),
        };
    }

    /// The keys in a bucket, in order; empty when there is no such bucket.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = self.state();
        let objects = state.objects(bucket).into_iter();
        objects
            .flat_map(|objects| objects.keys().cloned())
            .collect()
    }

    /// How an object is stored.
    ///
    /// # Panics
    /// When there is no such object.
    #[must_use]
    pub fn attributes(&self, bucket: &str, key: &str) -> ObjectAttributes {
        let object = self.state().object(bucket, key).unwrap();
        ObjectAttributes::of(&object.headers)
    }

    /// Bucket and key of every multipart upload that is open, oldest first.
    #[must_use]
    pub fn uploads(&self) -> Vec<(String, String)> {
        let state = self.state();
        let uploads = state.uploads.values();
        uploads
            .map(|upload| (upload.bucket.clone(), upload.key.clone()))
            .collect()
    }

    /// Makes the uploads that are open now look as if they had been initiated this long ago.
    pub fn set_upload_age(&self, age: Duration) {
        self.state().age_uploads(age);
    }

    /// Replaces the content of a bucket by that of another one. Both share the bytes.
    ///
    /// # Panics
    /// When there is no bucket to copy.
    pub fn fork_bucket(&self, from: &str, to: &str) {
        let mut state = self.state();
        let objects = state.objects(from).unwrap().clone();
        state.buckets.insert(to.to_owned(), objects);
    }
}

/// Its faults.
impl S3Server {
    /// Whether writes ignore `If-None-Match` and `If-Match`: the object is overwritten.
    pub fn ignore_conditions(&self, on: bool) {
        self.state().ignore_conditions = on;
    }

    /// Whether writes with `If-None-Match` or `If-Match` are refused with 501.
    pub fn refuse_conditions(&self, on: bool) {
        self.state().refuse_conditions = on;
    }

    /// Whether lists show the state at the time of this call.
    pub fn stale_lists(&self, on: bool) {
        let mut state = self.state();
        state.stale = on.then(|| state.buckets.clone());
    }

    /// Whether range requests are ignored: the response is the whole object, with status 200.
    pub fn ignore_ranges(&self, on: bool) {
        self.state().ignore_ranges = on;
    }

    /// Adds a rule. A request meets the fault of the first rule that hits it, and later rules do not count it then.
    pub fn inject(&self, rule: Rule) {
        self.service.faults.inject(rule);
    }

    /// Calls a function for every request that no rule hits. Replaces the previous function.
    pub fn hook(&self, hook: impl Fn(&RequestInfo) -> Option<Fault> + Send + Sync + 'static) {
        self.service.faults.hook(Arc::new(hook));
    }

    /// Removes all rules and the hook.
    pub fn clear_faults(&self) {
        self.service.faults.clear();
    }

    /// Makes every request wait before it is handled.
    pub fn set_latency(&self, latency: Duration) {
        self.service.set_latency(latency);
    }
}

/// Who may use it.
impl S3Server {
    /// Requests with the server's own key need this session token from now on; others answer 403 `InvalidToken`.
    pub fn set_token(&self, token: Option<&str>) {
        self.service.access.set_token(token.map(str::to_owned));
    }

    /// Every request answers 400 `ExpiredToken` from now on, except those that assume a role.
    pub fn expire_credentials(&self) {
        self.service.access.set_expired(true);
    }

    /// Undoes [`S3Server::expire_credentials`].
    pub fn renew_credentials(&self) {
        self.service.access.set_expired(false);
    }

    /// Sets the announced lifetime of key pairs of roles that are assumed later; an hour by default. The key pairs never expire.
    pub fn set_role_lifetime(&self, lifetime: Duration) {
        self.service.access.set_role_lifetime(lifetime);
    }

    /// The name and the external id of every role that was assumed.
    #[must_use]
    pub fn assumed_roles(&self) -> Vec<(String, Option<String>)> {
        self.service.access.roles()
    }
}

/// The requests since the server started, or since [`S3Server::reset_requests`].
impl S3Server {
    /// All requests, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestInfo> {
        self.service.log.requests()
    }

    /// Removes all requests from the log, and counts from 0 again.
    pub fn reset_requests(&self) {
        self.service.log.reset();
    }

    /// How many requests there were, by [`RequestInfo::operation`].
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.service.log.counts()
    }

    /// The maximum number of requests that were handled at the same time.
    #[must_use]
    pub fn max_concurrent(&self) -> usize {
        self.service.log.max_concurrent()
    }

    /// The number of bytes in the bodies of requests.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.service.log.bytes().0
    }

    /// The number of bytes in the bodies of responses.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.service.log.bytes().1
    }
}
