//! Targets of archives.
//!
//! [`Target`] is a place for an archive: [`Folder`] on the local disk, [`Callback`] anywhere else. Invariant: no target replaces a file.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A place for an archive.
pub trait Target {
    /// True if it is a folder, where files of some clusters are framed.
    fn is_local(&self) -> bool;

    /// Writes a file.
    ///
    /// # Errors
    /// `AlreadyExists` if the name exists, or another I/O error.
    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes only a part of a file.
    ///
    /// # Errors
    /// An I/O error.
    fn crash(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// A folder. It is created with the first file.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    framed: bool,
    drafts: u64,
    made: BTreeSet<PathBuf>,
}

impl Folder {
    /// The folder that a server of the cluster writes to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            framed: true,
            drafts: 0,
            made: BTreeSet::new(),
        }
    }

    /// A folder that is reached through the endpoint `disk` of S3: its files are raw.
    #[must_use]
    pub fn as_s3(self) -> Self {
        Self {
            framed: false,
            ..self
        }
    }

    fn parent(&mut self, path: &Path) -> io::Result<()> {
        let parent = path.parent().expect("names are relative").to_owned();
        if !self.made.contains(&parent) {
            fs::create_dir_all(&parent)?;
            self.made.insert(parent);
        }
        Ok(())
    }

    /// The temporary path of a file.
    fn draft(&mut self) -> PathBuf {
        loop {
            self.drafts += 1;
            let number = 1_000_000_007 * self.drafts % 3_999_999_979;
            let path = self.root.join(format!(".tmp.{number}"));
            // An earlier run may have left one.
            if !path.exists() {
                return path;
            }
        }
    }
}

impl Target for Folder {
    fn is_local(&self) -> bool {
        self.framed
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(name);
        if path.try_exists()? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.parent(&path)?;
        let draft = self.draft();
        fs::File::create_new(&draft)?.write_all(bytes)?;
        fs::rename(draft, path)
    }

    fn crash(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(name);
        self.parent(&path)?;
        let draft = self.draft();
        fs::write(draft, &bytes[..bytes.len() / 2])
    }
}

/// A function that writes files somewhere, such as a bucket. It must refuse to replace one.
pub struct Callback<F>(pub F);

impl<F> fmt::Debug for Callback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl<F: FnMut(&str, &[u8]) -> io::Result<()>> Target for Callback<F> {
    fn is_local(&self) -> bool {
        false
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        (self.0)(name, bytes)
    }

    /// An unfinished upload leaves nothing.
    fn crash(&mut self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
