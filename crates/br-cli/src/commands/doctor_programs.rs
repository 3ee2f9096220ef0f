//! What `br doctor` finds out about the programs that br starts: those of streams, and the commands of sets.
//!
//! Invariant: no finding shows the arguments of a program, because they may have passwords.

use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use br_sources::server::Severity;

use super::programs::find_program;
use super::stream::name_of;
use crate::config::{HookCommand, Hooks};
use crate::output::doctor::Finding;
use crate::output::format;

/// Programs that understand the syntax of a shell in their arguments.
const SHELLS: [&str; 9] = [
    "sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox", "ssh",
];

/// Whether the program of a stream can be started.
pub(super) fn of_stream(words: &[String], text: &str) -> Vec<Finding> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let mut findings: Vec<Finding> = syntax(words, text).into_iter().collect();
    findings.push(match find_program(program) {
        Some(path) => Finding::ok(format!("its program is {}", format::path(&path))),
        None => missing(program, "its program", Severity::Problem),
    });
    findings
}

/// Whether the commands of a set can be started.
pub(super) fn of_hooks(hooks: &Hooks) -> Vec<Finding> {
    let streams: Vec<HookCommand> = hooks
        .restore_streams
        .iter()
        .map(|(_, command)| command.clone())
        .collect();
    let all = [
        ("before", &hooks.before, Severity::Problem),
        ("after", &hooks.after, Severity::Problem),
        ("restore-before", &hooks.restore_before, Severity::Warning),
        ("restore-after", &hooks.restore_after, Severity::Warning),
        ("restore-stream", &streams, Severity::Warning),
        ("verify", &hooks.verify, Severity::Warning),
    ];
    let mut findings = Vec::new();
    let mut count = 0;
    for (key, commands, severity) in all {
        for command in commands {
            count += 1;
            let program = command
                .words
                .first()
                .map(String::as_str)
                .unwrap_or_default();
            if find_program(program).is_none() {
                let what = format!("the program of a command in `{key}`");
                findings.push(missing(program, &what, severity));
            }
            let syntax = syntax(&command.words, &command.text);
            findings.extend(syntax.map(|finding| Finding {
                message: format!("`{key}`: {}", finding.message),
                ..finding
            }));
        }
    }
    if findings.is_empty() && count > 0 {
        let commands = format::counted(
            count,
            "command has its program",
            "commands have their programs",
        );
        findings.push(Finding::ok(format!(
            "{commands}; br does not run them here"
        )));
    }
    findings
}

fn missing(program: &str, what: &str, severity: Severity) -> Finding {
    let message = if program.contains('/') {
        format!("{what} is not there, or may not be started: {program}")
    } else {
        format!("{what} is not in PATH: {program}")
    };
    let fix = "install it, or write its path";
    Finding {
        severity,
        ..Finding::problem(message, fix)
    }
}

/// Warns of syntax that only a shell understands.
fn syntax(words: &[String], text: &str) -> Option<Finding> {
    let program = words.first()?;
    let is_shell = |word: &String| SHELLS.contains(&&*name_of(Path::new(word).as_os_str()));
    if words.iter().any(is_shell) {
        return None;
    }
    let found = shell_syntax(text)?;
    let message = format!(
        "the program {} gets {found} as a part of its arguments, because br uses no shell",
        name_of(program.as_ref())
    );
    let fix = "for a pipe and the like, write `bash -o pipefail -c '…'`; otherwise put it in single quotes";
    Some(Finding::warning(message, fix))
}

/// The first part of a command that a shell would not pass to the program, such as `|`. Quotes and backslashes protect it, as in a shell.
fn shell_syntax(text: &str) -> Option<String> {
    let mut chars = text.chars().peekable();
    let (mut is_quoted, mut is_start) = (false, true);
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let ends = next.is_none_or(char::is_whitespace);
        match c {
            '\\' => drop(chars.next()),
            '\'' if !is_quoted => {
                let _ = chars.by_ref().find(|c| *c == '\'');
            }
            '"' => is_quoted = !is_quoted,
            '`' => return Some("a backtick".to_owned()),
            '$' if next.is_some_and(|c| c == '(' || c == '{' || c == '_' || c.is_alphabetic()) => {
                return Some(variable(&mut chars));
            }
            _ if is_quoted => {}
            '&' if next == Some('&') || next == Some('>') || (is_start && ends) => {
                let more = next.filter(|c| !c.is_whitespace());
                return Some(format!("`&{}`", more.map(String::from).unwrap_or_default()));
            }
            ';' if is_start || ends => return Some("`;`".to_owned()),
            '|' | '>' | '<' if is_start || ends => return Some(format!("`{c}`")),
            c if c.is_ascii_digit() && is_start && next == Some('>') => {
                return Some(format!("`{c}>`"));
            }
            _ => {}
        }
        is_start = c.is_whitespace() && !is_quoted;
    }
    None
}

/// `$(` or the name of a variable, after its dollar sign.
fn variable(chars: &mut Peekable<Chars<'_>>) -> String {
    if chars.peek() == Some(&'(') {
        return "`$(`".to_owned();
    }
    let name = chars.skip_while(|c| *c == '{');
    let name: String = name
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    format!("the variable ${name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_of_a_shell_is_found_unless_it_is_quoted() {
        for (text, found) in [
            ("pg_dump shop | gzip", Some("`|`")),
            ("pg_dump shop > file", Some("`>`")),
            ("pg_dump shop >file", Some("`>`")),
            ("pg_dump shop 2> file", Some("`2>`")),
            ("pg_dump shop 2>&1", Some("`2>`")),
            ("psql < file", Some("`<`")),
            ("a && b", Some("`&&`")),
            ("a&&b", Some("`&&`")),
            ("a &", Some("`&`")),
            ("a; b", Some("`;`")),
            ("a ; b", Some("`;`")),
            ("a $(date)", Some("`$(`")),
            ("a \"$(date)\"", Some("`$(`")),
            ("a `date`", Some("a backtick")),
            ("a $HOME/x", Some("the variable $HOME")),
            ("a \"${HOME}/x\"", Some("the variable $HOME")),
            ("psql -c 'SELECT 1; SELECT $(x) | y'", None),
            ("psql -c \"SELECT 1; SELECT a > b\"", None),
            ("curl http://a/?b=1&c=2", None),
            ("find . -exec ls {} \\;", None),
            ("grep -E a|b", None),
            ("echo \\$HOME $ 5$", None),
            ("echo it\\'s \\| x", None),
        ] {
            assert_eq!(shell_syntax(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn a_shell_may_have_its_syntax() {
        let words = |text: &str| shlex::split(text).unwrap();
        for text in [
            "bash -o pipefail -c \"a | b $X\"",
            "docker exec db sh -c \"a | b\" ; x",
            "/bin/sh -c 'a' > b",
        ] {
            assert!(syntax(&words(text), text).is_none(), "{text}");
        }
        let text = "mysqldump --password=secret shop | gzip";
        let finding = syntax(&words(text), text).unwrap();
        assert!(!finding.message.contains("secret"), "{finding:?}");
    }
}
