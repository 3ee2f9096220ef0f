//! Backs up what a program writes, and gives it back to another one. A program that fails makes no backup.

#![expect(clippy::print_stdout, reason = "an example")]

use std::process::Command;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::dump::dump_to_command;
use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::{CommandSource, CommandStream, StreamRules};
use br_core::target::CommandTarget;
use br_core::{Context, InitOptions, Location, Repository, blocking};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let location = Location::Local(temporary.path().join("repository"));
    let context = Context::system();
    let path: EntryPath = "db/shop.sql".parse()?;
    // In place of `pg_dump shop`.
    let dump = |script: &str| {
        let mut program = Command::new("sh");
        program.args(["-c", script]);
        let rules = StreamRules::default().with_end_mark(Some("-- end".to_owned()));
        let stream = CommandStream::new(path.clone(), program).with_rules(rules);
        let (time, owner, cancel) = (
            FileTime::default(),
            Owner::default(),
            context.cancel.clone(),
        );
        CommandSource::new(vec![stream], time, owner, cancel)
    };
    blocking(async {
        let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
        let options = BackupOptions::new("my-host", "me", Vec::new());
        for script in ["echo rows; exit 1", "echo rows", "echo rows; echo -- end"] {
            match backup(&repository, dump(script), &options, &context).await {
                Ok(report) => println!("{script}: {} bytes", report.backup.totals.bytes),
                Err(error) => println!("{script}: {}", error.causes().join(": ")),
            }
        }
        // In place of `psql -1 shop`.
        let mut program = Command::new("wc");
        program.arg("-l");
        let (latest, target) = (
            "latest".parse::<br_core::BackupSelector>()?,
            CommandTarget::new(program),
        );
        let (_, lines) =
            dump_to_command(&repository, latest, path.clone(), target, &context).await?;
        println!("lines: {lines}");
        Ok::<_, Box<dyn std::error::Error>>(())
    })?
}
