//! A store that fails on purpose.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, Result};

/// When something happens: before or after the operation took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The operation did not take effect.
    Before,
    /// The operation took effect, but its response was lost.
    After,
}

/// The change to the bytes of an object when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// One bit is flipped, at this fraction of the object, in 1/256.
    Flip(u8),
    /// The object ends after this fraction, in 1/256.
    Truncate(u8),
    /// The object does not exist.
    Hide,
    /// The disk cannot read the object: `EIO`.
    BadSector,
}

impl Corruption {
    /// The changed bytes; `None` if the object no longer exists.
    #[must_use]
    pub fn apply(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let part = |of: u8| bytes.len() * usize::from(of) / 256;
        match self {
            Self::Hide | Self::BadSector => None,
            Self::Truncate(at) => Some(bytes[..part(at)].to_vec()),
            Self::Flip(at) => {
                let mut bytes = bytes.to_vec();
                if let Some(byte) = bytes.get_mut(part(at)) {
                    *byte ^= 0x10;
                }
                Some(bytes)
            }
        }
    }
}

/// A requested operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `put`, `get`, `list`, `delete`, `copy`.
    pub verb: &'static str,
    /// The object's key, or the folder that was listed.
    pub key: String,
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

#[derive(Default)]
struct Plan {
    /// All operations from this one on fail: the process died.
    stop: Option<(u64, When)>,
    /// This operation fails, the others work.
    fail: Option<(u64, When)>,
    hooks: Vec<(u64, Hook)>,
    corrupt: Vec<(String, Corruption)>,
    /// The next listing that has this key lacks it.
    overlooked: Option<String>,
    log: Vec<Operation>,
}

/// A store that counts its operations and fails as configured.
pub struct FaultyStore {
    pub(crate) inner: Arc<dyn ObjectStore>,
    count: AtomicU64,
    plan: Mutex<Plan>,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl FaultyStore {
    /// Wraps a store; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        let plan = Mutex::default();
        let count = AtomicU64::new(0);
        Arc::new(Self { inner, count, plan })
    }

    /// From operation `n` on, counted from 0, everything fails: the process died there.
    pub fn stop_at(&self, n: u64, when: When) {
        self.plan.lock().unwrap().stop = Some((n, when));
    }

    /// Operation `n` fails, and no other.
    pub fn fail_once(&self, n: u64, when: When) {
        self.plan.lock().unwrap().fail = Some((n, when));
    }

    /// Calls a function immediately before operation `n`.
    pub fn before(&self, n: u64, hook: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        self.plan.lock().unwrap().hooks.push((n, Box::new(hook)));
    }

    /// Alters the bytes read from objects whose key contains `pattern`.
    pub fn corrupt(&self, pattern: impl Into<String>, how: Corruption) {
        self.plan
            .lock()
            .unwrap()
            .corrupt
            .push((pattern.into(), how));
    }

    /// The next listing that would have a key lacks it, as if the object was created while the folder was read.
    pub fn overlook_once(&self, key: impl Into<String>) {
        self.plan.lock().unwrap().overlooked = Some(key.into());
    }

    /// Removes all planned faults, and counts from 0 again.
    pub fn reset(&self) {
        *self.plan.lock().unwrap() = Plan::default();
        self.count.store(0, Ordering::SeqCst);
    }

    /// How many operations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// The requested operations, in order.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.plan.lock().unwrap().log.clone()
    }

    /// Counts an operation, runs its hook, and fails when it is to have no effect. Returns whether it must fail after
    /// its effect.
    pub(crate) async fn begin(&self, verb: &'static str, key: &str) -> Result<bool> {
        let n = self.count.fetch_add(1, Ordering::SeqCst);
        let (before, after, hooks) = {
            let mut plan = self.plan.lock().unwrap();
            plan.log.push(Operation {
                verb,
                key: key.to_owned(),
            });
            let stopped = plan
                .stop
                .is_some_and(|(at, when)| n > at || (n == at && when == When::Before));
            let fails = plan.fail == Some((n, When::Before));
            let after = plan.stop == Some((n, When::After)) || plan.fail == Some((n, When::After));
            let (now, later) = std::mem::take(&mut plan.hooks)
                .into_iter()
                .partition(|(at, _)| *at == n);
            plan.hooks = later;
            let now: Vec<(u64, Hook)> = now;
            (stopped || fails, after, now)
        };
        for (_, hook) in hooks {
            hook().await;
        }
        if before { Err(failure()) } else { Ok(after) }
    }

    fn corruption(&self, key: &str) -> Option<Corruption> {
        let plan = self.plan.lock().unwrap();
        plan.corrupt
            .iter()
            .find(|(pattern, _)| key.contains(pattern))
            .map(|(_, how)| *how)
    }

    fn is_hidden(&self, key: &str) -> bool {
        self.corruption(key) == Some(Corruption::Hide)
    }

    pub(crate) async fn list_all(self: Arc<Self>, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let name = prefix.as_ref().map_or("", Path::as_ref);
        let after = self.begin("list", name).await?;
        let all: Vec<Result<ObjectMeta>> = self.inner.list(prefix.as_ref()).collect().await;
        let mut all = all.into_iter().collect::<Result<Vec<_>>>()?;
        all.retain(|meta| !self.is_hidden(meta.location.as_ref()));
        let overlooked = &mut self.plan.lock().unwrap().overlooked;
        let is_overlooked =
            |meta: &ObjectMeta| Some(meta.location.as_ref()) == overlooked.as_deref();
        if let Some(at) = all.iter().position(is_overlooked) {
            all.remove(at);
            *overlooked = None;
        }
        if after { Err(failure()) } else { Ok(all) }
    }

    pub(crate) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let after = self.begin("get", location.as_ref()).await?;
        let result = match self.corruption(location.as_ref()) {
            None => self.inner.get_opts(location, options).await,
            Some(Corruption::BadSector) if !options.head => Err(bad_sector()),
            Some(Corruption::BadSector) => self.inner.get_opts(location, options).await,
            Some(how) => {
                let bytes = self.inner.get(location).await?.bytes().await?;
                let altered = InMemory::new();
                if let Some(bytes) = how.apply(&bytes) {
                    altered.put(location, bytes.into()).await?;
                }
                altered.get_opts(location, options).await
            }
        };
        if after { Err(failure()) } else { result }
    }
}

/// The error of a disk that cannot read a file.
fn bad_sector() -> object_store::Error {
    let source = std::io::Error::from(rustix::io::Errno::IO);
    object_store::Error::Generic {
        store: "faulty",
        source: Box::new(source),
    }
}

/// The error of an unreachable store.
pub(crate) fn failure() -> object_store::Error {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "failed on purpose");
    object_store::Error::Generic {
        store: "faulty",
        source: Box::new(source),
    }
}
