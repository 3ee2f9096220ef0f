//! What a program does every day: applies a policy, frees the space, verifies a part of the data, and adds a second password.

#![expect(clippy::print_stdout, reason = "an example")]

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::forget::{self, ForgetOptions};
use br_core::engine::prune::{self, PruneOptions};
use br_core::jiff::tz::TimeZone;
use br_core::model::retention::{KeepCount, KeepReason, RetentionPolicy, RetentionRule};
use br_core::source::MemorySource;
use br_core::{Context, InitOptions, Location, NewKey, Repository, blocking};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let location = Location::Local(temporary.path().join("repository"));
    let context = Context::system();
    blocking(async {
        let options = InitOptions::default().with_password("open sesame");
        let repository = Repository::init(&location, &options, &context).await?;
        for day in 1..=5 {
            let text = format!("day {day}");
            let source = MemorySource::new([("notes.txt", text)])?;
            let options = BackupOptions::new("my-host", "me", vec![b"notes.txt".to_vec()]);
            let report = backup(&repository, source, &options, &context).await?;
            println!("day {day}: complete: {}", report.backup.is_complete());
        }

        let mut policy = RetentionPolicy::new(TimeZone::UTC);
        policy.rules = vec![RetentionRule::Last(KeepCount::Number(2))];
        let plan = forget::plan(&repository, &ForgetOptions::new(policy), &context).await?;
        for decision in plan.retention.decisions() {
            let reasons: Vec<_> = decision.reasons.iter().map(KeepReason::name).collect();
            println!("{}: {}", decision.backup.id, reasons.join(", "));
        }
        let deleted = forget::forget(&repository, &plan, &context).await?;
        println!("deleted {}", deleted.len());
        let plan = prune::plan(&repository, &PruneOptions::default(), &context).await?;
        let _ = prune::prune(&repository, &plan, &context).await?;

        let options = CheckOptions::default().with_data(ReadData::All);
        let report = check(&repository, &options, &context).await?;
        println!("sound: {}", report.is_sound());

        let key = NewKey::new("another password", "second");
        repository.add_key(&key, &context).await?;
        for key in repository.keys().await? {
            println!("key {}, in use: {}", key.label, key.current);
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?
}
