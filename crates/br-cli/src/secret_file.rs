//! Secrets in files, and on standard input.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// No secret is longer, in bytes.
const MOST: usize = 64 << 10;

/// The line that came from standard input, and the option it was for, which may ask for it again.
static LINE: Mutex<Option<(String, Zeroizing<Vec<u8>>)>> = Mutex::new(None);

/// Reads a secret for an option from a file, or from the first line of standard input when the file is called `-`. A newline at the end is not
/// part of it.
pub(crate) fn read(file: &Path, option: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    if file.as_os_str() != OsStr::new("-") {
        return Ok(without_newline(Zeroizing::new(std::fs::read(file)?)));
    }
    let mut known = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((owner, line)) if owner == option => Ok(line.clone()),
        Some((owner, _)) => {
            let text = format!("{owner} has its secret from standard input already");
            Err(io::Error::other(text))
        }
        None => {
            let line = without_newline(read_line(option)?);
            *known = Some((option.to_owned(), line.clone()));
            Ok(line)
        }
    }
}

/// As [`read`], for secrets that are text.
pub(crate) fn read_text(file: &Path, option: &str) -> io::Result<Zeroizing<String>> {
    let bytes = read(file, option)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn read_line(option: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("Secret for {option}: "))?;
        return Ok(Zeroizing::new(typed.into_bytes()));
    }
    // All at once: growing would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MOST));
    let mut byte = [0];
    // One by one: what comes after the line may be what is to be backed up.
    while line.last() != Some(&b'\n') {
        if line.len() == MOST {
            return Err(io::Error::other(
                "the first line is far too long for a secret",
            ));
        }
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(line)
}

fn without_newline(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    bytes
}
