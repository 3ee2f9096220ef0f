//! Sends a backup somewhere else: a sink that fills a map.

use std::collections::BTreeMap;
use std::io::{self, Read};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::export::{ExportOptions, export};
use br_core::model::{Entry, EntryKind};
use br_core::sink::Sink;
use br_core::source::MemorySource;
use br_core::{BackupSelector, Context};

use crate::TestResult;

#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl Sink for Texts {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if let EntryKind::File(_) = entry.kind {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            self.0.insert(entry.path.to_string(), text);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_sink_gets_every_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = br_embed::repository(folder.path(), &context).await?;
    let files = [("etc/app.toml", "a = 1"), ("notes.txt", "to keep")];
    let source = MemorySource::new(files)?;
    let options = BackupOptions::new("host", "me", vec![]);
    let made = backup(&repository, source, &options, &context).await?;

    let everything = ExportOptions::default();
    let latest = BackupSelector::Latest;
    let (texts, report) =
        export(&repository, latest, Texts::default(), &everything, &context).await?;
    let expected = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(texts.0, BTreeMap::from(expected));
    assert_eq!(report.totals.files, 2);

    let one = ExportOptions::default().with_paths(vec!["etc".parse()?]);
    let (texts, _) = export(&repository, &made.backup, Texts::default(), &one, &context).await?;
    assert_eq!(texts.0.len(), 1);
    Ok(())
}
