//! Backs up a folder and restores it elsewhere: `backup_restore FOLDER REPOSITORY TARGET`.

#![expect(clippy::print_stdout, reason = "an example")]

use std::path::PathBuf;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::source::{LocalSource, LocalSourceOptions};
use br_core::{BackupSelector, Context, InitOptions, Location, Repository};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let [folder, repository, target] = std::array::from_fn(|_| args.next().unwrap_or_default());
    let context = Context::system();
    let location = Location::Local(repository);
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;

    // From this path, a restore knows which folders were backed up, and which only lead to them.
    let path = folder.as_os_str().as_encoded_bytes().to_vec();
    let source = LocalSource::new(&[folder], LocalSourceOptions::default())?;
    let options = BackupOptions::new("my-host", "me", vec![path]);
    let report = backup(&repository, source, &options, &context).await?;
    println!("backed up {} files", report.backup.totals.files);

    let options = RestoreOptions::default();
    let report = restore(
        &repository,
        &BackupSelector::Latest,
        target,
        &options,
        &context,
    )
    .await?;
    println!("restored {} files", report.files_restored);
    Ok(())
}
