//! Backs up a Redis server, and restores it into another one: `cargo run --example redis_server -- 127.0.0.1:6379 [127.0.0.1:6380]`.
//!
//! The other server must be empty. Everything that asks a server blocks, so it runs on threads of its own.

#![expect(clippy::print_stdout, reason = "an example")]

use std::time::SystemTime;
use std::{env, io};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{EntryPath, FileTime};
use br_core::{BackupSelector, Context, InitOptions, Location, Repository};
use br_sources::redis::{RedisOptions, RedisRestore, RedisRestoreOptions, RedisServer};
use br_sources::server::{DumpOptions, Server as _, ServerSource};
use tokio::task::spawn_blocking;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut addresses = env::args().skip(1);
    let Some(address) = addresses.next() else {
        println!("usage: redis_server ADDRESS [EMPTY-SERVER]");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let location = Location::Local(folder.path().join("repository"));
    let context = Context::system();
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;

    let options = RedisOptions::new(address.parse()?);
    let cancel = context.cancel.clone();
    let server = spawn_blocking(move || RedisServer::probe(options, &cancel)).await??;
    println!("{}, {} keys", server.description(), server.keys);
    for warning in server.warnings() {
        println!("warning: {warning}");
    }
    let time = FileTime::from(SystemTime::from(context.runtime.clock.now()));
    let dumps = DumpOptions::default().with_time(time);
    let source = ServerSource::new(&server, &dumps, &context.cancel)?;
    let options = BackupOptions::new("my-host", "me", vec![b"redis".to_vec()]);
    let report = backup(&repository, source, &options, &context).await?;
    println!(
        "{} bytes in {}",
        report.backup.totals.bytes, report.backup.id
    );

    let Some(other) = addresses.next() else {
        return Ok(());
    };
    let other = RedisOptions::new(other.parse()?);
    let path: EntryPath = "redis/dump.rdb".parse()?;
    let snapshot = repository
        .snapshot(BackupSelector::Latest, &context)
        .await?;
    let file = snapshot.open_file(&path).await?;
    let mut randomness = [0; 40];
    context.runtime.random.fill(&mut randomness);
    let wanted = RedisRestoreOptions::new(file.len(), randomness);
    let mut content = file.into_stream()?;
    let cancel = context.cancel.clone();
    let restored = spawn_blocking(move || {
        let mut restore = RedisRestore::start(&other, &wanted, &cancel)?;
        if let Err(error) = io::copy(&mut content, &mut restore) {
            restore.give_up()?;
            return Err(error.into());
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(restore.finish()?)
    });
    let restored = restored.await?.map_err(|error| error.to_string())?;
    println!("{} keys restored", restored.keys);
    Ok(())
}
