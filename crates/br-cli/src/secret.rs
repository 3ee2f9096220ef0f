//! Secrets: one reader for passwords and keys from all sources.
//!
//! [`Secret::of_file`], [`Secret::of_output`], [`Secret::of_variable`] and [`Secret::of_prompt`] share these rules: a secret is one
//! line and not empty; a byte order mark at the start and one line break (`\n` or `\r\n`) at the end are ignored. In a file of `age-keygen`,
//! it is the line with the secret key. Invariant: a
//! secret never appears in debug output, in an error or in an argument, and its memory is wiped when it is dropped.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, IsTerminal as _, Read as _};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// Maximum length of a secret, in bytes.
const MOST: usize = 64 << 10;
/// Begins the secret key of a recipient of the age format.
const IDENTITY: &[u8] = b"AGE-SECRET-KEY-1";
/// Permission bits that let the group or others read a file.
const READABLE_BY_OTHERS: u32 = 0o044;

/// The line from standard input, and the option that it was read for. That option may read it again.
static LINE: Mutex<Option<(String, Secret)>> = Mutex::new(None);

/// A password or a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a value is not a valid secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSecret {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It has more than one line.
    #[error("it has more than one line")]
    SeveralLines,
    /// It is too long.
    #[error("it is longer than {} KiB", MOST >> 10)]
    TooLong,
    /// It must be UTF-8, but is not.
    #[error("it is not text in UTF-8")]
    NotText,
    /// Another option has already read a secret from standard input.
    #[error("{0} has already read its secret from standard input")]
    Taken(String),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Secret {
    /// The secret as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text.
    pub(crate) fn to_text(&self) -> Result<br_core::Secret, BadSecret> {
        let text = std::str::from_utf8(&self.0).map_err(|_| BadSecret::NotText)?;
        Ok(br_core::Secret::new(text))
    }

    /// Reads the secret of an option from a file; `-` means the first line of standard input.
    pub(crate) fn of_file(file: &Path, option: &str) -> Result<Self, BadSecret> {
        if file.as_os_str() == OsStr::new("-") {
            return Self::of_stdin(option);
        }
        // Allocate everything at once: a growing buffer would leave copies in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 1));
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        std::fs::File::open(file)?
            .take(most + 1)
            .read_to_end(&mut bytes)?;
        Self::of_bytes(bytes)
    }

    /// Reads the secret from the output of a command.
    pub(crate) fn of_output(stdout: Vec<u8>) -> Result<Self, BadSecret> {
        Self::of_bytes(Zeroizing::new(stdout))
    }

    /// Reads the secret from an environment variable.
    pub(crate) fn of_variable(value: OsString) -> Result<Self, BadSecret> {
        Self::of_bytes(Zeroizing::new(value.into_vec()))
    }

    /// Prompts for the secret on the terminal.
    pub(crate) fn of_prompt(prompt: &str) -> Result<Self, BadSecret> {
        let typed = rpassword::prompt_password(prompt)?;
        Self::of_bytes(Zeroizing::new(typed.into_bytes()))
    }

    /// Reads the secret from an argument.
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

    /// Applies the rules that all sources share.
    fn of_bytes(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, BadSecret> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if bytes.len() > MOST {
            return Err(BadSecret::TooLong);
        }
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        if let Some(identity) = identity_in(&bytes) {
            bytes.copy_within(identity.clone(), 0);
            bytes.truncate(identity.len());
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

/// Where the only secret key of a recipient is, in a file as `age-keygen` writes it: one line among comments.
fn identity_in(text: &[u8]) -> Option<Range<usize>> {
    let mut found = None;
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let content = line.trim_ascii();
        let is_comment = content.is_empty() || content.starts_with(b"#");
        if content.starts_with(IDENTITY) && found.is_none() {
            found = Some(start..start + line.trim_ascii_end().len());
        } else if !is_comment {
            return None;
        }
        start += line.len();
    }
    found
}

/// True when the group or others may read this file.
pub(crate) fn is_readable_by_others(file: &Path) -> bool {
    let found = std::fs::metadata(file).ok();
    found.is_some_and(|found| found.is_file() && found.mode() & READABLE_BY_OTHERS != 0)
}

/// Reads the first line of standard input and nothing after it, which may be the data to back up.
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
    fn line_break_and_byte_order_mark_are_not_part_of_secret() {
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
    fn empty_or_multi_line_secret_is_refused() {
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
    fn debug_output_hides_secret() {
        let secret = Secret::of_argument("hunter2").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
