//! Copies a backup into a repository with a password, twice: the second time there is nothing to do.

#![expect(clippy::print_stdout, reason = "an example")]

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::copy::{CopyOptions, copy};
use br_core::model::{FileTime, Owner};
use br_core::source::StreamSource;
use br_core::{Context, InitOptions, Location, Repository};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = Context::system();
    let plain = InitOptions::default();
    let first = Repository::init(&Location::Memory, &plain, &context).await?;
    let encrypted = plain.with_password("secret");
    let second = Repository::init(&Location::Memory, &encrypted, &context).await?;

    let dump: &[u8] = b"CREATE TABLE t (c int);";
    let times = FileTime::default();
    let source = StreamSource::new("dump.sql".parse()?, dump, times, Owner::default());
    let options = BackupOptions::new("my-host", "me", vec![b"dump.sql".to_vec()]);
    let original = backup(&first, source, &options, &context).await?.backup;

    for _ in 0..2 {
        let report = copy(&first, &second, &CopyOptions::default(), &context).await?;
        let (copied, present) = (report.copied.len(), report.present.len());
        println!("{copied} copied, {present} there already");
    }
    // The copy has its own id; it is found by that of the original, too.
    let copy = second.find(original.id, &context).await?;
    println!("{}", copy.copy_of == Some(original.id));
    Ok(())
}
