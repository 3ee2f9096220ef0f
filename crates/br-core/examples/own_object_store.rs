//! Keeps a repository in an object store that the program brings along: here one in memory.
//!
//! Everything that implements [`ObjectStore`](br_core::object_store::ObjectStore) will do. It must be able to create an object only if
//! the object does not exist; `init` finds out whether it can.

#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::stats::stats;
use br_core::object_store::memory::InMemory;
use br_core::source::MemorySource;
use br_core::{Context, InitOptions, Repository, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The second argument names the store in messages.
    let storage = Storage::from_object_store(Arc::new(InMemory::new()), "memory of this program");
    let context = Context::system();
    let options = InitOptions::default().with_password("secret");
    let repository = Repository::init_storage(storage.clone(), &options, &context).await?;
    println!(
        "safe for two writers: {}",
        repository.config().store.exclusive_create
    );

    let source = MemorySource::new([("notes.txt", "to keep")])?;
    let options = BackupOptions::new("my-host", "me", vec![b"/".to_vec()]);
    let _ = backup(&repository, source, &options, &context).await?;

    let again = Repository::open_storage(storage, Some(b"secret")).await?;
    // Reports are serialisable, for the program's log.
    println!(
        "{}",
        serde_json::to_string(&stats(&again, &context).await?)?
    );
    Ok(())
}
