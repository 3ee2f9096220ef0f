//! The bytes of a file between the last cut and the last read.

use std::io::{self, Read};

/// Number of bytes per read of a large file.
pub(super) const READ_LEN: usize = 1 << 20;

/// A buffer that moves along a file. Its memory is filled with zeros only once: a pipe returns 64 KiB of each MiB that a read asks for, so
/// filling the rest each time would take longer than reading.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    /// Forgets all bytes, for the next file.
    pub(super) const fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The bytes that were read and not passed.
    pub(super) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Passes the first `len` bytes, which must have been read.
    pub(super) const fn pass(&mut self, len: usize) {
        self.start += len;
    }

    /// Reads at most `len` bytes, and returns them; none at the end of the file.
    ///
    /// # Errors
    /// Those of the reader.
    pub(super) fn read(&mut self, reader: &mut dyn Read, len: usize) -> io::Result<&[u8]> {
        self.make_room(len);
        let room = self.bytes.len().min(self.end + len);
        let room = &mut self.bytes[self.end..room];
        let read = loop {
            match reader.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?.min(room.len()),
            }
        };
        let before = self.end;
        self.end += read;
        Ok(&self.bytes[before..self.end])
    }

    /// Moves the bytes to the front, or to a larger buffer, if there is room for less than a quarter of a read.
    fn make_room(&mut self, len: usize) {
        let is_enough = |free| free > 0 && free >= len / 4;
        if is_enough(self.bytes.len() - self.end) {
            return;
        }
        let left = self.end - self.start;
        if is_enough(self.bytes.len() - left) {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let mut larger = vec![0; left + len.max(2 * READ_LEN)];
            larger[..left].copy_from_slice(self.data());
            self.bytes = larger;
        }
        (self.start, self.end) = (0, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns so many bytes per read, and sometimes is interrupted.
    struct Slow<'a> {
        rest: &'a [u8],
        lens: std::iter::Cycle<std::slice::Iter<'static, usize>>,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = *self.lens.next().unwrap();
            if len == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let end = buffer.len().min(len);
            self.rest.read(&mut buffer[..end])
        }
    }

    #[test]
    fn each_byte_is_read_once_and_in_order() {
        let content: Vec<u8> = (0..9_000_000u64).map(|n| (n * n % 251) as u8).collect();
        for lens in [
            &[1_000_000][..],
            &[65_536],
            &[3 << 20],
            &[70_000, 0, 1, 900_000],
        ] {
            for (most, passed) in [(READ_LEN, 300_000), (READ_LEN, 0), (3 << 20, 1), (9, 4)] {
                let content = &content[..content.len().min(most * 40)];
                let mut reader = Slow {
                    rest: content,
                    lens: lens.iter().cycle(),
                };
                let mut window = Window::default();
                window.clear();
                let (mut at, mut read) = (0, 0);
                loop {
                    let new = window.read(&mut reader, most).unwrap();
                    assert_eq!(new, &content[read..read + new.len()]);
                    if new.is_empty() {
                        break;
                    }
                    read += new.len();
                    assert_eq!(window.data(), &content[at..read]);
                    let step = passed.min(read - at);
                    window.pass(step);
                    at += step;
                }
                assert_eq!(read, content.len(), "{lens:?}, {most}, {passed}");
            }
        }
    }
}
