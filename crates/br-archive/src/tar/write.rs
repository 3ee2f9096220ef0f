//! Writer of tar archives.

use std::io::{self, Write};

use tar::{EntryType, Header};

use super::pax::record;
use super::{BLOCK, TarHeader, padding};

/// Sizes up to this fit into eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// Owner and group ids up to this fit into seven octal digits.
const MAX_SHORT_OCTAL: u64 = 0o777_7777;

/// Writes members in order, as ustar.
#[derive(Debug)]
pub(crate) struct TarWriter<W> {
    inner: W,
    padding: u64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) const fn new(inner: W) -> Self {
        Self { inner, padding: 0 }
    }

    /// Begins a member. The caller must then write exactly `size` bytes to [`TarWriter::content`].
    pub(crate) fn begin(&mut self, member: &TarHeader) -> io::Result<()> {
        self.pad()?;
        let mut header = Header::new_ustar();
        let mut records = Vec::new();
        if !member.name.is_ascii() || header.set_path(&member.name).is_err() {
            records.extend(record("path", member.name.as_bytes()));
            // Readers without PAX show this: the end of the path.
            header.set_path(short_name(&member.name))?;
        }
        if member.size > MAX_OCTAL {
            records.extend(record("size", member.size.to_string().as_bytes()));
        }
        header.set_size(if member.size > MAX_OCTAL {
            0
        } else {
            member.size
        });
        header.set_entry_type(EntryType::Regular);
        header.set_mode(member.mode & 0o7777);
        header.set_mtime(member.mtime.min(MAX_OCTAL));
        // Clamps ids that are too large for the format: on other systems they belong to no user anyway.
        header.set_uid(member.uid.min(MAX_SHORT_OCTAL));
        header.set_gid(member.gid.min(MAX_SHORT_OCTAL));
        for set in [Header::set_username, Header::set_groupname] {
            set(&mut header, "")?;
        }
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
        if !records.is_empty() {
            self.extended(&header, &records)?;
        }
        header.set_cksum();
        self.inner.write_all(header.as_bytes())?;
        self.padding = padding(member.size);
        Ok(())
    }

    /// The writer for the content of the current member.
    pub(crate) const fn content(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Ends the archive with its two blocks of zeros.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.pad()?;
        self.zeros(2 * BLOCK)?;
        Ok(self.inner)
    }

    fn extended(&mut self, like: &Header, records: &[u8]) -> io::Result<()> {
        let mut header = like.clone();
        header.set_path("PaxHeaders/member")?;
        header.set_size(records.len() as u64);
        header.set_entry_type(EntryType::XHeader);
        header.set_cksum();
        self.inner.write_all(header.as_bytes())?;
        self.inner.write_all(records)?;
        self.zeros(padding(records.len() as u64))
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.zeros(padding)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        const ZEROS: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];
        let count = usize::try_from(count).unwrap_or(ZEROS.len());
        self.inner.write_all(ZEROS.get(..count).unwrap_or(&ZEROS))
    }
}

/// The end of a path, as ASCII, short enough for every header. The cut could leave a `..` at the start, so leading dots and slashes are
/// removed.
fn short_name(name: &str) -> String {
    let ascii = |c: char| if c.is_ascii() { c } else { '_' };
    let tail: Vec<char> = name.chars().map(ascii).collect();
    let from = tail.len().saturating_sub(90);
    let tail: String = tail.get(from..).unwrap_or_default().iter().collect();
    match tail.trim_start_matches(['/', '.']) {
        "" => "member".to_owned(),
        tail => tail.to_owned(),
    }
}
