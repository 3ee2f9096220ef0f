//! Tests in a separate process: starts this program again for one test.

use std::process::{Child, Command, Output, Stdio};

/// The variable that marks a child process and holds its argument.
const VARIABLE: &str = "BR_ARCHIVE_TEST_CHILD";

/// Returns the argument of a child process; `None` if this is not a child.
pub(crate) fn told() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Runs a test of this program as a child. The test must first call [`told`], and do nothing if it returns `None`.
pub(crate) fn start(test: &str, told: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, told)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a child, which must succeed, and returns its output.
pub(crate) fn finish(child: Child) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&stdout).into_owned();
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{out}{errors}");
    out
}

/// Runs a test as a child and returns its peak memory in MiB, and its output. The test must end with [`tell_memory`].
pub(crate) fn memory_of(test: &str, told: &str) -> (u64, String) {
    let out = finish(start(test, told));
    let peak = out.lines().find_map(|line| line.split("VmHWM:").nth(1));
    let peak = peak.unwrap_or_else(|| panic!("{out}"));
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    (kib >> 10, out)
}

/// Prints the peak memory of this process.
#[expect(clippy::print_stdout, reason = "the child reports through its output")]
pub(crate) fn tell_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("\n{}", line.unwrap());
}
