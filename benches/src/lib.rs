//! Workloads of the benchmarks.
//!
//! [`bytes`] makes content, [`StreamSource`]s of it are backed up into memory: no disk takes part, so that runs on
//! different machines differ by their processors only.

use br_core::engine::backup::{BackupOptions, BackupReport, backup};
use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::StreamSource;
use br_core::{Context, InitOptions, Repository, Result, Storage};

/// Content of about a given compressibility, the same at every call.
#[must_use]
pub fn bytes(len: usize, kind: Kind) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    match kind {
        Kind::Noise => (0..len).map(|_| next() as u8).collect(),
        Kind::Text => {
            const WORDS: [&[u8]; 8] = [
                b"static ", b"int ", b"struct ", b"return ", b"if (", b") {\n", b"0x", b"_lock",
            ];
            let mut out = Vec::with_capacity(len + 16);
            while out.len() < len {
                let random = next();
                out.extend_from_slice(WORDS[(random % 8) as usize]);
                out.extend_from_slice(format!("{:x}", random >> 44).as_bytes());
            }
            out.truncate(len);
            out
        }
    }
}

/// What content is like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Does not compress.
    Noise,
    /// Compresses like source code.
    Text,
}

/// Makes a repository in memory.
///
/// # Errors
/// Never, unless the engine is broken.
pub async fn repository() -> Result<Repository> {
    Repository::init_storage(
        Storage::memory(),
        &InitOptions::default(),
        &Context::system(),
    )
    .await
}

/// Backs content up as one file.
///
/// # Errors
/// Never, unless the engine is broken.
pub async fn store(repository: &Repository, content: Vec<u8>) -> Result<BackupReport> {
    let path = EntryPath::new(b"stream".as_slice()).unwrap_or_default();
    let content = std::io::Cursor::new(content);
    let source = StreamSource::new(path, content, FileTime::default(), Owner::default());
    let options = BackupOptions::new("bench", "bench", vec![b"stream".to_vec()]);
    backup(repository, source, &options, &Context::system()).await
}
