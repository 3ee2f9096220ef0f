//! Secrets in files, and on standard input.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use zeroize::Zeroizing;

/// No secret is longer, in bytes.
const MOST: usize = 64 << 10;

/// The line that came from standard input: a command may need its secret more than once.
static LINE: OnceLock<Zeroizing<Vec<u8>>> = OnceLock::new();

/// Reads a secret from a file, or from the first line of standard input when the file is called `-`. A newline at the end is not part of it.
pub(crate) fn read(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    if file.as_os_str() != OsStr::new("-") {
        return Ok(without_newline(std::fs::read(file)?));
    }
    if let Some(line) = LINE.get() {
        return Ok(line.clone());
    }
    let mut line = Vec::new();
    let mut byte = [0];
    // One by one: what comes after the line may be what is to be backed up.
    while line.last() != Some(&b'\n') && line.len() < MOST {
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(LINE.get_or_init(|| without_newline(line)).clone())
}

fn without_newline(bytes: Vec<u8>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(bytes);
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    bytes
}
