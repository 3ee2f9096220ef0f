//! Backs up standard input as one file, without its own async runtime: `stream_in REPOSITORY NAME`.

#![expect(clippy::print_stdout, reason = "an example")]

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::StreamSource;
use br_core::{Context, InitOptions, Location, Repository, blocking};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let [repository, name] = std::array::from_fn(|_| args.next().unwrap_or_default());
    let context = Context::system();
    let path = EntryPath::new(name.as_bytes())?;
    let source = StreamSource::new(
        path,
        std::io::stdin(),
        FileTime::default(),
        Owner::default(),
    );
    let report = blocking(async {
        let location = repository.parse::<Location>()?;
        let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
        let options = BackupOptions::new("my-host", "me", vec![name.into_bytes()]);
        Ok::<_, Box<dyn std::error::Error>>(backup(&repository, source, &options, &context).await?)
    })??;
    println!("stored {} bytes", report.backup.totals.bytes);
    Ok(())
}
