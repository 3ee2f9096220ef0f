//! Lines of comma-separated fields, as Go's `encoding/csv` writes them.
//!
//! [`Lines`] reads the lines in order, [`fields`] splits a line. Invariant: no line longer than [`Limits::LINE_BYTES`] is kept, so an
//! unclosed quote costs no more than its line. Fields with line breaks are not supported, because no list of an archive has one.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};

use super::error::{Error, Result};
use super::limits::Limits;

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    limit: u64,
}

impl<R: Read> Lines<R> {
    /// Reads at most `limit` bytes.
    pub(crate) fn new(from: R, limit: u64) -> Self {
        Self {
            from: BufReader::with_capacity(64 << 10, from),
            line: Vec::new(),
            number: 0,
            bytes: 0,
            limit,
        }
    }

    /// Returns the next non-empty line, without its line break.
    pub(crate) fn next(&mut self) -> Result<Option<&str>> {
        loop {
            self.line.clear();
            let most = Limits::LINE_BYTES as u64 + 1;
            let mut part = (&mut self.from).take(most);
            let read = part.read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| Error::io("cannot read", error))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            if self.bytes > self.limit {
                let text = format!(
                    "it has more than {} bytes; allow more to read it",
                    self.limit
                );
                return Err(Error::refused(text));
            }
            if read > Limits::LINE_BYTES {
                return Err(self.wrong("it is too long"));
            }
            while self
                .line
                .last()
                .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
            {
                self.line.pop();
            }
            if !self.line.is_empty() {
                break;
            }
        }
        match std::str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(self.wrong("it is not UTF-8")),
        }
    }

    /// The error for the last line.
    pub(crate) fn wrong(&self, why: &str) -> Error {
        Error::damaged(format!("line {}: {why}", self.number))
    }
}

/// Splits a line into fields.
pub(crate) fn fields(line: &str) -> Option<Vec<Cow<'_, str>>> {
    if !line.contains('"') {
        return Some(line.split(',').map(Cow::Borrowed).collect());
    }
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader
        .has_headers(false)
        .flexible(true)
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => Some(
            record
                .iter()
                .map(|field| Cow::Owned(field.to_owned()))
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let mut lines = Lines::new(&b"a\r\n\n\nb,c\nlast"[..], 100);
        assert_eq!(lines.next().unwrap(), Some("a"));
        assert_eq!(lines.next().unwrap(), Some("b,c"));
        assert_eq!(lines.next().unwrap(), Some("last"));
        assert_eq!(lines.next().unwrap(), None);
        let endless = std::io::repeat(b'"');
        assert!(Lines::new(endless, u64::MAX).next().is_err());
        let mut lines = Lines::new(&b"a\nb\nc\n"[..], 3);
        lines.next().unwrap();
        assert!(lines.next().is_err());
    }

    #[test]
    fn quoted_fields_are_parsed() {
        assert_eq!(fields("a,,b").unwrap(), ["a", "", "b"]);
        assert_eq!(fields(r#""a,b","c""d",e"#).unwrap(), ["a,b", "c\"d", "e"]);
        assert_eq!(fields(r#""never closed,b"#).unwrap().len(), 1);
    }
}
