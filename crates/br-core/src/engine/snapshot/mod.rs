//! A backup that stays open: look up entries, list folders, read parts of files.
//!
//! [`Snapshot`] is the handle, [`WalkOptions`] say which entries a walk yields, [`FileReader`] reads a file at any offset and
//! [`FileStream`] is the same as `Read` and `Seek`. Invariant: a snapshot shows one backup as it was when it was opened. It reads
//! the commit log and the index once. It reads the log again only if data is missing, to find out whether a prune is the cause.

mod file;
mod file_map;
mod stream;
mod walk;

use std::io::Write;
use std::sync::Arc;

pub use file::FileReader;
pub use stream::FileStream;
pub use walk::WalkOptions;

use super::dump;
use super::feed::{Feed, FeedSender};
use super::view::{BackupView, View};
use crate::error::{Error, ErrorKind, Result};
use crate::format::LogEntry;
use crate::model::{Backup, Entry, EntryPath};
use crate::progress::Context;
use crate::repository::{BackupSelector, Io, LogPosition, Repository};

/// One backup, open for reading. Clones share everything and are cheap.
///
/// It keeps the position in the commit log, the index, and a cache: up to 40 MiB of tree nodes and 24 MiB of file data.
/// It takes no lock. While it is open, a prune may delete or move data of the backup. Then a call fails with
/// [`ErrorKind::Conflict`]. Open the backup again: everything can be read, unless the backup was deleted.
///
/// Every method works on the tokio runtime from which it is called, and ends with [`ErrorKind::Invalid`] outside of a runtime.
/// Dropping the future of a call cancels that call. Cancelling the context that the snapshot was opened with cancels every call.
///
/// ```
/// # use br_core::engine::backup::{backup, BackupOptions};
/// # use br_core::model::{EntryPath, FileTime, Owner};
/// # use br_core::source::StreamSource;
/// # use br_core::{blocking, BackupSelector, Context, InitOptions, Repository, Storage};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # blocking(async {
/// # let context = Context::system();
/// # let repository = Repository::init_storage(Storage::memory(), &InitOptions::default(), &context).await?;
/// # let path = EntryPath::new(*b"dump.sql")?;
/// # let source = StreamSource::new(path.clone(), &b"create table t"[..], FileTime::default(), Owner::default());
/// # backup(&repository, source, &BackupOptions::new("host", "user", vec![]), &context).await?;
/// let snapshot = repository.snapshot(BackupSelector::Latest, &context).await?;
/// let file = snapshot.open_file(&path).await?;
/// assert_eq!(file.len(), 14);
/// assert_eq!(&file.read_at(7, 5).await?[..], b"table");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    view: BackupView,
    position: LogPosition,
    /// The access of the call that opened the snapshot. Later calls derive theirs from it.
    io: Io,
}

impl Repository {
    /// Opens one backup for reading. Requests: those for the commit log, as for `br list`, and those for the index; none for the
    /// backup itself. `docs/requests.md` has figures.
    ///
    /// # Errors
    /// As [`Repository::find`], and when the log or the index cannot be read.
    pub async fn snapshot(
        &self,
        selector: impl Into<BackupSelector>,
        context: &Context,
    ) -> Result<Snapshot> {
        let (selector, kept) = (selector.into(), context.clone());
        let work = move |io: &Io| {
            let view = View::open(io)?;
            let mut backup = view.backup(&selector)?;
            backup.reader = Arc::new(backup.reader.lasting());
            Ok(Snapshot {
                inner: Arc::new(Inner {
                    context: kept,
                    view: backup,
                    position: view.position,
                    io: io.lasting(),
                }),
            })
        };
        self.run(context, work).await
    }
}

impl Snapshot {
    /// The backup, as the backup list has it. No request.
    #[must_use]
    pub fn backup(&self) -> &Backup {
        &self.inner.view.backup
    }

    /// The entry at a path. Requests: none if the tree nodes that lead there are in memory, as nodes near a node that was read
    /// usually are. Otherwise one for each level of the tree: one level up to some hundred entries, two up to some hundred
    /// thousand. A file with more than some thousand chunks also needs requests for its chunk lists.
    ///
    /// # Errors
    /// [`ErrorKind::PathNotFound`] when the backup has no entry at the path. [`ErrorKind::Damaged`] when the tree cannot be
    /// read there, and [`ErrorKind::Conflict`] if a prune may be the cause.
    pub async fn stat(&self, path: &EntryPath) -> Result<Entry> {
        let path = path.clone();
        self.run(move |view| view.stat(&path)).await
    }

    /// Streams the entries directly in a folder, in path order: those whose parent is `path`. Requests: as for
    /// [`Snapshot::stat`], and for a large folder one for every few thousand entries. It does not read tree nodes that have only
    /// entries of subfolders.
    ///
    /// A backup may have a file without entries for the folders above it, such as a stream that was stored as `db/dump.sql`.
    /// Then the root has no child `db`, but [`Snapshot::walk`] finds the file.
    ///
    /// # Errors
    /// The feed ends with an error as [`Snapshot::walk`].
    pub fn children(&self, path: &EntryPath) -> Feed<Entry> {
        let path = path.clone();
        self.feed(move |view, out| walk::children(view, &path, out))
    }

    /// Streams the entry at a path and everything below it, in path order, limited by the options. Requests: one for each
    /// run of nearby tree nodes that are not in memory.
    ///
    /// # Errors
    /// The feed ends with an error: [`ErrorKind::PathNotFound`] when the backup has nothing at the path or below it, otherwise
    /// as [`Snapshot::stat`].
    pub fn walk(&self, path: &EntryPath, options: &WalkOptions) -> Feed<Entry> {
        let (path, options) = (path.clone(), options.clone());
        self.feed(move |view, out| walk::walk(view, &path, &options, out))
    }

    /// Streams all entries, or those at and below `paths` with the folders above them, as [`ls`](super::ls::ls) does.
    ///
    /// # Errors
    /// As [`Snapshot::walk`].
    pub fn list(&self, paths: Vec<EntryPath>) -> Feed<Entry> {
        self.feed(move |view, out| view.list(paths, usize::MAX, out))
    }

    /// Opens a file for reading at any offset. Requests: those of [`Snapshot::stat`].
    ///
    /// # Errors
    /// As [`Snapshot::stat`], and [`ErrorKind::Invalid`] when the entry is not a regular file.
    pub async fn open_file(&self, path: &EntryPath) -> Result<FileReader> {
        let path = path.clone();
        let entry = self.run(move |view| view.file(&path)).await?;
        FileReader::new(self.clone(), entry)
    }

    /// Writes the whole content of the file at `path` to `to` and returns its entry, as [`dump`](super::dump::dump()) does. It reads
    /// ahead and, unlike a [`FileReader`], compares the SHA-256 of the whole file.
    ///
    /// # Errors
    /// As [`dump`](super::dump::dump()).
    pub async fn dump(
        &self,
        path: &EntryPath,
        mut to: impl Write + Send + 'static,
    ) -> Result<Entry> {
        let path = path.clone();
        self.run(move |view| dump::write(view, &path, &mut to))
            .await
    }

    /// Runs blocking work on the view.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BackupView) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        let io = inner.io.again(&inner.context)?;
        io.run(move |io| work(&inner.view(io)).map_err(|error| inner.explain(io, error)))
            .await
    }

    fn feed<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BackupView, &mut FeedSender<T>) -> Result<()> + Send + 'static,
    ) -> Feed<T> {
        let inner = Arc::clone(&self.inner);
        let io = inner.io.again(&inner.context);
        Feed::start_on(io, move |io, out| {
            work(&inner.view(io), out).map_err(|error| inner.explain(io, error))
        })
    }
}

impl Inner {
    /// The view with the access of one call.
    fn view(&self, io: &Io) -> BackupView {
        BackupView {
            backup: self.view.backup.clone(),
            reader: Arc::new(self.view.reader.with_io(io)),
        }
    }

    /// Finds out whether data is missing because a prune removed it after the snapshot was opened.
    fn explain(&self, io: &Io, error: Error) -> Error {
        if !error.is_damage() {
            return error;
        }
        let is_prune =
            |entry: &LogEntry| matches!(entry, LogEntry::Condemn { .. } | LogEntry::Swept { .. });
        // If the log cannot be read either, the first error says more.
        let entries = self.position.clone().refresh(io).unwrap_or_default();
        if !entries.iter().any(is_prune) {
            return error;
        }
        let message = format!(
            "a prune changed the repository after the backup {} was opened: open it again",
            self.view.backup.id
        );
        Error::new(ErrorKind::Conflict, message).with_source(error)
    }
}
