//! Objects in the memory of this process.
//!
//! [`open`] makes an empty store. Invariant: the objects end with the process, so no write has to be durable.

use std::sync::Arc;

use object_store::memory::InMemory;

use super::Backend;

/// Makes an empty store in memory.
pub(crate) fn open() -> Backend {
    Backend::new(Arc::new(InMemory::new()))
}
