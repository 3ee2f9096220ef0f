//! Functions that depend on the operating system and belong neither to sources nor to targets.
//!
//! Invariant: files and folders created here are readable only by their owner.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command};
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

/// How a program is doing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChildState {
    Running,
    /// It was stopped because it reads from the terminal, or writes to it: the terminal belongs to another process group.
    WaitsForTerminal,
    /// It has ended: how it failed, or `None` after the exit code 0.
    Ended(Option<ProgramEnd>),
}

/// How a program is doing. Its exit code stays available for `wait`, so its number is not given to another process.
pub(crate) fn child_state(child: &Child) -> ChildState {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, WaitId, WaitIdOptions as Options, waitid};
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            return ChildState::Running;
        };
        let look = |options| {
            waitid(
                WaitId::Pid(pid),
                options | Options::NOHANG | Options::NOWAIT,
            )
        };
        if let Ok(Some(status)) = look(Options::EXITED) {
            let failure = match (status.exit_status(), status.terminating_signal()) {
                (Some(0), _) => None,
                (Some(code), _) => Some(ProgramEnd::Code(code)),
                (None, signal) => Some(ProgramEnd::Signal(signal.unwrap_or(0))),
            };
            return ChildState::Ended(failure);
        }
        let terminal = [Signal::TTIN.as_raw(), Signal::TTOU.as_raw()];
        match look(Options::STOPPED) {
            Ok(Some(status))
                if status
                    .stopping_signal()
                    .is_some_and(|by| terminal.contains(&by)) =>
            {
                ChildState::WaitsForTerminal
            }
            _ => ChildState::Running,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = child;
        ChildState::Running
    }
}

/// Ends a program and, on Unix, its process group and the programs that these have started. Gives them some time for their own clean-up.
pub(crate) fn end_group(child: &mut Child, grace: Duration) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process, kill_process_group};
        const STEP: Duration = Duration::from_millis(10);
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let mut started = descendants(child.id());
        let end = |started: &[Pid], signal| {
            // An error means that the process has ended.
            let _ = group.map(|group| kill_process_group(group, signal));
            for process in started {
                let _ = kill_process(*process, signal);
            }
        };
        end(&started, Signal::TERM);
        // A stopped program handles the signal only after it continues.
        end(&started, Signal::CONT);
        let mut left = grace;
        while matches!(child_state(child), ChildState::Running) && !left.is_zero() {
            std::thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
        started.extend(descendants(child.id()));
        end(&started, Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = (grace, child.kill());
    let _ = child.wait();
}

/// The processes that a process has started, and those that they have started. Only on Linux.
#[cfg(unix)]
fn descendants(of: u32) -> Vec<rustix::process::Pid> {
    let mut parents = Vec::new();
    for item in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = item
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(item.path().join("stat")).unwrap_or_default();
        // The name of the program, in parentheses, may contain anything.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let parent = rest.split_whitespace().nth(1);
        parents.extend(
            parent
                .and_then(|parent| parent.parse::<u32>().ok())
                .map(|parent| (id, parent)),
        );
    }
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(id, _)| *id),
        );
    }
    let ids = found
        .into_iter()
        .skip(1)
        .filter_map(|id| i32::try_from(id).ok());
    ids.filter_map(rustix::process::Pid::from_raw).collect()
}

/// Waits until there is output to read, or the output has ended. False if neither happens in time.
pub(crate) fn wait_readable(output: &ChildStdout, time: Duration) -> io::Result<bool> {
    #[cfg(unix)]
    return wait_for(output, rustix::event::PollFlags::IN, time);
    #[cfg(not(unix))]
    {
        let _ = (output, time);
        Ok(true)
    }
}

/// Lets a program write more before it has to wait, so that the two run side by side and switch less often. The system may allow less.
pub(crate) fn enlarge_pipe(output: &ChildStdout) {
    #[cfg(target_os = "linux")]
    {
        // What Linux allows users by default.
        const LEN: usize = 1 << 20;
        let _ = rustix::pipe::fcntl_setpipe_size(output, LEN);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = output;
}

/// Waits until a program takes input, or has closed it. False if neither happens in time. Writes to `input` never block afterwards: they
/// fail with [`io::ErrorKind::WouldBlock`] instead.
pub(crate) fn wait_writable(input: &ChildStdin, time: Duration) -> io::Result<bool> {
    #[cfg(unix)]
    {
        rustix::io::ioctl_fionbio(input, true)?;
        wait_for(input, rustix::event::PollFlags::OUT, time)
    }
    #[cfg(not(unix))]
    {
        let _ = (input, time);
        Ok(true)
    }
}

/// Waits until a pipe is ready, or its other end is closed. False if neither happens in time, or a signal comes.
#[cfg(unix)]
fn wait_for(
    pipe: &impl std::os::fd::AsFd,
    flags: rustix::event::PollFlags,
    time: Duration,
) -> io::Result<bool> {
    use rustix::event::{PollFd, Timespec, poll};
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(pipe, flags)], Some(&time)) {
        Ok(number) => Ok(number > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How many bytes a program has not read yet from its input.
pub(crate) fn unread(input: &ChildStdin) -> u64 {
    #[cfg(unix)]
    return rustix::io::ioctl_fionread(input).unwrap_or(0);
    #[cfg(not(unix))]
    {
        let _ = input;
        0
    }
}

/// The same pipe once more, to be held open by another process.
pub(crate) fn same_input(input: &ChildStdin) -> Option<std::process::Stdio> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        Some(input.as_fd().try_clone_to_owned().ok()?.into())
    }
    #[cfg(not(unix))]
    {
        let _ = input;
        None
    }
}
