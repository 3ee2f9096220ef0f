//! Writing the content of one file of a backup to a stream.

use std::io::Write;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::view::View;
use crate::error::{Error, Result};
use crate::model::{BackupId, ChunkRef, Content, Entry, EntryKind, EntryPath};
use crate::progress::{Context, Event};
use crate::repository::{ChunkReader, Repository, TreeReader};

/// Chunks fetched together: at most 4 MiB, usually some 64.
const READ_AHEAD: u64 = 4 << 20;

/// Writes the content of the file at `path` to `to`, holes as zeros, and returns its entry.
///
/// # Errors
/// When there is no such file, its data is damaged (checked before it is written, and once more against the file's
/// SHA-256 at the end), or `to` fails.
pub async fn dump(
    repository: &Repository,
    backup: BackupId,
    path: EntryPath,
    mut to: impl Write + Send + 'static,
    context: &Context,
) -> Result<Entry> {
    let work = move |io: &crate::repository::Io| {
        let view = View::open(io)?;
        let backup = view.position.state.get(backup)?;
        let mut entries = TreeReader::new(&view.reader, backup).select(vec![path.clone()]);
        let entry = loop {
            match entries.next() {
                Some(Ok(entry)) if entry.path == path => break entry,
                Some(Ok(_)) => {}
                Some(Err(gap)) => return Err(gap.error),
                None => {
                    return Err(Error::invalid(format!(
                        "there is no {path} in {}",
                        backup.id
                    )));
                }
            }
        };
        write_content(&view.reader, &entry, &mut to)?;
        Ok(entry)
    };
    repository.run(context, work).await
}

fn write_content(reader: &Arc<ChunkReader>, entry: &Entry, to: &mut dyn Write) -> Result<()> {
    let EntryKind::File(file) = &entry.kind else {
        let what = entry.kind.name();
        return Err(Error::invalid(format!(
            "{} is a {what}, not a file",
            entry.path
        )));
    };
    let mut out = Output {
        to,
        sha: file.sha256.map(|_| Sha256::new()),
        position: 0,
    };
    let mut extents = file.data_extents();
    let mut here = extents.next();
    let mut put = |mut data: &[u8]| -> Result<()> {
        while let Some(extent) = &mut here {
            if data.is_empty() {
                return Ok(());
            }
            out.zeros_until(extent.offset)?;
            let len = extent.len.min(data.len() as u64);
            out.write(&data[..len as usize])?;
            data = &data[len as usize..];
            extent.offset += len;
            extent.len -= len;
            if extent.len == 0 {
                here = extents.next();
            }
        }
        Ok(())
    };
    match &file.content {
        Content::Inline(bytes) => put(bytes)?,
        Content::Chunks(chunks) => {
            for run in runs(chunks) {
                reader.io().check_cancelled()?;
                for bytes in reader.read_many(run) {
                    let bytes = bytes?;
                    let len = bytes.len() as u64;
                    reader.io().context.progress.event(Event::Advance {
                        bytes: len,
                        entries: 0,
                    });
                    put(&bytes)?;
                }
            }
        }
    }
    out.zeros_until(file.size)?;
    out.to
        .flush()
        .map_err(|error| Error::io("cannot write the output", error))?;
    let digest: Option<[u8; 32]> = out.sha.map(|sha| sha.finalize().into());
    if digest == file.sha256 {
        Ok(())
    } else {
        Err(Error::damaged(format!(
            "the content of {} has another SHA-256",
            entry.path
        )))
    }
}

/// Splits chunks into runs that are fetched together.
fn runs(mut chunks: &[ChunkRef]) -> impl Iterator<Item = &[ChunkRef]> {
    std::iter::from_fn(move || {
        let mut len = 0;
        let fits = |chunk: &&ChunkRef| {
            let first = len == 0;
            len += u64::from(chunk.len);
            first || len <= READ_AHEAD
        };
        let count = chunks.iter().take_while(fits).count();
        let (run, rest) = chunks.split_at(count);
        chunks = rest;
        (!run.is_empty()).then_some(run)
    })
}

struct Output<'a> {
    to: &'a mut dyn Write,
    sha: Option<Sha256>,
    position: u64,
}

impl Output<'_> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.to
            .write_all(data)
            .map_err(|error| Error::io("cannot write the output", error))?;
        if let Some(sha) = &mut self.sha {
            sha.update(data);
        }
        self.position += data.len() as u64;
        Ok(())
    }

    fn zeros_until(&mut self, offset: u64) -> Result<()> {
        const ZEROS: [u8; 8192] = [0; 8192];
        while self.position < offset {
            let len = (offset - self.position).min(ZEROS.len() as u64);
            self.write(&ZEROS[..len as usize])?;
        }
        Ok(())
    }
}
