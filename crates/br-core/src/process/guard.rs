//! Ends a program if br dies.
//!
//! If br is killed, its ends of pipes close. A program that reads its standard input then sees a normal end, and a client of a database
//! commits half a restore. So a [`Guard`], a small shell, holds the pipe open, and kills the program before it closes.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::platform;

/// Waits for a line. If the end comes without one, br is dead: kills the process group, whose number is the argument.
const SCRIPT: &str = r#"read -r _ || kill -s KILL -- "-$0""#;

/// A process that outlives br if br is killed.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    line: Option<ChildStdin>,
}

impl Guard {
    /// Guards the process group of a program. `held` stays open until the guard has ended. `None` if the system has no shell: then the program
    /// is not guarded.
    pub(super) fn start(program: &Child, held: Option<Stdio>) -> Option<Self> {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", SCRIPT, &program.id().to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(held.unwrap_or_else(Stdio::null))
            .stderr(Stdio::null());
        // Ctrl-C must not reach it.
        platform::set_own_group(&mut shell);
        let mut child = shell.spawn().ok()?;
        let line = child.stdin.take();
        Some(Self { child, line })
    }
}

impl Drop for Guard {
    /// Ends the guard without harm to the program.
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            // If it fails, the guard has ended already.
            let _ = line.write_all(b"\n");
        }
        let _ = self.child.wait();
    }
}
