//! A store that fails on purpose.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, Result};
use tokio::sync::watch;

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

/// What the plan says of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planned {
    Works,
    FailsBefore,
    FailsAfter,
    /// The process died before it.
    Stopped,
}

impl Plan {
    fn effect_of(&self, n: u64) -> Planned {
        match (self.stop, self.fail) {
            (Some((at, _)), _) if n > at => Planned::Stopped,
            (Some((at, When::Before)), _) if n == at => Planned::Stopped,
            (Some((at, When::After)), _) if n == at => Planned::FailsAfter,
            (_, Some((at, When::Before))) if n == at => Planned::FailsBefore,
            (_, Some((at, When::After))) if n == at => Planned::FailsAfter,
            _ => Planned::Works,
        }
    }

    /// The hooks that are to run before operation `n`.
    fn take_hooks(&mut self, n: u64) -> Vec<Hook> {
        let due = self.hooks.extract_if(.., |(at, _)| *at == n);
        due.map(|(_, hook)| hook).collect()
    }
}

async fn run(hooks: Vec<Hook>) {
    for hook in hooks {
        hook().await;
    }
}

/// A store that counts its operations and fails as configured.
pub struct FaultyStore {
    pub(crate) inner: Arc<dyn ObjectStore>,
    count: AtomicU64,
    /// How many operations take effect at the moment.
    running: watch::Sender<usize>,
    plan: Mutex<Plan>,
}

/// An operation that takes effect until this is dropped.
pub(crate) struct Effect<'a> {
    /// Whether the operation must fail after its effect.
    pub(crate) then_fails: bool,
    running: &'a watch::Sender<usize>,
}

impl Drop for Effect<'_> {
    fn drop(&mut self) {
        self.running.send_modify(|running| *running -= 1);
    }
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
        Arc::new(Self {
            inner,
            count: AtomicU64::new(0),
            running: watch::Sender::new(0),
            plan,
        })
    }

    /// From operation `n` on, counted from 0, everything fails: the process died there. Operations before it end first, so that what is
    /// stored does not depend on which of two parallel uploads is faster.
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

    /// Counts an operation, runs its hook, and fails if the operation is to have no effect.
    pub(crate) async fn begin(&self, verb: &'static str, key: &str) -> Result<Effect<'_>> {
        let (plan, hooks) = {
            let mut plan = self.plan.lock().unwrap();
            let n = self.count.fetch_add(1, Ordering::SeqCst);
            plan.log.push(Operation {
                verb,
                key: key.to_owned(),
            });
            let hooks = plan.take_hooks(n);
            let planned = plan.effect_of(n);
            if planned != Planned::Stopped {
                self.running.send_modify(|running| *running += 1);
            }
            (planned, hooks)
        };
        if plan == Planned::Stopped {
            run(hooks).await;
            let mut running = self.running.subscribe();
            let _ = running.wait_for(|running| *running == 0).await;
            return Err(failure());
        }
        let effect = Effect {
            then_fails: plan == Planned::FailsAfter,
            running: &self.running,
        };
        run(hooks).await;
        if plan == Planned::FailsBefore {
            return Err(failure());
        }
        Ok(effect)
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
        let effect = self.begin("list", name).await?;
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
        if effect.then_fails {
            Err(failure())
        } else {
            Ok(all)
        }
    }

    pub(crate) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let effect = self.begin("get", location.as_ref()).await?;
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
        if effect.then_fails {
            Err(failure())
        } else {
            result
        }
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
