//! Cancels a backup and makes it again: packs that were stored are not stored twice.
//!
//! The journal is in a folder of this machine. Without it, the next backup stores no data twice either, but looks for it in the store.

#![expect(clippy::print_stdout, reason = "an example")]

use std::io::{self, Read};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{FileTime, Owner};
use br_core::source::StreamSource;
use br_core::{CancellationToken, Context, ErrorKind, InitOptions, Location, Repository};

const LEN: u64 = 200 << 20;

/// Bytes that do not compress. After `LEN / 2` bytes the user changes their mind, if there is a token.
struct Noise {
    done: u64,
    state: u64,
    cancel: Option<CancellationToken>,
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (buffer.len() as u64 / 8 * 8).min(LEN - self.done) as usize;
        for bytes in buffer[..len].chunks_exact_mut(8) {
            // xorshift64
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            bytes.copy_from_slice(&self.state.to_le_bytes());
        }
        self.done += len as u64;
        if let Some(cancel) = self.cancel.as_ref().filter(|_| self.done >= LEN / 2) {
            cancel.cancel();
        }
        Ok(len)
    }
}

fn noise(cancel: Option<CancellationToken>) -> br_core::Result<StreamSource> {
    let (done, state) = (0, 1);
    let content = Noise {
        done,
        state,
        cancel,
    };
    let path = "noise".parse()?;
    Ok(StreamSource::new(
        path,
        content,
        FileTime::default(),
        Owner::default(),
    ))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let location = Location::Local(folder.path().join("repository"));
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
    let options = BackupOptions::new("my-host", "me", vec![b"noise".to_vec()])
        .with_journal(Some(folder.path().join("journal")));

    let cancel = CancellationToken::new();
    let may_stop = context.clone().with_cancel(cancel.clone());
    match backup(&repository, noise(Some(cancel))?, &options, &may_stop).await {
        Err(error) if error.kind() == ErrorKind::Interrupted => println!("cancelled"),
        other => println!("not cancelled: {other:?}"),
    }

    let report = backup(&repository, noise(None)?, &options, &context).await?;
    println!("stored before: {}", report.packs_resumed > 0);
    println!("stored again: {}", report.backup.changes.bytes_added == LEN);
    Ok(())
}
