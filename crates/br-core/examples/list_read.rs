//! Lists the newest backup of a repository and prints one of its files: `list_read REPOSITORY PATH`.

#![expect(clippy::print_stdout, reason = "an example")]

use br_core::model::EntryPath;
use br_core::{BackupSelector, Context, Location, Repository, StorageOptions, WalkOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let [repository, path] = std::array::from_fn(|_| args.next().unwrap_or_default());
    let context = Context::system();
    let location = repository.parse::<Location>()?;
    let repository = Repository::open(&location, &StorageOptions::default(), None).await?;
    let snapshot = repository
        .snapshot(BackupSelector::Latest, &context)
        .await?;

    let mut entries = snapshot.walk(&EntryPath::root(), &WalkOptions::default());
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        println!("{:>12} {}", entry.size(), entry.path);
    }
    snapshot.dump(&path.parse()?, std::io::stdout()).await?;
    Ok(())
}
