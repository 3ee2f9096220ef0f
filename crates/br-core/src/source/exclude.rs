//! Patterns that exclude paths from a walk.
//!
//! [`Excludes`] holds the patterns for a whole backup, [`IgnoreFile`] those of an ignore file, which apply to its folder and
//! everything below. Invariant: a pattern is used as a whole or refused. For each pattern of a backup it is known whether it
//! matched anything.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::gitignore::translate;
use crate::model::escape;
use crate::warning::Note;

/// Maximum length of a pattern in bytes: no path is longer.
pub(crate) const MAX_PATTERN: usize = 4096;

/// A pattern that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern `{pattern}`: {reason}")]
#[non_exhaustive]
pub struct ExcludeError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Patterns for paths that stay out of a backup.
///
/// The syntax is that of `.gitignore`, matched against paths in the backup. A pattern that starts with a slash is an absolute
/// path if it is below the folder where the paths of the backup start, and otherwise a path in the backup. A pattern that starts
/// with `./` or `../` starts at the current folder. All others match at any depth: `cache` and `src/cache` both match
/// `home/anna/src/cache`. A pattern that ends with a slash matches folders only. `!` includes again what an earlier pattern
/// excluded, but not the contents of an excluded folder.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// As given, for messages.
    shown: String,
    is_negated: bool,
    /// True when it starts at the current folder.
    is_here: bool,
    /// The translated pattern without the `!`.
    text: String,
    ignores_case: bool,
}

/// The folder that the paths of a walk start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Anchor {
    /// The root of the file system.
    Root,
    /// This many folders above the current one.
    Above(usize),
}

impl Excludes {
    /// Reads patterns, as raw bytes. Ignores empty patterns and those that start with `#`.
    ///
    /// # Errors
    /// When a pattern cannot be understood.
    pub fn parse<P: AsRef<[u8]>>(
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, ExcludeError> {
        Self::default().and(patterns, false)
    }

    /// Adds patterns that ignore the case of letters, after the others. Otherwise as [`Excludes::parse`].
    ///
    /// # Errors
    /// When a pattern cannot be understood.
    pub fn and_ignoring_case<P: AsRef<[u8]>>(
        self,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, ExcludeError> {
        self.and(patterns, true)
    }

    fn and<P: AsRef<[u8]>>(
        self,
        patterns: impl IntoIterator<Item = P>,
        ignores_case: bool,
    ) -> Result<Self, ExcludeError> {
        let mut out = self.patterns;
        for bytes in patterns {
            let shown = escape(bytes.as_ref());
            let refused = |reason: String| ExcludeError {
                pattern: shown.clone(),
                reason,
            };
            let Some(mut pattern) =
                Pattern::read(bytes.as_ref(), shown.clone()).map_err(refused)?
            else {
                continue;
            };
            pattern.ignores_case = ignores_case;
            strict()
                .add_line(None, &pattern.text)
                .map_err(|error| refused(reason(error)))?;
            out.push(pattern);
        }
        let excludes = Self { patterns: out };
        excludes.matcher(Anchor::Above(0), None)?;
        Ok(excludes)
    }

    /// True when there is no pattern.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Compiles the patterns for paths that start from `anchor`. `here` is the current folder. If it is unknown, patterns that
    /// start at the current folder apply only to paths that start there too.
    pub(super) fn matcher(
        &self,
        anchor: Anchor,
        here: Option<&[u8]>,
    ) -> Result<Matcher, ExcludeError> {
        let here: Vec<&[u8]> = here.map(|here| parts(here).collect()).unwrap_or_default();
        let (base_len, is_known) = match anchor {
            Anchor::Root => (0, !here.is_empty()),
            Anchor::Above(up) => (here.len().saturating_sub(up), up == 0 || !here.is_empty()),
        };
        let mut builder = strict();
        let mut lines = HashMap::new();
        for (number, pattern) in self.patterns.iter().enumerate() {
            if pattern.is_here && !is_known {
                continue;
            }
            let Some(line) = pattern.line(&here, base_len) else {
                continue;
            };
            let ready = builder.case_insensitive(pattern.ignores_case);
            let added = ready.and_then(|builder| builder.add_line(None, &line));
            added.map_err(|error| ExcludeError {
                pattern: pattern.shown.clone(),
                reason: reason(error),
            })?;
            lines.insert(line, number);
        }
        let built = builder.build().map_err(|error| ExcludeError {
            pattern: "all patterns together".to_owned(),
            reason: reason(error),
        });
        Ok(Matcher {
            set: Set::new(built?, self.patterns.iter().map(|pattern| &pattern.text)),
            lines,
        })
    }

    /// Checks that the patterns can be used for the entries of a backup, as [`rewrite`](crate::engine::rewrite::rewrite) does.
    ///
    /// # Errors
    /// When a pattern starts at the current folder.
    pub fn check_for_entries(&self) -> Result<(), ExcludeError> {
        self.for_entries().map(drop)
    }

    /// Compiles the patterns for the entries of a backup: a pattern that starts with a slash starts at the root of the backup.
    pub(crate) fn for_entries(&self) -> Result<Matcher, ExcludeError> {
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.is_here) {
            return Err(ExcludeError {
                pattern: pattern.shown.clone(),
                reason: "it starts at the current folder, which a backup does not have".to_owned(),
            });
        }
        self.matcher(Anchor::Root, None)
    }

    /// One cell for each pattern, which records whether the pattern matched.
    pub(crate) fn unused(&self) -> Vec<Cell<bool>> {
        self.patterns.iter().map(|_| Cell::new(false)).collect()
    }

    /// A pattern as it was given.
    pub(super) fn shown(&self, number: usize) -> &str {
        self.patterns
            .get(number)
            .map_or("", |pattern| &pattern.shown)
    }

    /// Messages about patterns that matched nothing.
    pub(crate) fn notes(&self, used: &[Cell<bool>]) -> Vec<Note> {
        /// Further patterns are only counted: a list for many machines has many patterns that match nothing.
        const MOST: usize = 10;
        let with_use = self.patterns.iter().zip(used);
        let did_match = with_use.filter(|(_, used)| used.get());
        // Report a pattern that was given twice only once.
        let mut seen: HashSet<&str> = did_match.map(|(pattern, _)| &*pattern.shown).collect();
        let unused = self.patterns.iter();
        let unused: Vec<_> = unused
            .filter(|pattern| seen.insert(&pattern.shown))
            .collect();
        let note = |pattern: &&Pattern| Note::PatternUnused {
            pattern: pattern.shown.clone(),
            is_negated: pattern.is_negated,
        };
        let mut notes: Vec<_> = unused.iter().take(MOST).map(note).collect();
        if unused.len() > MOST {
            let more = (unused.len() - MOST) as u64;
            notes.push(Note::PatternsUnused { more });
        }
        notes
    }
}

impl Pattern {
    /// Reads a pattern; `None` for an empty line or a comment.
    fn read(bytes: &[u8], shown: String) -> Result<Option<Self>, String> {
        let text = as_text(bytes);
        let text = if text.ends_with("\\ ") {
            &text
        } else {
            text.trim_end()
        };
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let (is_negated, text) = match text.strip_prefix('!') {
            Some(text) => (true, text),
            None => (false, text),
        };
        if text.is_empty() {
            return Err("there is nothing after the `!`".to_owned());
        }
        check_len(text)?;
        let first = text.split('/').next().unwrap_or_default();
        Ok(Some(Self {
            shown,
            is_negated,
            is_here: first == "." || first == "..",
            text: translate(text).into_owned(),
            ignores_case: false,
        }))
    }

    /// The pattern as a line of a `.gitignore` file in the folder that paths start from. The first `base_len` parts of the current
    /// folder are the path of that folder. `None` when the pattern leads out of that folder.
    fn line(&self, here: &[&[u8]], base_len: usize) -> Option<String> {
        let sign = if self.is_negated { "!" } else { "" };
        let is_odd = |part: &str| part.is_empty() || part == "." || part == "..";
        let body = self.text.strip_prefix('/').unwrap_or(&self.text);
        let body = body.strip_suffix('/').unwrap_or(body);
        let is_anchored = self.is_here || self.text.starts_with('/');
        let mut joined = body.to_owned();
        if body.split('/').any(is_odd) {
            let mut all: Vec<String> = Vec::new();
            let here: Vec<String> = here.iter().map(|part| literal(&as_text(part))).collect();
            if self.is_here {
                all.clone_from(&here);
            }
            for part in body.split('/') {
                match part {
                    "" | "." => {}
                    ".." => drop(all.pop()?),
                    part => all.push(part.to_owned()),
                }
            }
            if self.is_here {
                all = all.strip_prefix(here.get(..base_len)?)?.to_vec();
            }
            joined = all.join("/");
        }
        if self.text.starts_with('/')
            && let Some(below) = below(&joined, here.get(..base_len)?)
        {
            joined = below;
        }
        if joined.is_empty() {
            // This is the folder that paths start from, which is never excluded.
            return None;
        }
        let start = if is_anchored {
            "/"
        } else if joined.contains('/') && !joined.starts_with("**/") {
            "**/"
        } else {
            ""
        };
        let end = if self.text.ends_with('/') { "/" } else { "" };
        Some(format!("{sign}{start}{joined}{end}"))
    }
}

/// What follows a folder in an absolute pattern; `None` when the pattern is not about something below the folder.
fn below(pattern: &str, folder: &[&[u8]]) -> Option<String> {
    let mut parts = pattern.split('/');
    for expected in folder {
        let (part, expected) = (parts.next()?, as_text(expected));
        if part != expected && part != literal(&expected) {
            return None;
        }
    }
    let rest: Vec<_> = parts.collect();
    (!folder.is_empty() && !rest.is_empty()).then(|| rest.join("/"))
}

/// The patterns of a backup, for paths that start from one folder.
#[derive(Debug)]
pub(crate) struct Matcher {
    set: Set,
    /// For each line, the number of its pattern. If several patterns became the same line, the last one, because it decides.
    lines: HashMap<String, usize>,
}

impl Matcher {
    /// Whether to exclude the entry at `path`; `None` when no pattern matches it. Records in `used` which pattern decided.
    pub(crate) fn verdict(
        &self,
        path: &[u8],
        is_folder: bool,
        used: &[Cell<bool>],
    ) -> Option<bool> {
        let (verdict, line) = self.set.verdict(path, is_folder)?;
        let number = self.lines.get(line);
        if let Some(used) = number.and_then(|number| used.get(*number)) {
            used.set(true);
        }
        Some(verdict)
    }

    /// The number of the pattern that decides about `path`.
    pub(super) fn decided_by(&self, path: &[u8], is_folder: bool) -> Option<usize> {
        let (_, line) = self.set.verdict(path, is_folder)?;
        self.lines.get(line).copied()
    }
}

/// The patterns of one ignore file.
#[derive(Debug)]
pub(super) struct IgnoreFile(Set);

/// A line of an ignore file that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Its number, from 1.
    pub(super) number: usize,
    pub(super) error: ExcludeError,
}

impl IgnoreFile {
    /// Reads the content of files. Lines that cannot be understood exclude nothing, because too much in a backup does less harm
    /// than too little. Returns these lines for each file.
    pub(super) fn parse(contents: &[Vec<u8>]) -> (Self, Vec<Vec<BadLine>>) {
        let mut builder = strict();
        let mut texts = Vec::new();
        let mut bad = Vec::new();
        for content in contents {
            let mut bad_here = Vec::new();
            let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
            for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = as_text(line);
                // As in the patterns of a backup, `./` anchors a pattern at the current folder, which is the folder of this file.
                let text = match text.strip_prefix("./") {
                    Some(rest) => format!("/{}", translate(rest)),
                    None => translate(&text).into_owned(),
                };
                let checked = check_len(&text);
                let added = checked.and_then(|()| builder.add_line(None, &text).map_err(reason));
                match added {
                    Ok(_) => texts.push(text),
                    Err(reason) => {
                        let pattern = escape(&line[..line.len().min(MAX_PATTERN)]);
                        let error = ExcludeError { pattern, reason };
                        bad_here.push(BadLine { number, error });
                    }
                }
            }
            bad.push(bad_here);
        }
        let set = builder.build().unwrap_or_else(|_| Gitignore::empty());
        (Self(Set::new(set, texts.iter())), bad)
    }

    /// Whether to exclude the entry at `path`, relative to the file's folder; `None` when no pattern matches it.
    pub(super) fn verdict(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        let (verdict, _) = self.0.verdict(path, is_folder)?;
        Some(verdict)
    }

    /// The line that decides about `path`.
    pub(super) fn decided_by(&self, path: &[u8], is_folder: bool) -> Option<&str> {
        let (_, line) = self.0.verdict(path, is_folder)?;
        Some(line)
    }
}

/// Refuses patterns that take much time and memory.
fn check_len(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("it has more than {MAX_PATTERN} bytes"));
    }
    Ok(())
}

/// Patterns, and whether they contain bytes that are not UTF-8.
#[derive(Debug)]
struct Set {
    patterns: Gitignore,
    has_bytes: bool,
}

impl Set {
    fn new<'a>(patterns: Gitignore, mut texts: impl Iterator<Item = &'a String>) -> Self {
        let has_bytes = texts.any(|text| text.contains(is_byte));
        Self {
            patterns,
            has_bytes,
        }
    }

    /// Whether to exclude a path, and the line that decides it.
    fn verdict(&self, path: &[u8], is_folder: bool) -> Option<(bool, &str)> {
        let found = if self.has_bytes {
            self.patterns.matched(Path::new(&*as_text(path)), is_folder)
        } else {
            let path = crate::platform::os_path(path);
            self.patterns.matched(path, is_folder)
        };
        match found {
            Match::None => None,
            Match::Ignore(glob) => Some((true, glob.original())),
            Match::Whitelist(glob) => Some((false, glob.original())),
        }
    }
}

/// The matcher works on text. Each byte that is not UTF-8 becomes one character of a range that has no assigned meaning.
const FIRST_BYTE: u32 = 0x10_fe00;

fn is_byte(c: char) -> bool {
    (FIRST_BYTE..FIRST_BYTE + 256).contains(&u32::from(c))
}

fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        let odd = part.invalid().iter();
        text.extend(odd.filter_map(|byte| char::from_u32(FIRST_BYTE + u32::from(*byte))));
    }
    Cow::Owned(text)
}

/// A pattern that matches only this name.
fn literal(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if "\\[]{}*?!#, ".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
}

/// A builder that refuses what git would take for a pattern that matches nothing.
fn strict() -> GitignoreBuilder {
    let mut builder = GitignoreBuilder::new("");
    builder.allow_unclosed_class(false);
    builder
}

/// The library's own text repeats the pattern, which the caller shows already.
fn reason(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(patterns: &[&str], path: &str, is_folder: bool) -> bool {
        left_out_of(patterns, path.as_bytes(), is_folder, Anchor::Root)
    }

    /// From the current folder `/home/u`.
    fn left_out_of<P: AsRef<[u8]>>(
        patterns: &[P],
        path: &[u8],
        is_folder: bool,
        anchor: Anchor,
    ) -> bool {
        let excludes = Excludes::parse(patterns).unwrap();
        let matcher = excludes.matcher(anchor, Some(b"/home/u")).unwrap();
        let used = excludes.unused();
        matcher.verdict(path, is_folder, &used).unwrap_or(false)
    }

    #[test]
    fn patterns_match_as_in_gitignore() {
        assert!(left_out(&["*.o"], "a/b/c.o", false));
        assert!(left_out(&["/home/u/cache"], "home/u/cache", true));
        assert!(!left_out(&["/u/cache"], "home/u/cache", true));
        assert!(left_out(&["cache/"], "u/cache", true) && !left_out(&["cache/"], "u/cache", false));
        assert!(!left_out(&["*.o", "!keep.o"], "a/keep.o", false));
        assert!(left_out(&["a/**/z"], "a/b/c/z", false));
        assert!(left_out(&["# not this", "", "x"], "x", false));
    }

    #[test]
    fn a_relative_pattern_with_a_slash_matches_at_any_depth() {
        assert!(left_out(&["a/b"], "a/b", true) && left_out(&["a/b"], "x/y/a/b", true));
        assert!(!left_out(&["a/b"], "xa/b", true) && !left_out(&["a/b"], "a/c/b", true));
        assert!(left_out(&["src/*.o"], "home/u/src/x.o", false));
        assert!(left_out(&["a//b/"], "x/a/b", true) && !left_out(&["a//b/"], "x/a/b", false));
        assert!(!left_out(&["a/*", "!a/b"], "x/a/b", true));
    }

    #[test]
    fn a_pattern_with_a_dot_in_front_starts_at_the_current_folder() {
        let out = |pattern: &str, path: &str, anchor| {
            left_out_of(&[pattern], path.as_bytes(), true, anchor)
        };
        let (root, here) = (Anchor::Root, Anchor::Above(0));
        assert!(out("./a", "home/u/a", root) && out("./a", "a", here));
        assert!(out("./a", "u/a", Anchor::Above(1)));
        for other in ["a", "home/u/x/a", "home/a"] {
            assert!(!out("./a", other, root), "{other}");
        }
        assert!(!out("./a", "x/a", here));
        assert!(out("../v/*", "home/v/x", root) && !out("../v/*", "v/x", here));
        assert!(out("../u/a", "a", here) && out("../u/a", "u/a", Anchor::Above(1)));
        assert!(out("./a/../b/", "home/u/b", root));
        assert!(out(".", "home/u", root) && !out(".", "home", root));
        // Nothing is above the root.
        assert!(!out("../../../a", "a", root) && !out("../a", "a", here));
    }

    /// Symptom: `-e "$PWD/src/cache"` had no effect on `br backup src`.
    #[test]
    fn an_absolute_pattern_matches_where_paths_are_relative() {
        let out = |pattern: &str, path: &str, anchor| {
            left_out_of(&[pattern], path.as_bytes(), true, anchor)
        };
        let (here, above) = (Anchor::Above(0), Anchor::Above(1));
        assert!(out("/home/u/src/a", "src/a", here) && out("/home/u/*", "a", here));
        assert!(out("/home/u/src/a", "u/src/a", above) && out("/home//u/./a", "a", here));
        assert!(out("/src/a", "src/a", here), "the root of the backup");
        for other in ["a", "x/src/a", "u/src/a", "home/u/src/a/b"] {
            assert!(!out("/home/u/src/a", other, here), "{other}");
        }
        assert!(!out("/home/u", "u", here));
    }

    #[test]
    fn name_of_current_folder_is_not_read_as_pattern() {
        let excludes = Excludes::parse(["./a"]).unwrap();
        let here = Some(&b"/[x]/{y,z}/*"[..]);
        let matcher = excludes.matcher(Anchor::Root, here).unwrap();
        let used = excludes.unused();
        assert_eq!(matcher.verdict(b"[x]/{y,z}/*/a", true, &used), Some(true));
        assert_eq!(matcher.verdict(b"x/y/b/a", true, &used), None);
    }

    #[test]
    fn bytes_that_are_not_utf_8_match_themselves() {
        let here = Anchor::Above(0);
        assert!(left_out_of(&[b"\xff*"], b"x/\xffa", false, here));
        assert!(!left_out_of(&[b"\xff*"], b"x/\xfea", false, here));
        assert!(left_out_of(&["*.o"], b"\xff.o", false, here));
        let (file, bad) = IgnoreFile::parse(&[b"caf\xe9\n".to_vec()]);
        assert_eq!(file.verdict(b"caf\xe9", false), Some(true));
        assert_eq!(file.verdict(b"caf\xe8", false), None);
        assert_eq!(bad, [[]]);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        for pattern in ["a[b", "[z", "[z-", "x/[z", "!", "[b-a]", "x\\"] {
            let error = Excludes::parse(["fine", pattern]).unwrap_err();
            assert_eq!(error.pattern, escape(pattern.as_bytes()));
            assert!(!error.reason.is_empty(), "{error}");
            assert!(!error.reason.contains(pattern) || pattern == "!", "{error}");
        }
    }

    #[test]
    fn pattern_that_matched_nothing_is_reported_once() {
        let excludes = Excludes::parse(["*.o", "x", "x", "!y"]).unwrap();
        let matcher = excludes.matcher(Anchor::Root, None).unwrap();
        let used = excludes.unused();
        matcher.verdict(b"a.o", false, &used);
        let expected = [
            "the pattern `x` excluded nothing",
            "the pattern `!y` re-included nothing",
        ];
        let texts = |excludes: &Excludes, used: &[Cell<bool>]| {
            let notes = excludes.notes(used).into_iter();
            notes.map(|note| note.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&excludes, &used), expected);
        let many: Vec<_> = (0..30).map(|number| format!("p{number}")).collect();
        let many = Excludes::parse(&many).unwrap();
        let notes = texts(&many, &many.unused());
        assert_eq!(
            (notes.len(), notes[10].as_str()),
            (11, "20 more patterns had no effect")
        );
    }

    #[test]
    fn bad_line_of_ignore_file_is_skipped_and_reported() {
        let content = b"\xef\xbb\xbf*.tmp\na[b\r\n!keep.tmp\r\n./top\n[z\n".to_vec();
        let (file, bad) = IgnoreFile::parse(&[content]);
        assert_eq!(file.verdict(b"x/a.tmp", false), Some(true));
        assert_eq!(file.verdict(b"x/keep.tmp", false), Some(false));
        assert_eq!(file.verdict(b"a", false), None);
        assert_eq!(file.verdict(b"top", false), Some(true));
        assert_eq!(file.verdict(b"x/top", false), None);
        let numbers: Vec<_> = bad[0].iter().map(|line| line.number).collect();
        assert_eq!(numbers, [2, 5]);
    }
}
