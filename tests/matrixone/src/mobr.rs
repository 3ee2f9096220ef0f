//! The files that `mo_br` adds to an archive of the server.
//!
//! [`MoBr`] keeps a root of nested backups with its catalogue. Invariant: the catalogue has one line for each backup, and the same line is in a
//! file next to the backup.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::archive::Backup;
use crate::cluster::Cluster;
use crate::format::{csv_line, hex, sha256};
use crate::step::{Summary, Verdict};
use crate::target::{Folder, Target as _};
use crate::ts::with_zone;

/// A root of backups in the layout of `mo_br`: `full-<id>`, `incremental-<id>`, `<id>.meta`, and a catalogue.
#[derive(Debug)]
pub struct MoBr {
    root: PathBuf,
    catalogue: PathBuf,
    /// The path of the root in the catalogue.
    shown: String,
}

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its folder below the root.
    pub folder: String,
    /// The server's summary.
    pub summary: Summary,
}

impl MoBr {
    /// Writes backups below the root, and the catalogue `mo_br.meta` in another folder.
    #[must_use]
    pub fn new(root: &Path, catalogue_folder: &Path) -> Self {
        Self {
            root: root.to_owned(),
            catalogue: catalogue_folder.join("mo_br.meta"),
            shown: root.display().to_string(),
        }
    }

    /// Sets another path for the root in the catalogue.
    #[must_use]
    pub fn shown_as(self, shown: impl Into<String>) -> Self {
        let shown = shown.into();
        Self { shown, ..self }
    }

    /// Makes a backup.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn run(&self, cluster: &mut Cluster, backup: &Backup, id: &str) -> Made {
        let moment = cluster.moment();
        let folder = format!("{}-{id}", backup.kind);
        let path = self.root.join(&folder);
        let mut target = Folder::new(&path);
        let meta = csv_line(&["id", id, ""]) + &csv_line(&["version", "0823", ""]);
        for (name, bytes) in with_digest("backup_meta", meta.as_bytes()) {
            target.put(&name, &bytes).unwrap();
        }
        let summary = backup
            .run_with(&moment, &mut target, &mut |_| Verdict::Go)
            .unwrap();
        self.note(backup, id, &folder, &summary).unwrap();
        Made { folder, summary }
    }

    /// Writes the line of the catalogue, in both places.
    fn note(&self, backup: &Backup, id: &str, folder: &str, summary: &Summary) -> io::Result<()> {
        let seconds = summary.backup_ts.seconds();
        let line = csv_line(&[
            id,
            &summary.listed_bytes.to_string(),
            "filesystem",
            "",
            "",
            "",
            "",
            "",
            "",
            "false",
            &self.shown,
            &with_zone(seconds, 8),
            "2.736081646s",
            &with_zone(seconds + 3, 8),
            &summary.backup_ts.to_string(),
            &backup.kind,
            folder,
        ]);
        for (name, bytes) in with_digest(&format!("{id}.meta"), line.as_bytes()) {
            fs::write(self.root.join(name), bytes)?;
        }
        let mut options = fs::OpenOptions::new();
        let mut catalogue = options.create(true).append(true).open(&self.catalogue)?;
        catalogue.write_all(line.as_bytes())?;
        let digest = hex(&sha256(&fs::read(&self.catalogue)?));
        fs::write(self.catalogue.with_extension("meta.sha256"), digest)
    }
}

/// A file and its digest file.
fn with_digest(name: &str, content: &[u8]) -> [(String, Vec<u8>); 2] {
    [
        (name.to_owned(), content.to_owned()),
        (format!("{name}.sha256"), sha256(content).to_vec()),
    ]
}
