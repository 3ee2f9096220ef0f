//! Client programs that answer one question.

use std::io::{self, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often to look whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs a program without input until it ends. If `cancel` is cancelled, br ends the program, and there is no output.
pub(crate) fn output_of(
    command: &mut Command,
    cancel: &CancellationToken,
) -> io::Result<Option<Output>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let Some(status) = wait(&mut child, cancel)? else {
        // Not until the pipes end: a program that the child has started may keep them open.
        return Ok(None);
    };
    let bytes = |reader: Receiver<Vec<u8>>| reader.recv().unwrap_or_default();
    Ok(Some(Output {
        status,
        stdout: bytes(stdout),
        stderr: bytes(stderr),
    }))
}

fn wait(
    child: &mut Child,
    cancel: &CancellationToken,
) -> io::Result<Option<std::process::ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if cancel.is_cancelled() {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads a pipe to its end, on a thread.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

/// What a program wrote to its standard error, as one line.
pub(crate) fn message_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', "; ")
        .replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_when_it_is_cancelled() {
        let cancel = CancellationToken::new();
        let mut echo = Command::new("sh");
        echo.args(["-c", "echo out; echo err >&2; exit 3"]);
        let output = output_of(&mut echo, &cancel).unwrap().unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(message_of(&output), "err");
        assert_eq!(output.status.code(), Some(3));
        cancel.cancel();
        let mut sleep = Command::new("sh");
        sleep.args(["-c", "sleep 600 & sleep 600"]);
        assert!(output_of(&mut sleep, &cancel).unwrap().is_none());
        assert!(output_of(&mut Command::new("/no/such/program"), &cancel).is_err());
    }
}
