//! Objects in the memory of this process.
//!
//! [`open`] makes an empty one. Invariant: nothing outlives it, so nothing has to be durable.

use std::sync::Arc;

use object_store::memory::InMemory;

use super::Backend;

/// Makes an empty place in memory.
pub(crate) fn open() -> Backend {
    Backend::new(Arc::new(InMemory::new()))
}
