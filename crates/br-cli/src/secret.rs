//! Secrets: the one reader for passwords and keys, wherever they come from.
//!
//! [`Secret::of_file`], [`Secret::of_output`], [`Secret::of_variable`] and [`Secret::of_prompt`] all take the same text: a
//! byte order mark at the start and one line end (`\n` or `\r\n`) at the end are not part of it; it is not empty; and it is
//! one line. Invariant: a secret never appears in debug output, in an error or in an argument, and is wiped when it is dropped.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// No secret is longer, in bytes.
const MOST: usize = 64 << 10;
/// Bits that let the group or others read a file.
const READABLE_BY_OTHERS: u32 = 0o044;

/// The line that came from standard input, and the option it was for, which may ask for it again.
static LINE: Mutex<Option<(String, Secret)>> = Mutex::new(None);

/// A password or a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why something is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSecret {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has more than one line.
    #[error("it has more than one line")]
    SeveralLines,
    /// It is longer than any secret.
    #[error("it is longer than {} KiB", MOST >> 10)]
    TooLong,
    /// It must be text, and is not.
    #[error("it is not text in UTF-8")]
    NotText,
    /// Standard input has one secret only.
    #[error("{0} has its secret from standard input already")]
    Taken(String),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Secret {
    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text.
    pub(crate) fn to_text(&self) -> Result<br_core::Secret, BadSecret> {
        let text = std::str::from_utf8(&self.0).map_err(|_| BadSecret::NotText)?;
        Ok(br_core::Secret::new(text))
    }

    /// Reads the secret of an option from a file, or the first line of standard input when the file is called `-`.
    pub(crate) fn of_file(file: &Path, option: &str) -> Result<Self, BadSecret> {
        if file.as_os_str() == OsStr::new("-") {
            return Self::of_stdin(option);
        }
        // Room for all of it at once: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 1));
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        std::fs::File::open(file)?
            .take(most + 1)
            .read_to_end(&mut bytes)?;
        Self::of_bytes(bytes)
    }

    /// Takes what a command printed.
    pub(crate) fn of_output(stdout: Vec<u8>) -> Result<Self, BadSecret> {
        Self::of_bytes(Zeroizing::new(stdout))
    }

    /// Takes a variable of the environment.
    pub(crate) fn of_variable(value: OsString) -> Result<Self, BadSecret> {
        Self::of_bytes(Zeroizing::new(value.into_vec()))
    }

    /// Asks on the terminal.
    pub(crate) fn of_prompt(prompt: &str) -> Result<Self, BadSecret> {
        let typed = rpassword::prompt_password(prompt)?;
        Self::of_bytes(Zeroizing::new(typed.into_bytes()))
    }

    /// Takes an argument.
    pub(crate) fn of_argument(text: &str) -> Result<Self, BadSecret> {
        Self::of_bytes(Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn of_stdin(option: &str) -> Result<Self, BadSecret> {
        let mut known = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((owner, line)) if owner == option => Ok(line.clone()),
            Some((owner, _)) => Err(BadSecret::Taken(owner.clone())),
            None => {
                let line = if io::stdin().is_terminal() {
                    Self::of_prompt(&format!("Secret for {option}: "))?
                } else {
                    Self::of_bytes(read_line()?)?
                };
                *known = Some((option.to_owned(), line.clone()));
                Ok(line)
            }
        }
    }

    /// The rule for all of them.
    fn of_bytes(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, BadSecret> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if bytes.len() > MOST {
            return Err(BadSecret::TooLong);
        }
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if let Some(end) = end {
            let more = &bytes[end..];
            if more.iter().any(|byte| !matches!(byte, b'\n' | b'\r')) {
                return Err(BadSecret::SeveralLines);
            }
            bytes.truncate(end);
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if bytes.is_empty() {
            return Err(BadSecret::Empty);
        }
        Ok(Self(bytes))
    }
}

/// True when the group or others may read a file that holds a secret.
pub(crate) fn is_readable_by_others(file: &Path) -> bool {
    let found = std::fs::metadata(file).ok();
    found.is_some_and(|found| found.is_file() && found.mode() & READABLE_BY_OTHERS != 0)
}

/// The first line of standard input. What comes after it may be what is to be backed up.
fn read_line() -> Result<Zeroizing<Vec<u8>>, BadSecret> {
    let mut line = Zeroizing::new(Vec::with_capacity(MOST + 1));
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        if line.len() > MOST {
            return Err(BadSecret::TooLong);
        }
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(BadSecret::Io(error.into())),
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let secret = Secret::of_bytes(Zeroizing::new(bytes.to_vec()));
        secret
            .map(|secret| secret.as_bytes().to_vec())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn line_ends_and_marks_are_not_part_of_a_secret() {
        for bytes in [
            &b"one two"[..],
            b"one two\n",
            b"one two\r\n",
            b"one two\n\n",
            b"one two\r\n\r\n",
            b"\xef\xbb\xbfone two",
            b"\xef\xbb\xbfone two\r\n",
        ] {
            assert_eq!(of(bytes), Ok(b"one two".to_vec()), "{bytes:?}");
        }
        assert_eq!(of(b" x \n"), Ok(b" x ".to_vec()), "spaces are kept");
        assert_eq!(of(b"a\rb"), Ok(b"a\rb".to_vec()));
        assert_eq!(of(b"\xff\xfe"), Ok(b"\xff\xfe".to_vec()));
    }

    #[test]
    fn what_is_empty_or_has_several_lines_is_no_secret() {
        for bytes in [
            &b""[..],
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\xef\xbb\xbf",
            b"\xef\xbb\xbf\r\n",
        ] {
            assert_eq!(of(bytes), Err("it is empty".to_owned()), "{bytes:?}");
        }
        for bytes in [&b"a\nb"[..], b"a\r\nb\r\n", b"a\n\nb", b"\na"] {
            assert_eq!(
                of(bytes),
                Err("it has more than one line".to_owned()),
                "{bytes:?}"
            );
        }
        assert!(of(&vec![b'x'; MOST + 1]).unwrap_err().contains("64 KiB"));
    }

    #[test]
    fn a_secret_does_not_show() {
        let secret = Secret::of_argument("hunter2").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
