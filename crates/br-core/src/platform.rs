//! Functions that depend on the operating system and belong neither to sources nor to targets.
//!
//! Invariant: files and folders created here are readable only by their owner.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use crate::process::ProgramEnd;

/// Creates a folder and missing folders above it.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Bytes as a path of this system.
pub(crate) fn os_path(bytes: &[u8]) -> &Path {
    #[cfg(unix)]
    let text: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    #[cfg(not(unix))]
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    Path::new(text)
}

/// Creates a new file; fails if it exists.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Replaces a file at once, or leaves it as it is. `name` is the name of the temporary file next to it.
pub(crate) fn replace_private_file(path: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let staging = path.with_file_name(name);
    let write = || {
        let mut file = create_private_file(&staging)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&staging, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&staging)))
}

/// Opens a regular file for reading; fails for any other kind of file. Does not block on a FIFO.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Fills `bytes` from an offset of a file.
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        use std::io::{Read as _, Seek as _};
        let mut file = file.try_clone()?;
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

/// Gives a program a process group of its own, so that it can be ended together with all that it starts, and so that Ctrl-C reaches only br.
pub(crate) fn set_own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Ends a program and, on Unix, all of its process group. Gives it some time for its own clean-up.
pub(crate) fn end_group(child: &mut Child, grace: Duration) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        // A stopped program handles the signal only after it continues.
        let _ = (signal(Signal::TERM), signal(Signal::CONT));
        const STEP: Duration = Duration::from_millis(10);
        let mut left = grace;
        while matches!(child.try_wait(), Ok(None)) && !left.is_zero() {
            std::thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
        let _ = signal(Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = (grace, child.kill());
    let _ = child.wait();
}

/// True if a signal stopped the program. That happens when it reads from the terminal, which belongs to another process group.
pub(crate) fn is_stopped(child: &Child) -> bool {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            return false;
        };
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
    }
    #[cfg(not(unix))]
    {
        let _ = child;
        false
    }
}

/// Waits until there is output to read, or the output has ended. False if neither happens in time.
pub(crate) fn wait_readable(output: &ChildStdout, time: Duration) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        let mut ready = [PollFd::new(output, PollFlags::IN)];
        match poll(&mut ready, Some(&time)) {
            Ok(number) => Ok(number > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (output, time);
        Ok(true)
    }
}

/// Waits until a program takes input, or has closed it. False if neither happens in time. Writes to `input` never block afterwards: they
/// fail with [`io::ErrorKind::WouldBlock`] instead.
pub(crate) fn wait_writable(input: &ChildStdin, time: Duration) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        rustix::io::ioctl_fionbio(input, true)?;
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        let mut ready = [PollFd::new(input, PollFlags::OUT)];
        match poll(&mut ready, Some(&time)) {
            Ok(number) => Ok(number > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (input, time);
        Ok(true)
    }
}

/// How a program failed; `None` if it exited with code 0.
pub(crate) fn failure(status: ExitStatus) -> Option<ProgramEnd> {
    if status.success() {
        return None;
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Some(ProgramEnd::Signal(signal));
    }
    Some(ProgramEnd::Code(status.code().unwrap_or(-1)))
}
